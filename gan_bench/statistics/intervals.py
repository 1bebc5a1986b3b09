"""Intervals over training seeds: Student's t, and Clopper and Pearson's for numbers of seeds.

Bootstrap intervals are not used. With fewer than ten seeds they cover less than t (docs/statistics.md).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gan_bench.contracts.metric import Direction, Scale
from gan_bench.statistics.scales import Array, has_spread, mean_of, transform, usable_scale

CONFIDENCE = 0.95
COLLAPSE = 10
"""Factor between a seed and the median of its row from which the seed counts as collapsed."""


@dataclass(frozen=True)
class Proportion:
    """k of n seeds, with the limits of an exact interval of the probability."""

    k: int
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Finite values of one row in one metric.

    Attributes:
        values: value of each seed, in the order given.
        scale: scale of mean and interval, see `usable_scale`.
        mean: geometric mean on "log", else a mean; NaN without values.
        low, high: limits of the 95 % interval of the mean; NaN for one value, equal values and counts.
        equal: whether two or more values are all equal, so that they give no interval.
        collapsed: number of collapsed seeds; the interval of the mean is then unreliable.
        complete: for counts, number of seeds that reach the total; None if the total is unknown.
    """

    values: tuple[float, ...]
    scale: Scale
    mean: float
    low: float
    high: float
    equal: bool
    collapsed: Proportion
    complete: Proportion | None = None

    @property
    def reliable(self) -> bool:
        """Whether no seed collapsed: otherwise no interval of a mean of few seeds keeps its confidence."""
        return self.collapsed.k == 0


def t_interval(x: ArrayLike, confidence: float = CONFIDENCE) -> tuple[Array, Array, Array]:
    """Return mean and limits of the two-sided t-interval of values (..., n), n > 1, along the last axis.

    mean ± t((1 + confidence)/2; n - 1)·s/√n, with s² the unbiased variance (Student, Biometrika 1908).
    """
    values = np.asarray(x, dtype=np.float64)
    n = values.shape[-1]
    mean = values.mean(axis=-1)
    half = t_quantile((1 + confidence) / 2, n - 1) * values.std(axis=-1, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


@lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees: float) -> float:
    """Return a quantile of Student's t."""
    return float(special.stdtrit(degrees, probability))


@lru_cache(maxsize=4096)
def clopper_pearson(k: int, n: int, confidence: float = CONFIDENCE) -> Proportion:
    """Return k of n with the exact two-sided interval of the probability (Clopper and Pearson, Biometrika 1934).

    It is 0 to 1 for n = 0.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k must be from 0 to n = {n}, found {k}")
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(k, n - k + 1, tail)) if k else 0.0
    high = float(special.betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Proportion(k, n, low, high)


def collapsed(values: Sequence[float], direction: Direction) -> Proportion:
    """Return how many seeds collapsed: worse than ten times the median of the row.

    A seed collapses if its value is above ten times the median, or, if higher values are better, below a tenth. No seed
    does if the median is not positive or the metric has no direction.
    """
    median = statistics.median(values) if values else 0.0  # numpy's takes most of the time of a large table
    found = 0
    if median > 0 and direction == "lower":
        found = sum(value > COLLAPSE * median for value in values)
    elif median > 0 and direction == "higher":
        found = sum(value < median / COLLAPSE for value in values)
    return clopper_pearson(found, len(values))


def summarize(
    values: Sequence[float],
    scale: Scale,
    direction: Direction = "none",
    samples: Sequence[float] | None = None,
    total: float | None = None,
) -> Summary:
    """Summarize the finite values of one row over its seeds.

    Args:
        values: one for each seed.
        scale: the metric's; "linear" is used if the values do not allow it.
        direction: the metric's.
        samples: number of samples of each value; needed by "share".
        total: for counts, the number that a complete seed reaches: all modes, or 0 for counts of failures.
    """
    used = usable_scale(scale, values, samples)
    x = transform(values, used, samples)
    equal = len(x) > 1 and not bool(has_spread(np.asarray(values, dtype=np.float64)))
    mean = low = high = float("nan")
    if len(x):
        mean = float(mean_of(x.mean(), used))
    if len(x) > 1 and not equal and used != "count":
        low, high = (float(mean_of(limit, used)) for limit in t_interval(x)[1:])
    if equal:
        mean = float(values[0])
    return Summary(
        tuple(map(float, values)),
        used,
        mean,
        low,
        high,
        equal,
        collapsed(values, direction) if used != "count" else clopper_pearson(0, len(x)),
        count_summary(values, direction, total) if scale == "count" and total is not None else None,
    )


def count_summary(values: Sequence[float], direction: Direction, total: float) -> Proportion:
    """Return how many seeds reach `total`: at least it if higher counts are better, else at most it."""
    return clopper_pearson(int(reaches(values, direction, total).sum()), len(values))


def reaches(values: ArrayLike, direction: Direction, total: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether each count reaches the total."""
    x = np.asarray(values, dtype=np.float64)
    return np.asarray(x <= total if direction == "lower" else x >= total)
