"""Modes of executing iterations, and the selection of the first that works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from gan_bench.acceleration import compilation
from gan_bench.acceleration.compilation import Compiler, as_traced, compile_iterations
from gan_bench.acceleration.cuda_graphs import captured
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.running.active_run import ActiveRun


@dataclass(frozen=True)
class ExecutionMode:
    """Execution of iterations: interpreted, compiled or captured.

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
        return "uncompiled execution" if self.compiled else "execution without a CUDA graph"


EAGER = ExecutionMode(None)
TRACED = ExecutionMode(as_traced)


def candidates(run: ActiveRun) -> Iterator[ExecutionMode]:
    """Modes that a run may try, from the fastest on, except the last resort."""
    recorded = run.job.device == "cuda" and run.trainer.trains
    if _wants_compiled(run):
        compiler = compilation.compiled
        yield ExecutionMode(captured(compiler) if recorded else compiler, compiled=True, graph=recorded)
    if recorded:
        yield ExecutionMode(captured(as_traced), graph=True)


def _wants_compiled(run: ActiveRun) -> bool:
    """Whether to compile iterations: as when the run began, unless an option overrides it."""
    plans, job = run.record.plans, run.job
    return plans[-1].compiled if plans and job.compile == "auto" else job.likely_compiled


def choose_mode(
    runs: Sequence[ActiveRun],
    modes: Iterator[ExecutionMode],
    last: ExecutionMode,
    prepare: Callable[[Compiler], None],
    stop: Callable[[], bool],
) -> ExecutionMode | None:
    """Prepare the first mode that works and return it; return None if stopped meanwhile.

    Args:
        runs: runs that will be executed together.
        modes: in the order of preference.
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
                    run.reporter.compiling()
            try:
                prepare(mode.compiler)
                return mode
            except NotCompilableError as error:
                if stop():  # the signal also ends the C++ compiler, so that its failure is no reason to fall back
                    return None
                runs[0].reporter.warn(f"Falling back to {mode.fallback}: {error}.")
        if last.compiler is not None:
            prepare(last.compiler)
        return last
    finally:
        for run in runs:
            run.usage.compile_seconds += (time.perf_counter() - started) / len(runs)


def settle_single(run: ActiveRun, stop: Callable[[], bool]) -> None:
    """Select how one run is executed and record it; a run at its end needs no mode."""
    if run.trainer.iteration >= run.last and run.record.plans:
        return
    prepare = partial(compile_iterations, run.trainer, run.reporter.warn)
    mode = choose_mode([run], candidates(run), EAGER, prepare, stop)
    if mode is not None:
        run.settle_plan(compiled=mode.compiled, graph=mode.graph, stack=1)


def stack_seeds(runs: Sequence[ActiveRun], stop: Callable[[], bool]) -> tuple[Stack | None, bool]:
    """Stack the seeds of a configuration and record how they are executed.

    Returns:
        The stack, or None if stopped meanwhile; and whether the seeds can be stacked. If not, run them one at a time.
    """
    first = runs[0]
    if first.trainer.iteration >= first.last:
        return None, False
    stacks: list[Stack] = []

    def prepare(compiler: Compiler) -> None:
        stacks[:] = [Stack([run.trainer for run in runs], compiler, first.reporter.warn)]

    try:
        mode = choose_mode(runs, candidates(first), TRACED, prepare, stop)
    except NotCompilableError as error:
        first.reporter.warn(f"Cannot stack these seeds; running them one at a time: {error}.")
        return None, False
    if mode is not None:
        for run in runs:
            run.settle_plan(compiled=mode.compiled, graph=mode.graph, stack=len(runs))
    return (stacks[0] if stacks else None), True
