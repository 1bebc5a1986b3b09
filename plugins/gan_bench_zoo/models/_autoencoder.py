"""Base class of models whose discriminator is an autoencoder: BEGAN and MAGAN."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Autoencoder, Generators, Networks


class AutoencoderGAN(Model):
    """A discriminator that returns a copy of the sample; the error of the copy is the energy of the sample.

    Only the network can narrow the copy. For points it does not: the autoencoder is a head of the benchmark's
    discriminator, whose body is wider than the sample, unlike the bottleneck of the papers' networks for images.
    """

    generator: Generators
    discriminator: Autoencoder

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """One generator and one autoencoder."""
        return {"discriminator": networks.autoencoder(), "generator": networks.generators()}

    def off(self, x: Tensor) -> Tensor:
        """Return the difference (N, *shape) of samples and their copies."""
        difference: Tensor = x - self.discriminator(x)
        return difference
