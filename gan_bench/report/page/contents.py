"""Input of all sections: the stored results, the table, and the values of every run, grouped once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.table import Row, Table
from gan_bench.report.page.axes import Floats
from gan_bench.report.page.marks import Mark
from gan_bench.report.page.verdicts import Verdicts, verdicts
from gan_bench.report.tables.build import build
from gan_bench.results.load import ANCHORS, PlacedRun, StoredResults

FINISHED = "finished"


@dataclass(frozen=True)
class Curve:
    """Values of one metric in one run, by iteration."""

    seed: int
    status: str
    iterations: NDArray[np.int64]
    values: Floats

    @property
    def finished(self) -> bool:
        """Whether the run finished."""
        return self.status == FINISHED


Place = tuple[str, str, str]
"""Dataset, label and metric."""


@dataclass(frozen=True)
class Contents:
    """Input of all sections.

    Attributes:
        datasets: labels with any run, in the order of the table.
        empty: labels of datasets without any run.
        curves: the mixture's values of each run, models and anchors.
        marks: label → appearance.
        verdicts: comparisons of the models.
    """

    results: StoredResults
    table: Table
    datasets: tuple[str, ...]
    empty: tuple[str, ...]
    curves: Mapping[Place, tuple[Curve, ...]]
    marks: Mapping[str, Mark]
    verdicts: Verdicts

    def is_log(self, metric: str) -> bool:
        """Whether a metric is declared to have a logarithmic scale."""
        return self.verdicts.metrics[metric].scale == "log"

    def models(self, dataset: str) -> list[Row]:
        """Rows of trained models."""
        return [row for row in self.table.rows if row.dataset == dataset and not row.anchor]

    def anchors(self, dataset: str) -> list[Row]:
        """Rows of anchors."""
        return [row for row in self.table.rows if row.dataset == dataset and row.anchor]

    def real(self, dataset: str, metric: str) -> float | None:
        """Mean value of held-out real data, None if unknown."""
        rows = [row for row in self.anchors(dataset) if row.model == ANCHORS[0]]
        cells = [cell for row in rows if (cell := row.cells.get(metric)) is not None and np.isfinite(cell.mean)]
        return cells[0].mean if cells else None

    def runs(self, dataset: str) -> list[PlacedRun]:
        """Stored run folders of trained models."""
        return [item for item in self.results.runs if item.dataset == dataset and not item.entry.anchor]


def contents(results: StoredResults) -> Contents:
    """Group stored results for the sections."""
    table = build(results)
    labels = dict.fromkeys(row.label for row in table.rows if not row.anchor)
    datasets, started = dict.fromkeys(row.dataset for row in table.rows), set(results.frame["dataset"])
    used = [label for label in datasets if label in started] or list(datasets)[:1]
    return Contents(
        results,
        table,
        tuple(used),
        tuple(label for label in datasets if label not in used),
        _curves(results, [column.name for column in table.columns]),
        {label: Mark(index) for index, label in enumerate(labels)},
        verdicts(results, table),
    )


def _curves(results: StoredResults, metrics: Sequence[str]) -> dict[Place, tuple[Curve, ...]]:
    """Values by dataset, label and metric; a run is a curve."""
    frame = results.frame
    frame = frame[frame["generator"].isna() & frame["metric"].isin(metrics)]
    names = ["dataset", "label", "metric", "seed", "status", "iteration", "value", "n"]
    wanted = results.benchmark.evaluation.samples if results.benchmark else None
    runs: dict[tuple[str, str, str, int], dict[int, tuple[tuple[bool, float], float]]] = defaultdict(dict)
    statuses: dict[tuple[str, str, str, int], str] = {}
    frame = frame.assign(n=frame["n"].to_numpy(dtype=np.float64, na_value=0))
    columns = (frame[name].tolist() for name in names)
    for dataset, label, metric, seed, status, iteration, value, n in zip(*columns, strict=True):
        run = (dataset, label, metric, seed)
        statuses[run] = status
        # Of several numbers of samples the benchmark's is used if present, else the largest, as in the table.
        preference = (n == wanted, n)
        before = runs[run].get(iteration)
        if before is None or before[0] <= preference:
            runs[run][iteration] = (preference, value)
    found: dict[Place, list[Curve]] = defaultdict(list)
    for (dataset, label, metric, seed), values in runs.items():
        iterations = sorted(values)
        drawn = np.asarray([values[each][1] for each in iterations], dtype=np.float64)
        status = statuses[dataset, label, metric, seed]
        found[dataset, label, metric].append(Curve(seed, status, np.asarray(iterations, dtype=np.int64), drawn))
    return {place: tuple(sorted(curves, key=lambda curve: curve.seed)) for place, curves in found.items()}
