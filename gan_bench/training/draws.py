"""Random draws of iterations: each is a function of the seed, its purpose and its count, see `randomness`.

On a CPU every iteration draws separately. On a GPU, where a draw takes one or more launches, a block of iterations is
drawn at a time. This is another stream of numbers: draws are equal per kind of device.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gan_bench.contracts.choice import gumbel_noise
from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.model import Latents, Model, Turn
from gan_bench.contracts.protocol import Protocol
from gan_bench.errors import PluginError
from gan_bench.training.iteration import Draws, IterationContext
from gan_bench.training.randomness import Randomness

MOST_ROWS = 64
"""Number of iterations in a block of draws on a GPU."""

LARGEST_BLOCK = 2**24
"""Largest number of values in the draws of a block, for one seed: 64 MiB."""

Moment = tuple[int, ...]
"""Counter of a draw: an iteration; outside of blocks, a stage and a position in its prelude, or an
iteration and its number of turns."""

Tensors = dict[str, Tensor]

WeightedDraw = Callable[[str, torch.Generator], Real]
"""Draw a batch by the weights of this name in the model's state."""


class DrawSource:
    """Random draws for the turns of one run: real data, latents and declared noise.

    Attributes:
        rows: number of iterations in a block of draws.
    """

    def __init__(
        self, model: Model, dataset: Dataset, protocol: Protocol, randomness: Randomness, weighted: WeightedDraw
    ) -> None:
        self._model, self._dataset, self._protocol = model, dataset, protocol
        self._randomness, self._weighted = randomness, weighted
        self._each = protocol.fakes_each(model.playing)
        self._latents = Latents(protocol.latent, protocol.latent_size)
        self._noise = model.noise(protocol.batch, self._each * model.playing)
        self.rows = self._most_rows() if randomness.device.type == "cuda" else 1
        self._blocks: dict[tuple[str, int], tuple[int, Tensors]] = {}

    def _most_rows(self) -> int:
        """Largest number of rows: a function of the settings alone, so that a resumed run draws the same."""
        real = self._protocol.batch * math.prod(self._dataset.shape)
        noise = sum(math.prod(one.shape) for one in self._noise.values())
        noise += self._total * self._model.generators if self._model.chooses else 0
        return max(1, min(MOST_ROWS, LARGEST_BLOCK // max(1, real, self._total * self._latents.size, noise)))

    @property
    def _total(self) -> int:
        """Number of latents in a draw, independent of K: every K that divides it sees the same latents."""
        return self._protocol.fakes or self._model.playing * self._each

    def draw(self, turns: Sequence[Turn], context: IterationContext, moment: Moment) -> Draws:
        """Draw everything that the losses of these turns need, each draw once.

        Args:
            moment: counts the draws.

        Raises:
            PluginError: turns share a draw of real data, but not its weights.
        """
        draws = Draws()
        weighed: dict[int, str | None] = {}
        for position, turn in enumerate(turns):
            arguments = frozenset[str]().union(*(context.player(name).arguments for name in turn.players))
            number = context.latents_of(turn, position)
            if "real" in arguments and weighed.setdefault(turn.real, turn.weights) != turn.weights:
                found = f"{weighed[turn.real]!r} and {turn.weights!r}"
                problem = f"turns with draw {turn.real} of real data must have equal weights, found {found}"
                raise PluginError(f"{self._model.name}: {problem}.")
            if "real" in arguments and turn.real not in draws.real:
                draws.real[turn.real] = self.real(turn, moment)
            if "fake" in arguments and number not in draws.latents:
                draws.latents[number] = self.latents(number, moment)
                if self._model.chooses:
                    draws.gumbel[number] = self.gumbel(number, moment)
            if "noise" in arguments:
                draws.noise[position] = self.noise(position, moment)
        return draws

    def real(self, turn: Turn, moment: Moment) -> Real:
        """Draw a batch of real data, x (B, *shape)."""
        if turn.weights is None:
            return Real(**self._of(moment, ("real", turn.real), self._real))
        rng = self._randomness.at("data", *moment, turn.real)  # weights may change with each iteration
        real = self._weighted(turn.weights, rng)
        return dataclasses.replace(real, x=self._flipped(real.x, turn.real, moment))

    def latents(self, number: int, moment: Moment) -> Tensor:
        """Draw latents (K, each, size), or (1, K * each, size) if the model chooses the generator of each sample."""
        return self._of(moment, ("latents", number), self._latent)["z"]

    def gumbel(self, number: int, moment: Moment) -> Tensor:
        """Draw the noise (N, K) of the choice of generators for a draw of latents."""
        return self._of(moment, ("gumbel", number), self._gumbel)["gumbel"]

    def noise(self, position: int, moment: Moment) -> Mapping[str, Tensor]:
        """Draw the noise that the model declared, for the turn at this position."""
        return self._of(moment, ("noise", position), self._declared)

    def blocks(self, turns: Sequence[Turn], draws: Draws, iteration: int) -> list[Tensor] | None:
        """Tensors of the blocks that an iteration's draws are rows of, in the order of `tracing.flat`.

        Returns None if a draw is not part of a block.

        Args:
            draws: of these turns, just drawn.
            iteration: the one that the draws are for.
        """
        numbers = (
            ("real", [*draws.real]),
            ("latents", [*draws.latents]),
            ("noise", [*draws.noise]),
            ("gumbel", [*draws.gumbel]),
        )
        names = [(kind, number) for kind, drawn in numbers for number in drawn]
        now = iteration // self.rows
        if any(turn.weights for turn in turns) or any(self._blocks.get(name, (-1, {}))[0] != now for name in names):
            return None
        return [value for name in names for value in self._blocks[name][1].values()]

    def _of(self, moment: Moment, what: tuple[str, int], make: Callable[[int, int, Moment], Tensors]) -> Tensors:
        """The draw of a moment, taken from its block if draws come in blocks."""
        if self.rows == 1 or len(moment) > 1:
            return _row(make(1, what[1], moment), 0)
        number, i = divmod(moment[0], self.rows)
        kept, block = self._blocks.get(what, (-1, {}))
        if kept != number:
            block = make(self.rows, what[1], (number,))
            self._blocks[what] = number, block
        return _row(block, i)

    def _real(self, rows: int, number: int, at: Moment) -> Tensors:
        batch = self._protocol.batch
        real = self._dataset.draw(rows * batch, self._randomness.at("data", *at, number))
        drawn = {name: value for name, value in vars(real).items() if value is not None}
        drawn["x"] = self._flipped(real.x, number, at)
        return {name: value.view(rows, batch, *value.shape[1:]) for name, value in drawn.items()}

    def _latent(self, rows: int, number: int, at: Moment) -> Tensors:
        model, each = self._model, self._each
        z = self._latents.draw(rows * self._total, self._randomness.at("latents", *at, number))
        z, k = z.view(rows, self._total, -1), model.playing
        if model.chooses:
            return {"z": z[:, None, : k * each].contiguous()}
        if model.shared_noise:
            return {"z": z[:, None, :each].expand(rows, k, each, -1)}
        return {"z": z[:, : k * each].reshape(rows, k, each, -1)}

    def _gumbel(self, rows: int, number: int, at: Moment) -> Tensors:
        k, n = self._model.generators, self._model.playing * self._each
        noise = gumbel_noise(rows * n, k, self._randomness.at("gumbel", *at, number))
        return {"gumbel": noise.view(rows, n, k)}

    def _declared(self, rows: int, position: int, at: Moment) -> Tensors:
        at_position = (*at, position)
        return {
            name: one.draw(self._randomness.at(f"noise/{name}", *at_position), rows)
            for name, one in self._noise.items()
        }

    def _flipped(self, x: Tensor, number: int, at: Moment) -> Tensor:
        """The same images, each mirrored with probability one half if the protocol sets `flip`."""
        if not self._protocol.flip:
            return x
        rng = self._randomness.at("flip", *at, number)
        chosen = torch.rand(len(x), 1, 1, 1, generator=rng, device=rng.device) < 0.5
        return torch.where(chosen, x.flip(-1), x)


def _row(block: Tensors, i: int) -> Tensors:
    return {name: value[i] for name, value in block.items()}
