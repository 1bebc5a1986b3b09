"""Ensembles of Generative Adversarial Networks (Wang, Zhang, van de Weijer; NeurIPS workshop, 2016, 1612.00991)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.model import Fake, Model, Real, Turn
from gan_bench.contracts.network import SHARED, Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._staged import PooledGAN, StagedGAN, judged
from gan_bench_zoo.models.gan import GAN


class Ensemble(Model):
    """Ensemble: K independent GANs, sampled with equal weights (Wang et al., 2016).

    Pair k minimises GAN's losses, -E_x log D_k - E_z log(1 - D_k(G_k(z))) and -E_z log D_k(G_k(z)); the mixture is
    uniform. All pairs are trained on the same real data and start from different weights. As for every mixture, the
    number of generated samples is a total: a pair has 1/K of the samples of a single GAN, unless `fakes_per_generator`
    is set.
    """

    name = "ensemble"
    generator: Generators
    discriminator: Discriminator

    @dataclass(frozen=True)
    class Params:
        """Number of pairs."""

        generators: int = param(8, "K, the number of generators, each with a discriminator.", low=1)

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that the pairs share: nothing."""
        return f"generators and discriminators: {SHARED['nothing']}"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build K generators and K discriminators, batched."""
        return {
            "discriminator": networks.discriminator({"source": None}, copies=self.generators),
            "generator": networks.generators(self.generators, shared="nothing"),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """Sum over pairs of GAN's loss; each discriminator is trained on samples of its generator only."""
        on_real = self.discriminator(real.x)["source"]
        return (F.softplus(-on_real).mean(1) + F.softplus(self._judge(fake)).mean(1)).sum()

    def generator_loss(self, fake: Fake) -> Tensor:
        """Sum over pairs of -E log D_k(G_k)."""
        return F.softplus(-self._judge(fake)).mean(1).sum()

    def _judge(self, fake: Fake) -> Tensor:
        """Return logits (K, N/K): each discriminator on the samples of its generator."""
        logits: Tensor = self.discriminator(fake.by_generator(fake.x))["source"]
        return logits


class SelfEnsemble(StagedGAN):
    """SelfEnsemble: snapshots of one GAN at K points of its run, sampled with equal weights (Wang et al., 2016).

    The losses are GAN's. At K evenly spaced iterations, the last included, a copy of the generator is stored. The idea
    is that a generator still changes when it has stopped improving. The iterations that the authors choose are not
    verified.
    """

    name = "self-ensemble"

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """Number of snapshots."""

        generators: int = param(8, "K, the number of snapshots of the generator.", low=1)

    params: Params

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        """Store the generator; all stored generators and the one in training have equal weights."""
        if number > 0:
            self.kept.keep(self.generator, 1 / (number + 1))
        return state


class CascadeGAN(PooledGAN):
    """CascadeGAN: GANs in sequence, each on data that the last discriminator classifies as real (Wang et al., 2016).

    GAN j + 1 is trained on the part of GAN j's data where D_j(x) is largest. At the end of training, data that are
    classified as real with confidence are badly modelled, according to MGAN's paper (section 4). The same section cites
    Tolstikhin et al. (2017), who find that this does not solve missing modes. The threshold is such that a fixed share
    of the data passes. The mixture is uniform. From memory, not verified: the share of 0.8, and that sampling does not
    use the gate.

    If the data are a stream, the pool is drawn once for the whole run.
    """

    name = "cascade-gan"

    @dataclass(frozen=True)
    class Params(PooledGAN.Params):
        """Number of GANs, and the share of data that passes."""

        generators: int = param(4, "K, the number of GANs, trained in sequence.", low=1)
        passed_on: float = param(0.8, "Share of a GAN's data that the next one is trained on.", above=0, high=1)

    params: Params

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """Turns of GAN on data of the pool."""
        return tuple(replace(turn, weights="passed") for turn in super().turns(iteration))

    def initial_state(self) -> Mapping[str, Tensor]:
        """State: weights of the pool's points for the GAN of this stage, equal at first."""
        return {"passed": torch.ones(self.pool_size)}

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        """Store the generator, and pass on the points with the largest output of its discriminator."""
        if number == 0 or pool is None:
            return state
        self.kept.keep(self.generator, 1 / (number + 1))
        passed = state["passed"]
        logits = judged(lambda x: self.discriminator(x)["source"], pool.x)
        sure = torch.where(passed > 0, logits, -torch.inf)
        count = max(1, round(self.params.passed_on * int(passed.sum())))
        chosen = torch.zeros_like(passed)
        chosen[sure.topk(count).indices] = 1
        return {"passed": chosen}
