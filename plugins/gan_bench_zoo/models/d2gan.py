"""Dual Discriminator Generative Adversarial Nets (Nguyen et al., NeurIPS 2017, arXiv 1709.03831)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.model import Fake, Model, Preset, Real
from gan_bench.contracts.network import Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param

FAR_BELOW = -20.0  # below, softplus(a) = exp(a) to float32 precision, and further below it underflows to 0


def log_softplus(a: Tensor) -> Tensor:
    """Return log(softplus(a)), finite for every finite a: the log of a positive discriminator output."""
    return torch.where(a <= FAR_BELOW, a, F.softplus(a.clamp(min=FAR_BELOW)).log())


class D2GAN(Model):
    """D2GAN: one discriminator that rewards real data, one that rewards generated data (Nguyen et al., 2017).

    min_G max_{D1,D2}  alpha E_x log D1(x) - E_z D1(G(z)) - E_x D2(x) + beta E_z log D2(G(z)), with D1, D2 > 0 (their
    last layer is a softplus). At the optimum G minimises alpha KL(p||q) + beta KL(q||p). The weights multiply the
    logarithms, as in the authors' release. In their later library the weights multiply the other terms, which is the
    same if both are 1.

    One seed with the preset `release` covered all 8 modes of the ring; two others reached 0 to 4.
    """

    name = "d2gan"
    players = ("discriminators", "generator")
    generator: Generators
    discriminators: Discriminator
    presets = {
        "release": Preset(
            "The authors' 2D experiment: initialisation of 0.01, new latents for the generator's turn, 512 "
            "generated samples, ReLU in the discriminators. Of three seeds one covered all 8 modes of the ring, two"
            " covered 0 to 4.",
            protocol={
                "init": "normal",
                "init_scale": 0.01,
                "latents": "fresh",
                "fakes": 512,
                "network": {"plugin": "mlp", "slope": 0.0},
            },
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Weights of the two logarithms."""

        alpha: float = param(1.0, "Weight of log D1 on real data.", above=0)
        beta: float = param(1.0, "Weight of log D2 on generated data.", above=0)

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build two discriminators without common parameters, as one batched network, and one generator."""
        return {
            "discriminators": networks.discriminator({"score": None}, copies=2),
            "generator": networks.generators(),
        }

    def discriminators_loss(self, real: Real, fake: Fake) -> Tensor:
        """-alpha E_x log D1 + E_z D1 + E_x D2 - beta E_z log D2, the sum of two separate losses."""
        real1, real2 = self.discriminators(real.x)["score"]
        fake1, fake2 = self.discriminators(fake.x)["score"]
        first = F.softplus(fake1).mean() - self.params.alpha * log_softplus(real1).mean()
        second = F.softplus(real2).mean() - self.params.beta * log_softplus(fake2).mean()
        return first + second

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E_z D1(G(z)) + beta E_z log D2(G(z))."""
        fake1, fake2 = self.discriminators(fake.x)["score"]
        return self.params.beta * log_softplus(fake2).mean() - F.softplus(fake1).mean()
