"""Observer that writes a table whenever a seed of all models is complete, and forecasts the time of the next one."""

from __future__ import annotations

import time
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
        self._keys_of = {seed: {job.run.key for job in jobs if job.run.seed == seed} for seed in _seeds(jobs)}
        self._ended = {key for key, found in status.items() if found in FINAL}
        self._group_of = {job.run.key: {each.run.key for each in group} for group in groups for job in group}
        self._shown = len(self.complete)
        self._forecast_at = -FORECAST_SECONDS
        for event in EVENTS:
            if event not in vars(InterimTables):
                setattr(self, event, getattr(observer, event))

    @property
    def complete(self) -> list[int]:
        """Seeds whose runs have all ended."""
        return [seed for seed, keys in self._keys_of.items() if keys <= self._ended]

    def expected(self) -> tuple[float, float] | None:
        """Seconds from now to the next table and to the last one; None if all times are unknown."""
        ends = self._forecast.ends()
        open_seeds = [keys for keys in self._keys_of.values() if not keys <= self._ended]
        tables = [max((ends[key] for key in keys if key in ends), default=0.0) for keys in open_seeds]
        return (min(tables), max(tables)) if ends and tables else None

    def forecast_now(self) -> None:
        """Report the expected time of the next and the last table."""
        self._forecast_at = time.monotonic()
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
            self.forecast_now()

    def ended(self, run: Run, status: str, error: str) -> None:
        """Forward the event; write an interim table if this run completes a seed that is not the last."""
        self._forecast.end(run.key, finished=status == "finished")
        self._observer.ended(run, status, error)
        self._ended |= {run.key} if status in FINAL else set()
        # The runs of a stack end one right after the other: a table after each would be a burst of tables.
        if self._group_of[run.key] <= self._ended:
            self._write_if_due()
        self.forecast_now()

    def _write_if_due(self) -> None:
        complete = self.complete
        if not self._shown < len(complete) < len(self._keys_of):
            return
        self._shown = len(complete)
        try:
            write_results_csv(self._folder)
            table = write_tables(self._folder, complete)
        except Exception as error:  # files of another process in the folder must not end the runs
            self._observer.note(f"The interim table cannot be written: {error}")
            return
        self._observer.interim_table(table)


def _seeds(jobs: Sequence[Job]) -> list[int]:
    return list(dict.fromkeys(job.run.seed for job in jobs))
