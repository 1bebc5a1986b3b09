"""Majority classes of the generators of images, and the share of samples of no class.

After the second paper's pairs of digits (Barsim, Yang and Yang, arXiv:1802.01568): its two generators succeed if their
majority digits are distinct, each generates hardly any other digit (`purity` above 0.9), and few samples are neither
digit. See `_modes` for the class of an image; a majority class of images without labels is a cluster.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import is_images
from gan_bench.contracts.metric import Samples
from gan_bench_zoo.metrics._modes import ModeMetric, QualityMetric, assignment
from gan_bench_zoo.metrics.generators import division, why_undefined


class OutsideClasses(QualityMetric):
    """Share of samples in none of the dataset's classes: neither of a pair's digits, no shape at all."""

    name = "outside_classes"
    direction = "lower"
    unit = "share"

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse points, and images that always have a class."""
        return super().refuses(dataset) if is_images(dataset) else _no_images(self.name, dataset)

    def compute(self, samples: Samples) -> float:
        """Return a share, 0 to 1; that of each generator is 1 - `generator_high_quality`."""
        return float(1 - assignment(samples).high_quality.mean())


class MajorityClasses(ModeMetric):
    """Number of different majority classes of the generators; for each generator its majority class, counted from 0."""

    name = "majority_classes"
    direction = "higher"
    unit = "classes"
    per_generator = True

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse points, and images without modes."""
        return super().refuses(dataset) if is_images(dataset) else _no_images(self.name, dataset)

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Return classes (K,), the first of equal ones; NaN without an index, or a sample of any class."""
        counts = division(samples).counts
        return np.where(counts.any(axis=1), counts.argmax(axis=1), np.nan)

    def combine(self, values: NDArray[np.floating]) -> float:
        """Return the number of different ones; K if each generator has one of its own."""
        finite = values[np.isfinite(values)]
        return float(len(np.unique(finite))) if len(finite) else float("nan")

    def why_undefined(self, samples: Samples) -> str:
        """Return the reason for NaN: no index, or no sample of any class."""
        return why_undefined(samples)


def _no_images(name: str, dataset: Dataset) -> str:
    return f"{name} is of classes of images, which {dataset.name} has not"
