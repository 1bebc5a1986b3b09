"""Training one model with one seed: draws, optimisers, and the state that a checkpoint holds.

What happens in an iteration stands in `gan_bench.iteration`. Losses are kept as tensors and read only when an
evaluation is due.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gan_bench.dataset import Dataset, Real
from gan_bench.errors import PluginError
from gan_bench.iteration import Draws, Played, Player, Rules, play
from gan_bench.model import Latents, Model, Turn
from gan_bench.network import Initialisation, Network, Networks, initialise
from gan_bench.optimisers import make_optimiser
from gan_bench.protocol import Protocol
from gan_bench.randomness import Randomness, seed_of

ARGUMENTS = ("real", "fake", "noise", "state")


@dataclass
class Counts:
    """What a run has used so far."""

    real_samples: int = 0
    fake_samples: int = 0
    updates: dict[str, int] = field(default_factory=dict)

    def add(self, turns: Sequence[Turn], draws: Draws) -> None:
        """Count an iteration."""
        self.real_samples += sum(len(real.x) for real in draws.real.values())
        self.fake_samples += sum(z.shape[0] * z.shape[1] for z in draws.latents.values())
        for turn in turns:
            for name in turn.players:
                self.updates[name] += 1


def build(
    model: Model, network: Network, dataset: Dataset, protocol: Protocol, seed: int, device: torch.device
) -> Model:
    """Build and initialise a model's networks; the same seed gives the same weights on every device."""
    with torch.random.fork_rng(devices=[]):  # what `initialise` does not know starts from the seed as well
        torch.default_generator.manual_seed(seed_of(seed, "build"))
        players = model.build(Networks(network, dataset, protocol.latent_size))
    if set(players) != set(model.players):
        raise PluginError(f"{model.name}: build() made {sorted(players)}, players are {sorted(model.players)}.")
    randomness = Randomness(seed, torch.device("cpu"))
    init = Initialisation(protocol.init, protocol.init_scale)
    for name in model.players:
        model.add_module(name, players[name])
        initialise(players[name], init, randomness.at(f"init/{name}"))
    _check_disjoint(model)
    return model.to(device)


def _check_disjoint(model: Model) -> None:
    """Two players that own the same parameter would undo each other's steps without anybody noticing."""
    owner: dict[nn.Parameter, str] = {}
    for player in model.players:
        for name, parameter in model.get_submodule(player).named_parameters():
            other = owner.setdefault(parameter, player)
            if other != player:
                raise PluginError(f"{model.name}: players {other!r} and {player!r} share the parameter {name}.")


class Trainer:
    """One model, its optimisers and its position in the run."""

    def __init__(self, model: Model, dataset: Dataset, protocol: Protocol, seed: int, device: torch.device) -> None:
        self.model, self.dataset, self.protocol, self.device = model, dataset, protocol, device
        self.randomness = Randomness(seed, device)
        self.latents = Latents(protocol.latent, protocol.latent_size)
        self.each = protocol.fakes_each(model.generators)
        self.iteration = 0
        self.counts = Counts(updates=dict.fromkeys(model.players, 0))
        self.losses: dict[str, Tensor] = {}
        self.state: Mapping[str, Tensor] = {name: value.to(device) for name, value in model.initial_state().items()}
        self.noise = model.noise(protocol.batch, self.each * model.generators)
        self.trains = bool(model.turns(0))
        players = model.players if self.trains else ()
        index = torch.arange(model.generators, device=device).repeat_interleave(self.each)
        self.rules = Rules(model, {name: _player(model, name) for name in players}, index, protocol.latents == "shared")
        self.parameters = {name: dict(model.get_submodule(name).named_parameters()) for name in players}
        self.optimizers = {
            name: make_optimiser(protocol, name, list(own.values())) for name, own in self.parameters.items()
        }
        self.average = _Average(model, protocol.ema) if protocol.ema else None
        self.carry_out = self.play  # or compiled, see `gan_bench.compilation`

    def iterate(self) -> None:
        """Carry out one iteration."""
        turns = tuple(self.model.turns(self.iteration))
        draws = self.draw(turns)
        played = self.carry_out(turns, draws)
        self.losses |= played.losses
        self.state = played.state
        self.counts.add(turns, draws)
        if self.average:
            self.average.update()
        self.iteration += 1

    def play(self, turns: tuple[Turn, ...], draws: Draws) -> Played:
        """Carry out the turns of an iteration, one operation after the other."""
        return play(self.rules, turns, draws, self.parameters, self.state, self._move)

    def rate(self, player: str) -> float:
        """A player's learning rate in this iteration."""
        rate = float(self.protocol.of(player, "learning_rate"))
        return rate * (1 - self.iteration / self.protocol.iterations) if self.protocol.decay == "linear" else rate

    def draw(self, turns: tuple[Turn, ...]) -> Draws:
        """What the losses of these turns ask for, each draw once."""
        draws = Draws()
        for position, turn in enumerate(turns):
            wants = frozenset[str]().union(*(self.rules.player(name).wants for name in turn.players))
            number = self.rules.latents_of(turn, position)
            if "real" in wants and turn.real not in draws.real:
                draws.real[turn.real] = self._draw_real(turn.real)
            if "fake" in wants and number not in draws.latents:
                draws.latents[number] = self._draw_latents(number)
            if "noise" in wants:
                draws.noise[position] = self._draw_noise(position)
        return draws

    def _draw_real(self, number: int) -> Real:
        return self.dataset.draw(self.protocol.batch, self.randomness.at("data", self.iteration, number))

    def _draw_latents(self, number: int) -> Tensor:
        """(K, each, size). The total is drawn whatever K is, so that every K that divides it sees the same."""
        k, each = self.model.generators, self.each
        rng = self.randomness.at("latents", self.iteration, number)
        z = self.latents.draw(self.protocol.fakes or k * each, rng)
        if self.model.shared_noise:
            return z[:each].expand(k, each, -1)
        return z[: k * each].view(k, each, -1)

    def _draw_noise(self, position: int) -> dict[str, Tensor]:
        """The random numbers that the model declared, for the turn at this position."""
        return {
            name: noise.draw(self.randomness.at(f"noise/{name}", self.iteration, position))
            for name, noise in self.noise.items()
        }

    def _move(self, player: str, gradients: Sequence[Tensor | None]) -> None:
        optimizer = self.optimizers[player]
        for parameter, gradient in zip(self.parameters[player].values(), gradients, strict=True):
            parameter.grad = gradient
        for group in optimizer.param_groups:
            group["lr"] = self.rate(player)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next iteration depends on, as plain containers of tensors and numbers."""
        return {
            "iteration": self.iteration,
            "model": self.model.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "state": dict(self.state),
            "losses": self.losses,
            "average": self.average.values if self.average else {},
            "counts": vars(self.counts) | {"updates": dict(self.counts.updates)},
        }

    def load_state_dict(self, stored: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`, which stays as it is; uncompiled, since programs know the tensors of before."""
        self.carry_out = self.play
        stored = copy.deepcopy(dict(stored))
        self.model.load_state_dict(stored["model"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(stored["optimizers"][name])
        self.state = {name: value.to(self.device) for name, value in stored["state"].items()}
        if self.average:
            self.average.load(stored["average"])
        self.losses = {name: value.to(self.device) for name, value in stored["losses"].items()}
        self.counts = Counts(**stored["counts"])
        self.iteration = int(stored["iteration"])


def _player(model: Model, name: str) -> Player:
    """What an iteration has to know of a player, looked up once."""
    loss = getattr(model, f"{name}_loss", None)
    if loss is None:
        raise PluginError(f"{model.name}: player {name!r} has no method {name}_loss().")
    wants = frozenset(inspect.signature(loss).parameters)
    if wants - set(ARGUMENTS):
        unknown = ", ".join(sorted(wants - set(ARGUMENTS)))
        raise PluginError(f"{model.name}: {name}_loss() asks for {unknown}; it may have {ARGUMENTS}.")
    return Player(name, loss, wants, name in model.generating)


class _Average:
    """An exponential moving average of the generating players' parameters."""

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        prefixes = tuple(f"{name}." for name in model.generating)
        self._live = {name: p for name, p in model.named_parameters() if name.startswith(prefixes)}
        self.values = {name: p.detach().clone() for name, p in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the parameters of now."""
        for name, parameter in self._live.items():
            self.values[name].lerp_(parameter, 1 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and parameters; calling it again undoes it."""
        for name, parameter in self._live.items():
            kept = parameter.clone()
            parameter.copy_(self.values[name])
            self.values[name] = kept

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take over stored averages."""
        for name, value in values.items():
            self.values[name].copy_(value)
