"""Generative Adversarial Nets (Goodfellow et al., NeurIPS 2014, arXiv 1406.2661)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Model, Preset, Real, Turn
from gan_bench.contracts.network import Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param


class GAN(Model):
    """GAN: one generator, one discriminator (Goodfellow et al., 2014).

    min_G max_D  E_x log D(x) + E_z log(1 - D(G(z))); at the optimal D the generator minimises 2 JSD - log 4. The
    generator's default is the non-saturating form, with which MGAN's paper compares (its section 3.1). DCGAN (Radford
    et al., ICLR 2016) has the same objective with other networks: its settings are the preset `dcgan`.
    """

    name = "gan"
    presets = {
        "dcgan": Preset(
            "DCGAN's released code: batches of 128, Adam at 2e-4 with a first beta of 0.5, uniform latents of size "
            "100 that are drawn for each player, initialisation of 0.02, convolutional networks. Left out: weight "
            "decay of 1e-5, new real data for the generator's turn, and its networks, which are for images of 64 x "
            "64 and do not normalise the discriminator's first layer.",
            protocol={
                "batch": 128,
                "fakes": 128,
                "learning_rate": 2e-4,
                "betas": (0.5, 0.999),
                "init": "normal",
                "init_scale": 0.02,
                "latent": "uniform",
                "latent_size": 100,
                "latents": "fresh",
                "network": {"plugin": "dcgan"},
            },
        )
    }
    generator: Generators
    discriminator: Discriminator

    @dataclass(frozen=True)
    class Params:
        """Form of the generator's loss, and order of the players' steps."""

        saturating: bool = param(False, "Minimise log(1 - D(G(z))) instead of -log D(G(z)).")
        simultaneous: bool = param(False, "Update both players simultaneously instead of in turn.")

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each."""
        return {"discriminator": networks.discriminator({"source": None}), "generator": networks.generators()}

    def turns(self, iteration: int) -> Sequence[Turn]:
        """Turns of the players, one after the other or simultaneous."""
        return (Turn(self.players),) if self.params.simultaneous else super().turns(iteration)

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log D(x) - E_z log(1 - D(G(z))), the sum of both halves, not their average."""
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E_z log D(G(z)), or E_z log(1 - D(G(z))) if `saturating`."""
        logits = self.discriminator(fake.x)["source"]
        return -bce_fake(logits) if self.params.saturating else bce_real(logits)
