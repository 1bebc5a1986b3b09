"""What samples are compared with: features of a dataset's training images, computed once a machine and kept.

    FOLDER/KEY.npz     count, mean, covariance: of all training images, in float64
                       features: of up to 10,000 of them, float32

KEY says all that the content depends on: a file never has to be told apart from a stale one. A damaged file is
computed anew. Nothing here imports torch, or knows which network the features are of.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.datastore import exclusive, whole
from gan_bench.images import Pictures

VERSION = 1
"""Raised when the choice of images changes."""

CHOSEN = 10_000
"""Training images whose features are kept."""

PART = 256
"""Images a step; a multiple of every batch."""

WORTH_A_WORD = 20.0  # seconds
Array = NDArray[np.float64]
Arrays = Mapping[str, Any]
T = TypeVar("T")
_recent: dict[Path, tuple[Path, Any]] = {}  # of each folder, the last file that was used: a run has one dataset


@dataclass(frozen=True)
class Moments:
    """How many vectors there are, their mean (d,) and their unbiased covariance (d, d), in float64."""

    count: int
    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Reference:
    """Of training images: the moments of all, and the features (m, d) float32 of m = min(10,000, all) of them."""

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


def chosen(count: int) -> NDArray[np.int64]:
    """The positions of the training images whose features are kept, in order."""
    if count <= CHOSEN:
        return np.arange(count)
    return np.sort(np.random.default_rng(VERSION).choice(count, CHOSEN, replace=False))


def key_of(*parts: str) -> str:
    """A name for a file whose content depends on these."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def reference_at(
    path: Path,
    pictures: Pictures,
    features: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    progress: Progress,
) -> Reference:
    """The reference in a file, else computed and kept there.

    Args:
        features: of images (n, C, H, W), at most `PART` of them, the features (n, d).

    Raises:
        DataError: it cannot be written.
    """
    return kept(path, _reference, lambda: _computed(pictures, features, progress))


def _reference(arrays: Arrays) -> Reference:
    found = Moments(int(arrays["count"]), arrays["mean"], arrays["covariance"])
    features = arrays["features"]
    d = features.shape[1]
    if len(features) != len(chosen(found.count)) or found.mean.shape != (d,) or found.covariance.shape != (d, d):
        raise ValueError("arrays that are not of one reference")
    return Reference(found, features)


def _computed(
    pictures: Pictures, features: Callable[[NDArray[np.uint8]], NDArray[np.float32]], progress: Progress
) -> Arrays:
    some, keep = [], chosen(len(pictures))

    def parts() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(pictures), PART):
            found = features(np.array(pictures.x[start : start + PART]))
            some.append(found[keep[(start <= keep) & (keep < start + PART)] - start])
            progress.at(start + len(found))
            yield found

    return {**asdict(moments(parts())), "features": np.concatenate(some)}


def kept(path: Path, read: Callable[[Arrays], T], compute: Callable[[], Arrays]) -> T:
    """What arrays in a file say; where there is none, or it is damaged, they are computed and written.

    No two processes compute the same file. The last one of each folder stays in memory.

    Args:
        path: a `.npz` in a folder of files of one kind.
        read: makes of arrays by name what they say, and raises where they do not fit together.

    Raises:
        DataError: the file cannot be written.
    """
    if path.parent not in _recent or _recent[path.parent][0] != path:
        held = stored(path, read)
        _recent[path.parent] = path, (_made(path, read, compute) if held is None else held)
    found: T = _recent[path.parent][1]
    return found


def stored(path: Path, read: Callable[[Arrays], T]) -> T | None:
    """What arrays in a file say; None where there is none, or it is damaged."""
    # over a damaged file numpy raises many things, and each means the same
    with suppress(Exception), path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return read({name: file[name] for name in file.files})
    return None


def _made(path: Path, read: Callable[[Arrays], T], compute: Callable[[], Arrays]) -> T:
    with exclusive(path):
        found = stored(path, read)
        if found is None:
            arrays = compute()
            with whole(path) as file:
                np.savez(file, **arrays)
            found = read(arrays)
        return found


class Progress:
    """Says how long it will take, once that is known, and then each tenth."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]) -> None:
        self.what, self.total, self.say = what, total, say
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
