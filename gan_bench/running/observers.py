"""Dispatch of events to observers; one that raises is detached."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from gan_bench.contracts.observer import BenchmarkInfo, Observer
from gan_bench.errors import error_text
from gan_bench.plugins.process_state import undisturbed

EVENTS = (
    "planned",
    "started",
    "compiling",
    "progress",
    "evaluated",
    "warning",
    "ended",
    "interim_table",
    "final_table",
    "forecast",
    "stopping",
    "note",
)


class Observers(Observer):
    """The display and the selected observers of plugins; one that fails affects no other."""

    name = "observers"

    def __init__(
        self, display: Observer, selected: Sequence[tuple[type[Observer], Any]], benchmark: BenchmarkInfo
    ) -> None:
        """Create the observers of plugins.

        Args:
            selected: class and parameters of each.
        """
        super().__init__(benchmark)
        self._display = display
        self._others: list[Observer] = []
        self._noted: set[str] = set()
        for cls, params in selected:
            try:
                with self._isolated(cls.name):
                    self._others.append(cls(benchmark, params))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may raise anything, even SystemExit
                self._report(cls.name, "__init__", error)
        for event in EVENTS:
            setattr(self, event, partial(self._notify, event))

    def _notify(self, event: str, *arguments: Any) -> None:
        getattr(self._display, event)(*arguments)
        for other in list(self._others):
            try:
                with self._isolated(other.name):
                    getattr(other, event)(*arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # see above
                self._others.remove(other)
                self._report(other.name, event, error)

    def _isolated(self, name: str) -> AbstractContextManager[None]:
        """Context for code of an observer, whose changes of the process are undone."""
        return undisturbed(lambda changes: self._note_once(f"Observer {name} {changes}"))

    def _note_once(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            self._display.note(line)

    def _report(self, name: str, event: str, error: BaseException) -> None:
        self._display.note(f"Observer {name} failed in {event}() and was detached: {error_text(error)}.")
