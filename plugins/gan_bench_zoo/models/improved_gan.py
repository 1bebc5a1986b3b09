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
GROUPS = 5  # real samples that set the initial closenesses; in the release 500 images, compared all with all


class ImprovedGAN(Model):
    """ImprovedGAN: a discriminator that compares the samples of a batch, or feature matching (Salimans et al., 2016).

    Minibatch discrimination: GAN's losses with a discriminator whose last layer reads, beside the features h_i of
    sample i, o_b(i) = sum_{j != i} exp(-||M_{i,b} - M_{j,b}||_1) + bias_b for each of B kernels, M_i = h_i T in R^{B x
    C}; j runs over the samples of its own group, all real or all generated. Feature matching: GAN's discriminator; the
    generator minimises ||E_x h(x) - E_z h(G(z))||^2 instead. h is the last hidden layer.

    The release compares the 100 samples of a batch. Here draws differ in size and are larger, and comparing all pairs
    of a draw would cost the square of its size. Each draw is therefore cut into groups of neighbours, of one size for
    real and generated samples, since the o depend on it. The rest of a draw is not judged. The sum leaves out j = i, as
    in the release; in the paper, as others quote it, it does not, a difference that bias_b absorbs. As in the release,
    T is normalised (each column has length exp(s), s learned), and s and bias_b are initialised by data: half the
    distance to the nearest neighbour is 1 on average, and o is 0, over five groups of real samples. Without that all
    pairs start alike (std 0.02). Groups of 32 and 16 kernels keep an iteration at about five times GAN's (100 of both
    are twenty times the work); each of ring8's modes has four samples in a group.

    The release trains a classifier of labelled data with K + 1 classes; here is the unsupervised game. One-sided label
    smoothing is an option. Left out: historical averaging (it needs the past of all parameters, which no loss sees) and
    virtual batch normalisation (it belongs to the network, and the mlp normalises nothing).
    """

    name = "improved-gan"
    generator: nn.Module
    discriminator: nn.Module  # a `Discriminator`, or one `InGroups`
    presets = {
        "release": Preset(
            "The authors' CIFAR-10 code with minibatch discrimination: 100 kernels, one group of 100, the saturating "
            "loss, uniform latents of size 100 (there on (0, 1)), Adam at 3e-4. Left out: labels, three generator "
            "steps for each of the discriminator, dropout, input noise, weight normalisation, its decay at the end.",
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
            "Feature matching as the paper is quoted: the squared distance of the mean features.",
            params={"technique": FEATURES},
        ),
        "feature-matching-release": Preset(
            "The authors' CIFAR-10 code with feature matching: mean absolute difference, batches of 100, uniform "
            "latents of size 100 (there on (0, 1)), Adam at 3e-4. Left out as in `release`, and that the "
            "generator matches a real draw of its own.",
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
        """The technique, and the size of its comparison."""

        technique: str = param(
            MINIBATCH,
            "A discriminator that compares samples with each other, or a generator that matches its mean features.",
            choices=(MINIBATCH, FEATURES),
        )
        group: int = param(32, "Samples that are compared with each other; no more than a draw has.", low=2)
        kernels: int = param(16, "B, how many closenesses to the others are measured of each sample.", low=1)
        kernel_size: int = param(5, "C, in how many dimensions each of them is.", low=1)
        distance: str = param(
            "squared",
            "Mean features are matched by the sum of their squared (paper) or the mean of their absolute (release) "
            "differences.",
            choices=("squared", "absolute"),
        )
        real_label: float = param(
            1.0,
            "The discriminator's target for real samples; below 1 is one-sided label smoothing (paper: 0.9).",
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
        """Refuse draws without one whole group."""
        if self.params.technique == FEATURES or self.params.group <= min(batch, fakes):
            return None
        return (
            f"group = {self.params.group} asks for more samples than a draw has ({batch} real, {fakes} generated); "
            f"lower group, or raise the smaller of them"
        )

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each; the tensor T and the layer that reads the o belong to the discriminator's player."""
        body = networks.discriminator({"source": None})
        judge: nn.Module = body
        if self.params.technique == MINIBATCH:
            sizes = self.params.kernels, self.params.kernel_size
            judge = InGroups(body, networks.dataset.shape, sizes, self.params.group, networks.dataset.draw)
        return {"discriminator": judge, "generator": networks.generators()}

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log D(x) - E_z log(1 - D(G(z))); with smoothing, the target of real samples is below 1."""
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
        """Return logits: (n,), or without the rest of a draw by groups of one size for real and generated samples."""
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
    """A discriminator that compares the samples of a group: (n, *shape) to logits of the floor(n / group) whole groups.

    Its last layer, which reads features and o side by side, is the body's own head plus a linear layer on the o.
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
        """Add the logits of each sample to those of its closeness to the others of its group."""
        x = x[: len(x) // group * group]
        close = self.closeness(self.body.features(x), group) + self.bias
        logits: Tensor = self.body(x)["source"] + self.head(close).squeeze(1)
        return logits

    def closeness(self, features: Tensor, group: int) -> Tensor:
        """Map (n, A) to (n, B): the sum over the others of exp(-||M_i - M_j||_1); i itself, at distance 0, adds 1."""
        close = torch.exp(-self.distances(features, group)).sum(3) - 1
        return close.transpose(1, 2).flatten(0, 1)

    def distances(self, features: Tensor, group: int) -> Tensor:
        """Map (n, A) to (groups, B, group, group): ||M_i - M_j||_1, one dimension after the other to save memory."""
        length = self.log_scale.exp().flatten() / torch.linalg.vector_norm(self.t.weight, dim=1)
        m = (self.t(features) * length).view(-1, group, self.size, self.kernels).permute(2, 0, 3, 1).contiguous()
        apart: Tensor = reduce(torch.add, [(row[..., None] - row[..., None, :]).abs() for row in m])
        return apart

    def initialise(self, init: Initialisation, rng: torch.Generator) -> None:
        """Initialise layers by the protocol, then scale and bias by real samples."""
        for child in self.children():
            initialise(child, init, rng)
        features = self.body.features(self._draw(GROUPS * self.group, rng).x)
        del self._draw  # a copy of this module would copy the data as well
        nearest = self.distances(features, self.group).kthvalue(2, 3).values  # the first is the sample itself
        self.log_scale.sub_((nearest.mean((0, 2)) / 2).clamp_min(1e-12).log())
        self.bias.copy_(-self.closeness(features, self.group).mean(0))
