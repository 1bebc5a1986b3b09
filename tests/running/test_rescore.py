"""Scores of stored runs by new metrics: equal to those of a run that had the metrics from the start."""

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
from gan_bench.running import rescore as rescore_module
from gan_bench.running import run_benchmark
from gan_bench.running.engines import local
from gan_bench.running.finished_runs import RescoreOutcome
from gan_bench.running.rescore import rescore
from gan_bench.store.checkpoints import save_checkpoints
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.messages import Messages

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
    """Largest absolute coordinate of each generator."""
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
    """Refuses every dataset."""
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
    """Run the tiny benchmark of two models; return its results folder."""
    metrics = [*project.METRICS, *(["spread", "reach"] if plugins else [])]
    source = project.write(folder, project.describe(MODELS, evaluation={"metrics": metrics}), **plugins)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalEngine", project.InProcess)
        run_benchmark.run(project.plan(source, folder / "results"), Observer())
    return folder / "results" / "tiny"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder of a GAN and an MGAN without the new metrics."""
    return run_jobs(tmp_path_factory.mktemp("made"))


@pytest.fixture
def old(made: Path, tmp_path: Path) -> Path:
    """Copy of the results folder that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "old" / "tiny"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Registry of the zoo and of the new metrics."""
    file = tmp_path_factory.mktemp("plugins") / "new.py"
    file.write_text(NEW, encoding="utf-8")
    return load_plugins([file])


def folder_of(results: Path, plugin: str) -> RunFolder:
    """Run folder of a model."""
    (folder,) = results.glob(f"runs/*-{plugin}-*")
    return RunFolder(folder)


def final(results: Path, plugin: str) -> list[tuple[str, ...]]:
    """Sorted rows of a run's curve at its last iteration."""
    rows = folder_of(results, plugin).read_curve()
    return sorted(tuple(row.values()) for row in rows if row["iteration"] == str(project.ITERATIONS))


def values(results: Path, metric: str, plugin: str = "gan") -> list[str]:
    """Values of a metric for the mixture at the last iteration of a run."""
    return [value for _, k, name, value, *_ in final(results, plugin) if name == metric and not k]


def long_list(message: str) -> dict[str, str]:
    """Long list of names in a message, which grows with the zoo, and its label."""
    found = re.search(r"(?<=: )[^:]*, … \(\d+ in all\)", message)
    return {found[0]: "…"} if found else {}


def content(results: Path) -> dict[str, bytes]:
    """Read every file of a results folder."""
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.is_file()}


class TestClasses:
    def test_are_added_to_runs_without_shares(self, old: Path, registry: Registry) -> None:
        """A metric that the runs have adds the shares of the last evaluation; the scores do not change."""
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

    def test_that_are_damaged_are_not_overwritten(self, old: Path, registry: Registry, messages: Messages) -> None:
        """The run is skipped with a message that gives the remedy."""
        file = folder_of(old, "gan").path / "classes.csv"
        file.write_text("iteration\nx\n", encoding="utf-8")
        lines: list[str] = []
        outcome = rescore(old, ["high_quality"], registry, log=lines.append)
        assert (outcome.scored, outcome.unusable) == (1, 1)
        (line,) = (line for line in lines if "classes.csv" in line)
        messages.check(line, "gan on ring8, seed 0: ", f"{file}:2", hide={file.parent.name: "RUN"})
        assert file.read_text(encoding="utf-8") == "iteration\nx\n"


class TestScores:
    def test_equal_those_of_a_run_that_had_the_metric_from_the_start(
        self, old: Path, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Scores of the mixture and of each generator are equal to the last bit, and the tables are equal."""
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
        """`gan-bench run` has nothing to do, whether or not its benchmark has the metric."""
        rescore(old, ["spread"], registry)
        for metrics in (project.METRICS, [*project.METRICS, "spread"]):
            described = project.describe(MODELS, evaluation={"metrics": list(metrics)})
            source = project.write(tmp_path, described, new=NEW)
            assert project.plan(source, old.parent).todo == []

    def test_are_kept_by_the_next_run(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run that resumes for a further metric keeps scores, errors and their provenance."""
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

    def test_of_another_number_of_samples_are_added(self, old: Path, registry: Registry, messages: Messages) -> None:
        """The table shows scores from the benchmark's number of samples; for a new metric, any number with a note."""
        before = render(old)
        rescore(old, ["modes"], registry, samples=77)
        assert {row[4] for row in final(old, "gan") if row[2] == "modes"} == {"77", "200"}
        assert render(old) == before
        rescore(old, ["spread"], registry, samples=150)
        (note,) = (line for line in render(old).splitlines() if line.startswith("- spread: "))
        messages.check(note, 150)

    def test_of_a_newer_version_are_shown_instead(
        self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A metric with an increased version is computed again, and the table no longer has its old values."""
        monkeypatch.setattr(Modes, "version", Modes.version + 1)
        monkeypatch.setattr(Modes, "compute", lambda self, samples: 5.0)
        outcome = rescore(old, ["modes"], registry)
        assert (outcome.scored, outcome.added) == (2, ())
        assert values(old, "modes")[-1] == "5.0"
        assert gan_bench.table(old)["modes"].tolist() == [5.0, 5.0]

    def test_are_computed_for_selected_models(self, old: Path, registry: Registry) -> None:
        """Runs of other models do not change."""
        before = content(folder_of(old, "gan").path)
        assert rescore(old, ["spread"], registry, models=["mgan"]).scored == 1
        assert values(old, "spread", "mgan") and content(folder_of(old, "gan").path) == before

    def test_have_provenance(self, old: Path, registry: Registry) -> None:
        """The run's record has the time and code of their computation."""
        rescore(old, ["spread", "modes"], registry)
        (entry,) = project.record(folder_of(old, "gan").path)["rescored"]
        assert entry["metrics"]["spread"]["origin"] == "new.py" and len(entry["metrics"]["spread"]["code"]) == 64
        assert (entry["samples"], list(entry["metrics"])) == (200, ["spread"])  # without modes, which had scores

    def test_do_not_change_threads_and_random_streams(self, old: Path, registry: Registry) -> None:
        """The caller's number of threads and random numbers do not change."""
        before = torch.get_num_threads()
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        rescore(old, ["spread"], registry)
        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == before


class TestFromPython:
    def test_returns_all_results(
        self, old: Path, registry: Registry, capsys: pytest.CaptureFixture[str], messages: Messages
    ) -> None:
        """The frame is that of `load_results`, with the new metric. `progress` controls the lines about runs."""
        frame = gan_bench.evaluate(old, ["spread"], registry=registry, progress=False)
        assert set(frame.loc[frame["metric"] == "spread", "label"]) == {"gan", "mgan"}
        assert len(frame) == len(gan_bench.load_results(old))
        assert capsys.readouterr() == ("", "")
        gan_bench.evaluate(old, ["spread"], registry=registry)
        messages.check(capsys.readouterr().err, "[2/2] mgan on ring8, seed 0: ")

    def test_raises_an_interruption(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C raises KeyboardInterrupt."""
        monkeypatch.setattr("gan_bench.running.rescore.evaluate", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            gan_bench.evaluate(old, ["high_quality"], progress=False)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class TestFailingMetric:
    def test_does_not_affect_others(self, old: Path, registry: Registry, messages: Messages) -> None:
        """Its score is NaN with its error in the record, as in a run; other metrics are scored."""
        lines: list[str] = []
        outcome = rescore(old, ["failing", "spread"], registry, log=lines.append)
        assert outcome.exit_code == 1
        assert values(old, "failing") == ["nan"] and values(old, "spread") != ["nan"]
        errors = project.record(folder_of(old, "gan").path)["metric_errors"]
        assert errors == {"failing": "ArithmeticError: uncountable"}
        spread = f"{float(values(old, 'spread')[0]):.4g}"
        messages.check(lines[0], "[1/2] gan on ring8, seed 0: ", "uncountable", spread, hide={spread: "VALUE"})

    def test_that_fails_again_writes_nothing(self, old: Path, registry: Registry) -> None:
        """The same failure changes no file."""
        rescore(old, ["failing"], registry)
        before = content(old)
        assert rescore(old, ["failing"], registry).exit_code == 1
        assert content(old) == before

    def test_is_computed_again(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a fix of its code, the value replaces NaN."""
        rescore(old, ["failing"], registry)
        monkeypatch.setattr(registry.get("metrics", "failing"), "compute", lambda self, samples: 2.5)
        assert rescore(old, ["failing"], registry).exit_code == 0
        assert values(old, "failing") == ["2.5"]
        assert project.record(folder_of(old, "gan").path)["metric_errors"] == {}

    def test_that_refuses_the_dataset_is_reported(self, old: Path, registry: Registry, messages: Messages) -> None:
        """It is reported once for all runs and has no column in the table."""
        lines: list[str] = []
        outcome = rescore(old, ["picky", "spread"], registry, log=lines.append)
        (line,) = (line for line in lines if "picky" in line)
        messages.check(line, "ring8", "it is not for ring8")
        assert (outcome.added, outcome.exit_code) == (("spread",), 0)

    def test_that_refuses_all_datasets_is_an_error(self, old: Path, registry: Registry, messages: Messages) -> None:
        """Nothing is written."""
        before = content(old)
        with messages.raises(UsageError, "picky on ring8: it is not for ring8"):
            rescore(old, ["picky"], registry)
        assert content(old) == before


def shorter(folder: RunFolder) -> None:
    """Damage the last checkpoint, so that the newest usable one is of iteration 20."""
    folder.checkpoints()[0].write_bytes(b"x")


def of_status(status: str) -> Callable[[RunFolder], None]:
    """Return a function that records that a run ended with this status at iteration 20."""
    return lambda folder: project.write_record(
        folder.path, project.record(folder.path) | {"status": status, "iteration": 20}
    )


def of_another_model(folder: RunFolder) -> None:
    """Record a model whose plugin does not exist."""
    record = project.record(folder.path)
    project.write_record(folder.path, record | {"model": record["model"] | {"plugin": "gna"}})


def of_other_size(folder: RunFolder) -> None:
    """Record parameters with which the code builds a network of another size."""
    record = project.record(folder.path)
    project.write_record(folder.path, record | {"protocol": record["protocol"] | {"network_params": {"hidden": 9}}})


def not_finite(folder: RunFolder) -> None:
    """Replace the parameters of the checkpoint by NaN."""
    state, _ = folder.load_checkpoint(project.record(folder.path)["key"])
    assert state is not None
    for value in state["trainer"]["model"].values():
        value.fill_(float("nan"))
    save_checkpoints({folder.path: state})
    (folder.path / "samples.npz").unlink()


class TestRunsThatCannotBeScored:
    @pytest.mark.parametrize(
        ("spoil", "part", "code"),
        [
            (of_status("diverged"), "diverged at iteration 20", 0),
            (of_status("failed"), "failed at iteration 20", 0),
            (of_status("interrupted"), "interrupted at iteration 20", 0),
            (lambda folder: [path.unlink() for path in folder.checkpoints()], "checkpoint", 1),
            (shorter, "20", 1),
            (of_another_model, "'gna'", 1),
            (of_other_size, "checkpoint", 1),
            (not_finite, "30", 1),
            (lambda folder: (folder.path / "samples.npz").write_bytes(b"x"), "samples.npz", 1),
        ],
        ids=["diverged", "failed", "interrupted", "empty", "shorter", "model", "size", "nan", "snapshot"],
    )
    def test_are_skipped_with_the_reason(
        self,
        old: Path,
        registry: Registry,
        spoil: Callable[[RunFolder], Any],
        part: str,
        code: int,
        messages: Messages,
    ) -> None:
        """Runs that cannot be scored do not change, and the others are scored."""
        lines: list[str] = []
        spoil(folder_of(old, "gan"))
        before = content(folder_of(old, "gan").path)
        outcome = rescore(old, ["spread"], registry, log=lines.append)
        (line,) = (line for line in lines if line.startswith("[1/2] gan on ring8, seed 0: skipped"))
        hidden = (
            {folder_of(old, "gan").path.name: "RUN"}
            | long_list(line)
            | dict.fromkeys(map(str, registry.places), "PLUGIN")
        )
        detail = line.partition(" (")[2].rpartition(")")[0]  # of other libraries
        messages.check(line, part, hide=hidden | ({detail: "…"} if detail and not long_list(line) else {}))
        assert (outcome.exit_code, outcome.scored) == (code, 1)
        assert content(folder_of(old, "gan").path) == before
        assert values(old, "spread", "mgan")

    def test_because_they_draw_other_samples_now(
        self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """A checkpoint that changed code can load, but not reproduce, is not scored."""
        lines: list[str] = []
        generate = GAN.generate
        monkeypatch.setattr(GAN, "generate", lambda self, z: 1.1 * generate(self, z))
        assert rescore(old, ["spread"], registry, log=lines.append).exit_code == 1
        messages.check(lines[0], "gan on ring8, seed 0: ")
        assert not values(old, "spread")

    def test_after_another_number_of_samples_was_scored_first(self, old: Path, registry: Registry) -> None:
        """The comparison with the snapshot uses the run's number of samples, also after scores from other numbers."""
        folder = folder_of(old, "gan")
        rescore(old, ["spread"], registry, samples=77)
        folder.write_curve(folder.read_curve()[::-1])
        project.write_record(folder.path, project.record(folder.path) | {"files": {}})
        assert rescore(old, ["spread"], registry).scored == 2
        assert len(values(old, "spread")) == 2

    def test_of_another_kind_of_device_are_scored_on_new_samples(
        self, old: Path, registry: Registry, messages: Messages
    ) -> None:
        """Random numbers differ between kinds of devices, and the message marks scores of new samples."""
        folder, lines = folder_of(old, "gan"), list[str]()
        record = project.record(folder.path)
        project.write_record(folder.path, record | {"ledger": record["ledger"] | {"device": "Some GPU"}})
        if not torch.cuda.is_available():
            rescore(old, ["spread"], registry, log=lines.append)
            spread = f"{float(values(old, 'spread')[0]):.4g}"
            messages.check(lines[0], "gan on ring8, seed 0: ", hide={spread: "VALUE"})


class TestInterrupted:
    def test_between_two_runs(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scores before Ctrl-C are in the table, and the same call computes the rest."""
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
        """After a kill during any write, the next call has the result of an uninterrupted one."""
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, where, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                rescore(old, ["spread"], registry)
        assert final(old, "gan") == final(made, "gan")
        assert rescore(old, ["spread"], registry).scored == 2
        assert len(values(old, "spread")) == 1
        assert "spread" in project.record(folder_of(old, "gan").path)["metrics"]

    def test_before_the_tables(self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scores that are not in the table after a kill are there after the next call."""
        with monkeypatch.context() as patch:
            patch.setattr("gan_bench.running.rescore.write_atomically", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                rescore(old, ["spread"], registry)
        assert "spread" not in (old / "table.md").read_text(encoding="utf-8")
        assert rescore(old, ["spread"], registry).added == ("spread",)
        assert "spread" in (old / "table.md").read_text(encoding="utf-8")


class TestWrongUse:
    @pytest.mark.parametrize(
        ("metrics", "options", "error", "parts"),
        [
            (["modse"], {}, PluginError, ["'modse'", "'modes'"]),
            ([], {}, UsageError, ["--metrics"]),
            (["modes"], {"models": ["mgna"]}, UsageError, ["'mgna'", "'mgan'"]),
            (["modes"], {"samples": 0}, UsageError, ["samples", 0]),
        ],
        ids=["unknown", "empty", "model", "samples"],
    )
    def test_is_an_error_before_anything_is_written(
        self,
        old: Path,
        registry: Registry,
        metrics: Sequence[str],
        options: dict[str, Any],
        error: type[Exception],
        parts: list[object],
        messages: Messages,
    ) -> None:
        """The message has the invalid value and what is allowed."""
        before = content(old)
        with pytest.raises(error) as caught:
            rescore(old, metrics, registry, **options)
        messages.check(caught.value, *parts, hide=long_list(str(caught.value)))
        assert content(old) == before

    def test_of_a_folder_without_results(
        self, old: Path, tmp_path: Path, registry: Registry, messages: Messages
    ) -> None:
        """The message lists results below the folder, and no folder is created."""
        with messages.raises(StoreError, tmp_path / "missing"):
            rescore(tmp_path / "missing", ["modes"], registry)
        assert not (tmp_path / "missing").exists()
        with messages.raises(StoreError, old.parent, "tiny"):
            rescore(old.parent, ["modes"], registry)

    def test_of_published_scores(self, old: Path, registry: Registry, messages: Messages) -> None:
        """Scores without their runs cannot be extended."""
        write_results_csv(old)
        shutil.rmtree(old / "runs")
        with messages.raises(StoreError, old, "runs/"):
            rescore(old, ["modes"], registry)

    def test_of_a_folder_in_use(self, old: Path, registry: Registry, messages: Messages) -> None:
        """The results of a benchmark that runs do not change."""
        with locked(old), messages.raises(StoreError, old):
            rescore(old, ["spread"], registry)
        assert not values(old, "spread")

    def test_of_a_metric_that_cannot_be_constructed(
        self, old: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """An exception of its constructor is reported in one message."""
        monkeypatch.setattr(registry.get("metrics", "spread"), "__init__", lambda self: 1 / 0)
        with messages.raises(PluginError, "'spread'", "ZeroDivisionError"):
            rescore(old, ["spread"], registry)


def test_benchmark_json_is_kept(old: Path, registry: Registry) -> None:
    """Only the metric is added, with all facts that a table needs."""
    before = json.loads((old / "benchmark.json").read_text(encoding="utf-8"))
    assert isinstance(rescore(old, ["spread"], registry), RescoreOutcome)
    after = json.loads((old / "benchmark.json").read_text(encoding="utf-8"))
    assert after["evaluation"].pop("metrics") == [*before["evaluation"].pop("metrics"), "spread"]
    facts = after["metrics"].pop("spread")
    assert (facts["direction"], facts["unit"], facts["expensive"]) == ("higher", "data units", True)
    assert facts["scale"] == "linear"
    assert facts["doc"] == "Standard deviation of a part of the samples, drawn at random."
    assert after == before


class TestReport:
    """report.html of a results folder that is scored again."""

    def test_has_the_new_metric(self, old: Path, registry: Registry) -> None:
        """The report is rewritten, as the tables are. A folder without one gets none."""
        assert "mode_kl" not in (old / "report.html").read_text(encoding="utf-8")
        rescore(old, ["mode_kl"], registry)
        assert "mode_kl" in (old / "report.html").read_text(encoding="utf-8")
        (old / "report.html").unlink()
        rescore(old, ["high_quality"], registry)
        assert not (old / "report.html").exists()

    def test_that_cannot_be_written_is_a_message(self, old: Path, registry: Registry, messages: Messages) -> None:
        """The scores are stored by then."""
        lines: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rescore_module, "write_report", lambda folder: 1 / 0)
            rescore(old, ["mode_kl"], registry, log=lines.append)
        messages.check(lines[-1], "gan-bench report", hide={str(old): "OLD"})
        assert values(old, "mode_kl") != []
