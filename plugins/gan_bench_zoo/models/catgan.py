"""Unsupervised and Semi-supervised Learning with Categorical GANs (Springenberg; ICLR 2016, arXiv 1511.06390)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gan_bench.contracts.model import Fake, Model, Real
from gan_bench.contracts.network import Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param


class CatGAN(Model):
    """CatGAN: a discriminator that assigns categories, with certainty on real samples only (Springenberg, 2015).

    D maps each sample to a distribution p over K categories. With H the entropy and the marginal p the mean over a
    batch, D minimises  E_x H[p(x)] - E_z H[p(G(z))] - H[E_x p(x)]: it is certain on real samples, uncertain on
    generated ones, and uses all categories. G minimises  E_z H[p(G(z))] - H[E_z p(G(z))]. This is the unsupervised
    form, without labels.

    Any sample with a certain category satisfies G, even far from the data: no term depends on the density of the data.
    CatGAN is a clustering method. Here only its samples are compared, as for all models. The category of a sample of
    its one generator cannot be chosen. No code of the author was found. Three re-implementations have these losses
    (xinario, rkube and guyueshui); in another one (smayru) the sign of G's last term is reversed.
    """

    name = "catgan"
    generator: Generators
    discriminator: Discriminator

    @dataclass(frozen=True)
    class Params:
        """Number of the discriminator's categories."""

        categories: int = param(8, "K, the number of categories.", low=2)

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build a classifier and one generator."""
        discriminator = networks.discriminator({"category": self.params.categories})
        return {"discriminator": discriminator, "generator": networks.generators()}

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """E_x H[p(x)] - E_z H[p(G)] - H[E_x p(x)]."""
        on_real, on_fake = self._log_p(real.x), self._log_p(fake.x)
        return _uncertainty(on_real) - _uncertainty(on_fake) - _variety(on_real)

    def generator_loss(self, fake: Fake) -> Tensor:
        """E_z H[p(G)] - H[E_z p(G)]."""
        on_fake = self._log_p(fake.x)
        return _uncertainty(on_fake) - _variety(on_fake)

    def _log_p(self, x: Tensor) -> Tensor:
        """Return log-probabilities (n, K) of the categories."""
        logits: Tensor = self.discriminator(x)["category"]
        return logits.log_softmax(1)


def _entropy(log_p: Tensor) -> Tensor:
    """Map log-probabilities (…, K) to entropies (…) in nats."""
    return -(log_p.exp() * log_p).sum(-1)


def _uncertainty(log_p: Tensor) -> Tensor:
    """Return the mean entropy of the samples: 0 if each has one category with probability 1."""
    return _entropy(log_p).mean()


def _variety(log_p: Tensor) -> Tensor:
    """Return the entropy of the mean over samples: log K if all categories are used equally."""
    return _entropy(log_p.logsumexp(0) - math.log(len(log_p)))
