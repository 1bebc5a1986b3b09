"""Dispatch of events to observers; one that raises is detached."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from gan_bench.contracts.observer import Observer

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


class Observers(Observer):
    """The display and the observers of plugins; one that fails affects no other."""

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
            setattr(self, event, partial(self._notify, event))

    def _notify(self, event: str, *arguments: Any) -> None:
        getattr(self._display, event)(*arguments)
        for other in list(self._others):
            try:
                getattr(other, event)(*arguments)
            except Exception as error:  # see above
                self._others.remove(other)
                self._report(other.name, event, error)

    def _report(self, name: str, event: str, error: Exception) -> None:
        problem = f"{type(error).__name__}: {error}"
        self._display.note(f"Observer {name} failed in {event}() and was detached: {problem}.")
