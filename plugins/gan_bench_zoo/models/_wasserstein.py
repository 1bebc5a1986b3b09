"""Base class of WGAN and WGAN-GP: a critic that takes several turns before each turn of the generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gan_bench.contracts.model import Fake, Model, Real, Turn
from gan_bench.contracts.network import Discriminator, Generators, Networks


class Wasserstein(Model):
    """Base class of min_G max_f  E_x f(x) - E_z f(G(z)) over critics f; a subclass bounds their slope.

    Only differences of f matter, so its last bias has no gradient beyond rounding.

    Each critic step has new real data and latents. The generator's turn uses the latents of the last critic step, or
    with `latents = "fresh"` new ones, as in the algorithms of both papers.
    """

    players = ("critic", "generator")
    batch_statistics: ClassVar[bool] = True  # whether a critic's layers may normalise over the batch
    critic: Discriminator
    generator: Generators

    def critic_steps(self, iteration: int) -> int:
        """Number of critic steps before the generator's in this iteration."""
        raise NotImplementedError(f"{type(self).__name__} must define critic_steps()")

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each; the critic's output is an unbounded number."""
        critic = networks.discriminator({"score": None}, batch_statistics=self.batch_statistics)
        return {"critic": critic, "generator": networks.generators()}

    def turns(self, iteration: int) -> Sequence[Turn]:
        """Turns of the critic, then one of the generator."""
        steps = self.critic_steps(iteration)
        return (*(Turn(("critic",), real=i, latents=i) for i in range(steps)), Turn(("generator",), latents=steps - 1))

    def score(self, x: Tensor) -> Tensor:
        """Return f(x): (n, *shape) to (n,)."""
        scores: Tensor = self.critic(x)["score"]
        return scores

    def gap(self, real: Real, fake: Fake) -> Tensor:
        """Return E_z f(G(z)) - E_x f(x), which the critic minimises; each mean is over a whole draw."""
        return self.score(fake.x).mean() - self.score(real.x).mean()

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E_z f(G(z))."""
        return -self.score(fake.x).mean()
