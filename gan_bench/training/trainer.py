"""Training of one model with one seed: draws, optimisers, and the state of a checkpoint.

`gan_bench.training.iteration` defines an iteration. Losses are kept as tensors and read only when an
evaluation is due.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.model import Latents, Model, Stage, Turn
from gan_bench.contracts.protocol import Protocol
from gan_bench.errors import Diverged, PluginError
from gan_bench.store.checkpoints import CountsState, TrainerState
from gan_bench.training.average import Average
from gan_bench.training.draws import DrawSource, Moment
from gan_bench.training.iteration import MOST_TURNS, Draws, IterationContext, IterationResult, Player, play
from gan_bench.training.optimisers import make_optimiser, match_state_strides, match_strides
from gan_bench.training.randomness import Randomness
from gan_bench.training.stages import Pool, Renewal, change_state
from gan_bench.training.state import USAGE, initial_state, without_usage

ARGUMENTS = ("real", "fake", "noise", "state")


@dataclass
class Counts:
    """Samples and updates that a run has used so far."""

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

    def state_dict(self) -> CountsState:
        """The counts as a checkpoint keeps them."""
        return {
            "real_samples": self.real_samples,
            "fake_samples": self.fake_samples,
            "updates": dict(self.updates),
        }


class Trainer:
    """One model, its optimisers and its position in the run.

    Attributes:
        run_iteration: executes an iteration: `play`, or a compiled program of it. Can be replaced.
        play_prelude, renew: execute a prelude's turn, initialise a player again. Can be replaced.
        renewed: number of updates that each player had when it was last initialised.
    """

    def __init__(self, model: Model, dataset: Dataset, protocol: Protocol, seed: int, device: torch.device) -> None:
        self.model, self.dataset, self.protocol, self.device = model, dataset, protocol, device
        self.randomness = Randomness(seed, device)
        self.latents = Latents(protocol.latent, protocol.latent_size)
        self.each = protocol.fakes_each(model.playing)
        _require_all_playing(model)
        self.iteration = 0
        self.counts = Counts(updates=dict.fromkeys(model.players, 0))
        self.losses: dict[str, Tensor] = {}
        self.state: Mapping[str, Tensor] = initial_state(model, device)
        self.trains = bool(model.turns(0))
        players = model.players if self.trains else ()
        index = torch.arange(model.playing, device=device).repeat_interleave(self.each)
        of = {name: _player(model, name) for name in players}
        autocast = torch.bfloat16 if protocol.precision == "bfloat16" else None
        self.context = IterationContext(model, of, index, protocol.latents == "shared", autocast)
        self.parameters = {name: dict(model.get_submodule(name).named_parameters()) for name in players}
        self.optimizers = {
            name: make_optimiser(protocol, name, list(own.values())) for name, own in self.parameters.items()
        }
        self.average = Average(model, protocol.ema) if protocol.ema else None
        self.stages = tuple(model.stages(protocol.iterations)) if self.trains else ()
        self.pool = Pool(model, dataset, protocol.batch, self.randomness, self.context.label_reads)
        self.renewed = dict.fromkeys(model.players, 0)
        self._renewal = Renewal(model, protocol, seed, self.stages)
        self.draw_source = DrawSource(model, dataset, protocol, self.randomness, self._draw_by_weights)
        self.run_iteration = self.play
        self.play_prelude: Callable[[tuple[Turn, ...], Draws], IterationResult] = self.play
        self.renew: Callable[[str, int], None] = self._renew

    def iterate(self) -> None:
        """Execute one iteration, after the prelude of its stage if one begins."""
        self.enter_stage()
        turns = tuple(self.model.turns(self.iteration))
        draws = self.draw(turns)
        played = self.run_iteration(turns, draws)
        self.losses |= played.losses
        self.state = played.state
        self.counts.add(turns, draws)
        if self.average:
            self.average.update()
        self.iteration += 1

    def play(self, turns: tuple[Turn, ...], draws: Draws) -> IterationResult:
        """Execute the turns of an iteration eagerly, one operation after the other."""
        return play(self.context, turns, draws, self.parameters, self.state, self._move)

    @property
    def begins_stage(self) -> bool:
        """Whether the next iteration begins a stage."""
        return any(stage.first == self.iteration for stage in self.stages)

    def enter_stage(self) -> None:
        """Execute the prelude of a stage that begins now, let the model change its state, and renew players.

        Raises:
            Diverged: a stage begins with parameters that are not finite.
        """
        for number, stage in enumerate(self.stages):
            if stage.first == self.iteration:
                check_parameters(self)
                self._enter(number, stage)

    def _enter(self, number: int, stage: Stage) -> None:
        for position, turn in enumerate(stage.prelude):
            draws = self.draw((turn,), moment=(number, position))
            played = self.play_prelude((turn,), draws)
            self.losses |= played.losses
            self.state = played.state
            self.counts.add((turn,), draws)
        with torch.no_grad(), self.averaged():  # a model sees the same generators as an evaluation
            self.state = change_state(self.model, number, self.state, self.pool, self.randomness)
        for name in stage.renewed:
            self.renew(name, number)

    def _renew(self, player: str, number: int) -> None:
        self._renewal.renew(player, number, self.optimizers[player], self.average)
        self.renewed[player] = self.counts.updates[player]

    def _draw_by_weights(self, name: str, rng: torch.Generator) -> Real:
        return self.pool.draw(name, self.state, rng)

    @property
    def model_state(self) -> Mapping[str, Tensor]:
        """The state as the model sees it."""
        return without_usage(self.state)

    @property
    def usage(self) -> tuple[int, ...]:
        """Number of samples of each generator in the draws so far; empty if each has the same number in a draw."""
        return tuple(self.state[USAGE].tolist()) if USAGE in self.state else ()

    def averaged(self) -> AbstractContextManager[None]:
        """Swap the generating players' parameters for their moving average, if there is one."""
        return nullcontext() if self.average is None else self.average.swapped()

    def rate(self, player: str, iteration: int) -> float:
        """Learning rate of a player in an iteration."""
        rate = float(self.protocol.of(player, "learning_rate"))
        return rate * (1 - iteration / self.protocol.iterations) if self.protocol.decay == "linear" else rate

    def draw(self, turns: tuple[Turn, ...], moment: Moment | None = None) -> Draws:
        """Draw everything that the losses of these turns need, each draw once.

        Args:
            moment: counter of the draws; None for the one of this iteration.
        """
        return self.draw_source.draw(turns, self.context, moment or self._moment(turns))

    def _moment(self, turns: tuple[Turn, ...]) -> Moment:
        """Counter of the next iteration's draws."""
        alone = self.draw_source.rows > 1 and len(turns) > MOST_TURNS
        return (self.iteration, len(turns)) if alone else (self.iteration,)

    def _move(self, player: str, gradients: Sequence[Tensor | None]) -> None:
        optimizer = self.optimizers[player]
        for parameter, gradient in zip(self.parameters[player].values(), gradients, strict=True):
            parameter.grad = match_strides(gradient, parameter)
        for group in optimizer.param_groups:
            group["lr"] = self.rate(player, self.iteration)
        optimizer.step()
        for parameter in self.parameters[player].values():
            parameter.grad = None  # like zero_grad(), without its bookkeeping

    def state_dict(self) -> TrainerState:
        """Complete state for the next iteration, as plain containers of tensors and numbers."""
        return {
            "iteration": self.iteration,
            "model": self.model.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "state": dict(self.state),
            "losses": self.losses,
            "average": self.average.values if self.average else {},
            "counts": self.counts.state_dict(),
            "renewed": dict(self.renewed),
        }

    def load_state_dict(self, stored: TrainerState) -> None:
        """Resume from a `state_dict`, which is not modified. Compiled programs refer to old tensors and are dropped."""
        self.run_iteration = self.play
        stored = copy.deepcopy(stored)
        self.model.load_state_dict(stored["model"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(stored["optimizers"][name])
            match_state_strides(optimizer)
        self.state = {name: value.to(self.device) for name, value in stored["state"].items()}
        if self.average:
            self.average.load(stored["average"])
        self.losses = {name: value.to(self.device) for name, value in stored["losses"].items()}
        self.counts = Counts(**stored["counts"])
        self.renewed = dict(stored["renewed"])
        self.iteration = int(stored["iteration"])


def _player(model: Model, name: str) -> Player:
    """Look up a player's part of an iteration once."""
    loss = getattr(model, f"{name}_loss", None)
    if loss is None:
        raise PluginError(f"{model.name}: player {name!r} must have a method {name}_loss().")
    arguments = frozenset(inspect.signature(loss).parameters)
    if arguments - set(ARGUMENTS):
        unknown = ", ".join(sorted(arguments - set(ARGUMENTS)))
        known = ", ".join(ARGUMENTS)
        raise PluginError(f"{model.name}: {name}_loss() has the unknown argument {unknown}. Available: {known}.")
    return Player(name, loss, arguments, name in model.generating)


def _require_all_playing(model: Model) -> None:
    """Reject a model that chooses among generators that do not all play."""
    if model.chooses and model.playing != model.generators:
        raise PluginError(
            f"{model.name}: playing must be {model.generators}, since the generator of each sample is chosen among "
            f"all, found {model.playing}."
        )


def check_parameters(trainer: Trainer) -> None:
    """Raise Diverged if a parameter is no longer finite, with its name."""
    for name, parameter in trainer.model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise Diverged(f"Parameter {name} is not finite at iteration {trainer.iteration}.")
