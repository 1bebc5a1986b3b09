"""STL-10: Coates, Lee and Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS 2011."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.parameters import param
from gan_bench.data.downloads import data_root
from gan_bench.data.image_datasets import PublishedImages, SourceFile
from gan_bench.data.recipes import Part, Recipe
from gan_bench.errors import DataError
from gan_bench_zoo.datasets._archives import fetch_archive
from gan_bench_zoo.datasets._pixels import resized

SIDE = 96  # pixels
BYTES = 3 * SIDE * SIDE  # of an image
FILES = {"train": {"unlabeled_X.bin": 100_000}, "test": {"train_X.bin": 5_000, "test_X.bin": 8_000}}
CHUNK = 2_000  # images read at a time


class STL10(PublishedImages):
    """STL-10: 100,000 photographs without labels, 13,000 with labels are held out (Coates, Lee and Ng, 2011).

    Models train on the unlabelled images, as in MGAN's paper. All images with labels are held out, those of the
    training and of the test split. They have ten classes, and the unlabelled images have more (other animals and
    vehicles). The row `real-data` includes this difference, so it is not a floor. Labels are not used.

    `size = 48` resizes with Pillow's antialiased bilinear filter, as torchvision does for the tables of mimicry. MGAN's
    paper resizes "following Krizhevsky et al.", which does not define the filter.
    """

    name = "stl10"
    megabytes = 2_640
    counts: ClassVar[Mapping[str, int]] = {split: sum(files.values()) for split, files in FILES.items()}

    @dataclass(frozen=True)
    class Params:
        """Size of the images and range of their pixels."""

        size: int = param(48, "Height and width in pixels: 48 is resized, 96 is original.", choices=(48, 96))
        values: str = param("signed", "Pixel range: [-1, 1] (signed) or [0, 1] (unit).", choices=("signed", "unit"))

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, size, size)."""
        return (3, self.params.size, self.params.size)

    def sources(self) -> list[SourceFile]:
        """Return the three files of images, with their MD5s from torchvision."""
        return [source for split in FILES for source in self._files(split)]

    def _files(self, split: str) -> list[SourceFile]:
        from torchvision.datasets import STL10 as published

        md5 = dict([*published.train_list, *published.test_list])
        return [SourceFile(f"{published.base_folder}/{name}", md5[name]) for name in FILES[split]]

    def fetch(self, say: Callable[[str], None]) -> None:
        """Download the archive from the authors' page."""
        from torchvision.datasets import STL10 as published

        archive = data_root() / published.filename
        names = [source.path for source in self.sources()]
        fetch_archive(published.url, archive, published.tgz_md5, data_root(), names, say)

    def recipe(self, split: str) -> Recipe:
        """Return the recipe of the images of one split, resized to `size`."""
        files, size = self._files(split), self.params.size

        def parts() -> Iterator[Part]:
            for file in files:
                for x in _images(file):
                    yield (x if size == SIDE else resized(x, size)), None

        sources = {file.path: file.md5 for file in files}
        settings = {"size": size, "filter": "none" if size == SIDE else "bilinear, antialiased"}
        return Recipe(f"{self.name}-{size}-{split}", self.name, (3, size, size), settings, sources, parts)


def _images(file: SourceFile) -> Iterator[NDArray[np.uint8]]:
    """Yield the images (n, 3, 96, 96) of a file in parts. The file stores each channel column by column."""
    path = file.verified()
    if not path.stat().st_size or path.stat().st_size % BYTES:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes, no multiple of {BYTES:,}: it is damaged.")
    stored = np.memmap(path, np.uint8, mode="r").reshape(-1, 3, SIDE, SIDE)
    for start in range(0, len(stored), CHUNK):
        yield np.ascontiguousarray(stored[start : start + CHUNK].transpose(0, 1, 3, 2))
