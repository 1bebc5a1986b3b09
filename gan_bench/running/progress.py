"""The progress display: one live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gan_bench import escape
from gan_bench.contracts.events import Evaluated, Progress
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Run
from gan_bench.report.tables.formats import to_text

if TYPE_CHECKING:
    from gan_bench.contracts.table import Table as ComparisonTable


LINE_SECONDS = 30.0  # between two plain lines about the same run
PLAIN_WIDTH = 120  # of tables if the output is not a terminal
MAIN_METRICS = 3  # of an active run; all are in the tables
SHORTEST_NAME = 16  # of a run, if its line is too long for the terminal
_COUNTERS = 32  # columns of the live table for iteration, speed and time left


@dataclass
class _Active:
    """State of an active run."""

    run: Run
    iteration: int = 0
    iterations: int = 0
    rate: float = 0.0
    compiling: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    last_logged: float = field(default_factory=time.monotonic)

    def reach(self, event: Progress | Evaluated) -> None:
        """Update the position of the run from an event."""
        self.iteration, self.iterations, self.compiling = event.iteration, event.iterations, False

    @property
    def seconds_left(self) -> float | None:
        return (self.iterations - self.iteration) / self.rate if self.rate > 0 else None


class _Display(Observer):
    """Base class of displays that counts runs; subclasses print."""

    name = "progress"
    width: int | None = None
    """Columns of a terminal; None if lines may have any length."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self.metrics = metrics
        self.active: dict[str, _Active] = {}
        self.total = self.ended_runs = 0
        self._expected: tuple[float, float] | None = None  # seconds to the last table, and the time of that estimate

    def planned(self, runs: Sequence[Run], done: int) -> None:
        self.total = len(runs)
        runs_to_do = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        self.log(f"{runs_to_do} to do, {done} done already." if runs else f"All {done} runs are done.")

    def started(self, run: Run) -> None:
        self.active[run.key] = _Active(run)

    def compiling(self, run: Run) -> None:
        self.active[run.key].compiling = True

    def progress(self, run: Run, event: Progress) -> None:
        self.active[run.key].reach(event)
        self.active[run.key].rate = event.rate

    def evaluated(self, run: Run, event: Evaluated) -> None:
        active = self.active[run.key]
        active.reach(event)
        active.scores = {**active.scores, **event.scores}

    def ended(self, run: Run, status: str, error: str) -> None:
        active = self.active.pop(run.key)
        self.ended_runs += status != "interrupted"
        left = f" ({self.left()})" if self.left() and self.ended_runs < self.total else ""
        count = f"[{self.ended_runs}/{self.total}]"
        if status != "finished":
            self.log(f"{count} {name_of(run)} {status} {escape.one_line(error)}".rstrip() + left)
            return
        rest = f"finished {self.scores(active)}".rstrip() + left
        room = None if self.width is None else self.width - len(f"{count}  {rest}")
        self.log(f"{count} {name_of(run, room)} {rest}")

    def warning(self, run: Run, message: str) -> None:
        self.log(f"{name_of(run)}: {escape.one_line(message)}")

    def forecast(self, next_table: float, last_table: float) -> None:
        self._expected = last_table, time.monotonic()

    def left(self) -> str:
        """Expected time to the last table; empty if it is unknown."""
        if self._expected is None:
            return ""
        seconds, known_at = self._expected
        rest = seconds - (time.monotonic() - known_at)
        return f"about {in_words(rest)} left" if rest >= 1 else ""

    def stopping(self) -> None:
        self._expected = None
        self.log("Stopping: the runs write their checkpoints. Press Ctrl-C again to kill them.")

    def note(self, message: str) -> None:
        self.log(escape.several_lines(message))

    def log(self, line: str) -> None:
        """Print a permanent line."""
        raise NotImplementedError

    def scores(self, active: _Active) -> str:
        """Latest scores of a run by its main metrics, which are the first ones of the benchmark."""
        known = [(name, active.scores[name]) for name in self.metrics if name in active.scores]
        return "  ".join(f"{escape.one_line(name)} {value:.3g}" for name, value in known[:MAIN_METRICS])


class PlainProgress(_Display):
    """Display of one line when a run starts or ends, and one every half minute in between."""

    def __init__(self, metrics: Sequence[str], stream: IO[str] | None = None) -> None:
        super().__init__(metrics)
        self.stream = stream or sys.stderr

    def log(self, line: str) -> None:
        """Print a line; a stream that is closed meanwhile must not end the runs."""
        with contextlib.suppress(OSError, ValueError):
            print(line, file=self.stream, flush=True)

    def interim_table(self, table: ComparisonTable) -> None:
        """Print the table."""
        terminal = not self.stream.closed and self.stream.isatty()
        width = shutil.get_terminal_size((PLAIN_WIDTH, 40)).columns if terminal else PLAIN_WIDTH
        self.log(f"\n{to_text(table, width, notes=False, ledger=False)}\n\nSee table.md for all columns and notes.\n")

    def started(self, run: Run) -> None:
        """Print that the run started."""
        super().started(run)
        self.log(f"{name_of(run)} started")

    def progress(self, run: Run, event: Progress) -> None:
        """Print a line if the last one about this run is old."""
        super().progress(run, event)
        active = self.active[run.key]
        if time.monotonic() - active.last_logged >= LINE_SECONDS:
            active.last_logged = time.monotonic()
            left = f" (all runs: {self.left()})" if self.left() and self.ended_runs + 1 < self.total else ""
            self.log(f"{name_of(run)} {_position(active)} {self.scores(active)}".rstrip() + left)


class LiveProgress(_Display):
    """The last table and the active runs, redrawn in place; ended runs scroll away above it."""

    def __init__(self, metrics: Sequence[str], console: Console) -> None:
        super().__init__(metrics)
        self.started_at = time.monotonic()
        self.console = console
        self.last_table: ComparisonTable | None = None
        self.live = Live(console=console, get_renderable=self._shown, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveProgress:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # the terminal was closed
            self.live.stop()

    def started(self, run: Run) -> None:
        """Start to redraw only now: probes before the first run fork, and a fork has no other threads."""
        super().started(run)
        with contextlib.suppress(OSError):  # the terminal was closed
            self.live.start()

    def interim_table(self, table: ComparisonTable) -> None:
        """Keep the table above the active runs."""
        self.last_table = table

    def log(self, line: str) -> None:
        """Print above the table; a terminal that is closed meanwhile must not end the runs."""
        with contextlib.suppress(OSError):
            self.console.print(Text(line))

    @property
    def width(self) -> int:  # type: ignore[override]
        """Columns of the terminal, which may be resized."""
        return self.console.width

    def _shown(self) -> Group:
        elapsed = duration(time.monotonic() - self.started_at)
        parts = [f"{self.ended_runs} of {self.total} runs ended", f"{elapsed} so far", self.left()]
        runs = Text(", ".join(part for part in parts if part), no_wrap=True, overflow="ellipsis")
        return Group(*self._kept_table(), runs, self._runs())

    def _runs(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        # Long labels are shortened before scores, and these before counters.
        active_runs = list(self.active.values())
        scores = max((len(self.scores(active)) for active in active_runs), default=0)
        room = max(SHORTEST_NAME, self.console.width - _COUNTERS - max(scores, len("scores")))
        table.add_column("run", no_wrap=True, overflow="ellipsis", max_width=room)
        for title, width in (("iteration", 11), ("speed", 8), ("left", 5)):
            table.add_column(title, no_wrap=True, min_width=width)
        table.add_column("scores", no_wrap=True, overflow="ellipsis", ratio=1)
        for active in active_runs:
            left = duration(active.seconds_left)
            count = _count(active)
            table.add_row(Text(name_of(active.run, room)), count, speed(active.rate), left, Text(self.scores(active)))
        return table

    def _kept_table(self) -> list[Text]:
        """The last table, cut to leave room for the runs: a display taller than the terminal cannot be redrawn."""
        if self.last_table is None:
            return []
        lines = to_text(self.last_table, self.console.width, notes=False, ledger=False).splitlines()
        room = self.console.height - len(self.active) - 5
        if len(lines) > room:
            lines = [*lines[: max(0, room - 1)], "… see table.md for the whole table"]
        return [Text("\n".join(lines) + "\n", no_wrap=True, overflow="crop")]


class QuietConsole(Console):
    """A console that stops writing if its reader has exited; rich's class would end the process."""

    def on_broken_pipe(self) -> None:
        """Print nothing more."""
        self.quiet = True


def make_progress(metrics: Sequence[str]) -> LiveProgress | PlainProgress:
    """Select the display for standard error."""
    console = QuietConsole(stderr=True)
    live = console.is_terminal and not console.is_dumb_terminal  # a dumb one cannot redraw
    return LiveProgress(metrics, console) if live else PlainProgress(metrics)


def name_of(run: Run, most: int | None = None) -> str:
    """Name of a run for readers; one longer than `most` characters loses the dataset, then the middle of the label."""
    label, seed = escape.one_line(run.label), f", seed {run.seed}"
    whole = f"{label} on {escape.one_line(run.dataset.label)}{seed}"
    if most is None or len(whole) <= most:
        return whole
    return escape.shortened(label, max(SHORTEST_NAME, most) - len(seed)) + seed


def _position(active: _Active) -> str:
    left = duration(active.seconds_left)
    return f"{active.iteration:,}/{active.iterations:,} {speed(active.rate)}, {left} left"


def _count(active: _Active) -> str:
    if active.compiling:
        return "compiling"
    return f"{active.iteration:,}/{active.iterations:,}" if active.iterations else ""


def speed(rate: float) -> str:
    """Format iterations a second, or seconds an iteration if slower; empty if unknown."""
    if rate <= 0:
        return ""
    return f"{1 / rate:.1f} s/it" if rate < 1 else f"{rate:.0f} it/s"


def in_words(seconds: float) -> str:
    """Format a duration to two digits: ``40 s``, ``14 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def duration(seconds: float | None) -> str:
    """Format a duration as ``1:02:05``, or ``1:01`` below an hour; a question mark if it is unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
