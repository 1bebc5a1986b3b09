"""`gan-bench sample`: what it draws from a run, what it writes, and what it answers."""

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
    """A folder with the results of two models, on the ring and on grey squares."""
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
    """Call `gan-bench sample` in this process, in an empty folder beside the results and the plugins."""
    for name in ("results", "plugins"):
        (tmp_path / name).symlink_to(ran / name)
    monkeypatch.chdir(tmp_path)
    return project.caller(monkeypatch, capfd, "sample")


def stored(ran: Path, benchmark: str, plugin: str) -> gan_bench.StoredModel:
    """A run's model, from Python."""
    (run,) = ran.glob(f"results/{benchmark}/runs/*-{plugin}-*")
    return gan_bench.load_run(run)


class TestDraws:
    def test_one_generator_of_a_model(self, call: project.Call) -> None:
        """The samples that `StoredModel.sample` draws; the file that was written is the whole of standard output."""
        said = call("results/tiny", "--model", "mgan", "--generator", "2", "--count", "50", "--out", "a.npz")
        assert (said.code, said.out) == (0, "a.npz\n")
        assert "a plugin prints" in said.err
        assert "three of them, seed 0, iteration 30: drawing 50 samples of generator 2" in said.err
        read, expected = read_samples("a.npz"), stored(Path(), "tiny", "mgan").sample(50, generator=2)
        np.testing.assert_array_equal(read.x, expected.x)
        assert read.generator is not None and read.generator.tolist() == [2] * 50

    def test_the_mixture(self, call: project.Call) -> None:
        """Each generator its share."""
        call("results/tiny", "--model", "three of them", "--count", "9", "--out", "a.npz")
        generator = read_samples("a.npz").generator
        assert generator is not None and np.bincount(generator).tolist() == [3, 3, 3]

    def test_others_with_another_draw_seed(self, call: project.Call) -> None:
        """And the same with the same one; a file that is there is replaced."""
        drawn = []
        for seed in ("1", "1", "2"):
            call("results/tiny", "--model", "gan", "--count", "5", "--out", "a.npy", "--draw-seed", seed)
            drawn.append(np.load("a.npy", allow_pickle=False))
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert drawn[0].shape == (5, 2) and not np.array_equal(drawn[0], drawn[2])

    def test_from_a_run_folder(self, call: project.Call, ran: Path) -> None:
        """Of which there is nothing to choose."""
        (run,) = ran.glob("results/tiny/runs/*-gan-*")
        assert call(str(run), "--out", "a.npz").code == 0
        np.testing.assert_array_equal(read_samples("a.npz").x, gan_bench.load_run(run).sample(64).x)


class TestImages:
    def test_are_one_picture(self, call: project.Call) -> None:
        """Named after the run: 3 rows of 3 for 9 images of 8 × 8 of three generators, a pixel and three between."""
        said = call("results/images", "--model", "mgan", "--count", "9", "--draw-seed", "4")
        assert said.out == "three_of_them-seed0-draw4.png\n"
        page = (imread(said.out.strip()) * 255).round()
        assert page.shape == (3 * 8 + 2 * 3, 3 * 8 + 2)
        drawn = stored(Path(), "images", "mgan").sample(9, seed=4)
        assert drawn.generator is not None
        first = np.asarray(drawn.x)[drawn.generator == 1][0, 0]
        np.testing.assert_array_equal(page[11:19, :8], first)

    def test_are_a_file_each(self, call: project.Call) -> None:
        """In a folder, with the generator's number."""
        assert call("results/images", "--model", "mgan", "--generator", "1", "--count", "2", "--out", "a/").out == "a\n"
        assert sorted(path.name for path in Path("a").iterdir()) == ["00000-g1.png", "00001-g1.png"]

    def test_are_levels_in_an_array(self, call: project.Call) -> None:
        """As `gan-bench score` reads them."""
        call("results/images", "--model", "mgan", "--count", "6", "--out", "a.npz")
        assert (read_samples("a.npz").x.dtype, read_samples("a.npz").x.shape) == (np.uint8, (6, 1, 8, 8))

    def test_of_real_data_are_as_many_as_there_are(self, call: project.Call) -> None:
        """And without generators."""
        assert call("results/images", "--model", "real-data", "--count", "30", "--out", "a.npz").code == 0
        assert read_samples("a.npz").generator is None
        said = call("results/images", "--model", "real-data", "--count", "31", "--out", "a.npz")
        assert said.code == 2 and "n is 31; there are 30 held-out samples" in said.err

    def test_are_told_of_while_they_are_drawn(self, call: project.Call, monkeypatch: pytest.MonkeyPatch) -> None:
        """How many there are, where it takes long."""
        monkeypatch.setattr(sample, "OFTEN", 0.0)
        monkeypatch.setattr(evaluation, "LARGEST_PART", 4 * 64)
        said = call("results/images", "--model", "gan", "--count", "10", "--out", "a.png")
        assert [line for line in said.err.splitlines() if " of 10" in line] == ["4 of 10", "8 of 10"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results/tiny"], "results/tiny: choose a model. Known: gan, three of them."),
        (["results/tiny", "--model", "gna"], "no model is called 'gna'; did you mean 'gan'?"),
        (["results/tiny", "--model", "mgan", "--generator", "3"], "generator is 3; this model has 0 to 2."),
        (["results/tiny", "--model", "mgan", "--count", "0"], "0 is not in the range x>=1"),
        (["results/tiny", "--model", "gan", "--seed", "5"], "there is no run of seed 5"),
        (["results/tiny", "--model", "gan", "--device", "tpu"], "--device tpu: it is auto, cpu or cuda."),
        (["results/tiny", "--model", "gan", "--out", "a.png"], "a.png: these samples are not images"),
        (["results/tiny", "--model", "gan", "--out", "a.jpg"], "a.jpg: .jpg is not supported."),
        (["results/tiny", "--model", "gan", "--out", "results"], "results: the folder is not empty."),
        (["results/tyni", "--model", "gan"], "results/tyni: no such results folder or file. "),
    ],
)
def test_wrong_use_is_one_message_and_code_2(call: project.Call, arguments: list[str], message: str) -> None:
    """It says what was found and what is allowed, and nothing is written."""
    said = call(*arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err and "Traceback" not in said.err
    assert sorted(path.name for path in Path().iterdir()) == ["plugins", "results"]


def test_samples_that_are_not_finite_are_not_written(call: project.Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that diverged has no pictures."""
    import torch

    from gan_bench.training.trainer import Trainer

    load = Trainer.load_state_dict

    def broken(self: Trainer, state: dict[str, object]) -> None:
        load(self, state)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.fill_(float("nan"))

    monkeypatch.setattr(Trainer, "load_state_dict", broken)
    said = call("results/images", "--model", "gan", "--out", "a.png")
    assert said.code == 2 and "its samples are not finite, and nothing was written" in said.err
    assert not Path("a.png").exists()


def test_a_run_without_a_checkpoint_has_no_samples(call: project.Call, ran: Path, tmp_path: Path) -> None:
    """The message says what to do."""
    import shutil

    (run,) = ran.glob("results/tiny/runs/*-gan-*")
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    for checkpoint in copy.glob("*.pt"):
        checkpoint.write_bytes(b"damaged")
    said = call("copy")
    assert said.code == 2 and "no usable checkpoint (checkpoint-30.pt, checkpoint-20.pt: damaged, or" in said.err
    for checkpoint in copy.glob("*.pt"):
        checkpoint.unlink()
    said = call("copy")
    assert said.code == 2 and "no usable checkpoint. Move" in said.err


def test_a_damaged_checkpoint_is_named(call: project.Call, ran: Path, tmp_path: Path) -> None:
    """The one before it is drawn from, and the exit code says that it is not what was asked for; in Python as well."""
    import shutil

    (run,) = ran.glob("results/tiny/runs/*-gan-*")
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "checkpoint-30.pt").write_bytes(b"damaged")
    said = call("copy", "--out", "a.npz")
    assert (said.code, said.out) == (1, "a.npz\n")
    assert "copy/checkpoint-30.pt is damaged, or of another run: the newest that can be used is" in said.err
    assert "iteration 20: drawing" in said.err
    told: list[str] = []
    assert gan_bench.load_run(copy, log=told.append).iteration == 20
    assert len(told) == 1 and "checkpoint-30.pt is damaged" in told[0]


def test_a_damaged_run_is_named(call: project.Call, ran: Path, tmp_path: Path) -> None:
    """Whichever is drawn from, it is not for want of a word that another was passed over."""
    import shutil

    copy = Path(shutil.copytree(ran / "results/tiny", tmp_path / "copy"))
    (run,) = copy.glob("runs/*-mgan-*")
    (run / "run.json").write_text("{", encoding="utf-8")
    said = call("copy", "--model", "gan", "--out", "b.npz")
    assert (said.code, said.out) == (0, "b.npz\n")
    assert said.err.startswith(f"ignored: runs/{run.name} (run.json")


def test_help_imports_no_torch() -> None:
    """It is there at once."""
    code = "import sys; from gan_bench.cli.sample import command; assert 'torch' not in sys.modules, 'torch'"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
