"""Promises of scoring samples, from Python and from the command line."""

from __future__ import annotations

import csv
import io
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from gan_bench_zoo.datasets.gaussian_mixtures import MADGAN1D, Ring8
from gan_bench_zoo.metrics.generators import DeadGenerators, Purity
from gan_bench_zoo.metrics.modes import HighQuality, Modes
from gan_bench_zoo.metrics.sliced_wasserstein import SlicedWasserstein
from numpy.typing import NDArray

from gan_bench.cli.score import command
from gan_bench.contracts.metric import Samples
from gan_bench.errors import ConfigError, DataError, GanBenchError, PluginError, StoreError, UsageError
from gan_bench.evaluation.score_samples import read_samples, score
from gan_bench.evaluation.scores import compute
from tests.support.messages import Messages, plugin_lists

RING = Ring8(Ring8.Params())
LINE = MADGAN1D(MADGAN1D.Params())


@pytest.fixture
def points() -> NDArray[np.float64]:
    """400 points, 50 at each mode's centre, in the order of the modes."""
    assert RING.mixture is not None
    return np.repeat(RING.mixture.means, 50, axis=0)


def nan_lines(output: str) -> str:
    """Return the lines that explain NaN."""
    return "\n".join(line for line in output.splitlines() if line.startswith("nan: "))


def run(*args: object) -> Result:
    """Run `gan-bench score` with these arguments."""
    return CliRunner().invoke(command, [str(arg) for arg in args])


def test_compute_gives_the_mixture_then_each_generator(points: NDArray[np.float64]) -> None:
    """A per-generator metric has one score for the mixture and one for each generator; others have one."""
    samples = Samples(points, RING, generator=np.repeat(np.arange(4), 100), generators=4)
    scores = compute(samples, [Modes(), Purity(), DeadGenerators()])
    assert [(s.metric, s.generator, s.value) for s in scores] == [
        ("modes", None, 8.0),
        *[("purity", k, 0.5) for k in (None, 0, 1, 2, 3)],
        *[("dead_generators", k, 0.0) for k in (None, 0, 1, 2, 3)],
    ]
    assert {s.n for s in scores} == {400}
    assert {s.version for s in scores} == {1}


def test_score_counts_the_generators_of_the_index(points: NDArray[np.float64]) -> None:
    """K is the largest index plus one; a generator without samples has no value."""
    generator = np.repeat([0, 2], 200)
    values = {s.generator: s.value for s in score(points, RING, [Purity()], generator=generator)}
    assert values[0] == values[2] == 0.25
    assert math.isnan(values[1])


def test_score_takes_plain_numbers_on_a_line() -> None:
    """An array of shape (n,) is accepted for a dataset of shape (1,), and so are integers."""
    assert score(np.array([10, 20, 60, 80, 110]), LINE, [Modes()])[0].value == 5


def test_score_depends_on_its_seed_only(points: NDArray[np.float64]) -> None:
    """The same seed gives the same random projections, another seed others."""
    first, again, other = (score(points, RING, [SlicedWasserstein()], seed=s)[0].value for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("x", "parts"),
    [
        (np.zeros((5, 3)), ["(5, 3)", "ring8", "(n, 2)"]),
        (np.zeros(5), ["(5,)"]),
        (np.float64(1.0), ["()"]),
        (np.zeros((0, 2)), []),
        (np.zeros((5, 2), complex), ["complex128"]),
        (np.zeros((5, 2), bool), ["bool"]),
        (np.full((5, 2), "a"), []),
        (np.array([[0, 0], [0, np.nan], [np.inf, 0]]), ["2 of 3", "row 1"]),
        (np.full((5, 2), 1e39), ["5 of 5"]),
    ],
)
def test_samples_that_do_not_fit_are_refused(x: NDArray[Any], parts: list[str], messages: Messages) -> None:
    """A wrong shape, type or value is reported with what was found."""
    with messages.raises(UsageError, *parts):
        score(x, RING, [Modes()])


@pytest.mark.parametrize(
    ("generator", "parts"),
    [
        (np.zeros(399, int), ["(399,)", "400", "(400,)"]),
        (np.zeros((400, 1), int), ["(400, 1)"]),
        (np.zeros(400), ["float64"]),
        (np.r_[np.zeros(7, int), -1, np.zeros(392, int)], ["-1", "row 7"]),
        (np.full(400, 2**40), ["1099511627776", "row 0"]),
    ],
)
def test_indices_that_do_not_fit_are_refused(
    points: NDArray[np.float64], generator: NDArray[Any], parts: list[str], messages: Messages
) -> None:
    """The length, type and values of the generator index are checked."""
    with messages.raises(UsageError, *parts):
        score(points, RING, [Modes()], generator=generator)


def test_a_file_gives_the_scores_of_its_array(tmp_path: Path, points: NDArray[np.float64]) -> None:
    """The csv has the columns metric and value, one row a metric, and exactly the values of `score`."""
    np.savez(tmp_path / "s.npz", samples=points, generator=np.repeat(np.arange(8), 50))
    result = run(tmp_path / "s.npz", "--dataset", "ring8", "--format", "csv", "--metrics", "purity,high_quality")
    assert result.exception is None
    rows = list(csv.reader(io.StringIO(result.output)))
    assert rows == [["metric", "value"], ["purity", "1.0"], ["high_quality", "1.0"]]


def test_all_metrics_of_a_dataset_are_printed(tmp_path: Path, points: NDArray[np.float64]) -> None:
    """Without --metrics there is a line for each metric, with units, and a table of the generators."""
    np.savez(tmp_path / "s.npz", samples=points, generator=np.repeat(np.arange(8), 50))
    result = run(tmp_path / "s.npz", "--dataset", "ring8")
    assert result.exception is None
    for name in ("symmetric_kl", "wasserstein", "sliced_wasserstein", "mode_kl", "generator_jsd"):
        assert f"\n{name} " in result.output
    assert len(result.output.partition("\n  generator")[2].strip().splitlines()) == 2 + 8


def test_a_bare_array_has_no_generators(tmp_path: Path, points: NDArray[np.float64], messages: Messages) -> None:
    """Per-generator metrics of a .npy are NaN, and the reason is printed."""
    np.save(tmp_path / "s.npy", points.astype(np.float32))
    result = run(tmp_path / "s.npy", "--dataset", "ring8", "--metrics", "modes,purity,mutual_information,generator_jsd")
    assert result.exception is None
    messages.check(nan_lines(result.output), "purity, mutual_information, generator_jsd", "'generator'")


def test_every_nan_has_its_reason(tmp_path: Path, points: NDArray[np.float64], messages: Messages) -> None:
    """The metric gives the reason for the mixture. A generator's NaN is due to too few samples.

    With csv output, reasons are printed to stderr. A metric without a reason has a general one.
    """
    far = np.concatenate([points, points + 100])
    np.savez(tmp_path / "far.npz", samples=far[400:], generator=np.repeat([0, 1], 200))
    metrics = "mode_kl,purity,generator_modes"
    result = run(tmp_path / "far.npz", "--dataset", "ring8", "--metrics", metrics)
    messages.check(nan_lines(result.output), "mode_kl, purity")
    np.savez(tmp_path / "half.npz", samples=far, generator=np.repeat([0, 1], 400))
    result = run(tmp_path / "half.npz", "--dataset", "ring8", "--metrics", metrics, "--format", "csv")
    assert "nan" not in result.stdout
    messages.check(nan_lines(result.stderr), "purity")


def test_a_metric_that_does_not_know_why_is_undefined(
    tmp_path: Path, points: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    """NaN without a reason would look like an error of the program."""
    monkeypatch.setattr(Modes, "compute", lambda self, samples: math.nan)
    np.save(tmp_path / "s.npy", points)
    result = run(tmp_path / "s.npy", "--dataset", "ring8", "--metrics", "modes")
    messages.check(nan_lines(result.output), "modes")


def test_parameters_of_the_dataset_can_be_set(tmp_path: Path, points: NDArray[np.float64]) -> None:
    """--set radius=3 scores against the larger ring, whose modes are far from all points."""
    np.save(tmp_path / "s.npy", points)
    result = run(tmp_path / "s.npy", "--dataset", "ring8", "--set", "radius=3", "--metrics", "modes", "--format", "csv")
    assert result.output == "metric,value\nmodes,0.0\n"


@pytest.mark.parametrize(
    ("args", "kind", "parts"),
    [
        (["--dataset", "ring9"], PluginError, ["'ring9'", "'ring8'"]),
        (["--dataset", "ring8", "--metrics", "mods"], PluginError, ["'mods'", "'modes'"]),
        (["--dataset", "ring8", "--metrics", ","], UsageError, ["--metrics"]),
        (["--dataset", "ring8", "--set", "radius=-1"], ConfigError, ["radius", "-1"]),
        (["--dataset", "ring8", "--set", "radios=1"], ConfigError, ["radios", "'radius'"]),
        (["--dataset", "ring8", "--set", "radius"], UsageError, ["--set", "KEY=VALUE"]),
    ],
)
def test_wrong_options_are_named(
    tmp_path: Path,
    points: NDArray[np.float64],
    args: list[str],
    kind: type[GanBenchError],
    parts: list[str],
    messages: Messages,
) -> None:
    """Each wrong option has one message, with the allowed values, and exit code 2."""
    np.save(tmp_path / "s.npy", points)
    error = run(tmp_path / "s.npy", *args).exception
    assert isinstance(error, kind)
    messages.check(error, *parts, hide=plugin_lists(error) | {str(error.__cause__): "CAUSE"})
    assert error.exit_code == 2


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _npz(**arrays: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # an array may have any name
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x,y\n1,2\n", id="csv"),
        pytest.param(pickle.dumps([1, 2]), id="pickle"),
        pytest.param(_npy(np.array([{}, {}], dtype=object)), id="npy of objects"),
        pytest.param(_npy(np.ones((50, 2)))[:-8], id="npy, truncated"),
        pytest.param(_npy(np.ones((50, 2)))[:40], id="npy, truncated in its header"),
        pytest.param(_npy(np.ones((50, 2))).replace(b"(50, 2)", b"(50, 2 "), id="npy, damaged header"),
        pytest.param(_npz(samples=np.ones((50, 2)))[:-30], id="npz, truncated"),
        pytest.param(_npz(samples=np.array([{}], dtype=object)), id="npz of objects"),
        pytest.param(_npz(x=np.ones((50, 2))), id="npz without samples"),
        pytest.param(_npz(), id="npz, empty"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, content: bytes, messages: Messages) -> None:
    """A damaged or foreign file is reported with its name, and nothing is unpickled."""
    path = tmp_path / "s.npz"
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        read_samples(path)
    messages.check(caught.value, path, hide={str(caught.value.__cause__): "CAUSE"})
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, messages: Messages) -> None:
    """A path that is not a file raises StoreError."""
    for path in (tmp_path / "none.npy", tmp_path):
        with pytest.raises(StoreError) as caught:
            read_samples(path)
        cause = caught.value.__cause__
        messages.check(caught.value, path, hide={cause.strerror: "CAUSE"} if isinstance(cause, OSError) else None)


def test_no_damage_escapes_as_another_error(tmp_path: Path) -> None:
    """Thousands of files with random damage are read or reported, without any other error."""
    rng = np.random.default_rng(0)
    path = tmp_path / "s.npz"
    for good in (_npy(np.ones((20, 2))), _npz(samples=np.ones((20, 2)), generator=np.arange(20))):
        for _ in range(2000):
            damaged = bytearray(good[: rng.integers(1, len(good) + 1)] if rng.random() < 0.2 else good)
            damaged[rng.integers(0, min(len(damaged), 130))] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                read_samples(path)
            except StoreError:
                continue


def test_scoring_a_file_imports_no_torch(tmp_path: Path, points: NDArray[np.float64]) -> None:
    """All metrics of a file, the exact Wasserstein distance too, are computed without torch."""
    np.savez(tmp_path / "s.npz", samples=points, generator=np.repeat(np.arange(8), 50))
    code = (
        "import os, sys; from gan_bench.cli.score import command; before = dict(os.environ)\n"
        f"command([{str(tmp_path / 's.npz')!r}, '--dataset', 'ring8'], standalone_mode=False)\n"
        "print('ot' in sys.modules, 'torch' in sys.modules, before == dict(os.environ))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "True False True"


def test_a_metric_that_means_nothing_for_a_dataset_is_refused(messages: Messages) -> None:
    """The error names the metric and the reason."""
    metric = HighQuality()
    metric.refuses = lambda dataset: "needs labels"  # type: ignore[method-assign]
    with messages.raises(UsageError, "'high_quality'", "needs labels"):
        score(np.zeros((5, 2)), RING, [metric])


def test_a_parameter_may_be_a_path_without_quotes(tmp_path: Path, points: NDArray[np.float64]) -> None:
    """--set is parsed as by `gan-bench run`: other text than TOML is a string."""
    np.save(tmp_path / "s.npy", points)
    arguments = ["--dataset", "image-folder", "--set", f"path={tmp_path / 'none'}", "--metrics", "high_quality"]
    error = run(tmp_path / "s.npy", *arguments).exception
    assert isinstance(error, DataError)
    assert str(tmp_path / "none") in str(error)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A pipe without a writer does not block the command."""
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(StoreError, match=r"pipe\.npy"):
        read_samples(tmp_path / "pipe.npy")
