"""Improved Techniques for Training GANs (Salimans et al.; NeurIPS 2016, arXiv 1606.03498)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Model, Preset, Real
from gan_bench.contracts.network import Discriminator, Initialisation, Networks, initialise
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._features import count_features

MINIBATCH, FEATURES = "minibatch-discrimination", "feature-matching"
GROUPS = 5  # of real samples, for the initialisation by data; the release compares 500 images, all with all


class ImprovedGAN(Model):
    """ImprovedGAN: a discriminator that compares the samples of a batch, or feature matching (Salimans et al., 2016).

    Minibatch discrimination: GAN's losses, and a discriminator whose last layer has o_b(i) as inputs beside the
    features h_i of sample i. For each of B kernels, o_b(i) = sum_{j != i} exp(-||M_{i,b} - M_{j,b}||_1) + bias_b, with
    M_i = h_i T in R^{B x C}; j runs over the other samples of the group, all real or all generated. Feature matching:
    GAN's discriminator, and a generator that minimises ||E_x h(x) - E_z h(G(z))||^2 instead. h is the last hidden
    layer.

    The release compares the 100 samples of a batch. Here draws differ in size and are larger, and the cost of comparing
    all pairs of a draw would grow with the square of its size. Each draw is therefore cut into groups of neighbours, of
    one size for real and generated samples, because o depends on it. The rest of a draw is not used. The sum leaves out
    j = i, as in the release. The paper, as others quote it, includes it; bias_b absorbs the difference. As in the
    release, T is normalised (each column has length exp(s), s learned), and s and bias_b are initialised from data,
    here five groups of real samples: half the distance to the nearest neighbour is 1 on average, and o is 0. Without
    this all pairs are alike at the start, because weights have a deviation of 0.02. Groups of 32 with 16 kernels limit
    the cost of an iteration to about five times GAN's (twenty times with 100 of both). Such a group has four samples of
    each of ring8's modes on average.

    The release trains a classifier of labelled data with K + 1 classes; this is the unsupervised form. One-sided label
    smoothing is an option. Left out: historical averaging, which needs past values of all parameters, to which a loss
    has no access; and virtual batch normalisation, which belongs to the network (the mlp has no normalisation).
    """

    name = "improved-gan"
    generator: nn.Module
    discriminator: nn.Module  # a `Discriminator`, or one `InGroups`
    presets = {
        "release": Preset(
            "The authors' CIFAR-10 code with minibatch discrimination: 100 kernels, one group of 100, the "
            "saturating loss, uniform latents of size 100 (in the code on (0, 1)), Adam at 3e-4. Left out: labels, "
            "three generator steps for each discriminator step, dropout, input noise, weight normalisation, the "
            "decay of the learning rate at the end.",
            params={"kernels": 100, "group": 100, "saturating": True},
            protocol={
                "batch": 100,
                "fakes": 100,
                "latents": "fresh",
                "latent": "uniform",
                "latent_size": 100,
                "learning_rate": 3e-4,
                "betas": (0.5, 0.999),
            },
        ),
        "feature-matching": Preset(
            "Feature matching as others quote the paper: the squared distance of the mean features.",
            params={"technique": FEATURES},
        ),
        "feature-matching-release": Preset(
            "The authors' CIFAR-10 code with feature matching: mean absolute difference, batches of 100, uniform "
            "latents of size 100 (in the code on (0, 1)), Adam at 3e-4. Left out: what `release` leaves out, and a "
            "separate real draw for the generator's turn.",
            params={"technique": FEATURES, "distance": "absolute"},
            protocol={
                "batch": 100,
                "fakes": 100,
                "latents": "fresh",
                "latent": "uniform",
                "latent_size": 100,
                "learning_rate": 3e-4,
                "betas": (0.5, 0.999),
            },
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Technique, and size of the comparison."""

        technique: str = param(
            MINIBATCH,
            "Compare samples with each other in the discriminator, or match mean features in the generator's loss.",
            choices=(MINIBATCH, FEATURES),
        )
        group: int = param(
            32, "Number of samples that are compared with each other; at most the size of a draw.", low=2
        )
        kernels: int = param(16, "B, the number of comparisons of each sample with the others.", low=1)
        kernel_size: int = param(5, "C, the number of dimensions of each comparison.", low=1)
        distance: str = param(
            "squared",
            "Distance of mean features: sum of squared differences (paper), or mean of absolute ones (release).",
            choices=("squared", "absolute"),
        )
        real_label: float = param(
            1.0,
            "Target of the discriminator for real samples; below 1 it is one-sided label smoothing (paper: 0.9).",
            above=0,
            high=1,
        )
        saturating: bool = param(False, "Minimise log(1 - D(G(z))) instead of -log D(G(z)).")

        def __post_init__(self) -> None:
            if self.technique == FEATURES and self.saturating:
                raise ValueError(f"saturating is about log D, which {FEATURES} has none of; leave it out")
            if self.technique == MINIBATCH and self.distance != "squared":
                raise ValueError(f"distance is about mean features; with {MINIBATCH} leave it out")

    params: Params

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Footnote on the data-dependent initialisation."""
        if self.params.technique == FEATURES:
            return ()
        return (f"scale and bias of its minibatch discrimination start by {GROUPS * self.params.group} real samples",)

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        """Refuse draws that are smaller than one group."""
        if self.params.technique == FEATURES or self.params.group <= min(batch, fakes):
            return None
        return (
            f"group = {self.params.group} asks for more samples than a draw has ({batch} real, {fakes} generated); "
            f"lower group, or raise the smaller of them"
        )

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each; the tensor T and the layer on o belong to the discriminator's player."""
        body = networks.discriminator({"source": None})
        judge: nn.Module = body
        if self.params.technique == MINIBATCH:
            sizes = self.params.kernels, self.params.kernel_size
            judge = InGroups(body, networks.dataset.shape, sizes, self.params.group, networks.dataset.draw)
        return {"discriminator": judge, "generator": networks.generators()}

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log D(x) - E_z log(1 - D(G(z))); with label smoothing the target of real samples is below 1."""
        on_real, on_fake = self._judge(real.x, real, fake), self._judge(fake.x, real, fake)
        alpha = self.params.real_label
        return alpha * bce_real(on_real) + (1 - alpha) * bce_fake(on_real) + bce_fake(on_fake)

    def generator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_z log D(G(z)), or E_z log(1 - D(G(z))) if `saturating`; or the distance of the mean features."""
        if self.params.technique == FEATURES:
            return self._mismatch(real, fake)
        logits = self._judge(fake.x, real, fake)
        return -bce_fake(logits) if self.params.saturating else bce_real(logits)

    def _judge(self, x: Tensor, real: Real, fake: Fake) -> Tensor:
        """Return logits (n,); with groups, of one size for real and generated samples, the rest is left out."""
        if self.params.technique == FEATURES:
            logits: Tensor = self.discriminator(x)["source"]
            return logits
        logits = self.discriminator(x, min(self.params.group, len(real.x), len(fake.x)))
        return logits

    def _mismatch(self, real: Real, fake: Fake) -> Tensor:
        """||E_x h(x) - E_z h(G(z))||^2, or the mean over features of their absolute difference."""
        features = cast(Discriminator, self.discriminator).features
        difference = features(real.x).mean(0) - features(fake.x).mean(0)
        return difference.square().sum() if self.params.distance == "squared" else difference.abs().mean()


class InGroups(nn.Module):
    """Discriminator that compares the samples of a group: (n, *shape) to logits of floor(n / group) whole groups.

    Its last layer, on features and o, is the body's head plus a linear layer on o.
    """

    def __init__(
        self,
        body: Discriminator,
        shape: tuple[int, ...],
        sizes: tuple[int, int],
        group: int,
        draw: Callable[[int, torch.Generator], Real],
    ) -> None:
        super().__init__()
        self.kernels, self.size = sizes
        self.group, self._draw = group, draw  # data of the initialisation
        self.body = body
        self.t = nn.Linear(count_features(body, shape), self.size * self.kernels, bias=False)
        self.log_scale = nn.Parameter(torch.zeros(self.size, self.kernels))
        self.bias = nn.Parameter(torch.full((self.kernels,), -1.0))
        self.head = nn.Linear(self.kernels, 1, bias=False)

    def forward(self, x: Tensor, group: int) -> Tensor:
        """Return logits: those of the body plus those of o, for each sample of a whole group."""
        x = x[: len(x) // group * group]
        close = self.closeness(self.body.features(x), group) + self.bias
        logits: Tensor = self.body(x)["source"] + self.head(close).squeeze(1)
        return logits

    def closeness(self, features: Tensor, group: int) -> Tensor:
        """Map (n, A) to (n, B): the sum over j != i of exp(-||M_i - M_j||_1), without the term of i itself, 1."""
        close = torch.exp(-self.distances(features, group)).sum(3) - 1
        return close.transpose(1, 2).flatten(0, 1)

    def distances(self, features: Tensor, group: int) -> Tensor:
        """Map (n, A) to (groups, B, group, group): ||M_i - M_j||_1, added up by dimension to save memory."""
        length = self.log_scale.exp().flatten() / torch.linalg.vector_norm(self.t.weight, dim=1)
        m = (self.t(features) * length).view(-1, group, self.size, self.kernels).permute(2, 0, 3, 1).contiguous()
        apart: Tensor = reduce(torch.add, [(row[..., None] - row[..., None, :]).abs() for row in m])
        return apart

    def initialise(self, init: Initialisation, rng: torch.Generator) -> None:
        """Initialise layers by the protocol, then scale and bias from real samples."""
        for child in self.children():
            initialise(child, init, rng)
        features = self.body.features(self._draw(GROUPS * self.group, rng).x)
        del self._draw  # a copy of this module would copy the data as well
        nearest = (
            self.distances(features, self.group).kthvalue(2, 3).values
        )  # the smallest distance, 0, is to the sample itself
        self.log_scale.sub_((nearest.mean((0, 2)) / 2).clamp_min(1e-12).log())
        self.bias.copy_(-self.closeness(features, self.group).mean(0))
