"""Tables while a benchmark runs, and how long it is expected to take."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.engine import Engine
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job, Run
from gan_bench.contracts.table import Table
from gan_bench.errors import StoreError
from gan_bench.planning.jobs import stacks
from gan_bench.planning.planned import Planned
from gan_bench.plugins.discovery import load_plugins
from gan_bench.report.tables.build import render
from gan_bench.report.tables.formats import to_markdown
from gan_bench.running import estimate, interim_tables, run_benchmark
from gan_bench.running.engines import local
from gan_bench.running.execute import execute
from gan_bench.running.run_benchmark import BenchmarkOutcome
from tests.support import project

TWO = [project.ZOO["gan"], project.ZOO["d2gan"]]


class Listener(Observer):
    """Keeps tables, forecasts, notes and the order in which runs started."""

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


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are carried out in this process."""
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)


def run(planned: Planned) -> tuple[BenchmarkOutcome, Listener]:
    """Carry out what is missing; how it ended, and what was reported."""
    listener = Listener()
    return run_benchmark.run(planned, listener), listener


class TestTables:
    def test_come_with_each_seed_but_the_last(self, tmp_path: Path) -> None:
        """As soon as a seed of all models is complete; the last one is the final table."""
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path))
        titles = ["tiny (1 of 3 seeds)", "tiny (2 of 3 seeds)"]
        runs = [{f"{label} {seed}" for label in ("gan", "d2gan")} for seed in range(3)]
        assert [set(listener.events[:2]), set(listener.events[3:5]), set(listener.events[6:])] == runs
        assert [listener.events[2], listener.events[5]] == titles
        assert [row.planned for table in listener.tables for row in table.rows] == [1, 1, 2, 2]

    def test_are_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """table.md is the table so far while the next seed runs, and the whole table at the end."""
        found: list[str] = []
        monkeypatch.setattr(
            Listener, "interim_table", lambda self, table: found.append((tmp_path / "tiny/table.md").read_text("utf-8"))
        )
        run(project.plan(project.describe(TWO, seeds=2), tmp_path))
        assert len(found) == 1 and found[0].startswith("### tiny (1 of 2 seeds): ring8\n")
        assert "**" not in found[0] and " ± " not in found[0].split("\n\n")[1]
        assert (tmp_path / "tiny/table.md").read_text("utf-8") == render(tmp_path / "tiny")

    def test_count_what_was_done_before(self, tmp_path: Path) -> None:
        """A seed is complete with runs of an earlier command; it is not shown again by a later one."""
        run(project.plan(project.describe(TWO, seeds=3), tmp_path, seeds="0,2"))
        _, listener = run(project.plan(project.describe(TWO, seeds=4), tmp_path))
        assert [table.title for table in listener.tables] == ["tiny (3 of 4 seeds)"]

    def test_show_what_failed(self, tmp_path: Path) -> None:
        """A run that failed or diverged has ended: its seed is complete, and the table says how it ended."""
        models = [{"plugin": "failing"}, {"plugin": "diverging"}, {"plugin": "gan"}]
        file = project.write(tmp_path, project.describe(models, seeds=2), bad=project.BAD)
        _, listener = run(project.plan(file, tmp_path / "results"))
        (table,) = listener.tables
        assert {row.label: row.finished for row in table.rows} == {"failing": 0, "diverging": 0, "gan": 1}
        assert any("failing seed 0 failed" in note for note in table.notes)

    def test_wait_for_interrupted_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A seed with an interrupted run is not complete."""

        def run_jobs(self: Engine, jobs: Sequence[Job]) -> bool:
            registry = load_plugins(self.setup.plugin_places)
            for job in jobs:
                self.observer.started(job.run)
                stop = project.stop_at(5) if job.run.label == "d2gan" and job.run.seed == 0 else project.never
                self.observer.ended(job.run, execute(job, registry, lambda _: None, stop), "")
            return True

        monkeypatch.setattr(project.InProcess, "run", run_jobs)
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path))
        assert [table.title for table in listener.tables] == ["tiny (1 of 3 seeds)", "tiny (2 of 3 seeds)"]
        assert not any("interrupted" in note for table in listener.tables for note in table.notes)

    def test_of_stacks_are_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Seeds that train together end together: no burst of tables, and the start-up line says so."""

        def run_jobs(self: Engine, jobs: Sequence[Job]) -> bool:
            registry = load_plugins(self.setup.plugin_places)
            for group in stacks(jobs):
                for job in group:
                    self.observer.started(job.run)
                for job in group:
                    self.observer.ended(job.run, execute(job, registry, lambda _: None, project.never), "")
            return True

        monkeypatch.setattr(project.InProcess, "run", run_jobs)
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path, stack=3))
        assert not listener.tables
        assert any("finish together, so the first table is the last" in note for note in listener.notes)

    def test_that_cannot_be_written_cost_no_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A folder that another process damages meanwhile is noted; the runs go on."""

        def refuse(*_: Any) -> None:
            raise StoreError("benchmark.json is gone")

        monkeypatch.setattr(interim_tables, "write_results_csv", refuse)
        outcome, listener = run(project.plan(project.describe(TWO, seeds=2), tmp_path))
        assert outcome.counts == {"finished": 4}
        assert "The table so far cannot be written: benchmark.json is gone" in listener.notes

    def test_leave_out_what_another_process_wrote(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Runs of a later seed that are copied into the folder meanwhile are not part of the table so far."""
        run(project.plan(project.describe(TWO, seeds="2,"), tmp_path / "elsewhere", seeds="2,"))

        class Copying(Listener):
            def started(self, run: Run) -> None:
                copied = tmp_path / "here" / "tiny" / "runs"
                shutil.copytree(tmp_path / "elsewhere" / "tiny" / "runs", copied, dirs_exist_ok=True)

        listener = Copying()
        run_benchmark.run(project.plan(project.describe(TWO, seeds=2), tmp_path / "here"), listener)
        assert ["seed 2" in to_markdown(table) for table in listener.tables] == [False]
        assert [row.finished for row in listener.tables[0].rows] == [1, 1]


class TestTimes:
    def test_are_forecast_once_a_run_has_ended(self, tmp_path: Path) -> None:
        """The next table never comes after the last, and the last forecast is shorter than the first."""
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path))
        assert listener.forecasts and all(0 <= first <= last for first, last in listener.forecasts)
        assert "How long it will take is known once the first runs report their speed." in listener.notes

    def test_come_from_earlier_runs(self, tmp_path: Path) -> None:
        """A second command knows from the ledger of the first, and says so."""
        run(project.plan(project.describe(TWO, seeds=1), tmp_path))
        _, listener = run(project.plan(project.describe(TWO, seeds=3), tmp_path))
        assert any("(from earlier runs on this machine" in note for note in listener.notes)

    def test_are_measured_of_long_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model without an earlier run is measured before its runs start, if these are long enough to repay it."""
        monkeypatch.setattr(estimate, "PROBE_FROM", project.ITERATIONS)
        _, listener = run(project.plan(project.describe(TWO), tmp_path))
        assert any("(from a few iterations, without evaluation)" in note for note in listener.notes)

    def test_machine_is_named_first(self, tmp_path: Path) -> None:
        _, listener = run(project.plan(project.describe(TWO), tmp_path, workers=1, compile="never"))
        assert listener.notes[0].startswith("1 run at a time on a CPU (")
        assert listener.notes[0].endswith("; iterations uncompiled: --compile never.")


class TestOrder:
    def test_is_the_longest_first_within_a_seed(self, tmp_path: Path) -> None:
        """By the ledgers of earlier runs; seeds stay in order."""
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
