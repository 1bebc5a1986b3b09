"""Small models for tests, independent of the zoo. Each uses one feature of the model contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from gan_bench_zoo.models.gan import GAN
from torch import Tensor, nn
from torch.func import grad

from gan_bench.contracts.dataset import Real
from gan_bench.contracts.model import Fake, Model, Noise, Turn
from gan_bench.contracts.network import Discriminator, Generators, Networks


class Wasserstein(Model):
    """Five turns of a critic, each on separate data and latents, then a turn of the generator."""

    name = "wasserstein"
    players = ("critic", "generator")
    critic: Discriminator
    generator: Generators

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        return {"critic": networks.discriminator({"score": None}), "generator": networks.generators()}

    def turns(self, iteration: int) -> Sequence[Turn]:
        return (*(Turn(("critic",), real=i, latents=i) for i in range(5)), Turn(("generator",), latents=5))

    def score(self, x: Tensor) -> Tensor:
        scores: Tensor = self.critic(x)["score"]
        return scores

    def critic_loss(self, real: Real, fake: Fake) -> Tensor:
        return self.score(fake.x).mean() - self.score(real.x).mean()

    def generator_loss(self, fake: Fake) -> Tensor:
        return -self.score(fake.x).mean()


class WGANGP(Wasserstein):
    """A penalty on the gradient between real and generated samples (Gulrajani et al., 2017)."""

    def noise(self, batch: int, fakes: int) -> Mapping[str, Noise]:
        return {"mix": Noise((batch, 1), "uniform"), "unused": Noise((3,))}

    def critic_loss(  # type: ignore[override]
        self, real: Real, fake: Fake, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        between = fake.x + noise["mix"] * (real.x - fake.x)
        gradient: Tensor = grad(lambda x: self.score(x).sum())(between)
        penalty = (gradient.norm(dim=1) - 1).square().mean()
        return super().critic_loss(real, fake) + 10 * penalty, {"penalty": penalty}


class WGAN(Wasserstein):
    """Clipped weights, and more critic turns at first (Arjovsky et al., 2017; there 100 for 25 iterations)."""

    def turns(self, iteration: int) -> Sequence[Turn]:
        critic = 4 if iteration < 2 or iteration % 5 == 0 else 1
        return (*(Turn(("critic",), real=i, latents=i) for i in range(critic)), Turn(("generator",), latents=critic))

    def constrain(self, player: str, parameters: Mapping[str, Tensor]) -> None:
        if player == "critic":
            for parameter in parameters.values():
                parameter.clamp_(-0.05, 0.05)


class BEGAN(Model):
    """Both players at once, balanced by a state k that a turn updates (Berthelot et al., 2017)."""

    name = "began"
    discriminator: Discriminator
    generator: Generators
    GAMMA, RATE = 0.5, 0.2

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        return {"discriminator": networks.discriminator({"code": 2}), "generator": networks.generators()}

    def turns(self, iteration: int) -> Sequence[Turn]:
        return (Turn(("discriminator", "generator")),)

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"k": torch.tensor(0.1)}

    def energy(self, x: Tensor) -> Tensor:
        distance: Tensor = (x - self.discriminator(x)["code"]).abs().mean()
        return distance

    def discriminator_loss(
        self, real: Real, fake: Fake, state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        of_real = self.energy(real.x)
        return of_real - state["k"] * self.energy(fake.x), {"of_real": of_real}

    def generator_loss(self, fake: Fake) -> tuple[Tensor, dict[str, Tensor]]:
        of_fake = self.energy(fake.x)
        return of_fake, {"of_fake": of_fake}

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        step = self.RATE * (self.GAMMA * values["of_real"] - values["of_fake"])
        return {"k": (state["k"] + step).clamp(0, 1)}


class Shift(nn.Module):
    """A second generating player: a point that is added to every sample."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor([0.5, -0.5]))


class Team(GAN):
    """Two generating players: a network, and a shift of its samples."""

    name = "team"
    players = ("discriminator", "generator", "shift")
    generating = ("generator", "shift")
    schedule: ClassVar[tuple[tuple[str, ...], ...]] = (("discriminator", "generator", "shift"),)
    shift: Shift

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        return dict(super().build(networks)) | {"shift": Shift()}

    def turns(self, iteration: int) -> Sequence[Turn]:
        return tuple(Turn(players) for players in self.schedule)

    def generate(self, z: Tensor) -> Tensor:
        return super().generate(z) + self.shift.by

    def shift_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) + fake.x.square().mean()


class OneByOne(Team):
    schedule = (("discriminator",), ("shift",), ("generator",))


class Mixture(nn.Module):
    """One player of K generators and the logits of their weights."""

    def __init__(self, bodies: nn.Module, count: int) -> None:
        super().__init__()
        self.bodies, self.logits = bodies, nn.Parameter(torch.zeros(count))

    def forward(self, z: Tensor) -> Any:
        return self.bodies(z)


class Learned(Model):
    """Mixture weights that are trained with the generators (MIX+GAN)."""

    name = "learned"
    discriminator: Discriminator
    generator: Mixture

    @dataclass(frozen=True)
    class Params:
        """Number of generators."""

        generators: int = 3

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        mixture = Mixture(networks.generators(self.generators), self.generators)
        return {"discriminator": networks.discriminator({"source": None}), "generator": mixture}

    def weights(self) -> Tensor:
        return torch.softmax(self.generator.logits, 0)

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        of_real: Tensor = self.discriminator(real.x)["source"]
        return self._weighted(fake) - of_real.mean()

    def generator_loss(self, fake: Fake) -> Tensor:
        return -self._weighted(fake)

    def _weighted(self, fake: Fake) -> Tensor:
        by_generator = fake.by_generator(self.discriminator(fake.x)["source"]).mean(1)
        return (self.weights() * by_generator).sum()
