"""Compiled iterations: `play` traced once into a graph, which torch compiles into a program of a few fused loops.

The program works in place on the run's own parameters, buffers and optimiser state, so that evaluation, checkpoints
and eager iterations see the same tensors. Random draws stay outside: inside, torch makes them slower. Traced with
fake tensors, a model that waits for a value or branches on one is found out and refused, never baked in.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from gan_bench.iteration import Draws, Played, play
from gan_bench.model import Real, Turn
from gan_bench.optimisers import fill_state, step_of
from gan_bench.training import Trainer

MOST_TURNS = 16
"""Longer iterations (a warm-up with a hundred critic steps) would take minutes to compile; they stay eager."""

READS_VALUES = "its code waits for a tensor's value, or branches on one"

TOO_LONG = f"more than {MOST_TURNS} turns take too long to compile"

Warn = Callable[[str], None]


Compiler = Callable[[fx.GraphModule, list[Tensor]], Callable[..., Any]]


class NotCompilableError(Exception):
    """Why an iteration cannot be compiled."""


class ReadsValuesError(NotCompilableError):
    """An iteration waits for a tensor's value, or branches on one: it would on every device, at each iteration."""


def compile_iterations(trainer: Trainer, warn: Warn) -> None:
    """Let a trainer carry out its iterations compiled, until it loads another state.

    Args:
        warn: told where iterations with other turns than the next one's have to stay eager, and why.

    Raises:
        NotCompilableError: the next iteration cannot be compiled here; the trainer is as it was.
    """
    programs = _Programs(trainer, warn)
    programs.add(_next_short(trainer))
    trainer.carry_out = programs.play


def _next_short(trainer: Trainer) -> tuple[Turn, ...]:
    """The turns of the next iteration that is short enough: a warm-up must not cost all that follows it."""
    for iteration in range(trainer.iteration, trainer.protocol.iterations):
        turns = tuple(trainer.model.turns(iteration))
        if len(turns) <= MOST_TURNS:
            return turns
    raise NotCompilableError(TOO_LONG)


class _Programs:
    """The compiled iterations of a run, one for each sequence of turns that it has."""

    def __init__(self, trainer: Trainer, warn: Warn) -> None:
        self.trainer, self.warn = trainer, warn
        self._of: dict[tuple[Turn, ...], Program | None] = {}

    def add(self, turns: tuple[Turn, ...]) -> None:
        self._of[turns] = Program(self.trainer, turns)

    def play(self, turns: tuple[Turn, ...], draws: Draws) -> Played:
        if turns not in self._of:
            try:
                self.add(turns)
            except NotCompilableError as error:
                self._of[turns] = None
                self.warn(f"Iterations of {len(turns)} turns stay uncompiled: {error}")
        program = self._of[turns]
        return program(draws) if program else self.trainer.play(turns, draws)


class Program:
    """One sequence of turns, compiled for one trainer.

    Attributes:
        graph: what was traced, in torch's core operations; its inputs are what `arguments` lists.
    """

    def __init__(self, trainer: Trainer, turns: tuple[Turn, ...], compiler: Compiler | None = None) -> None:
        """Trace and compile; with another `compiler`, which may return the graph as it is, for checks."""
        if len(turns) > MOST_TURNS:
            raise NotCompilableError(TOO_LONG)
        self.trainer = trainer
        self.moves = Counter(name for turn in turns for name in turn.players)
        self.steps = {name: step_of(optimizer) for name, optimizer in trainer.optimizers.items()}
        for optimizer in trainer.optimizers.values():
            fill_state(optimizer)
        self._bind()
        self._state = tuple(trainer.state)  # its order is the graph's
        draws = trainer.draw(turns)
        self.graph = self._trace(turns, draws)
        self._code = (compiler or _compile)(self.graph, self.arguments(draws))

    def __call__(self, draws: Draws) -> Played:
        """Carry out an iteration."""
        with torch.no_grad():
            results = self._code(*self.arguments(draws))
            for player, count in self.moves.items():
                if self._counted[player]:
                    torch._foreach_add_(self._counted[player], count)
        losses = dict(zip(self._losses, results, strict=False))
        changed = dict(zip(self._changed, results[len(losses) :], strict=True))
        return Played(losses, {**self.trainer.state, **changed})

    def arguments(self, draws: Draws) -> list[Tensor]:
        """The graph's inputs: parameters, buffers, optimiser state, its numbers, the model's state, draws."""
        state = self.trainer.state
        return [*self._fixed, *self._numbers(), *(state[name] for name in self._state), *_flat(draws)]

    def _bind(self) -> None:
        """Find the tensors that stay the same from iteration to iteration."""
        model, optimizers = self.trainer.model, self.trainer.optimizers
        own = {player: list(parameters.values()) for player, parameters in self.trainer.parameters.items()}
        states = {player: [optimizers[player].state[p] for p in parameters] for player, parameters in own.items()}
        slots = [state[slot] for player, step in self.steps.items() for state in states[player] for slot in step.slots]
        self._counted = {player: [s["step"] for s in states[player] if "step" in s] for player in states}
        self._parameters = dict(model.named_parameters())
        self._buffers = dict(model.named_buffers())
        self._fixed = [value.detach() for value in (*self._parameters.values(), *self._buffers.values(), *slots)]

    def _numbers(self) -> list[Tensor]:
        """What changes in the optimisers from step to step: (moves, 2) float32 for each player that moves."""
        trainer = self.trainer
        done = {p: trainer.counts.updates[p] - trainer.stages.renewed[p] for p in self.moves}
        return [
            torch.tensor([self.steps[p].numbers(trainer.rate(p), done[p] + 1 + move) for move in range(count)])
            for p, count in self.moves.items()
        ]

    def _trace(self, turns: tuple[Turn, ...], draws: Draws) -> fx.GraphModule:
        from torch.fx.experimental.proxy_tensor import make_fx

        def iteration(*arguments: Tensor) -> list[Tensor]:
            played = self._play(turns, draws, iter(arguments))
            self._losses = list(played.losses)
            return [*played.losses.values(), *played.state.values()]

        try:
            # a model may hold constant tensors, which are no inputs: they reach the graph as they are
            traced = make_fx(iteration, tracing_mode="fake", _allow_non_fake_inputs=True)
            graph = traced(*self.arguments(draws))
        except NotCompilableError:
            raise
        except Exception as error:
            if "DataDependent" in type(error).__name__:
                raise ReadsValuesError(READS_VALUES) from error
            raise NotCompilableError(f"it cannot be traced ({_first_line(error)})") from error
        if any(map(_waits, graph.graph.nodes)):
            raise ReadsValuesError(READS_VALUES)
        self._refuse_baked_in(graph)
        return graph

    def _play(self, turns: tuple[Turn, ...], draws: Draws, given: Iterator[Tensor]) -> Played:
        """`play` on the graph's inputs in place of the trainer's tensors."""
        parameters = {name: next(given).detach().requires_grad_() for name in self._parameters}
        buffers = {name: next(given) for name in self._buffers}
        slots = {
            player: [{slot: next(given) for slot in step.slots} for _ in self.trainer.parameters[player]]
            for player, step in self.steps.items()
        }
        numbers = {player: list(next(given)) for player in self.moves}
        state = {name: next(given) for name in self._state}
        seen = _like(draws, given)
        model = self.trainer.model

        def move(player: str, gradients: Any) -> None:
            now = numbers[player].pop(0)
            own = dict(model.get_submodule(player).named_parameters())
            for (name, parameter), gradient, of in zip(own.items(), gradients, slots[player], strict=True):
                if gradient is None:
                    raise NotCompilableError(f"{player}'s loss does not depend on {name}")
                self.steps[player].apply(parameter, gradient, of, now)

        def carry_out() -> Played:
            own = {p: dict(model.get_submodule(p).named_parameters()) for p in self.trainer.parameters}
            return play(self.trainer.rules, turns, seen, own, state, move)

        played = _With(model, carry_out).on({**parameters, **buffers})
        self._changed = [name for name, value in played.state.items() if value is not state.get(name)]
        return Played(played.losses, {name: played.state[name] for name in self._changed})

    def _refuse_baked_in(self, graph: fx.GraphModule) -> None:
        """A parameter that reached the graph as a constant would never move again."""
        constants = (getattr(graph, str(node.target)) for node in graph.graph.nodes if node.op == "get_attr")
        held = {value.untyped_storage().data_ptr() for value in constants if isinstance(value, Tensor)}
        for name, value in {**self._parameters, **self._buffers}.items():
            if value.numel() and value.untyped_storage().data_ptr() in held:
                raise NotCompilableError(f"{name} is also held outside of the model's modules")


class _With(nn.Module):
    """Calls a function while other tensors stand in for a model's parameters and buffers."""

    def __init__(self, model: nn.Module, function: Callable[[], Played]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self) -> Played:
        return self.function()

    def on(self, tensors: Mapping[str, Tensor]) -> Played:
        played: Played = functional_call(self, {f"model.{name}": value for name, value in tensors.items()}, ())
        return played


def _waits(node: fx.Node) -> bool:
    """Whether a device has to be waited for: for a number, or for how many samples a mask selects."""
    value = node.meta.get("val")
    sizes = value.shape if isinstance(value, Tensor) else ()
    return node.target is torch.ops.aten._local_scalar_dense.default or not all(isinstance(size, int) for size in sizes)


def _compile(graph: fx.GraphModule, arguments: list[Tensor]) -> Callable[..., Any]:
    import torch._inductor

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no GPU is no news
    try:
        with torch.no_grad():
            code: Callable[..., Any] = torch._inductor.compile(graph, [*arguments])
            return code
    except Exception as error:
        raise NotCompilableError(f"torch cannot compile it here ({_first_line(error)})") from error


def _flat(draws: Draws) -> list[Tensor]:
    real = [value for one in draws.real.values() for value in vars(one).values() if value is not None]
    return [*real, *draws.latents.values(), *(value for of in draws.noise.values() for value in of.values())]


def _like(draws: Draws, given: Iterator[Tensor]) -> Draws:
    """The inverse of `_flat`: draws of the same form, from the tensors given."""
    return Draws(
        {
            number: Real(**{name: next(given) for name, value in vars(one).items() if value is not None})
            for number, one in draws.real.items()
        },
        {number: next(given) for number in draws.latents},
        {position: {name: next(given) for name in of} for position, of in draws.noise.items()},
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
