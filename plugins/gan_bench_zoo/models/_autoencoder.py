"""What models share whose discriminator is an autoencoder: BEGAN and MAGAN."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gan_bench.dataset import Dataset
from gan_bench.model import Model
from gan_bench.network import Discriminator, Generators, Networks


class AutoencoderGAN(Model):
    """A discriminator that returns a copy of the sample; how far it is off is the sample's energy.

    The copy is a head of the benchmark's discriminator. For points its body is wider than the sample: nothing forces
    it to forget, unlike the bottleneck of the papers' networks for images.
    """

    generator: Generators
    discriminator: Discriminator

    def refuses(self, dataset: Dataset) -> str | None:
        """Points only."""
        if len(dataset.shape) == 1:
            return None
        return f"{self.name} needs an autoencoder for samples of shape {dataset.shape}, which no network offers yet"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """One generator, and a head as large as a point."""
        (size,) = networks.dataset.shape
        return {"discriminator": networks.discriminator({"copy": size}), "generator": networks.generators()}

    def off(self, x: Tensor) -> Tensor:
        """(N, d) difference of samples and their copies."""
        difference: Tensor = x - self.discriminator(x)["copy"]
        return difference
