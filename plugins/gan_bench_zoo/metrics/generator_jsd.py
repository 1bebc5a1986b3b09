"""Generalised Jensen-Shannon divergence between the generators, which MGAN maximises.

H(mean of q_k) - mean of H(q_k), where q_k is the histogram of generator k on 20 bins along each axis of the box, and
the cell "outside". Entropies of sparse histograms are biased: with K = 8 and 10,000 samples, identical generators would
have 0.036, and 0.136 on the fine grid. Therefore the mean value for five shuffles of the generator labels is
subtracted. Identical generators then have 0, or slightly less. Separate generators have less bias, so that 8 generators
on one mode each have 2.04 instead of log 8 = 2.08.

For images q_k is the histogram of the modes: classes, or clusters if there are no labels (see `_modes`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from gan_bench.contracts.images import is_images
from gan_bench.contracts.metric import UNINDEXED, Samples
from gan_bench_zoo.metrics._modes import cells_of
from gan_bench_zoo.metrics.divergence import DivergenceMetric
from gan_bench_zoo.metrics.histogram import box_of, mixture_of

BINS = 20
SHUFFLES = 5


class GeneratorJSD(DivergenceMetric):
    """Jensen-Shannon divergence between the generators, corrected for bias; at most log K."""

    name = "generator_jsd"
    direction = "none"
    unit = "nats"

    def compute(self, samples: Samples) -> float:
        """Return a float, about 0 to log K; NaN without a generator index. Shuffles depend on `samples.seed`."""
        if samples.generator is None:
            return float("nan")
        _, cells = np.unique(_cells(samples), return_inverse=True)  # empty cells contribute nothing
        rng = np.random.default_rng(samples.seed)
        shuffled = [divergence(cells, rng.permutation(samples.generator)) for _ in range(SHUFFLES)]
        return divergence(cells, samples.generator) - float(np.mean(shuffled))

    def why_undefined(self, samples: Samples) -> str:
        """Return the reason for NaN: no index."""
        return UNINDEXED


def _cells(samples: Samples) -> NDArray[np.int64]:
    if is_images(samples.dataset):
        return cells_of(samples)
    return replace(box_of(mixture_of(samples)), bins=BINS).cells(samples.x)


def divergence(cells: NDArray[np.int64], generator: NDArray[np.int64]) -> float:
    """Return the plug-in Jensen-Shannon divergence in nats of equally weighted generators that have samples."""
    k, n = generator.max() + 1, cells.max() + 1
    counts = np.bincount(generator * n + cells, minlength=k * n).reshape(k, n)
    counts = counts[counts.any(axis=1)]
    q = counts / counts.sum(axis=1, keepdims=True)
    return float(_entropy(q.mean(axis=0)) - _entropy(q).mean())


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy in nats along the last axis."""
    entropy: NDArray[np.float64] = -xlogy(p, p).sum(axis=-1)
    return entropy
