"""Marks of the leading rows of a column, and ranks across datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gan_bench.statistics.intervals import CONFIDENCE
from gan_bench.statistics.scales import ROUNDING, Array

LEAST_SEEDS = 3
"""Smallest number of seeds with which a row can be marked."""

RESAMPLES = 2_000


def leaders(loss: ArrayLike, beaten: ArrayLike, margin: float | None = None) -> NDArray[np.bool_]:
    """Return which rows (..., k) lead: not beaten, and within the margin of the best mean.

    No row leads if more than half would: the column then does not separate its rows.

    Args:
        loss: mean of each row (..., k), lower is better, in the unit of the margin.
        beaten: whether another row is better, by a test over all pairs of rows (..., k).
        margin: None for metrics without one: only the best mean, and means equal to it, can lead.
    """
    mean = np.asarray(loss, dtype=np.float64)
    best = mean.min(axis=-1, keepdims=True)
    slack = (margin or 0.0) + ROUNDING * np.abs(mean).max(axis=-1, keepdims=True)
    lead = (mean - best <= slack) & ~np.asarray(beaten, dtype=bool)
    few = 2 * lead.sum(axis=-1, keepdims=True) <= mean.shape[-1]
    return np.asarray(lead & few)


@dataclass(frozen=True)
class MeanRank:
    """Mean rank of one model over datasets, 1 for the best, with limits from resampled seeds."""

    rank: float
    low: float
    high: float


def mean_ranks(
    losses: Sequence[ArrayLike], confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> list[MeanRank]:
    """Return the mean rank of each of k models over datasets.

    A model's rank on a dataset is that of its mean; equal means share their average rank. The interval is between
    quantiles of the mean ranks of resampled seeds: within each dataset, as many seeds as it has are drawn with
    replacement, the same for all models, so that they stay paired. Datasets are not resampled, so that the interval
    holds for these datasets. With few seeds it is too narrow, as all bootstrap intervals.

    Args:
        losses: for each dataset, values (k, n) of the models by seed, lower is better.
        confidence: of the interval.
        resamples: number of resamples.
        seed: of the resamples.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros(len(np.asarray(losses[0])))
    resampled = np.zeros((resamples, len(total)))
    for loss in losses:
        x = np.asarray(loss, dtype=np.float64)
        total += _ranks(x.mean(axis=1))
        drawn = rng.integers(0, x.shape[1], (resamples, x.shape[1]))
        resampled += _ranks(x[:, drawn].mean(axis=2).T)
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = np.quantile(resampled / len(losses), tails, axis=0)
    return [MeanRank(*map(float, each)) for each in zip(total / len(losses), low, high, strict=True)]


def _ranks(mean: Array) -> Array:
    """Return ranks of means (..., k) along the last axis; sums that differ by rounding are equal."""
    scale = np.abs(mean).max(axis=-1, keepdims=True)
    rounded = np.where(scale > 0, np.round(mean / np.where(scale > 0, scale, 1), 12), mean)
    return np.asarray(stats.rankdata(rounded, axis=-1), dtype=np.float64)
