"""Marks of the leading rows of a column."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from gan_bench.contracts.table import MetricInfo
from gan_bench.results.load import StoredResults
from gan_bench.results.metrics import known_metrics, with_scales
from gan_bench.statistics.differences import paired_t
from gan_bench.statistics.families import judge
from gan_bench.statistics.intervals import summarize
from gan_bench.statistics.leaders import LEAST_SEEDS, leaders
from gan_bench.statistics.observations import FinalValues, rows_of
from gan_bench.statistics.pairs import Observed, Question, compare_pair
from gan_bench.statistics.scales import Array, transform, usable_scale
from gan_bench.statistics.verdicts import ALPHA, decide, holm, paired_equivalence

ENDED = frozenset({"finished", "failed", "diverged"})
"""Statuses of runs without further values to come."""

MOST_ROWS = 1_000
"""Number of rows up to which all pairs are compared: their number is quadratic."""

LEADER_COLUMNS = ("dataset", "label", "mean", "n", "status", "reason")


def mark(
    frame: pd.DataFrame,
    metrics: Mapping[str, MetricInfo],
    metric: str,
    *,
    planned: Collection[int] | None = None,
    excluded: Mapping[str, str] | None = None,
    margins: Mapping[str, float] | None = None,
    anchors: Collection[str] | None = None,
    samples: int | None = None,
    expected: Sequence[tuple[str, str]] = (),
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """Mark the leading models of each dataset in one metric.

    A row leads if no other row is better by Holm's procedure over all pairs of rows, and its mean is within the margin
    of the best (see `leaders`). Nothing is marked while runs are missing, if rows differ in their number of seeds, have
    fewer than three, or if more than half would lead.

    Args:
        frame, metrics, metric, margins, anchors, samples, expected, alpha: as in `compare`.
        planned: seeds of the benchmark; default: all in `frame`.
        excluded: label → reason why it does not compete: it receives labels, or the number of modes.

    Returns:
        A frame with the columns dataset, label, mean, n, status ("marked", "behind", "excluded" or "undecided") and
        reason. mean is on the metric's scale.
    """
    table = FinalValues(frame, metrics, anchors, samples, expected)
    return mark_values(table, frame, metric, planned=planned, excluded=excluded, margins=margins, alpha=alpha)


def mark_values(
    table: FinalValues,
    frame: pd.DataFrame,
    metric: str,
    *,
    planned: Collection[int] | None = None,
    excluded: Mapping[str, str] | None = None,
    margins: Mapping[str, float] | None = None,
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """Mark the leading models by final values; see `mark` for the arguments."""
    table.check_metric(metric)
    ends = frame.loc[frame["status"].isin(ENDED), ["dataset", "label", "seed"]].drop_duplicates()
    ended = ends.groupby(["dataset", "label"], observed=True)["seed"].unique()
    seeds = set(planned) if planned is not None else set(frame["seed"])
    rows = []
    for dataset in table.datasets:
        done = {str(label): set(found) for label, found in ended.get(dataset, pd.Series(dtype=object)).items()}
        question = table.question(dataset, metric, margins or {})
        reasons = _exclusions(table, dataset, metric, question, excluded or {}, done, frame)
        competing = [row for row in table.rows(dataset, metric) if row.label not in reasons]
        states = _states(competing, question, [r.label for r in competing if seeds - done.get(r.label, set())], alpha)
        states |= {label: ("excluded", reason) for label, reason in reasons.items()}
        for row in table.rows(dataset, metric):
            values, sizes = row.of(sorted(row.values))
            mean = summarize(values.tolist(), question.scale, question.direction, sizes.tolist()).mean
            rows.append((dataset, row.label, mean, len(row.values), *states[row.label]))
    return pd.DataFrame(rows, columns=list(LEADER_COLUMNS))


def mark_results(results: StoredResults, metric: str) -> pd.DataFrame:
    """Mark the leading models of stored results; see `mark` for the columns.

    Margins, oracles, models, anchors, seeds and number of samples are those of the benchmark.
    """
    metrics, benchmark = with_scales(known_metrics(results), results), results.benchmark
    if benchmark is None:
        return mark(results.frame, metrics, metric, excluded=informed_models(results))
    return mark(
        results.frame,
        metrics,
        metric,
        planned=benchmark.seeds,
        excluded=informed_models(results),
        margins=benchmark.evaluation.margins,
        **rows_of(benchmark),
    )


def informed_models(results: StoredResults) -> dict[str, str]:
    """Labels of models with more information than the others, with the reason: they are never marked."""
    oracles = results.benchmark.evaluation.oracles if results.benchmark else ()
    readers = [placed.entry.label for placed in results.runs if placed.run.record.model.reads_labels]
    return dict.fromkeys(oracles, "the benchmark declares it an oracle") | dict.fromkeys(readers, "it reads labels")


def _exclusions(
    table: FinalValues,
    dataset: str,
    metric: str,
    question: Question,
    excluded: Mapping[str, str],
    done: Mapping[str, set[int]],
    frame: pd.DataFrame,
) -> dict[str, str]:
    """Rows that do not compete, with the reason."""
    sign = 1 if question.direction == "lower" else -1
    real = table.anchor(dataset, metric)
    info = table.metrics[metric]
    alone = _single_generators(frame, dataset, metric) if info.per_generator and question.scale == "count" else set()
    reasons = {}
    for row in table.rows(dataset, metric):
        values = list(row.values.values())
        if row.label in excluded:
            reasons[row.label] = excluded[row.label]
        elif row.label in alone:
            reasons[row.label] = "the metric is trivial for one generator"
        elif lost := len(done.get(row.label, ())) - len(values):
            reasons[row.label] = f"no value in {lost} of {len(done[row.label])} seeds"
        elif real and values and sign * float(np.mean(values)) < min(sign * each for each in real):
            reasons[row.label] = "better than every seed of real data"
    return reasons


def _single_generators(frame: pd.DataFrame, dataset: str, metric: str) -> set[str]:
    """Labels of models with one generator, from the values of a per-generator metric."""
    found = frame[(frame["dataset"] == dataset) & (frame["metric"] == metric) & frame["generator"].notna()]
    numbers = found.groupby("label", observed=True)["generator"].nunique()
    return set(numbers[numbers == 1].index)


def _states(
    rows: Sequence[Observed], question: Question, missing: Sequence[str], alpha: float
) -> dict[str, tuple[str, str]]:
    """Status and reason of each competing row."""
    sizes = {len(row.values) for row in rows}
    reason = ""
    if missing:
        reason = f"runs are missing: {', '.join(missing)}"
    elif len(sizes) > 1:
        reason = "numbers of seeds differ"
    elif sizes and min(sizes) < LEAST_SEEDS:
        reason = f"fewer than {LEAST_SEEDS} seeds"
    elif len(rows) > MOST_ROWS:
        reason = f"more than {MOST_ROWS:,} models"
    if reason or not rows:
        return {row.label: ("undecided", f"leader undecided: {reason}") for row in rows}
    beaten: dict[str, list[str]] = {row.label: [] for row in rows}
    for first, second, verdict in compare_all_pairs(rows, question, alpha):
        if verdict == "better":
            beaten[second].append(first)
        elif verdict == "worse":
            beaten[first].append(second)
    loss, margin = _losses(rows, question)
    lead = leaders(loss, [bool(beaten[row.label]) for row in rows], margin)
    if not lead.any():
        return {row.label: ("undecided", "leader undecided: over half would be marked") for row in rows}
    states = {}
    for row, leads in zip(rows, lead.tolist(), strict=True):
        behind = f"behind {', '.join(beaten[row.label])}" if beaten[row.label] else "beyond the margin of the best"
        states[row.label] = ("marked", "") if leads else ("behind", behind)
    return states


def compare_all_pairs(rows: Sequence[Observed], question: Question, alpha: float) -> Iterator[tuple[str, str, str]]:
    """Verdicts on all pairs of rows, as `compare_pair` and `judge` give them, with both labels."""
    values, sizes = (np.array(part) for part in zip(*(row.of(sorted(row.values)) for row in rows), strict=True))
    scale = usable_scale(question.scale, values, sizes)
    same_seeds = len({frozenset(row.values) for row in rows}) == 1
    if question.scale == "count" or scale != question.scale or not same_seeds:
        judged = judge([compare_pair(a, b, question) for a, b in combinations(rows, 2)], question, alpha)
        yield from judged[["label", "baseline", "verdict"]].itertuples(index=False)
        return
    # All pairs at once: hundreds of rows have tens of thousands of pairs.
    first, second = np.triu_indices(len(rows), 1)
    x = transform(values, scale, sizes)
    differences = x[first] - x[second]
    gaps = values[first] - values[second] if scale == "share" else differences
    equivalence = paired_equivalence(gaps, question.margin) if question.margin else np.full(len(first), np.nan)
    sign = -1 if question.direction == "lower" else 1
    verdicts = decide(sign * differences.mean(axis=-1), holm(paired_t(differences)), holm(equivalence), alpha)
    labels = [row.label for row in rows]
    for i, j, verdict in zip(first.tolist(), second.tolist(), verdicts.tolist(), strict=True):
        yield labels[i], labels[j], verdict


def _losses(rows: Sequence[Observed], question: Question) -> tuple[Array, float | None]:
    """Mean of each row, lower is better, and the margin in the same unit."""
    parts = [row.of(sorted(row.values)) for row in rows]
    scale = usable_scale(question.scale, *(np.concatenate(each) for each in zip(*parts, strict=True)))
    means = np.array([summarize(values.tolist(), scale, samples=sizes.tolist()).mean for values, sizes in parts])
    sign = 1 if question.direction == "lower" else -1
    loss = sign * (np.log(means) if scale == "log" else means)
    return loss, question.margin if scale == question.scale else None
