"""What a command does: only what is missing, for exactly what was selected, into a folder that it trusts no further."""

from __future__ import annotations

import json
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
from gan_bench.running import run_benchmark
from gan_bench.running.check_report import check_report
from gan_bench.running.engines import local
from gan_bench.running.run_benchmark import BenchmarkOutcome
from gan_bench.store.run_folder import RunFolder
from tests.support import project

TWO = [project.ZOO["gan"], project.ZOO["d2gan"]]


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are carried out in this process; real ones are in test_engine."""
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)


def run(planned: Planned) -> BenchmarkOutcome:
    """Carry out what is missing."""
    return run_benchmark.run(planned, Observer())


def left(planned: Planned) -> list[tuple[str, int]]:
    """Label and seed of what is to do."""
    return [(job.run.label, job.run.seed) for job in planned.todo]


class TestMissing:
    def test_only_is_done(self, tmp_path: Path) -> None:
        """A second seed, a second model: what is there already is not touched."""
        run(project.plan(project.describe(seeds=[0]), tmp_path))
        first = {folder: (folder / "run.json").stat().st_mtime_ns for folder in project.run_folders(tmp_path)}
        planned = project.plan(project.describe(TWO, seeds=[0, 1]), tmp_path)
        assert left(planned) == [("d2gan", 0), ("gan", 1), ("d2gan", 1)]
        outcome = run(planned)
        assert outcome.counts == {"finished": 4}
        assert {folder: (folder / "run.json").stat().st_mtime_ns for folder in first} == first
        assert left(project.plan(project.describe(TWO, seeds=[0, 1]), tmp_path)) == []

    def test_goes_by_status(self, tmp_path: Path) -> None:
        """Failed, interrupted and running (killed) runs are tried again; diverged and finished ones are not."""
        run(project.plan(project.describe(), tmp_path))
        (folder,) = map(RunFolder, project.run_folders(tmp_path))
        record = project.record(folder.path)
        for status in ("failed", "interrupted", "running", "diverged", "finished"):
            project.write_record(folder.path, record | {"status": status})
            planned = project.plan(project.describe(), tmp_path)
            assert bool(planned.todo) == (status in ("failed", "interrupted", "running")), status

    def test_includes_a_finished_run_without_its_curve(self, tmp_path: Path) -> None:
        """A run whose scores were lost is evaluated again."""
        run(project.plan(project.describe(), tmp_path))
        (folder,) = project.run_folders(tmp_path)
        (folder / "curve.csv").unlink()
        assert len(project.plan(project.describe(), tmp_path).todo) == 1

    def test_is_shared_by_labels_of_one_configuration(self, tmp_path: Path) -> None:
        """Two rows of the same training train once."""
        twice = [{"plugin": "gan", "label": "A"}, {"plugin": "gan", "label": "B"}]
        outcome = run(project.plan(project.describe(twice), tmp_path))
        assert outcome.counts == {"finished": 1}
        table = (tmp_path / "tiny" / "table.csv").read_text(encoding="utf-8")
        assert "A" in table and "B" in table


class TestSelection:
    def test_of_models_keeps_the_anchors(self, tmp_path: Path) -> None:
        """By label or plugin; what a table is held against is run as well."""
        benchmark = project.describe(TWO, evaluation={"anchors": True})
        planned = project.plan(benchmark, tmp_path, models=["d2gan"])
        assert [label for label, _ in left(planned)] == ["d2gan", "real-data", "untrained"]

    def test_of_a_label_that_shares_its_configuration(self, tmp_path: Path) -> None:
        """The second label of one training can be asked for alone."""
        twice = [{"plugin": "gan", "label": "A"}, {"plugin": "gan", "label": "B"}]
        planned = project.plan(project.describe(twice), tmp_path, models=["B"])
        assert left(planned) == [("B", 0)]

    def test_of_a_plugin_takes_all_its_rows(self, tmp_path: Path) -> None:
        """A plugin's name means every row of it."""
        rows = [{"plugin": "mgan", "label": f"K={k}", "generators": k} for k in (2, 4)] + [{"plugin": "gan"}]
        planned = project.plan(project.describe(rows), tmp_path, models=["mgan"])
        assert left(planned) == [("K=2", 0), ("K=4", 0)]

    @pytest.mark.parametrize(
        ("seeds", "expected"), [("3", [0, 1, 2]), ("0,5,7", [0, 5, 7]), ("5,", [5]), (2, [0, 1]), ([9], [9])]
    )
    def test_of_seeds(self, tmp_path: Path, seeds: Any, expected: list[int]) -> None:
        """A count or exact seeds, instead of the benchmark's."""
        planned = project.plan(project.describe(), tmp_path, seeds=seeds)
        assert [seed for _, seed in left(planned)] == expected

    def test_of_an_unknown_model_names_the_closest(self, tmp_path: Path) -> None:
        """The selection is checked like the file."""
        with pytest.raises(ConfigError, match=r"--models: no model is called 'd2gna'; did you mean 'd2gan'"):
            project.plan(project.describe(TWO), tmp_path, models=["d2gna"])

    def test_of_datasets(self, tmp_path: Path) -> None:
        """By label or plugin, in the order of the file; the others stay in the table, and what was said of them too."""
        rings = [{"plugin": "ring8", "label": name, "radius": r} for r, name in enumerate(("one", "two", "three"), 1)]
        benchmark = project.describe(dataset=rings)

        def wanted(*names: str) -> list[str]:
            return [job.run.dataset.label for job in project.plan(benchmark, tmp_path, datasets=names).todo]

        assert wanted("three", "one") == ["one", "three"]
        assert wanted("ring8") == wanted() == ["one", "two", "three"]
        with pytest.raises(ConfigError, match=r"--datasets: no dataset is called 'tow'; did you mean 'two'"):
            wanted("tow")

    def test_of_datasets_keeps_what_was_prepared_for_the_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Metrics are made ready for those that run, and benchmark.json goes on to say what they were for the rest."""
        prepared: list[float] = []
        monkeypatch.setattr(Modes, "prepare", lambda self, dataset, *_: prepared.append(dataset.params.radius))
        monkeypatch.setattr(Modes, "note", lambda self, dataset: f"made for {dataset.params.radius}")
        rings = [{"plugin": "ring8", "label": f"r{radius}", "radius": radius} for radius in (1.0, 2.0)]
        for label in ("r1.0", "r2.0"):
            run(project.plan(project.describe(dataset=rings), tmp_path, datasets=[label]))
        assert prepared == [1.0, 2.0]
        notes = read_benchmark(tmp_path / "tiny").metrics["modes"].notes
        assert notes == {"r1.0": "made for 1.0", "r2.0": "made for 2.0"}

    def test_leaves_other_runs_and_their_rows(self, tmp_path: Path) -> None:
        """Running a part leaves the whole in the table."""
        run(project.plan(project.describe(TWO), tmp_path, models=["gan"]))
        table = (tmp_path / "tiny" / "table.csv").read_text(encoding="utf-8")
        assert "gan" in table and "d2gan" in table


class TestQuick:
    def test_never_mixes(self, tmp_path: Path) -> None:
        """A check lies in a folder of its own, and is another run."""
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
        """Half way, from a checkpoint; every metric is computed once, at the end."""
        outcome = run(project.plan(project.describe(), tmp_path, quick=True))
        (folder,) = project.run_folders(tmp_path)
        record = project.record(folder)
        assert record["check"] == {"resumed_from": 10, "sample_error": ""}
        assert len(record["resumed"]) == 1
        assert {row["iteration"] for row in project.rows(folder / "curve.csv")} == {"20"}
        assert outcome.check is not None and outcome.check.passed and outcome.exit_code == 0

    def test_starts_anew(self, tmp_path: Path) -> None:
        """What an earlier check found says nothing of today: damage in its folder does not matter either."""
        for _ in range(2):
            planned = project.plan(project.describe(), tmp_path, quick=True)
            assert len(planned.todo) == 1
            assert run(planned).exit_code == 0
            (folder,) = project.run_folders(tmp_path)
            (folder / "run.json").write_text('{"form')

    def test_says_of_each_model_what_failed(self, tmp_path: Path) -> None:
        """A model that fails, one that forgets its place, one that cannot be loaded from its checkpoint, a metric."""
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
        assert "- failing: failed at iteration 3: RuntimeError: no luck" in outcome.check.render()


class TestCheckReport:
    """What a check reads out of the folders of its runs."""

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

    def test_lists_a_run_that_did_not_resume(self, job: Job) -> None:
        cells, text = self.changed(job, check={"resumed_from": 0, "sample_error": ""})
        assert cells[2] == "NO" and "- gan: resumed from iteration 0, not from 10" in text

    def test_lists_generators_that_cannot_be_sampled(self, job: Job) -> None:
        cells, text = self.changed(job, check={"resumed_from": 10, "sample_error": "KeyError: 'w'"})
        assert cells[3] == "NO" and "- gan: its stored generators cannot be sampled: KeyError: 'w'" in text

    def test_lists_metrics_that_failed_and_escapes_what_they_say(self, job: Job) -> None:
        """Text of plugins is one line, without what a terminal would obey."""
        cells, text = self.changed(job, metric_errors={"modes": "ValueError: \x1b[2J\nno"})
        assert cells[1] == "2 of 3 metrics" and "- gan: metric modes: ValueError:  [2J no" in text

    def test_says_nothing_of_resuming_where_nothing_was(self, tmp_path: Path) -> None:
        """One iteration cannot be interrupted half way."""
        planned = project.plan(project.describe(protocol={"iterations": 1}), tmp_path, quick=True)
        outcome = run(planned)
        assert outcome.check is not None and outcome.check.passed
        assert outcome.check.runs[0].cells == ("1 iteration", "3 of 3 metrics", "-", "yes")

    def test_names_the_dataset_where_there_are_several(self, tmp_path: Path) -> None:
        """A problem of one of them says of which."""
        data = [{"plugin": "ring8", "label": name, "radius": r} for r, name in enumerate(("one", "two"), 1)]
        file = project.write(tmp_path, project.describe([{"plugin": "failing"}], dataset=data), bad=project.BAD)
        outcome = run(project.plan(file, tmp_path / "results", quick=True, datasets=["one", "two"]))
        assert outcome.check is not None
        assert [line for line in outcome.check.render().splitlines() if line.startswith("- ")] == [
            f"- failing on {name}: failed at iteration 3: RuntimeError: no luck ↓" for name in ("one", "two")
        ]

    def test_lists_what_never_started(self, job: Job) -> None:
        (Path(job.folder) / "run.json").unlink()
        assert check_report([job], {}).runs[0].problems == ("not started",)


class TestTrust:
    def spoiled(self, results: Path, name: str, text: str) -> Path:
        run(project.plan(project.describe(), results))
        (folder,) = project.run_folders(results)
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    @pytest.mark.parametrize("text", ['{"form', "{}", "[1]"])
    def test_of_a_damaged_record_fails_that_run_alone(self, tmp_path: Path, text: str) -> None:
        """The other seed is trained, the table is written, and the damaged file stays as it is."""
        file = self.spoiled(tmp_path, "run.json", text)
        outcome = run(project.plan(project.describe(seeds=[0, 1]), tmp_path))
        assert outcome.counts == {"failed": 1, "finished": 1}
        assert outcome.exit_code == 1
        assert file.read_text(encoding="utf-8") == text
        assert "run.json" in (tmp_path / "tiny" / "table.md").read_text(encoding="utf-8")

    def test_of_another_runs_folder_ends_as_well(self, tmp_path: Path) -> None:
        """A finished run of another key is not taken for this one."""
        run(project.plan(project.describe(), tmp_path))
        (folder,) = map(RunFolder, project.run_folders(tmp_path))
        project.write_record(folder.path, project.record(folder.path) | {"key": "0" * 64})
        with pytest.raises(StoreError, match="holds another run"):
            project.plan(project.describe(), tmp_path)

    def test_of_a_results_folder_that_is_a_file(self, tmp_path: Path) -> None:
        """Nothing is overwritten, and the message says what to choose."""
        (tmp_path / "file").write_text("precious")
        for results in (tmp_path / "file", tmp_path / "file" / "under"):
            with pytest.raises(StoreError, match=r"cannot be written .* --results"):
                run(project.plan(project.describe(), results))
        assert (tmp_path / "file").read_text() == "precious"

    def test_preparing_writes_nothing(self, tmp_path: Path) -> None:
        """Until runs begin, the disk is as it was."""
        project.plan(project.describe(), tmp_path / "results")
        assert not (tmp_path / "results").exists()

    def test_a_name_that_two_plugins_claim_is_refused(self, tmp_path: Path) -> None:
        """A benchmark that names it learns of both origins."""
        clash = project.GATE.replace('name = "gate"', 'name = "gan"')
        file = project.write(tmp_path, project.describe(), clash=clash)
        with pytest.raises((ConfigError, PluginError), match=r"exists twice, from gan-bench .* and from clash\.py"):
            project.plan(file, tmp_path / "results")


class TestWritten:
    def test_benchmark_and_tables(self, tmp_path: Path) -> None:
        """benchmark.json says what was asked for; the tables are there."""
        run(project.plan(project.describe(TWO, seeds=2), tmp_path))
        folder = tmp_path / "tiny"
        stored = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
        assert (stored["name"], stored["seeds"]) == ("tiny", [0, 1])
        assert [model["label"] for model in stored["models"]] == ["gan", "d2gan"]
        assert stored["metrics"]["wasserstein"]["expensive"] is True
        hashes = {hash_ for model in stored["models"] for hash_ in model["configurations"].values()}
        assert {project.record(path)["configuration"] for path in project.run_folders(tmp_path)} == hashes
        assert {path.name for path in folder.iterdir() if path.is_file()} == {
            "benchmark.json", "results.csv", "classes.csv", "table.md", "table.csv", ".lock",
        }  # fmt: skip

    def test_departures_of_a_model(self, tmp_path: Path) -> None:
        """What one model has otherwise is kept for the footnotes."""
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
        """0 only where everything finished."""
        outcome = BenchmarkOutcome(Path())
        outcome.counts.update(counts)
        outcome.interrupted = interrupted
        assert outcome.exit_code == code


class TestChoice:
    @pytest.mark.parametrize(("there", "chosen"), [(False, "cpu"), (True, "cuda")])
    def test_of_a_device(self, monkeypatch: pytest.MonkeyPatch, there: bool, chosen: str) -> None:
        """auto is a GPU where there is one; cpu is always cpu."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
        assert choose_device("auto") == chosen
        assert choose_device("cpu") == "cpu"

    def test_of_a_device_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """CUDA where there is none is one clear message, and so is a device of another name."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(UsageError, match=r"torch finds no CUDA device here\. Use --device cpu"):
            choose_device("cuda")
        with pytest.raises(UsageError, match="auto, cpu or cuda"):
            choose_device("tpu")

    def test_of_workers(self) -> None:
        """One on a GPU, at least one on a CPU, never none."""
        assert choose_workers(None, "cuda") == 1
        assert choose_workers(None, "cpu") >= 1
        assert choose_workers(7, "cpu") == 7
        for wrong in (0, -1):
            with pytest.raises(UsageError, match=f"--workers {wrong}: it is at least 1"):
                choose_workers(wrong, "cpu")

    def test_is_checked_before_anything_is_written(self, tmp_path: Path) -> None:
        """Wrong options leave the disk as it was."""
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
    \"""Carries out nothing.\"""

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
    def test_that_the_benchmark_names(self, tmp_path: Path) -> None:
        """`plugins` is read from the folder of the benchmark's file, before anything else of it is validated."""
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

    def test_that_changed_make_other_runs(self, tmp_path: Path) -> None:
        """Edited code is not what was trained; edited back, it is."""
        file = project.write(tmp_path, project.describe([{"plugin": "mine"}]), mine=MINE)
        before = project.plan(file, tmp_path).jobs[0].run.key
        project.write(tmp_path, project.describe([{"plugin": "mine"}]), mine=MINE + "CHANGED = True\n")
        assert project.plan(file, tmp_path).jobs[0].run.key != before
        project.write(tmp_path, project.describe([{"plugin": "mine"}]), mine=MINE)
        assert project.plan(file, tmp_path).jobs[0].run.key == before

    def test_that_are_named_from_outside(self, tmp_path: Path) -> None:
        """`--plugin` brings a model that the benchmark uses."""
        (tmp_path / "mine.py").write_text(MINE)
        planned = project.plan(project.describe([{"plugin": "mine"}]), tmp_path, plugins=[tmp_path / "mine.py"])
        assert left(planned) == [("mine", 0)]
        with pytest.raises(UsageError, match=r"^--plugin .*none\.py: there is no such file"):
            project.plan(project.describe(), tmp_path, plugins=[tmp_path / "none.py"])

    def test_may_bring_an_engine(self, tmp_path: Path) -> None:
        """The engine that is asked for gets the jobs and the observer; an unknown one is answered with the known."""
        (tmp_path / "mine.py").write_text(MINE)
        options: dict[str, Any] = {"plugins": [tmp_path / "mine.py"], "workers": 3}
        said: list[str] = []

        class Listener(Observer):
            def warning(self, run: Run, message: str) -> None:
                said.append(f"{run.label}: {message}")

        planned = project.plan(project.describe(), tmp_path, engine="nothing", **options)
        assert run_benchmark.run(planned, Listener()).counts == {"not started": 1}
        assert said == ["gan: 3 idle"]
        with pytest.raises(PluginError, match=r"No engine is called 'lokal'; did you mean 'local'"):
            project.plan(project.describe(), tmp_path, engine="lokal", **options)


class TestBrokenPlugins:
    def test_leave_the_others_running(self, tmp_path: Path) -> None:
        """A model that cannot be loaded is named with its error, in the table as well; the others are trained."""
        models = [{"plugin": "gan"}, {"plugin": "my-gan", "label": "Mine", "beta": 3}]
        file = project.write(tmp_path, project.describe(models), my_gan="import no_such_module")
        notes: list[str] = []

        class Listener(Observer):
            def note(self, message: str) -> None:
                notes.append(message)

        outcome = run_benchmark.run(project.plan(file, tmp_path / "results"), Listener())
        assert outcome.counts == {"finished": 1}
        assert outcome.exit_code == 1
        said = "Mine is left out: model 'my-gan' is broken: ModuleNotFoundError: No module named 'no_such_module'"
        assert notes[0].startswith(said)
        table = (tmp_path / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        assert "Mine is left out: model 'my-gan' is broken" in table

    def test_that_are_all_there_is_are_an_error(self, tmp_path: Path) -> None:
        """With nothing left to train there is nothing to go on with."""
        file = project.write(tmp_path, project.describe([{"plugin": "my-gan"}]), my_gan="def f(:")
        with pytest.raises(ConfigError, match=r"tiny\.toml:\d+: model 'my-gan' is broken: SyntaxError"):
            project.plan(file, tmp_path)
