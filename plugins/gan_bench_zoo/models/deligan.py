"""DeLiGAN: Generative Adversarial Networks for Diverse and Limited Data (Gurumurthy et al.; CVPR 2017, 1706.02071)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Model, Preset, Real
from gan_bench.contracts.network import Discriminator, Initialisation, Networks, initialise
from gan_bench.contracts.parameters import param


class DeLiGAN(Model):
    """DeLiGAN: one generator whose latents are a learned mixture of Gaussians (Gurumurthy et al., CVPR 2017).

    z = mu_i + sigma_i * eps with eps from the prior and i uniform over n components. The vectors mu_i and sigma_i, of
    the size of the latent, are parameters of the generator, which minimises -E log D(G(z)) + lambda mean (1 - sigma)^2.
    The discriminator is GAN's. Without the second term sigma may shrink until each component generates a single sample.

    Each component counts as a generator, so that its coverage can be measured; the generators share everything but mean
    and deviation of their latents. A draw has the same number of samples of each component; in the authors' code this
    number is one. In that code a threshold on the loss selects the player to train in each step; here the players
    alternate. The objective is that of the code for toy data and MNIST; the code for CIFAR-10 computes the term on
    sigma but leaves it out of the loss. The paper was not available, so its objective is not verified.
    """

    name = "deligan"
    generator: Mixed
    discriminator: Discriminator
    presets = {
        "release": Preset(
            "The authors' code for points in the plane: 50 components with one sample each, uniform latents of size"
            " 2, learning rate 1e-4. Left out: its networks (one hidden layer of 32 tanh units, tanh on the "
            "output), and its choice of the next player by a threshold.",
            protocol={
                "batch": 50,
                "fakes_per_generator": 1,
                "latent": "uniform",
                "latent_size": 2,
                "learning_rate": 1e-4,
                "betas": (0.5, 0.999),
            },
        ),
        "release-mnist": Preset(
            "The authors' code for MNIST: 50 components with a larger initial deviation and a stronger penalty, "
            "latents of size 30, learning rate 5e-4 (in the code it decays in the last three quarters).",
            params={"sigma": 0.2, "penalty": 1 / 3},
            protocol={
                "batch": 50,
                "fakes_per_generator": 1,
                "latents": "fresh",
                "latent": "normal",
                "latent_size": 30,
                "learning_rate": 5e-4,
                "betas": (0.5, 0.999),
            },
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Mixture of latents; the defaults are those of the authors' code for points in the plane."""

        generators: int = param(50, "n, the number of components of the mixture; each counts as a generator.", low=1)
        sigma: float = param(0.02, "Initial value of all deviations; means are initialised from U(-1, 1).", above=0)
        penalty: float = param(0.1, "lambda, weight of the mean of (1 - sigma)^2 in the generator's loss.", low=0)
        saturating: bool = param(False, "Minimise log(1 - D(G(z))) instead of -log D(G(z)).")

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that the components share: one network."""
        return "generators: all but mean and deviation of their latents"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each; the mixture belongs to the generator's player."""
        mixed = Mixed(networks.generators(), self.generators, networks.latent_size, self.params.sigma)
        return {"discriminator": networks.discriminator({"source": None}), "generator": mixed}

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log D(x) - E_z log(1 - D(G(z)))."""
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E_z log D(G(z)), or E_z log(1 - D(G(z))) if `saturating`, + lambda mean (1 - sigma)^2."""
        logits = self.discriminator(fake.x)["source"]
        adversarial = -bce_fake(logits) if self.params.saturating else bce_real(logits)
        return adversarial + self.params.penalty * (1 - self.generator.sigma).square().mean()


class Mixed(nn.Module):
    """Generator with a mixture of latents: (n, b, size) from the prior to samples (n, b, *shape)."""

    def __init__(self, body: nn.Module, components: int, size: int, sigma: float) -> None:
        super().__init__()
        self.body = body
        self.mu = nn.Parameter(torch.zeros(components, 1, size))
        self.sigma = nn.Parameter(torch.full((components, 1, size), sigma))

    def forward(self, z: Tensor) -> Tensor:
        """Evaluate the generator at mu_i + sigma_i * z, in one pass for all components."""
        together: Tensor = self.body((self.mu + self.sigma * z).flatten(0, 1)[None])
        return together.view(*z.shape[:2], *together.shape[2:])

    def initialise(self, init: Initialisation, rng: torch.Generator) -> None:
        """Initialise the network by the protocol, and means from U(-1, 1); deviations keep their initial value."""
        initialise(self.body, init, rng)
        self.mu.uniform_(-1, 1, generator=rng)
