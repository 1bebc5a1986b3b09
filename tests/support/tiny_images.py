"""Small image models for tests: 8 × 8 images with classes by brightness, and a network for any shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from gan_bench_zoo.networks.mlp import MLP, MLPDiscriminator
from torch import Tensor

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Discriminator, Generators, Heads, Sharing
from gan_bench.contracts.parameters import param
from gan_bench.errors import DataError
from gan_bench.training.build import build
from gan_bench.training.trainer import Trainer
from tests.support.tiny import CPU, protocol

LEVELS = (40, 120, 200)
SIZE = 8


class Greys(ImageDataset):
    """Grey squares in three classes, dark, middle and bright, with a little noise."""

    name = "greys"

    @dataclass(frozen=True)
    class Params:
        """Size of the set, channels and bounds."""

        count: int = param(60, "Images for training; half as many are held out.", low=3)
        channels: int = param(1, "Channels.", low=1)
        values: str = param("signed", "Bounds.", choices=("signed", "unit"))

    def __init__(self, params: Any = None) -> None:
        super().__init__(params or self.Params())
        self._made = [self._pictures(n, seed) for seed, n in enumerate((self.params.count, self.params.count // 2))]

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels × 8 × 8."""
        return (self.params.channels, SIZE, SIZE)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by brightness."""
        return ("dark", "middle", "bright")

    def training(self) -> Pictures:
        return self._made[0]

    def testing(self) -> Pictures:
        return self._made[1]

    def _pictures(self, n: int, seed: int) -> Pictures:
        rng = np.random.default_rng(seed)
        label = np.arange(n) % len(LEVELS)
        noise = rng.integers(-9, 10, size=(n, *self.shape))
        return Pictures((np.array(LEVELS)[label][:, None, None, None] + noise).astype(np.uint8), label)


class Absent(Greys):
    """Greys whose files are missing, and damaged in preparation."""

    name = "absent"

    def missing(self) -> str | None:
        return "fetch it"

    def prepare(self, log: Callable[[str], None]) -> None:
        raise DataError("damaged")


class Flat(MLP):
    """The mlp on flattened images."""

    name = "flat"

    def refuses(self, dataset: Any) -> str | None:
        return None

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        return _Unflattened(super().generators(latent_size, (prod(shape),), count, shared), shape)

    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        return _Flattened(prod(shape), self.params.hidden, self.params.slope, heads, copies)


class _Unflattened(Generators):
    def __init__(self, body: Generators, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.shape = body, shape

    def forward(self, z: Tensor) -> Tensor:
        made: Tensor = self.body(z)
        return made.view(*made.shape[:2], *self.shape)


class _Flattened(MLPDiscriminator):
    def features(self, x: Tensor) -> Tensor:
        return super().features(x.flatten(-3) if x.dim() >= 4 else x)


def image_trainer(model: Model, dataset: ImageDataset | None = None, *, seed: int = 0, **changes: Any) -> Trainer:
    """Return a trainer at iteration 0 of a model on grey squares."""
    dataset, settings = dataset or Greys(), protocol(**changes)
    build(model, Flat(MLP.Params(hidden=8)), dataset, settings, seed, CPU)
    return Trainer(model, dataset, settings, seed, CPU)


def rng(seed: int = 0) -> torch.Generator:
    """Return a random generator for one draw."""
    return torch.Generator().manual_seed(seed)
