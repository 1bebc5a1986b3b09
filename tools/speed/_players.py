"""Players of the games of `_loops.py`: `Port` and `Plain`, their networks of stock layers, and real data from numpy."""

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
"""Function of latent size, sample shape, width and K that builds K generators."""

Trunk = Callable[[tuple[int, ...], int], tuple[nn.Module, int]]
"""Function of sample shape and width that builds a judge without heads, and returns its number of features too."""


# --- real data ------------------------------------------------------------------------------------------------


class NoiseImages(ImageDataset):
    """Random images instead of a published dataset: nothing is downloaded, and an iteration costs the same."""

    name = "noise-images"

    @dataclass(frozen=True)
    class Params:
        """Number and shape of the images."""

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
        """Return channels, height and width."""
        return (self.params.channels, self.params.size, self.params.size)

    def training(self) -> Pictures:
        """Return noise."""
        return self._made

    def testing(self) -> Pictures:
        """Return the same noise."""
        return self._made


def ring(n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw n points of ring8, (n, 2)."""
    angle = 2 * np.pi * rng.integers(8, size=n) / 8
    points = 2 * np.stack([np.sin(angle), np.cos(angle)], 1) + rng.normal(0, 0.02**0.5, (n, 2))
    return points.astype(np.float32)


def real_data(trainer: Trainer) -> Callable[[], Tensor]:
    """Return a function that draws batches like the trainer's dataset, with numpy."""
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
    """Trunk with a linear layer for each head: logits (n,) of a head with one unit, otherwise (n, units)."""

    def __init__(self, trunk: nn.Module, features: int, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict({name: nn.Linear(features, units) for name, units in heads.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return logits by head."""
        features = self.trunk(x)
        return {name: head(features).squeeze(-1) for name, head in self.heads.items()}


def points_generators(latent: int, shape: tuple[int, ...], width: int, k: int) -> list[nn.Module]:
    """Build generators of points: separate input layers before one shared body (MGAN, Table 3)."""
    body = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, shape[0]))
    return [nn.Sequential(nn.Linear(latent, width), body) for _ in range(k)]


def points_trunk(shape: tuple[int, ...], width: int) -> tuple[nn.Module, int]:
    """Build a trunk for points: one hidden layer."""
    return nn.Sequential(nn.Linear(shape[0], width), nn.LeakyReLU(0.2)), width


def digits_generators(latent: int, shape: tuple[int, ...], width: int, k: int) -> list[nn.Module]:
    """Build generators of flat images: one hidden layer, nothing shared (Barsim et al.)."""

    def one() -> nn.Module:
        hidden, pixels = nn.Linear(latent, width), nn.Linear(width, prod(shape))
        return nn.Sequential(hidden, nn.ReLU(), pixels, nn.Sigmoid(), nn.Unflatten(1, shape))

    return [one() for _ in range(k)]


def digits_trunk(shape: tuple[int, ...], width: int) -> tuple[nn.Module, int]:
    """Build a trunk for flat images: one hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), width), nn.ReLU()), width


def channels(shape: tuple[int, ...], width: int) -> list[int]:
    """Return channels of an image with sides of 4 times a power of two, then after each halving down to 4."""
    return [shape[0], *(width * 2**i for i in range((shape[1] // 4).bit_length() - 1))]


def dcgan_generators(latent: int, shape: tuple[int, ...], width: int, k: int) -> list[nn.Module]:
    """Build generators of images: separate input layers before one convolutional body (MGAN, Table 4).

    Generators run one by one, so the body normalises over the samples of one generator; MGAN's normalises over all.
    """
    *wide, last = reversed(channels(shape, width))
    body: list[nn.Module] = [nn.Unflatten(1, (wide[0], 4, 4))]
    for inputs, outputs in zip(wide, [*wide[1:], last], strict=True):
        body.append(nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1))
        body += [nn.Tanh()] if outputs == last else [nn.BatchNorm2d(outputs), nn.ReLU()]
    shared, units = nn.Sequential(*body), wide[0] * 16
    return [nn.Sequential(nn.Linear(latent, units), nn.BatchNorm1d(units), nn.ReLU(), shared) for _ in range(k)]


def dcgan_trunk(shape: tuple[int, ...], width: int) -> tuple[nn.Module, int]:
    """Build a trunk for images: strided convolutions."""
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
"""Builders of generators and trunks by the network of the protocol."""


# --- players --------------------------------------------------------------------------------------------------


class Players:
    """Generators and their judges.

    Attributes:
        fresh: whether the generators' turn draws new latents instead of those of the judges' turn.
    """

    generators: nn.Module
    judges: nn.ModuleDict
    fresh: bool

    def __init__(self, trainer: Trainer) -> None:
        self.protocol, self.device = trainer.protocol, trainer.device
        self.k, self.each = trainer.model.playing, trainer.each

    def latents(self, n: int) -> Tensor:
        """Draw latents, (n, size)."""
        size = self.protocol.latent_size
        if self.protocol.latent == "normal":
            return torch.randn(n, size, device=self.device)
        return torch.rand(n, size, device=self.device) * 2 - 1

    def fakes(self) -> Tensor:
        """Draw generated samples, (K · each, *shape), ordered by generator."""
        raise NotImplementedError


class Port(Players):
    """Players in the style of a public port: a list of stock generators, run one by one, new samples in every turn."""

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
        """Draw samples, one generator after the other."""
        each = cast(nn.ModuleList, self.generators)
        return torch.cat([generator(self.latents(self.each)) for generator in each])


class Plain(Players):
    """Players of our algorithm: one product for all input layers, one body, and samples shared by turns if allowed."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self.fresh = self.protocol.latents == "fresh"
        own = dict(trainer.model.named_children())
        self.generators = own.pop("generator")
        self.judges = nn.ModuleDict(own)

    def fakes(self) -> Tensor:
        """Draw all samples in one pass."""
        made: Tensor = self.generators(self.latents(self.k * self.each).view(self.k, self.each, -1))
        return made.flatten(0, 1)
