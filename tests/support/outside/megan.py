"""MEGAN: Mixture of Experts of Generative Adversarial Networks (Park et al.; IJCAI 2018, arXiv 1805.02481)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench import Discriminator, Fake, Generators, Model, Networks, Real, Turn, bce_fake, bce_real, hookimpl, param


class MEGAN(Model):
    """MEGAN: a gate chooses one of K generators for each latent (Park et al., IJCAI 2018).

    All generators see the same latent z. The gate maps z and the hidden features f_1 … f_K of the generators to K
    logits, and a straight-through Gumbel softmax turns these into a one-hot vector g. The discriminator sees
    sum_k g_k G_k(z). Generators and gate minimise -log D of it, plus lambda sum_k (C_k / N - 1/K)^2, where C_k is the
    number of samples from generator k (load balancing). The temperature of the softmax decays with the iterations.
    """

    name = "megan"
    generator: Experts
    discriminator: Discriminator

    @dataclass(frozen=True)
    class Params:
        """Sizes, and the settings of the gate."""

        generators: int = param(8, "K, the number of generators.", low=1)
        gate_hidden: int = param(64, "Hidden units of the gate.", low=1)
        balance: float = param(100.0, "lambda, weight of the load-balancing term.", low=0)
        temperature: float = param(1.0, "Temperature of the Gumbel softmax at the first iteration.", above=0)
        temperature_decay: float = param(0.9999, "Factor of the temperature in each iteration.", above=0, high=1)
        lowest_temperature: float = param(0.5, "Lower bound of the temperature.", above=0)

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that the generators share: nothing but the gate."""
        return "generators: nothing; one gate for all"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build a discriminator, and K generators with their gate, which belong to one player."""
        bodies = networks.generators(self.generators, shared="nothing")
        features = self.generators * bodies.feature_size(self.generators, networks.latent_size)
        experts = Experts(bodies, networks.latent_size + features, self.params.gate_hidden, self.generators)
        return {"discriminator": networks.discriminator({"source": None}), "generator": experts}

    def generate_gated(self, z: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Samples of all generators at z, and the probabilities of the gate, from one pass."""
        return self.generator.gated(z)

    def initial_state(self) -> Mapping[str, Tensor]:
        """State: the temperature."""
        return {"temperature": torch.tensor(self.params.temperature)}

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Lower the temperature after the generators' turn."""
        if "generator" not in turn.players:
            return state
        lower = state["temperature"] * self.params.temperature_decay
        return {"temperature": lower.clamp(min=self.params.lowest_temperature)}

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E log D(x) - E log(1 - D(sum_k g_k G_k(z)))."""
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, fake: Fake, state: Mapping[str, Tensor]) -> Tensor:
        """-E log D(sum_k g_k G_k(z)) + lambda sum_k (C_k / N - 1/K)^2."""
        shares = fake.choices(state["temperature"]).mean(0)
        balance = (shares - 1 / self.generators).square().sum()
        mixed = self.discriminator(fake.mixed(state["temperature"]))["source"]
        return bce_real(mixed) + self.params.balance * balance


class Experts(nn.Module):
    """K generators of (K, b, latent size), and a gate on the latent and the features of all generators."""

    def __init__(self, bodies: Generators, inputs: int, hidden: int, count: int) -> None:
        super().__init__()
        self.bodies, self.count = bodies, count
        self.hidden, self.logits = nn.Linear(inputs, hidden), nn.Linear(hidden, count)

    def forward(self, z: Tensor) -> Tensor:
        """Evaluate the generators."""
        samples: Tensor = self.bodies(z)
        return samples

    def gated(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (K, n, *shape) and probabilities (n, K) at latents (n, latent size)."""
        samples, features = self.bodies.with_features(z.expand(self.count, *z.shape))
        hidden = F.relu(self.hidden(torch.cat((z, *features), 1)))
        return samples, self.logits(hidden).softmax(1)


@hookimpl
def gan_bench_models() -> list[type[Model]]:
    """Return the model."""
    return [MEGAN]
