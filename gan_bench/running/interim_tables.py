"""Observer that writes a table whenever a seed of all models is complete, and forecasts the time of the next one.

Each table reads all runs. Of thousands of short runs, a table after each seed would take most of the time. After the
first tables, the time for tables and forecasts is therefore limited to a share of the whole.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from gan_bench.contracts.events import Progress
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job, Run
from gan_bench.report.tables.build import write_tables
from gan_bench.results.load import write_results_csv
from gan_bench.running.estimate import Forecast
from gan_bench.running.observers import EVENTS

FORECAST_SECONDS = 5.0  # between two forecasts
LARGEST_SHARE = 0.02
"""Largest share of the time for tables, and for forecasts."""

FIRST_TABLES = 4
"""Number of tables that are written without a limit."""

FINAL = ("finished", "diverged", "failed")
"""Statuses that count as done; an interrupted run is still to do."""


class InterimTables(Observer):
    """Observer that forwards every event, writes interim tables, and reports forecasts."""

    name = "interim-tables"

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[Job],
        status: Mapping[str, str],
        groups: Sequence[Sequence[Job]],
        forecast: Forecast,
        observer: Observer,
    ) -> None:
        """Observe `groups` of runs to do.

        Args:
            jobs: all selected runs of the benchmark, done or not.
            status: of the runs that are already done.
        """
        self._folder, self._observer, self._forecast = folder, observer, forecast
        ended = {key for key, found in status.items() if found in FINAL}
        self._open: dict[int, set[str]] = defaultdict(set)  # runs that have not ended, by seed
        for job in jobs:
            self._open[job.run.seed] |= {job.run.key} - ended
        stacks = [{job.run.key for job in group} for group in groups]
        self._open_stack = {key: stack for stack in stacks for key in stack}  # runs of its stack that have not ended
        self._shown = len(self.complete)
        self._tables = _Limit(FIRST_TABLES)
        self._forecasts = _Limit(0)
        self._forecast_at = -FORECAST_SECONDS
        for event in EVENTS:
            if event not in vars(InterimTables):
                setattr(self, event, getattr(observer, event))

    @property
    def complete(self) -> list[int]:
        """Seeds whose runs have all ended."""
        return [seed for seed, keys in self._open.items() if not keys]

    def expected(self) -> tuple[float, float] | None:
        """Seconds from now to the next table and to the last one; None if all times are unknown."""
        ends = self._forecast.ends()
        tables = [max((ends[key] for key in keys if key in ends), default=0.0) for keys in self._open.values() if keys]
        return (min(tables), max(tables)) if ends and tables else None

    def forecast_now(self) -> None:
        """Report the expected time of the next and the last table."""
        self._forecast_at = time.monotonic()
        with self._forecasts:
            expected = self.expected()
        if expected is not None:
            self._observer.forecast(*expected)

    def started(self, run: Run) -> None:
        """Forward the event, and start the clock of the forecast."""
        self._forecast.start(run.key)
        self._observer.started(run)

    def progress(self, run: Run, event: Progress) -> None:
        """Forward the event, and correct the forecast."""
        if event.rate > 0:
            self._forecast.report(run.key, (event.iterations - event.iteration) / event.rate)
        self._observer.progress(run, event)
        if time.monotonic() - self._forecast_at >= FORECAST_SECONDS:
            self._write_if_due()
            self._forecast_if_due()

    def ended(self, run: Run, status: str, error: str) -> None:
        """Forward the event; write an interim table if this run completes a seed that is not the last."""
        self._forecast.end(run.key, finished=status == "finished")
        self._observer.ended(run, status, error)
        if status in FINAL:
            self._open[run.seed].discard(run.key)
            self._open_stack[run.key].discard(run.key)
        # The runs of a stack end one right after the other: a table after each would be a burst of tables.
        if not self._open_stack[run.key]:
            self._write_if_due()
        self._forecast_if_due()

    def _forecast_if_due(self) -> None:
        if self._forecasts.free:
            self.forecast_now()

    def _write_if_due(self) -> None:
        complete = self.complete
        if self._tables.free and self._shown < len(complete) < len(self._open):
            self._shown = len(complete)
            with self._tables:
                self._write(complete)

    def _write(self, complete: Sequence[int]) -> None:
        try:
            write_results_csv(self._folder)
            table = write_tables(self._folder, complete)
        except Exception as error:  # files of another process in the folder must not end the runs
            self._observer.note(f"The interim table cannot be written: {error}")
            return
        self._observer.interim_table(table)


class _Limit:
    """Context for work that may take a share of the time.

    Args:
        first: number of times that it may be done without a limit.
    """

    def __init__(self, first: int) -> None:
        self._first, self._due, self._started = first, 0.0, 0.0

    @property
    def free(self) -> bool:
        """Whether it may be done now."""
        return self._first > 0 or time.monotonic() >= self._due

    def __enter__(self) -> None:
        self._first -= 1
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        self._due = now + (now - self._started) / LARGEST_SHARE
