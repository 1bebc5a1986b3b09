"""Conditional Generative Adversarial Nets (Mirza, Osindero; 2014, arXiv 1411.1784)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Real
from gan_bench.contracts.network import JointDiscriminator, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._indexed import Labelled, labels, units


class ConditionalGAN(Labelled):
    """ConditionalGAN: generator and discriminator with the class as an input (Mirza and Osindero, 2014).

    min_G max_D  E_{x,y} log D(x, y) + E_{z,y} log(1 - D(G(z, y), y)), with y a unit vector that is appended to the
    latent and to the sample. It is one GAN for each class, all in one pair of networks (eq. 2 writes D(x | y)). The
    generator's default is the non-saturating form, as in the zoo's other models; the form that the paper trained with
    is not verified.

    ConditionalGAN is trained with the labels of the data, which most other models do not use. Generator k is G(z, e_k)
    and has to generate class k. Every class has the same share of generated samples, whatever its share of the data.
    Left out: the paper's networks, in which z and y have separate layers before they are joined.
    """

    name = "conditional-gan"
    discriminator: JointDiscriminator

    @dataclass(frozen=True)
    class Params:
        """Number of classes, and the form of the generator's loss."""

        generators: int = param(8, "Number of classes of the data; each has a generator.", low=1)
        saturating: bool = param(False, "Minimise log(1 - D(G(z, y), y)) instead of -log D(G(z, y), y).")

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build both networks with K further inputs."""
        return {
            "discriminator": networks.joint_discriminator(self.generators, {"source": None}),
            "generator": self.one_generator(networks),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E log D(x, y) - E log(1 - D(G(z, y), y))."""
        return bce_real(self._judge(real.x, labels(real))) + bce_fake(self._judge(fake.x, fake.generator))

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E log D(G(z, y), y), or E log(1 - D(G(z, y), y)) if `saturating`."""
        logits = self._judge(fake.x, fake.generator)
        return -bce_fake(logits) if self.params.saturating else bce_real(logits)

    def _judge(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logits (n,) of samples (n, *shape) with their classes (n,)."""
        logits: Tensor = self.discriminator(x, units(y, self.generators, x.dtype))["source"]
        return logits
