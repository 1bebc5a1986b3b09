"""Power of the paired t-test: seeds needed for a margin, and the difference that a number of seeds can show.

An effect is a true mean difference divided by the standard deviation σ of the differences by seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from gan_bench.statistics.intervals import t_quantile
from gan_bench.statistics.scales import Array
from gan_bench.statistics.verdicts import ALPHA

POWER = 0.8
SPREAD_CONFIDENCE = 0.8
"""Confidence of the upper limit of the spread from which the number of seeds is computed."""

MOST_SEEDS = 10_000
"""Largest number of seeds that is searched."""

_NODES = 300
_TAIL = 9.0  # standard deviations beyond which a normal variable is neglected: 1e-19
_FEW = 60  # degrees of freedom below which the integral is over the normal variable


def power_of_t(effect: float, n: int, alpha: float = ALPHA) -> float:
    """Return the power of the two-sided one-sample t-test at level alpha with n > 1 values.

    T = (Z + δ)/√(V/ν), with δ = effect·√n, Z standard normal and V of a χ² distribution with ν = n - 1, so the power is
    a single integral. scipy's noncentral t returns NaN for large δ, and is not used. Absolute error below 1e-10.
    """
    if n < 2:
        return math.nan
    critical, shift = t_quantile(1 - alpha / 2, n - 1), abs(effect) * math.sqrt(n)
    return min(1.0, _upper_tail(critical, shift, n - 1) + _upper_tail(critical, -shift, n - 1))


def _upper_tail(critical: float, shift: float, degrees: int) -> float:
    """Return P(T > critical) of the noncentral t distribution, for critical > 0."""
    if degrees < _FEW:
        # P = ∫ φ(z) P(√(V/ν) < (z + δ)/t) dz over z > -δ
        low = max(-shift, -_TAIL)
        if low >= _TAIL:
            return 0.0
        z, weights = _nodes(low, _TAIL)
        scaled = degrees * ((z + shift) / critical) ** 2
        return float(weights @ (np.exp(-(z**2) / 2) * special.gammainc(degrees / 2, scaled / 2))) / math.sqrt(
            2 * math.pi
        )
    # P = ∫ f(s) Φ(δ - t·s) ds over s = √(V/ν), which is close to 1 for many degrees of freedom
    width = _TAIL / math.sqrt(2 * degrees)
    s, weights = _nodes(max(0.0, 1 - width), 1 + width)
    half = degrees / 2
    log_density = math.log(2) + half * math.log(half) - math.lgamma(half) + (degrees - 1) * np.log(s) - half * s**2
    return float(weights @ (np.exp(log_density) * special.ndtr(shift - critical * s)))


def _nodes(low: float, high: float) -> tuple[Array, Array]:
    """Return nodes and weights of the Gauss-Legendre rule on an interval."""
    x, weights = _legendre()
    return (low + high) / 2 + (high - low) / 2 * x, (high - low) / 2 * weights


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(_NODES)


def upper_spread(spread: float, n: int, confidence: float = SPREAD_CONFIDENCE) -> float:
    """Return the upper confidence limit of σ, from the standard deviation of n > 1 normal values.

    s·√((n - 1)/χ²(1 - confidence; n - 1)). A number of seeds computed from s itself reaches its power in only half of
    all pilot studies; from this limit, in 80 % of them (Browne, Statistics in Medicine 1995).
    """
    quantile = 2 * float(special.gammaincinv((n - 1) / 2, 1 - confidence))  # of χ²
    return spread * math.sqrt((n - 1) / quantile)


def seeds_needed(spread: float, margin: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Return the smallest number of seeds with which the paired t-test shows a true difference of `margin`.

    The search starts at n = (t(1 - α/2; n - 1) + t(power; n - 1))²·σ²/margin², iterated, and ends at the smallest n
    whose exact power is at least `power`.

    Args:
        spread: standard deviation σ of the differences by seed, or its upper limit, in the unit of `margin`.
        margin: above 0.
        alpha: level of the single test: for Holm's first step, that of the family divided by its size.
        power: probability to show it.

    Returns:
        At least 2; None if more than 10,000 are needed.
    """
    effect = margin / spread if spread > 0 else math.inf
    if math.isinf(effect):
        return 2
    n = _first_guess(effect, alpha, power)
    while n > 2 and power_of_t(effect, n - 1, alpha) >= power:
        n -= 1
    while n <= MOST_SEEDS and power_of_t(effect, n, alpha) < power:
        n += 1
    return n if n <= MOST_SEEDS else None


def _first_guess(effect: float, alpha: float, power: float) -> int:
    """Return the fixed point of the formula for a known spread."""
    n = 2
    for _ in range(50):
        terms = t_quantile(1 - alpha / 2, n - 1) + t_quantile(power, n - 1)
        new = min(max(2, math.ceil((terms / effect) ** 2)), MOST_SEEDS + 1)
        if new == n:
            break
        # Half a step in the number of seeds: t quantiles of one degree of freedom would overshoot.
        n = new if n == 2 or abs(new - n) <= 1 else (n + new + 1) // 2
    return n


def detectable_effect(n: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the smallest effect that n > 1 seeds show with probability `power`."""
    high = 1.0
    while power_of_t(high, n, alpha) < power:
        high *= 2
    return float(optimize.brentq(lambda effect: power_of_t(effect, n, alpha) - power, 0.0, high, xtol=1e-13))


@dataclass(frozen=True)
class Detectable:
    """Smallest difference that a number of seeds can show, before anything is run.

    Attributes:
        seeds: n.
        comparisons: size m of the family; each test has the level α/m.
        effect: smallest difference in standard deviations of the differences by seed; NaN for one seed.
        spread: largest standard deviation with which a difference of the margin is shown; NaN without a margin.
    """

    seeds: int
    comparisons: int
    effect: float
    spread: float


def detectable(seeds: int, comparisons: int = 1, margin: float | None = None, alpha: float = ALPHA) -> Detectable:
    """Return the smallest difference that a benchmark shows with 80 % power, at Holm's first step."""
    if seeds < 2:
        return Detectable(seeds, comparisons, math.nan, math.nan)
    effect = detectable_effect(seeds, alpha / max(1, comparisons))
    return Detectable(seeds, comparisons, effect, margin / effect if margin else math.nan)
