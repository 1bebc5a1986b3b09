"""Reference features of a dataset's training images, computed once per machine and kept.

    FOLDER/KEY.npz          count, mean, covariance: of all training images, in float64
                            features: of up to 10,000 of them, float32
           KEY.unfinished   the sums over the images so far; only while it is computed

KEY depends on everything that determines the content, so a file is never stale. A damaged file (its parts have
checksums) is computed again. An interrupted computation resumes from the last copy, at most half a minute old, and ends
with the same bits. Nothing here imports torch or depends on the network of the features.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.images import Pictures
from gan_bench.data.downloads import exclusive, whole
from gan_bench.errors import DataError

VERSION = 1
"""Raised when the choice of images changes."""

CHOSEN = 10_000
"""Training images whose features are kept."""

PART = 256
"""Images a step; a multiple of every batch."""

WORTH_A_WORD = 20.0  # seconds
KEPT_EVERY = 30.0  # seconds between two copies of the computation so far: 100 MB each, as a rule
Array = NDArray[np.float64]
Arrays = Mapping[str, Any]
T = TypeVar("T")
_recent: dict[Path, tuple[Path, Any]] = {}  # the last file used of each folder: a run has one dataset


@dataclass(frozen=True)
class Moments:
    """Number of vectors, their mean (d,) and their unbiased covariance (d, d), in float64."""

    count: int
    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Reference:
    """Reference of training images: moments of all, and features (m, d) float32 of m = min(10,000, all) of them."""

    moments: Moments
    features: NDArray[np.float32]


@dataclass
class Sums:
    """Sums for moments, taken about the first vector: exact if all vectors are equal.

    origin, total: (d,) float64; products: (d, d) float64.
    """

    count: int = 0
    origin: Array = field(default_factory=lambda: np.zeros(1))
    total: Array = field(default_factory=lambda: np.zeros(1))
    products: Array = field(default_factory=lambda: np.zeros((1, 1)))

    def add(self, part: NDArray[np.float32]) -> None:
        """Add vectors (n, d)."""
        self.origin = self.origin if self.count else part[0].astype(np.float64)
        about = part - self.origin
        self.count += len(about)
        self.total = self.total + about.sum(axis=0)
        self.products = self.products + about.T @ about

    def moments(self) -> Moments:
        """Return the moments of two vectors or more."""
        assert self.count > 1
        covariance = (self.products - np.outer(self.total, self.total) / self.count) / (self.count - 1)
        return Moments(self.count, self.origin + self.total / self.count, covariance)


def moments(parts: Iterable[NDArray[np.float32]]) -> Moments:
    """Return the moments of vectors that come in parts (n, d), at least two in all, without holding them together."""
    sums = Sums()
    for part in parts:
        sums.add(part)
    return sums.moments()


def chosen(count: int) -> NDArray[np.int64]:
    """Return the positions of the training images whose features are kept, in order."""
    if count <= CHOSEN:
        return np.arange(count)
    return np.sort(np.random.default_rng(VERSION).choice(count, CHOSEN, replace=False))


def key_of(*parts: str) -> str:
    """Return the name of a file whose content depends on these values."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def reference_at(
    path: Path,
    pictures: Pictures,
    features: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    progress: Progress,
) -> Reference:
    """Return the reference in a file, or compute it and keep it there; an interrupted computation is resumed.

    Args:
        features: of images (n, C, H, W), at most `PART` of them, the features (n, d).

    Raises:
        DataError: it cannot be written.
    """
    return kept(path, _reference, lambda: _computed(path, pictures, features, progress), progress.say)


def _reference(arrays: Arrays) -> Reference:
    found = Moments(int(arrays["count"]), arrays["mean"], arrays["covariance"])
    features = arrays["features"]
    d = features.shape[1]
    if len(features) != len(chosen(found.count)) or found.mean.shape != (d,) or found.covariance.shape != (d, d):
        raise ValueError("arrays that are not of one reference")
    return Reference(found, features)


def _computed(
    path: Path,
    pictures: Pictures,
    features: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    progress: Progress,
) -> Arrays:
    keep = chosen(len(pictures))
    sums, some = stored(unfinished(path), lambda arrays: _begun(arrays, keep)) or (Sums(), [])
    if sums.count:
        progress.go_on(sums.count)
    kept_when = progress.began
    for start in range(sums.count, len(pictures), PART):
        found = features(np.array(pictures.x[start : start + PART]))
        some.append(found[keep[(start <= keep) & (keep < start + PART)] - start])
        sums.add(found)
        progress.at(sums.count)
        if progress.now - kept_when >= KEPT_EVERY and sums.count < len(pictures):
            kept_when, some = progress.now, [np.concatenate(some)]
            _keep(unfinished(path), {**asdict(sums), "features": some[0]})
    return {**asdict(sums.moments()), "features": np.concatenate(some)}


def unfinished(path: Path) -> Path:
    """Return the path of a file's unfinished computation; it is removed once the file is complete."""
    return path.with_suffix(".unfinished")


def _begun(arrays: Arrays, keep: NDArray[np.int64]) -> tuple[Sums, list[NDArray[np.float32]]]:
    """Read an unfinished file: the sums over the first images, and those of their features that are kept."""
    sums = Sums(int(arrays["count"]), arrays["origin"], arrays["total"], arrays["products"])
    some, d = arrays["features"], len(sums.origin)
    fits = sums.total.shape == (d,) and sums.products.shape == (d, d) and sums.count % PART == 0
    if not fits or some.shape != (int((keep < sums.count).sum()), d):
        raise ValueError("sums that are not of one reference")
    return sums, [some]


def _keep(path: Path, arrays: Arrays) -> None:
    """Keep the computation so far; without space it is not kept, since the result does not depend on it."""
    with suppress(DataError), whole(path) as file:
        np.savez(file, **arrays)


def kept(
    path: Path,
    read: Callable[[Arrays], T],
    compute: Callable[[], Arrays],
    say: Callable[[str], None],
) -> T:
    """Read the arrays of a file; if it is missing or damaged, compute and write them.

    No two processes compute the same file. The last one of each folder stays in memory.

    Args:
        path: a `.npz` in a folder of files of one kind.
        read: converts arrays by name, and raises if they do not fit together.
        compute: computes the arrays; its `unfinished` file is removed once all is written.
        say: called if another process is waited for.

    Raises:
        DataError: the file cannot be written.
    """
    if path.parent not in _recent or _recent[path.parent][0] != path:
        held = stored(path, read)
        _recent[path.parent] = path, (_made(path, read, compute, say) if held is None else held)
        with suppress(OSError):  # it stays in a folder that is read-only
            unfinished(path).unlink(missing_ok=True)
    found: T = _recent[path.parent][1]
    return found


def stored(path: Path, read: Callable[[Arrays], T]) -> T | None:
    """Read the arrays of a file; None if it is missing or damaged."""
    # numpy raises errors of many types for a damaged file, and each means the same
    with suppress(Exception), path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return read({name: file[name] for name in file.files})
    return None


def _made(path: Path, read: Callable[[Arrays], T], compute: Callable[[], Arrays], say: Callable[[str], None]) -> T:
    with exclusive(path, say):
        found = stored(path, read)
        if found is None:
            arrays = compute()
            with whole(path) as file:
                np.savez(file, **arrays)
            found = read(arrays)
        return found


class Progress:
    """Report the expected duration, once it can be estimated, and then each tenth."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]) -> None:
        self.what, self.total, self.say = what, total, say
        self.began = self.now = time.monotonic()
        self.there, self.tenths = 0, -1

    def go_on(self, there: int) -> None:
        """Report that so many are already computed."""
        self.began, self.there = time.monotonic(), there
        self.say(f"{self.what}: {there:,} were computed before; it goes on from there")

    def at(self, done: int) -> None:
        """Report progress if it has changed."""
        self.now = time.monotonic()
        left = (self.now - self.began) * (self.total - done) / (done - self.there)
        if self.tenths < 0:
            self.tenths = 10 if left < WORTH_A_WORD else 10 * self.there // self.total
            if self.tenths < 10:
                self.say(f"{self.what}: about {duration(left)}, once for this machine")
        elif 10 * done // self.total > self.tenths:
            self.tenths = 10 * done // self.total
            self.say(f"{self.what}: {10 * self.tenths} %, {duration(left)} left")


def duration(seconds: float) -> str:
    """``3 min``, ``40 s``."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
