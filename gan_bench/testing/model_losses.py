"""Checks of a model's losses and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gan_bench.contracts.model import Turn
from gan_bench.testing.checks import refuse
from gan_bench.testing.model_samples import latents_of
from gan_bench.testing.tiny import difference
from gan_bench.training.iteration import MOST_TURNS, Draws, IterationResult, Player, play
from gan_bench.training.trainer import Trainer

LOOKAHEAD = 200  # number of iterations whose turns are inspected
RATE = 0.005
PURE = "write a loss as a pure function of its arguments: return a value, and leave updates to the trainer"


def watch(t: Trainer, around: Callable[[Player], Callable[..., Any]], move: Callable[..., None]) -> None:
    """Wrap a trainer's losses and steps in a check."""
    players = {name: replace(player, loss=around(player)) for name, player in t.context.players.items()}
    context = replace(t.context, players=players)

    def run_iteration(turns: tuple[Turn, ...], draws: Draws) -> IterationResult:
        return play(context, turns, draws, t.parameters, t.state, move)

    t.run_iteration = run_iteration
    t.play_prelude = run_iteration


def descend(t: Trainer, player: str, gradients: Sequence[Tensor | None]) -> None:
    """Take a step of plain gradient descent."""
    for parameter, gradient in zip(t.parameters[player].values(), gradients, strict=True):
        if gradient is not None:
            parameter.sub_(RATE * gradient)


def requires_scalar(t: Trainer, player: Player) -> Callable[..., Any]:
    """Return a player's loss with a check that it is a scalar, or a scalar and a dict of scalars."""

    def loss(**arguments: Any) -> Any:
        result = player.loss(**arguments)
        pair = result if isinstance(result, tuple) else (result, {})
        values = [pair[0], *pair[1].values()] if len(pair) == 2 and isinstance(pair[1], Mapping) else [result]
        for value in values:
            if not isinstance(value, Tensor) or value.dim() != 0 or not value.is_floating_point():
                tensor = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
                refuse(
                    f"{player.name}_loss() returns {tensor or type(value).__name__}",
                    "a player minimises one number, and each value logged with it is a number",
                    "return a scalar tensor, such as a mean over the batch, or it and a dict of scalar tensors",
                )
        return _with_graph(t, player, result)

    return loss


def _with_graph(t: Trainer, player: Player, result: Any) -> Any:
    """Return the result of a loss, connected to all parameters of its player.

    A loss without a graph then can be differentiated. The check `learns` reports it.
    """
    graph = 0 * sum(parameter.sum() for parameter in t.parameters[player.name].values())
    return (result[0] + graph, result[1]) if isinstance(result, tuple) else result + graph


class Ledger:
    """Expected parameters of every player, compared before and after each loss and at the end."""

    def __init__(self, t: Trainer) -> None:
        self.t = t
        self.kept = {player: self._now(player) for player in t.parameters}
        self.moved: set[str] = set()
        t.renew = partial(self._renewed, t.renew)

    def around(self, player: Player) -> Callable[..., Any]:
        """Return the player's loss, wrapped in two comparisons."""

        def loss(**arguments: Any) -> Any:
            self.settle()
            result = player.loss(**arguments)
            self._compare(f"{player.name}_loss()")
            return _with_graph(self.t, player, result)

        return loss

    def move(self, player: str, gradients: Sequence[Tensor | None]) -> None:
        """Take a player's step. Afterwards, `constrain` may change its parameters, too."""
        self._compare("a loss or its backward pass", self.moved)
        descend(self.t, player, gradients)
        self.moved.add(player)

    def settle(self) -> None:
        """Compare between turns, and record the new parameters of the players that have moved."""
        self._compare("generate(), constrain(), after_turn() or turns()", self.moved)
        for player in self.moved:
            self.kept[player] = self._now(player)
        self.moved.clear()

    def _renewed(self, renew: Callable[[str, int], None], player: str, number: int) -> None:
        """Initialise a player again at a stage, and record its new parameters."""
        self.settle()
        renew(player, number)
        self.kept[player] = self._now(player)

    def _now(self, player: str) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.t.parameters[player].items()}

    def _compare(self, who: str, free: set[str] | None = None) -> None:
        for player, kept in self.kept.items():
            name = None if player in (free or ()) else difference(kept, self._now(player))
            if name:
                refuse(
                    f"{who} changes {player}.{name}",
                    "a turn would change parameters of other players, so losses would not be those of the paper",
                    PURE,
                )


def check_all_players_update(t: Trainer) -> None:
    """Check that every player has a turn."""
    turns = [turn for i in range(LOOKAHEAD) for turn in t.model.turns(i)]
    turns += [turn for stage in t.model.stages(t.protocol.iterations) for turn in stage.prelude]
    movers = {player for turn in turns for player in turn.players}
    for player in t.model.players:
        if player not in movers:
            refuse(
                f"player {player!r} has no turn in the first {LOOKAHEAD} iterations",
                "its parameters would keep their initial values",
                "add a turn for it to turns(), or remove it from `players`",
            )


def representative_iterations(t: Trainer) -> list[int]:
    """Return up to four iterations with different sequences of turns, and one that begins a stage."""
    first: dict[tuple[Turn, ...], int] = {}
    for iteration in range(LOOKAHEAD):
        turns = tuple(t.model.turns(iteration))
        if len(turns) <= MOST_TURNS:
            first.setdefault(turns, iteration)
    stages = [stage.first for stage in t.model.stages(t.protocol.iterations)]
    return [*list(first.values())[:4], *stages[1:2]]


def requires_graph(t: Trainer, player: Player) -> Callable[..., Any]:
    """Return a player's loss with a check that it requires a gradient."""

    def loss(**arguments: Any) -> Any:
        result = player.loss(**arguments)
        value = result[0] if isinstance(result, tuple) else result
        if not value.requires_grad:
            _refuse_detached(t, player.name)
        return result

    return loss


def requires_gradient(t: Trainer, player: str, gradients: Sequence[Tensor | None]) -> None:
    """Refuse a loss that depends on no parameter of its player; otherwise descend."""
    if gradients and all(gradient is None for gradient in gradients):
        _refuse_detached(t, player)
    descend(t, player, gradients)


def _refuse_detached(t: Trainer, player: str) -> None:
    """Raise a fault that explains why the parameters of a player would never change."""
    reason = "its parameters would keep their initial values"
    if player not in t.model.generating:
        refuse(
            f"{player}_loss() does not depend on any parameter of {player}",
            reason,
            "compute the loss from the output of its network, or remove the player from `players`",
        )
    with torch.enable_grad():
        samples = t.model.generate(latents_of(t, t.model.playing))
    if not samples.requires_grad:
        refuse(
            "generate() returns samples that are detached from the generators",
            f"no loss can update them: {reason}",
            "remove .detach(), .data, torch.no_grad() and copies through numpy from generate()",
        )
    refuse(
        f"{player}_loss() is detached from the generated samples",
        reason,
        "compute it from fake.x without .detach(), .data or torch.no_grad()",
    )


def record_gradients(t: Trainer, seen: dict[str, bool | None], player: str, gradients: Sequence[Tensor | None]) -> None:
    """Record whether each parameter has had a non-zero gradient; None means that it has never had any gradient."""
    for name, gradient in zip(t.parameters[player], gradients, strict=True):
        if gradient is not None:
            full = f"{player}.{name}"
            seen[full] = bool(seen[full]) or bool((gradient != 0).any())
    descend(t, player, gradients)


def without_gradient(seen: Mapping[str, bool | None]) -> list[str]:
    """Return the parameters without a gradient, and those with a zero gradient in a layer of zero gradients only.

    The last bias of a Wasserstein critic, for example, cancels although its layer learns.
    """
    layers = {name.rpartition(".")[0] for name, moved in seen.items() if moved}
    return sorted(name for name, moved in seen.items() if moved is None or name.rpartition(".")[0] not in layers)
