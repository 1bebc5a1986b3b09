"""The contract of an observer of running benchmarks. The progress display is one; plugins may add others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gan_bench.contracts.events import Compiling, Evaluated, Event, Progress, Warned
from gan_bench.contracts.modes import Mode
from gan_bench.contracts.parameters import NoParams
from gan_bench.names import encodable

if TYPE_CHECKING:
    from gan_bench.contracts.run import Run
    from gan_bench.contracts.table import Table


@dataclass(frozen=True)
class BenchmarkInfo:
    """Description of a benchmark for its observers.

    Attributes:
        name: name of the benchmark, with the suffix of `--preview` or `--quick`.
        results: absolute path of the results folder, which exists.
        file: absolute path of the benchmark file; None for a mapping from Python.
        mode: "full", "preview" or "quick".
    """

    name: str = ""
    results: Path = Path()
    file: Path | None = None
    mode: Mode = "full"


class Observer:
    """Base class of observers: methods are called on events of runs, in the process of the command. All are optional.

    A benchmark or command names the observers that it uses; others are not created. Methods are called between two
    messages of the runs, so they should return soon. Observers are passive: they change none of their arguments, and
    print nothing to standard output. One that raises is reported once and detached.

    Attributes:
        benchmark: name, results folder and file of the benchmark.
        params: an instance of `Params`.
    """

    name: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams

    def __init__(self, benchmark: BenchmarkInfo = BenchmarkInfo(), params: Any = None) -> None:
        self.benchmark = benchmark
        self.params = self.Params() if params is None else params

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

    def final_table(self, table: Table) -> None:
        """All runs of the command have ended, or Ctrl-C has stopped them, and the table is written.

        Not called for a check (`--quick`), whose values are meaningless.
        """

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
