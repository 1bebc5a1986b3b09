"""Who plays the games of `_loops.py`: `Port` and `Plain`, their networks of stock layers, and real data from numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.contracts.images import ImageDataset, Pictures, is_images
from gan_bench.contracts.parameters import param
from gan_bench.training.trainer import Trainer

Generators = Callable[[int, tuple[int, ...], int, int], list[nn.Module]]
"""The size of latents, the shape of samples, a width, K: so many generators."""

Trunk = Callable[[tuple[int, ...], int], tuple[nn.Module, int]]
"""The shape of samples and a width: what judges are before their heads, and how many features they have."""


# --- real data ------------------------------------------------------------------------------------------------


class NoiseImages(ImageDataset):
    """Random images in place of a published set, so that nothing has to be downloaded: an iteration costs the same."""

    name = "noise-images"

    @dataclass(frozen=True)
    class Params:
        """Their number and shape."""

        count: int = param(10_000, "Images for training.", low=1)
        channels: int = param(3, "Channels.", low=1)
        size: int = param(32, "Height and width.", low=1)
        values: str = param("signed", "Pixels from -1 to 1 (signed) or from 0 to 1 (unit).", choices=("signed", "unit"))

    def __init__(self, params: Any = None) -> None:
        super().__init__(params or self.Params())
        shape = (self.params.count, *self.shape)
        self._made = Pictures(np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8))

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height, width."""
        return (self.params.channels, self.params.size, self.params.size)

    def training(self) -> Pictures:
        """Noise."""
        return self._made

    def testing(self) -> Pictures:
        """The same."""
        return self._made


def ring(n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """N points of ring8, (n, 2)."""
    angle = 2 * np.pi * rng.integers(8, size=n) / 8
    points = 2 * np.stack([np.sin(angle), np.cos(angle)], 1) + rng.normal(0, 0.02**0.5, (n, 2))
    return points.astype(np.float32)


def real_data(trainer: Trainer) -> Callable[[], Tensor]:
    """Batches of a trainer's kind of data, the numpy way."""
    rng, batch, dataset = np.random.default_rng(0), trainer.protocol.batch, trainer.dataset

    def points() -> Tensor:
        return torch.from_numpy(ring(batch, rng)).to(trainer.device)

    if not is_images(dataset):
        return points
    pixels, (low, high) = dataset.training().x, dataset.bounds

    def images() -> Tensor:
        chosen = pixels[rng.integers(len(pixels), size=batch)]
        return torch.from_numpy(chosen.astype(np.float32) * ((high - low) / 255) + low).to(trainer.device)

    return images


# --- networks of stock layers ---------------------------------------------------------------------------------


class Judge(nn.Module):
    """A trunk with a linear layer for each head: logits (n,) of heads of one unit, else (n, units)."""

    def __init__(self, trunk: nn.Module, features: int, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict({name: nn.Linear(features, units) for name, units in heads.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits by head."""
        features = self.trunk(x)
        return {name: head(features).squeeze(-1) for name, head in self.heads.items()}


def points_generators(latent: int, shape: tuple[int, ...], width: int, k: int) -> list[nn.Module]:
    """Of points: input layers of their own before one body (MGAN, Table 3)."""
    body = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, shape[0]))
    return [nn.Sequential(nn.Linear(latent, width), body) for _ in range(k)]


def points_trunk(shape: tuple[int, ...], width: int) -> tuple[nn.Module, int]:
    """Of points: one hidden layer."""
    return nn.Sequential(nn.Linear(shape[0], width), nn.LeakyReLU(0.2)), width


def digits_generators(latent: int, shape: tuple[int, ...], width: int, k: int) -> list[nn.Module]:
    """Of flat images: one hidden layer, nothing shared (Barsim et al.)."""

    def one() -> nn.Module:
        hidden, pixels = nn.Linear(latent, width), nn.Linear(width, prod(shape))
        return nn.Sequential(hidden, nn.ReLU(), pixels, nn.Sigmoid(), nn.Unflatten(1, shape))

    return [one() for _ in range(k)]


def digits_trunk(shape: tuple[int, ...], width: int) -> tuple[nn.Module, int]:
    """Of flat images: one hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), width), nn.ReLU()), width


def channels(shape: tuple[int, ...], width: int) -> list[int]:
    """Of an image whose sides are 4 times a power of two, then after each halving down to 4."""
    return [shape[0], *(width * 2**i for i in range((shape[1] // 4).bit_length() - 1))]


def dcgan_generators(latent: int, shape: tuple[int, ...], width: int, k: int) -> list[nn.Module]:
    """Of images: input layers of their own before one convolutional body (MGAN, Table 4).

    Carried out one by one, the body normalises over the samples of each generator, where MGAN's normalises over all.
    """
    *wide, last = reversed(channels(shape, width))
    body: list[nn.Module] = [nn.Unflatten(1, (wide[0], 4, 4))]
    for inputs, outputs in zip(wide, [*wide[1:], last], strict=True):
        body.append(nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1))
        body += [nn.Tanh()] if outputs == last else [nn.BatchNorm2d(outputs), nn.ReLU()]
    shared, units = nn.Sequential(*body), wide[0] * 16
    return [nn.Sequential(nn.Linear(latent, units), nn.BatchNorm1d(units), nn.ReLU(), shared) for _ in range(k)]


def dcgan_trunk(shape: tuple[int, ...], width: int) -> tuple[nn.Module, int]:
    """Of images: strided convolutions."""
    found = channels(shape, width)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(found):
        layers += [nn.Conv2d(inputs, outputs, 5, 2, 2), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten()), found[-1] * 16


STOCK: Mapping[str, tuple[Generators, Trunk]] = {
    "mlp": (points_generators, points_trunk),
    "mlp-image": (digits_generators, digits_trunk),
    "dcgan": (dcgan_generators, dcgan_trunk),
}
"""By the network of the protocol."""


# --- who plays ------------------------------------------------------------------------------------------------


class Players:
    """Generators and those who judge them.

    Attributes:
        fresh: whether the generators' turn sees samples of its own, from other latents than the judges' turn.
    """

    generators: nn.Module
    judges: nn.ModuleDict
    fresh: bool

    def __init__(self, trainer: Trainer) -> None:
        self.protocol, self.device = trainer.protocol, trainer.device
        self.k, self.each = trainer.model.playing, trainer.each

    def latents(self, n: int) -> Tensor:
        """(n, size)."""
        size = self.protocol.latent_size
        if self.protocol.latent == "normal":
            return torch.randn(n, size, device=self.device)
        return torch.rand(n, size, device=self.device) * 2 - 1

    def fakes(self) -> Tensor:
        """(K · each, *shape), generator by generator."""
        raise NotImplementedError


class Port(Players):
    """In the style of a public port: a list of generators of stock layers, one by one, afresh in every turn."""

    fresh = True

    def __init__(self, trainer: Trainer, heads: Mapping[str, Mapping[str, int]]) -> None:
        super().__init__(trainer)
        generators, trunk = STOCK[self.protocol.network]
        params, shape = self.protocol.network_params, trainer.dataset.shape
        width = params.get("hidden") or params["width"]
        self.generators = nn.ModuleList(generators(self.protocol.latent_size, shape, width, self.k)).to(self.device)
        judges = {name: Judge(*trunk(shape, width), units) for name, units in heads.items()}
        self.judges = nn.ModuleDict(judges).to(self.device)

    def fakes(self) -> Tensor:
        """Each generator's samples."""
        each = cast(nn.ModuleList, self.generators)
        return torch.cat([generator(self.latents(self.each)) for generator in each])


class Plain(Players):
    """Our algorithm: input layers as one product, one body for all; both turns see the same samples where they may."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self.fresh = self.protocol.latents == "fresh"
        own = dict(trainer.model.named_children())
        self.generators = own.pop("generator")
        self.judges = nn.ModuleDict(own)

    def fakes(self) -> Tensor:
        """All samples in one pass."""
        made: Tensor = self.generators(self.latents(self.k * self.each).view(self.k, self.each, -1))
        return made.flatten(0, 1)
