"""Image datasets that are prepared once: converted from their files to one memory-mapped array of uint8.

    kept_at("prepared", NAME)/images.npy      (N, C, H, W) uint8
                              labels.npy      (N,) int64, if the images have labels
                              prepared.json   checksums, count, sources and settings

prepared.json is written last. A set without it is incomplete and is prepared again.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.data.downloads import (
    data_root,
    has_checksum,
)
from gan_bench.data.recipes import Part, Recipe, pictures
from gan_bench.errors import DataError

# --- the datasets -------------------------------------------------------------------------------------------


class PreparedImages(ImageDataset):
    """Image dataset that is prepared once from files. Subclasses define the recipes of its two sets."""

    counts: ClassVar[Mapping[str, int]] = {}  # number of "train" and "test" images, if known before preparation

    @abstractmethod
    def recipe(self, split: str) -> Recipe:
        """Return the recipe of the "train" or the "test" images. Only what its settings depend on is read."""

    @abstractmethod
    def absent(self) -> str | None:
        """Return a sentence about missing files and how to get them; None if no file is missing."""

    def training(self) -> Pictures:
        """Return the training images, which are prepared first if necessary."""
        return self._pictures("train")

    def testing(self) -> Pictures:
        """Return the held-out images, which are prepared first if necessary."""
        return self._pictures("test")

    def missing(self) -> str | None:
        """Return the result of `absent`, or None if both sets are prepared."""
        absent = self.absent()
        if absent is None or all(self.recipe(split).stored() for split in ("train", "test")):
            return None
        return absent

    def prepare(self, log: Callable[[str], None]) -> None:
        """Prepare both sets."""
        for split in ("train", "test"):
            self._pictures(split, log)

    def count(self, split: str) -> int | None:
        """Return the number of images in a set; None if it is unknown before preparation."""
        stored = self.recipe(split).stored()
        return stored.count if stored else self.counts.get(split)

    @property
    def training_size(self) -> int | None:
        """Number of training images as in `count`, so that showing a benchmark prepares nothing."""
        return self.count("train")

    @property
    def held_out_size(self) -> int | None:
        """Number of held-out images as in `count`."""
        return self.count("test")

    def _pictures(self, split: str, log: Callable[[str], None] = lambda _: None) -> Pictures:
        kept: dict[str, Pictures] = self.__dict__.setdefault("_kept", {})
        if split not in kept:
            missing = self.missing()
            if missing:
                raise DataError(missing)
            kept[split] = pictures(self.recipe(split), log)
        return kept[split]


@dataclass(frozen=True)
class SourceFile:
    """A file of a dataset.

    Attributes:
        path: path below `data_root()`.
        md5: published MD5; empty if none is published.
    """

    path: str
    md5: str = ""

    @property
    def there(self) -> Path:
        """Path of the file, including `data_root()`."""
        return data_root() / self.path

    def verified(self) -> Path:
        """Return the path of the file if its MD5 is the published one.

        Raises:
            DataError: the file is missing, cannot be read, or has another MD5.
        """
        if not self.there.is_file():
            raise DataError(f"{self.there} is missing.")
        try:
            good = not self.md5 or has_checksum(self.there, self.md5)
        except OSError as error:
            raise DataError(f"{self.there} cannot be read ({error.strerror}).") from error
        if not good:
            raise DataError(
                f"{self.there} is damaged or another file: its MD5 is not the published {self.md5}. "
                "Remove it and fetch it again."
            )
        return self.there


class PublishedImages(PreparedImages):
    """Image dataset of files with published checksums, in the layout of torchvision below `data_root()`."""

    megabytes: ClassVar[int]  # size of the download

    @abstractmethod
    def sources(self) -> list[SourceFile]:
        """Return all files that the images are read from."""

    def absent(self) -> str | None:
        """Return a sentence about missing files and how to get them; None if no file is missing."""
        gone = [source for source in self.sources() if not source.there.is_file()]
        if not gone:
            return None
        return (
            f"{gone[0].there} is missing ({len(gone)} of {len(self.sources())} files). "
            f"Run `gan-bench data fetch {self.name}` to download {self.megabytes:,} MB. {FOLDER_HINT}"
        )

    def checked(self) -> Iterator[tuple[SourceFile, list[str]]]:
        """Yield each existing file with a list of its problems. Every byte is read."""
        for source in self.sources():
            if source.there.is_file():
                try:
                    source.verified()
                    yield source, []
                except DataError as error:
                    yield source, [str(error)]


FOLDER_HINT = (
    "If you have the files in torchvision's layout, set --data-root or the environment variable GAN_BENCH_DATA to "
    "their folder."
)


def in_parts(x: NDArray[np.uint8], label: NDArray[np.int64] | None, size: int = 10_000) -> Iterator[Part]:
    """Yield images, in memory or memory-mapped, and their labels in parts."""
    for start in range(0, len(x), size):
        yield x[start : start + size], None if label is None else label[start : start + size]


def below(root: Path) -> int:
    """Return the total size of the files in a folder, in bytes."""
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file() and not os.path.islink(file))
