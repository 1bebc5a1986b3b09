"""Small models for tests: every trainable model of the zoo, fast trainers, and substitutes for discriminators.

A substitute returns logits given by a test, so that a loss can be compared with a closed form.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.models.ac_gan import ACGAN
from gan_bench_zoo.models.adagan import AdaGAN
from gan_bench_zoo.models.ali import ALI
from gan_bench_zoo.models.began import BEGAN
from gan_bench_zoo.models.catgan import CatGAN
from gan_bench_zoo.models.conditional_gan import ConditionalGAN
from gan_bench_zoo.models.d2gan import D2GAN
from gan_bench_zoo.models.deligan import DeLiGAN
from gan_bench_zoo.models.dfm import DFM
from gan_bench_zoo.models.ensemble import CascadeGAN, Ensemble, SelfEnsemble
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.gman import GMAN
from gan_bench_zoo.models.improved_gan import FEATURES, ImprovedGAN
from gan_bench_zoo.models.index_input import IndexInput
from gan_bench_zoo.models.infogan import InfoGAN
from gan_bench_zoo.models.mad_gan import MADGAN
from gan_bench_zoo.models.mad_gan_sim import MADGANSim
from gan_bench_zoo.models.magan import MAGAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.models.mix_gan import MixGAN
from gan_bench_zoo.models.multi_discriminator import MultiDiscriminator
from gan_bench_zoo.models.pacgan import PacGAN
from gan_bench_zoo.models.r3gan import R3GAN
from gan_bench_zoo.models.sngan import SNGAN
from gan_bench_zoo.models.unrolled_gan import UnrolledGAN
from gan_bench_zoo.models.veegan import VEEGAN
from gan_bench_zoo.models.wgan import WGAN
from gan_bench_zoo.models.wgan_gp import WGANGP
from gan_bench_zoo.networks.mlp import MLP
from torch import Tensor, nn

from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.model import Fake, Model
from gan_bench.contracts.network import Discriminator, Networks
from gan_bench.contracts.protocol import Protocol
from gan_bench.training.build import build
from gan_bench.training.trainer import Trainer

CPU = torch.device("cpu")

ZOO: Mapping[str, Callable[[], Model]] = {
    "gan": GAN,
    "gan, saturating": lambda: GAN(GAN.Params(saturating=True)),
    "d2gan": lambda: D2GAN(D2GAN.Params(alpha=0.7, beta=1.6)),
    "mgan": lambda: MGAN(MGAN.Params(generators=3, beta=0.5)),
    "mgan, shared noise": lambda: MGAN(MGAN.Params(generators=3, shared_noise=True)),
    "mgan, un-tied": lambda: MGAN(MGAN.Params(generators=3, shared="nothing", tied_classifier=False)),
    "mad-gan": lambda: MADGAN(MADGAN.Params(generators=3)),
    "mad-gan, trunk": lambda: MADGAN(MADGAN.Params(generators=3, shared="trunk", shared_noise=True)),
    "multi-discriminator": lambda: MultiDiscriminator(MultiDiscriminator.Params(generators=3)),
    "multi-discriminator, single": lambda: MultiDiscriminator(MultiDiscriminator.Params(supplementary="single")),
    "unrolled-gan": lambda: UnrolledGAN(UnrolledGAN.Params(unroll_steps=2)),
    "unrolled-gan, adam": lambda: UnrolledGAN(UnrolledGAN.Params(unroll_steps=2, unroll_lr=0.01, inner="adam")),
}
"""Models of the benchmark synthetic8, in every variant that trains differently."""

WIDER: Mapping[str, Callable[[], Model]] = {
    "adagan": lambda: AdaGAN(AdaGAN.Params(generators=3, classifier_steps=2, pool=40)),
    "ensemble": lambda: Ensemble(Ensemble.Params(generators=3)),
    "self-ensemble": lambda: SelfEnsemble(SelfEnsemble.Params(generators=3)),
    "cascade-gan": lambda: CascadeGAN(CascadeGAN.Params(generators=3, pool=40)),
    "gman": lambda: GMAN(GMAN.Params(discriminators=3)),
    "gman, learned": lambda: GMAN(GMAN.Params(discriminators=3, learned=True)),
    "gman, shared data": lambda: GMAN(GMAN.Params(discriminators=3, data="shared", saturating=False)),
    "ali": ALI,
    "ali, implicit": lambda: ALI(ALI.Params(encoder="implicit")),
    "began": BEGAN,
    "mad-gan-sim": lambda: MADGANSim(MADGANSim.Params(generators=3, weight=1.0)),
    "mad-gan-sim, gaussian": lambda: MADGANSim(
        MADGANSim.Params(generators=3, weight=1.0, similarity="gaussian", through_similarity=False, shared="body")
    ),
    "magan": lambda: MAGAN(MAGAN.Params(epoch=2)),
    "veegan": lambda: VEEGAN(VEEGAN.Params(reconstruction=0.5)),
    "wgan": WGAN,
    "wgan, warm-up": lambda: WGAN(WGAN.Params(critic_steps=2, warm_up=2, long_steps=3)),
    "wgan-gp": WGANGP,
    "r3gan": R3GAN,
    "r3gan, fresh data": lambda: R3GAN(R3GAN.Params(fresh_real=True)),
    "pacgan": lambda: PacGAN(PacGAN.Params(pack=2)),
    "pacgan, simultaneous": lambda: PacGAN(PacGAN.Params(simultaneous=True)),
    "mix-gan": lambda: MixGAN(MixGAN.Params(generators=3, discriminators=2)),
    "mix-gan, wgan": lambda: MixGAN(
        MixGAN.Params(generators=3, discriminators=2, payoff="wgan", discriminator_steps=2)
    ),
    "sngan": lambda: SNGAN(SNGAN.Params(discriminator_steps=2)),
    "dfm": DFM,
    "dfm, through the denoiser": lambda: DFM(DFM.Params(denoising=1.0, adversarial=0.03, detach_target=False)),
    "deligan": lambda: DeLiGAN(DeLiGAN.Params(generators=3)),
    "improved-gan": lambda: ImprovedGAN(ImprovedGAN.Params(group=5, kernels=3, kernel_size=2, real_label=0.9)),
    "improved-gan, features": lambda: ImprovedGAN(ImprovedGAN.Params(technique=FEATURES)),
    "index-input": lambda: IndexInput(IndexInput.Params(generators=3)),
    "infogan": lambda: InfoGAN(InfoGAN.Params(generators=3, lam=0.5)),
    "catgan": lambda: CatGAN(CatGAN.Params(categories=3)),
    "ac-gan": ACGAN,
    "ac-gan, real": lambda: ACGAN(ACGAN.Params(classified="real")),
    "conditional-gan": ConditionalGAN,
    "conditional-gan, saturating": lambda: ConditionalGAN(ConditionalGAN.Params(saturating=True)),
}
"""Other models of the zoo, in every variant that trains differently. The contract kit checks all of them."""


class Ring(Ring8):
    """The ring, which stores its draws."""

    def __init__(self) -> None:
        super().__init__(self.Params())
        self.drawn: list[Tensor] = []

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        self.drawn.append(real.x)
        return real


def protocol(**changes: Any) -> Protocol:
    """Return small batches and latents, and weights so large that no gradient is close to zero."""
    small = {"batch": 16, "fakes": 12, "latent_size": 6, "iterations": 10, "init_scale": 0.5, "learning_rate": 0.01}
    return Protocol(**small | changes)


def trainer(
    model: Model, *, seed: int = 0, dataset: Dataset | None = None, device: torch.device = CPU, **changes: Any
) -> Trainer:
    """Return a trainer at iteration 0 of a model on the ring."""
    dataset, settings = dataset or Ring(), protocol(**changes)
    build(model, MLP(MLP.Params(hidden=8)), dataset, settings, seed, device)
    return Trainer(model, dataset, settings, seed, device)


def side_by_side(singles: Sequence[Trainer], stack: Stack, iterations: int) -> None:
    """Run the same number of iterations of single trainers and of a stack of equal ones."""
    for _ in range(iterations):
        stack.iterate()
        for one in singles:
            one.iterate()
    stack.settle()


def networks(*, latent_size: int = 6, hidden: int = 8) -> Networks:
    """Return the argument of `Model.build`: the mlp on the ring."""
    return Networks(MLP(MLP.Params(hidden=hidden)), Ring(), latent_size)


def values(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every parameter, by name."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two sets of parameters are equal, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def spy(model: Model, method: str) -> list[dict[str, Any]]:
    """Record the arguments of each call of a model's loss. Call it before the trainer is built."""
    calls: list[dict[str, Any]] = []
    loss = getattr(model, method)

    @functools.wraps(loss)
    def recording(**arguments: Any) -> Any:
        calls.append(arguments)
        return loss(**arguments)

    setattr(model, method, recording)
    return calls


def real(x: Any) -> Real:
    """Return real samples from an array."""
    return Real(torch.as_tensor(x))


def fake(x: Any, generators: int = 1) -> Fake:
    """Return generated samples from an array that is ordered by generator, without latents."""
    x = torch.as_tensor(x)
    each = len(x) // generators
    return Fake(x, torch.empty(len(x), 0), torch.arange(generators).repeat_interleave(each), generators)


class Echo(Discriminator):
    """Discriminator whose logits are the samples: columns are split over its heads, or over its copies."""

    def __init__(self, heads: Mapping[str, int | None], copies: int | None = None) -> None:
        super().__init__()
        self.heads, self.copies = heads, copies

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if self.copies is not None:
            return {name: x.t() for name in self.heads}
        parts = torch.split(x, [units or 1 for units in self.heads.values()], 1)
        named = zip(self.heads.items(), parts, strict=True)
        return {name: part.squeeze(1) if units is None else part for (name, units), part in named}


class Table(Discriminator):
    """Discriminator on a finite space: a sample is a cell, and the logits of each cell are parameters.

    Heads have shape (cells,) or (cells, units), and (copies, cells) if `copied`.
    """

    def __init__(self, heads: Mapping[str, Any], *, copied: bool = False) -> None:
        super().__init__()
        self.copied = copied
        self.logits = nn.ParameterDict({name: nn.Parameter(torch.as_tensor(value)) for name, value in heads.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        cells = (slice(None), x) if self.copied else x
        return {name: table[cells] for name, table in self.logits.items()}


def put(model: Model, **players: nn.Module) -> Model:
    """Set the networks of a model."""
    for name, network in players.items():
        model.add_module(name, network)
    return model


def cells(counts: Sequence[int]) -> Tensor:
    """Return samples of a finite space, counts[c] of cell c."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def number(value: Any) -> float:
    """Return a scalar tensor or array as a float."""
    return float(value.detach()) if isinstance(value, Tensor) else float(value)
