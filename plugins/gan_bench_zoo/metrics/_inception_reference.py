"""What distances compare with: Inception features of the training images of a dataset, computed once a machine.

    cache_folder("inception")/KEY.npz     count, mean, covariance: of all training images, in float64
                                          features: of up to 10,000 of them, float32

KEY depends on the images, the network's layers and `VERSION`: a file never has to be told apart from a stale one, and
whoever has the same images and weights can use it. A damaged file is computed anew.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gan_bench.dataset import Dataset
from gan_bench.datastore import cache_folder, exclusive, whole
from gan_bench.images import Pictures, is_images
from gan_bench_zoo.metrics._inception import FEATURES, Inception, InceptionMetric, inception

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
"""Raised when the features or the choice of images change."""

CHOSEN = 10_000
"""Training images whose features are kept."""

PART = 256
"""Images a step; a multiple of every batch."""

WORTH_A_WORD = 20.0  # seconds
Array = NDArray[np.float64]
_recent: dict[Path, Reference] = {}  # the last that was used: a run has one dataset


@dataclass(frozen=True)
class Moments:
    """How many vectors there are, their mean (d,) and their unbiased covariance (d, d), in float64."""

    count: int
    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Reference:
    """Of training images: the moments of all, and the features (m, 2048) float32 of m = min(10,000, all) of them."""

    moments: Moments
    features: NDArray[np.float32]


def moments(parts: Iterable[NDArray[np.float32]]) -> Moments:
    """The moments of vectors that come in parts (n, d), at least two in all, without holding them together.

    Sums are taken about the first vector, which keeps them exact where all are equal.
    """
    count, total, products, origin = 0, np.zeros(1), np.zeros((1, 1)), None
    for part in parts:
        origin = part[0].astype(np.float64) if origin is None else origin
        about = part - origin
        count, total, products = count + len(about), total + about.sum(axis=0), products + about.T @ about
    assert origin is not None and count > 1
    covariance = (products - np.outer(total, total) / count) / (count - 1)
    return Moments(count, origin + total / count, covariance)


def reference(dataset: Dataset, device: str, say: Callable[[str], None] = lambda _: None) -> Reference:
    """The reference of a dataset's training images: as kept, else computed on `device` and kept.

    Raises:
        DataError: weights or images are missing or damaged, or the reference cannot be written.
    """
    assert is_images(dataset)  # others are refused
    network, pictures = inception(), dataset.training()
    path = cache_folder("inception") / f"{_key(network, pictures)}.npz"
    if path not in _recent:
        found = _stored(path) or _made(path, network, pictures, device, _Progress(dataset.name, len(pictures), say))
        _recent.clear()
        _recent[path] = found
    return _recent[path]


def reference_features(dataset: Dataset, device: str = "cpu") -> NDArray[np.float32]:
    """Pool3 features (m, 2048) of m = min(10,000, all) training images, always the same ones; see `reference`."""
    return reference(dataset, device).features


def chosen(count: int) -> NDArray[np.int64]:
    """The positions of the training images whose features are kept, in order."""
    if count <= CHOSEN:
        return np.arange(count)
    return np.sort(np.random.default_rng(VERSION).choice(count, CHOSEN, replace=False))


def _key(network: Inception, pictures: Pictures) -> str:
    parts = (str(VERSION), network.trunk, pictures.fingerprint, str(CHOSEN))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _stored(path: Path) -> Reference | None:
    """What a file holds; None where there is none, or it is damaged."""
    with suppress(Exception):  # over a damaged file numpy raises many things, and each means the same
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = Moments(int(file["count"]), file["mean"], file["covariance"])
            features = file["features"]
        fits = found.mean.shape == (FEATURES,) and found.covariance.shape == (FEATURES, FEATURES)
        if fits and features.shape == (len(chosen(found.count)), FEATURES):
            return Reference(found, features)
    return None


def _made(path: Path, network: Inception, pictures: Pictures, device: str, progress: _Progress) -> Reference:
    """Compute a reference, unless another process does meanwhile, and keep it."""
    with exclusive(path):
        found = _stored(path)
        if found is None:
            found = _computed(network, pictures, device, progress)
            m = found.moments
            with whole(path) as file:
                np.savez(file, count=m.count, mean=m.mean, covariance=m.covariance, features=found.features)
        return found


def _computed(network: Inception, pictures: Pictures, device: str, progress: _Progress) -> Reference:
    kept, keep = [], chosen(len(pictures))

    def parts() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(pictures), PART):
            found = network.features(_on(device, pictures.x[start : start + PART])).numpy()
            kept.append(found[keep[(start <= keep) & (keep < start + PART)] - start])
            progress.at(start + len(found))
            yield found

    return Reference(moments(parts()), np.concatenate(kept))


def _on(device: str, x: NDArray[np.uint8]) -> Tensor:
    import torch

    return torch.from_numpy(np.array(x)).to(device)


class _Progress:
    """Says how long it will take, once that is known, and then each tenth."""

    def __init__(self, name: str, total: int, say: Callable[[str], None]) -> None:
        self.what = f"Inception features of {total:,} training images of {name}"
        self.total, self.say = total, say
        self.began, self.tenths = time.monotonic(), -1

    def at(self, done: int) -> None:
        """Say where that is news."""
        left = (time.monotonic() - self.began) * (self.total - done) / done
        if self.tenths < 0:
            self.tenths = 10 if left < WORTH_A_WORD else 0
            if self.tenths == 0:
                self.say(f"{self.what}: about {duration(left)}, once for this machine")
        elif 10 * done // self.total > self.tenths:
            self.tenths = 10 * done // self.total
            self.say(f"{self.what}: {10 * self.tenths} %, {duration(left)} left")


def duration(seconds: float) -> str:
    """``3 min``, ``40 s``."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


class ReferenceMetric(InceptionMetric):
    """A score that compares with the training images."""

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Weights, and the reference."""
        super().prepare(dataset, device, say)
        reference(dataset, device, say)

    def note(self, dataset: Dataset) -> str:
        """Which weights, and how many images they are compared with."""
        told = super().note(dataset)
        if not told or not is_images(dataset):
            return ""
        return f"{told}; against {dataset.training_size:,} training images"
