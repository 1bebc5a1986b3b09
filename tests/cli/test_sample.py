"""Tests of `gan-bench sample`: samples of a run, the files that it writes, and its messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import gan_bench
from gan_bench.cli import sample
from gan_bench.evaluation import evaluate as evaluation
from gan_bench.evaluation.score_samples import read_samples
from gan_bench.running.engines import local
from tests.support import project
from tests.support.messages import Messages

GREYS = """
from tests.running.test_image_runs import Brightness
from tests.support.tiny_images import Flat, Greys
from gan_bench import hookimpl

@hookimpl
def gan_bench_datasets():
    print("a plugin prints")
    return [Greys]

@hookimpl
def gan_bench_networks():
    return [Flat]

@hookimpl
def gan_bench_metrics():
    return [Brightness]
"""
MODELS = [{"plugin": "mgan", "generators": 3, "label": "three of them"}, {"plugin": "gan"}]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with results of two models, on the ring and on grey squares."""
    folder = tmp_path_factory.mktemp("ran")
    images = project.describe(
        MODELS,
        name="images",
        dataset=[{"plugin": "greys"}],
        protocol={"network": {"plugin": "flat", "hidden": 8}},
        evaluation={"metrics": ["brightness"], "anchors": True},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(local, "LocalEngine", project.InProcess)
        points = project.write(folder, project.describe(MODELS), greys=GREYS)
        for benchmark in (points, images):
            gan_bench.run(benchmark, device="cpu", progress=False)
    return folder


@pytest.fixture
def call(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench sample` in this process, in a folder that contains only the results and the plugins."""
    for name in ("results", "plugins"):
        (tmp_path / name).symlink_to(ran / name)
    monkeypatch.chdir(tmp_path)
    return project.caller(monkeypatch, capfd, "sample")


def stored(ran: Path, benchmark: str, plugin: str) -> gan_bench.StoredModel:
    """Model of a run, loaded in Python."""
    (run,) = ran.glob(f"results/{benchmark}/runs/*-{plugin}-*")
    return gan_bench.load_run(run)


class TestDraws:
    def test_one_generator_of_a_model(self, call: project.Call, messages: Messages) -> None:
        """The samples are those of `StoredModel.sample`. Standard output has only the name of the file."""
        result = call("results/tiny", "--model", "mgan", "--generator", "2", "--count", "50", "--out", "a.npz")
        assert (result.code, result.out) == (0, "a.npz\n")
        assert "a plugin prints" in result.err
        messages.check(result.err.splitlines()[-1], "three of them", "seed 0", "iteration 30", "50", "generator 2")
        read, expected = read_samples("a.npz"), stored(Path(), "tiny", "mgan").sample(50, generator=2)
        np.testing.assert_array_equal(read.x, expected.x)
        assert read.generator is not None and read.generator.tolist() == [2] * 50

    def test_the_mixture(self, call: project.Call) -> None:
        """The mixture has samples of each generator in proportion to its weight."""
        call("results/tiny", "--model", "three of them", "--count", "9", "--out", "a.npz")
        generator = read_samples("a.npz").generator
        assert generator is not None and np.bincount(generator).tolist() == [3, 3, 3]

    def test_depend_on_the_draw_seed(self, call: project.Call) -> None:
        """Equal draw seeds give equal samples. An existing file is replaced."""
        drawn = []
        for seed in ("1", "1", "2"):
            call("results/tiny", "--model", "gan", "--count", "5", "--out", "a.npy", "--draw-seed", seed)
            drawn.append(np.load("a.npy", allow_pickle=False))
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert drawn[0].shape == (5, 2) and not np.array_equal(drawn[0], drawn[2])

    def test_from_a_run_folder(self, call: project.Call, ran: Path) -> None:
        (run,) = ran.glob("results/tiny/runs/*-gan-*")
        assert call(str(run), "--out", "a.npz").code == 0
        np.testing.assert_array_equal(read_samples("a.npz").x, gan_bench.load_run(run).sample(64).x)


class TestImages:
    def test_are_one_picture(self, call: project.Call) -> None:
        """9 images of three generators are 3 rows of 3, with gaps of 1 pixel and of 3 pixels between generators."""
        result = call("results/images", "--model", "mgan", "--count", "9", "--draw-seed", "4")
        assert result.out == "three_of_them-seed0-draw4.png\n"
        page = (imread(result.out.strip()) * 255).round()
        assert page.shape == (3 * 8 + 2 * 3, 3 * 8 + 2)
        drawn = stored(Path(), "images", "mgan").sample(9, seed=4)
        assert drawn.generator is not None
        first = np.asarray(drawn.x)[drawn.generator == 1][0, 0]
        np.testing.assert_array_equal(page[11:19, :8], first)

    def test_are_separate_files_in_a_folder(self, call: project.Call) -> None:
        """The name of each file contains the index of the generator."""
        assert call("results/images", "--model", "mgan", "--generator", "1", "--count", "2", "--out", "a/").out == "a\n"
        assert sorted(path.name for path in Path("a").iterdir()) == ["00000-g1.png", "00001-g1.png"]

    def test_are_levels_in_an_array(self, call: project.Call) -> None:
        """Arrays of images are uint8, as `gan-bench score` reads them."""
        call("results/images", "--model", "mgan", "--count", "6", "--out", "a.npz")
        assert (read_samples("a.npz").x.dtype, read_samples("a.npz").x.shape) == (np.uint8, (6, 1, 8, 8))

    def test_of_real_data_are_limited(self, call: project.Call) -> None:
        """There are no more samples of real data than held-out images, and they have no generators."""
        assert call("results/images", "--model", "real-data", "--count", "30", "--out", "a.npz").code == 0
        assert read_samples("a.npz").generator is None
        result = call("results/images", "--model", "real-data", "--count", "31", "--out", "a.npz")
        assert result.code == 2 and "31" in result.err and "30" in result.err

    def test_are_counted_while_they_are_drawn(self, call: project.Call, monkeypatch: pytest.MonkeyPatch) -> None:
        """A slow draw reports the number of samples."""
        monkeypatch.setattr(sample, "OFTEN", 0.0)
        monkeypatch.setattr(evaluation, "LARGEST_PART", 4 * 64)
        result = call("results/images", "--model", "gan", "--count", "10", "--out", "a.png")
        assert [line for line in result.err.splitlines() if " of 10" in line] == ["4 of 10", "8 of 10"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["results/tiny"], "gan, three of them"),
        (["results/tiny", "--model", "gna"], "'gna'"),
        (["results/tiny", "--model", "mgan", "--generator", "3"], "3"),
        (["results/tiny", "--model", "mgan", "--count", "0"], "0 is not in the range x>=1"),
        (["results/tiny", "--model", "gan", "--seed", "5"], "5"),
        (["results/tiny", "--model", "gan", "--device", "tpu"], "--device"),
        (["results/tiny", "--model", "gan", "--out", "a.png"], "PNG"),
        (["results/tiny", "--model", "gan", "--out", "a.jpg"], "a.jpg: "),
        (["results/tiny", "--model", "gan", "--out", "results"], "results: "),
        (["results/tyni", "--model", "gan"], "results/tyni"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_message_and_code_2(
    call: project.Call, arguments: list[str], part: str, messages: Messages
) -> None:
    """The message has the place, the value found and the values allowed. Nothing is written."""
    result = call(*arguments)
    assert (result.code, result.out) == (2, "")
    assert part in result.err and "Traceback" not in result.err
    if not result.err.startswith("Usage: "):  # the others are click's messages
        messages.check(result.err.splitlines()[-1])
    assert sorted(path.name for path in Path().iterdir()) == ["plugins", "results"]


def test_samples_that_are_not_finite_are_not_written(
    call: project.Call, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    """The message about samples that are not finite has the run, and no file is written."""
    import torch

    from gan_bench.training.trainer import Trainer

    load = Trainer.load_state_dict

    def broken(self: Trainer, state: dict[str, object]) -> None:
        load(self, state)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.fill_(float("nan"))

    monkeypatch.setattr(Trainer, "load_state_dict", broken)
    result = call("results/images", "--model", "gan", "--out", "a.png")
    assert result.code == 2
    (run,) = Path("results/images/runs").glob("*-gan-*")
    messages.check(result.err.splitlines()[-1], run, hide={str(run): "RUN"})
    assert not Path("a.png").exists()


def test_a_run_without_a_checkpoint_has_no_samples(call: project.Call, ran: Path, tmp_path: Path) -> None:
    """Damaged and missing checkpoints are errors."""
    import shutil

    (run,) = ran.glob("results/tiny/runs/*-gan-*")
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    for checkpoint in copy.glob("*.pt"):
        checkpoint.write_bytes(b"damaged")
    result = call("copy")
    assert result.code == 2 and "checkpoint-30.pt, checkpoint-20.pt" in result.err
    for checkpoint in copy.glob("*.pt"):
        checkpoint.unlink()
    result = call("copy")
    assert result.code == 2 and "copy: no usable checkpoint" in result.err


def test_a_damaged_checkpoint_is_reported(call: project.Call, ran: Path, tmp_path: Path, messages: Messages) -> None:
    """Samples are drawn from the checkpoint before it, with exit code 1. Python receives the same message."""
    import shutil

    (run,) = ran.glob("results/tiny/runs/*-gan-*")
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "checkpoint-30.pt").write_bytes(b"damaged")
    result = call("copy", "--out", "a.npz")
    assert (result.code, result.out) == (1, "a.npz\n")
    assert "copy/checkpoint-30.pt: " in result.err
    assert "iteration 20: drawing" in result.err
    lines: list[str] = []
    assert gan_bench.load_run(copy, log=lines.append).iteration == 20
    (line,) = lines
    messages.check(line, copy / "checkpoint-30.pt")


def test_a_damaged_run_is_reported(call: project.Call, ran: Path, tmp_path: Path) -> None:
    """A damaged run is reported even if samples are drawn from another one."""
    import shutil

    copy = Path(shutil.copytree(ran / "results/tiny", tmp_path / "copy"))
    (run,) = copy.glob("runs/*-mgan-*")
    (run / "run.json").write_text("{", encoding="utf-8")
    result = call("copy", "--model", "gan", "--out", "b.npz")
    assert (result.code, result.out) == (0, "b.npz\n")
    assert f"runs/{run.name} (run.json" in result.err.splitlines()[0]


def test_help_imports_no_torch() -> None:
    """The help is printed without importing torch."""
    code = "import sys; from gan_bench.cli.sample import command; assert 'torch' not in sys.modules, 'torch'"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
