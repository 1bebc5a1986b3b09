"""Comparison of two rows in one metric: the test that belongs to its scale, and what limits the result."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gan_bench.contracts.metric import Direction, Scale
from gan_bench.statistics.differences import (
    Difference,
    Improvement,
    correlation,
    fisher_exact,
    improvement,
    mcnemar,
    paired_difference,
    sign_flip,
    sign_flip_equivalence,
    unpaired_improvement,
    welch,
)
from gan_bench.statistics.intervals import collapsed, reaches
from gan_bench.statistics.scales import Array, has_spread, transform, usable_scale
from gan_bench.statistics.verdicts import paired_equivalence, unpaired_equivalence

FLOOR = 2
"""Factor of the real data's mean up to which a distance is at the floor: the ratio of two such is mostly noise."""


@dataclass(frozen=True)
class Observed:
    """Final values of one metric of one row.

    Attributes:
        values: seed → finite value.
        samples: seed → number of samples that it was computed from, NaN if unknown.
        undefined: seeds of finished runs whose value is nan or inf.
    """

    label: str
    values: dict[int, float] = field(default_factory=dict)
    samples: dict[int, float] = field(default_factory=dict)
    undefined: list[int] = field(default_factory=list)

    def of(self, seeds: Iterable[int]) -> tuple[Array, Array]:
        """Values and numbers of samples (n,) of some seeds."""
        chosen = list(seeds)
        return np.array([self.values[s] for s in chosen]), np.array([self.samples[s] for s in chosen])


@dataclass(frozen=True)
class Question:
    """Metric that two rows are compared by, with its limits.

    Attributes:
        direction: the metric's, not "none".
        scale: the declared one.
        margin: of equivalence, on the declared scale; None without one.
        total: for counts, the number that a complete seed reaches; None if unknown.
        floor: highest mean that is at the floor; NaN without real data.
    """

    metric: str
    direction: Direction
    scale: Scale
    margin: float | None = None
    total: float | None = None
    floor: float = math.nan


@dataclass(frozen=True)
class Result:
    """Comparison of two rows before the adjustment for its family.

    Attributes:
        difference: on the transformed scale; of the shares of complete seeds for counts.
        margin: the usable one, in the unit of `spread`; None without one.
        spread: standard deviation of the differences by seed, in the unit of the margin; without pairs, that of two
            independent values.
        degrees: number of seeds that `spread` was computed from.
        exact: whether the test needs no normal differences.
        notes: phrases.
    """

    first: Observed
    second: Observed
    paired: bool
    test: str
    scale: Scale
    difference: Difference
    improvement: Improvement
    p_flip: float = math.nan
    p_equivalent: float = math.nan
    p_equivalent_flip: float = math.nan
    margin: float | None = None
    spread: float = math.nan
    degrees: int = 0
    correlation: float = math.nan
    exact: bool = False
    at_floor: bool = False
    notes: tuple[str, ...] = ()


def compare_pair(a: Observed, b: Observed, question: Question) -> Result:
    """Compare two rows by the test that belongs to the scale of the metric.

    Rows of the same seeds are compared by seed; others by Welch's test, and counts by Fisher's exact test.
    """
    paired = set(a.values) == set(b.values)
    seeds = sorted(a.values)
    (x, m), (y, k) = a.of(seeds), b.of(seeds if paired else sorted(b.values))
    better = improvement if paired else unpaired_improvement
    gains = better(x, y, question.direction)
    notes = [*_differing_seeds(a, b, paired), *_undefined(a), *_undefined(b)]
    if paired and len(x) > 1 and (x == y).all():
        notes.insert(0, "equal in all seeds")
    if question.scale == "count" and question.total is not None:
        return _compare_counts(a, b, x, y, paired, gains, question, notes)
    scale = usable_scale(question.scale, np.append(x, y), np.append(m, k))
    if scale != question.scale and question.scale == "log":
        notes.append("linear: a value is not above 0")
    elif scale != question.scale and question.scale == "share":
        notes.append("linear: counts are unknown")
    margin = question.margin if scale == question.scale else None
    at_floor = scale == "log" and len(x) > 0 and len(y) > 0 and _at_floor(x, y, question)
    if at_floor:
        notes.append(f"at the floor: both within {FLOOR} times the real data's value, no ratio")
    notes += [*_collapse(a.label, x, question), *_collapse(b.label, y, question)]
    first, second = transform(x, scale, m), transform(y, scale, k)
    # Margins of shares are differences of shares, those of other scales differences of transformed values.
    u, v = (x, y) if scale == "share" else (first, second)
    found = _paired(first - second, u - v, margin) if paired else _unpaired(first, second, u, v, margin)
    test = "Welch t"
    if paired:
        constant = len(x) > 1 and first[0] != second[0] and not has_spread(first - second)
        test = "sign flip" if constant else "paired t"
    return Result(
        a, b, paired, test, scale, improvement=gains, margin=margin,
        correlation=correlation(first, second) if paired else math.nan, at_floor=at_floor, notes=tuple(notes), **found,
    )  # fmt: skip


def _paired(d: Array, gap: Array, margin: float | None) -> dict[str, Any]:
    """Tests of differences d (n,) on the transformed scale and gap (n,) in the unit of the margin."""
    if len(d) < 2:
        mean = float(d.mean()) if len(d) else math.nan
        return {"difference": Difference(mean, math.nan, math.nan, math.nan)}
    return {
        "difference": paired_difference(d),
        "p_flip": float(sign_flip(d)),
        "p_equivalent": float(paired_equivalence(gap, margin)) if margin else math.nan,
        "p_equivalent_flip": float(sign_flip_equivalence(gap, margin)) if margin else math.nan,
        "spread": float(gap.std(ddof=1)),
        "degrees": len(gap),
    }


def _unpaired(a: Array, b: Array, u: Array, v: Array, margin: float | None) -> dict[str, Any]:
    """Tests of transformed values a (n,), b (m,); u and v are the same in the unit of the margin."""
    if not len(a) or not len(b):
        return {"difference": Difference(math.nan, math.nan, math.nan, math.nan)}
    few = min(len(a), len(b))
    return {
        "difference": welch(a, b),
        "p_equivalent": unpaired_equivalence(u, v, margin) if margin else math.nan,
        "spread": math.sqrt(u.var(ddof=1) + v.var(ddof=1)) if few > 1 else math.nan,
        "degrees": few,
    }


def _compare_counts(
    a: Observed,
    b: Observed,
    x: Array,
    y: Array,
    paired: bool,
    gains: Improvement,
    question: Question,
    notes: Sequence[str],
) -> Result:
    """Compare the seeds that reach the total, which need no normal distribution."""
    assert question.total is not None
    first, second = (reaches(values, question.direction, question.total) for values in (x, y))
    p = math.nan
    if len(x) > 1 and len(y) > 1:
        p = mcnemar(first, second) if paired else fisher_exact(first, second)
    share = float(first.mean() - second.mean()) if len(x) and len(y) else math.nan
    return Result(
        a, b, paired, "McNemar" if paired else "Fisher", "count", Difference(share, math.nan, math.nan, p),
        gains, exact=True, notes=(f"complete seeds: {first.sum()}/{len(x)} and {second.sum()}/{len(y)}", *notes),
    )  # fmt: skip


def _differing_seeds(a: Observed, b: Observed, paired: bool) -> Iterator[str]:
    if not paired and a.values and b.values:
        common = len(a.values.keys() & b.values)
        yield f"unpaired: seeds differ ({len(a.values)} and {len(b.values)}, {common} in common)"
    for row in (a, b):
        if not row.values:
            yield f"no value of {row.label}"


def _undefined(row: Observed) -> Iterator[str]:
    if row.undefined:
        yield f"{row.label}: nan or inf in seed {', '.join(map(str, row.undefined))}, left out"


def _collapse(label: str, values: Array, question: Question) -> Iterator[str]:
    found = collapsed(values.tolist(), question.direction)
    if found.k:
        yield f"unreliable: {found.k} of {found.n} seeds of {label} collapsed"


def _at_floor(x: Array, y: Array, question: Question) -> bool:
    """Whether both geometric means are at the floor."""
    means = (math.exp(np.log(values).mean()) for values in (x, y))
    return question.direction == "lower" and all(mean <= question.floor for mean in means)
