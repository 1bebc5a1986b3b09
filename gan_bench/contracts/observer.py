"""The contract of an observer of running benchmarks. The progress display is one; plugins may add others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from gan_bench.contracts.events import Compiling, Evaluated, Event, Progress, Warned
from gan_bench.names import encodable

if TYPE_CHECKING:
    from gan_bench.contracts.run import Run
    from gan_bench.contracts.table import Table


class Observer:
    """Base class of observers: methods are called on events of runs, in the process of the command. All are optional.

    Methods are called between two messages of the runs, so they should return soon. Observers are passive.
    One that raises is reported once and detached.
    """

    name: ClassVar[str]

    def planned(self, runs: Sequence[Run], done: int) -> None:
        """Receive the runs to execute, and the number of runs that are already done."""

    def started(self, run: Run) -> None:
        """A run has started or resumed."""

    def compiling(self, run: Run) -> None:
        """A run is compiling its iteration before it continues; this takes about ten seconds."""

    def progress(self, run: Run, event: Progress) -> None:
        """A run has completed `iteration` of `iterations`, at `rate` iterations a second."""

    def evaluated(self, run: Run, event: Evaluated) -> None:
        """A run was evaluated: `scores` at `iteration`, by metric."""

    def warning(self, run: Run, message: str) -> None:
        """A run continues with a warning for its owner."""

    def ended(self, run: Run, status: str, error: str) -> None:
        """A run has ended: finished, interrupted, diverged or failed; the last two with an error."""

    def interim_table(self, table: Table) -> None:
        """Another seed of all models is complete; `gan_bench.report.tables.build.render_table` formats the table."""

    def forecast(self, next_table: float, last_table: float) -> None:
        """Receive the expected seconds from now to the next and to the last table."""

    def stopping(self) -> None:
        """Ctrl-C was pressed; runs are writing their checkpoints."""

    def note(self, message: str) -> None:
        """The benchmark continues with a warning for its owner."""

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
                self.warning(run, encodable(event.message))
