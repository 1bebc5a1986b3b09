"""Generative Adversarial Nets (Goodfellow et al., NeurIPS 2014, arXiv 1406.2661)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gan_bench.losses import says_fake, says_real
from gan_bench.model import Fake, Model, Real
from gan_bench.network import Discriminator, Generators, Networks
from gan_bench.parameters import param


class GAN(Model):
    """GAN: one generator, one discriminator (Goodfellow et al., 2014).

    min_G max_D  E_x log D(x) + E_z log(1 - D(G(z))); at the optimal D the generator minimises 2 JSD - log 4.
    The generator's default is the non-saturating form that MGAN's paper compares with (its section 3.1).
    """

    name = "gan"
    generator: Generators
    discriminator: Discriminator

    @dataclass(frozen=True)
    class Params:
        """The form of the generator's loss."""

        saturating: bool = param(False, "Minimise log(1 - D(G(z))) instead of -log D(G(z)).")

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """One network each."""
        return {"discriminator": networks.discriminator({"source": None}), "generator": networks.generators()}

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log D(x) - E_z log(1 - D(G(z))): the sum of both halves, not their average."""
        return says_real(self.discriminator(real.x)["source"]) + says_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E_z log D(G(z)), or E_z log(1 - D(G(z))) where saturating."""
        logits = self.discriminator(fake.x)["source"]
        return -says_fake(logits) if self.params.saturating else says_real(logits)
