"""Execution of benchmarks: missing runs, selections, checks, damaged folders and written files."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from gan_bench_zoo.metrics.modes import Modes

from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job, Run
from gan_bench.errors import ConfigError, PluginError, StoreError, UsageError
from gan_bench.planning.options import Options
from gan_bench.planning.planned import Planned
from gan_bench.planning.prepare import choose_device, choose_workers, prepare
from gan_bench.results.load import read_benchmark
from gan_bench.running import benchmark_json, run_benchmark
from gan_bench.running.check_report import check_report
from gan_bench.running.engines import local
from gan_bench.running.run_benchmark import BenchmarkOutcome
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.messages import Messages

TWO = [project.ZOO["gan"], project.ZOO["d2gan"]]


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute runs in this process; worker processes are in test_engines."""
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)


def run(planned: Planned) -> BenchmarkOutcome:
    """Execute missing runs."""
    return run_benchmark.run(planned, Observer())


def left(planned: Planned) -> list[tuple[str, int]]:
    """Label and seed of each run to do."""
    return [(job.run.label, job.run.seed) for job in planned.todo]


class TestMissing:
    def test_runs_are_executed(self, tmp_path: Path) -> None:
        """A further seed and a further model are run; finished runs do not change."""
        run(project.plan(project.describe(seeds=[0]), tmp_path))
        first = {folder: (folder / "run.json").stat().st_mtime_ns for folder in project.run_folders(tmp_path)}
        planned = project.plan(project.describe(TWO, seeds=[0, 1]), tmp_path)
        assert left(planned) == [("d2gan", 0), ("gan", 1), ("d2gan", 1)]
        outcome = run(planned)
        assert outcome.counts == {"finished": 4}
        assert {folder: (folder / "run.json").stat().st_mtime_ns for folder in first} == first
        assert left(project.plan(project.describe(TWO, seeds=[0, 1]), tmp_path)) == []

    def test_runs_depend_on_the_status(self, tmp_path: Path) -> None:
        """Failed, interrupted and running (killed) runs are run again; diverged and finished ones are not."""
        run(project.plan(project.describe(), tmp_path))
        (folder,) = map(RunFolder, project.run_folders(tmp_path))
        record = project.record(folder.path)
        for status in ("failed", "interrupted", "running", "diverged", "finished"):
            project.write_record(folder.path, record | {"status": status})
            planned = project.plan(project.describe(), tmp_path)
            assert bool(planned.todo) == (status in ("failed", "interrupted", "running")), status

    def test_runs_include_a_finished_one_without_its_curve(self, tmp_path: Path) -> None:
        """A finished run without scores is evaluated again."""
        run(project.plan(project.describe(), tmp_path))
        (folder,) = project.run_folders(tmp_path)
        (folder / "curve.csv").unlink()
        assert len(project.plan(project.describe(), tmp_path).todo) == 1

    def test_runs_are_shared_by_labels_of_one_configuration(self, tmp_path: Path) -> None:
        """Two rows with the same configuration have one run."""
        twice = [{"plugin": "gan", "label": "A"}, {"plugin": "gan", "label": "B"}]
        outcome = run(project.plan(project.describe(twice), tmp_path))
        assert outcome.counts == {"finished": 1}
        table = (tmp_path / "tiny" / "table.csv").read_text(encoding="utf-8")
        assert "A" in table and "B" in table


class TestSelection:
    def test_of_models_includes_the_anchors(self, tmp_path: Path) -> None:
        """A selection of models by label or plugin also runs the anchors."""
        benchmark = project.describe(TWO, evaluation={"anchors": True})
        planned = project.plan(benchmark, tmp_path, models=["d2gan"])
        assert [label for label, _ in left(planned)] == ["d2gan", "real-data", "untrained"]

    def test_of_a_label_that_shares_its_configuration(self, tmp_path: Path) -> None:
        """The second of two labels with one configuration can be selected alone."""
        twice = [{"plugin": "gan", "label": "A"}, {"plugin": "gan", "label": "B"}]
        planned = project.plan(project.describe(twice), tmp_path, models=["B"])
        assert left(planned) == [("B", 0)]

    def test_of_a_plugin_includes_all_its_rows(self, tmp_path: Path) -> None:
        """The name of a plugin selects every row of it."""
        rows = [{"plugin": "mgan", "label": f"K={k}", "generators": k} for k in (2, 4)] + [{"plugin": "gan"}]
        planned = project.plan(project.describe(rows), tmp_path, models=["mgan"])
        assert left(planned) == [("K=2", 0), ("K=4", 0)]

    @pytest.mark.parametrize(
        ("seeds", "expected"), [("3", [0, 1, 2]), ("0,5,7", [0, 5, 7]), ("5,", [5]), (2, [0, 1]), ([9], [9])]
    )
    def test_of_seeds(self, tmp_path: Path, seeds: Any, expected: list[int]) -> None:
        """A count or a list of seeds replaces the seeds of the benchmark."""
        planned = project.plan(project.describe(), tmp_path, seeds=seeds)
        assert [seed for _, seed in left(planned)] == expected

    def test_of_an_unknown_model_suggests_the_closest(self, tmp_path: Path, messages: Messages) -> None:
        """A selection is validated like the file."""
        with messages.raises(ConfigError, "--models: ", "'d2gna'", "'d2gan'"):
            project.plan(project.describe(TWO), tmp_path, models=["d2gna"])

    def test_of_datasets(self, tmp_path: Path, messages: Messages) -> None:
        """Datasets are selected by label or plugin and run in the order of the file."""
        rings = [{"plugin": "ring8", "label": name, "radius": r} for r, name in enumerate(("one", "two", "three"), 1)]
        benchmark = project.describe(dataset=rings)

        def wanted(*names: str) -> list[str]:
            return [job.run.dataset.label for job in project.plan(benchmark, tmp_path, datasets=names).todo]

        assert wanted("three", "one") == ["one", "three"]
        assert wanted("ring8") == wanted() == ["one", "two", "three"]
        with messages.raises(ConfigError, "--datasets: ", "'tow'", "'two'"):
            wanted("tow")

    def test_of_datasets_keeps_notes_on_the_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Metrics are prepared for selected datasets only, and benchmark.json keeps their notes on other datasets."""
        prepared: list[float] = []
        monkeypatch.setattr(Modes, "prepare", lambda self, dataset, *_: prepared.append(dataset.params.radius))
        monkeypatch.setattr(Modes, "note", lambda self, dataset: f"made for {dataset.params.radius}")
        rings = [{"plugin": "ring8", "label": f"r{radius}", "radius": radius} for radius in (1.0, 2.0)]
        for label in ("r1.0", "r2.0"):
            run(project.plan(project.describe(dataset=rings), tmp_path, datasets=[label]))
        assert prepared == [1.0, 2.0]
        notes = read_benchmark(tmp_path / "tiny").metrics["modes"].notes
        assert notes == {"r1.0": "made for 1.0", "r2.0": "made for 2.0"}

    def test_keeps_other_rows(self, tmp_path: Path) -> None:
        """The table has the rows of models that are not selected."""
        run(project.plan(project.describe(TWO), tmp_path, models=["gan"]))
        table = (tmp_path / "tiny" / "table.csv").read_text(encoding="utf-8")
        assert "gan" in table and "d2gan" in table


class TestQuick:
    def test_has_a_separate_folder(self, tmp_path: Path) -> None:
        """A check has another results folder, and its runs have other keys."""
        quick = project.plan(project.describe(seeds=3), tmp_path, quick=True)
        (job,) = quick.jobs
        assert quick.folder == tmp_path / "tiny-quick"
        assert job.run.protocol.iterations == 20
        real = {job.run.key for job in project.plan(project.describe(seeds=3), tmp_path).jobs}
        assert job.run.key not in real
        run(quick)
        assert not (tmp_path / "tiny").exists()
        assert len(project.plan(project.describe(seeds=3), tmp_path).todo) == 3

    def test_interrupts_and_resumes_each_run(self, tmp_path: Path) -> None:
        """Each run resumes from a checkpoint at half its iterations; metrics are computed once, at the end."""
        outcome = run(project.plan(project.describe(), tmp_path, quick=True))
        (folder,) = project.run_folders(tmp_path)
        record = project.record(folder)
        assert record["check"] == {"resumed_from": 10, "sample_error": ""}
        assert len(record["resumed"]) == 1
        assert {row["iteration"] for row in project.rows(folder / "curve.csv")} == {"20"}
        assert outcome.check is not None and outcome.check.passed and outcome.exit_code == 0

    def test_replaces_an_earlier_check(self, tmp_path: Path) -> None:
        """A check runs all models again and ignores damage in the folder of an earlier check."""
        for _ in range(2):
            planned = project.plan(project.describe(), tmp_path, quick=True)
            assert len(planned.todo) == 1
            assert run(planned).exit_code == 0
            (folder,) = project.run_folders(tmp_path)
            (folder / "run.json").write_text('{"form')

    def test_reports_failures_of_each_model(self, tmp_path: Path, messages: Messages) -> None:
        """The report has a row for each model, and the error of the one that fails."""
        forgetful = project.plugin(
            "forgetful",
            "def sample(self, counts, latents, rng):",
            "    if Path('sampling').exists():",
            "        raise RuntimeError('no samples today')",
            "    return super().sample(counts, latents, rng)",
        )
        models = [{"plugin": "gan"}, {"plugin": "failing"}, {"plugin": "forgetful"}]
        file = project.write(tmp_path, project.describe(models), bad=project.BAD, forgetful=forgetful)
        outcome = run(project.plan(file, tmp_path / "results", quick=True))
        assert outcome.check is not None and outcome.exit_code == 1
        cells = {each.label: each.cells for each in outcome.check.runs}
        assert cells["failing"] == ("NO", "-", "-", "-")
        assert cells["gan"] == cells["forgetful"] == ("20 iterations", "3 of 3 metrics", "yes", "yes")
        messages.check(outcome.check.render(), "- failing: ", 3, "RuntimeError: no luck ↓")


class TestCheckReport:
    """Findings of a check, read from its run folders."""

    @pytest.fixture
    def job(self, tmp_path: Path) -> Job:
        planned = project.plan(project.describe(), tmp_path, quick=True)
        run(planned)
        return planned.jobs[0]

    def changed(self, job: Job, **changes: Any) -> tuple[tuple[str, ...], str]:
        folder = RunFolder(Path(job.folder))
        project.write_record(folder.path, project.record(folder.path) | changes)
        found = check_report([job], {})
        return found.runs[0].cells, found.render()

    def test_lists_what_worked(self, job: Job) -> None:
        assert self.changed(job)[0] == ("20 iterations", "3 of 3 metrics", "yes", "yes")

    def test_lists_a_run_that_did_not_resume(self, job: Job, messages: Messages) -> None:
        cells, text = self.changed(job, check={"resumed_from": 0, "sample_error": ""})
        assert cells[2] == "NO"
        messages.check(text.splitlines()[-1], "- gan: ", 0, 10)

    def test_lists_generators_that_cannot_be_sampled(self, job: Job, messages: Messages) -> None:
        cells, text = self.changed(job, check={"resumed_from": 10, "sample_error": "KeyError: 'w'"})
        assert cells[3] == "NO"
        messages.check(text.splitlines()[-1], "- gan: ", "KeyError: 'w'")

    def test_lists_failed_metrics_and_escapes_their_errors(self, job: Job) -> None:
        """Texts of plugins are printed on one line, without control characters of terminals."""
        cells, text = self.changed(job, metric_errors={"modes": "ValueError: \x1b[2J\nno"})
        assert cells[1] == "2 of 3 metrics" and "- gan: metric modes: ValueError: \\x1b[2J no" in text

    def test_leaves_out_resuming_for_a_single_iteration(self, tmp_path: Path) -> None:
        """A run of one iteration cannot be interrupted half way."""
        planned = project.plan(project.describe(protocol={"iterations": 1}), tmp_path, quick=True)
        outcome = run(planned)
        assert outcome.check is not None and outcome.check.passed
        assert outcome.check.runs[0].cells == ("1 iteration", "3 of 3 metrics", "-", "yes")

    def test_names_the_dataset_if_there_are_several(self, tmp_path: Path, messages: Messages) -> None:
        """With several datasets, a problem begins with model and dataset."""
        data = [{"plugin": "ring8", "label": name, "radius": r} for r, name in enumerate(("one", "two"), 1)]
        file = project.write(tmp_path, project.describe([{"plugin": "failing"}], dataset=data), bad=project.BAD)
        outcome = run(project.plan(file, tmp_path / "results", quick=True, datasets=["one", "two"]))
        assert outcome.check is not None
        problems = [line for line in outcome.check.render().splitlines() if line.startswith("- ")]
        for name, line in zip(("one", "two"), problems, strict=True):
            messages.check(line, f"- failing on {name}: ", 3, "RuntimeError: no luck ↓")

    def test_lists_runs_that_never_started(self, job: Job) -> None:
        (Path(job.folder) / "run.json").unlink()
        assert check_report([job], {}).runs[0].problems == ("not started",)


class TestBenchmark:
    def damaged(self, results: Path, name: str, text: str) -> Path:
        run(project.plan(project.describe(), results))
        (folder,) = project.run_folders(results)
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    @pytest.mark.parametrize("text", ['{"form', "{}", "[1]"])
    def test_of_a_damaged_record_fails_that_run_alone(self, tmp_path: Path, text: str) -> None:
        """The other seed is trained, the table is written, and the damaged file stays as it is."""
        file = self.damaged(tmp_path, "run.json", text)
        outcome = run(project.plan(project.describe(seeds=[0, 1]), tmp_path))
        assert outcome.counts == {"failed": 1, "finished": 1}
        assert outcome.exit_code == 1
        assert file.read_text(encoding="utf-8") == text
        assert "run.json" in (tmp_path / "tiny" / "table.md").read_text(encoding="utf-8")

    def test_in_the_folder_of_another_run_ends(self, tmp_path: Path, messages: Messages) -> None:
        """A finished run with another key is an error."""
        run(project.plan(project.describe(), tmp_path))
        (folder,) = map(RunFolder, project.run_folders(tmp_path))
        project.write_record(folder.path, project.record(folder.path) | {"key": "0" * 64})
        with messages.raises(StoreError, folder.path, hide={folder.path.name: "RUN"}):
            project.plan(project.describe(), tmp_path)

    def test_in_a_results_folder_that_is_a_file_ends(self, tmp_path: Path, messages: Messages) -> None:
        """The file is not overwritten, and the message gives the option to choose a folder."""
        (tmp_path / "file").write_text("precious")
        for results in (tmp_path / "file", tmp_path / "file" / "under"):
            with messages.raises(StoreError, results, "--results"):
                run(project.plan(project.describe(), results))
        assert (tmp_path / "file").read_text() == "precious"

    def test_in_preparation_writes_nothing(self, tmp_path: Path) -> None:
        """No file is written before the runs start."""
        project.plan(project.describe(), tmp_path / "results")
        assert not (tmp_path / "results").exists()

    def test_with_a_name_of_two_plugins_ends(self, tmp_path: Path, messages: Messages) -> None:
        """A benchmark with a name that two plugins have is rejected with both origins."""
        clash = project.GATE.replace('name = "gate"', 'name = "gan"')
        file = project.write(tmp_path, project.describe(), clash=clash)
        with pytest.raises((ConfigError, PluginError)) as caught:
            project.plan(file, tmp_path / "results")
        messages.check(caught.value, file, "'gan'", "gan-bench", "clash.py", hide=version())


def version() -> dict[str, str]:
    """Version of gan-bench, which is part of the origin of a plugin, and its label."""
    return {importlib.metadata.version("gan-bench"): "VERSION"}


class TestWritten:
    def test_benchmark_and_tables(self, tmp_path: Path) -> None:
        """benchmark.json has the requested models and settings, and the tables are written."""
        run(project.plan(project.describe(TWO, seeds=2), tmp_path))
        folder = tmp_path / "tiny"
        stored = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
        assert (stored["name"], stored["seeds"]) == ("tiny", [0, 1])
        assert [model["label"] for model in stored["models"]] == ["gan", "d2gan"]
        assert stored["metrics"]["wasserstein"]["expensive"] is True
        records = [project.record(path) for path in project.run_folders(tmp_path)]
        assert {each["metrics"]["wasserstein"]["scale"] for each in (stored, *records)} == {"log"}
        hashes = {hash_ for model in stored["models"] for hash_ in model["configurations"].values()}
        assert {project.record(path)["configuration"] for path in project.run_folders(tmp_path)} == hashes
        assert {path.name for path in folder.iterdir() if path.is_file()} == {
            "benchmark.json", "results.csv", "classes.csv", "table.md", "table.csv", "report.html", ".lock",
        }  # fmt: skip

    def test_parameters_other_than_the_defaults(self, tmp_path: Path) -> None:
        """Only parameters with another value are described, and a model without any has none."""
        models = [{"plugin": "gan"}, {"plugin": "mgan", "generators": 4, "beta": 0.125, "tied_classifier": False}]
        record = benchmark_json.describe(project.plan(project.describe(models), tmp_path))
        found = {entry.label: entry.other_params for entry in record.models}
        assert found["gan"] == ()
        assert found["mgan"] == ("generators 4 instead of 8", "tied_classifier false instead of true")

    def test_origin_of_the_models(self, tmp_path: Path) -> None:
        """benchmark.json has the text of the benchmark file, and the citation that a model's module begins with."""
        file = tmp_path / "mine.toml"
        file.write_text(
            "# A comment\nname = 'mine'\nseeds = 1\n[[dataset]]\nplugin = 'ring8'\n[evaluation]\nmetrics = ['modes']\n"
            "[[model]]\nplugin = 'mgan'\n",
            encoding="utf-8",
        )
        planned = prepare(file, Options(results=str(tmp_path), device="cpu"))
        stored = benchmark_json.describe(planned)
        assert stored.file == file.read_text(encoding="utf-8")
        citations = {model.label: model.citation for model in stored.models}
        assert "Hoang, Nguyen, Le, Phung; ICLR 2018" in citations["mgan"]
        assert citations["real-data"] == ""

    def test_a_report_that_cannot_be_written_is_a_warning(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """All results are stored by then, so the benchmark has succeeded."""
        (tmp_path / "tiny" / "report.html").mkdir(parents=True)
        notes: list[str] = []
        monkeypatch.setattr(Observer, "note", lambda self, message: notes.append(message))
        assert run(project.plan(project.describe(), tmp_path)).exit_code == 0
        (note,) = (note for note in notes if "report.html" in note)
        messages.check(note, "gan-bench report", hide={str(tmp_path): "TMP"})

    def test_departures_of_a_model(self, tmp_path: Path) -> None:
        """Settings of a model that differ from the protocol are stored for the footnotes."""
        model = {"plugin": "gan", "protocol": {"learning_rate": {"discriminator": 1e-4}}}
        run(project.plan(project.describe([model]), tmp_path))
        stored = json.loads((tmp_path / "tiny" / "benchmark.json").read_text(encoding="utf-8"))
        assert "learning_rate" in " ".join(stored["models"][0]["departures"]).replace(" ", "_")


class TestOutcome:
    @pytest.mark.parametrize(
        ("counts", "interrupted", "code"),
        [
            ({}, False, 0), ({"finished": 3}, False, 0), ({"finished": 2, "failed": 1}, False, 1),
            ({"diverged": 1}, False, 1), ({"finished": 1, "running": 1}, False, 1), ({"not started": 1}, False, 1),
            ({"interrupted": 1}, False, 1), ({"finished": 1, "interrupted": 1}, True, 130),
        ],
    )  # fmt: skip
    def test_has_an_exit_code(self, counts: dict[str, int], interrupted: bool, code: int) -> None:
        """The exit code is 0 only if all runs have finished."""
        outcome = BenchmarkOutcome(Path())
        outcome.counts.update(counts)
        outcome.interrupted = interrupted
        assert outcome.exit_code == code


class TestChoice:
    @pytest.mark.parametrize(("there", "chosen"), [(False, "cpu"), (True, "cuda")])
    def test_of_a_device(self, monkeypatch: pytest.MonkeyPatch, there: bool, chosen: str) -> None:
        """auto selects a GPU if torch has one, else the CPU; cpu is always the CPU."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
        assert choose_device("auto") == chosen
        assert choose_device("cpu") == "cpu"

    def test_of_an_unavailable_device(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """CUDA without a CUDA device, and an unknown device, are errors that list the alternatives."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with messages.raises(UsageError, "--device", "cuda", "cpu"):
            choose_device("cuda")
        with messages.raises(UsageError, "--device", "tpu", "auto, cpu or cuda"):
            choose_device("tpu")

    def test_of_workers(self, messages: Messages) -> None:
        """The default is one worker per GPU, and at least one on a CPU; less than one is an error."""
        assert choose_workers(None, "cuda") == 1
        assert choose_workers(None, "cpu") >= 1
        assert choose_workers(7, "cpu") == 7
        for wrong in (0, -1):
            with messages.raises(UsageError, "--workers", wrong):
                choose_workers(wrong, "cpu")

    def test_is_checked_before_anything_is_written(self, tmp_path: Path) -> None:
        """With invalid options no file is written."""
        with pytest.raises(UsageError):
            prepare(project.describe(), Options(results=tmp_path / "results", workers=0))
        assert not (tmp_path / "results").exists()


MINE = """
from gan_bench import hookimpl
from gan_bench.contracts.engine import Engine
from gan_bench_zoo.models.gan import GAN

class Mine(GAN):
    name = "mine"

class Nothing(Engine):
    \"""Executes no job.\"""

    name = "nothing"

    def run(self, jobs):
        for job in jobs:
            self.observer.warning(job.run, f"{self.setup.workers} idle")
        return True

@hookimpl
def gan_bench_models():
    return [Mine]

@hookimpl
def gan_bench_engines():
    return [Nothing]
"""


class TestPluginFiles:
    def test_of_the_benchmark(self, tmp_path: Path) -> None:
        """Files in `plugins` are relative to the benchmark's file and loaded before the rest of it is validated."""
        (tmp_path / "ideas").mkdir()
        (tmp_path / "ideas" / "mine.py").write_text(MINE)
        file = project.write(tmp_path, project.describe([{"plugin": "mine"}], plugins=["ideas/mine.py"]))
        outcome = run(project.plan(file, tmp_path / "results"))
        assert outcome.counts == {"finished": 1}
        (folder,) = project.run_folders(tmp_path / "results")
        used = {fact["kind"]: fact for fact in project.record(folder)["provenance"]["plugins"]}
        assert (used["model"]["name"], used["model"]["origin"]) == ("mine", "mine.py")
        assert used["model"]["path"] == str(tmp_path / "ideas" / "mine.py")
        assert used["dataset"]["origin"] == used["network"]["origin"] == "gan-bench"
        assert len({fact["code"] for fact in used.values()}) == 3

    def test_that_changed_have_other_keys(self, tmp_path: Path) -> None:
        """Runs of edited code have other keys; after a return to the old code, the keys are the old ones."""
        file = project.write(tmp_path, project.describe([{"plugin": "mine"}]), mine=MINE)
        before = project.plan(file, tmp_path).jobs[0].run.key
        project.write(tmp_path, project.describe([{"plugin": "mine"}]), mine=MINE + "CHANGED = True\n")
        assert project.plan(file, tmp_path).jobs[0].run.key != before
        project.write(tmp_path, project.describe([{"plugin": "mine"}]), mine=MINE)
        assert project.plan(file, tmp_path).jobs[0].run.key == before

    def test_of_an_option(self, tmp_path: Path, messages: Messages) -> None:
        """`--plugin` adds a model that the benchmark uses. A missing file is an error."""
        (tmp_path / "mine.py").write_text(MINE)
        planned = project.plan(project.describe([{"plugin": "mine"}]), tmp_path, plugins=[tmp_path / "mine.py"])
        assert left(planned) == [("mine", 0)]
        with messages.raises(UsageError, "--plugin", tmp_path / "none.py"):
            project.plan(project.describe(), tmp_path, plugins=[tmp_path / "none.py"])

    def test_may_have_an_engine(self, tmp_path: Path, messages: Messages) -> None:
        """The selected engine receives the jobs and the observer; an unknown one is an error."""
        (tmp_path / "mine.py").write_text(MINE)
        options: dict[str, Any] = {"plugins": [tmp_path / "mine.py"], "workers": 3}
        warnings: list[str] = []

        class Listener(Observer):
            def warning(self, run: Run, message: str) -> None:
                warnings.append(f"{run.label}: {message}")

        planned = project.plan(project.describe(), tmp_path, engine="nothing", **options)
        assert run_benchmark.run(planned, Listener()).counts == {"not started": 1}
        assert warnings == ["gan: 3 idle"]
        with messages.raises(ConfigError, "--engine lokal", "'local'"):
            project.plan(project.describe(), tmp_path, engine="lokal", **options)


class TestBrokenPlugins:
    def test_do_not_affect_other_models(self, tmp_path: Path, messages: Messages) -> None:
        """The error of a model that cannot be loaded is in a note and in the table; other models are trained."""
        models = [{"plugin": "gan"}, {"plugin": "my-gan", "label": "Mine", "beta": 3}]
        file = project.write(tmp_path, project.describe(models), my_gan="import no_such_module")
        notes: list[str] = []

        class Listener(Observer):
            def note(self, message: str) -> None:
                notes.append(message)

        outcome = run_benchmark.run(project.plan(file, tmp_path / "results"), Listener())
        assert outcome.counts == {"finished": 1}
        assert outcome.exit_code == 1
        messages.check(notes[0], "Mine", "'my-gan'", "ModuleNotFoundError: No module named 'no_such_module'")
        table = (tmp_path / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        (note,) = (line for line in table.splitlines() if "'my-gan'" in line)
        messages.check(note, "Mine")

    def test_of_all_models_are_an_error(self, tmp_path: Path, messages: Messages) -> None:
        """Without a model to train, a benchmark is an error."""
        file = project.write(tmp_path, project.describe([{"plugin": "my-gan"}]), my_gan="def f(:")
        with pytest.raises(ConfigError) as caught:
            project.plan(file, tmp_path)
        (error,) = re.findall(r"SyntaxError: .*:\d+\)", str(caught.value))  # of Python, with a line of gan-bench
        messages.check(caught.value, f"{file}:", "'my-gan'", hide={error: "SyntaxError"})
