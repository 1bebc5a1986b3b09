"""Multi-Agent Diverse GANs (Ghosh et al., CVPR 2018, arXiv 1704.02906)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.model import Fake, Model, Preset, Real
from gan_bench.network import Discriminator, Generators, Networks
from gan_bench.parameters import param

REAL = 0  # the class of real data, as in the authors' code; generator k is class k + 1


class MADGAN(Model):
    """MAD-GAN: a discriminator that names the generator of each fake (Ghosh et al., 2018).

    D minimises the cross-entropy of K + 1 classes (real, generator 1, …, K), averaged over the K + 1 sources;
    each generator minimises -log D_real of its own samples. With p_avg the mean of p and all q_k, the generators
    minimise KL(p||p_avg) + K KL(q||p_avg) up to a constant: nothing at the optimum rewards their separation.
    Each generator has its own input layer and shares the rest (the authors' second variant, MGAN's scheme).
    """

    name = "mad-gan"
    generator: Generators
    discriminator: Discriminator
    presets = {
        "release": Preset(
            "The authors' 1-D and 2-D code: batches of 128, learning rate 1e-4, Xavier initialisation (theirs normal, "
            "here uniform, of the same variance), uniform latents of size 64, fresh for the generators' turn.",
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
        """The size of the mixture."""

        generators: int = param(8, "K, the number of generators.", low=1)

    params: Params

    @property
    def sharing(self) -> str:
        """The authors' variant with an input layer for each generator."""
        return "generators: all but the input layer"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """K input layers on one body; one discriminator of K + 1 logits."""
        return {
            "discriminator": networks.discriminator({"class": self.generators + 1}),
            "generator": networks.generators(self.generators, shared="body"),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """The mean over K + 1 sources of each one's mean cross-entropy: real data weighs 1/(K+1)."""
        of_real = -self._log_real(real.x)
        of_fakes = F.cross_entropy(self.discriminator(fake.x)["class"], fake.generator + 1)
        return (of_real + self.generators * of_fakes) / (self.generators + 1)

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E log D_real over all generators, each weighing 1/K."""
        return -self._log_real(fake.x)

    def _log_real(self, x: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(x)["class"]
        return (logits[:, REAL] - torch.logsumexp(logits, 1)).mean()
