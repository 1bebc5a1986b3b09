"""Which class each sample is of, and the share that each class has of a generator's samples.

A generator of a mixture is said to lean to a class of its own (MGAN, Hoang et al., ICLR 2018, figures 3 and 5), or to
make one digit of two (Barsim, Yang and Yang, arXiv:1802.01568). A metric that tells classes apart says which class each
sample is of (`Metric.classes`); what is counted here is a run's classes.csv. Modes of a mixture are classes as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.metric import Classes, Samples
from gan_bench.contracts.scores import NONE, OTHERS, Share

KEPT = 32
"""Classes whose shares are told one by one: all where there are no more, else those largest in any one generator."""


def class_shares(classes: Classes, samples: Samples) -> list[Share]:
    """The shares of all classes in the mixture, then in each generator where samples have an index; each adds up to 1.

    Of more than `KEPT` classes the others are one. All generators are told of the same classes, also of those that they
    make nothing of.
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
    """Samples (1 + K, M + 1) by generator, first those of all, and by class, last those of none."""
    columns = len(classes.names) + 1
    label = np.where(classes.label < 0, columns - 1, classes.label)
    if samples.generator is None:
        return np.bincount(label, minlength=columns)[None]
    cells = np.bincount(samples.generator * columns + label, minlength=samples.generators * columns)
    each = cells.reshape(samples.generators, columns)
    return np.concatenate([each.sum(axis=0, keepdims=True), each])


def _columns(classes: Classes, shares: NDArray[np.float64]) -> tuple[list[str], NDArray[np.float64]]:
    """What is told, by name: classes in their order, all others, none."""
    each, none = shares[:, :-1], shares[:, -1:]
    largest = np.argsort(-np.nan_to_num(each).max(axis=0), kind="stable")
    kept, rest = np.sort(largest[:KEPT]), largest[KEPT:]
    names, parts = [classes.names[m] for m in kept], [each[:, kept]]
    if len(rest):
        names, parts = [*names, OTHERS], [*parts, each[:, rest].sum(axis=1, keepdims=True)]
    if not classes.exhaustive:
        names, parts = [*names, NONE], [*parts, none]
    return names, np.concatenate(parts, axis=1)
