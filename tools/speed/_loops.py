"""Games of `speed.py` as hand-written loops without gan-bench: the baselines of its ratios.

The players of a game are a `Port` or `Plain`; both use torch's stock Adam. Weights are initialised as torch's layers
and the protocol do, which costs the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from _players import Plain, Players, Port, real_data
from torch import Tensor
from torch.func import functional_call

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.training.iteration import lower_precision
from gan_bench.training.randomness import Randomness
from gan_bench.training.trainer import Trainer

Loop = Callable[[], None]


@contextmanager
def fastest_convolutions() -> Iterator[None]:
    """Allow the fastest convolutions of cuDNN, reproducible or not."""
    flags = torch.backends.cudnn
    before = flags.benchmark, flags.deterministic
    flags.benchmark, flags.deterministic = True, False
    try:
        yield
    finally:
        flags.benchmark, flags.deterministic = before


bce = F.binary_cross_entropy_with_logits


def says(logits: Tensor, answer: float) -> Tensor:
    """Return the cross-entropy of logits with the same target for all."""
    return bce(logits, torch.full_like(logits, answer))


class GAN:
    """Non-saturating GAN, and base class of all games. A call runs one iteration.

    Attributes:
        judge_steps: steps of the judges before the generators'.
        losses: losses of the last iteration.
    """

    judge_steps = 1

    def __init__(self, trainer: Trainer, *, port: bool) -> None:
        k = trainer.model.playing
        self.players: Players = Port(trainer, self.heads_of(k)) if port else Plain(trainer)
        self.real, self.context, self.params = real_data(trainer), trainer.context, trainer.model.params
        self.label = self.context.index
        rate, betas = (trainer.protocol.of("generator", name) for name in ("learning_rate", "betas"))
        adam = partial(torch.optim.Adam, lr=rate, betas=betas)
        self.judging = adam(self.players.judges.parameters())
        self.generating = adam(self.players.generators.parameters())
        self.losses: dict[str, Tensor] = {}

    def heads_of(self, k: int) -> Mapping[str, Mapping[str, int]]:
        """Return the number of units by head, for each judge."""
        return {"discriminator": {"source": 1}}

    def __call__(self) -> None:
        """Run one iteration."""
        for _ in range(self.judge_steps):
            real, fake = self.real(), self.fakes()
            self.move("judges", self.judging, self.judge_loss, real, fake.detach())
        if self.players.fresh:
            fake = self.fakes()
        self.move("generators", self.generating, self.generator_loss, real, fake)

    def fakes(self) -> Tensor:
        """Draw generated samples in the protocol's precision."""
        with lower_precision(self.context):
            return self.players.fakes()

    def move(self, who: str, step: torch.optim.Optimizer, loss: Callable[..., Tensor], *given: Tensor) -> None:
        """Take one step down a loss."""
        with lower_precision(self.context):
            value = loss(*given)
        step.zero_grad()
        value.backward()
        step.step()
        self.losses[who] = value.detach()

    def judge(self, name: str, x: Tensor) -> dict[str, Tensor]:
        """Return a judge's logits for samples, by head."""
        said: dict[str, Tensor] = self.players.judges[name](x)
        return said

    def judge_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss."""
        return says(self.source(real), 1.0) + says(self.source(fake), 0.0)

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generators' loss."""
        return says(self.source(fake), 1.0)

    def source(self, x: Tensor) -> Tensor:
        """Return the discriminator's logits, (n,)."""
        return self.judge("discriminator", x)["source"]


class MGAN(GAN):
    """MGAN: the discriminator's trunk also has a classifier of a sample's generator."""

    def heads_of(self, k: int) -> Mapping[str, Mapping[str, int]]:
        """Return the units of the source and generator heads."""
        return {"discriminator": {"source": 1, "generator": k}}

    def judge_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the sum of the discriminator's and the classifier's losses."""
        on_fake = self.judge("discriminator", fake)
        adversarial = says(self.source(real), 1.0) + says(on_fake["source"], 0.0)
        return adversarial + F.cross_entropy(on_fake["generator"], self.label)

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss against the discriminator plus the weighted loss of the classifier."""
        on_fake = self.judge("discriminator", fake)
        return says(on_fake["source"], 1.0) + self.params.beta * F.cross_entropy(on_fake["generator"], self.label)


class Pair(GAN):
    """GAN with a second discriminator, of generator 1 against generator 2 (Barsim et al.)."""

    def heads_of(self, k: int) -> Mapping[str, Mapping[str, int]]:
        """Return one unit for each of the two discriminators."""
        return {"discriminator": {"source": 1}, "supplementary": {"own": 1}}

    def judge_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the sum of both discriminators' losses."""
        return super().judge_loss(real, fake) + self.apart(fake)

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss against the first discriminator plus the weighted loss of the second."""
        return super().generator_loss(real, fake) + self.params.weight * self.apart(fake)

    def apart(self, fake: Tensor) -> Tensor:
        """Return the second discriminator's cross-entropy."""
        return bce(self.judge("supplementary", fake)["own"].view(-1), (self.label == 0).float())


class Unrolled(GAN):
    """Unrolled GAN: the generator's loss looks some discriminator steps ahead; both players step at once."""

    def __call__(self) -> None:
        """Run one iteration."""
        real, fake = self.real(), self.fakes()
        other = self.fakes() if self.players.fresh else fake
        losses = {"judges": self.judge_loss(real, fake.detach()), "generators": self.generator_loss(real, other)}
        for (who, loss), step in zip(losses.items(), (self.judging, self.generating), strict=True):
            step.zero_grad()
            loss.backward(inputs=step.param_groups[0]["params"])
            self.losses[who] = loss.detach()
        self.judging.step()
        self.generating.step()

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the negative loss of the discriminator after its unrolled steps."""
        weights = dict(self.players.judges["discriminator"].named_parameters())
        for _ in range(self.params.unroll_steps):
            slopes = torch.autograd.grad(self.ahead(weights, real, fake), [*weights.values()], create_graph=True)
            moved = zip(weights.items(), slopes, strict=True)
            weights = {name: value - self.params.unroll_lr * slope for (name, value), slope in moved}
        return -self.ahead(weights, real, fake)

    def ahead(self, weights: dict[str, Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss with these weights."""
        judge = self.players.judges["discriminator"]
        on_real, on_fake = (functional_call(judge, weights, (x,))["source"] for x in (real, fake))
        return says(on_real, 1.0) + says(on_fake, 0.0)


class WGANGP(GAN):
    """WGAN-GP: a critic whose gradient norm is drawn to 1 between real and generated samples."""

    judge_steps = 5

    def heads_of(self, k: int) -> Mapping[str, Mapping[str, int]]:
        """Return the critic's one unit."""
        return {"critic": {"score": 1}}

    def judge_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the critic's loss."""
        n = min(len(real), len(fake))
        mix = torch.rand(n, *[1] * (real.dim() - 1), device=real.device)
        between = (mix * real[:n] + (1 - mix) * fake[:n]).requires_grad_()
        (slope,) = torch.autograd.grad(self.score(between).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return self.score(fake).mean() - self.score(real).mean() + self.params.penalty * penalty

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's loss."""
        return -self.score(fake).mean()

    def score(self, x: Tensor) -> Tensor:
        """Return the critic's scores, (n,)."""
        return self.judge("critic", x)["score"]


GAMES: Mapping[str, type[GAN]] = {
    "gan": GAN,
    "mgan": MGAN,
    "multi-discriminator": Pair,
    "unrolled-gan": Unrolled,
    "wgan-gp": WGANGP,
}
"""Games by the model's plugin."""


def bare(trainer: Trainer) -> Loop:
    """Return a hand-written MGAN iteration on the trainer's networks and draws, with fused Adam."""
    model, dataset, randomness = trainer.model, trainer.dataset, Randomness(trainer.randomness.seed, trainer.device)
    generator, discriminator = model.get_submodule("generator"), model.get_submodule("discriminator")
    d_own, g_own = list(discriminator.parameters()), list(generator.parameters())
    rate, betas = (trainer.protocol.of("generator", name) for name in ("learning_rate", "betas"))
    d_step, g_step = (torch.optim.Adam(own, lr=rate, betas=betas, fused=True) for own in (d_own, g_own))
    k, each, index, counter = model.playing, trainer.each, trainer.context.index, iter(range(10**9))

    def iterate() -> None:
        t = next(counter)
        z = trainer.latents.draw(k * each, randomness.at("latents", t, 0)).view(k, each, -1)
        fake = generator(z).flatten(0, 1)
        real = dataset.draw(trainer.protocol.batch, randomness.at("data", t, 0)).x
        judged = discriminator(fake.detach())
        loss = bce_real(discriminator(real)["source"]) + bce_fake(judged["source"])
        (loss + F.cross_entropy(judged["generator"], index)).backward(inputs=d_own)
        d_step.step()
        d_step.zero_grad()
        judged = discriminator(fake)
        apart = F.cross_entropy(judged["generator"], index)
        (bce_real(judged["source"]) + model.params.beta * apart).backward(inputs=g_own)
        g_step.step()
        g_step.zero_grad()

    return iterate
