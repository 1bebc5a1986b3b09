"""Inception features of the training images of a dataset, the reference of distances; see `_reference`.

    kept_at("cache", "inception")/KEY.npz

KEY depends on the images, the layers of the network and `VERSION`. The file is valid on any machine with the same
images and weights.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import ImageDataset, is_images
from gan_bench.data.downloads import cache_file
from gan_bench.errors import DataError
from gan_bench_zoo.metrics._inception import InceptionMetric, inception
from gan_bench_zoo.metrics._reference import CHOSEN, VERSION, Progress, Reference, key_of, reference_at


def reference(dataset: Dataset, device: str, say: Callable[[str], None] = lambda _: None) -> Reference:
    """Return the reference of a dataset's training images. If it is not stored, it is computed on `device` and stored.

    Raises:
        DataError: weights or images are missing or damaged, or the reference cannot be written.
    """
    import torch

    assert is_images(dataset)  # `refuses` rejects other data
    network, pictures = inception(), dataset.training()

    def features(x: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = network.features(torch.from_numpy(x).to(device)).numpy()
        return found

    progress = Progress(
        f"Inception features of {len(pictures):,} training images of {dataset.name}", len(pictures), say
    )
    return reference_at(path_of(dataset), pictures, features, progress)


def reference_features(dataset: Dataset, device: str = "cpu") -> NDArray[np.float32]:
    """Return pool3 features (m, 2048) of a fixed choice of m = min(10,000, all) training images; see `reference`."""
    return reference(dataset, device).features


def path_of(dataset: ImageDataset) -> Path:
    """Return the path of the reference, whose name identifies its content. Raises DataError if weights are missing."""
    key = key_of(str(VERSION), inception().trunk, dataset.training().fingerprint, str(CHOSEN))
    return cache_file("inception", f"{key}.npz")


class ReferenceMetric(InceptionMetric):
    """Base class of metrics that compare with the training images."""

    least_real: ClassVar[int] = 1_000  # training images; with fewer, a dataset is refused

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Read weights and reference."""
        super().prepare(dataset, device, say)
        found = dataset.training_size
        if found is not None and found < self.least_real:
            needed = f"{self.name} needs at least {self.least_real:,} training images"
            raise DataError(f"{needed}, and {dataset.name} has {found:,}. Leave out this metric or add images.")
        reference(dataset, device, say)

    def note(self, dataset: Dataset) -> str:
        """Return the identity of the weights and the number of training images."""
        told = super().note(dataset)
        size = dataset.training_size
        return f"{told}; against {size:,} training images" if told and size is not None else ""
