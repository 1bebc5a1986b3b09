"""Adversarially Learned Inference (Dumoulin et al.; ICLR 2017, arXiv 1606.00704)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Preset, Real
from gan_bench.contracts.network import Generators, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._joint import Encoder, JointGAN, judge_of_pairs

ON_POINTS: dict[str, Any] = {
    "learning_rate": 1e-4,
    "batch": 100,
    "fakes": 100,
    "latent": "normal",
    "latent_size": 2,
    "init": "normal",
    "init_scale": 0.02,
}
"""What the authors' and PacGAN's settings for points have in common."""


class ALI(JointGAN):
    """ALI: an encoder trained with the generator, and a discriminator of pairs (Dumoulin et al., ICLR 2017).

    min_{G,Q} max_D  V = E_x log D(x, Q(x)) + E_z log(1 - D(G(z), z)); at the optimal D the generator G and the encoder
    Q, one player, would minimise 2 JSD(q(x, z), p(x, z)) - log 4. They maximise the paper's V' instead, V with both
    halves flipped: E_x log(1 - D(x, Q(x))) + E_z log D(G(z), z). Both players move at once (the paper's algorithm, and
    the release). Samples come from the generator alone.

    The encoder is Gaussian, Q(x) = mu(x) + exp(s(x)) eps (the paper's example, and the release on images), or implicit,
    Q(x) = f(x, eps) with as many eps as x has coordinates (the release on points; beside the channels of an image). The
    generator is deterministic.
    """

    name = "ali"
    generator: Pair
    presets = {
        "release": Preset(
            "The authors' grid of 25: implicit encoder, learning rate 1e-4, batches of 100, latents of size 2. Their "
            "beta1 = 0.8 weighs the gradient, not the mean of before, in the Blocks of its day (2016; so does the "
            "paper's beta2 = 1e-3): Adam's first beta is 0.2. Its networks are larger than the mlp (generator of four "
            "and encoder of two layers of 400 with batch normalisation, discriminator of three maxout layers of 200).",
            params={"encoder": "implicit"},
            protocol=ON_POINTS | {"betas": [0.2, 0.999]},
        ),
        "pacgan": Preset(
            "ALI as PacGAN's authors ran it on ring and grid (2017): as `release`, but Blocks had changed the meaning "
            "of beta1 = 0.8 by then, so that Adam's first beta is 0.8 (their version of Blocks is not stated).",
            params={"encoder": "implicit"},
            protocol=ON_POINTS | {"betas": [0.8, 0.999]},
        ),
        "cifar10": Preset(
            "The authors' CIFAR-10 code: Gaussian encoder, Adam at 1e-4 with a first beta of 0.5 (the same in either "
            "Blocks), batches of 100, latents of size 64, initialisation of 0.01; 1,000 epochs there, or 6,475 in its "
            "last revision. Its networks, deeper than dcgan's, with dropout in the discriminator, are left out: they "
            "are the benchmark's.",
            params={"encoder": "gaussian"},
            protocol={
                "learning_rate": 1e-4,
                "betas": [0.5, 0.999],
                "batch": 100,
                "fakes": 100,
                "latent": "normal",
                "latent_size": 64,
                "init": "normal",
                "init_scale": 0.01,
            },
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """The encoder."""

        encoder: str = param(
            "gaussian",
            "Latents of real samples are Gaussian, with learned mean and deviation, or any function of noise.",
            choices=("gaussian", "implicit"),
        )

    params: Params

    @property
    def encoder(self) -> Encoder:
        """The half of the generating player that maps samples to latents."""
        return self.generator.encoder

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """A discriminator of pairs; generator and encoder are one player."""
        kind = GaussianEncoder if self.params.encoder == "gaussian" else ImplicitEncoder
        return {
            "discriminator": judge_of_pairs(networks),
            "generator": Pair(networks.generators(), kind(networks)),
        }

    def discriminator_loss(self, real: Real, fake: Fake, noise: Mapping[str, Tensor]) -> Tensor:
        """-E_x log D(x, Q(x)) - E_z log(1 - D(G(z), z))."""
        codes = self.encoder(real.x, noise["encoder"]).detach()
        return bce_real(self.judge(real.x, codes)) + bce_fake(self.judge(fake.x, fake.z))

    def generator_loss(self, real: Real, fake: Fake, noise: Mapping[str, Tensor]) -> Tensor:
        """-E_x log(1 - D(x, Q(x))) - E_z log D(G(z), z)."""
        codes = self.encoder(real.x, noise["encoder"])
        return bce_fake(self.judge(real.x, codes)) + bce_real(self.judge(fake.x, fake.z))


class Pair(nn.Module):
    """A generator, which a call evaluates, and its encoder."""

    def __init__(self, decoder: Generators, encoder: Encoder) -> None:
        super().__init__()
        self.decoder, self.encoder = decoder, encoder

    def forward(self, z: Tensor) -> Tensor:
        """Evaluate the generator."""
        samples: Tensor = self.decoder(z)
        return samples


class GaussianEncoder(Encoder):
    """mu(x) + exp(s(x)) eps."""

    def __init__(self, networks: Networks) -> None:
        size = networks.latent_size
        super().__init__(networks.discriminator({"mean": size, "log_std": size}), (size,))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map samples (n, *shape) and noise (n, size) to latents (n, size)."""
        found: dict[str, Tensor] = self.body(x)
        return found["mean"] + found["log_std"].exp() * noise


class ImplicitEncoder(Encoder):
    """f(x, eps)."""

    def __init__(self, networks: Networks) -> None:
        first, *rest = shape = networks.dataset.shape
        super().__init__(networks.discriminator({"latent": networks.latent_size}, shape=(2 * first, *rest)), shape)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map samples (n, *shape) and noise (n, *shape) to latents (n, size)."""
        latents: Tensor = self.body(torch.cat([x, noise], 1))["latent"]
        return latents
