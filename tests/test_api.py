"""Promises of the Python API: run, evaluate, load_run and the public names."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gan_bench
from gan_bench.contracts.engine import Engine
from gan_bench.errors import ConfigError, PluginError, StoreError, UsageError
from gan_bench.running.engines import local
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.messages import Messages, plugin_lists


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of MGAN with K = 4, and of the anchors."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalEngine", project.InProcess)
        benchmark = project.describe([project.ZOO["mgan"]], evaluation={"anchors": True})
        frame = gan_bench.run(benchmark, results=folder, device="cpu", progress=False)
    assert isinstance(frame, pd.DataFrame)
    return folder


def folder_of(results: Path, plugin: str) -> Path:
    """Return the run folder of a model."""
    (folder,) = results.glob(f"tiny/runs/*-{plugin}-*")
    return folder


class TestRun:
    def test_returns_what_it_stored(self, results: Path) -> None:
        """The frame is that of `load_results`: tidy, with every row of the curve."""
        frame = gan_bench.load_results(results / "tiny")
        assert set(frame["label"]) == {"mgan", "real-data", "untrained"}
        curve = frame[(frame["label"] == "mgan") & (frame["metric"] == "modes")]
        assert curve["iteration"].tolist() == [0, 10, 15, 20, 30]
        assert isinstance(gan_bench.table(results / "tiny"), pd.DataFrame)

    def test_does_only_what_is_missing(self, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second call trains nothing and returns the same results."""
        benchmark = project.describe([project.ZOO["mgan"]], evaluation={"anchors": True})
        monkeypatch.setattr(local, "LocalEngine", NoEngine)
        again = gan_bench.run(benchmark, results=results, device="cpu", progress=False)
        pd.testing.assert_frame_equal(again, gan_bench.load_results(results / "tiny"))

    def test_leaves_the_mapping_as_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Overrides do not modify the caller's mapping."""
        monkeypatch.setattr(local, "LocalEngine", project.InProcess)
        benchmark = project.describe()
        gan_bench.run(
            benchmark, overrides=["protocol.iterations=4"], seeds="7,", results=tmp_path, device="cpu", progress=False
        )
        assert benchmark == project.describe()
        (folder,) = project.run_folders(tmp_path)
        assert (project.record(folder)["iteration"], project.record(folder)["seed"]) == (4, 7)

    def test_says_everything_that_is_wrong(self, tmp_path: Path, messages: Messages) -> None:
        """All problems of a mapping are reported at once, each with its place."""
        benchmark = project.describe([{"plugin": "mgna"}], protocol={"batch": 0}, evaluation={"evry": 1})
        with pytest.raises(ConfigError) as caught:
            gan_bench.run(benchmark, results=tmp_path)
        assert len(caught.value.problems) == 3
        messages.check(caught.value, "'mgna'", "'mgan'", "batch", "evry", hide=plugin_lists(caught.value))

    def test_that_is_interrupted_raises(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a notebook, Ctrl-C raises KeyboardInterrupt after the checkpoints are written."""
        monkeypatch.setattr(NoEngine, "result", False)
        monkeypatch.setattr(local, "LocalEngine", NoEngine)
        with pytest.raises(KeyboardInterrupt):
            gan_bench.run(project.describe(), results=tmp_path, device="cpu", progress=False)

    @pytest.mark.slow
    def test_needs_no_guard_in_a_script(self, tmp_path: Path) -> None:
        """A script without `if __name__ == "__main__"` runs once, with real workers."""
        script = tmp_path / "script.py"
        script.write_text(f"import gan_bench\nprint('once')\ngan_bench.run({project.describe()!r}, device='cpu')\n")
        done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "once\n"
        assert [project.record(folder)["status"] for folder in project.run_folders(tmp_path / "results")] == [
            "finished"
        ]


class NoEngine(Engine):
    """Engine that runs no job."""

    name = "local"
    result = True

    def run(self, jobs: Any) -> bool:
        assert not jobs or not self.result
        return self.result


class TestStoredModel:
    def test_samples_are_those_of_training(self, results: Path) -> None:
        """The final snapshot of the run is reproduced from its checkpoint, bit for bit."""
        from gan_bench.training.randomness import seed_of

        model = gan_bench.load_run(folder_of(results, "mgan"))
        assert (model.iteration, model.generators) == (30, 4)
        x, index = RunFolder(folder_of(results, "mgan")).read_samples()[30]
        drawn = model.sample(200, seed=seed_of(0, "evaluation", 30))
        np.testing.assert_array_equal(drawn.x, x)
        np.testing.assert_array_equal(drawn.generator, index)

    def test_same_seed_same_samples(self, results: Path) -> None:
        """A draw depends on its seed only, not on earlier draws by this or another object."""
        model = gan_bench.load_run(folder_of(results, "mgan"))
        first = model.sample(50, seed=3)
        model.sample(10)
        np.testing.assert_array_equal(model.sample(50, seed=3).x, first.x)
        np.testing.assert_array_equal(gan_bench.load_run(folder_of(results, "mgan")).sample(50, seed=3).x, first.x)
        assert not np.array_equal(model.sample(50, seed=4).x, first.x)
        assert (first.x.shape, first.x.dtype) == ((50, 2), np.float32)

    def test_one_generator_can_be_asked(self, results: Path) -> None:
        """All samples are from the requested generator, and generators differ."""
        model = gan_bench.load_run(folder_of(results, "mgan"))
        draws = [model.sample(20, generator=k, seed=1) for k in range(4)]
        for k, drawn in enumerate(draws):
            assert drawn.generator is not None
            assert drawn.generator.tolist() == [k] * 20
        assert len({drawn.x.tobytes() for drawn in draws}) == 4

    def test_the_mixture_gives_each_its_share(self, results: Path) -> None:
        """10 samples of 4 equal generators are 3, 3, 2 and 2 in some order."""
        drawn = gan_bench.load_run(folder_of(results, "mgan")).sample(10)
        assert drawn.generator is not None
        assert sorted(np.bincount(drawn.generator, minlength=4).tolist()) == [2, 2, 3, 3]

    def test_anchors_can_be_drawn_from(self, results: Path) -> None:
        """Real data have no generator index."""
        drawn = gan_bench.load_run(folder_of(results, "real-data")).sample(10)
        assert drawn.generator is None
        assert drawn.x.shape == (10, 2)

    @pytest.mark.parametrize(
        ("arguments", "wrong"),
        [
            ({"n": 0}, "n"),
            ({"n": 5, "generator": 4}, "generator"),
            ({"n": 5, "generator": -1}, "generator"),
            ({"n": 5, "seed": -1}, "seed"),
            ({"n": 5, "seed": 2**63}, "seed"),
        ],
    )
    def test_impossible_draws_are_refused(
        self, results: Path, arguments: dict[str, int], wrong: str, messages: Messages
    ) -> None:
        """The error gives the argument and its value."""
        with messages.raises(UsageError, wrong, arguments[wrong]):
            gan_bench.load_run(folder_of(results, "mgan")).sample(**arguments)

    def test_the_global_stream_is_left_alone(self, results: Path) -> None:
        """The global random state is not changed by loading and drawing."""
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        gan_bench.load_run(folder_of(results, "mgan")).sample(10)
        assert torch.equal(torch.rand(3), expected)


class TestLoadRun:
    def copy(self, results: Path, to: Path) -> Path:
        import shutil

        return Path(shutil.copytree(folder_of(results, "mgan"), to / "run"))

    def test_needs_a_run(self, tmp_path: Path, messages: Messages) -> None:
        """A folder without a run is reported."""
        with messages.raises(StoreError, tmp_path, "run.json"):
            gan_bench.load_run(tmp_path)

    def test_goes_where_its_folder_goes(self, results: Path, tmp_path: Path) -> None:
        """A copied run folder can be loaded."""
        assert gan_bench.load_run(self.copy(results, tmp_path)).sample(5).x.shape == (5, 2)

    @pytest.mark.parametrize(
        ("spoil", "error", "wrong"),
        [
            (lambda f, r: [p.unlink() for p in f.checkpoints()], StoreError, "checkpoint"),
            (lambda f, r: [p.write_bytes(b"x") for p in f.checkpoints()], StoreError, "checkpoint"),
            (lambda f, r: f.write(r | {"protocol": r["protocol"] | {"latent_size": 9}}), StoreError, "checkpoint"),
            (lambda f, r: f.write(r | {"protocol": r["protocol"] | {"nope": 9}}), StoreError, "protocol.nope"),
            (lambda f, r: f.write(r | {"model": {"plugin": "mgan", "params": {"k": 1}}}), StoreError, "'k'"),
            (lambda f, r: f.write({k: v for k, v in r.items() if k != "seed"}), StoreError, "seed"),
            (lambda f, r: f.write(r | {"model": {"plugin": "mgna", "params": {}}}), PluginError, "'mgan'"),
        ],
    )
    def test_says_what_does_not_fit(
        self,
        results: Path,
        tmp_path: Path,
        spoil: Callable[..., Any],
        error: type[Exception],
        wrong: str,
        messages: Messages,
    ) -> None:
        """The error describes what is wrong with the folder."""
        folder = RunFolder(self.copy(results, tmp_path))
        spoil(folder, project.record(folder.path))
        with pytest.raises(error) as caught:
            gan_bench.load_run(folder.path)
        causes = (
            {str(caught.value.__cause__): "CAUSE"}
            if isinstance(caught.value.__cause__, RuntimeError | TypeError)
            else {}
        )
        messages.check(caught.value, wrong, hide=plugin_lists(caught.value) | causes)


def test_names_are_found_where_they_are_promised(messages: Messages) -> None:
    """Every public name of `gan_bench` can be imported, and no other name."""
    for name in gan_bench.__all__:
        assert getattr(gan_bench, name) is not None
    with messages.raises(AttributeError, "'nothing'"):
        _ = gan_bench.nothing


def test_type_checkers_see_every_public_name() -> None:
    """The names imported on first use are those that mypy sees, from the same modules."""
    tree = ast.parse(Path(gan_bench.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    told = {alias.name: node.module for node in imports for alias in node.names if node.module != "__future__"}
    assert told == gan_bench._HOMES
    assert all(getattr(gan_bench, name) is not None for name in gan_bench.__all__)
