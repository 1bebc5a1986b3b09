"""Training one model with one seed: the iteration, and the state that a checkpoint holds.

An iteration is straight-line tensor code: nothing in it waits for the device, prints or branches on a value.
Losses are kept as tensors and read only when an evaluation is due.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gan_bench.dataset import Dataset, Real
from gan_bench.errors import PluginError, allowed
from gan_bench.model import Fake, Latents, Model, Noise, Turn
from gan_bench.network import Initialisation, Network, Networks, initialise
from gan_bench.protocol import Protocol
from gan_bench.randomness import Randomness, seed_of

ARGUMENTS = ("real", "fake", "noise", "state")


@dataclass
class Counts:
    """What a run has used so far."""

    real_samples: int = 0
    fake_samples: int = 0
    updates: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Player:
    """One player's parameters, optimiser and loss, looked up once."""

    name: str
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    rate: float
    loss: Callable[..., Any]
    wants: frozenset[str]
    generates: bool


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
        self.index = torch.arange(model.generators, device=device).repeat_interleave(self.each)
        self.iteration = 0
        self.counts = Counts(updates=dict.fromkeys(model.players, 0))
        self.losses: dict[str, Tensor] = {}
        self.state = {name: value.to(device) for name, value in model.initial_state().items()}
        self.noise = model.noise(protocol.batch, self.each * model.generators)
        self.trains = bool(model.turns(0))
        self.players = {name: self._player(name) for name in model.players} if self.trains else {}
        self.average = _Average(model, protocol.ema) if protocol.ema else None

    def iterate(self) -> None:
        """Carry out one iteration."""
        draws = _Draws(self)
        for position, turn in enumerate(draws.turns):
            self._take(turn, position, draws)
        if self.average:
            self.average.update()
        self.iteration += 1

    def _take(self, turn: Turn, position: int, draws: _Draws) -> None:
        """One turn: all gradients at the same point, then all steps."""
        movers = [self._mover(name) for name in turn.players]
        values: dict[str, Tensor] = {}
        for player in movers:
            loss, extra = self._loss(player, turn, position, draws)
            # a graph that another player of this turn still needs is kept; parameters of others get no gradient
            own = list(player.parameters.values())
            torch.autograd.backward(loss, inputs=own, retain_graph=player is not movers[-1])
            self.losses[player.name] = loss.detach()
            values |= {name: value.detach() for name, value in extra.items()}
        for player in movers:
            self._step(player)
        if any(player.generates for player in movers):
            draws.forget_fakes()
        with torch.no_grad():
            self.state = dict(self.model.after_turn(turn, self.state, values))

    def _loss(self, player: _Player, turn: Turn, position: int, draws: _Draws) -> tuple[Tensor, Mapping[str, Tensor]]:
        sources: dict[str, Callable[[], Any]] = {
            "real": lambda: draws.real(turn.real),
            "fake": lambda: draws.fake(draws.latents_of(turn, position), attached=player.generates),
            "noise": lambda: draws.noise(position),
            "state": lambda: self.state,
        }
        result = player.loss(**{name: source() for name, source in sources.items() if name in player.wants})
        return result if isinstance(result, tuple) else (result, {})

    def _step(self, player: _Player) -> None:
        if self.protocol.decay == "linear":
            for group in player.optimizer.param_groups:
                group["lr"] = player.rate * (1 - self.iteration / self.protocol.iterations)
        player.optimizer.step()
        player.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.model.constrain(player.name, player.parameters)
        self.counts.updates[player.name] += 1

    def _mover(self, name: str) -> _Player:
        if name not in self.players:
            raise PluginError(f"{self.model.name}: a turn names the player {name!r}; {allowed(name, self.players)}")
        return self.players[name]

    def _player(self, name: str) -> _Player:
        loss = getattr(self.model, f"{name}_loss", None)
        if loss is None:
            raise PluginError(f"{self.model.name}: player {name!r} has no method {name}_loss().")
        wants = frozenset(inspect.signature(loss).parameters)
        if wants - set(ARGUMENTS):
            unknown = ", ".join(sorted(wants - set(ARGUMENTS)))
            raise PluginError(f"{self.model.name}: {name}_loss() asks for {unknown}; it may have {ARGUMENTS}.")
        parameters = dict(self.model.get_submodule(name).named_parameters())
        optimizer = _optimizer(self.protocol, name, list(parameters.values()))
        rate = float(self.protocol.of(name, "learning_rate"))
        return _Player(name, parameters, optimizer, rate, loss, wants, name in self.model.generating)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next iteration depends on, as plain containers of tensors and numbers."""
        return {
            "iteration": self.iteration,
            "model": self.model.state_dict(),
            "optimizers": {name: player.optimizer.state_dict() for name, player in self.players.items()},
            "state": self.state,
            "losses": self.losses,
            "average": self.average.values if self.average else {},
            "counts": vars(self.counts) | {"updates": dict(self.counts.updates)},
        }

    def load_state_dict(self, stored: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`, which stays as it is."""
        stored = copy.deepcopy(dict(stored))
        self.model.load_state_dict(stored["model"])
        for name, player in self.players.items():
            player.optimizer.load_state_dict(stored["optimizers"][name])
        self.state = {name: value.to(self.device) for name, value in stored["state"].items()}
        if self.average:
            self.average.load(stored["average"])
        self.losses = {name: value.to(self.device) for name, value in stored["losses"].items()}
        self.counts = Counts(**stored["counts"])
        self.iteration = int(stored["iteration"])


class _Draws:
    """The random draws of one iteration, each made at most once and only where a loss asks for it."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.turns = trainer.model.turns(trainer.iteration)
        self._real: dict[int, Real] = {}
        self._z: dict[int, Tensor] = {}
        self._fake: dict[int, Fake] = {}
        # only draws that a generating player sees need the generators' graph
        self._with_graph = {
            self.latents_of(turn, position)
            for position, turn in enumerate(self.turns)
            if any(name in trainer.model.generating for name in turn.players)
        }

    def latents_of(self, turn: Turn, position: int) -> int:
        """The number of a turn's draw of latents."""
        return turn.latents if self.trainer.protocol.latents == "shared" else position

    def real(self, number: int) -> Real:
        """The real samples of a draw."""
        if number not in self._real:
            t = self.trainer
            rng = t.randomness.at("data", t.iteration, number)
            self._real[number] = t.dataset.draw(t.protocol.batch, rng)
            t.counts.real_samples += t.protocol.batch
        return self._real[number]

    def fake(self, number: int, *, attached: bool) -> Fake:
        """The generated samples of a draw; one forward pass serves every turn until the generators move."""
        if number not in self._fake:
            with torch.set_grad_enabled(number in self._with_graph):
                self._fake[number] = self._generate(number)
        fake = self._fake[number]
        return fake if attached else fake.detach()

    def forget_fakes(self) -> None:
        """The generators have moved: samples of the same latents must be made anew."""
        self._fake.clear()

    def noise(self, position: int) -> dict[str, Tensor]:
        """The random numbers that the model declared, for the turn at this position."""
        t = self.trainer
        return {
            name: _draw_noise(noise, t.randomness.at(f"noise/{name}", t.iteration, position))
            for name, noise in t.noise.items()
        }

    def _generate(self, number: int) -> Fake:
        t = self.trainer
        k, each = t.model.generators, t.each
        if number not in self._z:
            self._z[number] = self._draw_latents(number)
            t.counts.fake_samples += k * each
        z = self._z[number]
        x = t.model.generate(z)
        return Fake(x.flatten(0, 1), z.reshape(k * each, -1), t.index, k)

    def _draw_latents(self, number: int) -> Tensor:
        """(K, each, size). The total is drawn whatever K is, so that every K that divides it sees the same."""
        t = self.trainer
        k, each = t.model.generators, t.each
        rng = t.randomness.at("latents", t.iteration, number)
        z = t.latents.draw(t.protocol.fakes or k * each, rng)
        if t.model.shared_noise:
            return z[:each].expand(k, each, -1)
        return z[: k * each].view(k, each, -1)


def _draw_noise(noise: Noise, rng: torch.Generator) -> Tensor:
    values = torch.empty(noise.shape, device=rng.device)
    return values.normal_(generator=rng) if noise.distribution == "normal" else values.uniform_(generator=rng)


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


def _optimizer(protocol: Protocol, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """A player's optimiser; Adam and SGD fused, which is one pass over the parameters instead of several."""
    kind, rate = protocol.of(player, "optimizer"), float(protocol.of(player, "learning_rate"))
    if kind == "adam":
        first, second = protocol.of(player, "betas")
        return torch.optim.Adam(parameters, lr=rate, betas=(first, second), fused=True)
    if kind == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate)
    return torch.optim.SGD(parameters, lr=rate, fused=True)
