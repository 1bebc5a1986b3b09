"""Observer that writes what happens to a CSV file, and at the end the table."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gan_bench import BenchmarkInfo, Evaluated, Observer, Progress, Run, Table, hookimpl, param

COLUMNS = ("time", "event", "label", "dataset", "seed", "iteration", "name", "value")


class CsvLog(Observer):
    """CSV of the events of a benchmark, then of its final table (an example, 2026)."""

    name = "csv-log"

    @dataclass(frozen=True)
    class Params:
        """Name of the file, and what it contains."""

        file: str = param("log.csv", "Name of the file in the results folder.")
        progress: bool = param(False, "Whether reports of progress are written.")

    def __init__(self, benchmark: BenchmarkInfo, params: Any) -> None:
        super().__init__(benchmark, params)
        self.path = benchmark.results / params.file
        if not self.path.exists():
            self.write(*COLUMNS)

    def planned(self, runs: Sequence[Run], done: int) -> None:
        for run in runs:
            self.event("planned", run)

    def started(self, run: Run) -> None:
        self.event("started", run)

    def progress(self, run: Run, event: Progress) -> None:
        if self.params.progress:
            self.event("progress", run, event.iteration, "rate", event.rate)

    def evaluated(self, run: Run, event: Evaluated) -> None:
        for metric, value in event.scores.items():
            self.event("evaluated", run, event.iteration, metric, value)

    def warning(self, run: Run, message: str) -> None:
        self.event("warning", run, name=message)

    def ended(self, run: Run, status: str, error: str) -> None:
        self.event("ended", run, name=status, value=error)

    def final_table(self, table: Table) -> None:
        for row in table.rows:
            for column in table.columns:
                cell = row.cells[column.name]
                if cell is not None:
                    self.write("", "table", row.label, row.dataset, "", "", column.name, cell.mean)

    def event(self, kind: str, run: Run, iteration: object = "", name: str = "", value: object = "") -> None:
        """Write a row about a run."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S")
        self.write(now, kind, run.label, run.dataset.label, run.seed, iteration, name, value)

    def write(self, *values: object) -> None:
        """Append a row."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(values)


@hookimpl
def gan_bench_observers() -> list[type[Observer]]:
    """Return the observer."""
    return [CsvLog]
