"""Tests of the difference between two models over training seeds.

Two models that are trained with the same seeds see the same real data and latents, so they are compared by seed. The
paired t-test decides at every number of seeds; the sign-flip test beside it does not need normal differences.

Functions on differences take d (..., n), the differences of transformed values by seed along the last axis, and return
one value for each of the leading axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from gan_bench.contracts.metric import Direction
from gan_bench.statistics.intervals import CONFIDENCE, clopper_pearson, t_quantile
from gan_bench.statistics.scales import ROUNDING, Array, has_spread

EXACT_SIGN_FLIPS = 12
"""Largest number of seeds for which all sign flips are enumerated."""

SIGN_FLIPS = 100_000
"""Number of random sign flips for more seeds."""

_TIE = 1e-12
"""Relative difference below which two sums of flipped differences are equal."""


@dataclass(frozen=True)
class Difference:
    """Difference of two means of transformed values, with its t-interval and two-sided p-value."""

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Improvement:
    """Seeds in which one model is better than another.

    Attributes:
        probability: (wins + ties/2) / n; NaN without seeds.
        low, high: limits of the exact interval of wins among untied seeds; 0 and 1 without any, NaN unpaired.
    """

    wins: int
    ties: int
    losses: int
    probability: float
    low: float
    high: float


def paired_t(d: ArrayLike) -> Array:
    """Return two-sided p-values (...) of the paired t-test that the mean difference is 0.

    t = mean(d)·√n / s with n - 1 degrees of freedom (Student, Biometrika 1908). Differences without spread have no t:
    p is 1 if all are 0, else that of the sign-flip test, 2/2ⁿ. For one seed p is NaN.
    """
    x = np.asarray(d, dtype=np.float64)
    n = x.shape[-1]
    mean = x.mean(axis=-1)
    if n < 2:
        return np.full(mean.shape, np.nan)
    spread = has_spread(x)
    error = np.where(spread, x.std(axis=-1, ddof=1), 1) / math.sqrt(n)
    p = np.asarray(2 * special.stdtr(n - 1, -np.abs(mean / error)), dtype=np.float64)
    return np.where(spread, p, np.where(np.abs(x).max(axis=-1) == 0, 1.0, 2.0 ** (1 - n)))


def paired_difference(d: ArrayLike, confidence: float = CONFIDENCE) -> Difference:
    """Return mean, interval and p-value of differences (n,); the interval is NaN without spread."""
    x = np.asarray(d, dtype=np.float64)
    mean, n = float(x.mean()), len(x)
    half = math.nan
    if n > 1 and bool(has_spread(x)):
        half = t_quantile((1 + confidence) / 2, n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, float(paired_t(x)))


def sign_flip(d: ArrayLike, seed: int = 0, *, greater: bool = False) -> Array:
    """Return p-values (...) of the sign-flip test of the mean difference, two-sided by default.

    Under the null, differences are symmetric about 0, so that every assignment of signs is equally likely (Fisher, The
    Design of Experiments, 1935). p is the share of assignments whose mean is at least as far from 0. Up to 12 seeds all
    2ⁿ are enumerated, and p is at least 2/2ⁿ. For more, 100,000 are drawn, and p = (1 + hits)/(1 + draws), which keeps
    the level (Phipson and Smyth, 2010).

    Args:
        d: differences (..., n).
        seed: of the drawn signs.
        greater: whether only assignments with a mean at least as high count, for the alternative of a positive mean.
            The least p is then 1/2ⁿ.
    """
    x = np.asarray(d, dtype=np.float64)
    n = x.shape[-1]
    size = np.asarray if greater else np.abs
    least = size(x.sum(axis=-1)) - _TIE * np.abs(x).sum(axis=-1)
    if n <= EXACT_SIGN_FLIPS:
        return np.asarray((size(x @ _signs(n).T) >= least[..., None]).mean(axis=-1), dtype=np.float64)
    signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, (SIGN_FLIPS, n)).astype(np.float64)
    hits = [(size(signs @ row) >= low).sum() for row, low in zip(x.reshape(-1, n), least.reshape(-1), strict=True)]
    return np.asarray((1 + np.reshape(hits, least.shape)) / (1 + SIGN_FLIPS), dtype=np.float64)


def sign_flip_equivalence(d: ArrayLike, margin: float, seed: int = 0) -> Array:
    """Return p-values (...) of two one-sided sign-flip tests that |mean difference| is at least `margin`."""
    x = np.asarray(d, dtype=np.float64)
    return np.maximum(sign_flip(margin + x, seed, greater=True), sign_flip(margin - x, seed, greater=True))


@lru_cache
def _signs(n: int) -> Array:
    """Return all sign assignments (2ⁿ, n)."""
    return np.asarray(1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1), dtype=np.float64)


def welch(a: ArrayLike, b: ArrayLike, confidence: float = CONFIDENCE) -> Difference:
    """Return the difference of the means of a (n,) and b (m,) without pairs, by Welch's t-test (Biometrika 1947).

    p is NaN if either has fewer than two values. Without spread in both, p is 1 if the means are equal, else 2 of the
    number of ways to divide the values into two groups.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    mean = float(x.mean() - y.mean())
    if min(len(x), len(y)) < 2:
        return Difference(mean, math.nan, math.nan, math.nan)
    error, degrees = welch_error(x, y)
    if error <= ROUNDING * max(np.abs(x).max(), np.abs(y).max()):
        p = 2 / math.comb(len(x) + len(y), len(x)) if abs(mean) > error else 1.0
        return Difference(mean, math.nan, math.nan, p)
    half = t_quantile((1 + confidence) / 2, degrees) * error
    return Difference(mean, mean - half, mean + half, float(2 * special.stdtr(degrees, -abs(mean / error))))


def welch_error(x: Array, y: Array) -> tuple[float, float]:
    """Return the standard error of a difference of two means, and its degrees of freedom (Satterthwaite 1946)."""
    u, v = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    if u + v == 0:
        return 0.0, float(len(x) + len(y) - 2)
    degrees = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1))
    return math.sqrt(u + v), float(degrees)


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the exact p-value of McNemar's test for successes a, b (n,) of the same seeds (Psychometrika 1947).

    Only seeds in which one of the two succeeds count. Under the null each of the two is equally likely, so p is that of
    a binomial test. It is 1 without such seeds, and at least 2/2ⁿ.
    """
    first, second = int((a & ~b).sum()), int((b & ~a).sum())
    if first + second == 0:
        return 1.0
    return float(min(1.0, 2 * special.bdtr(min(first, second), first + second, 0.5)))


def fisher_exact(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the p-value of Fisher's exact test for successes a (n,), b (m,) of different seeds."""
    counts = [[int(x.sum()), int((~x).sum())] for x in (a, b)]
    return float(stats.fisher_exact(counts).pvalue)


def improvement(a: ArrayLike, b: ArrayLike, direction: Direction) -> Improvement:
    """Return in how many seeds a (n,) is better than b (n,), with an exact interval over the untied seeds.

    The probability of improvement counts a tie as half (Agarwal et al., NeurIPS 2021).
    """
    x = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    gain = -x if direction == "lower" else x
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    ties = len(x) - wins - losses
    untied = clopper_pearson(wins, wins + losses)
    probability = (wins + ties / 2) / len(x) if len(x) else math.nan
    return Improvement(wins, ties, losses, probability, untied.low, untied.high)


def unpaired_improvement(a: ArrayLike, b: ArrayLike, direction: Direction) -> Improvement:
    """Return how often a value of a (n,) is better than one of b (m,), over all n·m: U/(nm) of Mann and Whitney."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    gain = (x[:, None] - y[None, :]) * (-1 if direction == "lower" else 1)
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    ties = gain.size - wins - losses
    probability = (wins + ties / 2) / gain.size if gain.size else math.nan
    return Improvement(wins, ties, losses, probability, math.nan, math.nan)


def correlation(a: Sequence[float] | Array, b: Sequence[float] | Array) -> float:
    """Return Pearson's correlation by seed of two models (n,); NaN for fewer than three seeds or without spread."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if len(x) < 3 or not has_spread(x) or not has_spread(y):
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])
