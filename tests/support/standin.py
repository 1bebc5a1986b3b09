"""Small substitute for the Inception network, for tests without weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gan_bench_zoo.metrics import _inception, _reference
from gan_bench_zoo.metrics._inception import WHOLE, Inception
from torch import Tensor, nn

SMALL = 32
"""Number of features. A distance of 2048 features takes seconds."""


class StandIn(nn.Module):
    """Network whose features depend on all pixels. It counts its input images, and accepts only colour."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.weight = torch.randn(3, SMALL, generator=rng)
        self.fc = nn.Linear(SMALL, 1008)
        self.shown = 0

    def forward(self, x: Tensor) -> tuple[Tensor]:
        assert x.dtype == torch.uint8 and x.shape[1] == 3
        self.shown += len(x)
        means = x.float().mean((2, 3)) / 255 + x.float().var((2, 3)) / 255**2
        return (torch.relu(means @ self.weight),)


def empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a folder for data and caches, as in a new process."""
    monkeypatch.setenv("GAN_BENCH_DATA", str(folder))
    monkeypatch.setattr(_reference, "_recent", {})


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Write a file of weights, and load the small network instead."""
    network = StandIn()
    (folder / WHOLE).write_bytes(b"stand-in")
    monkeypatch.setattr(_inception, "FEATURES", SMALL)
    monkeypatch.setattr(_inception, "_loaded", lambda *_: Inception(network, WHOLE, "0" * 64, "trunk", True))
    return network
