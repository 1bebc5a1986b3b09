"""Memory of a run does not grow with its iterations.

The resident size of a process depends on the allocator. Three counts of what is in use do not: live tensors, memory
blocks of Python objects, and bytes of the C heap, which contains tensors' data and graphs of gradients.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from gan_bench.acceleration.compilation import as_traced
from gan_bench.running import execution_modes
from gan_bench.running.execute import execute_stack
from tests.support import project

FIRST, LAST = 200, 1200
GROWTH = 600
"""Tensors or blocks by which a run may grow between them, by caches: less than one an iteration."""

BYTES = 100
"""Largest size of a block by which it may grow; a tensor of one number has several hundred."""

TINY = {"iterations": LAST + 10, "batch": 4, "fakes": 4, "latent_size": 2, "network": {"plugin": "mlp", "hidden": 2}}


FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class Heap(ctypes.Structure):
    """Result of glibc's mallinfo2."""

    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


class InUse(NamedTuple):
    """Live tensors, blocks of Python objects, and bytes of the C heap (0 without glibc)."""

    tensors: int
    blocks: int
    heap: int


def in_use() -> InUse:
    """Count what is in use."""
    gc.collect()
    tensors = sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())
    return InUse(tensors, sys.getallocatedblocks(), _heap())


def _heap() -> int:
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):  # another C library
        return 0
    mallinfo2.restype = Heap
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


def counts(results: Path, seeds: int, compile: str) -> list[InUse]:
    """Run seeds of a model together in this process; count what is in use after `FIRST` and `LAST` iterations."""
    evaluation = {"every": 10 * LAST, "samples": 100, "metrics": ["modes"], "points": 1}
    benchmark = project.describe([{"plugin": "magan"}], seeds=seeds, protocol=TINY, evaluation=evaluation)
    planned = project.plan(benchmark, results, compile=compile, stack=seeds)
    found = []
    asked = iter(range(LAST + 20))

    def measure() -> bool:
        if next(asked) in (FIRST, LAST):
            found.append(in_use())
        return False

    assert execute_stack(planned.jobs, planned.registry, lambda _: None, measure) == ["finished"] * seeds
    return found


class TestDoesNotGrow:
    @pytest.mark.parametrize(("seeds", "compile"), [(1, "never"), (1, "always"), (2, "never")])
    def test_with_iterations(self, seeds: int, compile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Eager, traced and stacked runs of a model with state use as much after 1,200 iterations as after 200."""
        monkeypatch.setattr(execution_modes.compilation, "compiled", as_traced)  # without the C++ compiler
        first, last = counts(tmp_path, seeds, compile)
        assert last.tensors - first.tensors <= GROWTH
        assert last.blocks - first.blocks <= GROWTH
        assert last.heap - first.heap <= BYTES * GROWTH
