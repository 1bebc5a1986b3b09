"""Networks of MGAN's experiments on images (Hoang et al., ICLR 2018, Tables 4 to 7), after DCGAN (Radford et al.).

For 32 × 32 images, as in Table 4 (with `width` = 128 and K = 10 generators of 100 latent dimensions):

Generator: latent → 4 × 4 × 512 (a separate layer for each generator; batch normalisation over that generator's
samples, ReLU) → 5 × 5 transposed convolutions of stride 2 to 256 and 128 channels (batch normalisation over the samples
of all generators, ReLU) and to the image, linear. 835,584 parameters for each input layer and 4,106,371 for the rest:
12,462,211.

Discriminator: 5 × 5 convolutions of stride 2 to 128, 256 and 512 channels, each with batch normalisation (the first
included, unlike DCGAN's) and leaky ReLU → heads on the 8,192 features. 4,108,288 parameters, 8,193 more for a head of
one logit, 81,930 for one of ten.

Other sizes follow the rule of the released code: sides are halved, rounding up, until none is longer than 4, and each
halving doubles the channels. STL-10's 48 × 48 therefore start with 3 × 3 × 1,024. Table 5 prints 4 × 4 × 1,024, whose
four doublings would result in 64. Its 96 × 96 start with 3 × 3 × 2,048; Table 6 prints 4 × 4 × 2,046 (and images of 32
× 32 × 3 for the discriminator). With K = 10, generators and discriminator with both heads have 26,614,915 and
17,319,947 parameters for 48 × 48, and 88,446,083 and 69,856,267 for 96 × 96.

Settings that are not in the tables are those of the released code: gains are learned, the input layer is normalised
unit by unit over the b samples of one generator, and discriminators never use running averages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from torch import nn

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.network import (
    Autoencoder,
    Discriminator,
    Generators,
    Heads,
    JointDiscriminator,
    Network,
    Sharing,
)
from gan_bench.contracts.parameters import param
from gan_bench.errors import PluginError
from gan_bench_zoo.networks._convolutional import (
    ConvAutoencoder,
    ConvGenerators,
    ConvJoint,
    Copies,
    Halvings,
    Judge,
    Norms,
    Separate,
    halving,
)


class DCGAN(Network):
    """Convolutional networks with batch normalisation for images (MGAN's experiments on images).

    Generators use mean and variance of the batch in training, and their running averages in evaluation. With one sample
    of each generator, the normalisation of the input layer returns 0, so draw at least two.
    """

    name = "dcgan"
    heavy = True

    @dataclass(frozen=True)
    class Params:
        """Width and normalisation."""

        width: int = param(
            128, "Channels after the discriminator's first layer; each further layer doubles them.", low=1
        )
        norm: str = param("batch", "Normalisation in the discriminator.", choices=("batch", "none"))
        input_norm: bool = param(
            True,
            "Batch normalisation after generators' input layers. The paper omits it at K = 32 with 4 samples each.",
        )
        generator_centre: str = param(
            "none",
            "Layers of generators whose batch normalisation has a learned shift: none (the paper), the input layer "
            "(its released code) or all.",
            choices=("none", "input", "all"),
        )
        slope: float = param(0.2, "Slope of the discriminator's leaky ReLU below zero; 0 is a ReLU.", low=0, high=1)
        bottleneck: int = param(64, "Size of an autoencoder's code.", low=1)

    params: Params

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse data other than images."""
        if len(dataset.shape) == 3:
            return None
        return f"the dcgan network makes images; {dataset.name} has samples of shape {dataset.shape}"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        """Map latents (K, b, latent size) to images (K, b, *shape)."""
        sizes = self._sizes(shape)
        if shared == "nothing":
            return Separate([ConvGenerators(latent_size, sizes, self._norms) for _ in range(count)])
        return ConvGenerators(latent_size, sizes, self._norms, count, shared)

    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        """Map images (n, *shape), or feature vectors of another network, to logits; see `Discriminator`.

        For vectors there are two hidden layers of 1,024 units with leaky ReLU. Copies are evaluated one by one.
        """
        make = self._of_vectors if len(shape) == 1 else self._of_images
        if copies is None:
            return make(shape, heads)
        return Copies([make(shape, heads) for _ in range(copies)], len(shape))

    def without_batch_statistics(self) -> Network:
        """Return this network with `norm` = "none"."""
        return DCGAN(replace(self.params, norm="none"))

    def joint_discriminator(self, shape: tuple[int, ...], size: int, heads: Heads) -> JointDiscriminator:
        """Build a discriminator of image features and 512 units for the vector, then 1,024 units before the heads."""
        if len(shape) == 1:
            return super().joint_discriminator(shape, size, heads)
        sizes = self._sizes(shape)
        return ConvJoint(self._body(sizes), prod(sizes.last), size, heads, self.params.slope)

    def autoencoder(self, shape: tuple[int, ...]) -> Autoencoder:
        """Build convolutions, a code of `bottleneck` numbers, and transposed convolutions."""
        if len(shape) == 1:
            return super().autoencoder(shape)
        return ConvAutoencoder(self._sizes(shape), self.params.bottleneck, self.params.slope)

    @property
    def _norms(self) -> Norms:
        """Normalisation of generators."""
        centre = self.params.generator_centre
        return Norms(centre != "none" if self.params.input_norm else None, centre == "all")

    def _sizes(self, shape: tuple[int, ...]) -> Halvings:
        if len(shape) != 3:
            raise PluginError(f"the network dcgan makes images (channels, height, width), none of shape {shape}.")
        return Halvings(shape, self.params.width)

    def _body(self, sizes: Halvings) -> nn.Module:
        return halving(sizes, self.params.slope, norm=self.params.norm == "batch")

    def _of_images(self, shape: tuple[int, ...], heads: Heads) -> Discriminator:
        sizes = self._sizes(shape)
        return Judge(self._body(sizes), prod(sizes.last), heads)

    def _of_vectors(self, shape: tuple[int, ...], heads: Heads) -> Discriminator:
        hidden, slope = 1024, self.params.slope
        first, second = nn.Linear(shape[0], hidden), nn.Linear(hidden, hidden)
        return Judge(nn.Sequential(first, nn.LeakyReLU(slope), second, nn.LeakyReLU(slope)), hidden, heads)
