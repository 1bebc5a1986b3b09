"""Plugins that break one promise each, which the contract kit has to find."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.models.d2gan import D2GAN
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.models.multi_discriminator import MultiDiscriminator
from gan_bench_zoo.networks.mlp import MLP
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.contracts.dataset import Dataset, Mixture, Real
from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.contracts.model import Fake, Latents, Model, Preset, Stage, Turn
from gan_bench.contracts.network import BatchedLinear, Discriminator, Generators, Heads, Networks, Sharing
from gan_bench.contracts.parameters import NoParams, param


class Small(MGAN):
    """MGAN with three generators, for quick checks (Hoang et al., 2018)."""

    presets = {}

    @dataclass(frozen=True)
    class Params:
        """Number of generators, and weight of the classifier."""

        generators: int = param(3, "K, the number of generators.", low=1)
        beta: float = param(0.5, "Weight of the classifier.", low=0)
        shared_noise: ClassVar[bool] = False  # parameters that MGAN requires
        classifier_mean: ClassVar[str] = "samples"
        shared: ClassVar[str] = "body"
        tied_classifier: ClassVar[bool] = True

    params: Params  # type: ignore[assignment]


class Meddling(GAN):
    """A generator's loss that changes the discriminator (Example, 2026)."""

    name = "meddling"

    def generator_loss(self, fake: Fake) -> Tensor:
        with torch.no_grad():
            for parameter in self.discriminator.parameters():
                parameter.mul_(0.99)
        return super().generator_loss(fake)


class Stepping(GAN):
    """A generator's loss that also trains the discriminator with an optimiser (Example, 2026)."""

    name = "stepping"

    def generator_loss(self, fake: Fake) -> Tensor:
        optimiser = torch.optim.SGD(self.discriminator.parameters(), lr=0.1)
        (-bce_real(self.discriminator(fake.x.detach())["source"])).backward()
        optimiser.step()
        optimiser.zero_grad()
        return super().generator_loss(fake)


class Leaning(GAN):
    """A constraint of the generator that changes the discriminator (Example, 2026)."""

    name = "leaning"

    def constrain(self, player: str, parameters: Mapping[str, Tensor]) -> None:
        if player == "generator":
            self.discriminator.get_parameter("trunk.weight").clamp_(-0.1, 0.1)


class Detached(GAN):
    """A generator's loss that is detached from the generator (Example, 2026)."""

    name = "detached"

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake.detach())


class Graphless(GAN):
    """A generator's loss without a graph (Example, 2026)."""

    name = "graphless"

    def generator_loss(self, fake: Fake) -> Tensor:
        with torch.no_grad():
            return super().generator_loss(fake)


class Frozen(GAN):
    """Samples that are detached from the generator (Example, 2026)."""

    name = "frozen"

    def generate(self, z: Tensor) -> Tensor:
        return super().generate(z).detach()


class Vectorial(GAN):
    """A loss of several numbers (Example, 2026)."""

    name = "vectorial"

    def generator_loss(self, fake: Fake) -> Tensor:
        logits: Tensor = self.discriminator(fake.x)["source"]
        return -logits


class Idle(GAN):
    """A player whose loss does not depend on its network (Example, 2026)."""

    name = "idle"
    players = ("discriminator", "referee", "generator")

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        return dict(super().build(networks)) | {"referee": networks.discriminator({"source": None})}

    def referee_loss(self, real: Real) -> Tensor:
        return bce_real(self.discriminator(real.x)["source"])


class HalfIdle(GAN):
    """A network with a part that no loss uses (Example, 2026)."""

    name = "half-idle"

    class Two(nn.Module):
        """Two networks, one of which is used."""

        def __init__(self, first: nn.Module, second: nn.Module) -> None:
            super().__init__()
            self.first, self.second = first, second

        def forward(self, x: Tensor) -> Any:
            return self.first(x)

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        first, second = (networks.discriminator({"source": None}) for _ in range(2))
        return {"discriminator": self.Two(first, second), "generator": networks.generators()}


class Bystander(GAN):
    """A player without a turn (Example, 2026)."""

    name = "bystander"

    def turns(self, iteration: int) -> Sequence[Turn]:
        return (Turn(("generator",)),)


class Dicing(GAN):
    """A loss with noise from torch's global stream (Example, 2026)."""

    name = "dicing"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        return super().discriminator_loss(Real(real.x + 0.1 * torch.randn_like(real.x)), fake)


class DicingNumpy(GAN):
    """A loss with a factor from numpy's global stream (Example, 2026)."""

    name = "dicing-numpy"

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) * float(np.random.rand() + 0.5)


class DicingBuild(GAN):
    """A number from Python's global stream in build() (Example, 2026)."""

    name = "dicing-build"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        self.weight = random.random()
        return super().build(networks)


class Entropy(GAN):
    """A loss with a factor from a generator that the operating system seeds (Example, 2026)."""

    name = "entropy"

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) * float(np.random.default_rng().random() + 0.5)


class Forgetful(GAN):
    """A weight that decreases with every call of a loss and is not saved in checkpoints (Example, 2026)."""

    name = "forgetful"

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.weight = 1.0

    def generator_loss(self, fake: Fake) -> Tensor:
        self.weight *= 0.9
        return self.weight * super().generator_loss(fake)


class ForgetfulState(GAN):
    """An average over turns that is not saved in checkpoints (Example, 2026)."""

    name = "forgetful-state"

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.average = torch.zeros(())

    def discriminator_loss(self, real: Real, fake: Fake) -> Any:
        loss = super().discriminator_loss(real, fake)
        return loss * (1 + self.average), {"loss": loss}

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if "loss" in values:
            self.average = 0.5 * self.average + 0.5 * values["loss"]
        return state


class Single(Small):
    """One generator for any K (Example, 2026)."""

    name = "single"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        return dict(super().build(networks)) | {"generator": networks.generators(1)}


class Copied(Single):
    """One generator that generates the samples of all K (Example, 2026)."""

    name = "copied"

    def generate(self, z: Tensor) -> Tensor:
        x: Tensor = self.generator(z.flatten(0, 1)[None])
        return x.view(*z.shape[:2], -1)


class Constant(Small):
    """A number of generators that is 1 for any K (Example, 2026)."""

    name = "constant"

    @property
    def generators(self) -> int:
        return 1


class Lying(Small):
    """An index in reverse order (Example, 2026)."""

    name = "lying"

    def sample(self, counts: Sequence[int], latents: Latents, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        x, index = super().sample(counts, latents, rng)
        assert index is not None
        return x, self.generators - 1 - index


class Swapping(Small):
    """The requested index on samples of other generators (Example, 2026)."""

    name = "swapping"

    def sample(self, counts: Sequence[int], latents: Latents, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        x, _ = super().sample([*reversed(counts)], latents, rng)
        return x.flip(0), torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))[: len(x)]


class Rotating(Small):
    """The requested index on samples of the next generator (Example, 2026)."""

    name = "rotating"

    def sample(self, counts: Sequence[int], latents: Latents, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        z = latents.draw(len(counts) * max(counts), rng).view(len(counts), max(counts), -1)
        x = self.generate(z).roll(-1, 0)
        index = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return torch.cat([x[k, :count] for k, count in enumerate(counts)]), index


class Unbalanced(Small):
    """Weights that sum to K (Example, 2026)."""

    name = "unbalanced"

    def weights(self) -> Tensor:
        return torch.ones(self.generators)


class Exploding(GAN):
    """A loss that is NaN in iteration 3 (Example, 2026)."""

    name = "exploding"

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"iteration": torch.zeros(())}

    def generator_loss(self, fake: Fake, state: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        loss = super().generator_loss(fake)
        return torch.where(state["iteration"] == 3, torch.full_like(loss, torch.nan), loss)

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"iteration": state["iteration"] + (turn.players == ("generator",))}


class Waiting(GAN):
    """A loss whose value is read in each iteration (Example, 2026)."""

    name = "waiting"

    def generator_loss(self, fake: Fake) -> Tensor:
        loss = super().generator_loss(fake)
        self.shown = loss.item()
        return loss


class Printing(GAN):
    """A loss that is printed in each iteration (Example, 2026)."""

    name = "printing"

    def generator_loss(self, fake: Fake) -> Tensor:
        loss = super().generator_loss(fake)
        print(loss)
        return loss


class Masking(GAN):
    """A loss of the samples that a mask selects (Example, 2026)."""

    name = "masking"

    def generator_loss(self, fake: Fake) -> Tensor:
        logits = self.discriminator(fake.x)["source"]
        chosen = logits[logits < logits.mean()]
        return -bce_fake(chosen) if self.params.saturating else bce_real(chosen)


class Branching(GAN):
    """A loss that branches on its value (Example, 2026)."""

    name = "branching"

    def generator_loss(self, fake: Fake) -> Tensor:
        loss = super().generator_loss(fake)
        return loss if loss > 0.1 else 2 * loss


class Stranded(GAN):
    """A constant that stays on the CPU (Example, 2026)."""

    name = "stranded"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        return super().discriminator_loss(Real(real.x + torch.zeros(2)), fake)


class Hosting(GAN):
    """Samples that pass through the host (Example, 2026)."""

    name = "hosting"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        return super().discriminator_loss(Real(real.x.cpu().clone()), fake)


class Unstackable(GAN):
    """A tensor drawn per seed that is neither a parameter nor a buffer (Example, 2026)."""

    name = "unstackable"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        self.direction = torch.randn(2)
        return super().build(networks)

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        return super().discriminator_loss(Real(real.x + self.direction.to(real.x.device)), fake)


class Offset(GAN):
    """A number drawn per seed, of which a stack would use the first for all (Example, 2026)."""

    name = "offset"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        self.lean = float(torch.rand(()))
        return super().build(networks)

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        return super().discriminator_loss(Real(real.x + self.lean), fake)


class Candid(Unstackable):
    """A tensor drawn per seed, in a model that declares that it cannot be stacked (Example, 2026)."""

    name = "candid"
    stackable = False


class Hiding(GAN):
    """A value of a late stage that is not saved in checkpoints (Example, 2026)."""

    name = "hiding"
    presets = {}
    scale = 1.0

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        return (Stage(0), Stage(8))

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        self.scale = 1.0 + number
        return state

    def generator_loss(self, fake: Fake) -> Tensor:
        return self.scale * super().generator_loss(fake)


class Restarting(GAN):
    """Players that are renewed in the first and in the second iteration, which is allowed (Example, 2026)."""

    name = "restarting"
    presets = {}

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        return (Stage(0, renewed=("generator",)), Stage(1, renewed=self.players))


class Untyped(GAN):
    """A parameter without a type (Example, 2026)."""

    name = "untyped"

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """The form of the loss."""

        beta = 1.0

    params: Params


class AnyTyped(GAN):
    """A parameter of type Any (Example, 2026)."""

    name = "any-typed"
    presets = {}

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """The form of the loss."""

        beta: Any = param(1.0, "A weight.")  # noqa: RUF009

    params: Params


class Unexplained(GAN):
    """A parameter without a description (Example, 2026)."""

    name = "unexplained"

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """The form of the loss."""

        beta: float = 1.0

    params: Params


class WrongDefault(GAN):
    """A default of the wrong type (Example, 2026)."""

    name = "wrong-default"

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """The form of the loss."""

        beta: float = param("much", "A weight.")

    params: Params


class Uncited(GAN):
    """A model without a source."""

    name = "uncited"


class WrongPreset(GAN):
    """A preset with a parameter that does not exist (Example, 2026)."""

    name = "wrong-preset"
    presets = {"paper": Preset("Of the paper.", params={"bta": 1.0})}


class Narrow(GAN):
    """An error for a value within the range of its parameter (Example, 2026)."""

    name = "narrow"

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """The form of the loss."""

        share: int = param(2, "A part.", low=0)

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        self.part = 1 / self.params.share
        return super().build(networks)


class Undone(Model):
    """A model without networks (Example, 2026)."""

    name = "undone"


class Doubled(GAN):
    """Samples of a wrong type (Example, 2026)."""

    name = "doubled"

    def generate(self, z: Tensor) -> Tensor:
        return super().generate(z).double()


class EndsWithDiscriminator(GAN):
    """Turns in the wrong order (Example, 2026)."""

    name = "backwards"
    players = ("generator", "discriminator")


class Noted(GAN):
    """Footnotes in a string, which is a sequence of letters (Example, 2026)."""

    name = "noted"
    footnotes = "uses the labels of the data"  # type: ignore[assignment]


class Wordy(GAN):
    """A turn with a string as players, which is a sequence of letters (Example, 2026)."""

    name = "wordy"

    def turns(self, iteration: int) -> Sequence[Turn]:
        return (Turn(("discriminator",)), Turn("generator"))  # type: ignore[arg-type]


class Muted(GAN):
    """A generator's loss with a factor of zero, left over from an experiment (Example, 2026)."""

    name = "muted"

    def generator_loss(self, fake: Fake) -> Tensor:
        return 0.0 * super().generator_loss(fake)


class Ramped(GAN):
    """A weight that should grow from zero, but is never updated (Example, 2026)."""

    name = "ramped"

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"ramp": torch.tensor(0.0)}

    def generator_loss(self, fake: Fake, state: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        return state["ramp"] * super().generator_loss(fake)


class Clipped(GAN):
    """A positive loss that is clipped from above at zero (Example, 2026)."""

    name = "clipped"

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake).clamp(max=0)


class Weighed(Small):
    """A discriminator's loss whose weight is zero when generators share nothing (Example, 2026)."""

    name = "weighed"

    @dataclass(frozen=True)
    class Params(Small.Params):
        """Parameters of MGAN, and a warm-up."""

        warm: bool = param(False, "Warm up.")

    params: Params

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        weight = 0.0 if self.params.warm else 1.0
        return weight * super().discriminator_loss(real, fake)


class FirstOnly(Small):
    """A loss of the first N samples of a draw, which are generator 0's (Example, 2026)."""

    name = "first-only"

    def generator_loss(self, fake: Fake) -> Tensor:
        each = len(fake.x) // self.generators
        first = replace(fake, x=fake.x[:each], z=fake.z[:each], generator=fake.generator[:each])
        return super().generator_loss(first)


class Masked(Small):
    """A loss with a mask that selects generator 0 (Example, 2026)."""

    name = "masked"

    def generator_loss(self, fake: Fake) -> Tensor:
        judged = self.discriminator(fake.x)
        chosen = (fake.generator == 0).to(fake.x)
        apart = F.cross_entropy(judged["generator"], fake.generator, reduction="none")
        errors = F.softplus(-judged["source"]) + self.params.beta * apart
        return (errors * chosen).sum() / chosen.sum()


class OneHot(Small):
    """A sum over generators with the unit vector of generator 0 as weights (Example, 2026)."""

    name = "one-hot"

    def generator_loss(self, fake: Fake) -> Tensor:
        judged = self.discriminator(fake.x)
        apart = F.cross_entropy(judged["generator"], fake.generator, reduction="none")
        errors = F.softplus(-judged["source"]) + self.params.beta * apart
        return torch.eye(self.generators, device=fake.x.device)[0] @ fake.by_generator(errors).mean(1)


class HalfFirst(Small):
    """A classifier's term of all generators, but an adversarial term of generator 0 alone (Example, 2026)."""

    name = "half-first"

    def generator_loss(self, fake: Fake) -> Tensor:
        judged = self.discriminator(fake.x)
        adversarial = bce_real(fake.by_generator(judged["source"])[0])
        return adversarial + self.params.beta * F.cross_entropy(judged["generator"], fake.generator)


class Anchored(Small):
    """Samples of all generators but the first are detached (Example, 2026)."""

    name = "anchored"

    def generate(self, z: Tensor) -> Tensor:
        x = super().generate(z)
        return torch.cat([x[:1], x[1:].detach()])


class FirstLayer(BatchedLinear):
    """A batched layer whose copies but the first are detached."""

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.cat([self.weight[:1], self.weight[1:].detach()])
        bias = torch.cat([self.bias[:1], self.bias[1:].detach()])
        return torch.baddbmm(bias, x, weight)


class Preceded(nn.Module):
    """Generators with a batched layer before them."""

    def __init__(self, layer: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.layer, self.body = layer, body

    def forward(self, z: Tensor) -> Any:
        return self.body(self.layer(z))


class Slice(Small):
    """A batched layer whose copies but the first never change, below layers that do (Example, 2026)."""

    name = "slice"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        players = dict(super().build(networks))
        layer = FirstLayer(self.generators, networks.latent_size, networks.latent_size)
        return players | {"generator": Preceded(layer, players["generator"])}


class NoHead(Small):
    """A classifier that no loss of its player trains (Example, 2026)."""

    name = "no-head"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        on_real, on_fake = self.discriminator(real.x), self.discriminator(fake.x)
        return bce_real(on_real["source"]) + bce_fake(on_fake["source"])


class DetachedHead(Small):
    """A classifier that its player trains on detached logits (Example, 2026)."""

    name = "detached-head"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        on_real, on_fake = self.discriminator(real.x), self.discriminator(fake.x)
        adversarial = bce_real(on_real["source"]) + bce_fake(on_fake["source"])
        return adversarial + F.cross_entropy(on_fake["generator"].detach(), fake.generator)


class DeadTerm(Small):
    """A classifier's term in the generators' loss without gradient (Example, 2026)."""

    name = "dead-term"

    def generator_loss(self, fake: Fake) -> Tensor:
        judged = self.discriminator(fake.x)
        with torch.no_grad():
            apart = F.cross_entropy(judged["generator"], fake.generator)
        return bce_real(judged["source"]) + self.params.beta * apart


class DeadSamples(Small):
    """A classifier's term in the generators' loss of detached samples (Example, 2026)."""

    name = "dead-samples"

    def generator_loss(self, fake: Fake) -> Tensor:
        apart = F.cross_entropy(self.discriminator(fake.x.detach())["generator"], fake.generator)
        return bce_real(self.discriminator(fake.x)["source"]) + self.params.beta * apart


class UnitOnly(Small):
    """K one-against-the-rest units in a head, of which only the first is trained (Example, 2026)."""

    name = "unit-only"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        on_real, on_fake = self.discriminator(real.x), self.discriminator(fake.x)
        own = (fake.generator == 0).to(fake.x)
        apart = F.binary_cross_entropy_with_logits(on_fake["generator"][:, 0], own)
        return bce_real(on_real["source"]) + bce_fake(on_fake["source"]) + apart


class CopyOnly(D2GAN):
    """Two discriminators in one batched network, of which only the first is trained (Example, 2026)."""

    name = "copy-only"

    def discriminators_loss(self, real: Real, fake: Fake) -> Tensor:
        (real1, _), (fake1, _) = self.discriminators(real.x)["score"], self.discriminators(fake.x)["score"]
        return F.softplus(fake1).mean() - self.params.alpha * F.softplus(real1).log().mean()


class SeesFirst(Small):
    """A discriminator of as many generated samples as generator 0 has (Example, 2026)."""

    name = "sees-first"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        each = len(fake.x) // self.generators
        judged = self.discriminator(fake.x[:each])
        adversarial = bce_real(self.discriminator(real.x)["source"]) + bce_fake(judged["source"])
        return adversarial + F.cross_entropy(judged["generator"], fake.generator[:each])


class SeesIndex(Small):
    """A discriminator's loss indexed by generator where it should be averaged over them (Example, 2026)."""

    name = "sees-index"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        judged = self.discriminator(fake.x)
        errors = F.softplus(judged["source"]) + F.cross_entropy(judged["generator"], fake.generator, reduction="none")
        return bce_real(self.discriminator(real.x)["source"]) + fake.by_generator(errors)[0].mean()


class HalfSees(Small):
    """A classifier of all generators beside a discriminator of generator 0 alone (Example, 2026)."""

    name = "half-sees"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        judged = self.discriminator(fake.x)
        of_fake = F.softplus(fake.by_generator(judged["source"])[:1]).mean()
        of_real = bce_real(self.discriminator(real.x)["source"])
        return of_real + of_fake + F.cross_entropy(judged["generator"], fake.generator)


class Blind(GAN):
    """A discriminator whose two terms are both of generated samples (Example, 2026)."""

    name = "blind"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        logits = self.discriminator(fake.x)["source"]
        return bce_real(logits) + bce_fake(logits)


class BlindTerm(Small):
    """A discriminator's term of real data without a gradient (Example, 2026)."""

    name = "blind-term"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        with torch.no_grad():
            of_real = bce_real(self.discriminator(real.x)["source"])
        judged = self.discriminator(fake.x)
        return of_real + bce_fake(judged["source"]) + F.cross_entropy(judged["generator"], fake.generator)


class BlindOne(MultiDiscriminator):
    """A discriminator that never sees real data, in a model whose generators do (Example, 2026)."""

    name = "blind-one"

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        x = torch.zeros_like(real.x)
        return bce_real(self.discriminator(x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, real: Real, fake: Fake) -> Tensor:  # type: ignore[override]
        return super().generator_loss(fake) + (fake.x.mean(0) - real.x.mean(0)).square().sum()


class Standardised(GAN):
    """Samples that are divided by the deviation of their batch (Example, 2026)."""

    name = "standardised"

    def generate(self, z: Tensor) -> Tensor:
        x = super().generate(z)
        return x / (x.std(1, keepdim=True) + 1e-3)


class Sorted(GAN):
    """Samples that are sorted when they are drawn (Example, 2026)."""

    name = "sorted"

    def sample(self, counts: Sequence[int], latents: Latents, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        x, index = super().sample(counts, latents, rng)
        return x[x[:, 0].argsort()], index


class Recentred(Small):
    """Samples that are moved to the mean of zero when they are drawn (Example, 2026)."""

    name = "recentred"

    def sample(self, counts: Sequence[int], latents: Latents, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        x, index = super().sample(counts, latents, rng)
        return x - x.mean(0), index


class Normed(nn.Module):
    """Generators with batch normalisation that has no running averages."""

    def __init__(self, body: nn.Module, size: int) -> None:
        super().__init__()
        self.body, self.norm = body, nn.BatchNorm1d(size, track_running_stats=False)

    def forward(self, z: Tensor) -> Any:
        return self.body(self.norm(z.flatten(0, 1)).view(z.shape))


class BatchNormed(Small):
    """Latents that are normalised by the statistics of their batch, in evaluation too (Example, 2026)."""

    name = "batch-normed"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        players = dict(super().build(networks))
        return players | {"generator": Normed(players["generator"], networks.latent_size)}


class Ranked(GAN):
    """Samples whose scale depends on the size of their batch (Example, 2026)."""

    name = "ranked"

    def generate_all(self, z: Tensor) -> Tensor:
        return super().generate_all(z) * (1 + 1 / z.shape[1])


class InParts(Standardised):
    """Samples that depend on their batch, in a model that declares it (Example, 2026)."""

    name = "in-parts"
    in_parts = False


class Caching(GAN):
    """Logits of the discriminator's turn that the generator's turn uses (Example, 2026)."""

    name = "caching"
    stackable = False

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        logits = self.discriminator(real.x)["source"]
        self.level = logits.mean().detach()
        return bce_real(logits) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) * (1 + self.level.square())


class CachingLatents(Small):
    """Latents that `generate` keeps for a loss, with a switch (Example, 2026)."""

    name = "caching-latents"
    stackable = False

    @dataclass(frozen=True)
    class Params(Small.Params):
        """Parameters of MGAN, and a reconstruction."""

        again: bool = param(False, "Give weight to latents.")

    params: Params

    def generate(self, z: Tensor) -> Tensor:
        if self.params.again:
            self.last = z
        return super().generate(z)

    def generator_loss(self, fake: Fake) -> Tensor:
        loss = super().generator_loss(fake)
        return loss + self.last.square().mean() * fake.x.square().mean() if self.params.again else loss


class Clock(GAN):
    """A number that turns() keeps on the model, and a loss uses (Example, 2026)."""

    name = "clock"
    stackable = False

    def turns(self, iteration: int) -> Sequence[Turn]:
        self.now = iteration
        return super().turns(iteration)

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) * (1 + self.now)


class Memory:
    """A place outside of the model for one tensor."""

    level: Tensor | None = None


class ClockTensor(GAN):
    """A tensor that turns() keeps in another object, and a loss uses (Example, 2026)."""

    name = "clock-tensor"
    stackable = False

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.memory = Memory()

    def turns(self, iteration: int) -> Sequence[Turn]:
        self.memory.level = torch.tensor(1.0 + iteration)
        return super().turns(iteration)

    def generator_loss(self, fake: Fake) -> Tensor:
        assert self.memory.level is not None
        return super().generator_loss(fake) * self.memory.level


class GainOnly(GAN):
    """A preset with a gain, but not the initialisation that it belongs to (Example, 2026)."""

    name = "gain-only"
    presets = {"paper": Preset("Orthogonal weights of gain 0.8.", protocol={"init_scale": 0.8})}


class GlorotOnly(GAN):
    """A preset with Xavier initialisation at the scale of the benchmark (Example, 2026)."""

    name = "glorot-only"
    presets = {"paper": Preset("Glorot's initialisation.", protocol={"init": "xavier", "learning_rate": 1e-4})}


class GainOfOne(GAN):
    """A second preset with a gain of one (Example, 2026)."""

    name = "gain-of-one"
    presets = {
        "paper": Preset("Adam.", protocol={"learning_rate": 1e-4}),
        "release": Preset("Adam.", protocol={"init_scale": 1, "latents": "fresh"}),
    }


class BetasOnly(GAN):
    """A preset with betas for an optimiser without them (Example, 2026)."""

    name = "betas-only"
    presets = {"paper": Preset("RMSprop.", protocol={"optimizer": "rmsprop", "betas": (0.0, 0.9)})}


class Unread(GAN):
    """A parameter that nothing reads (Example, 2026)."""

    name = "unread"
    presets = {}

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """Form of the loss, and a weight."""

        diversity: float = param(0.5, "Weight of the diversity term.", low=0)

    params: Params


class Shadowed(Small):
    """A weight that is read, but replaced by a constant in the loss (Example, 2026)."""

    name = "shadowed"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        self.weight = self.params.beta
        return super().build(networks)

    def generator_loss(self, fake: Fake) -> Tensor:
        judged = self.discriminator(fake.x)
        return bce_real(judged["source"]) + 0.5 * F.cross_entropy(judged["generator"], fake.generator)


class NothingTimes(GAN):
    """A parameter of a term that is zero in every choice of another parameter (Example, 2026)."""

    name = "nothing-times"
    presets = {}

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """Form of the loss, and a penalty."""

        penalty: str = param("none", "Penalty.", choices=("none", "slope", "level"))
        weight: float = param(1.0, "Weight of the penalty.", low=0)

    params: Params

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        level = self.discriminator(real.x)["source"].mean()
        penalty = {"none": 0 * level, "slope": level.square(), "level": level.abs()}[self.params.penalty]
        return super().discriminator_loss(real, fake) + penalty + self.params.weight * (level - level)


class Misspelt(GAN):
    """A switch that is compared with a text it never is (Example, 2026)."""

    name = "misspelt"
    presets = {}

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """Form of the loss, and its scale."""

        scale: str = param("mean", "Mean or sum.", choices=("mean", "sum"))
        warm: int = param(100, "Iterations with a larger weight.", low=0)

    params: Params

    def generator_loss(self, fake: Fake) -> Tensor:
        loss = super().generator_loss(fake)
        return loss * len(fake.x) if self.params.scale == "total" else loss


class Late(GAN):
    """Parameters that matter late, together, or outside of training, which is allowed (Example, 2026)."""

    name = "late"
    presets = {}

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """Form of the loss, and when it changes."""

        steps_from: int = param(2_000, "Iteration from which the discriminator has two steps.", low=0)
        heavy_until: int = param(500, "Iterations with twice the weight.", low=1)
        penalty: str = param("none", "Penalty of logits.", choices=("none", "level"))
        squared: bool = param(False, "Square the penalty.")
        power: float = param(2.0, "Exponent of a squared penalty.", above=0)
        limit: float = param(1e6, "Largest penalty.", above=0)
        truncation: float = param(1.0, "Scale of the latents of samples.", above=0)
        normalised: bool = param(True, "Let the discriminator normalise over the batch.")
        labelled: bool = param(False, "Mark the row of the table.")

    params: Params

    @property
    def footnotes(self) -> tuple[str, ...]:
        return ("marked",) if self.params.labelled else ()

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        discriminator = networks.discriminator({"source": None}, batch_statistics=self.params.normalised)
        return {"discriminator": discriminator, "generator": networks.generators()}

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"iteration": torch.zeros(())}

    def turns(self, iteration: int) -> Sequence[Turn]:
        first = (Turn(("discriminator",), real=1),) if iteration >= self.params.steps_from else ()
        return (*first, *super().turns(iteration))

    def discriminator_loss(  # type: ignore[override]
        self, real: Real, fake: Fake, state: Mapping[str, Tensor]
    ) -> Tensor:
        loss = super().discriminator_loss(real, fake)
        if self.params.penalty == "level":
            level = self.discriminator(real.x)["source"].abs().mean()
            level = level**self.params.power if self.params.squared else level
            loss = loss + level.clamp(max=self.params.limit)
        return loss * torch.where(state["iteration"] < self.params.heavy_until, 2.0, 1.0)

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"iteration": state["iteration"] + (turn.players == ("generator",))}

    def generate_all(self, z: Tensor) -> Tensor:
        return super().generate_all(self.params.truncation * z)


class Drifting(Ring8):
    """A ring that moves with each draw."""

    name = "drifting"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        self.turned = getattr(self, "turned", 0) + 1
        real = super().draw(n, rng)
        return replace(real, x=real.x + 0.001 * self.turned)


class GlobalRing(Ring8):
    """A ring drawn from torch's global stream."""

    name = "global-ring"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return super().draw(n, torch.default_generator)


class Repeating(Ring8):
    """A ring whose draws are all the same."""

    name = "repeating"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return super().draw(n, torch.Generator().manual_seed(0))


class Leaking(Ring8):
    """Held-out data that are also training data."""

    name = "leaking"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        pool = super().draw(5000, torch.Generator().manual_seed(0))
        assert pool.label is not None
        index = torch.randint(5000, (n,), generator=rng)
        return Real(pool.x[index], pool.label[index], index)


class Flat(Ring8):
    """Points of another shape than the declared one."""

    name = "flat"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return Real(super().draw(n, rng).x.flatten())


class Unlabelled(Ring8):
    """Classes without labels."""

    name = "unlabelled"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return replace(super().draw(n, rng), label=None)


class Undeclared(Ring8):
    """Labels without declared classes."""

    name = "undeclared"
    classes = None  # type: ignore[assignment]


class Overflowing(Ring8):
    """Labels beyond the last class."""

    name = "overflowing"

    @property
    def classes(self) -> int:
        return len(self.mixture.means) - 1


class Displaced(Ring8):
    """A density that does not match the data."""

    name = "displaced"

    @property
    def mixture(self) -> Mixture:
        true = super().mixture
        return Mixture(true.means + 1, true.stds, true.weights)


class Plain(Dataset):
    """Standard normal points, without a density or parameters: a valid dataset."""

    name = "plain"
    Params = NoParams

    @property
    def shape(self) -> tuple[int, ...]:
        return (3,)

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return Real(torch.randn(n, 3, generator=rng))

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return self.draw(n, rng)


class Spread(Metric):
    """Standard deviation of the samples: a valid metric."""

    name = "spread"
    direction = "none"
    unit = "data units"

    def compute(self, samples: Samples) -> float:
        return float(samples.x.std())


class UpsideDown(Spread):
    """A distance with direction "higher"."""

    name = "upside_down"
    direction = "higher"

    def compute(self, samples: Samples) -> float:
        return float(np.abs(samples.x).mean())


class Undirected(Spread):
    """A direction that does not exist."""

    name = "undirected"
    direction = "up"  # type: ignore[assignment]


class Unscaled(Spread):
    """A scale that does not exist."""

    name = "unscaled"
    scale = "cubic"  # type: ignore[assignment]


class Centring(Spread):
    """A value after centring the samples in place."""

    name = "centring"

    def compute(self, samples: Samples) -> float:
        x = samples.x
        x -= x.mean(axis=0)
        return float(x.std())


class Tossing(Spread):
    """A value drawn from numpy's global stream."""

    name = "tossing"

    def compute(self, samples: Samples) -> float:
        return float(np.random.permutation(samples.x)[:10].mean())


class Guessing(Spread):
    """A value drawn from a generator that the operating system seeds."""

    name = "guessing"

    def compute(self, samples: Samples) -> float:
        return float(np.random.default_rng().permutation(samples.x)[:10].mean())


class Several(Spread):
    """Several values instead of one."""

    name = "several"

    def compute(self, samples: Samples) -> NDArray[np.float64]:  # type: ignore[override]
        return samples.x.std(axis=0)


class SharesAll(MLP):
    """One body for all generators, input layer included."""

    name = "shares-all"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        one = super().generators(latent_size, shape, 1, shared)
        one.register_forward_pre_hook(lambda module, inputs: (inputs[0].flatten(0, 1)[None],))
        one.register_forward_hook(lambda module, inputs, x: x.view(count, -1, *shape))
        return one


class SharesNothing(MLP):
    """A separate body for each generator, whatever sharing is requested."""

    name = "shares-nothing"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        return super().generators(latent_size, shape, count, "nothing")


class Headless(MLP):
    """A discriminator without the second head."""

    name = "headless"

    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        return super().discriminator(shape, {"one": None}, copies)


class Promoting(GAN):
    """State that begins as an integer and becomes a fraction (Example, 2026)."""

    name = "promoting"

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"scale": torch.tensor(1)}

    def generator_loss(self, fake: Fake, state: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        return super().generator_loss(fake) * state["scale"]

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"scale": state["scale"] * 0.9}


class Growing(Promoting):
    """State that changes its shape (Example, 2026)."""

    name = "growing"

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"scale": torch.ones(1)}

    def generator_loss(self, fake: Fake, state: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        return super().generator_loss(fake, {"scale": state["scale"].mean()})

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"scale": torch.cat([state["scale"], state["scale"]])}


class Widening(Promoting):
    """State that becomes float64, as numbers of Python and NumPy are (Example, 2026)."""

    name = "widening"

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"scale": torch.tensor(1.0)}

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"scale": torch.from_numpy(np.array(0.9)) * state["scale"].double()}


class Broadcast(Promoting):
    """A number as state that becomes a vector of one number (Example, 2026)."""

    name = "broadcast"

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"scale": torch.tensor(1.0)}

    def generator_loss(self, fake: Fake, state: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        return super().generator_loss(fake, {"scale": state["scale"].mean()})

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"scale": 0.9 * state["scale"].reshape(1)}
