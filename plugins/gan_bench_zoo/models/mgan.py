"""MGAN: Training GANs with Multiple Generators (Hoang, Nguyen, Le, Phung; ICLR 2018, arXiv 1708.02556)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Model, Preset, Real
from gan_bench.contracts.network import SHARED, Generators, Networks, Sharing
from gan_bench.contracts.parameters import param

ON_IMAGES: dict[str, Any] = {
    "batch": 64,
    "fakes": 120,
    "latents": "fresh",
    "latent": "uniform",
    "latent_size": 100,
    "learning_rate": 2e-4,
    "betas": (0.5, 0.999),
    "init": "normal",
    "init_scale": 0.02,
    "network": {"plugin": "dcgan"},
}
"""Settings of Tables 4 to 7: ten generators with 12 samples each in a draw."""


class MGAN(Model):
    """MGAN: a mixture of generators that a classifier keeps apart (Hoang et al., ICLR 2018).

    min_{G,C} max_D  E_x log D + E_q log(1 - D) - beta sum_k pi_k E_{q_k} log C_k (eq. 2), q the mixture. At the optimum
    the generators minimise 2 JSD(p, q) - beta JSD(q_1, …, q_K) (theorem 2). Classifier and generators cooperate; only
    the discriminator is an adversary. The classifier shares the discriminator's trunk. In the update of the two, its
    loss has weight 1, not beta (algorithm 2 and the release; read literally, eq. 2 has beta).

    In presets for images the initial weights have a standard deviation of 0.02 (section 5 and the release); Tables 4 to
    7 have 0.01. For CIFAR-10 the paper reports an inception score of 8.33. A user who trained the unchanged release for
    500 epochs, instead of the paper's 250, measured 7.0 (issue 1 of qhoangdl/MGAN, unanswered).
    """

    name = "mgan"
    generator: Generators
    discriminator: nn.Module  # a `Discriminator`, or two of them `Apart`
    presets = {
        "paper": Preset(
            "Algorithm 2: latents that are drawn again for the generators' turn, independent between generators.",
            protocol={"latents": "fresh"},
        ),
        "release": Preset(
            "The co-author's 2D code: one batch of latents for all generators, drawn in each turn, initialisation "
            "of 0.01, and the classifier's term divided by K once more.",
            params={"shared_noise": True, "classifier_mean": "generators"},
            protocol={"latents": "fresh", "init": "normal", "init_scale": 0.01},
        ),
        "cifar10": Preset(
            "CIFAR-10 in the paper (Table 4): ten generators, beta 0.01, batches of 64 and 12 of each generator, "
            "uniform latents of size 100. The paper trains for 250 epochs, which are 195,250 iterations.",
            params={"generators": 10, "beta": 0.01},
            protocol=ON_IMAGES,
        ),
        "stl10": Preset(
            "STL-10 in the paper (Tables 5 and 6): as `cifar10`, beta 1.0. The paper trains for 250 epochs.",
            params={"generators": 10, "beta": 1.0},
            protocol=ON_IMAGES,
        ),
        "imagenet32": Preset(
            "ImageNet at 32 x 32 in the paper (Table 7): as `cifar10`, beta 0.1. The paper trains for 50 epochs.",
            params={"generators": 10, "beta": 0.1},
            protocol=ON_IMAGES,
        ),
        "release-cifar10": Preset(
            "The authors' CIFAR-10 code: as `cifar10`, with the same latents for all generators and in both turns, "
            "and a learned shift after the normalisation of generators' input layers. The code trains for 500 "
            "epochs. Left out: heads with initial weights of 0.01, truncated weights of convolutions, data in a "
            "fixed order.",
            params={"generators": 10, "beta": 0.01, "shared_noise": True},
            protocol=ON_IMAGES | {"latents": "shared", "network": {"plugin": "dcgan", "generator_centre": "input"}},
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Number of generators, and strength of the diversity term."""

        generators: int = param(8, "K, the number of generators.", low=1)
        beta: float = param(0.125, "Weight of the classifier's term in the generators' loss.", low=0)
        classifier_mean: str = param(
            "samples",
            "Average the classifier's term in the generators' loss over the samples (algorithm 2), or over "
            "samples and generators, which divides it by K again (the co-author's 2D code).",
            choices=("samples", "generators"),
        )
        shared_noise: bool = param(False, "Give every generator the same latents, as the release does.")
        shared: str = param(
            "body",
            "Layers that the generators share: all but their input layers (the paper), all but their output layers,"
            " or nothing.",
            choices=tuple(SHARED),
        )
        tied_classifier: bool = param(
            True, "Share all but the output layers of classifier and discriminator. If false, they share nothing."
        )

    params: Params

    @property
    def sharing(self) -> str:
        """Layers that are shared: all but the generators' input layers, all but the output layers of D and C."""
        of_judges = SHARED["trunk" if self.params.tied_classifier else "nothing"]
        return f"generators: {SHARED[self.params.shared]}; discriminator and classifier: {of_judges}"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build K generators, and one trunk with a head for the source and one for the generator."""
        source, generator = {"source": None}, {"generator": self.generators}
        if self.params.tied_classifier:
            judges: nn.Module = networks.discriminator({**source, **generator})
        else:
            judges = Apart(networks.discriminator(source), networks.discriminator(generator))
        generators = networks.generators(self.generators, shared=cast(Sharing, self.params.shared))
        return {"discriminator": judges, "generator": generators}

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """Loss of discriminator and classifier in one step (algorithm 2, lines 4 to 6); C has no real data."""
        judged = self.discriminator(fake.x)
        adversarial = bce_real(self.discriminator(real.x)["source"]) + bce_fake(judged["source"])
        return adversarial + F.cross_entropy(judged["generator"], fake.generator)

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E log D + beta · cross-entropy of the right generator (algorithm 2, lines 8 and 9)."""
        judged = self.discriminator(fake.x)
        apart = F.cross_entropy(judged["generator"], fake.generator)
        share = self.generators if self.params.classifier_mean == "generators" else 1
        return bce_real(judged["source"]) + self.params.beta / share * apart


class Apart(nn.Module):
    """Several discriminators without common parameters, as one module with all their heads."""

    def __init__(self, *bodies: nn.Module) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(bodies)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the logits of all heads by name."""
        return {name: logits for body in self.bodies for name, logits in body(x).items()}
