"""Base class of models whose discriminator is an autoencoder: BEGAN and MAGAN."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Autoencoder, Generators, Networks


class AutoencoderGAN(Model):
    """Base class of GANs whose discriminator is an autoencoder; the energy of a sample is its reconstruction error.

    The networks for images in the papers have a bottleneck. For points the autoencoder has no bottleneck: it is a head
    on the body of the benchmark's discriminator, which is wider than the sample.
    """

    generator: Generators
    discriminator: Autoencoder

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one generator and one autoencoder."""
        return {"discriminator": networks.autoencoder(), "generator": networks.generators()}

    def off(self, x: Tensor) -> Tensor:
        """Return the differences (N, *shape) between samples and their reconstructions."""
        difference: Tensor = x - self.discriminator(x)
        return difference
