"""The network of the experiments on pairs of digits (Barsim et al., 2018, arXiv 1802.01568): images as flat vectors.

Generator: latent → H ReLU → pixels, linear. Discriminator: pixels → H ReLU → heads. The paper says that the longest
path has four layers and that all its networks have 0.8 M parameters, but not H. Two generators that share nothing, a
discriminator and a second one between the generators, for 28 × 28 images and 100 latent dimensions, have 3,342 H +
1,570 parameters: with H = 240, the round number that comes closest, 803,650 (generators of 213,184, discriminators of
188,641).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.network import (
    Autoencoder,
    Beside,
    Copying,
    Discriminator,
    Generators,
    Heads,
    JointDiscriminator,
    Network,
    Sharing,
)
from gan_bench.contracts.parameters import param
from gan_bench_zoo.networks.mlp import MLPDiscriminator, MLPGenerators


class MLPImage(Network):
    """One hidden layer in generators and discriminators of flattened images (Barsim et al., 2018)."""

    name = "mlp-image"

    @dataclass(frozen=True)
    class Params:
        """Width, and the discriminator's slope."""

        hidden: int = param(240, "H, units in each hidden layer; an autoencoder's code is as large.", low=1)
        slope: float = param(0.0, "Slope of the discriminator's leaky ReLU below zero; 0 is a ReLU.", low=0, high=1)

    params: Params

    def refuses(self, dataset: Dataset) -> str | None:
        """Images only."""
        if len(dataset.shape) == 3:
            return None
        return f"the mlp-image network makes images; {dataset.name} has samples of shape {dataset.shape}"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        """Latents (K, b, latent size) to images (K, b, *shape)."""
        own = {"body": (True, False), "trunk": (False, True), "nothing": (True, True)}
        return Unflattened(MLPGenerators((latent_size, self.params.hidden, prod(shape)), count, own[shared]), shape)

    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        """Samples (n, *shape) to logits; see `Discriminator`."""
        return Flattened(self._judge(prod(shape), heads, copies), len(shape))

    def joint_discriminator(self, shape: tuple[int, ...], size: int, heads: Heads) -> JointDiscriminator:
        """Of pixels and vector side by side."""
        return FlatPairs(self._judge(prod(shape) + size, heads, None))

    def autoencoder(self, shape: tuple[int, ...]) -> Autoencoder:
        """Pixels → H ReLU → pixels."""
        return FlatCopying(self._judge(prod(shape), {"copy": prod(shape)}, None))

    def _judge(self, inputs: int, heads: Heads, copies: int | None) -> Discriminator:
        return MLPDiscriminator(inputs, self.params.hidden, self.params.slope, heads, copies)


class Unflattened(Generators):
    """Generators of vectors, seen as samples of a shape."""

    def __init__(self, body: Generators, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.shape = body, shape

    def forward(self, z: Tensor) -> Tensor:
        """(K, b, latent size) to (K, b, *shape)."""
        made: Tensor = self.body(z)
        return made.view(*made.shape[:-1], *self.shape)


class Flattened(Discriminator):
    """A discriminator of vectors that sees samples of so many dimensions as vectors."""

    def __init__(self, body: Discriminator, dimensions: int) -> None:
        super().__init__()
        self.body, self.dimensions = body, dimensions

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(n, *shape), or (copies, n, *shape), to logits by head."""
        logits: dict[str, Tensor] = self.body(x.flatten(-self.dimensions))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """(n, *shape), or (copies, n, *shape), to the hidden layer."""
        return self.body.features(x.flatten(-self.dimensions))


class FlatPairs(Beside):
    """Flattened samples and vectors side by side."""

    def forward(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        """(n, *shape) samples and (n, v) vectors to logits by head."""
        return super().forward(x.flatten(1), v)


class FlatCopying(Copying):
    """Copies of samples by way of vectors."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, *shape) to (n, *shape)."""
        return super().forward(x.flatten(1)).view_as(x)
