"""The contract of a model: the rules of a game between players that own disjoint parameters.

A model defines its players and their networks (`build`), the order of their turns
(`turns`), and the loss that each minimises (a method ``<player>_loss``). The harness owns the rest: data, latents,
noise, optimisers, the loop, evaluation and checkpoints. A loss declares as parameters, by name, any of

- ``real``: a `gan_bench.contracts.dataset.Real`;
- ``fake``: a `Fake`, attached to the generators' graph in the turn of a player that generates, else detached;
- ``noise``: the tensors that `noise` declares;
- ``state``: the named tensors that `initial_state` declares;

and returns a scalar, or a scalar and a dict of scalars to log (and to hand to `after_turn`). It must be a pure
function of these and of the networks: no ``.item()``, no printing, no branch on a value, no separate random
stream, no stepped optimiser inside. Derivatives inside a loss are taken with `torch.func`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gan_bench.contracts.dataset import Real
from gan_bench.contracts.parameters import NoParams

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset
    from gan_bench.contracts.network import Networks


__all__ = ["Fake", "Latents", "Model", "Noise", "Preset", "Real", "Stage", "Turn"]


@dataclass(frozen=True)
class Fake:
    """One draw of generated samples: N/K of generator 0, then as many of generator 1, and so on.

    The first samples are therefore of the first generators only; `spread` selects some of all.

    x: (N, *shape); z: (N, latent size); generator: (N,) int64, the index of the generator of each sample.
    """

    x: Tensor
    z: Tensor
    generator: Tensor
    generators: int

    def detach(self) -> Fake:
        """The same samples, detached from the generators' graph."""
        return Fake(self.x.detach(), self.z, self.generator, self.generators)

    def by_generator(self, values: Tensor) -> Tensor:
        """View (N, …) values as (K, N/K, …)."""
        return values.view(self.generators, -1, *values.shape[1:])

    def spread(self, n: int) -> Tensor:
        """Indices (n,) of samples in turn from generators 0, 1, …, K-1, 0, 1, …, for pairs and subsets.

        The numbers of samples of two generators differ by at most one, also among the first of these indices. The
        result depends only on `n`, N and K: it needs no random numbers, and the iteration can be compiled.

        Raises:
            ValueError: there are fewer than `n` samples.
        """
        if not 0 <= n <= len(self.x):
            raise ValueError(f"n must be from 0 to {len(self.x)}, the number of generated samples, found {n}.")
        turn = torch.arange(n, device=self.x.device)
        each, rest = divmod(len(self.x), self.generators)
        if rest:  # the generator of each sample was drawn separately, so that their order is random already
            return turn
        return turn % self.generators * each + turn // self.generators


@dataclass(frozen=True)
class Turn:
    """One step of an iteration: the players that move, and the draws that they use.

    Attributes:
        players: the players that move; several move simultaneously, with all gradients taken at the same point.
        real: number of the draw of real data; turns with the same number see the same samples.
        latents: number of the draw of latents. With `latents = "shared"` turns with the same number see the same
            latents; with "fresh" every turn draws separately.
        weights: the tensor of the model's state by which real data are drawn from the model's pool; None draws from
            the dataset. Turns that share a draw share its weights.
    """

    players: tuple[str, ...]
    real: int = 0
    latents: int = 0
    weights: str | None = None


@dataclass(frozen=True)
class Stage:
    """A part of a run; before it begins, the model's networks, state or data may change.

    Attributes:
        first: its first iteration.
        prelude: turns executed before it, one after the other, that belong to no iteration.
        renewed: players that begin it re-initialised, with new optimisers, after `Model.enter_stage`.
    """

    first: int
    prelude: tuple[Turn, ...] = ()
    renewed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Noise:
    """Random numbers that a loss takes, redrawn in each turn: N(0, 1) or U(0, 1) of a shape."""

    shape: tuple[int, ...]
    distribution: Literal["normal", "uniform"] = "normal"

    def draw(self, rng: torch.Generator, times: int = 1) -> Tensor:
        """Float32 (times, *shape), on the generator's device."""
        values = torch.empty(times, *self.shape, device=rng.device)
        return values.normal_(generator=rng) if self.distribution == "normal" else values.uniform_(generator=rng)


@dataclass(frozen=True)
class Preset:
    """Published settings of a model: its parameters, and its departures from the protocol (each a footnote)."""

    doc: str
    params: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Latents:
    """Prior of the latents: N(0, I) or U(-1, 1), in `size` dimensions."""

    distribution: str
    size: int

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, size) float32, on the generator's device."""
        z = torch.empty(n, self.size, device=rng.device)
        return z.normal_(generator=rng) if self.distribution == "normal" else z.uniform_(-1, 1, generator=rng)


class Model(nn.Module):
    """Base class of models.

    Required: `name`, `build`, and `<player>_loss` for every player.
    Optional, game: `players`, `generating`, `turns`, `stages`, `enter_stage`, `noise`, `initial_state`, `after_turn`,
    `constrain`, `pool_size`.
    Optional, generators: `generators`, `playing`, `generate`, `generate_all`, `weights`, `most_samples`.
    Optional, table: `Params`, `presets`, `sharing`, `footnotes`, `refuses`, `refuses_draws`.
    """

    name: ClassVar[str]
    players: ClassVar[tuple[str, ...]] = ("discriminator", "generator")
    generating: ClassVar[tuple[str, ...]] = ("generator",)  # the players whose parameters generate the samples
    presets: ClassVar[Mapping[str, Preset]] = {}
    anchor: ClassVar[bool] = False  # a reference row of the table, which never trains
    in_parts: ClassVar[bool] = True  # whether many samples may be drawn by several calls of `sample`
    stackable: ClassVar[bool] = True  # whether several seeds may train as one program
    Params: ClassVar[type[Any]] = NoParams

    def __init__(self, params: Any = None) -> None:
        super().__init__()
        self.params = self.Params() if params is None else params

    # --- required and optional parts of a subclass ------------------------------------------------------

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build the networks of each player, by player, from `networks`. Each becomes the attribute of that name."""
        raise NotImplementedError(f"{type(self).__name__} must define build()")

    @property
    def generators(self) -> int:
        """Number of generators, K."""
        return int(getattr(self.params, "generators", 1))

    @property
    def playing(self) -> int:
        """Number of generators that make the samples of a turn: K, unless a model trains them one after the other."""
        return self.generators

    @property
    def shared_noise(self) -> bool:
        """Whether all generators see the same latents in a draw, as a parameter of this name specifies."""
        return bool(getattr(self.params, "shared_noise", False))

    @property
    def sharing(self) -> str:
        """Phrase for the table on parts shared between generators or heads; empty if nothing can be shared."""
        return ""

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Footnotes of the table for every row of this model, a phrase each, in addition to departures."""
        return ()

    def refuses(self, dataset: Dataset) -> str | None:
        """Reason why this model cannot be trained on `dataset`, or None."""
        return None

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        """Reason why this model cannot be trained on draws of `batch` real and `fakes` generated samples, or None."""
        return None

    def most_samples(self, dataset: Dataset) -> int | None:
        """Largest number of samples to draw at an evaluation; None if unlimited."""
        return None

    def turns(self, iteration: int) -> Sequence[Turn]:
        """Turns of one iteration (from 0), a pure function of its number; the last turn moves the generators."""
        return tuple(Turn((player,)) for player in self.players)

    def stages(self, iterations: int) -> Sequence[Stage]:
        """Stages of a run of `iterations` iterations, in order. Default: none."""
        return ()

    @property
    def pool_size(self) -> int | None:
        """Number of real samples, fixed for a whole run, that turns may draw by weight; None if no turn does."""
        return None

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        """Return the state with which stage `number` begins, after its prelude; buffers may be changed in place.

        Called between iterations, so that it may be slow. Players that the stage renews are not yet re-initialised.
        """
        return state

    def generate(self, z: Tensor) -> Tensor:
        """Generate samples (K, b, *shape) from latents (K, b, latent size) with the generators of this turn."""
        samples: Tensor = self.get_submodule("generator")(z)
        return samples

    def generate_all(self, z: Tensor) -> Tensor:
        """Generate samples with all K generators, for evaluation. Default: `generate`."""
        return self.generate(z)

    def weights(self) -> Tensor:
        """Weights (K,) of the generators in the mixture, summing to 1."""
        return torch.full((self.generators,), 1 / self.generators)

    def noise(self, batch: int, fakes: int) -> Mapping[str, Noise]:
        """Random numbers that losses take, by name, for `batch` real and `fakes` generated samples a draw."""
        return {}

    def initial_state(self) -> Mapping[str, Tensor]:
        """Named tensors that change with training but are not parameters (BEGAN's k); saved and restored."""
        return {}

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the state after a turn, from the values of its losses: tensors only, without a branch on a value."""
        return state

    def constrain(self, player: str, parameters: Mapping[str, Tensor]) -> None:
        """Change a player's parameters in place after its step (WGAN's clipping), without gradient."""

    # --- called by the harness and by users --------------------------------------------------------------

    def sample(self, counts: Sequence[int], latents: Latents, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw ``counts[k]`` samples from generator k, in this order.

        Returns:
            x (n, *shape) and the generator's index (n,) int64, or None for samples without one.
        """
        most = max(counts)
        z = latents.draw(len(counts) * most, rng).view(len(counts), most, latents.size)
        x = self.generate_all(z)
        index = torch.arange(len(counts), device=x.device)
        kept = [x[k, :count] for k, count in enumerate(counts)]
        return torch.cat(kept), index.repeat_interleave(torch.tensor(counts, device=x.device))

    def forward(self, loss: str, arguments: Mapping[str, Any]) -> Any:
        """Call a loss by name, so that `torch.func.functional_call` can substitute parameters."""
        return getattr(self, loss)(**arguments)
