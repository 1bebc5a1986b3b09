"""The sliced Wasserstein-1 distance to the true mixture: cheap enough for every evaluation.

The mean, over 200 random directions, of the Wasserstein-1 distance between the projected samples and the
projected mixture. A projected mixture of isotropic Gaussians is again one, on a line, so the true side is
not sampled: each mode is given its share of n points, at the midpoint quantiles of its projection, and the
distance of two equally large sets on a line is the mean distance of their sorted values. A perfect model
reads 0.009 to 0.027 on `ring8` with 10,000 samples, a little less than two samples compared with each
other. No part of it depends on a histogram: it is not comparable with `wasserstein`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from gan_bench.dataset import Mixture
from gan_bench.metric import Samples
from gan_bench_zoo.metrics.histogram import MixtureMetric, mixture_of

PROJECTIONS = 200


class SlicedWasserstein(MixtureMetric):
    """Mean Wasserstein-1 distance to the mixture over 200 one-dimensional projections."""

    name = "sliced_wasserstein"
    direction = "lower"
    unit = "data units"

    def compute(self, samples: Samples) -> float:
        """A float >= 0; the directions depend on `samples.seed` alone."""
        mixture = mixture_of(samples)
        directions = _directions(mixture.means.shape[1], samples.seed)
        true = _projected_mixture(mixture, directions, len(samples))
        with np.errstate(over="ignore"):  # points at the end of float32's range are infinitely far
            # float32 halves the time of sorting, and is what a model draws
            model = (directions @ samples.x.T).astype(np.float32)
            model.sort(axis=1)
            return float(np.abs(model - true).mean(dtype=np.float64))


def _directions(d: int, seed: int) -> NDArray[np.float64]:
    """Unit vectors (projections, d), uniform on the sphere; a line has one direction."""
    if d == 1:
        return np.ones((1, 1))
    u = np.random.default_rng(seed).normal(size=(PROJECTIONS, d))
    unit: NDArray[np.float64] = u / np.linalg.norm(u, axis=1, keepdims=True)
    return unit


def _projected_mixture(mixture: Mixture, directions: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """Sorted points (projections, n) of equal mass that stand for the mixture along each direction."""
    counts = np.diff(np.rint(n * np.cumsum(mixture.weights)), prepend=0).astype(np.int64)
    z = np.concatenate([ndtri((np.arange(c) + 0.5) / c) for c in counts])
    mode = np.repeat(np.arange(len(counts)), counts)
    centres = (directions @ mixture.means.T).astype(np.float32)  # (projections, M)
    points: NDArray[np.float32] = centres[:, mode] + (mixture.stds[mode] * z).astype(np.float32)
    points.sort(axis=1, kind="stable")  # merges the modes' sorted runs: five times as fast as a quicksort
    return points
