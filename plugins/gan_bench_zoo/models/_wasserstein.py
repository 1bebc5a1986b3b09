"""Base class of WGAN and WGAN-GP: a critic that takes several turns before each of the generator's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gan_bench.contracts.model import Fake, Model, Real, Turn
from gan_bench.contracts.network import Discriminator, Generators, Networks


class Wasserstein(Model):
    """min_G max_f  E_x f(x) - E_z f(G(z)) over critics f; a subclass keeps their slopes bounded.

    Only differences of f matter: its last bias has no gradient beyond rounding.

    Each critic step has real data and latents of its own. The generator's turn uses the latents of the last critic
    step. If the protocol has `latents = "fresh"`, it draws its own, as both papers' algorithms do.
    """

    players = ("critic", "generator")
    batch_statistics: ClassVar[bool] = True  # whether a critic's layers may normalise over the batch
    critic: Discriminator
    generator: Generators

    def critic_steps(self, iteration: int) -> int:
        """Number of critic steps before the generator's in this iteration."""
        raise NotImplementedError(f"{type(self).__name__} must define critic_steps()")

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """One network each; the critic's output is a number without bounds."""
        critic = networks.discriminator({"score": None}, batch_statistics=self.batch_statistics)
        return {"critic": critic, "generator": networks.generators()}

    def turns(self, iteration: int) -> Sequence[Turn]:
        """The critic's steps, then the generator's."""
        steps = self.critic_steps(iteration)
        return (*(Turn(("critic",), real=i, latents=i) for i in range(steps)), Turn(("generator",), latents=steps - 1))

    def score(self, x: Tensor) -> Tensor:
        """f(x): (n, *shape) to (n,)."""
        scores: Tensor = self.critic(x)["score"]
        return scores

    def gap(self, real: Real, fake: Fake) -> Tensor:
        """E_z f(G(z)) - E_x f(x), what the critic minimises; each mean is over its own batch."""
        return self.score(fake.x).mean() - self.score(real.x).mean()

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E_z f(G(z))."""
        return -self.score(fake.x).mean()
