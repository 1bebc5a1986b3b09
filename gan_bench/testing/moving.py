"""Iterations carried elsewhere: onto a device that holds no values, and several seeds into one program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from gan_bench.dataset import Real
from gan_bench.iteration import Draws, Player, Rules, play
from gan_bench.model import Fake, Turn
from gan_bench.testing.checks import Fault, first_line, place, refuse
from gan_bench.testing.settings import Setting
from gan_bench.training import Trainer

META = torch.device("meta")
CLOSE = {"rtol": 1e-3, "atol": 1e-5}  # float32: a stacked product is summed in another order


def check_devices(t: Trainer, setting: Setting) -> None:
    """Carry out an iteration on `meta`, where every tensor that stayed behind is in the way.

    Raises:
        Fault: something was made on, or copied to, a device of its own.
    """
    turns = tuple(t.model.turns(0))
    draws = _moved(t.draw(turns))
    state = {name: value.to(META) for name, value in t.state.items()}
    try:
        model = t.model.to(META)
        own = {player: dict(model.get_submodule(player).named_parameters()) for player in t.parameters}
        rules = replace(t.rules, index=t.rules.index.to(META))
        play(rules, turns, draws, own, state, lambda player, gradients: None)
    except Exception as error:
        raise Fault(
            f"with {setting}, an iteration fails on another device{place(error)}: {first_line(error)}",
            "a tensor is made on the CPU, is kept there, or is copied there: the model would not run on a GPU",
            "make tensors with device=x.device or from others (x.new_ones), register constants as buffers, and leave "
            "out .cpu(), .numpy() and .cuda()",
        ) from error


def _moved(draws: Draws) -> Draws:
    """The same draws, without values."""
    return Draws(
        {number: Real(**_without_values(vars(real))) for number, real in draws.real.items()},
        {number: z.to(META) for number, z in draws.latents.items()},
        {position: _without_values(noise) for position, noise in draws.noise.items()},
    )


def _without_values(tensors: Mapping[str, Tensor | None]) -> dict[str, Any]:
    return {name: None if value is None else value.to(META) for name, value in tensors.items()}


def check_stacks(trainers: Sequence[Trainer], setting: Setting) -> None:
    """Each loss of a stack of seeds, and its gradients, are those of each seed by itself.

    Raises:
        Fault: `torch.func.vmap` refuses the loss, or makes another one of it.
    """
    first = trainers[0]
    turns = tuple(first.model.turns(0))
    draws = [t.draw(turns) for t in trainers]
    for position, turn in enumerate(turns):
        given = [_given(t, drawn, turn, position) for t, drawn in zip(trainers, draws, strict=True)]
        for player in turn.players:
            _check_loss(trainers, player, given, setting)


def _check_loss(trainers: Sequence[Trainer], player: str, given: Sequence[Any], setting: Setting) -> None:
    tensors = [{name: value.detach().clone() for name, value in t.model.state_dict().items()} for t in trainers]
    singles = [
        _gradients(_loss_of(t.rules, t.rules.player(player)), own, one, player)
        for t, own, one in zip(trainers, tensors, given, strict=True)
    ]
    rules = trainers[0].rules
    stacked = vmap(_loss_of(rules, rules.player(player)))
    try:
        together = _gradients(stacked, _stack(tensors), _stack(given), player)
    except Exception as error:
        raise Fault(
            f"with {setting}, {player}_loss() cannot be stacked{place(error)}: {first_line(error)}",
            "several seeds train as one program on a GPU, by torch.func.vmap over the losses",
            "take derivatives with torch.func.grad, and change nothing in place; or declare `stackable = False`",
        ) from error
    for seed, single in enumerate(singles):
        for name, value in single.items():
            if not torch.allclose(together[name][seed], value, equal_nan=True, **CLOSE):
                refuse(
                    f"with {setting}, {player}_loss() of two stacked seeds differs from a single one's in {name}",
                    "seeds that train together would influence one another",
                    "let the loss depend on its arguments and networks alone; or declare `stackable = False`",
                )


def _gradients(
    loss: Callable[..., Tensor], tensors: Mapping[str, Tensor], given: Any, player: str
) -> dict[str, Tensor]:
    """The loss (of each seed), and its gradients by the player's parameters."""
    own = {name: value for name, value in tensors.items() if name.startswith(f"{player}.") and _is_float(value)}
    leaves = {name: value.requires_grad_() if name in own else value for name, value in tensors.items()}
    value = loss(leaves, given)
    found = torch.autograd.grad(value.sum(), list(own.values()), allow_unused=True)
    named = {name: gradient for name, gradient in zip(own, found, strict=True) if gradient is not None}
    return {"its value": value.detach(), **{f"the gradient of {name}": gradient for name, gradient in named.items()}}


def _is_float(value: Tensor) -> bool:
    return value.is_floating_point()


def _given(t: Trainer, draws: Draws, turn: Turn, position: int) -> dict[str, Any]:
    """What the losses of a turn may ask for, as tensors in dicts."""
    given: dict[str, Any] = {"state": dict(t.state), "noise": dict(draws.noise.get(position, {}))}
    number = t.rules.latents_of(turn, position)
    if turn.real in draws.real:
        given["real"] = {name: value for name, value in vars(draws.real[turn.real]).items() if value is not None}
    if number in draws.latents:
        given["z"] = draws.latents[number]
    return given


def _loss_of(rules: Rules, player: Player) -> Callable[[Mapping[str, Tensor], Mapping[str, Any]], Tensor]:
    """A player's loss as a function of the model's tensors and of what it is given."""

    def arguments(given: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {name: given[name] for name in ("state", "noise") if name in player.wants}
        if "real" in player.wants:
            made["real"] = Real(**given["real"])
        if "fake" in player.wants:
            z = given["z"]
            fake = Fake(rules.model.generate(z).flatten(0, 1), z.flatten(0, 1), rules.index, len(z))
            made["fake"] = fake if player.generates else fake.detach()
        return made

    def loss(tensors: Mapping[str, Tensor], given: Mapping[str, Any]) -> Tensor:
        def call() -> Tensor:
            result = player.loss(**arguments(given))
            value: Tensor = result[0] if isinstance(result, tuple) else result
            return value

        inside = {f"model.{name}": value for name, value in tensors.items()}
        value: Tensor = functional_call(_Inside(rules.model, call), inside, ())
        return value

    return loss


class _Inside(nn.Module):
    """Calls a function while other tensors stand in for a model's."""

    def __init__(self, model: nn.Module, call: Callable[[], Tensor]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self) -> Tensor:
        return self.call()


def _stack(trees: Sequence[Any]) -> Any:
    """Nested dicts of tensors as one, with the seed as the first dimension."""
    if isinstance(trees[0], Tensor):
        return torch.stack([tree.detach() for tree in trees])
    return {name: _stack([tree[name] for tree in trees]) for name in trees[0]}
