"""Generative Multi-Adversarial Networks (Durugkar, Gemp, Mahadevan; ICLR 2017, arXiv 1611.01673)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.model import Fake, Model, Preset, Real, Turn
from gan_bench.contracts.network import Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param


class GMAN(Model):
    """GMAN: several discriminators, weighted by their harshness in the generator's loss (Durugkar et al., ICLR 2017).

    Each D_i minimises -E_x log D_i - E_z log(1 - D_i(G)). With V_i = E_z log(1 - D_i(G)), or -E_z log D_i(G), the
    generator minimises sum_i w_i V_i, w = softmax(lambda V), and gradients pass through w. lambda = 0 is the mean, and
    a larger lambda gives more weight to the discriminator with the largest V_i. In GMAN* lambda = softplus(l) is
    learned: l is a parameter of the generator, which minimises sum_i w_i V_i - c lambda. The derivative of the first
    part by lambda is the variance of V under w, so lambda falls while this variance is above c.

    All players are updated simultaneously, as in the authors' code. In that code the l of GMAN* is in no player's list
    of variables, so it is never updated, and there is no reward. The term -c lambda and c = 0.001 are from memory of
    the paper, not verified. Their discriminators differ by dropout as well as by their data, and D is kept in [0.01,
    0.99]. Here the networks are the benchmark's, and losses of logits are finite without limits. Left out: geometric
    and harmonic means, and boosting.
    """

    name = "gman"
    players = ("discriminators", "generator")
    generator: Generators  # inside a `Lenient` if lambda is learned
    discriminators: Discriminator
    presets = {
        "release": Preset(
            "The authors' code for images: five discriminators with 100 real and generated samples each, lambda = 1, "
            "uniform latents of size 100.",
            protocol={"batch": 500, "fakes": 500, "latent": "uniform", "latent_size": 100},
        ),
        "learned": Preset(
            "GMAN*: lambda is learned, with softplus(-2) as its initial value, as in the authors' code.",
            params={"learned": True, "lam": 0.126928},
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Number of discriminators, and their weights in the generator's loss."""

        discriminators: int = param(5, "M, the number of discriminators.", low=1)
        lam: float = param(
            1.0,
            "lambda, strength of the weighting by V_i; 0 is the mean. If lambda is learned, its initial value.",
            low=0,
        )
        learned: bool = param(False, "Learn lambda with the generator (GMAN*).")
        reward: float = param(
            0.001, "c, weight of lambda in the generator's loss, with a negative sign, if lambda is learned.", low=0
        )
        saturating: bool = param(
            True, "V_i = E log(1 - D_i(G)), which works according to the paper. If false, V_i = -E log D_i(G)."
        )
        data: str = param(
            "split",
            "Split each draw into one part for each discriminator, as the release does, or use all of it for all.",
            choices=("split", "shared"),
        )

        def __post_init__(self) -> None:
            if self.learned and self.lam == 0:
                raise ValueError("lam = 0 cannot be learned from: a learned lambda is a softplus, which is above 0")

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that the discriminators share: nothing."""
        return "discriminators: nothing"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build M separate discriminators, batched; a learned lambda belongs to the generator's player."""
        generator: nn.Module = networks.generators()
        if self.params.learned:
            generator = Lenient(generator, self.params.lam)
        return {
            "discriminators": networks.discriminator({"source": None}, copies=self.params.discriminators),
            "generator": generator,
        }

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        """Refuse draws that are too small to be split over the discriminators."""
        m = self.params.discriminators
        if self.params.data == "shared" or min(batch, fakes) >= m:
            return None
        return f"draws of {batch} real and {fakes} generated samples cannot be split over {m} discriminators"

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """One turn of all players."""
        return (Turn(self.players),)

    def discriminators_loss(self, real: Real, fake: Fake) -> Tensor:
        """Sum of the losses of all D_i; each is computed on its part of the draw."""
        on_real, on_fake = self._judge(real.x), self._judge(fake.x)
        return F.softplus(-on_real).mean(1).sum() + F.softplus(on_fake).mean(1).sum()

    def generator_loss(self, fake: Fake) -> Tensor:
        """sum_i w_i V_i, minus c lambda if lambda is learned."""
        judged = self._judge(fake.x)
        harshness = -F.softplus(judged).mean(1) if self.params.saturating else F.softplus(-judged).mean(1)
        if not self.params.learned:
            return weighted(harshness, self.params.lam)
        lam = cast(Lenient, self.generator).lam()
        return weighted(harshness, lam) - self.params.reward * lam

    def _judge(self, x: Tensor) -> Tensor:
        """Return logits (M, n): on all samples, or on a separate part of n = floor(N / M) for each discriminator."""
        logits: Tensor = self.discriminators(split(x, self.params.discriminators) if self._splits else x)["source"]
        return logits

    @property
    def _splits(self) -> bool:
        return self.params.data == "split"


class Lenient(nn.Module):
    """Generator with lambda, the weighting of the discriminators, as a further parameter."""

    def __init__(self, body: nn.Module, lam: float) -> None:
        super().__init__()
        self.body = body
        self.level = nn.Parameter(torch.tensor(lam + math.log(-math.expm1(-lam))))  # softplus of it is lam

    def forward(self, z: Tensor) -> Tensor:
        """Evaluate the generator."""
        samples: Tensor = self.body(z)
        return samples

    def lam(self) -> Tensor:
        """Return lambda = softplus(level), above 0."""
        return F.softplus(self.level)


def weighted(values: Tensor, lam: float | Tensor) -> Tensor:
    """Return the mean of (M,) values weighted by softmax(lam * values)."""
    return ((lam * values).softmax(0) * values).sum()


def split(x: Tensor, parts: int) -> Tensor:
    """Split (N, …) into (parts, floor(N / parts), …); the rest is dropped."""
    each = len(x) // parts
    return x[: parts * each].view(parts, each, *x.shape[1:])
