"""Diverse Image Generation via Self-Conditioned GANs (Liu, Wang, Bau, Zhu, Torralba; CVPR 2020, arXiv 2006.10728)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan_bench import (
    Discriminator,
    Fake,
    Generators,
    Model,
    Networks,
    Real,
    Stage,
    Turn,
    bce_fake,
    bce_real,
    hookimpl,
    param,
)


class SelfConditioned(Model):
    """Conditional GAN whose classes are clusters of the discriminator's features (Liu et al., CVPR 2020).

    Real samples are clustered by k-means in the feature space of the discriminator: at the start from centres of
    k-means++, later from the centres of the former clusters in the present features, and of k-means++ for empty ones.
    Generator k makes samples of cluster k, in proportion to its share of the data. The discriminator has a logit for
    each cluster, as in the authors' code. Left out: the code's R1 penalty, and its matching of new to old clusters.
    """

    name = "self-conditioned"
    weighted_draws = True
    discriminator: Discriminator
    generator: Generators

    @dataclass(frozen=True)
    class Params:
        """Number of clusters, and the schedule of their renewal."""

        generators: int = param(8, "K, the number of clusters; each counts as a generator.", low=1)
        pool: int = param(2_000, "Number of real samples that are clustered.", low=1)
        stages: int = param(10, "Number of times that the real samples are clustered, in equal distances.", low=1)
        steps: int = param(20, "Number of steps of k-means.", low=1)

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that the clusters share."""
        return "generators: all but the input layer; discriminator: all but the output layer"

    @property
    def pool_size(self) -> int:
        """Number of real samples that are clustered."""
        return self.params.pool

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build a discriminator with a logit for each cluster, and a generator with an input layer for each."""
        return {
            "discriminator": networks.discriminator({"source": self.generators}, batch_statistics=False),
            "generator": networks.generators(self.generators),
        }

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """Turns of GAN; real data are from the pool, so that `real.index` selects their clusters."""
        return (Turn(("discriminator",), weights="even"), Turn(("generator",)))

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        """Stages of equal length, each of which begins with clusters of the present features."""
        number = min(self.params.stages, iterations)
        return tuple(Stage(iterations * i // number) for i in range(number))

    def initial_state(self) -> Mapping[str, Tensor]:
        """State: clusters of the pool's samples, and the weights by which turns draw from the pool."""
        cluster = torch.arange(self.pool_size) % self.generators
        return {"cluster": cluster, "even": torch.ones(self.pool_size)}

    def enter_stage(
        self, number: int, state: Mapping[str, Tensor], pool: Real | None, rng: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Cluster the pool by the discriminator's features."""
        assert pool is not None
        features = self.discriminator.features(pool.x)
        former = state["cluster"] if number else state["cluster"].new_full((len(features),), -1)
        centres = means(features, former, self.generators, spread(features, self.generators, rng))
        return {**state, "cluster": cluster(features, centres, self.params.steps)}

    def weights(self, state: Mapping[str, Tensor]) -> Tensor:
        """Shares of the clusters in the pool."""
        index = torch.arange(self.generators, device=state["cluster"].device)
        return (state["cluster"][:, None] == index).float().mean(0)

    def discriminator_loss(self, real: Real, fake: Fake, state: Mapping[str, Tensor]) -> Tensor:
        """-E log D(x | cluster of x) - E log(1 - D(G_c(z) | c)), c by the shares of the clusters."""
        assert real.index is not None
        own = state["cluster"][real.index]
        return bce_real(self._judge(real.x, own)) + bce_fake(self._judge(fake.x, fake.generator))

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E log D(G_c(z) | c)."""
        return bce_real(self._judge(fake.x, fake.generator))

    def _judge(self, x: Tensor, cluster: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(x)["source"]
        return logits.gather(1, cluster[:, None])[:, 0]


def spread(x: Tensor, k: int, rng: torch.Generator) -> Tensor:
    """Centres (k, f) among points (n, f) by k-means++ (Arthur and Vassilvitskii, 2007)."""
    chosen = [torch.randint(len(x), (1,), generator=rng, device=x.device)]
    for _ in range(k - 1):
        distance = torch.cdist(x, x[torch.cat(chosen)]).amin(1).square()
        chosen.append(torch.multinomial(distance + 1e-12, 1, generator=rng))
    return x[torch.cat(chosen)]


def cluster(x: Tensor, centres: Tensor, steps: int) -> Tensor:
    """Clusters (n,) int64 of points (n, f), after some steps of k-means."""
    for _ in range(steps):
        centres = means(x, torch.cdist(x, centres).argmin(1), len(centres), centres)
    return torch.cdist(x, centres).argmin(1)


def means(x: Tensor, index: Tensor, k: int, empty: Tensor) -> Tensor:
    """Means (k, f) of the points of each cluster, `empty` (k, f) for a cluster without points."""
    member = (index == torch.arange(k, device=x.device)[:, None]).to(x.dtype)
    count = member.sum(1, keepdim=True)
    return torch.where(count > 0, member @ x / count.clamp(min=1), empty)


@hookimpl
def gan_bench_models() -> list[type[Model]]:
    """Return the model."""
    return [SelfConditioned]
