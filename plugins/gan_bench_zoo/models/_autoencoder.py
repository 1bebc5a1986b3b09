"""What models share whose discriminator is an autoencoder: BEGAN and MAGAN."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Autoencoder, Generators, Networks


class AutoencoderGAN(Model):
    """A discriminator that returns a copy of the sample; how far it is off is the sample's energy.

    What narrows the copy is the network's. For points nothing does: it is a head of the benchmark's discriminator,
    whose body is wider than the sample, unlike the bottleneck of the papers' networks for images.
    """

    generator: Generators
    discriminator: Autoencoder

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """One generator and one autoencoder."""
        return {"discriminator": networks.autoencoder(), "generator": networks.generators()}

    def off(self, x: Tensor) -> Tensor:
        """(N, *shape) difference of samples and their copies."""
        difference: Tensor = x - self.discriminator(x)
        return difference
