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

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gan_bench.contracts.choice import choose, gumbel_noise, pick, straight_through
from gan_bench.contracts.dataset import Real
from gan_bench.contracts.latents import Latents
from gan_bench.contracts.parameters import NoParams
from gan_bench.errors import PluginError

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset
    from gan_bench.contracts.network import Networks


__all__ = ["Fake", "Latents", "Model", "Noise", "Preset", "Real", "Stage", "Turn"]


@dataclass(frozen=True)
class Fake:
    """One draw of generated samples: N/K of generator 0, then as many of generator 1, and so on.

    The first samples are therefore of the first generators only; `spread` selects some of all.

    If the model chooses a generator for each sample (`Model.gate`, `Model.weighted_draws`), samples are in the order of
    their latents, and the numbers of the generators differ.

    Attributes:
        x: (N, *shape); z: (N, latent size); generator: (N,) int64, the index of the generator of each sample.
        generators: K.
        candidates: (K, N, *shape), what each generator makes of each latent; None unless the model chooses.
        probabilities: (N, K), from which the generators were chosen; gumbel: (N, K), the noise of the choice.
    """

    x: Tensor
    z: Tensor
    generator: Tensor
    generators: int
    candidates: Tensor | None = None
    probabilities: Tensor | None = None
    gumbel: Tensor | None = None

    def detach(self) -> Fake:
        """The same samples, detached from the generators' graph."""
        candidates = None if self.candidates is None else self.candidates.detach()
        probabilities = None if self.probabilities is None else self.probabilities.detach()
        return Fake(self.x.detach(), self.z, self.generator, self.generators, candidates, probabilities, self.gumbel)

    def by_generator(self, values: Tensor) -> Tensor:
        """View (N, …) values as (K, N/K, …)."""
        if self.candidates is not None:
            raise PluginError(
                "by_generator() needs the same number of samples from each generator, but the model chooses the "
                "generator of each sample. Use fake.generator."
            )
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
        if rest or self.candidates is not None:  # generators were drawn, so that their order is random already
            return turn
        return turn % self.generators * each + turn // self.generators

    def choices(self, temperature: float | Tensor = 1.0) -> Tensor:
        """One-hot choices (N, K) with the gradient of the Gumbel softmax at a temperature, `straight-through`.

        Raises:
            PluginError: the model does not choose the generator of each sample.
        """
        if self.probabilities is None or self.gumbel is None:
            raise PluginError(
                "choices() needs a model that chooses the generator of each sample. Define gate(), or return True from "
                "weighted_draws."
            )
        return straight_through(self.probabilities, self.gumbel, temperature)

    def mixed(self, temperature: float | Tensor = 1.0) -> Tensor:
        """The samples `x`, with gradients for the gate as well: sum_k `choices`_k `candidates`_k."""
        choices = self.choices(temperature)
        assert self.candidates is not None
        shape = (self.generators, len(self.x), *[1] * (self.x.dim() - 1))
        return (choices.T.reshape(shape) * self.candidates).sum(0)


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


class Model(nn.Module):
    """Base class of models.

    Required: `name`, `build`, and `<player>_loss` for every player.
    Optional, game: `players`, `generating`, `turns`, `stages`, `enter_stage`, `noise`, `initial_state`, `after_turn`,
    `constrain`, `pool_size`.
    Optional, generators: `generators`, `playing`, `generate`, `generate_all`, `weights`, `weighted_draws`, `gate`,
    `generate_gated`, `most_samples`.
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

    def enter_stage(
        self, number: int, state: Mapping[str, Tensor], pool: Real | None, *args: Any, **kwargs: Any
    ) -> Mapping[str, Tensor]:
        """Return the state with which stage `number` begins, after its prelude; buffers may be changed in place.

        Called between iterations, so that it may be slow. Players that the stage renews are not yet re-initialised. An
        override may declare a further argument ``rng``, a `torch.Generator` on the run's device, seeded by the run's
        seed and the stage; it must not draw from a global stream.
        """
        return state

    def generate(self, z: Tensor) -> Tensor:
        """Generate samples (K, b, *shape) from latents (K, b, latent size) with the generators of this turn."""
        samples: Tensor = self.get_submodule("generator")(z)
        return samples

    def generate_all(self, z: Tensor) -> Tensor:
        """Generate samples with all K generators, for evaluation. Default: `generate`."""
        return self.generate(z)

    def weights(self, *args: Any, **kwargs: Any) -> Tensor:
        """Weights (K,) of the generators in the mixture, summing to 1.

        An override takes no argument, or ``state``, the named tensors of `initial_state` as they are now.
        """
        return torch.full((self.generators,), 1 / self.generators)

    @property
    def weighted_draws(self) -> bool:
        """Whether the generator of each sample of a draw is random, with the weights as probabilities.

        By default each generator makes the same number of samples, and losses apply the weights.
        """
        return bool(getattr(self.params, "weighted_draws", False))

    def gate(self, z: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """Probabilities (n, K) of the generators for latents (n, latent size), if the mixture depends on the latents.

        A model that defines it, or `generate_gated`, is evaluated by it instead of `weights`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define gate() or generate_gated()")

    def generate_gated(self, z: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Samples (K, n, *shape) of all generators at latents (n, latent size), and the probabilities of `gate`.

        Override it instead of `gate` if both come from one pass, such as a gate that reads hidden features.
        """
        return self.generate(z.expand(self.generators, *z.shape)), self.gate(z, state)

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

    @property
    def gated(self) -> bool:
        """Whether the mixture depends on the latents: the model defines `gate` or `generate_gated`."""
        cls = type(self)
        return cls.gate is not Model.gate or cls.generate_gated is not Model.generate_gated

    @property
    def chooses(self) -> bool:
        """Whether the generator of each sample of a draw is chosen at random, by a gate or by the weights."""
        return self.gated or self.weighted_draws

    def current_weights(self, state: Mapping[str, Tensor]) -> Tensor:
        """Return `weights`, given the state if it declares that argument."""
        declared = "state" in inspect.signature(self.weights).parameters
        return self.weights(state=state) if declared else self.weights()

    def propose(self, z: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Candidates (K, n, *shape) at latents (n, latent size), and probabilities (n, K) for a choice among them.

        Raises:
            PluginError: the probabilities have another shape.
        """
        expected = (len(z), self.generators)
        if self.gated:
            candidates, probabilities = self.generate_gated(z, state)
            self._require_shape("gate()", probabilities, expected)
            return candidates, probabilities
        weights = self.current_weights(state)
        self._require_shape("weights()", weights, expected[1:])
        return self.generate(z.expand(self.generators, *z.shape)), weights.to(z).expand(expected)

    def _require_shape(self, method: str, values: Any, shape: tuple[int, ...]) -> None:
        found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        if found != shape:
            raise PluginError(f"{self.name}: {method} must return a tensor of shape {shape}, found {found}.")

    def sample(self, counts: Sequence[int], latents: Latents, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw ``counts[k]`` samples from generator k, in this order; a gate is not applied, see `sample_by_gate`.

        Returns:
            x (n, *shape) and the generator's index (n,) int64, or None for samples without one.
        """
        most = max(counts)
        z = latents.draw(len(counts) * most, rng).view(len(counts), most, latents.size)
        x = self.generate_all(z)
        index = torch.arange(len(counts), device=x.device)
        kept = [x[k, :count] for k, count in enumerate(counts)]
        return torch.cat(kept), index.repeat_interleave(torch.tensor(counts, device=x.device))

    def sample_by_gate(
        self, n: int, latents: Latents, rng: torch.Generator, state: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw n samples of a mixture that depends on the latents.

        Returns:
            x (n, *shape), the index of the chosen generator (n,) int64, and the probabilities (n, K).
        """
        candidates, probabilities = self.propose(latents.draw(n, rng), state)
        index = choose(probabilities, gumbel_noise(n, self.generators, rng))
        return pick(candidates, index), index, probabilities

    def forward(self, loss: str, arguments: Mapping[str, Any]) -> Any:
        """Call a loss by name, so that `torch.func.functional_call` can substitute parameters."""
        return getattr(self, loss)(**arguments)
