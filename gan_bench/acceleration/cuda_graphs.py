"""Captured iterations: operations of a program are recorded once as a CUDA graph and replayed with one launch.

Small networks are bound by launches on a GPU: the arithmetic of hundreds of operations takes microseconds. A graph
reads and writes fixed places in memory, so inputs that change between iterations are copied there first.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx

from gan_bench.acceleration.compilation import Compiler
from gan_bench.acceleration.tracing import NotCompilableError, first_line, out_of_memory

WARM_UP = 3
"""Number of warm-up runs, in which libraries choose algorithms and allocate memory outside of the graph."""

Work = Callable[[], Sequence[Tensor]]

Recorder = Callable[[Work], tuple[Callable[[], None], Sequence[Tensor]]]
"""Capture of work without execution: returns its replay function and its output tensors."""

_broken = ""
"""Reason why this process captures no more graphs; empty if it may. See `_capturing`."""


def record(work: Work) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """Capture `work` as a CUDA graph after warm-up runs on a side stream.

    Raises:
        NotCompilableError: an earlier capture failed in this process.
    """
    _refuse_if_broken()
    gc.collect()  # collecting an unused graph during capture would break the capture
    now, beside = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device())
    graph = torch.cuda.CUDAGraph()
    try:
        beside.wait_stream(now)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                work()
        now.wait_stream(beside)
        with _without_garbage_collection(), _capturing(graph):
            results = work()
    finally:  # a capture that fails may leave its own stream as the current one
        torch.cuda.set_stream(now)
        now.wait_stream(beside)
    return graph.replay, results


@functools.cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """The stream of all warm-up runs on a device: cuBLAS keeps a workspace for each stream that it is used with."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Suspend automatic garbage collection, which could free memory during a capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _capturing(graph: torch.cuda.CUDAGraph) -> Iterator[None]:
    """Capture into `graph`; if the capture cannot be begun or ended, allow no other in this process.

    Before torch 2.12 the allocator then considers the capture unfinished, and a later capture or `empty_cache` may
    abort the process.
    """
    global _broken
    capture = torch.cuda.graph(graph)
    failed: Exception | None = None
    try:
        capture.__enter__()
    except Exception as error:
        _broken = first_line(error)
        raise
    try:
        yield
    except Exception as error:
        failed = error
        raise
    finally:
        try:
            capture.__exit__(None, None, None)
        except Exception as error:
            _broken = first_line(failed or error)
            if failed is None:
                raise


def _refuse_if_broken() -> None:
    if _broken:
        raise NotCompilableError(f"an earlier CUDA graph capture failed in this process ({_broken})")


def forget_failure() -> None:
    """Allow captures again after a failure: only to test how the installed torch handles the next one."""
    global _broken
    _broken = ""


def free_memory() -> None:
    """Free unused memory. Trainers form reference cycles, so collect explicitly."""
    gc.collect()
    if torch.cuda.is_available() and not _broken:
        torch.cuda.empty_cache()


class StaticInputs:
    """Inputs of a captured program that differ between calls: fixed tensors, and copies into them.

    Attributes:
        places: tensors that the program reads.
    """

    def __init__(self, values: Sequence[Tensor], device: torch.device, used: Sequence[bool] | None = None) -> None:
        """Allocate inputs like `values`, with their contents.

        Args:
            used: whether the program reads each of them; the others are not copied.
        """
        self.places = [torch.empty_like(value, device=device).copy_(value) for value in values]
        self._together: dict[torch.dtype, list[int]] = {}
        self._alone: list[int] = []
        for i, (place, value) in enumerate(zip(self.places, values, strict=True)):
            if used is None or used[i]:
                # `_foreach_copy_` is one launch only for tensors of one type with equal memory layout
                alike = place.stride() == value.stride() and place.device == value.device
                (self._together.setdefault(value.dtype, []) if alike else self._alone).append(i)
        self._grouped = [([self.places[i] for i in group], group) for group in self._together.values()]

    def fill(self, values: Sequence[Tensor]) -> None:
        """Copy the inputs of a call."""
        for places, group in self._grouped:
            torch._foreach_copy_(places, [values[i] for i in group])
        for i in self._alone:
            self.places[i].copy_(values[i])


class Captured:
    """Captured program whose first inputs are static and change in place.

    The outputs of a call are overwritten by the next.
    """

    def __init__(
        self,
        code: Callable[..., Any],
        arguments: Sequence[Tensor],
        fixed: int,
        recorder: Recorder = record,
        given: StaticInputs | None = None,
    ) -> None:
        """Capture `code`.

        Args:
            arguments: example inputs; their values are unchanged afterwards.
            fixed: number of leading inputs that are the same tensors in every call.
            given: tensors from which it reads the others; None to allocate them.

        Raises:
            NotCompilableError: the capture failed.
        """
        in_place = [tensor.detach() for tensor in arguments[:fixed]]
        before = [tensor.clone() for tensor in in_place]
        given = given or StaticInputs(arguments[fixed:], in_place[0].device)
        self._fixed, self._given = fixed, given
        try:
            # Copies, since a program may return an input, which the next call overwrites.
            self._replay, self._results = recorder(lambda: [each.clone() for each in code(*in_place, *given.places)])
        except NotCompilableError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise torch.OutOfMemoryError(str(error)) from error
            problem = f"the iteration cannot be captured as a CUDA graph ({first_line(error)})"
            raise NotCompilableError(problem) from error
        finally:
            torch._foreach_copy_(in_place, before)

    def __call__(self, *arguments: Tensor) -> Sequence[Tensor]:
        """Run the program on other inputs of the same form."""
        self._given.fill(arguments[self._fixed :])
        self._replay()
        return self._results


def captured(compiler: Compiler, recorder: Recorder = record) -> Compiler:
    """Compiler whose programs are captured as well."""

    def make(graph: fx.GraphModule, arguments: list[Tensor], fixed: int) -> Callable[..., Any]:
        _refuse_if_broken()  # fail before the compilation
        used = [bool(node.users) for node in graph.graph.nodes if node.op == "placeholder"]
        given = StaticInputs(arguments[fixed:], arguments[0].device, used[fixed:])
        # Compile for the static inputs: their strides differ from those of shared latents, which are expanded.
        code = compiler(graph, [*arguments[:fixed], *given.places], fixed)
        return Captured(code, arguments, fixed, recorder, given)

    return make
