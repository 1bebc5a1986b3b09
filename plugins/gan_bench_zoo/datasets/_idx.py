"""Idx files of the MNIST family: four in `NAME/raw`, unpacked or as .gz, in the layout of torchvision."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.parameters import param
from gan_bench.data.downloads import data_root, download
from gan_bench.data.image_datasets import PublishedImages, SourceFile, in_parts
from gan_bench.data.recipes import Part, Recipe
from gan_bench.errors import DataError

SPLITS = {"train": "train", "test": "t10k"}
SIDE = 28  # pixels
LARGEST = 2**30  # bytes of an array
BYTES = 8  # the idx type of unsigned bytes


@dataclass(frozen=True)
class IdxParams:
    """Size of the images and range of their pixels."""

    size: int = param(28, "Height and width in pixels. 32 adds two black pixels on each side.", choices=(28, 32))
    values: str = param("signed", "Pixel range: [-1, 1] (signed) or [0, 1] (unit).", choices=("signed", "unit"))


class IdxImages(PublishedImages):
    """Grey images of 28 × 28 and their classes, 60,000 for training and 10,000 for testing."""

    Params = IdxParams
    folder: ClassVar[str]  # below the data root, named as in torchvision
    counts: ClassVar[Mapping[str, int]] = {"train": 60_000, "test": 10_000}

    @classmethod
    def published(cls) -> tuple[Sequence[str], Mapping[str, str]]:
        """Return the mirrors, and the MD5 of each .gz file by name: constants of torchvision."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, size, size)."""
        return (1, self.params.size, self.params.size)

    def sources(self) -> list[SourceFile]:
        """Return the four files. The .gz, whose checksum is published, is preferred to the unpacked file."""
        return [self._source(part, kind) for part in SPLITS for kind in ("images", "labels")]

    def _source(self, split: str, kind: str) -> SourceFile:
        name = f"{SPLITS[split]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        packed, unpacked = (f"{self.folder}/raw/{name}{end}" for end in (".gz", ""))
        if (data_root() / unpacked).is_file() and not (data_root() / packed).is_file():
            return SourceFile(unpacked)  # no checksum is published for it; only its size and header are checked
        return SourceFile(packed, self.published()[1][f"{name}.gz"])

    def fetch(self, say: Callable[[str], None]) -> None:
        """Download the .gz files from the first mirror in torchvision that works."""
        mirrors, checksums = self.published()
        for name, checksum in checksums.items():
            _from_any(
                [f"{mirror}{name}" for mirror in mirrors], data_root() / self.folder / "raw" / name, checksum, say
            )

    def recipe(self, split: str) -> Recipe:
        """Return the recipe of the images of one split, padded to `size`."""
        files = [self._source(split, kind) for kind in ("images", "labels")]
        size = self.params.size

        def parts() -> Iterator[Part]:
            images, labels = (read_idx(file.verified()) for file in files)
            yield from self._parts(images, labels, split)

        sources = {file.path: file.md5 or "unpacked, not published" for file in files}
        settings = {"size": size, "verified": all(file.md5 for file in files)}
        return Recipe(f"{self.name}-{size}-{split}", self.name, (1, size, size), settings, sources, parts)

    def _parts(self, images: NDArray[np.uint8], labels: NDArray[np.uint8], split: str) -> Iterator[Part]:
        expected = self.counts[split]
        if images.shape != (expected, SIDE, SIDE) or labels.shape != (expected,) or labels.max() >= self.classes:
            raise DataError(
                f"{self._source(split, 'images').there} holds {images.shape} images, and {labels.shape} labels up to "
                f"{labels.max()}, instead of {(expected, SIDE, SIDE)} in {self.classes} classes: another data set."
            )
        pad = (self.params.size - SIDE) // 2
        padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad)))
        return in_parts(padded[:, None], labels.astype(np.int64))


def _from_any(urls: Sequence[str], path: Path, checksum: str, say: Callable[[str], None]) -> None:
    """Download from the first mirror that works. If all fail, raise the error of the first one."""
    errors: list[DataError] = []
    for url in urls:
        try:
            return download(url, path, checksum, say)
        except DataError as error:
            errors.append(error)
    raise errors[0]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an array of unsigned bytes of any rank from an idx file, unpacked or .gz.

    Layout: two zero bytes, the type 8, the rank, a big-endian uint32 for each dimension, the bytes.

    Raises:
        DataError: the file is truncated, damaged or not an idx file.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:3] != bytes((0, 0, BYTES)):
                raise DataError(f"{path} is no idx file of bytes: it begins with {head!r}. Remove it, fetch it again.")
            sizes = struct.unpack(f">{head[3]}I", file.read(4 * head[3]))
            expected = prod(sizes)
            if expected > LARGEST:
                raise DataError(f"{path} is damaged: its header has {expected:,} bytes. Remove it and fetch it again.")
            content = file.read(expected + 1)  # not all of a file that is longer, or that expands to more
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path} cannot be read ({error}): it is damaged. Remove it and fetch it again.") from error
    if len(content) != expected:
        raise DataError(
            f"{path} holds {len(content):,} bytes for {sizes}: it is damaged. Remove it and fetch it again."
        )
    found: NDArray[np.uint8] = np.frombuffer(content, np.uint8).reshape(sizes)
    return found
