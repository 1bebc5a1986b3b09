"""What can be watched of a benchmark while it runs. The progress display is one observer; plugins bring others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from gan_bench.contracts.events import Compiling, Evaluated, Event, Progress, Warned

if TYPE_CHECKING:
    from gan_bench.contracts.run import Run
    from gan_bench.contracts.table import Table


class Observer:
    """Told of runs as they happen, in the process of the command; every method may be left out.

    It is called between two messages of the runs, so it should return soon. It hears of everything and decides
    nothing: an exception of it is reported once, and it hears no more.
    """

    name: ClassVar[str]

    def planned(self, runs: Sequence[Run], done: int) -> None:
        """The runs that will be carried out, and how many need not be."""

    def started(self, run: Run) -> None:
        """A run has started or goes on."""

    def compiling(self, run: Run) -> None:
        """A run compiles its iteration before it goes on, which takes some ten seconds."""

    def progress(self, run: Run, event: Progress) -> None:
        """A run trains: `iteration` of `iterations`, at `rate` iterations a second."""

    def evaluated(self, run: Run, event: Evaluated) -> None:
        """A run was evaluated: `scores` at `iteration`, by metric."""

    def warning(self, run: Run, message: str) -> None:
        """Something about a run that its owner should know; it goes on."""

    def ended(self, run: Run, status: str, error: str) -> None:
        """A run has ended: finished, interrupted, diverged or failed; the last two with an error."""

    def interim_table(self, table: Table) -> None:
        """A further seed of all models is complete; see `gan_bench.report.tables.build.render_table` for its text."""

    def forecast(self, next_table: float, last_table: float) -> None:
        """Expected seconds from now to the next and to the last table."""

    def stopping(self) -> None:
        """Ctrl-C was pressed; runs are writing their checkpoints."""

    def note(self, message: str) -> None:
        """Something about the benchmark that its owner should know."""

    def receive(self, run: Run, event: Event) -> None:
        """Call the method for an event; engines forward events of their workers with it."""
        match event:
            case Compiling():
                self.compiling(run)
            case Progress():
                self.progress(run, event)
            case Evaluated():
                self.evaluated(run, event)
            case Warned():
                self.warning(run, event.message)
