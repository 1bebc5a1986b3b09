"""Comparisons of the models for the page: against the baseline, of all pairs, and the leading rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gan_bench.contracts.table import MetricInfo, Table
from gan_bench.results.load import StoredResults
from gan_bench.results.metrics import known_metrics, with_scales
from gan_bench.statistics.compare import compare_values
from gan_bench.statistics.marks import informed_models, mark_values
from gan_bench.statistics.observations import FinalValues, rows_of

MOST_PAIRED = 60
"""Largest number of models of which all pairs are compared: their number is quadratic."""


@dataclass(frozen=True)
class Verdicts:
    """Comparisons by final values.

    Attributes:
        primary: metric that decides, None if no metric has a direction.
        baseline: label that the others are compared with, None without models.
        against: comparisons with the baseline, in all metrics with a direction.
        pairs: comparisons of all pairs in the primary metric; empty for too many models.
        leaders: status of each row in the primary metric, see `statistics.marks.mark`.
    """

    primary: str | None
    baseline: str | None
    metrics: Mapping[str, MetricInfo]
    against: pd.DataFrame
    pairs: pd.DataFrame
    leaders: pd.DataFrame

    def of(self, frame: pd.DataFrame, dataset: str, metric: str | None = None) -> list[Any]:
        """Rows of a frame for a dataset, in the primary metric or another."""
        wanted = metric or self.primary
        # In Python: numpy ignores control characters at the end of texts that it compares.
        of = [each == dataset for each in frame["dataset"]]
        if "metric" in frame.columns:
            of = [here and each == wanted for here, each in zip(of, frame["metric"], strict=True)]
        return list(frame[of].itertuples(index=False))


def verdicts(results: StoredResults, table: Table) -> Verdicts:
    """Compare the models of stored results."""
    metrics = with_scales(known_metrics(results), results)
    labels = list(dict.fromkeys(row.label for row in table.rows if not row.anchor))
    final = _final_metrics(results.frame)
    names = [c.name for c in table.columns if metrics[c.name].direction != "none" and c.name in final]
    primary, baseline = _primary(results, names), _baseline(results, labels)
    empty = pd.DataFrame({name: [] for name in ("dataset", "metric", "label", "baseline", "verdict", "status")})
    if primary is None or not labels:
        return Verdicts(None, baseline, metrics, empty, empty, empty)
    benchmark = results.benchmark
    values = FinalValues(results.frame, metrics, **(rows_of(benchmark) if benchmark else _UNKNOWN))
    margins = benchmark.evaluation.margins if benchmark else None
    against = compare_values(values, metric=names, primary=primary, baseline=baseline, margins=margins)
    if len(labels) > MOST_PAIRED:
        return Verdicts(primary, baseline, metrics, against, empty, empty)
    pairs = compare_values(values, metric=primary, primary=primary, pairs="all", margins=margins)
    seeds, informed = benchmark.seeds if benchmark else None, informed_models(results)
    leaders = mark_values(values, results.frame, primary, planned=seeds, excluded=informed, margins=margins)
    return Verdicts(primary, baseline, metrics, against, pairs, leaders)


_UNKNOWN: Mapping[str, Any] = {"anchors": None, "samples": None}
"""Options of `FinalValues` without a benchmark.json."""


def _baseline(results: StoredResults, labels: Sequence[str]) -> str | None:
    """Label that the benchmark declares, if it has runs; else the first."""
    declared = results.benchmark.evaluation.baseline if results.benchmark else ""
    started = set(results.frame["label"])
    known = [label for label in labels if label in started]
    return declared if declared in known else next(iter([*known, *labels]), None)


def _final_metrics(frame: pd.DataFrame) -> Collection[str]:
    """Metrics with values of finished runs."""
    return set(frame.loc[(frame["status"] == "finished") & frame["generator"].isna(), "metric"])


def _primary(results: StoredResults, names: Sequence[str]) -> str | None:
    declared = results.benchmark.evaluation.primary if results.benchmark else ""
    return declared if declared in names else next(iter(names), None)


def tie_groups(labels: Sequence[str], pairs: Iterable[Any]) -> dict[str, str]:
    """Letters of each model: those that share one are not shown to differ (a compact letter display).

    Every pair that differs splits each group with both into two groups with one of them each; groups within others are
    dropped (Piepho, Journal of Computational and Graphical Statistics 2004).
    """
    groups: list[frozenset[str]] = [frozenset(labels)]
    for pair in pairs:
        if pair.verdict not in ("better", "worse"):
            continue
        split = []
        for group in groups:
            both = pair.label in group and pair.baseline in group
            split += [group - {pair.label}, group - {pair.baseline}] if both else [group]
        groups = [
            g
            for i, g in enumerate(split)
            if not any(g < other or (g == other and j < i) for j, other in enumerate(split))
        ]
    place = {label: i for i, label in enumerate(labels)}
    ordered = sorted((group for group in groups if group), key=lambda group: min(place[label] for label in group))
    return {label: "".join(_letter(i) for i, group in enumerate(ordered) if label in group) for label in labels}


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else f"({index + 1})"
