"""AdaGAN: Boosting Generative Models (Tolstikhin et al.; NeurIPS 2017, arXiv 1701.02386)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_real
from gan_bench.contracts.model import Fake, Real, Stage, Turn
from gan_bench.contracts.network import Discriminator, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._staged import PooledGAN, judged
from gan_bench_zoo.models.gan import GAN


class AdaGAN(PooledGAN):
    """AdaGAN: GANs in sequence, each on data weighted towards what the mixture misses (Tolstikhin et al., 2017).

    P_t = (1 - b_t) P_{t-1} + b_t G_t. Before stage t a classifier is trained to separate data from P_{t-1}. If c is its
    probability that a sample is from the data, r = (1 - c) / c estimates dP_{t-1} / dP. The next GAN is initialised and
    trained on the points with weights w = (l - (1 - b_t) r)_+ / (b_t n), with l such that they sum to 1 (eqs. 17 and 18
    in the authors' code, their rule "theory_star"). With b_t = 1/t the mixture is uniform, as in the authors' script
    for Gaussian mixtures; b_t may also be constant.

    Each stage has GAN's losses and 1/K of the iterations. The authors' script trains unrolled GANs of 16 units, each
    for the same number of epochs, and the classifier for 5 epochs. Here the classifier has `classifier_steps` steps,
    each on a new draw. A batch is drawn by weights with replacement (in the script without). `reweight = false` is the
    paper's control, bagging.
    """

    name = "adagan"
    players = ("classifier", "discriminator", "generator")
    classifier: Discriminator

    @dataclass(frozen=True)
    class Params(PooledGAN.Params):
        """Number of GANs, and the weighting of the data."""

        generators: int = param(8, "K, the number of GANs, trained in sequence.", low=1)
        share: float | None = param(
            None,
            "b_t, share of the newest GAN in the mixture, the same in each stage. Default: 1/t.",
            above=0,
            high=1,
        )
        classifier_steps: int = param(200, "Steps of the classifier before each stage but the first.", low=1)
        reweight: bool = param(
            True, "Weight the data. If false, every stage is trained on all data with equal weights (bagging)."
        )

    params: Params

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        """Refuse draws with fewer generated samples than generators, which the classifier needs."""
        if fakes >= self.generators:
            return None
        return (
            f"{fakes} generated samples a draw are fewer than one of each of {self.generators} generators to classify"
        )

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build a GAN, and a classifier of data and mixture with the discriminator's body.

        The classifier does not normalise over the batch, for two reasons: its output is the weight of a single sample,
        and its batches contain samples of generators of later stages.
        """
        return {"classifier": networks.discriminator({"data": None}, batch_statistics=False), **super().build(networks)}

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        """Stages of the run; each but the first begins with the classifier's steps."""
        first, *later = super().stages(iterations)
        steps = tuple(Turn(("classifier",), weights="even") for _ in range(self.params.classifier_steps))
        return (first, *(replace(stage, prelude=steps) for stage in later))

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """Turns of GAN on weighted data; the classifier is trained between stages only."""
        movers = (GAN.players,) if self.params.simultaneous else tuple((player,) for player in GAN.players)
        return tuple(Turn(players, weights="data") for players in movers)

    def initial_state(self) -> Mapping[str, Tensor]:
        """State: weights of the pool's points, equal at first, and constant equal weights."""
        even = torch.full((self.pool_size,), 1 / self.pool_size)
        return {"data": even, "even": even.clone()}

    def classifier_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log c - E_{P_t} log(1 - c), the latter summed over generators with their shares of the mixture.

        The forward pass of the generator in training updates its running averages, but not its weights.
        """
        k, each = self.generators, len(fake.z) // self.generators
        mixture = self.kept.generate(self.generator, fake.z[: k * each].view(k, each, -1)).detach()
        on_mixture = F.softplus(self.classifier(mixture.flatten(0, 1))["data"]).view(k, each).mean(1)
        return bce_real(self.classifier(real.x)["data"]) + self.kept.weights @ on_mixture

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        """Weight the data by the classifier, store the generator, and reserve the next generator's share."""
        if number == 0:
            return state
        share = self.params.share or 1 / (number + 1)
        self.kept.keep(self.generator, share)
        if pool is None or not self.params.reweight:
            return state
        logits = judged(lambda x: self.classifier(x)["data"], pool.x)
        ratio = torch.exp(-logits)  # (1 - c) / c of c = sigmoid(logit)
        return {**state, "data": weights(ratio, share)}


def weights(ratio: Tensor, share: float) -> Tensor:
    """Return the weights (n,) of data points from estimates (n,) of dP_{t-1} / dP and the newest GAN's share b.

    The weights sum to 1: w_i = (l - (1 - b) r_i)_+ / (b n). Of the levels l = (b n + (1 - b) sum_{j<=m} r_(j)) / m,
    with r_(1) <= r_(2) <= …, the one with the largest m such that (1 - b) r_(m) <= l is taken. It exists, since m = 1
    always satisfies this. Ratios are limited to 1e8, as in the authors' code.
    """
    old = (1 - share) * ratio.double().clamp(max=1e8)
    ordered = old.sort().values
    m = torch.arange(1, len(old) + 1, dtype=torch.float64, device=old.device)
    levels = (share * len(old) + ordered.cumsum(0)) / m
    level = levels[(ordered <= levels).nonzero().max()]
    found = (level - old).clamp(min=0)
    return (found / found.sum()).to(ratio.dtype)
