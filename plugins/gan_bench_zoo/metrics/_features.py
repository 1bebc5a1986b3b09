"""Features of images: from a classifier of the dataset's classes, or from Inception for images without labels.

Samples and training set use the same network. Distances are comparable within a dataset, not between datasets.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.images import ImageDataset, is_images
from gan_bench.contracts.metric import Samples
from gan_bench_zoo.metrics import _classified, _inception, _inception_reference
from gan_bench_zoo.metrics._reference import Reference, chosen


def by_inception(dataset: ImageDataset) -> bool:
    """Whether features come from the Inception network, which is slow, because there are no labels."""
    return dataset.labelled() is None


def unseen(name: str, dataset: ImageDataset) -> str | None:
    """Return the reason why features of a dataset's images are unavailable; None if they are available."""
    return _inception.unseen(dataset) if by_inception(dataset) else _classified.unlabelled(name, dataset)


def features_of(samples: Samples) -> NDArray[np.float32]:
    """Return features (n, d), computed once."""
    assert is_images(samples.dataset)
    if not by_inception(samples.dataset):
        return _classified.classified(samples).features
    found: NDArray[np.float32] = _inception.features(samples).numpy()
    return found


def reference_of(dataset: ImageDataset, device: str, say: Callable[[str], None] = lambda line: None) -> Reference:
    """Return the features of the training set, stored or computed on `device`. Raises DataError."""
    of = _inception_reference.reference if by_inception(dataset) else _classified.reference_of
    return of(dataset, device, say)


def note_of(dataset: ImageDataset) -> str:
    """Return the identity of the network; an empty string if it is not available yet."""
    if not by_inception(dataset):
        return _classified.note_of(dataset)
    told = _inception.note_of_weights()
    size = dataset.training_size
    return f"{told}; against {len(chosen(size)):,} training images" if told and size is not None else ""
