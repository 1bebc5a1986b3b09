"""Class of each sample, and the share of each class among a generator's samples.

Each generator of a mixture may specialise in a separate class (MGAN, Hoang et al., ICLR 2018, figures 3 and 5), or
generate one digit of two (Barsim, Yang and Yang, arXiv:1802.01568). A metric that distinguishes classes returns the
class of each sample (`Metric.classes`); the shares are a run's classes.csv. Modes of a mixture are classes as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.metric import Classes, Samples
from gan_bench.contracts.scores import NONE, OTHERS, Share

KEPT = 32
"""Number of classes with individual shares; of more classes, those with the largest share in any one generator."""


def class_shares(classes: Classes, samples: Samples) -> list[Share]:
    """Shares of all classes in the mixture, then in each generator if samples have an index; each set adds up to 1.

    Beyond `KEPT` classes the others are summed up as one. All generators list the same classes, even with no samples of
    them.
    """
    counts = _counts(classes, samples)
    n = counts.sum(axis=1)
    shares = counts / np.where(n > 0, n, np.nan)[:, None]
    names, table = _columns(classes, shares)
    rows = [None, *range(len(table) - 1)]
    return [
        Share(generator, name, float(share), int(made))
        for generator, row, made in zip(rows, table, n, strict=True)
        for name, share in zip(names, row, strict=True)
    ]


def _counts(classes: Classes, samples: Samples) -> NDArray[np.int64]:
    """Count samples (1 + K, M + 1) by generator, all first, and by class, unclassified last."""
    columns = len(classes.names) + 1
    label = np.where(classes.label < 0, columns - 1, classes.label)
    if samples.generator is None:
        return np.bincount(label, minlength=columns)[None]
    cells = np.bincount(samples.generator * columns + label, minlength=samples.generators * columns)
    each = cells.reshape(samples.generators, columns)
    return np.concatenate([each.sum(axis=0, keepdims=True), each])


def _columns(classes: Classes, shares: NDArray[np.float64]) -> tuple[list[str], NDArray[np.float64]]:
    """Columns by name: individual classes in their order, all others, none."""
    each, none = shares[:, :-1], shares[:, -1:]
    largest = np.argsort(-np.nan_to_num(each).max(axis=0), kind="stable")
    kept, rest = np.sort(largest[:KEPT]), largest[KEPT:]
    names, parts = [classes.names[m] for m in kept], [each[:, kept]]
    if len(rest):
        names, parts = [*names, OTHERS], [*parts, each[:, rest].sum(axis=1, keepdims=True)]
    if not classes.exhaustive:
        names, parts = [*names, NONE], [*parts, none]
    return names, np.concatenate(parts, axis=1)
