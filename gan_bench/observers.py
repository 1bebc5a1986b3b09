"""What can be watched of a benchmark while it runs. The progress display is one observer; plugins bring others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from gan_bench.plan import Run
    from gan_bench.tables import Table

EVENTS = (
    "planned",
    "started",
    "compiling",
    "progress",
    "evaluated",
    "warning",
    "ended",
    "interim_table",
    "forecast",
    "stopping",
    "note",
)


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

    def progress(self, run: Run, event: Mapping[str, Any]) -> None:
        """`iteration` of `iterations`, at `rate` iterations a second."""

    def evaluated(self, run: Run, event: Mapping[str, Any]) -> None:
        """`scores` at `iteration`, by metric."""

    def warning(self, run: Run, message: str) -> None:
        """Something about a run that its owner should know; it goes on."""

    def ended(self, run: Run, status: str, error: str) -> None:
        """A run has ended: finished, interrupted, diverged or failed; the last two with an error."""

    def interim_table(self, table: Table) -> None:
        """A further seed of all models is complete; `gan_bench.tables.render_table` makes text of the table so far."""

    def forecast(self, next_table: float, last_table: float) -> None:
        """Expected seconds from now to the next and to the last table."""

    def stopping(self) -> None:
        """Ctrl-C was pressed; runs are writing their checkpoints."""

    def note(self, message: str) -> None:
        """Something about the benchmark that its owner should know."""


class Observers(Observer):
    """The display, and what plugins bring; one that fails costs nobody else anything."""

    name = "observers"

    def __init__(self, display: Observer, classes: Sequence[type[Observer]]) -> None:
        self._display = display
        self._others: list[Observer] = []
        for cls in classes:
            try:
                self._others.append(cls())
            except Exception as error:  # a plugin may raise anything
                self._report(cls.name, "__init__", error)
        for event in EVENTS:
            setattr(self, event, partial(self._tell, event))

    def _tell(self, event: str, *arguments: Any) -> None:
        getattr(self._display, event)(*arguments)
        for other in list(self._others):
            try:
                getattr(other, event)(*arguments)
            except Exception as error:  # see above
                self._others.remove(other)
                self._report(other.name, event, error)

    def _report(self, name: str, event: str, error: Exception) -> None:
        self._display.note(f"Observer {name} failed in {event}(): {type(error).__name__}: {error}. It hears no more.")
