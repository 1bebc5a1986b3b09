"""Final values of a frame of results, by dataset, metric and row."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gan_bench.contracts.metric import Scale
from gan_bench.contracts.table import MetricInfo
from gan_bench.errors import UsageError
from gan_bench.names import allowed
from gan_bench.results.final_values import last_values, mixture_values
from gan_bench.results.load import ANCHORS
from gan_bench.statistics.pairs import FLOOR, Observed, Question
from gan_bench.statistics.scales import MARGINS
from gan_bench.store.records import BenchmarkRecord

REAL = ANCHORS[0]


class FinalValues:
    """Final values of a frame of results by dataset, metric and row.

    Args:
        frame: rows of `load_results`.
        metrics: their descriptions, with scales.
        anchors: labels that are not compared; None for those of the built-in anchor models.
        samples: of several values of a metric, those from this number of samples are used.
        expected: dataset and label of rows in order, also of those without runs. Other rows of `frame` follow them.

    Attributes:
        datasets: their labels, in order.
        labels: those of models, without anchors, in order.
        names: those metrics that have final values.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        metrics: Mapping[str, MetricInfo],
        anchors: Collection[str] | None,
        samples: int | None,
        expected: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.metrics = metrics
        rows = frame[["dataset", "label", "model"]].drop_duplicates()
        if anchors is None:
            anchors = set(rows.loc[rows["model"].isin(ANCHORS), "label"])
        self.real = set(rows.loc[rows["model"] == REAL, "label"])
        found = zip(rows["dataset"], rows["label"], strict=True)
        self.by_dataset: dict[str, list[str]] = {}
        for dataset, label in dict.fromkeys([*expected, *found]):
            self.by_dataset.setdefault(dataset, []).append(label)
        self.datasets = list(self.by_dataset)
        self.anchors = set(anchors)
        every = dict.fromkeys(label for labels in self.by_dataset.values() for label in labels)
        self.labels = [label for label in every if label not in self.anchors]
        last = last_values(mixture_values(frame, samples))
        self.names = [name for name in metrics if name in set(last["metric"])]
        self._observed: dict[tuple[str, str, str], Observed] = {}
        sizes = last["n"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan).tolist()
        keys = zip(last["dataset"], last["metric"], last["label"], strict=True)
        for key, seed, value, size in zip(keys, last["seed"].tolist(), last["value"].tolist(), sizes, strict=True):
            row = self._observed.setdefault(key, Observed(key[2]))
            if math.isfinite(value):
                row.values[seed], row.samples[seed] = value, size
            else:
                row.undefined.append(seed)

    def check_metric(self, name: str) -> None:
        """Raise UsageError unless models can be compared by a metric: it has values and a direction."""
        usable = [each for each in self.names if self.metrics[each].direction != "none"]
        if name not in self.names:
            raise UsageError(f"There is no metric {name!r} in these results. {allowed(name, usable)}")
        if name not in usable:
            raise UsageError(f"{name} has no better direction, so it cannot compare models. {allowed(name, usable)}")

    def row(self, dataset: str, name: str, label: str) -> Observed:
        """Values of one row; without any if no run has one."""
        return self._observed.get((dataset, name, label), Observed(label))

    def rows(self, dataset: str, name: str) -> list[Observed]:
        """Rows of models, in their order."""
        return [self.row(dataset, name, label) for label in self.by_dataset[dataset] if label not in self.anchors]

    def anchor(self, dataset: str, name: str) -> list[float]:
        """Values of real data."""
        labels = [label for label in self.by_dataset[dataset] if label in self.real]
        return [value for label in labels for value in self.row(dataset, name, label).values.values()]

    def question(self, dataset: str, name: str, margins: Mapping[str, float]) -> Question:
        """Question of a dataset and metric: with its margin, total and floor."""
        info = self.metrics[name]
        scale: Scale = info.scale or "linear"
        real = np.array(self.anchor(dataset, name))
        positive = len(real) > 0 and bool((real > 0).all())
        floor = FLOOR * math.exp(np.log(real).mean()) if scale == "log" and positive else math.nan
        return Question(
            name, info.direction, scale, margins.get(name, MARGINS[scale]), self._total(dataset, name, scale), floor
        )

    def _total(self, dataset: str, name: str, scale: Scale) -> float | None:
        """Number that a complete seed reaches: 0 of what should not occur, else that of real data, else the highest."""
        if scale != "count":
            return None
        if self.metrics[name].direction == "lower":
            return 0.0
        found = self.anchor(dataset, name) or [v for row in self.rows(dataset, name) for v in row.values.values()]
        return max(found, default=None)


def rows_of(benchmark: BenchmarkRecord) -> dict[str, Any]:
    """Options of `FinalValues` that a stored benchmark determines: anchors, samples and expected rows."""
    models = benchmark.models
    return {
        "anchors": [entry.label for entry in models if entry.anchor],
        "samples": benchmark.evaluation.samples,
        "expected": [(dataset.label, entry.label) for dataset in benchmark.datasets for entry in models],
    }
