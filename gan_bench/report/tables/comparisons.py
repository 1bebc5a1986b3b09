"""Marks and verdicts of a comparison table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import pandas as pd

from gan_bench.contracts.table import MetricInfo
from gan_bench.report.wording import effect_text, p_text, seeds_text
from gan_bench.results.load import StoredResults
from gan_bench.results.metrics import primary_metric
from gan_bench.statistics.compare import compare_values
from gan_bench.statistics.marks import LEADER_COLUMNS, informed_models, mark_values
from gan_bench.statistics.observations import FinalValues

MOST_VERDICTS = 12
"""Number of verdicts that are listed below a table."""

MOST_MODELS = 100
"""Number of models up to which verdicts are computed for a table, in a fraction of a second."""


class Comparisons:
    """Comparisons of models by the primary metric of a benchmark.

    Attributes:
        metric: the primary metric; None if no metric can be compared.
    """

    def __init__(self, results: StoredResults, values: FinalValues, metrics: Mapping[str, MetricInfo]) -> None:
        self._results, self._values = results, values
        self._evaluation = results.benchmark.evaluation if results.benchmark else None
        self.metric = primary_metric(results, metrics)
        if self.metric not in values.names:
            self.metric = None

    @cached_property
    def leaders(self) -> pd.DataFrame:
        """Status of each model on each dataset, see `gan_bench.statistics.marks.mark`."""
        if self.metric is None:
            return pd.DataFrame(columns=list(LEADER_COLUMNS))
        benchmark = self._results.benchmark
        return mark_values(
            self._values,
            self._results.frame,
            self.metric,
            planned=benchmark.seeds if benchmark else None,
            excluded=informed_models(self._results),
            margins=self._evaluation.margins if self._evaluation else None,
        )

    @cached_property
    def marks(self) -> dict[tuple[str, str], frozenset[str]]:
        """Metrics in which a row leads, by dataset and label."""
        leading = self.leaders[self.leaders["status"] == "marked"]
        assert self.metric is not None or leading.empty
        return {
            (dataset, label): frozenset([str(self.metric)])
            for dataset, label in leading[["dataset", "label"]].itertuples(index=False)
        }

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """Comparison of each model with the baseline, see `gan_bench.statistics.compare.compare`."""
        assert self.metric is not None
        evaluation = self._evaluation
        return compare_values(
            self._values,
            metric=self.metric,
            baseline=evaluation.baseline or None if evaluation else None,
            primary=self.metric,
            margins=evaluation.margins if evaluation else None,
        )

    def notes(self) -> Iterator[str]:
        """Notes on the marks, then on the verdicts."""
        if self.metric is None:
            return
        yield from self._on_marks()
        if len(self._values.labels) > MOST_MODELS:
            yield "Verdicts: `gan-bench compare` lists the comparisons of so many models."
        elif not self.verdicts.empty and self.verdicts["n"].max() > 1:
            yield from self._on_verdicts()

    def _on_marks(self) -> Iterator[str]:
        """Note on the leading rows, or the reason why there are none."""
        several = self.leaders["dataset"].nunique() > 1
        for dataset, rows in self.leaders.groupby("dataset", sort=False):
            where = f" on {dataset}" if several else ""
            marked = rows.loc[rows["status"] == "marked", "label"].tolist()
            undecided = rows.loc[rows["status"] == "undecided", "reason"].tolist()
            if marked:
                tied = " (no test separates them)" if len(marked) > 1 else ""
                yield f"Marked{where} by {self.metric}: {', '.join(marked)}{tied}."
            elif undecided:
                yield f"Nothing is marked{where} by {self.metric}: {undecided[0]}."
            excluded = rows[rows["status"] == "excluded"]
            reasons = [f"{label} ({why})" for label, why in excluded[["label", "reason"]].itertuples(index=False)]
            if reasons:
                yield f"Never marked{where}: {', '.join(reasons)}."

    def _on_verdicts(self) -> Iterator[str]:
        """One line for each comparison with the baseline."""
        baselines, tests = (" or ".join(dict.fromkeys(self.verdicts[name])) for name in ("baseline", "test"))
        family = int(self.verdicts["family"].max())
        holm = f", Holm's procedure over {family} comparisons" if family > 1 else ""
        yield f"Compared with {baselines} by {self.metric} ({tests} test over the seeds{holm}):"
        several = self.verdicts["dataset"].nunique() > 1
        rows: list[Any] = list(self.verdicts.itertuples(index=False))
        for row in rows[:MOST_VERDICTS]:
            where = f" on {row.dataset}" if several else ""
            yield f"{row.label}{where}: {describe_verdict(row)}."
        if len(rows) > MOST_VERDICTS:
            yield f"… and {len(rows) - MOST_VERDICTS} more comparisons. `gan-bench compare` lists all."


def describe_verdict(row: Any) -> str:
    """Describe a comparison: ``better, ratio 0.30 (0.21 to 0.43), p = 0.004``."""
    parts = [str(row.verdict)]
    if not math.isnan(row.estimate):
        parts.append(effect_text(row))
    p = row.p_equivalent_holm if row.verdict == "equivalent" else row.p_holm
    if not math.isnan(p):
        parts.append(f"p {p_text(p)}" if p < 0.001 else f"p = {p_text(p)}")
    if row.verdict == "undecided" and not pd.isna(row.seeds_needed):
        parts.append(f"about {seeds_text(row)} seeds would decide on the margin")
    return ", ".join([*parts, *([row.note] if row.note else [])])
