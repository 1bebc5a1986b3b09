"""Majority classes of the generators of images, and the share of samples of no class.

They follow the experiments on pairs of digits (Barsim, Yang and Yang, arXiv:1802.01568). Two generators succeed if
their majority digits differ, each generates few samples of other digits (`purity` above 0.9), and few samples are
neither digit. `_modes` defines the class of an image. Without labels, a majority class is a cluster.
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
    """Share of samples outside the dataset's classes: for a pair of digits, samples that are neither digit."""

    name = "outside_classes"
    direction = "lower"
    unit = "share"
    scale = "share"

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse points, and images that always have a class."""
        return super().refuses(dataset) if is_images(dataset) else _no_images(self.name, dataset)

    def compute(self, samples: Samples) -> float:
        """Return a share, 0 to 1. The share of each generator is 1 - `generator_high_quality`."""
        return float(1 - assignment(samples).high_quality.mean())


class MajorityClasses(ModeMetric):
    """Number of different majority classes of the generators; per generator, the class itself, counted from 0."""

    name = "majority_classes"
    direction = "higher"
    unit = "classes"
    scale = "count"
    per_generator = True

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse points, and images without modes."""
        return super().refuses(dataset) if is_images(dataset) else _no_images(self.name, dataset)

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Return classes (K,), the first if several are equal; NaN without an index or without a sample of a class."""
        counts = division(samples).counts
        return np.where(counts.any(axis=1), counts.argmax(axis=1), np.nan)

    def combine(self, values: NDArray[np.floating]) -> float:
        """Return the number of different majority classes; K if all differ."""
        finite = values[np.isfinite(values)]
        return float(len(np.unique(finite))) if len(finite) else float("nan")

    def why_undefined(self, samples: Samples) -> str:
        """Return the reason for NaN: no index, or no sample of a class."""
        return why_undefined(samples)


def _no_images(name: str, dataset: Dataset) -> str:
    return f"{name} needs images, and {dataset.name} has none"
