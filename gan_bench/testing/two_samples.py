"""Comparisons of two sets of samples, and of the samples of one set with their positions.

All thresholds are so strict that samples of one distribution exceed none of them in practice. Random orders are always
the same ones, so that a check has the same result each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

ERRORS = 6  # largest deviation of a normal statistic in standard errors
MOST = 500  # samples of each set whose distances are computed
DIRECTIONS = 32  # projections of samples of more dimensions
FIRST, ORDERS = 99, 20_000  # random divisions; the second number only if the first shows a difference
LEVEL = 1e-4  # largest p-value of a difference
ENERGY = 0.002  # least energy distance relative to the mean distance of two samples
NEAR = 5  # neighbours
SMALL = 20  # least number of different samples of each set

Array = NDArray[np.float64]


def flat(x: NDArray[np.float32]) -> Array:
    """Return samples as rows of at most `DIRECTIONS` numbers: random projections if they have more."""
    rows = x.reshape(len(x), -1)
    if rows.shape[1] > DIRECTIONS:
        directions = np.random.default_rng(0).normal(size=(rows.shape[1], DIRECTIONS)).astype(np.float32)
        rows = rows @ (directions / math.sqrt(rows.shape[1]))
    return rows.astype(np.float64)


def difference(a: Array, b: Array) -> str | None:
    """Return a description of a significant difference of two sets of independent samples, or None.

    Repeated samples count once, since draws from a finite set repeat some.
    """
    a, b = np.unique(a, axis=0), np.unique(b, axis=0)
    if min(len(a), len(b)) < SMALL:
        return None
    rng = np.random.default_rng(0)
    a, b = (x[rng.permutation(len(x))[:MOST]] for x in (a, b))
    pooled, first = np.concatenate([a, b]), np.arange(len(a) + len(b)) < len(a)
    spread = pooled.std(axis=0)
    pooled = (pooled - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1)
    distances = cdist(pooled, pooled)
    for name, values in _properties(pooled, distances):
        score = _rank_score(values, first)
        if abs(score) > ERRORS:
            return f"the {name} differs by {abs(score):.1f} standard errors of its mean rank"
    return _energy_difference(distances, first)


def _properties(pooled: Array, distances: Array) -> Iterator[tuple[str, Array]]:
    """Yield numbers of each sample that do not depend on its set."""
    neighbour = np.partition(distances, NEAR, axis=1)[:, NEAR]
    yield f"distance to the {NEAR} nearest samples", neighbour
    for number, column in enumerate(pooled.T):
        yield f"coordinate {number}" if pooled.shape[1] < DIRECTIONS else f"projection {number}", column
        yield f"distance of coordinate {number} from the median", np.abs(column - np.median(column))


def _rank_score(values: Array, first: NDArray[np.bool_]) -> float:
    """Return the difference of mean ranks in standard errors."""
    ranks = _ranks(values)
    error = ranks.std() * math.sqrt(1 / first.sum() + 1 / (~first).sum())
    return float((ranks[first].mean() - ranks[~first].mean()) / error) if error > 0 else 0.0


def _energy_difference(distances: Array, first: NDArray[np.bool_]) -> str | None:
    signs = np.where(first, 1 / first.sum(), -1 / (~first).sum())
    found = -float(signs @ distances @ signs)
    size = found / (2 * distances.mean())
    rng = np.random.default_rng(1)
    if size < ENERGY or _larger(distances, signs, found, FIRST, rng):
        return None
    larger = 0
    for _ in range(ORDERS // 2000):
        larger += _larger(distances, signs, found, 2000, rng)
        if (larger + 1) / (ORDERS + 1) > LEVEL:
            return None
    return f"the energy distance is {size:.3g} of the mean distance, p = {(larger + 1) / (ORDERS + 1):.1g}"


def _larger(distances: Array, signs: Array, found: float, orders: int, rng: np.random.Generator) -> int:
    """Return the number of random divisions with an energy distance at least as large."""
    divisions = rng.permuted(np.tile(signs[:, None], orders), axis=0).astype(np.float32)
    energies = -np.einsum("ij,ij->j", divisions, distances.astype(np.float32) @ divisions)
    return int((energies >= found * (1 - 1e-4)).sum())


def _ranks(values: Array) -> Array:
    """Return the ranks of values, from 1; equal values have their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def trend(values: Array) -> float:
    """Return the rank correlation of values (n,) with their positions in standard errors."""
    ranks = _ranks(values)
    spread = ranks.std()
    if spread == 0:
        return 0.0
    places = np.arange(len(ranks)) - (len(ranks) - 1) / 2
    return float((ranks @ places) / (len(ranks) * spread * places.std()) * math.sqrt(len(ranks)))


def adjacency(rows: Array, labels: bool = False) -> float:
    """Return how far the mean distance of neighbours (n, d) in their order is from that in random orders.

    The unit is the standard deviation of the latter. For labels, the distance of different labels is 1.
    """
    rng = np.random.default_rng(0)

    def mean(x: Array) -> float:
        steps = x[1:] != x[:-1] if labels else x[1:] - x[:-1]
        return float(np.linalg.norm(steps, axis=1).mean())

    chance = [mean(rows[rng.permutation(len(rows))]) for _ in range(50)]
    spread = float(np.std(chance))
    return (mean(rows) - float(np.mean(chance))) / spread if spread > 0 else 0.0


def count_score(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return the chi-square statistic of the labels of two sets, normalised to mean 0 and deviation 1."""
    size = int(max(a.max(), b.max())) + 1
    table = np.stack([np.bincount(x, minlength=size) for x in (a, b)]).astype(np.float64)
    table = table[:, table.any(axis=0)]
    if table.shape[1] < 2:
        return 0.0
    expected = table.sum(axis=0) * table.sum(axis=1, keepdims=True) / table.sum()
    degrees = table.shape[1] - 1
    return float((((table - expected) ** 2 / expected).sum() - degrees) / math.sqrt(2 * degrees))


def agreement(rows: Array, label: NDArray[np.int64], others: Array | None = None) -> NDArray[np.int64]:
    """Return the label of the nearest different sample for each of the rows, or of the others."""
    distances = cdist(rows if others is None else others, rows)
    if others is None:
        distances[distances == 0] = np.inf
    nearest: NDArray[np.int64] = label[distances.argmin(axis=1)]
    return nearest


def share_score(labels: NDArray[np.int64], found: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the share of equal labels, the share expected for independent ones, and their difference in errors."""
    size = int(max(labels.max(), found.max())) + 1
    shares = [np.bincount(x, minlength=size) / len(x) for x in (labels, found)]
    expected = float(shares[0] @ shares[1])
    share = float((labels == found).mean())
    error = math.sqrt(max(expected * (1 - expected), 1e-12) / len(labels))
    return share, expected, (share - expected) / error


def label_score(rows: Array, label: NDArray[np.int64]) -> float:
    """Return the largest Kruskal-Wallis statistic of the labels over coordinates and their distances from the median.

    It is normalised to mean 0 and deviation 1 for independent labels.
    """
    counts = np.bincount(label)
    present = counts > 0
    degrees = int(present.sum()) - 1
    best = 0.0
    for column in rows.T:
        for values in (column, np.abs(column - np.median(column))):
            ranks = _ranks(values)
            means = np.bincount(label, ranks)[present] / counts[present]
            variance = ranks.var() * len(ranks) / max(len(ranks) - 1, 1)
            if variance > 0:
                statistic = (counts[present] * (means - ranks.mean()) ** 2).sum() / variance
                best = max(best, float((statistic - degrees) / math.sqrt(2 * degrees)))
    return best
