"""Convolutional bodies for images: 5 × 5 convolutions halve sides, transposed ones double them, by MGAN's rule.

The alignment is that of torch, with padding 2 on either side. It mirrors that of the TensorFlow originals, which pad 1
before and 2 after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.network import (
    Autoencoder,
    BatchedLinear,
    Discriminator,
    Generators,
    Heads,
    JointDiscriminator,
    Sharing,
)
from gan_bench_zoo.networks._batch_norm import BatchNorm
from gan_bench_zoo.networks._layers import by_head, count_units
from gan_bench_zoo.networks.mlp import MLPDiscriminator

SMALLEST = 4
"""Longest side at which sizes are no longer halved, in pixels."""


@dataclass(frozen=True)
class Halvings:
    """Sizes of an image that is halved, rounding up, until no side is longer than 4, and at least once.

    Attributes:
        shape: (channels, height, width) of the image.
        width: number of channels after the first halving; each further halving doubles it.
    """

    shape: tuple[int, ...]
    width: int

    @property
    def sides(self) -> list[tuple[int, int]]:
        """Height and width of the image, then after each halving."""
        _, height, width = self.shape
        found = [(height, width)]
        while len(found) == 1 or max(found[-1]) > SMALLEST:
            height, width = -(-height // 2), -(-width // 2)
            found.append((height, width))
        return found

    @property
    def channels(self) -> list[int]:
        """Number of channels of the image, then after each halving."""
        return [self.shape[0], *(self.width * 2**number for number in range(len(self.sides) - 1))]

    @property
    def last(self) -> tuple[int, int, int]:
        """Shape after the last halving, from which generators start."""
        return (self.channels[-1], *self.sides[-1])


@dataclass(frozen=True)
class Norms:
    """Batch normalisation of generators, after the input layer and after hidden ones.

    Each value is whether the normalisation has a learned shift; None for no normalisation.
    """

    input: bool | None = None
    hidden: bool | None = None


def halving(sizes: Halvings, slope: float, *, norm: bool) -> nn.Sequential:
    """Images (n, *shape) to flat features (n, f): convolution, batch normalisation with shift, leaky ReLU.

    Layers use the statistics of the batch, in evaluation too, so that a pass is a function of its input alone.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes.channels):
        layers.append(nn.Conv2d(inputs, outputs, 5, 2, 2))
        if norm:
            layers.append(BatchNorm(outputs, centred=True, remembered=False))
        layers.append(nn.LeakyReLU(slope))
    return nn.Sequential(*layers, nn.Flatten())


def doublings(sizes: Halvings) -> Iterator[nn.ConvTranspose2d]:
    """Yield the transposed convolutions that reverse each halving, the last one first."""
    steps = zip(pairwise(sizes.channels), pairwise(sizes.sides), strict=True)
    for (outputs, inputs), ((height, width), (low, narrow)) in reversed(list(steps)):
        more = (height - 2 * low + 1, width - 2 * narrow + 1)  # 0 if rounding up made a side odd
        yield nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=more)


class ConvGenerators(Generators):
    """K generators that share one body. Input layers or output layers may be separate.

    A shared layer normalises the samples of all generators together. A separate input layer normalises the samples of
    its generator only, unit by unit.
    """

    def __init__(
        self, latent_size: int, sizes: Halvings, norms: Norms, count: int = 1, shared: Sharing = "body"
    ) -> None:
        super().__init__()
        self.shape, self.first = sizes.shape, sizes.last
        self.inputs = InputLayers(count if shared == "body" else 1, latent_size, prod(sizes.last), norms.input)
        *hidden, last = doublings(sizes)
        self.body = nn.Sequential(*(layer for each in hidden for layer in _hidden(each, norms.hidden)))
        more = [list(doublings(sizes))[-1] for _ in range(count - 1)] if shared == "trunk" else []
        self.outputs = nn.ModuleList([last, *more])

    def forward(self, z: Tensor) -> Tensor:
        """Map (K, b, latent size) to (K, b, *shape), without an activation at the end."""
        k, b, size = z.shape
        x = self.inputs(z.reshape(self.inputs.copies, -1, size))
        x = self.body(x.reshape(k * b, *self.first))
        made = [layer(part) for layer, part in zip(self.outputs, x.chunk(len(self.outputs)), strict=True)]
        return torch.cat(made).view(k, b, *self.shape)


def _hidden(layer: nn.ConvTranspose2d, centred: bool | None) -> list[nn.Module]:
    norm = [] if centred is None else [BatchNorm(layer.out_channels, centred=centred, remembered=True)]
    return [layer, *norm, nn.ReLU()]


class InputLayers(nn.Module):
    """Input layers of generators as one batched linear product. Each is normalised over its samples; then ReLU."""

    def __init__(self, copies: int, inputs: int, outputs: int, centred: bool | None) -> None:
        super().__init__()
        self.copies = copies
        self.layer = BatchedLinear(copies, inputs, outputs)
        self.norm = None if centred is None else BatchNorm(copies * outputs, centred=centred, remembered=True)

    def forward(self, z: Tensor) -> Tensor:
        """Map (copies, n, inputs) to (copies, n, outputs)."""
        x = self.layer(z)
        if self.norm is not None:
            flat = self.norm(x.transpose(0, 1).flatten(1))  # every unit of every copy is a channel of n numbers
            x = flat.unflatten(1, (self.copies, -1)).transpose(0, 1)
        return F.relu(x)


class Separate(Generators):
    """Generators without shared parameters. Generator k maps row k of the latents."""

    def __init__(self, generators: Sequence[Generators]) -> None:
        super().__init__()
        self.each = nn.ModuleList(generators)

    def forward(self, z: Tensor) -> Tensor:
        """Map (K, b, latent size) to (K, b, *shape)."""
        return torch.cat([generator(z[k : k + 1]) for k, generator in enumerate(self.each)])


class Judge(Discriminator):
    """Discriminator with a body of flat features. All heads are one linear layer whose outputs are split."""

    def __init__(self, body: nn.Module, size: int, heads: Heads) -> None:
        super().__init__()
        self.names = dict(heads)
        self.body = body
        self.heads = nn.Linear(size, count_units(heads))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (n, *shape) to logits by head."""
        return by_head(self.heads(self.features(x)), self.names)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, *shape) to (n, f)."""
        features: Tensor = self.body(x)
        return features


class Copies(Discriminator):
    """Discriminators without shared parameters, evaluated one after the other, for samples of a fixed rank."""

    def __init__(self, each: Sequence[Discriminator], dimensions: int) -> None:
        super().__init__()
        self.each, self.dimensions = nn.ModuleList(each), dimensions

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (n, *shape), or (M, n, *shape), to logits by head, (M, n) or (M, n, units)."""
        judged = [judge(part) for judge, part in self._pairs(x)]
        return {name: torch.stack([logits[name] for logits in judged]) for name in judged[0]}

    def features(self, x: Tensor) -> Tensor:
        """Map (n, *shape), or (M, n, *shape), to (M, n, f)."""
        return torch.stack([judge.features(part) for judge, part in self._pairs(x)])

    def _pairs(self, x: Tensor) -> Iterator[tuple[Discriminator, Tensor]]:
        """Pair each discriminator with its input: one for all, or one for each."""
        parts = [x] * len(self.each) if x.dim() == self.dimensions + 1 else x.unbind()
        return ((cast(Discriminator, judge), part) for judge, part in zip(self.each, parts, strict=True))


class ConvJoint(JointDiscriminator):
    """Features of an image and an embedding of a vector, then one hidden layer and the heads."""

    def __init__(self, body: nn.Module, features: int, size: int, heads: Heads, slope: float) -> None:
        super().__init__()
        embedding, hidden = 512, 1024  # as in ALI's discriminator on images
        self.image = body
        self.vector = nn.Sequential(nn.Linear(size, embedding), nn.LeakyReLU(slope))
        self.judge = MLPDiscriminator(features + embedding, hidden, slope, heads, None)

    def forward(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        """Map (n, *shape) images and (n, size) vectors to logits by head."""
        logits: dict[str, Tensor] = self.judge(torch.cat((self.image(x), self.vector(v)), 1))
        return logits


class ConvAutoencoder(Autoencoder):
    """Convolutions of a discriminator, a linear code, and transposed convolutions of a generator, not normalised."""

    def __init__(self, sizes: Halvings, code: int, slope: float) -> None:
        super().__init__()
        self.encoder = nn.Sequential(halving(sizes, slope, norm=False), nn.Linear(prod(sizes.last), code))
        self.decoder = ConvGenerators(code, sizes, Norms())

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, *shape) to (n, *shape), without an activation at the end."""
        copy: Tensor = self.decoder(self.encoder(x).unsqueeze(0)).squeeze(0)
        return copy
