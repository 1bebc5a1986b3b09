"""Metrics that are new, for runs that are old: what a run with them from the start holds, and nothing is lost."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from gan_bench_zoo.metrics.modes import Modes
from gan_bench_zoo.models.gan import GAN

import gan_bench
from gan_bench.contracts.metric import Samples
from gan_bench.contracts.observer import Observer
from gan_bench.errors import PluginError, StoreError, UsageError
from gan_bench.files import locked
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Registry
from gan_bench.report.tables.build import render
from gan_bench.results.load import write_results_csv
from gan_bench.running import run_benchmark
from gan_bench.running.engines import local
from gan_bench.running.finished_runs import RescoreOutcome
from gan_bench.running.rescore import rescore
from gan_bench.store.checkpoints import save_checkpoints
from gan_bench.store.run_folder import RunFolder
from tests.support import project

NEW = '''
import numpy as np
from gan_bench import Metric, hookimpl


class Spread(Metric):
    """Standard deviation of a part of the samples, drawn at random."""
    name = "spread"
    direction = "higher"
    unit = "data units"
    expensive = True

    def compute(self, samples):
        return samples.x[np.random.default_rng(samples.seed).permutation(len(samples))[:100]].std()


class Reach(Metric):
    """How far each generator reaches."""
    name = "reach"
    direction = "none"
    unit = "data units"
    per_generator = True

    def compute(self, samples):
        return np.array([abs(samples.x[samples.generator == k]).max() for k in range(samples.generators)])


class Failing(Metric):
    """Raises."""
    name = "failing"
    direction = "lower"
    unit = ""

    def compute(self, samples):
        raise ArithmeticError("uncountable")


class Picky(Metric):
    """Fits nothing."""
    name = "picky"
    direction = "lower"
    unit = ""

    def refuses(self, dataset):
        return f"it is not for {dataset.name}"

    def compute(self, samples):
        return 0.0


@hookimpl
def gan_bench_metrics():
    return [Spread, Reach, Failing, Picky]
'''
MODELS = [project.ZOO["gan"], project.ZOO["mgan"]]


def run_jobs(folder: Path, **plugins: str) -> Path:
    """Run the tiny benchmark of two models; its results folder."""
    metrics = [*project.METRICS, *(["spread", "reach"] if plugins else [])]
    source = project.write(folder, project.describe(MODELS, evaluation={"metrics": metrics}), **plugins)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalEngine", project.InProcess)
        run_benchmark.run(project.plan(source, folder / "results"), Observer())
    return folder / "results" / "tiny"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a GAN and an MGAN, who know nothing of the new metrics."""
    return run_jobs(tmp_path_factory.mktemp("made"))


@pytest.fixture
def old(made: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "old" / "tiny"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The zoo, and a file that came later."""
    file = tmp_path_factory.mktemp("plugins") / "new.py"
    file.write_text(NEW, encoding="utf-8")
    return load_plugins([file])


def folder_of(results: Path, plugin: str) -> RunFolder:
    """The run of a model."""
    (folder,) = results.glob(f"runs/*-{plugin}-*")
    return RunFolder(folder)


def final(results: Path, plugin: str) -> list[tuple[str, ...]]:
    """What a run holds at its last iteration, in no particular order."""
    rows = folder_of(results, plugin).read_curve()
    return sorted(tuple(row.values()) for row in rows if row["iteration"] == str(project.ITERATIONS))


def values(results: Path, metric: str, plugin: str = "gan") -> list[str]:
    """The mixture's values of one metric at the last iteration of a run."""
    return [value for _, k, name, value, *_ in final(results, plugin) if name == metric and not k]


def content(results: Path) -> dict[str, bytes]:
    """Every file of a results folder."""
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.is_file()}


class TestClasses:
    def test_are_told_of_runs_that_never_were_asked(self, old: Path, registry: Registry) -> None:
        """By a metric that they have: the shares are those of the last evaluation, and the scores stay as they are."""
        before, curve = folder_of(old, "mgan").read_classes(), final(old, "mgan")
        for plugin in ("gan", "mgan"):
            (folder_of(old, plugin).path / "classes.csv").unlink()
        assert rescore(old, ["symmetric_kl"], registry).scored == 2
        assert folder_of(old, "mgan").read_classes() == []
        assert rescore(old, ["modes"], registry).scored == 2
        last = str(project.ITERATIONS)
        assert folder_of(old, "mgan").read_classes() == [row for row in before if row["iteration"] == last]
        assert final(old, "mgan") == curve
        assert sorted(gan_bench.load_classes(old)["model"].unique()) == ["gan", "mgan"]
        assert (old / "classes.csv").is_file()

    def test_that_are_damaged_cost_a_run_nothing(self, old: Path, registry: Registry) -> None:
        """It is skipped, with what to do."""
        file = folder_of(old, "gan").path / "classes.csv"
        file.write_text("iteration\nx\n", encoding="utf-8")
        lines: list[str] = []
        outcome = rescore(old, ["high_quality"], registry, log=lines.append)
        assert (outcome.scored, outcome.unusable) == (1, 1)
        assert any("classes.csv:2 is no row of shares of classes. Remove it" in line for line in lines)
        assert file.read_text(encoding="utf-8") == "iteration\nx\n"


class TestScores:
    def test_equal_those_of_a_run_that_had_the_metric_from_the_start(
        self, old: Path, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For the mixture and for each generator, to the last bit; and the table is the same."""
        whole = run_jobs(tmp_path / "whole", new=NEW)
        monkeypatch.setattr("gan_bench.training.trainer.Trainer.iterate", lambda self: 1 / 0)
        outcome = rescore(old, ["spread", "reach"], registry)
        assert (outcome.scored, outcome.added, outcome.exit_code) == (2, ("spread", "reach"), 0)
        for plugin in ("gan", "mgan"):
            assert final(old, plugin) == final(whole, plugin)
            records = [project.record(folder_of(results, plugin).path) for results in (old, whole)]
            assert records[0]["metrics"] == records[1]["metrics"]
            assert records[0]["key"] == records[1]["key"]
        shown = [
            [line.rsplit("|", 2)[0] for line in render(results).splitlines() if line.startswith("|")]  # without seconds
            for results in (old, whole)
        ]
        assert shown[0] == shown[1]
        assert "spread ↑ (data units)" in shown[0][0]

    def test_are_computed_once(self, old: Path, registry: Registry) -> None:
        """A second call changes no byte of any file."""
        rescore(old, ["spread", "modes"], registry)
        before = content(old)
        outcome = rescore(old, ["spread", "modes"], registry)
        assert (outcome.scored, outcome.added) == (2, ())
        assert content(old) == before

    def test_leave_nothing_to_run(self, old: Path, tmp_path: Path, registry: Registry) -> None:
        """`gan-bench run` has nothing to do, whether or not its file asks for the metric by now."""
        rescore(old, ["spread"], registry)
        for metrics in (project.METRICS, [*project.METRICS, "spread"]):
            described = project.describe(MODELS, evaluation={"metrics": list(metrics)})
            source = project.write(tmp_path, described, new=NEW)
            assert project.plan(source, old.parent).todo == []

    def test_outlive_the_next_run(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run that goes on for yet another metric keeps scores, errors and where they came from."""
        monkeypatch.setattr(local, "LocalEngine", project.InProcess)
        rescore(old, ["spread", "failing"], registry)
        before = project.record(folder_of(old, "gan").path)
        described = project.describe(MODELS, evaluation={"metrics": [*project.METRICS, "purity"]})
        run_benchmark.run(project.plan(described, old.parent), Observer())
        after = project.record(folder_of(old, "gan").path)
        assert values(old, "purity") and len(values(old, "spread")) == 1
        assert (after["rescored"], after["metric_errors"]) == (before["rescored"], before["metric_errors"])
        assert after["metrics"].keys() == {*before["metrics"], "purity"}
        assert rescore(old, ["spread"], registry).added == ("spread",)

    def test_of_another_number_of_samples_stand_beside(self, old: Path, registry: Registry) -> None:
        """The table goes on to show the benchmark's number; of a new metric what there is, with a note."""
        before = render(old)
        rescore(old, ["modes"], registry, samples=77)
        assert {row[4] for row in final(old, "gan") if row[2] == "modes"} == {"77", "200"}
        assert render(old) == before
        rescore(old, ["spread"], registry, samples=150)
        assert re.search(r"^- spread: .* 150 samples\.$", render(old), re.MULTILINE)

    def test_of_a_newer_version_are_shown_instead(
        self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A metric whose version was raised is computed again, and its old values no longer show."""
        monkeypatch.setattr(Modes, "version", Modes.version + 1)
        monkeypatch.setattr(Modes, "compute", lambda self, samples: 5.0)
        outcome = rescore(old, ["modes"], registry)
        assert (outcome.scored, outcome.added) == (2, ())
        assert values(old, "modes")[-1] == "5.0"
        assert gan_bench.table(old)["modes"].tolist() == [5.0, 5.0]

    def test_are_of_the_models_that_were_named(self, old: Path, registry: Registry) -> None:
        """Other runs are not touched."""
        before = content(folder_of(old, "gan").path)
        assert rescore(old, ["spread"], registry, models=["mgan"]).scored == 1
        assert values(old, "spread", "mgan") and content(folder_of(old, "gan").path) == before

    def test_say_where_they_came_from(self, old: Path, registry: Registry) -> None:
        """The run's record holds when and by which code they were computed."""
        rescore(old, ["spread", "modes"], registry)
        (entry,) = project.record(folder_of(old, "gan").path)["rescored"]
        assert entry["metrics"]["spread"]["origin"] == "new.py" and len(entry["metrics"]["spread"]["code"]) == 64
        assert (entry["samples"], list(entry["metrics"])) == (200, ["spread"])  # modes were there already

    def test_leave_threads_and_streams_alone(self, old: Path, registry: Registry) -> None:
        """The caller's number of threads and random numbers are what they were."""
        before = torch.get_num_threads()
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        rescore(old, ["spread"], registry)
        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == before


class TestFromPython:
    def test_returns_all_results(self, old: Path, registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
        """The frame is that of `load_results`, with the new metric in it; lines about runs can be left out."""
        frame = gan_bench.evaluate(old, ["spread"], registry=registry, progress=False)
        assert set(frame.loc[frame["metric"] == "spread", "label"]) == {"gan", "mgan"}
        assert len(frame) == len(gan_bench.load_results(old))
        assert capsys.readouterr() == ("", "")
        gan_bench.evaluate(old, ["spread"], registry=registry)
        assert "[2/2] mgan on ring8, seed 0: nothing to do" in capsys.readouterr().err

    def test_raises_what_interrupted_it(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C stays Ctrl-C."""
        monkeypatch.setattr("gan_bench.running.rescore.evaluate", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            gan_bench.evaluate(old, ["high_quality"], progress=False)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class TestFailingMetric:
    def test_costs_only_itself(self, old: Path, registry: Registry) -> None:
        """It is NaN with its error on record, as in a run; the metric beside it is scored."""
        lines: list[str] = []
        outcome = rescore(old, ["failing", "spread"], registry, log=lines.append)
        assert outcome.exit_code == 1
        assert values(old, "failing") == ["nan"] and values(old, "spread") != ["nan"]
        errors = project.record(folder_of(old, "gan").path)["metric_errors"]
        assert errors == {"failing": "ArithmeticError: uncountable"}
        assert lines[0].startswith("[1/2] gan on ring8, seed 0: failing failed (ArithmeticError: uncountable), spread ")

    def test_that_fails_again_writes_nothing(self, old: Path, registry: Registry) -> None:
        """Only what changed is written."""
        rescore(old, ["failing"], registry)
        before = content(old)
        assert rescore(old, ["failing"], registry).exit_code == 1
        assert content(old) == before

    def test_is_tried_again_and_forgiven(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once its code is mended, the value takes the place of the NaN."""
        rescore(old, ["failing"], registry)
        monkeypatch.setattr(registry.get("metrics", "failing"), "compute", lambda self, samples: 2.5)
        assert rescore(old, ["failing"], registry).exit_code == 0
        assert values(old, "failing") == ["2.5"]
        assert project.record(folder_of(old, "gan").path)["metric_errors"] == {}

    def test_that_refuses_the_dataset_is_said_to(self, old: Path, registry: Registry) -> None:
        """Once for all runs; it gets no column."""
        lines: list[str] = []
        outcome = rescore(old, ["picky", "spread"], registry, log=lines.append)
        assert lines.count("picky is not computed on ring8: it is not for ring8") == 1
        assert (outcome.added, outcome.exit_code) == (("spread",), 0)

    def test_that_is_refused_everywhere_is_wrong_use(self, old: Path, registry: Registry) -> None:
        """Nothing is written."""
        before = content(old)
        with pytest.raises(UsageError, match=r"No metric fits these runs\. picky on ring8: it is not for ring8\.$"):
            rescore(old, ["picky"], registry)
        assert content(old) == before


def shorter(folder: RunFolder) -> None:
    """The last checkpoint is damaged; the one before is of iteration 20."""
    folder.checkpoints()[0].write_bytes(b"x")


def of_status(status: str) -> Callable[[RunFolder], None]:
    """The run ended otherwise."""
    return lambda folder: project.write_record(
        folder.path, project.record(folder.path) | {"status": status, "iteration": 20}
    )


def of_another_model(folder: RunFolder) -> None:
    """The model's plugin is gone."""
    record = project.record(folder.path)
    project.write_record(folder.path, record | {"model": record["model"] | {"plugin": "gna"}})


def of_other_size(folder: RunFolder) -> None:
    """The network's code builds another network."""
    record = project.record(folder.path)
    project.write_record(folder.path, record | {"protocol": record["protocol"] | {"network_params": {"hidden": 9}}})


def not_finite(folder: RunFolder) -> None:
    """The checkpoint's parameters are NaN."""
    state, _ = folder.load_checkpoint(project.record(folder.path)["key"])
    assert state is not None
    for value in state["trainer"]["model"].values():
        value.fill_(float("nan"))
    save_checkpoints({folder.path: state})
    (folder.path / "samples.npz").unlink()


class TestRunsThatCannotBeScored:
    @pytest.mark.parametrize(
        ("spoil", "reason", "code"),
        [
            (of_status("diverged"), "skipped: diverged at iteration 20", 0),
            (of_status("failed"), "skipped: failed at iteration 20; `gan-bench run` goes on with it", 0),
            (of_status("interrupted"), "skipped: interrupted at iteration 20; `gan-bench run`", 0),
            (lambda folder: [path.unlink() for path in folder.checkpoints()], "no usable checkpoint", 1),
            (shorter, "newest usable checkpoint is of iteration 20, and the run ended at 30", 1),
            (of_another_model, "No model is called 'gna'; did you mean 'gan'?", 1),
            (of_other_size, "does not fit the model's code of today", 1),
            (not_finite, "is not finite at iteration 30", 1),
            (lambda folder: (folder.path / "samples.npz").write_bytes(b"x"), "samples.npz cannot be read", 1),
        ],
    )
    def test_are_skipped_with_the_reason(
        self, old: Path, registry: Registry, spoil: Callable[[RunFolder], Any], reason: str, code: int
    ) -> None:
        """They stay as they are, and the others are scored."""
        lines: list[str] = []
        spoil(folder_of(old, "gan"))
        before = content(folder_of(old, "gan").path)
        outcome = rescore(old, ["spread"], registry, log=lines.append)
        (line,) = (line for line in lines if line.startswith("[1/2] gan on ring8, seed 0: skipped"))
        assert reason in line
        assert (outcome.exit_code, outcome.scored) == (code, 1)
        assert content(folder_of(old, "gan").path) == before
        assert values(old, "spread", "mgan")

    def test_because_they_draw_other_samples_now(
        self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A checkpoint that still fits changed code is not scored under the old run's name."""
        lines: list[str] = []
        generate = GAN.generate
        monkeypatch.setattr(GAN, "generate", lambda self, z: 1.1 * generate(self, z))
        assert rescore(old, ["spread"], registry, log=lines.append).exit_code == 1
        assert "model, network or dataset has changed since: it draws other samples now" in lines[0]
        assert not values(old, "spread")

    def test_after_another_number_of_samples_was_scored_first(self, old: Path, registry: Registry) -> None:
        """The snapshot is known again whatever was scored since."""
        folder = folder_of(old, "gan")
        rescore(old, ["spread"], registry, samples=77)
        folder.write_curve(folder.read_curve()[::-1])
        assert rescore(old, ["spread"], registry).scored == 2
        assert len(values(old, "spread")) == 2

    def test_as_they_were_drawn_say_so(self, old: Path, registry: Registry) -> None:
        """A run of another kind of device has other random numbers: its scores are of new samples, and it is said."""
        folder, lines = folder_of(old, "gan"), list[str]()
        record = project.record(folder.path)
        project.write_record(folder.path, record | {"ledger": record["ledger"] | {"device": "Some GPU"}})
        if not torch.cuda.is_available():
            rescore(old, ["spread"], registry, log=lines.append)
            assert lines[0].endswith("(of other samples: the run was on another device)")


class TestInterrupted:
    def test_between_two_runs(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C keeps what is done, in the table too; the same call does the rest."""
        kind = registry.get("metrics", "spread")
        compute = kind.compute

        def second_time(self: Any, samples: Samples) -> Any:
            if samples.generators > 1:
                raise KeyboardInterrupt
            return compute(self, samples)

        monkeypatch.setattr(kind, "compute", second_time)
        outcome = rescore(old, ["spread"], registry)
        assert (outcome.interrupted, outcome.exit_code, outcome.scored) == (True, 130, 1)
        assert gan_bench.table(old)["spread"].notna().tolist() == [True, False]
        monkeypatch.setattr(kind, "compute", compute)
        assert rescore(old, ["spread"], registry).exit_code == 0
        assert gan_bench.table(old)["spread"].notna().all()

    @pytest.mark.parametrize("where", ["write", "write_curve"])
    def test_in_any_write(
        self, old: Path, made: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        """Killed at any file, the next call ends as an uninterrupted one."""
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, where, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                rescore(old, ["spread"], registry)
        assert final(old, "gan") == final(made, "gan")
        assert rescore(old, ["spread"], registry).scored == 2
        assert len(values(old, "spread")) == 1
        assert "spread" in project.record(folder_of(old, "gan").path)["metrics"]

    def test_before_the_tables(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scores that no table shows yet are shown after the next call."""
        with monkeypatch.context() as patch:
            patch.setattr("gan_bench.running.rescore.write_atomically", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                rescore(old, ["spread"], registry)
        assert "spread" not in (old / "table.md").read_text(encoding="utf-8")
        assert rescore(old, ["spread"], registry).added == ("spread",)
        assert "spread" in (old / "table.md").read_text(encoding="utf-8")


class TestWrongUse:
    @pytest.mark.parametrize(
        ("metrics", "options", "error", "message"),
        [
            (["modse"], {}, PluginError, "No metric is called 'modse'; did you mean 'modes'?"),
            ([], {}, UsageError, "No metric is named"),
            (["modes"], {"models": ["mgna"]}, UsageError, "no model is called 'mgna'; did you mean 'mgan'?"),
            (["modes"], {"samples": 0}, UsageError, "0 samples: it is at least 1"),
        ],
    )
    def test_is_said_before_anything_is_written(
        self,
        old: Path,
        registry: Registry,
        metrics: Sequence[str],
        options: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        """What is allowed is in the message."""
        before = content(old)
        with pytest.raises(error) as raised:
            rescore(old, metrics, registry, **options)
        assert message in str(raised.value)
        assert content(old) == before

    def test_of_a_folder_that_is_none(self, old: Path, tmp_path: Path, registry: Registry) -> None:
        """Results near by are named, and no folder is made."""
        with pytest.raises(StoreError, match="no such results folder"):
            rescore(tmp_path / "missing", ["modes"], registry)
        assert not (tmp_path / "missing").exists()
        with pytest.raises(StoreError, match=rf"{old.parent}: .*{old}"):
            rescore(old.parent, ["modes"], registry)

    def test_of_published_scores(self, old: Path, registry: Registry) -> None:
        """Scores without the runs behind them cannot be extended."""
        write_results_csv(old)
        shutil.rmtree(old / "runs")
        with pytest.raises(StoreError, match="holds scores, but no run folders"):
            rescore(old, ["modes"], registry)

    def test_of_a_folder_in_use(self, old: Path, registry: Registry) -> None:
        """A benchmark that runs is left alone."""
        with locked(old), pytest.raises(StoreError, match="is in use by another gan-bench"):
            rescore(old, ["spread"], registry)
        assert not values(old, "spread")

    def test_of_a_metric_that_cannot_be_made(
        self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What its constructor raises is one message."""
        monkeypatch.setattr(registry.get("metrics", "spread"), "__init__", lambda self: 1 / 0)
        with pytest.raises(PluginError, match="'spread' cannot be made: ZeroDivisionError"):
            rescore(old, ["spread"], registry)


def test_what_benchmark_json_said_is_kept(old: Path, registry: Registry) -> None:
    """Only the metric is added, with all that a table has to know of it."""
    before = json.loads((old / "benchmark.json").read_text(encoding="utf-8"))
    assert isinstance(rescore(old, ["spread"], registry), RescoreOutcome)
    after = json.loads((old / "benchmark.json").read_text(encoding="utf-8"))
    assert after["evaluation"].pop("metrics") == [*before["evaluation"].pop("metrics"), "spread"]
    facts = after["metrics"].pop("spread")
    assert (facts["direction"], facts["unit"], facts["expensive"]) == ("higher", "data units", True)
    assert facts["doc"] == "Standard deviation of a part of the samples, drawn at random."
    assert after == before
