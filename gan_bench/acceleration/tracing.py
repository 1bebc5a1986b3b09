"""Graph of an iteration in torch's core operations, traced once, with the tensors that it works on.

The graph changes a run's parameters, buffers and optimiser state in place, so that evaluation, checkpoints and
eager iterations see the same tensors. Random draws are inputs, because torch is slower with draws inside a graph. Fake
tensors reveal a model that synchronises or branches on data; it is rejected instead of traced with constants.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from gan_bench.acceleration.model_attributes import ModelAttributes, is_tensor
from gan_bench.contracts.dataset import Real
from gan_bench.contracts.model import Turn
from gan_bench.errors import PluginError
from gan_bench.training.iteration import MOST_TURNS, Draws, IterationResult, play
from gan_bench.training.optimisers import Step, fill_state, step_of
from gan_bench.training.trainer import Trainer

LOOKAHEAD = 64
"""Number of iterations for which the numbers of optimisers are computed at a time."""

READS_VALUES = "the model reads the value of a tensor, or branches on one"

KEPT = "the model changes its attributes {}; declare them in initial_state() and change them in after_turn()"

TOO_LONG = f"iterations of more than {MOST_TURNS} turns take too long to compile"


class NotCompilableError(Exception):
    """Reason why an iteration cannot be compiled."""


class ReadsValuesError(NotCompilableError):
    """The iteration synchronises with the device, or branches on tensor data."""


class Tensors:
    """Tensors of a trainer that are the same in every iteration, and change in place.

    Attributes:
        parameters: the model's, by name; buffers: likewise.
        steps: each player's optimiser as a function.
        counted: each player's step counts, one for each parameter, as stored by torch's optimisers.
        slots: state of the optimisers, player by player and parameter by parameter.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.steps = {name: step_of(optimizer) for name, optimizer in trainer.optimizers.items()}
        for optimizer in trainer.optimizers.values():
            fill_state(optimizer)
        states = {
            player: [trainer.optimizers[player].state[parameter] for parameter in parameters.values()]
            for player, parameters in trainer.parameters.items()
        }
        self.parameters = dict(trainer.model.named_parameters())
        self.buffers = dict(trainer.model.named_buffers())
        self.slots = [s[slot] for player, step in self.steps.items() for s in states[player] for slot in step.slots]
        self.counted = {player: [s["step"] for s in states[player] if "step" in s] for player in states}

    def all(self) -> list[Tensor]:
        """Parameters, buffers and slots, in the order of the graph's inputs."""
        return [*self.parameters.values(), *self.buffers.values(), *self.slots]

    def count(self, moves: Mapping[str, int]) -> None:
        """Count the steps of an iteration."""
        with torch.no_grad():
            for player, number in moves.items():
                if self.counted[player]:
                    torch._foreach_add_(self.counted[player], number)


class Traced:
    """One sequence of turns as a graph.

    Attributes:
        graph: its inputs are parameters, buffers and slots of `Tensors.all`, the optimisers' numbers, the model's
            state, and the draws; its outputs are losses, then the state that changed.
        moves: number of steps of each player.
    """

    def __init__(self, trainer: Trainer, turns: tuple[Turn, ...]) -> None:
        """Trace the iteration. Raises NotCompilableError."""
        if len(turns) > MOST_TURNS:
            raise NotCompilableError(TOO_LONG)
        self.trainer = trainer
        self.moves = Counter(name for turn in turns for name in turn.players)
        self._tensors = Tensors(trainer)
        self._rows = {
            player: _Numbers(player, count, self._tensors.steps[player]) for player, count in self.moves.items()
        }
        self._state = tuple(trainer.state)  # in the order of the graph
        self._draws = trainer.draw(turns)
        self.graph = self._trace(turns, self._draws)
        self._check_constants()

    def inputs(self) -> list[Tensor]:
        """Inputs of the traced graph."""
        tensors = [tensor.detach() for tensor in self._tensors.all()]
        return self.arguments(self.trainer, tensors, self.trainer.state, flat(self._draws))

    def constants(self) -> list[Tensor]:
        """Tensors in the graph that are not inputs: those that the model holds outside of its modules."""
        values = (getattr(self.graph, str(node.target)) for node in self.graph.graph.nodes if node.op == "get_attr")
        index = self.trainer.context.index.data_ptr()
        return [value for value in values if isinstance(value, Tensor) and value.data_ptr() != index]

    def arguments(
        self, trainer: Trainer, tensors: Sequence[Tensor], state: Mapping[str, Tensor], draws: Sequence[Tensor]
    ) -> list[Tensor]:
        """Inputs of the graph: `Tensors.all`, the optimisers' numbers, the state, and the draws in the order of `flat`.

        Args:
            trainer: its optimisers' step counts determine their numbers.
        """
        return [*tensors, *self._numbers(trainer), *(state[name] for name in self._state), *draws]

    def played(self, results: Sequence[Tensor], state: Mapping[str, Tensor]) -> IterationResult:
        """Outputs of the graph by name; `state` is the state before the iteration."""
        losses = dict(zip(self._losses, results, strict=False))
        changed = dict(zip(self._changed, results[len(losses) :], strict=True))
        return IterationResult(losses, {**state, **changed})

    def _numbers(self, trainer: Trainer) -> list[Tensor]:
        """Numbers of the optimisers that change at each step: (moves, 2) float32 for each player that moves."""
        return [self._rows[player].at(trainer) for player in self.moves]

    def _trace(self, turns: tuple[Turn, ...], draws: Draws) -> fx.GraphModule:
        def iteration(*arguments: Tensor) -> list[Tensor]:
            played = self._play(turns, draws, iter(arguments))
            self._losses = list(played.losses)
            return [*played.losses.values(), *played.state.values()]

        before = ModelAttributes(self.trainer.model)
        try:
            graph = traced(iteration, self.inputs())
            changed = before.changed()
            if changed and not any(map(is_tensor, changed.values())):  # a value computed on first use is harmless
                again = ModelAttributes(self.trainer.model)
                graph = traced(iteration, self.inputs())
                changed = again.changed()
        finally:
            before.restore()
        if any(map(_synchronises, graph.graph.nodes)):
            raise ReadsValuesError(READS_VALUES)
        if changed:
            raise NotCompilableError(KEPT.format(", ".join(changed)))
        return graph

    def _play(self, turns: tuple[Turn, ...], draws: Draws, given: Iterator[Tensor]) -> IterationResult:
        """Call `play` with the graph's inputs in place of the trainer's tensors."""
        own = self._tensors
        parameters = {name: next(given).detach().requires_grad_() for name in own.parameters}
        buffers = {name: next(given) for name in own.buffers}
        slots = {
            player: [{slot: next(given) for slot in step.slots} for _ in self.trainer.parameters[player]]
            for player, step in own.steps.items()
        }
        numbers = {player: list(next(given)) for player in self.moves}
        state = {name: next(given) for name in self._state}
        seen = _draws_from(draws, given)
        model = self.trainer.model

        def move(player: str, gradients: Any) -> None:
            now = numbers[player].pop(0)
            moved = dict(model.get_submodule(player).named_parameters())
            for (name, parameter), gradient, of in zip(moved.items(), gradients, slots[player], strict=True):
                if gradient is None:
                    raise NotCompilableError(f"the loss of {player} does not depend on its parameter {name}")
                own.steps[player].apply(parameter, gradient, of, now)

        def run_iteration() -> IterationResult:
            of = {p: dict(model.get_submodule(p).named_parameters()) for p in self.trainer.parameters}
            return play(self.trainer.context, turns, seen, of, state, move)

        played = _WithTensors(model, run_iteration).on({**parameters, **buffers})
        self._changed = [name for name, value in played.state.items() if value is not state.get(name)]
        return IterationResult(played.losses, {name: played.state[name] for name in self._changed})

    def _check_constants(self) -> None:
        """Reject graphs that captured a parameter as a constant: it would never be updated."""
        held = {value.untyped_storage().data_ptr() for value in self.constants()}
        for name, value in {**self._tensors.parameters, **self._tensors.buffers}.items():
            if value.numel() and value.untyped_storage().data_ptr() in held:
                raise NotCompilableError(f"the model also refers to {name} outside of its modules")


def traced(function: Callable[..., Any], arguments: Sequence[Tensor]) -> fx.GraphModule:
    """Trace a function of tensors to a graph of core operations. Raises NotCompilableError."""
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        # a model may hold constant tensors, which are not inputs: they enter the graph unchanged
        graph: fx.GraphModule = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*arguments)
        return graph
    except (NotCompilableError, PluginError):
        raise
    except Exception as error:
        if "DataDependent" in type(error).__name__:
            raise ReadsValuesError(READS_VALUES) from error
        raise NotCompilableError(f"the iteration cannot be traced ({first_line(error)})") from error


class _Numbers:
    """An optimiser's numbers for an iteration, computed for many iterations and stored with the parameters."""

    def __init__(self, player: str, count: int, step: Step) -> None:
        self._player, self._count, self._step = player, count, step
        self._first = (0, 0)  # iteration and updates of the first row
        self._rows = torch.empty(0)

    def at(self, trainer: Trainer) -> Tensor:
        """(moves, 2) float32."""
        done = trainer.counts.updates[self._player] - trainer.renewed[self._player]
        row = trainer.iteration - self._first[0]
        if not (0 <= row < len(self._rows) and done == self._first[1] + row * self._count):
            self._first, row = (trainer.iteration, done), 0
            self._rows = self._ahead(trainer, done)
        return self._rows[row]

    def _ahead(self, trainer: Trainer, done: int) -> Tensor:
        rates = [trainer.rate(self._player, trainer.iteration + row) for row in range(LOOKAHEAD)]
        values = [
            [self._step.numbers(rate, done + 1 + row * self._count + move) for move in range(self._count)]
            for row, rate in enumerate(rates)
        ]
        return torch.tensor(values, device=trainer.device)


class _WithTensors(nn.Module):
    """Module that calls a function while other tensors replace a model's parameters and buffers."""

    def __init__(self, model: nn.Module, function: Callable[[], IterationResult]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self) -> IterationResult:
        return self.function()

    def on(self, tensors: Mapping[str, Tensor]) -> IterationResult:
        played: IterationResult = functional_call(self, {f"model.{name}": value for name, value in tensors.items()}, ())
        return played


def _synchronises(node: fx.Node) -> bool:
    """Whether an operation synchronises: for a number, or for the number of samples that a mask selects."""
    value = node.meta.get("val")
    sizes = value.shape if isinstance(value, Tensor) else ()
    return node.target is torch.ops.aten._local_scalar_dense.default or not all(isinstance(size, int) for size in sizes)


def flat(draws: Draws) -> list[Tensor]:
    """List the tensors of draws, in the order of a graph's inputs."""
    real = [value for one in draws.real.values() for value in vars(one).values() if value is not None]
    noise = [value for of in draws.noise.values() for value in of.values()]
    return [*real, *draws.latents.values(), *noise, *draws.gumbel.values()]


def _draws_from(draws: Draws, given: Iterator[Tensor]) -> Draws:
    """Inverse of `flat`: build draws of the same form from tensors."""
    return Draws(
        {
            number: Real(**{name: next(given) for name, value in vars(one).items() if value is not None})
            for number, one in draws.real.items()
        },
        {number: next(given) for number in draws.latents},
        {position: {name: next(given) for name in of} for position, of in draws.noise.items()},
        {number: next(given) for number in draws.gumbel},
    )


_NO_MEMORY = re.compile(r"ALLOC(ATION)?_FAILED|out of memory|can't allocate memory|not enough memory")
"""Messages of cuBLAS, cuDNN, Triton and torch's allocators; only the GPU's raises `torch.OutOfMemoryError`."""


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, reports exhausted memory."""
    while error is not None and not _reports_out_of_memory(error):
        error = error.__cause__ or error.__context__
    return error is not None


def _reports_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and names_short_memory(str(error))


def names_short_memory(message: str) -> bool:
    """Whether the message of an error of torch or CUDA reports exhausted memory."""
    return bool(_NO_MEMORY.search(message))


def first_line(error: Exception) -> str:
    """Type of an error and first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
