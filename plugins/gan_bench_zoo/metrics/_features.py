"""Features of images: by the classifier of the data's own classes, or of images without labels by Inception.

Those of samples and those of the training set, of one network: distances of one dataset compare, of two do not.
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
    """Whether there are no labels that a classifier could learn; what then looks at images takes long."""
    return dataset.labelled() is None


def unseen(name: str, dataset: ImageDataset) -> str | None:
    """Why a metric has no features of a dataset's images; None where it has."""
    return _inception.unseen(dataset) if by_inception(dataset) else _classified.unlabelled(name, dataset)


def features_of(samples: Samples) -> NDArray[np.float32]:
    """(n, d), computed once."""
    assert is_images(samples.dataset)
    if not by_inception(samples.dataset):
        return _classified.classified(samples).features
    found: NDArray[np.float32] = _inception.features(samples).numpy()
    return found


def reference_of(dataset: ImageDataset, device: str, say: Callable[[str], None] = lambda line: None) -> Reference:
    """Of the training set: as kept, else computed on `device` and kept. Raises DataError."""
    of = _inception_reference.reference if by_inception(dataset) else _classified.reference_of
    return of(dataset, device, say)


def note_of(dataset: ImageDataset) -> str:
    """Which network; empty where there is none yet."""
    if not by_inception(dataset):
        return _classified.note_of(dataset)
    told = _inception.note_of_weights()
    size = dataset.training_size
    return f"{told}; against {len(chosen(size)):,} training images" if told and size is not None else ""
