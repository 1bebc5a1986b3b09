"""Verdicts on a family of comparisons: Holm's procedure, equivalence, and their combination.

Functions take one value for each comparison of a family along the last axis, (..., m), or differences by seed
(..., m, n), and treat leading axes separately.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gan_bench.statistics.differences import welch_error
from gan_bench.statistics.scales import Array, has_spread

ALPHA = 0.05

Verdict = Literal["better", "worse", "equivalent", "undecided"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def holm(p: ArrayLike) -> Array:
    """Return p-values (..., m) adjusted by Holm's step-down procedure (Scandinavian Journal of Statistics 1979).

    The k-th smallest of m is multiplied by m - k + 1. None is smaller than one before it, or above 1. If hypotheses
    with an adjusted value up to α are rejected, the probability of any false rejection is at most α, whatever the
    dependence of the tests. A comparison without a p-value (NaN) counts in m and stays NaN.
    """
    values = np.asarray(p, dtype=np.float64)
    known = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(known, axis=-1, kind="stable")
    factors = np.arange(values.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(known, order, axis=-1) * factors, axis=-1)
    adjusted = np.empty_like(values)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1), axis=-1)
    return np.where(np.isnan(values), np.nan, adjusted)


def paired_equivalence(d: ArrayLike, margin: float) -> Array:
    """Return p-values (...) of two one-sided paired t-tests that |mean difference| is at least `margin`.

    Equivalence is shown if both that the mean is at most -margin, and that it is at least margin, are rejected, so p is
    the larger of the two (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 1987).

    Args:
        d: differences (..., n). Without spread p is 0 if all are 0, 1 if they are beyond the margin, else 1/2ⁿ, that of
            a one-sided sign-flip test. For one seed p is NaN.
        margin: above 0, in the unit of d.
    """
    x = np.asarray(d, dtype=np.float64)
    n, mean = x.shape[-1], x.mean(axis=-1)
    if n < 2:
        return np.full(mean.shape, np.nan)
    spread = has_spread(x)
    error = np.where(spread, x.std(axis=-1, ddof=1), 1) / math.sqrt(n)
    p = special.stdtr(n - 1, (np.abs(mean) - margin) / error)
    exact = np.where(np.abs(x).max(axis=-1) == 0, 0.0, np.where(np.abs(mean) < margin, 0.5**n, 1.0))
    return np.where(spread, p, exact)


def unpaired_equivalence(a: ArrayLike, b: ArrayLike, margin: float) -> float:
    """Return the p-value of two one-sided Welch tests for a (n,) and b (m,); see `paired_equivalence`."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if min(len(x), len(y)) < 2:
        return math.nan
    error, degrees = welch_error(x, y)
    gap = abs(float(x.mean() - y.mean()))
    if error == 0:
        return 1.0 if gap >= margin else 1 / math.comb(len(x) + len(y), len(x))
    return float(special.stdtr(degrees, (gap - margin) / error))


def decide(gain: ArrayLike, adjusted: ArrayLike, equivalence: ArrayLike, alpha: float = ALPHA) -> NDArray[np.str_]:
    """Return the verdict (...) on each comparison. "equivalent" wins over "better" and "worse".

    Args:
        gain: mean difference, positive if the first model is better.
        adjusted: p-values of the tests of a difference, adjusted by `holm`.
        equivalence: p-values of the tests of equivalence, adjusted by `holm`; NaN without a margin.
        alpha: level of each of the two families.
    """
    sign = np.asarray(gain, dtype=np.float64)
    differs = np.asarray(adjusted) <= alpha
    conditions = [np.asarray(equivalence) <= alpha, differs & (sign > 0), differs & (sign < 0)]
    return np.select(conditions, ["equivalent", "better", "worse"], "undecided")
