"""One iteration as a function: from parameters, the model's state and random draws to updated parameters and losses.

Every run executes `play`: eagerly in `gan_bench.training.trainer`, or traced once and compiled by
`gan_bench.acceleration.compilation`. It is therefore straight-line tensor code that never synchronises with the
device, prints, draws or branches on tensor data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gan_bench.contracts.choice import choose, pick
from gan_bench.contracts.dataset import Real
from gan_bench.contracts.model import Fake, Model, Turn
from gan_bench.errors import PluginError
from gan_bench.names import allowed
from gan_bench.training.label_reads import LabelReads
from gan_bench.training.state import USAGE, next_state, used, versions, with_usage, without_usage

MOST_TURNS = 16
"""Largest number of turns of an iteration that may be compiled. A longer one, such as a warm-up with a hundred critic
steps, would take minutes to compile and gigabytes for blocks of draws: it stays eager and draws separately."""

Parameters = Mapping[str, Mapping[str, Tensor]]
"""Parameters of all players, by player and name."""

Update = Callable[[str, Sequence[Tensor | None]], None]
"""Callback that updates a player in place from gradients; a gradient is None if the loss does not depend on it."""


@dataclass(frozen=True)
class Player:
    """A player's part of an iteration."""

    name: str
    loss: Callable[..., Any]
    arguments: frozenset[str]
    generates: bool


@dataclass(frozen=True)
class IterationContext:
    """Context that is the same in every iteration of a run.

    Attributes:
        index: (K · each,) int64, the generator of each sample of a draw.
        shared: whether turns with the same number of a draw of latents see the same latents.
        autocast: type of products and convolutions if it differs from the type of the weights.
        label_reads: whether losses read labels of real data.
    """

    model: Model
    players: Mapping[str, Player]
    index: Tensor
    shared: bool
    autocast: torch.dtype | None = None
    label_reads: LabelReads = field(default_factory=LabelReads)

    def player(self, name: str) -> Player:
        """Player with a name from a turn."""
        if name not in self.players:
            raise PluginError(f"{self.model.name}: unknown player {name!r} in a turn. {allowed(name, self.players)}")
        return self.players[name]

    def latents_of(self, turn: Turn, position: int) -> int:
        """Number of a turn's draw of latents."""
        return turn.latents if self.shared else position


@dataclass
class Draws:
    """Random draws of one iteration: real data and latents (K, each, size) by number, noise by position.

    For a model that chooses the generator of each sample, latents are (1, N, size), and `gumbel` has the noise (N, K)
    of the choice, by number.
    """

    real: dict[int, Real] = field(default_factory=dict)
    latents: dict[int, Tensor] = field(default_factory=dict)
    noise: dict[int, Mapping[str, Tensor]] = field(default_factory=dict)
    gumbel: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class IterationResult:
    """Result of an iteration besides the updated parameters: each player's last loss, and the model's state."""

    losses: Mapping[str, Tensor]
    state: Mapping[str, Tensor]


def play(
    context: IterationContext,
    turns: Sequence[Turn],
    draws: Draws,
    parameters: Parameters,
    state: Mapping[str, Tensor],
    move: Update,
) -> IterationResult:
    """Execute the turns of one iteration. In each, all gradients are taken at the same point, before all steps."""
    total, state = state, without_usage(state)
    fakes = _Fakes(context, turns, draws, state, total)
    losses: dict[str, Tensor] = {}
    for position, turn in enumerate(turns):
        movers = [context.player(name) for name in turn.players]
        gradients: dict[str, Sequence[Tensor | None]] = {}
        values: dict[str, Tensor] = {}
        before = versions(state)
        for mover in movers:
            sources = _Sources(turn, position, draws, fakes, state, mover)
            with lower_precision(context):
                loss, extra = _loss(mover, sources)
            # Keep a graph that another player of this turn needs; parameters of others get no gradient.
            own, keep = list(parameters[mover.name].values()), mover is not movers[-1]
            gradients[mover.name] = torch.autograd.grad(loss, own, retain_graph=keep, allow_unused=True)
            losses[mover.name] = _kept(loss)
            values |= {name: _kept(value) for name, value in extra.items()}
        with torch.no_grad():
            for mover in movers:
                move(mover.name, gradients.pop(mover.name))  # freed for reuse in the next turn
                context.model.constrain(mover.name, parameters[mover.name])
            state = next_state(context.model, turn, state, values, before)
        if any(mover.generates for mover in movers):
            fakes.forget()
        fakes.enter(state)
    return IterationResult(losses, dict(with_usage(state, fakes.usage)))


def lower_precision(context: IterationContext) -> AbstractContextManager[Any]:
    """Autocast context for forward passes, if the protocol sets a lower precision."""
    if context.autocast is None:
        return nullcontext()
    return torch.autocast(context.index.device.type, context.autocast)


@dataclass(frozen=True)
class _Sources:
    """Arguments that a loss may declare by name, each built on first use."""

    turn: Turn
    position: int
    draws: Draws
    fakes: _Fakes
    state: Mapping[str, Tensor]
    mover: Player

    def get(self, name: str) -> Any:
        if name == "real":
            return self.fakes.context.label_reads.observe(self.draws.real[self.turn.real])
        if name == "fake":
            return self.fakes.get(self.turn, self.position, attached=self.mover.generates)
        return self.draws.noise[self.position] if name == "noise" else self.state


def _loss(player: Player, sources: _Sources) -> tuple[Tensor, Mapping[str, Tensor]]:
    result = player.loss(**{name: sources.get(name) for name in player.arguments})
    return result if isinstance(result, tuple) else (result, {})


def _kept(value: Tensor) -> Tensor:
    """Convert a logged value to a number of at least 32 bits."""
    return value.detach().to(torch.promote_types(value.dtype, torch.float32))


class _Fakes:
    """Generated samples of an iteration; one forward pass serves every turn until the generators move."""

    def __init__(
        self,
        context: IterationContext,
        turns: Sequence[Turn],
        draws: Draws,
        state: Mapping[str, Tensor],
        usage: Mapping[str, Tensor],
    ) -> None:
        """Begin an iteration; `usage` has the samples of each generator so far, if they are counted."""
        self.context, self.draws, self.state, self.usage = context, draws, state, usage
        self._counted: set[int] = set()
        self._made: dict[int, Fake] = {}
        # Only draws seen by a generating player need the generators' graph.
        self._with_graph = {
            context.latents_of(turn, position)
            for position, turn in enumerate(turns)
            if any(name in context.model.generating for name in turn.players)
        }

    def get(self, turn: Turn, position: int, *, attached: bool) -> Fake:
        """Samples of a turn, attached to or detached from the generators' graph."""
        number = self.context.latents_of(turn, position)
        if number not in self._made:
            with torch.set_grad_enabled(number in self._with_graph):
                self._made[number] = self._choose(number) if number in self.draws.gumbel else self._generate(number)
        fake = self._made[number]
        return fake if attached else fake.detach()

    def forget(self) -> None:
        """Drop cached samples after the generators have moved: the same latents now give other samples."""
        self._made.clear()

    def enter(self, state: Mapping[str, Tensor]) -> None:
        """Drop cached samples whose generators were chosen by another state of the model."""
        if self.context.model.chooses and state is not self.state:
            self.forget()
        self.state = state

    def _generate(self, number: int) -> Fake:
        z = self.draws.latents[number]
        k, each, size = z.shape
        with lower_precision(self.context):
            x = self.context.model.generate(z).to(z.dtype)
        return Fake(x.flatten(0, 1), z.reshape(k * each, size), self.context.index, k)

    def _choose(self, number: int) -> Fake:
        """Evaluate all generators at the same latents, and choose one for each sample."""
        (z,), gumbel = self.draws.latents[number], self.draws.gumbel[number]
        with lower_precision(self.context):
            candidates, probabilities = self.context.model.propose(z, self.state)
        candidates, probabilities = candidates.to(z.dtype), probabilities.to(z.dtype)
        index = choose(probabilities, gumbel)
        if number not in self._counted:  # samples that are generated again belong to the same draw
            self._counted.add(number)
            self.usage = {USAGE: used(self.usage, index)}
        return Fake(pick(candidates, index), z, index, len(candidates), candidates, probabilities, gumbel)
