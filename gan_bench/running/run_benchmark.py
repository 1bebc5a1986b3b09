"""A benchmark from start to end: execute missing runs, keep finished ones, rebuild the tables."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from gan_bench.contracts.engine import Setup
from gan_bench.contracts.modes import Mode
from gan_bench.contracts.observer import BenchmarkInfo, Observer
from gan_bench.contracts.run import Job, Run
from gan_bench.errors import StoreError
from gan_bench.files import locked, write_atomically
from gan_bench.planning.jobs import stacks
from gan_bench.planning.options import Options
from gan_bench.planning.planned import Planned, stored_jobs
from gan_bench.planning.prepare import prepare, visible_gpus
from gan_bench.planning.stale_runs import describe_stale_runs
from gan_bench.plugins.instances import from_plain
from gan_bench.plugins.process_state import undisturbed
from gan_bench.report.page.page import write_report
from gan_bench.report.tables.build import write_tables
from gan_bench.results.class_shares import write_classes_csv
from gan_bench.results.load import write_results_csv
from gan_bench.running.benchmark_json import describe
from gan_bench.running.check_report import CheckReport, check_report
from gan_bench.running.estimate import Estimates, Forecast, estimate_runs, longest_first
from gan_bench.running.interim_tables import InterimTables
from gan_bench.running.machine import describe_compilation, describe_machine, describe_place
from gan_bench.running.observers import Observers
from gan_bench.running.prepare_data import prepare_run
from gan_bench.running.progress import in_words
from gan_bench.running.provenance import this_process
from gan_bench.store.leases import supersede
from gan_bench.store.records import encode


@dataclass
class BenchmarkOutcome:
    """Result of a call of `run`."""

    folder: Path
    counts: Counter[str] = field(default_factory=Counter)  # runs by status
    interrupted: bool = False
    left_out: int = 0  # models with broken plugins
    check: CheckReport | None = None  # findings of a check

    @property
    def exit_code(self) -> int:
        """0 all finished, 1 some run did not or some model could not be loaded, 130 interrupted."""
        if self.interrupted:
            return 130
        passed = self.check is None or self.check.passed
        return 0 if self.counts.keys() <= {"finished"} and not self.left_out and passed else 1


def run(planned: Planned, observer: Observer) -> BenchmarkOutcome:
    """Execute missing runs and rebuild results.csv, table.md, table.csv and report.html."""
    with locked(planned.folder) as lock:
        todo = planned.todo
        observers = _observers(planned, observer)
        for line in planned.registry.notes:
            observers.note(line)
        if todo:
            with _isolated("Preparation of datasets and metrics", observers):
                planned = prepare_run(planned, observers.note)
            todo = planned.todo
        if planned.mode == "quick":  # an earlier check may have tested other code
            _remove_runs(planned.folder / "runs")
        write_atomically(planned.folder / "benchmark.json", encode(describe(planned)))
        for model in planned.benchmark.left_out:
            observers.note(f"{model.label} is left out: {model.error}")
        for line in describe_stale_runs(planned.folder, planned.jobs, todo):
            observers.note(line)
        observers.planned([job.run for job in todo], len(planned.jobs) - len(todo))
        todo = supersede(todo, this_process())
        completed = _run_jobs(planned, todo, observers, lock) if todo else True
        write_outputs(planned.folder, planned.mode, observers)
    outcome = BenchmarkOutcome(
        planned.folder, _count(planned.jobs, planned.folder), not completed, len(planned.benchmark.left_out)
    )
    outcome.check = check_report(planned.jobs, planned.unprepared) if planned.mode == "quick" else None
    return outcome


def write_outputs(folder: Path, mode: Mode, observer: Observer) -> None:
    """Write results.csv, classes.csv, the tables and the report from the run folders."""
    write_results_csv(folder)
    write_classes_csv(folder)
    if mode != "quick":  # values of a check are meaningless
        observer.final_table(write_tables(folder))
        _write_report(folder, observer)


def _observers(planned: Planned, display: Observer) -> Observers:
    """Return the display with the observers that the benchmark or the command names."""
    selected = []
    for entry in planned.benchmark.observers:
        cls = planned.registry.get("observers", entry.plugin)
        selected.append((cls, from_plain(cls.Params, entry.params)))
    source = planned.benchmark.source
    info = BenchmarkInfo(
        name=planned.benchmark.name,
        results=planned.folder.resolve(),
        file=Path(source).resolve() if source else None,
        mode=planned.mode,
    )
    return Observers(display, selected, info)


def _isolated(what: str, observers: Observers) -> AbstractContextManager[None]:
    """Context for code of plugins in this process, whose changes of the process are undone and reported."""
    return undisturbed(lambda changes: observers.note(f"{what} {changes}"))


def _write_report(folder: Path, observers: Observer) -> None:
    """Write report.html; a failure is a warning, because all results are stored by now."""
    try:
        write_report(folder)
    except Exception as error:
        observers.note(f"The report is missing ({error}). Write it with `gan-bench report {folder}`.")


def _remove_runs(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be removed ({error.strerror}). Choose another folder with --results."
        ) from error


def _run_jobs(planned: Planned, todo: Sequence[Job], observers: Observers, lock: int) -> bool:
    """Send the jobs to the engine, the longest of each seed first; return False if Ctrl-C stopped them."""
    gpus = visible_gpus() if planned.device == "cuda" and planned.place is None else []
    machine = (
        describe_place(planned.place) if planned.place else describe_machine(planned.device, planned.workers, gpus)
    )
    observers.note(f"{machine}; {describe_compilation(todo)}.")
    with _isolated("The estimate of the runs", observers):
        estimates = estimate_runs(planned, todo, observers.note)
    todo = longest_first(todo, estimates)
    groups = stacks(todo)
    forecast = Forecast(groups, estimates, planned.workers)
    waiting = {job.run.key for job in todo}
    done = {key: found for key, found in planned.status.items() if key not in waiting}
    watch = InterimTables(planned.folder, planned.jobs, done, groups, forecast, observers)
    if planned.mode == "preview":
        observers.note(f"Preview: a quarter of the iterations, with seed {planned.benchmark.seeds[0]} only.")
    if planned.mode != "quick":
        _note_times(watch, groups, estimates, observers)
    watch.forecast_now()
    setup = Setup(planned.workers, planned.plugin_places, lock, gpus, planned.folder.resolve(), planned.engine_params)
    return planned.engine(setup, watch).run(todo)


def _note_times(
    watch: InterimTables, groups: Sequence[Sequence[Job]], estimates: Estimates, observers: Observers
) -> None:
    """Report when the first and the last table are expected, and the source of these estimates."""
    if any(len(group) > 1 for group in groups):
        observers.note("Seeds train in one stack and finish together, so the first table is also the last.")
    expected = watch.expected()
    if expected is None:
        observers.note("The expected time is unknown until the first runs report their speed.")
        return
    first, last = map(in_words, expected)
    source = estimates.source(compiled=any(job.likely_compiled for group in groups for job in group))
    together = f"First table in about {first}, last in about {last}" if first != last else f"Table in about {last}"
    observers.note(f"{together} ({source}).")


def _count(jobs: Sequence[Job], folder: Path) -> Counter[str]:
    """Number of runs by status. A folder that could not be repaired counts as failed."""
    stored = stored_jobs(jobs, folder)
    status = (stored[job.run.key].status if job.run.key in stored else "not started" for job in jobs)
    return Counter("failed" if each == "damaged" else each for each in status)


__all__ = ["BenchmarkOutcome", "Options", "Planned", "Run", "prepare", "run"]
