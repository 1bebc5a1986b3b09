"""Repeated draws from final generators: other samples of the same generators. Stored files do not change."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gan_bench
from gan_bench.contracts.metric import Samples
from gan_bench.contracts.observer import Observer
from gan_bench.errors import StoreError, UsageError
from gan_bench.evaluation.evaluate import draw
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Registry
from gan_bench.report.tables.evaluation_noise import FILE
from gan_bench.running import run_benchmark
from gan_bench.running.engines import local
from gan_bench.running.repeated_draws import repeat
from gan_bench.running.stored_model import load_trainer
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.randomness import seed_of
from tests.support import project
from tests.support.messages import Messages

PLUGIN = '''
import numpy as np
from gan_bench import Metric, hookimpl


class Spread(Metric):
    """Standard deviation of the samples."""
    name = "spread"
    direction = "higher"
    unit = "data units"

    def compute(self, samples):
        return samples.x.std()


class Luck(Metric):
    """Random value of its own seed."""
    name = "luck"
    direction = "none"
    unit = ""

    def compute(self, samples):
        return np.random.default_rng(samples.seed).random()


class Half(Metric):
    """Raises from the second call on."""
    name = "half"
    direction = "none"
    unit = ""
    calls = 0

    def compute(self, samples):
        type(self).calls += 1
        if type(self).calls > 1:
            raise ArithmeticError("worn out")
        return 1.0


class Many(Spread):
    """Needs more samples than the benchmark draws."""
    name = "many"
    needs = 1000


@hookimpl
def gan_bench_metrics():
    return [Spread, Luck, Half, Many]
'''


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Registry of the zoo and of these metrics."""
    file = tmp_path_factory.mktemp("plugins") / "new.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return load_plugins([file])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder of an MGAN with three seeds."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalEngine", project.InProcess)
        run_benchmark.run(project.plan(project.describe([project.ZOO["mgan"]], seeds=3), folder), Observer())
    return folder / "tiny"


@pytest.fixture
def old(made: Path, tmp_path: Path) -> Path:
    """Copy of the results folder that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "tiny"))


def runs(results: Path) -> list[RunFolder]:
    """Run folders in the order of their seeds."""
    found = [RunFolder(path) for path in results.glob("runs/*")]
    return sorted(found, key=lambda folder: int(project.record(folder.path)["seed"]))


def kept(results: Path) -> dict[str, bytes]:
    """Read every file of the run folders except repeated scores."""
    paths = [path for path in results.glob("runs/*/*") if path.name != "repeats.csv"]
    return {str(path): path.read_bytes() for path in paths}


class TestDraws:
    def test_are_of_the_same_generators_with_other_latents(self, old: Path, registry: Registry) -> None:
        """Draw r of seed s is drawn from the final generators with the seed (s, "evaluation", iteration, r)."""
        repeat(old, ["spread"], registry, draws=3)
        for seed, folder in enumerate(runs(old)):
            trainer = load_trainer(folder, registry, "cpu")
            for row in folder.read_repeats():
                x = draw(trainer, 200, seed_of(seed, "evaluation", project.ITERATIONS, int(row["draw"]))).x
                assert float(row["value"]) == np.asarray(x, dtype=np.float64).std()
            assert [row["draw"] for row in folder.read_repeats()] == ["1", "2"]

    def test_do_not_change_stored_files(self, old: Path, registry: Registry) -> None:
        """No other file of a run changes, nor does the table."""
        before, table = kept(old), (old / "table.md").read_bytes()
        _, frame = repeat(old, ["symmetric_kl", "modes"], registry, draws=2)
        assert len(frame) == 2
        assert kept(old) == before and (old / "table.md").read_bytes() == table

    def test_begin_with_the_stored_score(self, old: Path, registry: Registry) -> None:
        """Draw 0 is the score in the table, also for a new metric; the standard deviation includes it."""
        _, frame = repeat(old, ["spread", "symmetric_kl"], registry, draws=3)
        table = gan_bench.load_results(old)
        for metric in ("spread", "symmetric_kl"):
            stored = table[(table["metric"] == metric) & (table["iteration"] == project.ITERATIONS)]
            values = [
                [float(value), *(float(row["value"]) for row in folder.read_repeats() if row["metric"] == metric)]
                for folder, value in zip(runs(old), stored[stored["generator"].isna()]["value"], strict=True)
            ]
            (row,) = frame[frame["metric"] == metric].itertuples()
            assert row.evaluation_sd == pytest.approx(np.sqrt(np.var(values, axis=1, ddof=1).mean()))
            assert (row.draws, row.seeds, row.n) == (3, 3, 200)

    def test_have_separate_seeds_for_random_metrics(self, old: Path, registry: Registry) -> None:
        """The randomness of a metric is part of the noise: no two values of a run are equal."""
        repeat(old, ["luck"], registry, draws=4)
        for folder in runs(old):
            rows = [*folder.read_curve(), *folder.read_repeats()]
            assert len({row["value"] for row in rows if row["metric"] == "luck"}) == 4

    def test_are_drawn_once(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second call draws nothing; a call for more draws only adds the missing ones."""
        _, first = repeat(old, ["spread"], registry, draws=2)
        with monkeypatch.context() as patch:
            patch.setattr("gan_bench.running.repeated_draws.evaluate", lambda *_, **__: 1 / 0)
            assert repeat(old, ["spread"], registry, draws=2)[1].equals(first)
        before = {folder.path: folder.read_repeats() for folder in runs(old)}
        assert repeat(old, ["spread"], registry, draws=3)[1]["draws"].tolist() == [3]
        assert all(folder.read_repeats()[:1] == before[folder.path] for folder in runs(old))

    def test_of_another_number_of_samples_have_their_own_row(self, old: Path, registry: Registry) -> None:
        repeat(old, ["spread"], registry, draws=2)
        _, frame = repeat(old, ["spread"], registry, draws=2, samples=50)
        assert sorted(frame["n"]) == [50, 200]

    def test_are_kept_after_an_interruption(
        self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """Draws before Ctrl-C are kept, and the same call draws the rest."""
        kind = registry.get("metrics", "spread")
        compute, calls, lines = kind.compute, list[int](), list[str]()

        def interrupted(self: Any, samples: Samples) -> Any:
            calls.append(1)
            if len(calls) == 6:  # the first three scored draw 0 of each seed, the next two draw 1
                raise KeyboardInterrupt
            return compute(self, samples)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(kind, "compute", interrupted)
            repeat(old, ["spread"], registry, draws=2, log=lines.append)
        messages.check(lines[-1])
        assert [len(folder.read_repeats()) for folder in runs(old)] == [1, 1, 0]
        assert repeat(old, ["spread"], registry, draws=2)[1]["seeds"].tolist() == [3]


class TestRunsThatCannotBeDrawn:
    def test_are_skipped_with_the_reason(self, old: Path, registry: Registry, messages: Messages) -> None:
        """A damaged run is reported, and the noise is that of the others."""
        lines: list[str] = []
        damaged = runs(old)[0].path
        (damaged / "repeats.csv").write_text("draw\n1\n", encoding="utf-8")
        outcome, frame = repeat(old, ["spread"], registry, draws=2, log=lines.append)
        assert (outcome.exit_code, frame["seeds"].tolist()) == (1, [2])
        (line,) = (line for line in lines if "repeats.csv" in line)
        messages.check(line, "seed 0: ", f"{damaged / 'repeats.csv'}:2", hide={damaged.name: "RUN"})

    def test_by_a_metric_that_fails_have_no_value(self, old: Path, registry: Registry, messages: Messages) -> None:
        """A failed draw has no stored value, so that it is repeated by the next call."""
        lines: list[str] = []
        outcome, frame = repeat(old, ["half", "spread"], registry, draws=2, log=lines.append)
        assert outcome.exit_code == 1 and frame["metric"].tolist() == ["spread"]
        messages.check(lines[-1], "seed 2: ", "half", "ArithmeticError: worn out")

    def test_are_an_error_without_finished_runs(self, old: Path, registry: Registry, messages: Messages) -> None:
        """Without a finished run no file is written."""
        for folder in runs(old):
            project.write_record(folder.path, project.record(folder.path) | {"status": "interrupted", "iteration": 20})
        with messages.raises(StoreError, old):
            repeat(old, ["modes"], registry, draws=2)
        assert not (old / FILE).exists()


class TestWrongUse:
    @pytest.mark.parametrize("draws", [1, 0, -3])
    def test_fewer_than_two_draws(self, old: Path, registry: Registry, draws: int, messages: Messages) -> None:
        """The standard deviation of a single draw is undefined."""
        with messages.raises(UsageError, "repeats", draws):
            repeat(old, ["modes"], registry, draws=draws)

    def test_a_metric_of_more_samples_than_are_drawn(self, old: Path, registry: Registry, messages: Messages) -> None:
        """The error has both numbers and the remedy, with which the metric is computed."""
        with messages.raises(UsageError, "many on ring8", "1,000", 200, "--samples"):
            repeat(old, ["many"], registry, draws=2)
        assert repeat(old, ["many"], registry, draws=2, samples=1000)[1]["n"].tolist() == [1000]


def test_from_python(old: Path, registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """`gan_bench.evaluate` with repeats returns the noise."""
    frame = gan_bench.evaluate(old, ["modes"], repeats=2, registry=registry, progress=False)
    assert (old / FILE).exists() and frame["metric"].tolist() == ["modes"]
    assert capsys.readouterr() == ("", "")
