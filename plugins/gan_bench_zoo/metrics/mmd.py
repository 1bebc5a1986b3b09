"""Squared maximum mean discrepancy from held-out samples, for points of any distribution (Gretton et al., JMLR 2012).

It is the unbiased estimate of eq. 3, E k(x, x') + E k(y, y') - 2 E k(x, y), of n samples x and m held-out samples y.
The first two means are over pairs of different samples. It is at most 2. Its expectation does not depend on n and m,
and is 0 if and only if both distributions are equal. A value slightly below 0 is equivalent to 0.

**Kernel.** The mean of five Gaussian kernels exp(-|x - y|² / (2 s²)) with s = h, h/2, h/4, h/8 and h/16. The median
distance h of different held-out samples (section 8 of the paper) is the scale of the whole distribution. The narrow
kernels detect a wrong shape of a part of it, for example of one mode. The bandwidths do not depend on the model, so
that models are comparable.

**Size.** Of more than 4,000 samples 4,000 are chosen at random by the seed, and there are at most 4,000 held-out
samples, because the time increases with their product. They are compared in blocks, which need 16 MB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import is_images
from gan_bench.contracts.metric import Metric, Samples
from gan_bench_zoo.metrics._held_out import note_of_held_out

Array = NDArray[np.float64]

MOST = 4_000
"""Largest number of samples, and of held-out samples, that are compared."""

BLOCK = 500
"""Number of samples whose distances to all others are in memory together."""

FOR_BANDWIDTH = 1_000
"""Number of held-out samples whose pairs determine the median distance."""

KERNELS = 5
"""Number of bandwidths: the median distance, and each half of the one before."""


def median_distance(y: Array) -> float:
    """Return the median distance of different points among the first `FOR_BANDWIDTH` (m, d); 1 if all are equal."""
    distances = pdist(y[:FOR_BANDWIDTH])
    positive = distances[distances > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def kernel_sum(x: Array, y: Array, median: float) -> float:
    """Return the sum of the kernel over all pairs of x (n, d) and y (m, d), in blocks of x."""
    blocks = [slice(start, start + BLOCK) for start in range(0, len(x), BLOCK)]
    return sum(_sum_of_block(x[block], y, median) for block in blocks)


def kernel_sum_within(x: Array, median: float) -> float:
    """Return the sum of the kernel over all ordered pairs of different points of x (n, d), in blocks."""
    total = -float(len(x))  # each point with itself, whose kernel is 1
    for start in range(0, len(x), BLOCK):
        block, later = x[start : start + BLOCK], x[start + BLOCK :]
        total += _sum_of_block(block, block, median) + 2 * _sum_of_block(block, later, median)
    return total


def _sum_of_block(x: Array, y: Array, median: float) -> float:
    with np.errstate(under="ignore"):
        values = cdist(x, y, "sqeuclidean")
        values *= -0.5 / median**2
        np.exp(values, out=values)
        total = float(values.sum())
        for _ in range(KERNELS - 1):  # with half the bandwidth it is the fourth power
            np.square(values, out=values)
            np.square(values, out=values)
            total += float(values.sum())
    return total / KERNELS


def squared_mmd(x: Array, y: Array) -> float:
    """Return the unbiased estimate from x (n, d) and reference points y (m, d); NaN if n or m is 1."""
    if min(len(x), len(y)) < 2:
        return float("nan")
    n, m, median = len(x), len(y), median_distance(y)
    within_x = kernel_sum_within(x, median) / (n * (n - 1))
    within_y = kernel_sum_within(y, median) / (m * (m - 1))
    return within_x + within_y - 2 * kernel_sum(x, y, median) / (n * m)


class MMD(Metric):
    """Squared maximum mean discrepancy from held-out points, unbiased, with Gaussian kernels; about 0 is equal."""

    name = "mmd"
    direction = "lower"
    unit = ""
    needs = 2

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse images, whose distances as vectors of numbers mean little."""
        return f"{self.name} is for points; kid is the same distance for images" if is_images(dataset) else None

    def note(self, dataset: Dataset) -> str:
        """Return what samples are compared with."""
        return note_of_held_out(dataset)

    def compute(self, samples: Samples) -> float:
        """Return a float, at most 2."""
        x, y = samples.x.reshape(len(samples), -1), samples.held_out(MOST)
        if len(x) > MOST:
            x = x[np.random.default_rng(samples.seed).choice(len(x), MOST, replace=False)]
        return squared_mmd(x, y.reshape(len(y), -1))
