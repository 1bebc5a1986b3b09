"""Scales on which seeds are averaged and models compared, and margins within which two models are equivalent.

A metric declares its scale (`gan_bench.contracts.metric.Metric.scale`). Tests and intervals are computed on transformed
values g(x):

| scale  | g(x)                              | mean of g, back           | difference of g, back |
|--------|-----------------------------------|---------------------------|-----------------------|
| log    | ln x                              | geometric mean            | ratio                 |
| share  | logit of (c + ½)/(m + 1), c = x·m | share                     | odds ratio            |
| linear | x                                 | mean                      | difference            |
| count  | x                                 | mean, see `count_summary` | difference            |

c is the number of samples of a share and m the number of all samples. The ½ keeps shares of 0 and 1 finite (Haldane,
Annals of Human Genetics 1956; Anscombe, Biometrika 1956).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from gan_bench.contracts.metric import Scale

Array = NDArray[np.float64]

Effect = Literal["ratio", "odds ratio", "difference"]
EFFECTS: Mapping[Scale, Effect] = {
    "log": "ratio",
    "share": "odds ratio",
    "linear": "difference",
    "count": "difference",
}
"""Kind of number that `effect_of` returns on each scale."""

NO_EFFECT: Mapping[Effect, float] = {"ratio": 1.0, "odds ratio": 1.0, "difference": 0.0}

MARGINS: Mapping[Scale, float | None] = {"log": math.log(1.25), "share": 0.05, "linear": None, "count": None}
"""Default margin of equivalence of each scale: of the difference of logarithms, or of shares. None: no default."""

ROUNDING = 1e-12
"""Relative size below which the spread of differences is rounding."""


def usable_scale(scale: Scale, values: ArrayLike, samples: ArrayLike | None = None) -> Scale:
    """Return the scale on which all these values can be compared: the declared one, else "linear".

    Args:
        scale: the declared scale.
        values: finite values of all rows that are compared.
        samples: number of samples that each was computed from, NaN if unknown.

    Values of "log" must be above 0, those of "share" from 0 to 1 with known numbers of samples.
    """
    x = np.asarray(values, dtype=np.float64)
    if scale == "log" and (x <= 0).any():
        return "linear"
    if scale == "share":
        known = samples is not None and bool((np.asarray(samples, dtype=np.float64) > 0).all())
        return "share" if known and ((x >= 0) & (x <= 1)).all() else "linear"
    return scale


def transform(values: ArrayLike, scale: Scale, samples: ArrayLike | None = None) -> Array:
    """Return g(values), of the same shape; see the table of this module.

    Args:
        values: any shape; above 0 for "log", 0 to 1 for "share".
        scale: as returned by `usable_scale`.
        samples: m, the number of samples of each value; required for "share".
    """
    x = np.asarray(values, dtype=np.float64)
    if scale == "log":
        return np.asarray(np.log(x))
    if scale == "share":
        m = np.asarray(samples, dtype=np.float64)
        return np.asarray(logit((x * m + 0.5) / (m + 1)))
    return x


def mean_of(transformed: Any, scale: Scale) -> Any:
    """Return a mean of transformed values, or a limit of its interval, in the metric's unit."""
    if scale == "log":
        return np.exp(transformed)
    return expit(transformed) if scale == "share" else transformed


def effect_of(difference: Any, scale: Scale) -> Any:
    """Return a difference of transformed values as ratio, odds ratio or difference; see `EFFECTS`."""
    return np.exp(difference) if scale in ("log", "share") else difference


def has_spread(x: Array) -> NDArray[np.bool_]:
    """Whether values (..., n) differ along the last axis by more than rounding."""
    spread = np.ptp(x, axis=-1)
    return np.asarray(spread > ROUNDING * np.abs(x).max(axis=-1))
