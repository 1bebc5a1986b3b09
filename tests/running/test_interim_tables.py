"""Interim tables and forecasts of a benchmark that runs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.engine import Engine
from gan_bench.contracts.events import Progress
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job, Run
from gan_bench.contracts.table import Table
from gan_bench.errors import StoreError
from gan_bench.planning.jobs import stacks
from gan_bench.planning.planned import Planned
from gan_bench.plugins.discovery import load_plugins
from gan_bench.report.tables.build import render
from gan_bench.report.tables.formats import to_markdown
from gan_bench.running import estimate, interim_tables, machine, run_benchmark
from gan_bench.running.engines import local
from gan_bench.running.execute import execute
from gan_bench.running.run_benchmark import BenchmarkOutcome
from tests.support import project
from tests.support.messages import Messages

TWO = [project.ZOO["gan"], project.ZOO["d2gan"]]


class Listener(Observer):
    """Observer that records tables, forecasts, notes and the order of started runs."""

    name = "listener"

    def __init__(self) -> None:
        self.tables: list[Table] = []
        self.forecasts: list[tuple[float, float]] = []
        self.notes: list[str] = []
        self.events: list[str] = []

    def started(self, run: Run) -> None:
        self.events.append(f"{run.label} {run.seed}")

    def interim_table(self, table: Table) -> None:
        self.tables.append(table)
        self.events.append(table.title)

    def forecast(self, next_table: float, last_table: float) -> None:
        self.forecasts.append((next_table, last_table))

    def note(self, message: str) -> None:
        self.notes.append(message)


@dataclass
class Watch:
    """An observer of runs that have no estimates, its listener, and the time, which each run lasts a second."""

    tables: interim_tables.InterimTables
    listener: Listener
    jobs: Sequence[Job]
    now: list[float]

    def end(self, job: Job) -> None:
        """Report a run from its start to its end."""
        self.tables.started(job.run)
        self.now[0] += 1.0
        self.tables.ended(job.run, "finished", "")


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute runs in this process."""
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)


def run(planned: Planned) -> tuple[BenchmarkOutcome, Listener]:
    """Execute missing runs; return the outcome and the observer."""
    listener = Listener()
    return run_benchmark.run(planned, listener), listener


class TestTables:
    def test_follow_each_seed_but_the_last(self, tmp_path: Path) -> None:
        """A table follows when a seed of all models is complete; the last seed is in the final table."""
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path))
        titles = ["tiny (1 of 3 seeds)", "tiny (2 of 3 seeds)"]
        runs = [{f"{label} {seed}" for label in ("gan", "d2gan")} for seed in range(3)]
        assert [set(listener.events[:2]), set(listener.events[3:5]), set(listener.events[6:])] == runs
        assert [listener.events[2], listener.events[5]] == titles
        assert [row.planned for table in listener.tables for row in table.rows] == [1, 1, 2, 2]

    def test_are_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """table.md is the interim table while the next seed runs, and the whole table at the end."""
        found: list[str] = []
        monkeypatch.setattr(
            Listener, "interim_table", lambda self, table: found.append((tmp_path / "tiny/table.md").read_text("utf-8"))
        )
        run(project.plan(project.describe(TWO, seeds=2), tmp_path))
        assert len(found) == 1 and found[0].startswith("### tiny (1 of 2 seeds): ring8\n")
        assert "**" not in found[0] and " ± " not in found[0].split("\n\n")[1]
        assert (tmp_path / "tiny/table.md").read_text("utf-8") == render(tmp_path / "tiny")

    def test_count_runs_of_earlier_commands(self, tmp_path: Path) -> None:
        """Runs of an earlier command count; a seed that it completed is not reported again."""
        run(project.plan(project.describe(TWO, seeds=3), tmp_path, seeds="0,2"))
        _, listener = run(project.plan(project.describe(TWO, seeds=4), tmp_path))
        assert [table.title for table in listener.tables] == ["tiny (3 of 4 seeds)"]

    def test_show_failed_runs(self, tmp_path: Path) -> None:
        """Failed and diverged runs have ended: their seed is complete, and a note of the table gives their status."""
        models = [{"plugin": "failing"}, {"plugin": "diverging"}, {"plugin": "gan"}]
        file = project.write(tmp_path, project.describe(models, seeds=2), bad=project.BAD)
        _, listener = run(project.plan(file, tmp_path / "results"))
        (table,) = listener.tables
        assert {row.label: row.finished for row in table.rows} == {"failing": 0, "diverging": 0, "gan": 1}
        assert any("failing seed 0 failed" in note for note in table.notes)

    def test_wait_for_interrupted_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A seed with an interrupted run is not complete."""

        def execute_all(self: Engine, jobs: Sequence[Job]) -> bool:
            registry = load_plugins(self.setup.plugin_places)
            for job in jobs:
                self.observer.started(job.run)
                stop = project.stop_at(5) if job.run.label == "d2gan" and job.run.seed == 0 else project.never
                self.observer.ended(job.run, execute(job, registry, lambda _: None, stop), "")
            return True

        monkeypatch.setattr(project.InProcess, "run", execute_all)
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path))
        assert [table.title for table in listener.tables] == ["tiny (1 of 3 seeds)", "tiny (2 of 3 seeds)"]
        assert not any("interrupted" in note for table in listener.tables for note in table.notes)

    def test_of_stacks_are_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """Seeds of a stack end together: there is no interim table, and a note gives the reason."""

        def execute_all(self: Engine, jobs: Sequence[Job]) -> bool:
            registry = load_plugins(self.setup.plugin_places)
            for group in stacks(jobs):
                for job in group:
                    self.observer.started(job.run)
                for job in group:
                    self.observer.ended(job.run, execute(job, registry, lambda _: None, project.never), "")
            return True

        monkeypatch.setattr(project.InProcess, "run", execute_all)
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path, stack=3))
        assert not listener.tables
        messages.check(listener.notes[1])

    def test_that_cannot_be_written_end_no_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """If another process damages the folder meanwhile, the error is reported and the runs continue."""

        def refuse(*_: Any) -> None:
            raise StoreError("benchmark.json is gone")

        monkeypatch.setattr(interim_tables, "write_results_csv", refuse)
        outcome, listener = run(project.plan(project.describe(TWO, seeds=2), tmp_path))
        assert outcome.counts == {"finished": 4}
        (note,) = (note for note in listener.notes if "benchmark.json is gone" in note)
        messages.check(note)

    def test_leave_out_runs_of_another_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Runs of a later seed that are copied into the folder meanwhile are not part of the interim table."""
        run(project.plan(project.describe(TWO, seeds="2,"), tmp_path / "elsewhere", seeds="2,"))

        class Copying(Listener):
            def started(self, run: Run) -> None:
                copied = tmp_path / "here" / "tiny" / "runs"
                shutil.copytree(tmp_path / "elsewhere" / "tiny" / "runs", copied, dirs_exist_ok=True)

        listener = Copying()
        run_benchmark.run(project.plan(project.describe(TWO, seeds=2), tmp_path / "here"), listener)
        assert ["seed 2" in to_markdown(table) for table in listener.tables] == [False]
        assert [row.finished for row in listener.tables[0].rows] == [1, 1]


class TestMany:
    """Many seeds, each of which ends a second after the one before it. A table takes a second, as does a forecast."""

    @pytest.fixture
    def watch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
        now = [100.0]

        def last(*_: Any) -> Any:
            now[0] += 1.0
            return {}

        monkeypatch.setattr(interim_tables.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(interim_tables, "write_results_csv", lambda folder: None)
        monkeypatch.setattr(interim_tables, "write_tables", last)
        monkeypatch.setattr(estimate.Forecast, "ends", last)
        planned = project.plan(project.describe(seeds=60), tmp_path)
        jobs, unknown = list(planned.jobs), estimate.Estimates({job.run.key: math.nan for job in planned.jobs})
        listener = Listener()
        listener.interim_table = lambda table: listener.events.append("table")  # type: ignore[method-assign]
        forecast = estimate.Forecast([[job] for job in jobs], unknown, 1)
        tables = interim_tables.InterimTables(tmp_path, jobs, {}, [[job] for job in jobs], forecast, listener)
        return Watch(tables, listener, jobs, now)

    def test_tables_take_a_share_of_the_time(self, watch: Watch) -> None:
        """After the first tables, they and the forecasts take little of the time."""
        for job in watch.jobs[:-1]:
            watch.end(job)
        assert watch.listener.events.count("table") == interim_tables.FIRST_TABLES + 1
        assert watch.now[0] - 100.0 < 59 * (1 + 3 * interim_tables.LARGEST_SHARE) + interim_tables.FIRST_TABLES + 2

    def test_a_table_follows_later(self, watch: Watch) -> None:
        """A table that is not written at the end of a seed is written once the time permits."""
        for job in watch.jobs[:10]:
            watch.end(job)
        before = watch.listener.events.count("table")
        watch.now[0] += 1 / interim_tables.LARGEST_SHARE
        watch.tables.started(watch.jobs[10].run)
        watch.tables.progress(watch.jobs[10].run, Progress(watch.jobs[10].run.key, 1, 30, 0.0))
        assert watch.listener.events.count("table") == before + 1
        watch.tables.progress(watch.jobs[10].run, Progress(watch.jobs[10].run.key, 2, 30, 0.0))
        assert watch.listener.events.count("table") == before + 1


class TestTimes:
    def test_are_forecast_once_a_run_has_ended(self, tmp_path: Path, messages: Messages) -> None:
        """The next table is never expected after the last. Without an earlier run, the first note gives no time."""
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path))
        assert listener.forecasts and all(0 <= first <= last for first, last in listener.forecasts)
        messages.check(listener.notes[1])

    def test_come_from_earlier_runs(self, tmp_path: Path, messages: Messages) -> None:
        """The times of a second command come from the ledgers of the first."""
        run(project.plan(project.describe(TWO, seeds=1), tmp_path))
        for folder in project.run_folders(tmp_path):
            write_seconds(folder, {"train_seconds": 50.0, "evaluation_seconds": 10.0, "compile_seconds": 0.0})
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path, workers=1))
        messages.check(listener.notes[1], "2 min", "4 min")

    def test_of_long_runs_are_measured(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """A model without an earlier run is timed before its runs start, if these are long enough."""
        monkeypatch.setattr(estimate, "PROBE_FROM", project.ITERATIONS)
        monkeypatch.setattr(estimate, "_timed", lambda trainer: 2.0)
        _, listener = run(project.plan(project.describe(TWO), tmp_path, workers=1))
        messages.check(listener.notes[1], 20)
        messages.check(listener.notes[2], "2 min")

    def test_follow_the_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """The first note describes the machine and whether iterations are compiled."""
        monkeypatch.setattr(machine, "cpu_name", lambda: "AMD EPYC, 2 cores")
        _, listener = run(project.plan(project.describe(TWO), tmp_path, workers=1, compile="never"))
        messages.check(listener.notes[0], "AMD EPYC, 2 cores", "--compile never")


class TestOrder:
    def test_is_the_longest_first_within_a_seed(self, tmp_path: Path) -> None:
        """Runs of a seed start in the order of their times in earlier ledgers; seeds keep their order."""
        run(project.plan(project.describe(TWO, seeds=1), tmp_path))
        for folder in project.run_folders(tmp_path):
            seconds = {"gan": 100.0, "d2gan": 900.0}[project.record(folder)["model"]["plugin"]]
            write_seconds(folder, {"train_seconds": seconds})
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path))
        assert [each for each in listener.events if "tiny" not in each] == ["d2gan 1", "gan 1", "d2gan 2", "gan 2"]


def write_seconds(folder: Path, changes: Mapping[str, Any]) -> None:
    """Change the ledger of a stored run."""
    record = project.record(folder)
    project.write_record(folder, record | {"ledger": record["ledger"] | changes})
