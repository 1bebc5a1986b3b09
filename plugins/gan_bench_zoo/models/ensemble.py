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
    """Ensemble: K GANs that know nothing of each other, sampled alike (Wang et al., 2016).

    Pair k minimises GAN's losses, -E_x log D_k - E_z log(1 - D_k(G_k(z))) and -E_z log D_k(G_k(z)); the mixture is
    uniform. All pairs see the same real data and start from different weights. Generated samples are a total, as for
    every mixture: a pair has 1 / K of what a GAN has, unless `fakes_per_generator` says otherwise.

    On the ring (zoo-ring: 10,000 iterations, seeds 0, 1, 2) eight pairs are together on 6, 7 and 8 modes, with 22
    to 28 % of samples near one.
    """

    name = "ensemble"
    generator: Generators
    discriminator: Discriminator

    @dataclass(frozen=True)
    class Params:
        """The number of pairs."""

        generators: int = param(8, "K, the number of generators, each with a discriminator.", low=1)

    params: Params

    @property
    def sharing(self) -> str:
        """K runs side by side."""
        return f"generators and discriminators: {SHARED['nothing']}"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """K of each, batched."""
        return {
            "discriminator": networks.discriminator({"source": None}, copies=self.generators),
            "generator": networks.generators(self.generators, shared="nothing"),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """The sum over pairs of GAN's loss; none sees another's samples."""
        on_real = self.discriminator(real.x)["source"]
        return (F.softplus(-on_real).mean(1) + F.softplus(self._judge(fake)).mean(1)).sum()

    def generator_loss(self, fake: Fake) -> Tensor:
        """The sum over pairs of -E log D_k(G_k)."""
        return F.softplus(-self._judge(fake)).mean(1).sum()

    def _judge(self, fake: Fake) -> Tensor:
        """(K, N/K) logits: what each discriminator says of its own generator's samples."""
        logits: Tensor = self.discriminator(fake.by_generator(fake.x))["source"]
        return logits


class SelfEnsemble(StagedGAN):
    """SelfEnsemble: one GAN at K moments of its run, sampled alike (Wang et al., 2016).

    Nothing but GAN's losses: at K evenly spaced iterations, the last included, the generator is kept as it is. The
    idea is that a generator goes on changing after it cannot get better. Which iterations the authors keep is not
    verified.

    On the ring (zoo-ring: 10,000 iterations, seeds 0, 1, 2) eight moments are together on 7, 7 and 8 modes, with 17
    to 27 % of samples near one.
    """

    name = "self-ensemble"

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """How many moments."""

        generators: int = param(8, "K, how often the generator is kept.", low=1)

    params: Params

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        """Keep the generator; what was kept and what trains weigh the same."""
        if number > 0:
            self.kept.keep(self.generator, 1 / (number + 1))
        return state


class CascadeGAN(PooledGAN):
    """CascadeGAN: each GAN learns the data that the discriminator before it still called real (Wang et al., 2016).

    GAN j + 1 is trained on the part of GAN j's data where D_j(x) is largest: at the end of a game, data that are called
    real with confidence are badly modelled (as told by MGAN's paper, section 4, which adds that Tolstikhin et al.,
    2017, find that it does not cure missing modes). The threshold is such that a share of the data passes. The mixture
    is uniform. From memory, not verified: the share of 0.8, and that the gate has no part in sampling.

    Data that are a stream are drawn once, as a pool, for the whole run.

    On the ring (zoo-ring: 10,000 iterations, seeds 0, 1, 2) four GANs are together on 5, 3 and 4 modes: it does not
    cure missing ones here either.
    """

    name = "cascade-gan"

    @dataclass(frozen=True)
    class Params(PooledGAN.Params):
        """The length of the cascade, and who passes on."""

        generators: int = param(4, "K, the number of GANs, one after the other.", low=1)
        passed_on: float = param(0.8, "Share of a GAN's data that the next one is trained on.", above=0, high=1)

    params: Params

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """As GAN, on data of the pool."""
        return tuple(replace(turn, weights="passed") for turn in super().turns(iteration))

    def initial_state(self) -> Mapping[str, Tensor]:
        """Which points of the pool the GAN of this stage sees; all at first."""
        return {"passed": torch.ones(self.pool_size)}

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        """Keep the generator, and pass on the points that its discriminator is most sure are real."""
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
