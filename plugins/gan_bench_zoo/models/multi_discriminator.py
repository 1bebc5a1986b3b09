"""Selective Sampling and Mixture Models in GANs (Barsim, Yang, Yang; 2018, arXiv 1802.01568)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Model, Preset, Real
from gan_bench.contracts.network import SHARED, Discriminator, Generators, Networks, Sharing
from gan_bench.contracts.parameters import param


class MultiDiscriminator(Model):
    """Multi-discriminator MGAN: supplementary discriminators separate the generators (Barsim et al., 2018).

    V = E_x log h + E_q log(1 - h) - sum_k (E_{p_k} log h_k + sum_{j≠k} E_{p_j} log(1 - h_k)), minimised by the
    generators and by the h_k, maximised by h (eq. 4). Generators compete with h but cooperate with the h_k, so the
    diversity part of their loss is that of the h_k, with the same labels. The networks share no parameters.

    As written, the diversity part grows like K(1 + log K) and outweighs the part on real data. `balance = "mean"` has
    averages instead of the sums of eq. 4, which bounds the diversity by 2 log 2 for every K. For K = 2 the paper uses
    one classifier of generator 1 against generator 2 (`supplementary = "single"`). At the optimum, K = 2, the
    generators' objective is MGAN's with beta = 4 w (eq. 4), 2 w (eq. 4 with "single"; "mean"), w ("single", "mean").
    """

    name = "multi-discriminator"
    players = ("discriminator", "supplementary", "generator")
    generator: Generators
    discriminator: Discriminator
    supplementary: Discriminator
    presets = {
        "paper": Preset(
            "The paper's MNIST setting: K = 2, one supplementary discriminator, Adam at 1e-3, uniform latents of "
            "size 100, networks of one hidden layer. The paper does not state Adam's betas (here 0.9 and 0.999, the"
            " usual defaults), the size of a batch (here 128 of each source) or the initialisation (here the "
            "benchmark's).",
            params={"generators": 2, "supplementary": "single"},
            protocol={
                "batch": 128,
                "fakes_per_generator": 128,
                "learning_rate": 1e-3,
                "betas": (0.9, 0.999),
                "latent": "uniform",
                "latent_size": 100,
                "network": {"plugin": "mlp-image"},
            },
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Number of generators, and form and weight of the diversity term."""

        generators: int = param(2, "K, the number of generators.", low=2)
        weight: float = param(1.0, "w, weight of the supplementary discriminators in the generators' loss.", low=0)
        supplementary: str = param(
            "one-vs-rest",
            "One supplementary discriminator for each generator, or a single one for K = 2.",
            choices=("one-vs-rest", "single"),
        )
        balance: str = param(
            "mean",
            "Average the supplementary terms over generators and over the rest, or sum them as in eq. 4.",
            choices=("mean", "none"),
        )
        shared: str = param(
            "nothing",
            "Layers that the generators share: nothing (the paper), all but their input layers, or all but their "
            "output layers.",
            choices=tuple(SHARED),
        )
        shared_noise: bool = param(False, "Give every generator the same latents.")

        def __post_init__(self) -> None:
            if self.supplementary == "single" and self.generators != 2:
                raise ValueError(f"supplementary = 'single' tells 2 generators apart, not {self.generators}")

    params: Params

    @property
    def sharing(self) -> str:
        """Layers that are shared; none in the paper (section 3)."""
        of_generators = SHARED[self.params.shared]
        return "nothing" if of_generators == "nothing" else f"generators: {of_generators}; discriminators: nothing"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build K generators and K separate supplementary discriminators, each group batched."""
        single = self.params.supplementary == "single"
        return {
            "discriminator": networks.discriminator({"source": None}),
            "supplementary": networks.discriminator({"own": None}, copies=1 if single else self.generators),
            "generator": networks.generators(self.generators, shared=cast(Sharing, self.params.shared)),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log h - (1/K) sum_k E_{p_k} log(1 - h)."""
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def supplementary_loss(self, fake: Fake) -> Tensor:
        """Sum of the cross-entropies of the h_k, which share no parameters, so that each is trained on its term alone.

        With a single one and `balance = "mean"`, it is the mean over the aggregated batch of both generators.
        """
        aggregated = self.params.supplementary == "single" and self.params.balance == "mean"
        return self._apart(fake) * (0.5 if aggregated else 1.0)

    def generator_loss(self, fake: Fake) -> Tensor:
        """-(1/K) sum_k E_{p_k} log h, plus w times the supplementary terms, averaged or summed over k."""
        share = 1 / self.generators if self.params.balance == "mean" else 1.0
        return bce_real(self.discriminator(fake.x)["source"]) + self.params.weight * share * self._apart(fake)

    def _apart(self, fake: Fake) -> Tensor:
        """Sum over k of the means of -log h_k on generator k's samples and of -log(1 - h_k) on the others'."""
        logits = self.supplementary(fake.x)["own"]  # (M, N), M supplementary discriminators
        copies, k = logits.shape[0], fake.generators
        logits = logits.view(copies, k, -1)
        is_own = torch.eye(copies, k, device=logits.device, dtype=logits.dtype)
        errors = F.softplus(logits * (1 - 2 * is_own).unsqueeze(-1)).mean(-1)
        share = 1 / (k - 1) if self.params.balance == "mean" else 1.0  # weight of each of the other generators
        return (errors * (is_own + share * (1 - is_own))).sum()
