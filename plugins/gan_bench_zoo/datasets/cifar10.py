"""CIFAR-10: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from gan_bench.contracts.parameters import param
from gan_bench.data.downloads import data_root
from gan_bench.data.image_datasets import PublishedImages, SourceFile
from gan_bench.data.recipes import Part, Recipe
from gan_bench_zoo.datasets._archives import fetch_archive, read_batch, rows_of


class CIFAR10(PublishedImages):
    """CIFAR-10: 32 × 32 photographs of ten classes, 50,000 for training and 10,000 for testing (Krizhevsky, 2009)."""

    name = "cifar10"
    megabytes = 170
    counts: ClassVar[Mapping[str, int]] = {"train": 50_000, "test": 10_000}
    shape = (3, 32, 32)
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    @dataclass(frozen=True)
    class Params:
        """Range of the pixels."""

        values: str = param("signed", "Pixel range: [-1, 1] (signed) or [0, 1] (unit).", choices=("signed", "unit"))

    def sources(self) -> list[SourceFile]:
        """Return the six batches, with their MD5s from torchvision."""
        return [*self._batches("train"), *self._batches("test")]

    def _batches(self, split: str) -> list[SourceFile]:
        from torchvision.datasets import CIFAR10 as published

        files = published.train_list if split == "train" else published.test_list
        return [SourceFile(f"{published.base_folder}/{name}", md5) for name, md5 in files]

    def fetch(self, say: Callable[[str], None]) -> None:
        """Download the archive from the author's page."""
        from torchvision.datasets import CIFAR10 as published

        archive = data_root() / published.filename
        names = [source.path for source in self.sources()]
        fetch_archive(published.url, archive, published.tgz_md5, data_root(), names, say)

    def recipe(self, split: str) -> Recipe:
        """Return the recipe of one split: its batches in order."""
        batches = self._batches(split)

        def parts() -> Iterator[Part]:
            for batch in batches:
                path = batch.verified()
                x, label = rows_of(read_batch(path), path, 3 * 32 * 32, range(10))
                yield x.reshape(-1, 3, 32, 32), label

        sources = {batch.path: batch.md5 for batch in batches}
        return Recipe(f"{self.name}-{split}", self.name, (3, 32, 32), {}, sources, parts)
