"""Similarity form of Multi-Agent Diverse GANs (Ghosh et al., CVPR 2018, arXiv 1704.02906, appendix)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Preset
from gan_bench.contracts.network import SHARED, Networks, Sharing
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models.gan import GAN

COSINE, GAUSSIAN = "cosine", "gaussian"


class MADGANSim(GAN):
    """MAD-GAN-Sim: generators compete for the discriminator's score, more so if they are alike (Ghosh et al., 2018).

    D has GAN's loss, with the samples of all generators, which have the same z. G_i minimises E_z [-log D(G_i) + lambda
    max(0, mean_{j != i} (D(G_j) - D(G_i) + Delta(G_i, G_j)))]: its score has to exceed the others' by its similarity to
    them. Delta is a parameter: the cosine of D's last hidden layer (the code), or a Gaussian kernel of the samples. The
    loss of G_i updates G_i alone; G_j is a constant in it. The kernel's squared distance is a sum over coordinates.
    With pixels from -1 to 1 the median distance of two images is 21 for MNIST and 37 for CIFAR-10, so for them a kernel
    of `width` = 1 is zero.

    The formula is that of the first author's code (arnabgho/dcgan.torch, luatorch/compete_avg_gen_n_alter.lua). The
    paper's appendix was not available, so its lambda is not verified. The code has 1e-4, at which the term has hardly
    any weight. The code computes the term's gradient by hand: with Delta fixed (`through_similarity = false`), scores
    from before D's step, and the sign reversed. Here the gradient is the formula's. In the code D's loss is a sum over
    one real batch and K generated ones, which weights real to generated samples as 1 : K; here the ratio is 1 : 1. K
    real batches are in n_compete_avg_gen_n_alter.lua. Its variant with the maximum over the others is left out.
    """

    name = "mad-gan-sim"
    presets = {
        "release": Preset(
            "The first author's image code where it applies: Delta fixed, batches of 64, latents of size 100 that "
            "both turns use.",
            params={"through_similarity": False},
            protocol={
                "batch": 64,
                "fakes_per_generator": 64,
                "latent": "normal",
                "latent_size": 100,
                "latents": "shared",
            },
        )
    }

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """Number of generators, and form of the competing term."""

        generators: int = param(8, "K, the number of generators.", low=2)
        weight: float = param(1e-4, "lambda, weight of the competing term in a generator's loss.", low=0)
        similarity: str = param(
            COSINE,
            "Delta: the cosine of the discriminator's last hidden layer, or a Gaussian kernel of the samples.",
            choices=(COSINE, GAUSSIAN),
        )
        width: float = param(
            1.0,
            "Standard deviation of the Gaussian kernel of whole samples, in data units; for images about 10 to 100.",
            above=0,
        )
        through_similarity: bool = param(
            True,
            "Let gradients pass through the similarity, so that generators lower it. If false, it is a constant "
            "margin.",
        )
        shared: str = param(
            "nothing",
            "Layers that the generators share: nothing (the code), all but their input layers, or all but their "
            "output layers.",
            choices=tuple(SHARED),
        )
        shared_noise: bool = param(True, "Give every generator the same latents.")

    params: Params

    @property
    def sharing(self) -> str:
        """Layers that the generators share."""
        return f"generators: {SHARED[self.params.shared]}"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build K generators and one discriminator of two classes."""
        generators = networks.generators(self.generators, shared=cast(Sharing, self.params.shared))
        return {"discriminator": networks.discriminator({"source": None}), "generator": generators}

    def generator_loss(self, fake: Fake) -> Tensor:
        """GAN's loss plus lambda times the competing term, each averaged over all generators."""
        logits = self.discriminator(fake.x)["source"]
        adversarial = -bce_fake(logits) if self.params.saturating else bce_real(logits)
        score = fake.by_generator(torch.sigmoid(logits))
        behind = _of_others(score.detach()) - score + self._similarity(fake)
        return adversarial + self.params.weight * F.relu(behind).mean()

    def _similarity(self, fake: Fake) -> Tensor:
        """Return (K, b): mean similarity of each sample to those of the other generators for the same latent."""
        alike = self._cosine(fake) if self.params.similarity == COSINE else self._kernel(fake)
        return alike if self.params.through_similarity else alike.detach()

    def _cosine(self, fake: Fake) -> Tensor:
        directions = fake.by_generator(F.normalize(self.discriminator.features(fake.x), dim=1))
        return (directions * _of_others(directions.detach())).sum(2)

    def _kernel(self, fake: Fake) -> Tensor:
        x = fake.by_generator(fake.x.flatten(1))
        distances = (x[:, None] - x.detach()[None]).square().sum(3)
        alike = torch.exp(-distances / (2 * self.params.width**2))
        return (alike.sum(1) - 1) / (len(x) - 1)  # without the sample's kernel with itself, which is 1


def _of_others(values: Tensor) -> Tensor:
    """Map (K, …) to means over the K - 1 other entries, (K, …)."""
    return (values.sum(0) - values) / (len(values) - 1)
