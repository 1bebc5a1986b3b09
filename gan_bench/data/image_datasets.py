"""Images that are prepared once: out of whatever files hold them into one memory-mapped array of uint8.

    kept_at("prepared", NAME)/images.npy      (N, C, H, W) uint8
                              labels.npy      (N,) int64, where there are labels
                              prepared.json   checksums, count, and how it was made of what

prepared.json is written last: a set without it is none, and is made anew.
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
    """An image dataset that is prepared once out of files. A subclass says the recipes of its two sets."""

    counts: ClassVar[Mapping[str, int]] = {}  # images of "train" and "test", where they are known beforehand

    @abstractmethod
    def recipe(self, split: str) -> Recipe:
        """How the "train" or the "test" images are made; reads nothing but what the settings depend on."""

    @abstractmethod
    def absent(self) -> str | None:
        """What of its files is not there, as a sentence that says what to do; None where all is there."""

    def training(self) -> Pictures:
        """Prepared where need be."""
        return self._pictures("train")

    def testing(self) -> Pictures:
        """Prepared where need be."""
        return self._pictures("test")

    def missing(self) -> str | None:
        """What is absent, unless both sets are prepared."""
        absent = self.absent()
        if absent is None or all(self.recipe(split).stored() for split in ("train", "test")):
            return None
        return absent

    def prepare(self, say: Callable[[str], None]) -> None:
        """Both sets."""
        for split in ("train", "test"):
            self._pictures(split, say)

    def count(self, split: str) -> int | None:
        """How many images there are, as far as it is known before they are prepared."""
        stored = self.recipe(split).stored()
        return stored.count if stored else self.counts.get(split)

    @property
    def training_size(self) -> int | None:
        """As `count`: a look at a benchmark prepares nothing."""
        return self.count("train")

    @property
    def held_out_size(self) -> int | None:
        """As `count`."""
        return self.count("test")

    def _pictures(self, split: str, say: Callable[[str], None] = lambda _: None) -> Pictures:
        kept: dict[str, Pictures] = self.__dict__.setdefault("_kept", {})
        if split not in kept:
            missing = self.missing()
            if missing:
                raise DataError(missing)
            kept[split] = pictures(self.recipe(split), say)
        return kept[split]


@dataclass(frozen=True)
class SourceFile:
    """A file of a dataset: where it lies below `data_root()`, and its published MD5, where there is one."""

    path: str
    md5: str = ""

    @property
    def there(self) -> Path:
        """Where it is."""
        return data_root() / self.path

    def verified(self) -> Path:
        """Its path. Raises DataError where it is missing or another file."""
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
    """An image dataset of files whose checksums are published; laid out below `data_root()` as torchvision does."""

    megabytes: ClassVar[int]  # to download

    @abstractmethod
    def sources(self) -> list[SourceFile]:
        """Every file that the images are made of."""

    def absent(self) -> str | None:
        """The files that are not there, and how to get them."""
        gone = [source for source in self.sources() if not source.there.is_file()]
        if not gone:
            return None
        return (
            f"{gone[0].there} is missing ({len(gone)} of {len(self.sources())} files). "
            f"`gan-bench data fetch {self.name}` downloads {self.megabytes:,} MB; {HAVE_IT}"
        )

    def checked(self) -> Iterator[tuple[SourceFile, list[str]]]:
        """Each file that is there, and what is wrong with it; every byte is read."""
        for source in self.sources():
            if source.there.is_file():
                try:
                    source.verified()
                    yield source, []
                except DataError as error:
                    yield source, [str(error)]


HAVE_IT = (
    "if you have it, name its folder with --data-root or the environment variable GAN_BENCH_DATA "
    "(laid out as torchvision lays it out)."
)


def in_parts(x: NDArray[np.uint8], label: NDArray[np.int64] | None, size: int = 10_000) -> Iterator[Part]:
    """An array that is in memory or memory-mapped, a part at a time."""
    for start in range(0, len(x), size):
        yield x[start : start + size], None if label is None else label[start : start + size]


def below(root: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file() and not os.path.islink(file))
