"""Captured iterations: a program's operations recorded once as a CUDA graph, which is replayed with one launch.

Small networks are bound by launches on a GPU: the arithmetic of hundreds of operations takes microseconds. A graph
reads and writes fixed places in memory, so that what changes from iteration to iteration is copied there first.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from gan_bench.compilation import Compiler
from gan_bench.tracing import NotCompilableError, first_line, out_of_memory

WARM_UP = 3
"""Times that a program runs before it is recorded, so that libraries choose and allocate outside of the graph."""

Work = Callable[[], Sequence[Tensor]]

Recorder = Callable[[Work], tuple[Callable[[], None], Sequence[Tensor]]]
"""Records work without carrying it out: what replays it, and the tensors where its results will be."""


def record(work: Work) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """As a CUDA graph, after runs of it beside the current stream."""
    gc.collect()  # a graph that nobody needs must not be taken apart while this one is recorded
    now, beside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    try:
        beside.wait_stream(now)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                work()
        now.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = work()
    finally:  # a recording that fails may leave its own stream behind
        torch.cuda.set_stream(now)
        now.wait_stream(beside)
    return graph.replay, results


class Captured:
    """A program whose first inputs stay where they are and change in place, recorded.

    What a call returns is overwritten by the next.
    """

    def __init__(
        self, code: Callable[..., Any], arguments: Sequence[Tensor], fixed: int, recorder: Recorder = record
    ) -> None:
        """Record `code`.

        Args:
            arguments: inputs like those it will be called with; they are as they were afterwards.
            fixed: how many of them, from the first on, are the same tensors in every call.

        Raises:
            NotCompilableError: it cannot be recorded.
        """
        self._fixed = fixed
        in_place = [tensor.detach() for tensor in arguments[:fixed]]
        before = [tensor.clone() for tensor in in_place]
        device = in_place[0].device
        self._given = [torch.empty_like(value, device=device).copy_(value) for value in arguments[fixed:]]
        try:
            # copies, since a program may hand on an input, which the next call writes to
            self._replay, self._results = recorder(lambda: [each.clone() for each in code(*in_place, *self._given)])
        except Exception as error:
            if out_of_memory(error):
                raise torch.OutOfMemoryError(str(error)) from error
            raise NotCompilableError(f"it cannot be recorded as a CUDA graph ({first_line(error)})") from error
        finally:
            torch._foreach_copy_(in_place, before)

    def __call__(self, *arguments: Tensor) -> Sequence[Tensor]:
        """Carry it out on other inputs of the same form."""
        if self._given:
            torch._foreach_copy_(self._given, list(arguments[self._fixed :]))
        self._replay()
        return self._results


def captured(compiler: Compiler, recorder: Recorder = record) -> Compiler:
    """A compiler whose programs are recorded as well."""

    def make(graph: fx.GraphModule, arguments: list[Tensor], fixed: int) -> Callable[..., Any]:
        return Captured(compiler(graph, arguments, fixed), arguments, fixed, recorder)

    return make
