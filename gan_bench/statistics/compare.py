"""Comparisons of the models of stored results, with verdicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from gan_bench.contracts.table import MetricInfo
from gan_bench.errors import UsageError
from gan_bench.names import allowed
from gan_bench.results.load import StoredResults
from gan_bench.results.metrics import described_metrics, known_metrics, with_scales
from gan_bench.statistics.families import COLUMNS, judge
from gan_bench.statistics.intervals import Summary, summarize
from gan_bench.statistics.observations import FinalValues, rows_of
from gan_bench.statistics.pairs import Observed, compare_pair
from gan_bench.statistics.verdicts import ALPHA

Pairs = Literal["baseline", "all"]


def compare(
    frame: pd.DataFrame,
    metrics: Mapping[str, MetricInfo] | None = None,
    *,
    metric: str | Sequence[str] | None = None,
    baseline: str | None = None,
    pairs: Pairs = "baseline",
    primary: str | None = None,
    margins: Mapping[str, float] | None = None,
    anchors: Collection[str] | None = None,
    samples: int | None = None,
    expected: Sequence[tuple[str, str]] = (),
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """Compare models by their final values and return one row for each comparison.

    A family is all comparisons on one dataset in one metric; its p-values are adjusted by Holm's procedure.

    Args:
        frame: rows of `load_results`.
        metrics: their descriptions, with scales; default: those in `frame`.
        metric: one or several; default: the primary metric.
        baseline: label that the others are compared with; default: the first model.
        pairs: "baseline", or "all" for every pair of models.
        primary: the benchmark's primary metric; default: the first with a direction. Its family is the declared one.
        margins: metric → margin of equivalence on its scale (of logarithms for "log"), instead of `MARGINS`.
        anchors: labels that are not compared; default: those of the built-in anchor models.
        samples: of several values of a metric, those from this number of samples are compared.
        expected: dataset and label of rows in order, so that models without any run are compared too.
        alpha: level of each family.

    Returns:
        A frame with `COLUMNS`: the estimate with its 95 % interval, p-values, verdict and the number of seeds needed.
        `docs/statistics.md` describes them.

    Raises:
        UsageError: unknown metric or baseline, or a metric without a direction.
    """
    metrics = described_metrics(frame) if metrics is None else metrics
    table = FinalValues(frame, metrics, anchors, samples, expected)
    first = primary or next((name for name in table.names if metrics[name].direction != "none"), None)
    if metric is None:  # the primary metric may have no values yet
        metric = [first] if first in table.names else []
    chosen = [metric] if isinstance(metric, str) else metric
    found = []
    for name in chosen:
        table.check_metric(name)
        for dataset in table.datasets:
            question = table.question(dataset, name, margins or {})
            rows = table.rows(dataset, name)
            if not any(row.values or row.undefined for row in rows) and not table.anchor(dataset, name):
                continue  # not a metric of this dataset
            couples = _couples(rows, baseline, pairs, table)
            results = [compare_pair(a, b, question) for a, b in couples]
            declared = name == first and pairs == "baseline"
            judged = judge(results, question, alpha).assign(dataset=dataset, metric=name, declared=declared)
            found.append(judged[list(COLUMNS)].astype(dict(COLUMNS)))
    if not found:
        return pd.DataFrame(columns=list(COLUMNS)).astype(dict(COLUMNS))
    return pd.concat(found, ignore_index=True)


def compare_results(results: StoredResults, **options: Any) -> pd.DataFrame:
    """Compare the models of stored results; see `compare` for options and columns.

    Primary metric, baseline, margins, models, anchors and number of samples are those of the benchmark, unless they are
    given.
    """
    settings: dict[str, Any] = {}
    if results.benchmark is not None:
        evaluation = results.benchmark.evaluation
        settings = {
            "primary": evaluation.primary or None,
            "baseline": evaluation.baseline or None,
            "margins": evaluation.margins,
            **rows_of(results.benchmark),
        }
    return compare(results.frame, with_scales(known_metrics(results), results), **(settings | options))


def _couples(
    rows: Sequence[Observed], baseline: str | None, pairs: Pairs, table: FinalValues
) -> list[tuple[Observed, Observed]]:
    if baseline is not None and baseline not in table.labels:
        raise UsageError(f"There is no model {baseline!r} in these results. {allowed(baseline, table.labels)}")
    if pairs == "all":
        return list(combinations(rows, 2))
    base = baseline or (table.labels[0] if table.labels else None)
    found = [row for row in rows if row.label == base]
    return [(row, found[0]) for row in rows if row.label != base] if found else []


def summaries(
    frame: pd.DataFrame, metrics: Mapping[str, MetricInfo], *, samples: int | None = None
) -> dict[tuple[str, str, str], Summary]:
    """Summary of each row by dataset, label and metric, anchors included, for metrics with values in `frame`."""
    table = FinalValues(frame, metrics, None, samples)
    found = {}
    for dataset in table.datasets:
        for name in table.names:
            question = table.question(dataset, name, {})
            for label in table.by_dataset[dataset]:
                row = table.row(dataset, name, label)
                values, sizes = row.of(sorted(row.values))
                found[dataset, label, name] = summarize(
                    values.tolist(), question.scale, question.direction, sizes.tolist(), question.total
                )
    return found
