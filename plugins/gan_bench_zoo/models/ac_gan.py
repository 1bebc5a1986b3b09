"""Conditional Image Synthesis with Auxiliary Classifier GANs (Odena, Olah, Shlens; ICML 2017, arXiv 1610.09585)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Real
from gan_bench.contracts.network import Discriminator, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._indexed import Labelled, labels


class ACGAN(Labelled):
    """AC-GAN: a generator with a class input, and a discriminator that also classifies (Odena et al., ICML 2017).

    D maximises L_S + L_C and G maximises L_C - L_S, with L_S = E_x log D(x) + E_{z,c} log(1 - D(G(z, c))) and L_C =
    E_{x,y} log C(y | x) + E_{z,c} log C(c | G(z, c)). C is a head on D's trunk. As in the zoo's other models, G
    minimises -log D(G) instead of maximising -L_S. The part of L_C on real samples does not depend on G.

    AC-GAN is trained with the labels of the data, which most other models do not use. Generator k is G(z, e_k) and has
    to generate class k. Every class has the same share of generated samples, whatever its share of the data. Later code
    often leaves generated samples out of the discriminator's L_C (Keras's example, WGAN-GP's for CIFAR-10): `classified
    = "real"`.
    """

    name = "ac-gan"
    discriminator: Discriminator

    @dataclass(frozen=True)
    class Params:
        """Number of classes, and the samples that the classifier is trained on."""

        generators: int = param(8, "Number of classes of the data; each has a generator.", low=1)
        classified: str = param(
            "both",
            "Samples on which the classifier is trained: real and generated ones, or real ones only.",
            choices=("both", "real"),
        )

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that are shared, with D and C as two heads on one trunk."""
        return f"{super().sharing}; discriminator and classifier: all but the output layer"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one trunk with heads for source and class, and a generator with the class as an input."""
        return {
            "discriminator": networks.discriminator({"source": None, "class": self.generators}),
            "generator": self.one_generator(networks),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-L_S - L_C, discriminator and classifier in one step."""
        on_real, on_fake = self.discriminator(real.x), self.discriminator(fake.x)
        source = bce_real(on_real["source"]) + bce_fake(on_fake["source"])
        named = F.cross_entropy(on_real["class"], labels(real))
        if self.params.classified == "both":
            named = named + F.cross_entropy(on_fake["class"], fake.generator)
        return source + named

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E log D(G) - E log C(c | G)."""
        judged = self.discriminator(fake.x)
        return bce_real(judged["source"]) + F.cross_entropy(judged["class"], fake.generator)
