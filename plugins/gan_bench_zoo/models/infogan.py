"""InfoGAN: Interpretable Representation Learning by Information Maximizing GANs (Chen et al.; arXiv 1606.03657).

Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel; NeurIPS 2016. The title has "Generative Adversarial Nets" in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Preset, Real
from gan_bench.contracts.network import Discriminator, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._indexed import Indexed


class InfoGAN(Indexed):
    """InfoGAN: one generator whose categorical code can be inferred from its samples (Chen et al., NeurIPS 2016).

    min_{G,Q} max_D  E_x log D(x) + E_{z,c} log(1 - D(G(z, c))) - lambda L_I. L_I = E log Q(c | G(z, c)) + H(c) is a
    lower bound of the mutual information of code and sample, and H(c) = log K is constant. Each of the code's K values
    counts as a generator, G_k(z) = G(z, e_k). Here every value has the same share of a draw, in the paper a random one.

    Q is a head on the discriminator's trunk. In the authors' code (infogan_trainer.py) the discriminator's list
    contains every variable of that network: trunk, head of D and Q. The losses of both lists contain - lambda L_I. Q
    and trunk are therefore trained in the discriminator's turn, to minimise the same term that the generator's loss has
    as well. The same is done here, unlike in the formula min_{G,Q}. With lambda = 1, the authors' value for a
    categorical code, there is only one difference from MGAN with the index as an input (`index-input`): MGAN has a
    smaller weight of that term in the generators' turn.
    """

    name = "infogan"
    discriminator: Discriminator
    presets = {
        "release": Preset(
            "The authors' code for MNIST: ten values, latents from U(-1, 1) of size 62 that are drawn in each turn,"
            " learning rates 2e-4 and 1e-3, batches of 128. Left out: two continuous codes, batch normalisation, "
            "and a hidden layer that only Q has.",
            params={"generators": 10},
            protocol={
                "learning_rate": {"discriminator": 2e-4, "generator": 1e-3},
                "betas": (0.5, 0.999),
                "batch": 128,
                "fakes": 128,
                "latent": "uniform",
                "latent_size": 62,
                "latents": "fresh",
            },
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Number of values of the code, and weight of the information term."""

        generators: int = param(8, "K, the number of values of the code; each counts as a generator.", low=1)
        lam: float = param(1.0, "lambda, weight of the code's cross-entropy in both players' losses.", low=0)

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that are shared, as in the paper; in the authors' code Q has a further hidden layer."""
        return f"{super().sharing}; discriminator and Q: all but the output layer"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one trunk with heads for source and code, and a generator with the code as an input."""
        return {
            "discriminator": networks.discriminator({"source": None, "code": self.generators}),
            "generator": self.one_generator(networks),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E log D(x) - E log(1 - D(G)) - lambda E log Q(c | G): discriminator and Q in one step."""
        judged = self.discriminator(fake.x)
        source = bce_real(self.discriminator(real.x)["source"]) + bce_fake(judged["source"])
        return source + self.params.lam * F.cross_entropy(judged["code"], fake.generator)

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E log D(G) - lambda E log Q(c | G)."""
        judged = self.discriminator(fake.x)
        return bce_real(judged["source"]) + self.params.lam * F.cross_entropy(judged["code"], fake.generator)
