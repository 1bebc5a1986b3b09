"""Reference features of the training images of a dataset, computed once per machine and stored.

    FOLDER/KEY.npz          count, mean, covariance: of all training images, in float64
                            features: of up to 10,000 of them, float32
           KEY.unfinished   sums over the images so far, while the reference is computed

KEY depends on everything that determines the contents, so that a file is never stale. A damaged file, detected by the
checksums of its parts, is computed again. An interrupted computation resumes from the last copy, at most half a minute
old, and returns the same bits. This module neither imports torch nor depends on the network of the features.
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
"""Version of the choice of images. Increase it if the choice changes."""

CHOSEN = 10_000
"""Number of training images whose features are stored."""

PART = 256
"""Number of images in a step, a multiple of every batch size."""

WORTH_A_WORD = 20.0  # seconds; shorter computations are not reported
KEPT_EVERY = 30.0  # seconds between two copies of the computation so far, of 100 MB as a rule
Array = NDArray[np.float64]
Arrays = Mapping[str, Any]
T = TypeVar("T")
_recent: dict[Path, tuple[Path, Any]] = {}  # last file used of each folder: a run has one dataset


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

    Attributes:
        origin, total: (d,) float64.
        products: (d, d) float64.
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
        """Return the moments of at least two vectors."""
        assert self.count > 1
        covariance = (self.products - np.outer(self.total, self.total) / self.count) / (self.count - 1)
        return Moments(self.count, self.origin + self.total / self.count, covariance)


def moments(parts: Iterable[NDArray[np.float32]]) -> Moments:
    """Return the moments of at least two vectors, given in parts (n, d) that are not all in memory at once."""
    sums = Sums()
    for part in parts:
        sums.add(part)
    return sums.moments()


def chosen(count: int) -> NDArray[np.int64]:
    """Return the sorted indices of the training images whose features are stored."""
    if count <= CHOSEN:
        return np.arange(count)
    return np.sort(np.random.default_rng(VERSION).choice(count, CHOSEN, replace=False))


def key_of(*parts: str) -> str:
    """Return the name of a file whose contents depend on these values."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def reference_at(
    path: Path,
    pictures: Pictures,
    features: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    progress: Progress,
) -> Reference:
    """Return the reference in a file, or compute and store it. An interrupted computation is resumed.

    Args:
        path: the file.
        pictures: training images.
        features: maps images (n, C, H, W), at most `PART` of them, to features (n, d).
        progress: reports the progress.

    Raises:
        DataError: the file cannot be written.
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
    """Return the path of the unfinished computation of a file. It is removed once the file is complete."""
    return path.with_suffix(".unfinished")


def _begun(arrays: Arrays, keep: NDArray[np.int64]) -> tuple[Sums, list[NDArray[np.float32]]]:
    """Read an unfinished file: sums over the first images, and those of their features that are stored."""
    sums = Sums(int(arrays["count"]), arrays["origin"], arrays["total"], arrays["products"])
    some, d = arrays["features"], len(sums.origin)
    fits = sums.total.shape == (d,) and sums.products.shape == (d, d) and sums.count % PART == 0
    if not fits or some.shape != (int((keep < sums.count).sum()), d):
        raise ValueError("sums that are not of one reference")
    return sums, [some]


def _keep(path: Path, arrays: Arrays) -> None:
    """Store the computation so far. Errors are ignored: the result does not depend on it."""
    with suppress(DataError), whole(path) as file:
        np.savez(file, **arrays)


def kept(
    path: Path,
    read: Callable[[Arrays], T],
    compute: Callable[[], Arrays],
    say: Callable[[str], None],
) -> T:
    """Read the arrays of a file. If it is missing or damaged, compute and write them.

    A file is computed by one process at a time. The last file of each folder stays in memory.

    Args:
        path: a `.npz` file in a folder for files of one kind.
        read: converts arrays by name, and raises if they do not fit together.
        compute: computes the arrays. Its `unfinished` file is removed once the file is written.
        say: receives a message about waiting for another process.

    Raises:
        DataError: the file cannot be written.
    """
    if path.parent not in _recent or _recent[path.parent][0] != path:
        held = stored(path, read)
        _recent[path.parent] = path, (_made(path, read, compute, say) if held is None else held)
        with suppress(OSError):  # in a read-only folder the file remains
            unfinished(path).unlink(missing_ok=True)
    found: T = _recent[path.parent][1]
    return found


def stored(path: Path, read: Callable[[Arrays], T]) -> T | None:
    """Read the arrays of a file. Return None if it is missing or damaged."""
    # numpy raises errors of many types for a damaged file
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
    """Report of the expected duration once it can be estimated, and then of each tenth."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]) -> None:
        self.what, self.total, self.say = what, total, say
        self.began = self.now = time.monotonic()
        self.there, self.tenths = 0, -1

    def go_on(self, there: int) -> None:
        """Report the number of images that are already computed."""
        self.began, self.there = time.monotonic(), there
        self.say(f"{self.what}: resuming after {there:,}")

    def at(self, done: int) -> None:
        """Report the progress if another tenth is done."""
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
    """Format seconds as ``3 min`` or ``40 s``."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
