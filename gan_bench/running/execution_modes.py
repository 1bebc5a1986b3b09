"""Modes of executing iterations, and the choice of the first that works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gan_bench.acceleration import compilation
from gan_bench.acceleration.compilation import Compiler, as_traced
from gan_bench.acceleration.cuda_graphs import captured
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.running.active_run import ActiveRun


@dataclass(frozen=True)
class ExecutionMode:
    """How iterations are executed.

    Attributes:
        compiler: turns a traced iteration into a program; None to execute operations one by one, untraced.
        compiled: whether the compiler generates code.
        graph: whether iterations are recorded as CUDA graphs.
    """

    compiler: Compiler | None
    compiled: bool = False
    graph: bool = False

    @property
    def fallback(self) -> str:
        """The next slower mode, in words."""
        return "uncompiled" if self.compiled else "without a CUDA graph"


EAGER = ExecutionMode(None)
TRACED = ExecutionMode(as_traced)


def candidates(run: ActiveRun) -> Iterator[ExecutionMode]:
    """Modes that a run may try, from the fastest on, without the last resort."""
    recorded = run.job.device == "cuda" and run.trainer.trains
    if run.wants_compiled():
        compiler = compilation.compiled
        yield ExecutionMode(captured(compiler) if recorded else compiler, compiled=True, graph=recorded)
    if recorded:
        yield ExecutionMode(captured(as_traced), graph=True)


def choose_mode(
    runs: Sequence[ActiveRun],
    modes: Iterator[ExecutionMode],
    last: ExecutionMode,
    prepare: Callable[[Compiler], None],
    stop: Callable[[], bool],
) -> ExecutionMode | None:
    """Prepare the first mode that works and return it; None if asked to stop meanwhile.

    Args:
        runs: that will be executed together.
        modes: in the order in which they are tried.
        last: the mode if none of them works.
        prepare: builds the program of the runs with a compiler.

    Raises:
        NotCompilableError: not even the last mode works.
    """
    started = time.perf_counter()
    try:
        for mode in modes:
            assert mode.compiler is not None
            if mode.compiled:
                for run in runs:
                    run.report_compiling()
            try:
                prepare(mode.compiler)
                return mode
            except NotCompilableError as error:
                if stop():  # the signal ends the C++ compiler as well: nothing is settled
                    return None
                runs[0].warn(f"It runs {mode.fallback}: {error}.")
        if last.compiler is not None:
            prepare(last.compiler)
        return last
    finally:
        for run in runs:
            run.progress.compile_seconds += (time.perf_counter() - started) / len(runs)
