"""Stackelberg GAN: Towards Provable Minimax Equilibrium via Multi-Generator Architectures.

Zhang, Xu, Jiao, Xie, Salakhutdinov, Xing; arXiv 1811.08010, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gan_bench import Discriminator, Fake, Generators, Model, Networks, Preset, Real, bce_fake, bce_real, param
from torch import Tensor, nn


class StackelbergGAN(Model):
    """Stackelberg GAN: K generators without shared parameters against one discriminator (Zhang et al., 2018).

    min_{G_1…G_K} max_D  1/K sum_k [E_x log D(x) + E_z log(1 - D(G_k(z)))]: the value of GAN, averaged over the
    generators, so that only the shared discriminator separates them. In their turn the generators minimise the
    non-saturating form, as in the authors' code. That code sums over k instead of averaging, and halves the
    discriminator's loss. Adam's steps do not depend on these constant factors.
    """

    name = "stackelberg-gan"
    generator: Generators
    discriminator: Discriminator
    presets = {
        "release": Preset(
            "The authors' code for Gaussian mixtures: the same latents, N(0, I) in 2 dimensions, for all generators; "
            "64 real samples and as many of each generator. Its networks, their initialisation and its order of turns "
            "(generators first) are not reproduced.",
            params={"shared_noise": True},
            protocol={"batch": 64, "fakes_per_generator": 64, "latent": "normal", "latent_size": 2},
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Number of generators, and their latents."""

        generators: int = param(8, "K, the number of generators.", low=1)
        shared_noise: bool = param(False, "Give every generator the same latents, as the authors' code does.")

    params: Params

    @property
    def shared_noise(self) -> bool:
        """Value of the parameter `shared_noise`."""
        return bool(self.params.shared_noise)

    @property
    def sharing(self) -> str:
        """Shared layers of the generators: none."""
        return "generators: nothing"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build K whole generators and one discriminator."""
        return {
            "discriminator": networks.discriminator({"source": None}),
            "generator": networks.generators(self.generators, shared="nothing"),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log D(x) - 1/K sum_k E_z log(1 - D(G_k(z))), a mean over all fakes: the G_k generate equally many."""
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, fake: Fake) -> Tensor:
        """-1/K sum_k E_z log D(G_k(z))."""
        return bce_real(self.discriminator(fake.x)["source"])
