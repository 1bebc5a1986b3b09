"""What can be watched of a benchmark while it runs. The progress display is one observer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_bench.plan import Run


class Observer:
    """Told of runs as they happen, in the process of the command; every method may be left out."""

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

    def stopping(self) -> None:
        """Ctrl-C was pressed; runs are writing their checkpoints."""
