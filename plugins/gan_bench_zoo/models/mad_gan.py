"""Multi-Agent Diverse GANs (Ghosh et al., CVPR 2018, arXiv 1704.02906)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.model import Fake, Model, Preset, Real
from gan_bench.contracts.network import SHARED, Discriminator, Generators, Networks, Sharing
from gan_bench.contracts.parameters import param

REAL = 0  # the class of real data, as in the authors' code; generator k is class k + 1


class MADGAN(Model):
    """MAD-GAN: a discriminator that identifies the generator of each fake (Ghosh et al., 2018).

    D minimises the cross-entropy of K + 1 classes (real, generator 1, …, K), averaged over the K + 1 sources; each
    generator minimises -log D_real on its samples. Let p_avg be the mean of p and all q_k, and q the mixture. At the
    optimum of the minimax form (`saturating`, no `real_weight`) the generators minimise KL(p||p_avg) + K KL(q||p_avg)
    up to a constant, so no term rewards their separation. Each generator has a separate input layer and shares the rest
    (madgan_ind.py of the authors' code, MGAN's scheme). In madgan.py the output layers are separate instead (preset
    `release`). In both files all generators have the same latents, and each generates a whole batch.
    """

    name = "mad-gan"
    generator: Generators
    discriminator: Discriminator
    presets = {
        "release": Preset(
            "The authors' 1-D and 2-D code (madgan.py): generators with separate output layers and the same "
            "latents, batches of 128, learning rate 1e-4, Xavier initialisation (in the code normal, here uniform "
            "with the same variance), uniform latents of size 64 that are drawn again for the generators' turn.",
            params={"shared": "trunk", "shared_noise": True},
            protocol={
                "batch": 128,
                "fakes_per_generator": 128,
                "learning_rate": 1e-4,
                "init": "xavier",
                "init_scale": 1.0,
                "latent": "uniform",
                "latent_size": 64,
                "latents": "fresh",
            },
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Number of generators, the layers that they share, and the weight of real data."""

        generators: int = param(8, "K, the number of generators.", low=1)
        shared: str = param(
            "body",
            "Layers that the generators share: all but their input layers, all but their output layers, or nothing.",
            choices=tuple(SHARED),
        )
        shared_noise: bool = param(False, "Give every generator the same latents.")
        real_weight: float | None = param(
            None,
            "Share of real data in the discriminator's loss. Default: 1/(K+1), the share of each generator.",
            above=0,
        )
        saturating: bool = param(False, "Generators minimise log(1 - D_real) instead of -log D_real.")

        def __post_init__(self) -> None:
            if self.real_weight is not None and self.real_weight >= 1:
                raise ValueError(f"real_weight = {self.real_weight} leaves nothing for generators; give less than 1")

    params: Params

    @property
    def sharing(self) -> str:
        """Layers that the generators share."""
        return f"generators: {SHARED[self.params.shared]}"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build K generators, and one discriminator with K + 1 logits."""
        return {
            "discriminator": networks.discriminator({"class": self.generators + 1}),
            "generator": networks.generators(self.generators, shared=cast(Sharing, self.params.shared)),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """Mean cross-entropy of K + 1 sources, each with the same weight; `real_weight` changes that of real data."""
        of_real = -self._log_real(real.x).mean()
        of_fakes = F.cross_entropy(self.discriminator(fake.x)["class"], fake.generator + 1)
        share = self.params.real_weight or 1 / (self.generators + 1)
        return share * of_real + (1 - share) * of_fakes

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E log D_real, or E log(1 - D_real), over all generators, each with weight 1/K."""
        if not self.params.saturating:
            return -self._log_real(fake.x).mean()
        logits: Tensor = self.discriminator(fake.x)["class"]
        return (torch.logsumexp(logits[:, REAL + 1 :], 1) - torch.logsumexp(logits, 1)).mean()

    def _log_real(self, x: Tensor) -> Tensor:
        """Return log D_real (n,)."""
        logits: Tensor = self.discriminator(x)["class"]
        return logits[:, REAL] - torch.logsumexp(logits, 1)
