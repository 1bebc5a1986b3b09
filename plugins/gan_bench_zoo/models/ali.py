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
"""Settings for points that the authors' code and PacGAN's have in common."""


class ALI(JointGAN):
    """ALI: an encoder trained with the generator, and a discriminator of pairs (Dumoulin et al., ICLR 2017).

    min_{G,Q} max_D  V = E_x log D(x, Q(x)) + E_z log(1 - D(G(z), z)). At the optimal D the generator G and the encoder
    Q, one player, would minimise 2 JSD(q(x, z), p(x, z)) - log 4. They maximise the paper's V' instead, which is V with
    both halves flipped: E_x log(1 - D(x, Q(x))) + E_z log D(G(z), z). Both players are updated simultaneously (the
    paper's algorithm, and the release). Samples are drawn from the generator alone.

    The encoder is Gaussian, Q(x) = mu(x) + exp(s(x)) eps (the paper's example, and the release on images), or implicit,
    Q(x) = f(x, eps), with as many eps as x has coordinates (the release on points). On images the eps of an implicit
    encoder are further channels. The generator is deterministic.
    """

    name = "ali"
    generator: Pair
    presets = {
        "release": Preset(
            "The authors' grid of 25: implicit encoder, learning rate 1e-4, batches of 100, latents of size 2. "
            "Adam's first beta is 0.2: in the Blocks of that time (2016) their beta1 = 0.8 is the weight of the "
            "gradient, not of the running mean (so is the paper's beta2 = 1e-3). Left out: its networks, larger "
            "than the mlp (generator of four and encoder of two layers of 400 with batch normalisation, "
            "discriminator of three maxout layers of 200).",
            params={"encoder": "implicit"},
            protocol=ON_POINTS | {"betas": [0.2, 0.999]},
        ),
        "pacgan": Preset(
            "ALI in the experiments of PacGAN's authors on ring and grid (2017): as `release`, with Adam's first "
            "beta 0.8, because Blocks had changed the meaning of beta1 = 0.8 by then. Their version of Blocks is "
            "not stated.",
            params={"encoder": "implicit"},
            protocol=ON_POINTS | {"betas": [0.8, 0.999]},
        ),
        "cifar10": Preset(
            "The authors' CIFAR-10 code: Gaussian encoder, Adam at 1e-4 with a first beta of 0.5 (the same in both "
            "versions of Blocks), batches of 100, latents of size 64, initialisation of 0.01. The code trains for "
            "1,000 epochs, in its last revision for 6,475. Left out: its networks, which are deeper than dcgan's "
            "and have dropout in the discriminator.",
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
        """Form of the encoder."""

        encoder: str = param(
            "gaussian",
            "Form of the encoder: Gaussian with learned mean and deviation, or any function of sample and noise.",
            choices=("gaussian", "implicit"),
        )

    params: Params

    @property
    def encoder(self) -> Encoder:
        """Encoder, which is part of the generator's player."""
        return self.generator.encoder

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build a discriminator of pairs, and generator and encoder as one player."""
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
    """Generator and encoder as one module; a call evaluates the generator."""

    def __init__(self, decoder: Generators, encoder: Encoder) -> None:
        super().__init__()
        self.decoder, self.encoder = decoder, encoder

    def forward(self, z: Tensor) -> Tensor:
        """Evaluate the generator."""
        samples: Tensor = self.decoder(z)
        return samples


class GaussianEncoder(Encoder):
    """Gaussian encoder: mu(x) + exp(s(x)) eps."""

    def __init__(self, networks: Networks) -> None:
        size = networks.latent_size
        super().__init__(networks.discriminator({"mean": size, "log_std": size}), (size,))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map samples (n, *shape) and noise (n, size) to latents (n, size)."""
        found: dict[str, Tensor] = self.body(x)
        return found["mean"] + found["log_std"].exp() * noise


class ImplicitEncoder(Encoder):
    """Implicit encoder: f(x, eps)."""

    def __init__(self, networks: Networks) -> None:
        first, *rest = shape = networks.dataset.shape
        super().__init__(networks.discriminator({"latent": networks.latent_size}, shape=(2 * first, *rest)), shape)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map samples (n, *shape) and noise (n, *shape) to latents (n, size)."""
        latents: Tensor = self.body(torch.cat([x, noise], 1))["latent"]
        return latents
