"""Network of the experiments on pairs of digits (Barsim et al., 2018, arXiv 1802.01568): images as flat vectors.

Generator: latent → H ReLU → pixels, linear. Discriminator: pixels → H ReLU → heads. According to the paper the longest
path has four layers and all its networks have 0.8 M parameters; it does not give H. Two generators that share nothing,
a discriminator and a second one between the generators, for 28 × 28 images and 100 latent dimensions, have 3,342 H +
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
        """Width, and slope of the discriminator."""

        hidden: int = param(240, "H, units in each hidden layer and in an autoencoder's code.", low=1)
        slope: float = param(0.0, "Slope of the discriminator's leaky ReLU below zero; 0 is a ReLU.", low=0, high=1)

    params: Params

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse data other than images."""
        if len(dataset.shape) == 3:
            return None
        return f"the mlp-image network makes images; {dataset.name} has samples of shape {dataset.shape}"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        """Map latents (K, b, latent size) to images (K, b, *shape)."""
        own = {"body": (True, False), "trunk": (False, True), "nothing": (True, True)}
        return Unflattened(MLPGenerators((latent_size, self.params.hidden, prod(shape)), count, own[shared]), shape)

    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        """Map samples (n, *shape) to logits; see `Discriminator`."""
        return Flattened(self._judge(prod(shape), heads, copies), len(shape))

    def joint_discriminator(self, shape: tuple[int, ...], size: int, heads: Heads) -> JointDiscriminator:
        """Build a discriminator of pixels and vector, concatenated."""
        return FlatPairs(self._judge(prod(shape) + size, heads, None))

    def autoencoder(self, shape: tuple[int, ...]) -> Autoencoder:
        """Build pixels → H ReLU → pixels."""
        return FlatCopying(self._judge(prod(shape), {"copy": prod(shape)}, None))

    def _judge(self, inputs: int, heads: Heads, copies: int | None) -> Discriminator:
        return MLPDiscriminator(inputs, self.params.hidden, self.params.slope, heads, copies)


class Unflattened(Generators):
    """Generators of vectors, reshaped to samples."""

    def __init__(self, body: Generators, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.shape = body, shape

    def forward(self, z: Tensor) -> Tensor:
        """Map (K, b, latent size) to (K, b, *shape)."""
        made: Tensor = self.body(z)
        return made.view(*made.shape[:-1], *self.shape)


class Flattened(Discriminator):
    """A discriminator of vectors, applied to flattened samples of a fixed rank."""

    def __init__(self, body: Discriminator, dimensions: int) -> None:
        super().__init__()
        self.body, self.dimensions = body, dimensions

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (n, *shape), or (copies, n, *shape), to logits by head."""
        logits: dict[str, Tensor] = self.body(x.flatten(-self.dimensions))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Map (n, *shape), or (copies, n, *shape), to the hidden layer."""
        return self.body.features(x.flatten(-self.dimensions))


class FlatPairs(Beside):
    """A discriminator of flattened samples and vectors, concatenated."""

    def forward(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        """Map samples (n, *shape) and vectors (n, v) to logits by head."""
        return super().forward(x.flatten(1), v)


class FlatCopying(Copying):
    """An autoencoder of flattened samples."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, *shape) to (n, *shape)."""
        return super().forward(x.flatten(1)).view_as(x)
