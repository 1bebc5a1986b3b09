"""Compiled iterations: traced, then compiled by torch into a program of a few fused loops."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from gan_bench.acceleration.narrow_products import transpose_narrow
from gan_bench.acceleration.tracing import (
    TOO_LONG,
    NotCompilableError,
    Tensors,
    Traced,
    first_line,
    flat,
    out_of_memory,
)
from gan_bench.contracts.model import Turn
from gan_bench.training.iteration import MOST_TURNS, Draws, IterationResult
from gan_bench.training.trainer import Trainer

Warn = Callable[[str], None]

Compiler = Callable[[fx.GraphModule, list[Tensor], int], Callable[..., Any]]
"""Compiler of a graph to a callable. Its arguments are the graph, example inputs and the number of static inputs.

Static inputs come first and change in place.
"""


def compile_iterations(trainer: Trainer, warn: Warn, compiler: Compiler | None = None) -> None:
    """Execute a trainer's iterations compiled, until it loads another state.

    Args:
        compiler: None for `compiled`.
        warn: receives a message if iterations with other turns than the next one's have to stay eager.

    Raises:
        NotCompilableError: the next iteration cannot be compiled here; the trainer is unchanged.
    """
    programs = _Programs(trainer, warn, compiler or compiled)
    programs.add(next_short(trainer))
    trainer.run_iteration = programs.play


def next_short(trainer: Trainer) -> tuple[Turn, ...]:
    """Turns of the next iteration that is short enough to be compiled: a long warm-up must not prevent compilation."""
    for iteration in range(trainer.iteration, trainer.protocol.iterations):
        turns = tuple(trainer.model.turns(iteration))
        if len(turns) <= MOST_TURNS:
            return turns
    raise NotCompilableError(TOO_LONG)


class _Programs:
    """Compiled iterations of a run, one for each sequence of turns."""

    def __init__(self, trainer: Trainer, warn: Warn, compiler: Compiler) -> None:
        self.trainer, self.warn, self.compiler = trainer, warn, compiler
        self._of: dict[tuple[Turn, ...], Program | None] = {}

    def add(self, turns: tuple[Turn, ...]) -> None:
        self._of[turns] = Program(self.trainer, turns, self.compiler)

    def play(self, turns: tuple[Turn, ...], draws: Draws) -> IterationResult:
        if turns not in self._of:
            try:
                self.add(turns)
            except NotCompilableError as error:
                self._of[turns] = None
                self.warn(f"Cannot compile iterations of {len(turns)} turns; running them uncompiled: {error}.")
        program = self._of[turns]
        return program(draws) if program else self.trainer.play(turns, draws)


class Program:
    """One sequence of turns, compiled for one trainer."""

    def __init__(self, trainer: Trainer, turns: tuple[Turn, ...], compiler: Compiler) -> None:
        """Trace and compile."""
        self.trainer = trainer
        self.traced = Traced(trainer, turns)
        self._tensors = Tensors(trainer)
        self._fixed = [tensor.detach() for tensor in self._tensors.all()]
        self._code = compiler(self.traced.graph, self._arguments(trainer.draw(turns)), len(self._fixed))

    def __call__(self, draws: Draws) -> IterationResult:
        """Execute an iteration."""
        with torch.no_grad():
            results = self._code(*self._arguments(draws))
        self._tensors.count(self.traced.moves)
        return self.traced.played(results, self.trainer.state)

    def _arguments(self, draws: Draws) -> list[Tensor]:
        return self.traced.arguments(self.trainer, self._fixed, self.trainer.state, flat(draws))


def as_traced(graph: fx.GraphModule, arguments: list[Tensor], fixed: int) -> Callable[..., Any]:
    """Return the graph unchanged, to be executed operation by operation."""
    return graph


def compiled(graph: fx.GraphModule, arguments: list[Tensor], fixed: int) -> Callable[..., Any]:
    """Compile the graph for this machine. Raises NotCompilableError."""
    import torch._inductor

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # the absence of a GPU is expected here
    try:
        on_cpu = arguments[0].device.type == "cpu"
        with torch.no_grad(), torch._inductor.config.patch({} if on_cpu else reproducible()):
            graph = transpose_narrow(graph) if on_cpu else graph
            code: Callable[..., Any] = torch._inductor.compile(graph, [*arguments])
            return code
    except Exception as error:
        if out_of_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        raise NotCompilableError(f"torch cannot compile the iteration ({first_line(error)})") from error


def reproducible() -> dict[str, bool]:
    """Settings of inductor for GPUs with which no choice that affects rounding depends on a timing.

    By default it times several configurations of each sum and uses the fastest. A program that is compiled again, after
    an interruption or with another cache, may therefore round differently.
    """
    import torch._inductor.config as config

    if hasattr(config, "deterministic"):
        return {"deterministic": True}
    return {"triton.autotune_pointwise": False, "shape_padding": False}  # in older versions: one configuration each
