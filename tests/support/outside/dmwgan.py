"""DMWGAN: Disconnected Manifold Learning for Generative Adversarial Networks (Khayatkhoei, Singh, Elgammal; 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad, vmap

from gan_bench import Discriminator, Fake, Generators, Model, Networks, Noise, Real, Turn, hookimpl, param


class DMWGAN(Model):
    """DMWGAN with prior learning: K generators drawn by a learned prior r (Khayatkhoei et al., NeurIPS 2018).

    The critic D maximises E_x D(x) - E_{c~r, z} D(G_c(z)) with a one-sided gradient penalty. The generators maximise
    E_{c~r, z} [D(G_c(z)) + lambda log Q(c | G_c(z))], and the encoder Q the second term. The prior minimises the
    cross-entropy of Q's answers on real data, -sum_c p(c) log r(c) with p(c) = E_x Q(c | x), minus alpha^t H(r): the
    entropy's weight decays with the iterations t. arXiv 1806.00880.
    """

    name = "dmwgan"
    players = ("critic", "encoder", "prior", "generator")
    generating = ("generator", "prior")
    weighted_draws = True
    critic: Discriminator
    encoder: Discriminator
    prior: Prior
    generator: Generators

    @dataclass(frozen=True)
    class Params:
        """Sizes and weights."""

        generators: int = param(8, "K, the number of generators.", low=2)
        critic_steps: int = param(5, "Critic steps before each step of the others.", low=1)
        penalty: float = param(10.0, "Weight of the gradient penalty.", low=0)
        mutual: float = param(1.0, "lambda, weight of log Q(c | x) in the generators' loss.", low=0)
        entropy_decay: float = param(0.999, "alpha, decay of the entropy's weight in each iteration.", above=0, high=1)

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that the generators share."""
        return "generators: all but the input layer"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build critic, encoder, generators and the logits of the prior."""
        return {
            "critic": networks.discriminator({"score": None}, batch_statistics=False),
            "encoder": networks.discriminator({"index": self.generators}),
            "prior": Prior(self.generators),
            "generator": networks.generators(self.generators),
        }

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """Turns of the critic, each on new draws, then one of all others."""
        steps = self.params.critic_steps
        critic = (Turn(("critic",), real=i, latents=i) for i in range(steps))
        return (*critic, Turn(("encoder", "prior", "generator"), real=steps - 1, latents=steps))

    def weights(self) -> Tensor:
        """The prior r (K,), by which samples are drawn in training, and the mixture in evaluation."""
        return self.prior.logits.softmax(0)

    def noise(self, batch: int, fakes: int) -> Mapping[str, Noise]:
        """Positions between real and generated samples, for the gradient penalty."""
        return {"position": Noise((min(batch, fakes),), "uniform")}

    def initial_state(self) -> Mapping[str, Tensor]:
        """State: the weight of the prior's entropy."""
        return {"entropy": torch.tensor(1.0)}

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Lower the weight of the entropy after the prior's turn."""
        return {"entropy": state["entropy"] * self.params.entropy_decay} if "prior" in turn.players else state

    def critic_loss(self, real: Real, fake: Fake, noise: Mapping[str, Tensor]) -> Tensor:
        """-E D(x) + E_{c~r} D(G_c(z)) + penalty E max(0, |grad D| - 1)^2 between real and generated samples."""
        difference = self._judge(fake.x).mean() - self._judge(real.x).mean()
        position = noise["position"].view(-1, *[1] * (real.x.dim() - 1))
        between = real.x[: len(position)].lerp(fake.x[: len(position)], position)  # generators are in random order
        slopes: Tensor = vmap(grad(lambda x: self._judge(x[None])[0]))(between).flatten(1)
        norms = (slopes.square().sum(1) + 1e-12).sqrt()
        return difference + self.params.penalty * (norms - 1).clamp(min=0).square().mean()

    def encoder_loss(self, fake: Fake) -> Tensor:
        """-E_{c~r} log Q(c | G_c(z)), with detached samples."""
        return F.cross_entropy(self.encoder(fake.x)["index"], fake.generator)

    def prior_loss(self, real: Real, state: Mapping[str, Tensor]) -> Tensor:
        """-sum_c p(c) log r(c) - alpha^t H(r), p the mean of Q's answers on real data."""
        answers: Tensor = self.encoder(real.x)["index"].softmax(1).mean(0)
        log_r = self.prior.logits.log_softmax(0)
        return -(answers * log_r).sum() + state["entropy"] * (log_r.exp() * log_r).sum()

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E_{c~r} D(G_c(z)) - lambda E_{c~r} log Q(c | G_c(z))."""
        mutual = F.cross_entropy(self.encoder(fake.x)["index"], fake.generator)
        return -self._judge(fake.x).mean() + self.params.mutual * mutual

    def _judge(self, x: Tensor) -> Tensor:
        scores: Tensor = self.critic(x)["score"]
        return scores


class Prior(nn.Module):
    """Logits of the prior of the generators, equal at first."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(count))


@hookimpl
def gan_bench_models() -> list[type[Model]]:
    """Return the model."""
    return [DMWGAN]
