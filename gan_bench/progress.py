"""The progress display: one live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gan_bench.observers import Observer
from gan_bench.plan import Run

LINE_SECONDS = 30.0  # between two plain lines about the same run


@dataclass
class _Active:
    """What is known of a run that is going on."""

    run: Run
    iteration: int = 0
    iterations: int = 0
    rate: float = 0.0
    compiling: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    said: float = field(default_factory=time.monotonic)

    def reach(self, event: Mapping[str, Any]) -> None:
        """An event says how far the run is."""
        self.iteration, self.iterations, self.compiling = event["iteration"], event["iterations"], False

    @property
    def seconds_left(self) -> float | None:
        return (self.iterations - self.iteration) / self.rate if self.rate > 0 else None


class _Display(Observer):
    """Keeps count; subclasses show it."""

    name = "progress"

    def __init__(self, metrics: Sequence[str]) -> None:
        self.metrics = metrics
        self.active: dict[str, _Active] = {}
        self.total = self.ended_runs = 0

    def planned(self, runs: Sequence[Run], done: int) -> None:
        self.total = len(runs)
        runs_to_do = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        self.say(f"{runs_to_do} to do, {done} done already." if runs else f"All {done} runs are done.")

    def started(self, run: Run) -> None:
        self.active[run.key] = _Active(run)

    def compiling(self, run: Run) -> None:
        self.active[run.key].compiling = True

    def progress(self, run: Run, event: Mapping[str, Any]) -> None:
        self.active[run.key].reach(event)
        self.active[run.key].rate = event["rate"]

    def evaluated(self, run: Run, event: Mapping[str, Any]) -> None:
        active = self.active[run.key]
        active.reach(event)
        active.scores = active.scores | event["scores"]

    def ended(self, run: Run, status: str, error: str) -> None:
        active = self.active.pop(run.key)
        self.ended_runs += status != "interrupted"
        told = self.scores(active) if status == "finished" else error
        self.say(f"[{self.ended_runs}/{self.total}] {name_of(run)} {status} {told}".rstrip())

    def warning(self, run: Run, message: str) -> None:
        self.say(f"{name_of(run)}: {message}")

    def stopping(self) -> None:
        self.say("Stopping: runs write their checkpoints. Ctrl-C again kills them.")

    def note(self, message: str) -> None:
        self.say(message)

    def say(self, line: str) -> None:
        """Show a line that stays."""
        raise NotImplementedError

    def scores(self, active: _Active) -> str:
        """The latest scores of a run, in the order of the benchmark's metrics."""
        known = [(name, active.scores[name]) for name in self.metrics if name in active.scores]
        return "  ".join(f"{name} {value:.3g}" for name, value in known)


class PlainProgress(_Display):
    """A line when a run starts or ends, and one every half minute in between."""

    def __init__(self, metrics: Sequence[str], stream: IO[str] | None = None) -> None:
        super().__init__(metrics)
        self.stream = stream or sys.stderr

    def say(self, line: str) -> None:
        """Print it."""
        print(line, file=self.stream, flush=True)

    def started(self, run: Run) -> None:
        """Say so."""
        super().started(run)
        self.say(f"{name_of(run)} started")

    def progress(self, run: Run, event: Mapping[str, Any]) -> None:
        """Say so if the last line about this run is old."""
        super().progress(run, event)
        active = self.active[run.key]
        if time.monotonic() - active.said >= LINE_SECONDS:
            active.said = time.monotonic()
            self.say(f"{name_of(run)} {_position(active)} {self.scores(active)}".rstrip())


class LiveProgress(_Display):
    """A table of the runs that are going on, redrawn in place; ended runs scroll away above it."""

    def __init__(self, metrics: Sequence[str], console: Console) -> None:
        super().__init__(metrics)
        self.started_at = time.monotonic()
        self.console = console
        self.live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveProgress:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def say(self, line: str) -> None:
        """Print it above the table."""
        self.console.print(Text(line))

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("run", "iteration", "it/s", "left", "scores"):
            table.add_column(title, no_wrap=title != "scores")
        for active in list(self.active.values()):
            left = _duration(active.seconds_left)
            count = "compiling" if active.compiling else f"{active.iteration:,}/{active.iterations:,}"
            table.add_row(Text(name_of(active.run)), count, f"{active.rate:.0f}", left, self.scores(active))
        elapsed = _duration(time.monotonic() - self.started_at)
        return Group(Text(f"{self.ended_runs} of {self.total} runs ended, {elapsed} so far"), table)


def make_progress(metrics: Sequence[str]) -> LiveProgress | PlainProgress:
    """The display that suits standard error."""
    console = Console(stderr=True)
    return LiveProgress(metrics, console) if console.is_terminal else PlainProgress(metrics)


def name_of(run: Run) -> str:
    """A run as a person calls it."""
    return f"{run.label} on {run.dataset['label']}, seed {run.seed}"


def _position(active: _Active) -> str:
    left = _duration(active.seconds_left)
    return f"{active.iteration:,}/{active.iterations:,} {active.rate:.0f} it/s, {left} left"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
