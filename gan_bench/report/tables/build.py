"""The comparison table: a row per model, the mean over its finished seeds with the 95 % t-interval.

The table is deliberately strict: a model with a failed, diverged or missing seed shows "4/5" and is never marked best;
anchors (held-out real data, the untrained model) are separate and never marked; values of another version of a metric
are not shown under its name.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from gan_bench.contracts.table import Column, Estimate, MetricInfo, Row, Table
from gan_bench.errors import UsageError
from gan_bench.files import write_atomically
from gan_bench.names import allowed
from gan_bench.report.tables import formats, notes
from gan_bench.report.tables.comparisons import Comparisons
from gan_bench.report.tables.formats import At, Format
from gan_bench.results.final_values import last_values, mixture_values
from gan_bench.results.load import ANCHORS, FINISHED, LEDGER, StoredResults, only_seeds, read_results
from gan_bench.results.metrics import known_metrics, with_scales
from gan_bench.results.parts import Paths, read_parts
from gan_bench.statistics.intervals import summarize
from gan_bench.statistics.observations import FinalValues, rows_of

USES_LABELS = "uses the labels of the data"
"""Footnote of models that read labels in training, unless their own footnotes mention labels."""

SELECTOR = "symmetric_kl"
"""Metric whose lowest value selects the iteration of `at="best"`."""


def table(path: Paths, metrics: Sequence[str] | None = None, at: At = "last") -> pd.DataFrame:
    """Comparison table of a results folder or results.csv as numbers, for a notebook.

    Columns: dataset, label, model, anchor, n (finished seeds), planned; for each metric its mean, `<metric>_low` and
    `<metric>_high` (limits of the 95 % interval of the mean; missing for one seed and for counts); `marked` (metrics in
    which the row leads), the ledger, shared, departures. A mean is geometric for metrics with the scale "log".
    `attrs["notes"]` has the notes below the rendered table.

    Args:
        path: a results folder, or a results.csv; several of them are read as parts of one benchmark.
        metrics: columns, in this order; None for the benchmark's metrics.
        at: "last" for each run's final values, "best" for those at the iteration of its lowest symmetric_kl.

    Raises StoreError if there are no results, UsageError for an unknown metric or parts that cannot be combined.
    """
    built = build(read_parts(path), metrics, at)
    frame = formats.to_frame(built)
    frame.attrs["notes"] = list(built.lines)
    return frame


def render(
    path: Paths,
    format: Format = "markdown",
    metrics: Sequence[str] | None = None,
    at: At = "last",
) -> str:
    """Comparison table as text; the arguments are those of `table`."""
    return render_table(build(read_parts(path), metrics, at), format)


def render_table(built: Table, format: Format) -> str:
    """Format a table as text that ends with a line break."""
    if format not in _RENDERERS:
        raise UsageError(f"Unknown format {format!r}. {allowed(format, _RENDERERS)}")
    return _RENDERERS[format](built).rstrip("\n") + "\n"


def write_tables(folder: str | Path, seeds: Collection[int] | None = None) -> Table:
    """Write table.md and table.csv into a results folder, and return the table.

    Args:
        seeds: restriction to these, until all seeds are complete.
    """
    results = read_results(folder)
    built = build(results if seeds is None else only_seeds(results, seeds))
    names: dict[str, Format] = {"table.md": "markdown", "table.csv": "csv"}
    for name, form in names.items():
        write_atomically(Path(folder) / name, render_table(built, form))
    return built


_RENDERERS: Mapping[str, Callable[[Table], str]] = {
    "markdown": formats.to_markdown,
    "csv": formats.to_csv,
    "latex": formats.to_latex,
}


def build(results: StoredResults, metrics: Sequence[str] | None = None, at: At = "last") -> Table:
    """Compare the models of `results`; see `table`."""
    if at not in get_args(At):
        raise UsageError(f"Unknown value at={at!r}. {allowed(at, get_args(At))}")
    if at == "best" and SELECTOR not in known_metrics(results):
        raise UsageError(
            f'{results.source}: at="best" needs the metric {SELECTOR}, which this benchmark does not compute. '
            'Add it to [evaluation] metrics, or use at="last".'
        )
    known = with_scales(known_metrics(results), results)
    columns = _columns(results, known, metrics)
    footnotes = _footnotes(results)
    wanted = results.benchmark.evaluation.samples if results.benchmark else None
    values = _chosen(mixture_values(results.frame, wanted), at)
    final = _final_values(results, known, values)
    runs = _Runs(results, final)
    rows = [_row(runs, group, columns, footnotes) for group in _groups(results)]
    compared = Comparisons(results, final, known) if at == "last" else None  # a choice by hindsight gives no verdict
    built = Table(
        title=_title(results),
        columns=columns,
        rows=tuple(_marked(rows, compared)),
        footnotes=tuple(footnotes),
        notes=(),
        warnings=(),
    )
    return replace(
        built,
        notes=notes.notes(results, built, values, at),
        warnings=notes.warnings(results),
        verdicts=tuple(compared.notes()) if compared else (),
    )


def _final_values(results: StoredResults, metrics: Mapping[str, MetricInfo], values: pd.DataFrame) -> FinalValues:
    """Values of the table by dataset, metric and row."""
    rows = rows_of(results.benchmark) if results.benchmark else {"anchors": None, "samples": None}
    return FinalValues(results.frame, metrics, **rows, final=values)


def _title(results: StoredResults) -> str:
    if results.benchmark:
        shown, planned = len(results.benchmark.seeds), results.planned_seeds
        version = f", version {results.benchmark.version}" if results.benchmark.version else ""
        seeds = f" ({shown} of {planned} seeds)" if planned and planned != shown else ""
        return results.benchmark.name + version + seeds
    return ", ".join(results.frame["benchmark"].unique()) or results.source.name


def _columns(
    results: StoredResults, known: Mapping[str, MetricInfo], metrics: Sequence[str] | None
) -> tuple[Column, ...]:
    if metrics is None:
        own = results.benchmark.evaluation.metrics if results.benchmark else None
        metrics = [name for name in own if name in known] if own else list(known)
    for name in metrics:
        if name not in known:
            raise UsageError(f"{results.source}: there is no metric {name!r}. {allowed(name, known)}")
    return tuple(Column(name, known[name]) for name in dict.fromkeys(metrics))


@dataclass(frozen=True)
class _Group:
    """Key of a table row, with the values that select its runs in the frame."""

    dataset: str
    label: str
    model: str
    anchor: bool
    shared: str = ""
    departures: tuple[str, ...] = ()


def _groups(results: StoredResults) -> list[_Group]:
    """Rows in order: by dataset, models as in the benchmark, anchors last."""
    groups = _listed(results) if results.benchmark else _found(results.frame)
    order = list(dict.fromkeys(group.dataset for group in groups))
    return sorted(groups, key=lambda group: (order.index(group.dataset), group.anchor))


def _listed(results: StoredResults) -> list[_Group]:
    assert results.benchmark is not None
    sharing = {(placed.dataset, placed.entry.label): placed.run.record.model.sharing for placed in results.runs}
    labels = _label_notes(results)
    return [
        _Group(
            dataset.label,
            entry.label,
            entry.plugin,
            entry.anchor,
            sharing.get((dataset.label, entry.label), ""),
            (
                *entry.departures,
                *entry.footnotes.get(dataset.label, ()),
                *labels.get((dataset.label, entry.label), ()),
            ),
        )
        for dataset in results.benchmark.datasets
        for entry in results.benchmark.models
    ]


def _found(frame: pd.DataFrame) -> list[_Group]:
    rows = frame[["dataset", "label", "model"]].drop_duplicates().to_numpy(dtype=str).tolist()
    return [_Group(dataset, label, model, model in ANCHORS) for dataset, label, model in rows]


def _footnotes(results: StoredResults) -> list[str]:
    """Unique departures, in the order of the models."""
    entries = results.benchmark.models if results.benchmark else ()
    labels = {label: texts for (_, label), texts in _label_notes(results).items()}
    texts = (
        (*entry.departures, *chain.from_iterable(entry.footnotes.values()), *labels.get(entry.label, ()))
        for entry in entries
    )
    return list(dict.fromkeys(chain.from_iterable(texts)))


def _label_notes(results: StoredResults) -> dict[tuple[str, str], tuple[str, ...]]:
    """Footnotes on labels by dataset and label of an entry, for runs that read labels without a footnote on them."""
    return {
        (placed.dataset, placed.entry.label): (USES_LABELS,)
        for placed in results.runs
        if placed.run.record.model.reads_labels
        and not any(
            "labels" in text for text in (*placed.entry.departures, *placed.entry.footnotes.get(placed.dataset, ()))
        )
    }


def _chosen(values: pd.DataFrame, at: At) -> pd.DataFrame:
    """Rows of `values` at the one iteration of each run that the table shows."""
    if at == "last":
        return last_values(values)
    run = ["dataset", "label", "seed"]
    selector = values[(values["metric"] == SELECTOR) & values["value"].map(math.isfinite).astype(bool)]
    lowest = selector.sort_values(["value", "iteration"], kind="stable").drop_duplicates(run)
    return values.merge(lowest[[*run, "iteration"]], on=[*run, "iteration"])


class _Runs:
    """Runs and values of a table by row, grouped once: filtering the frame for each row takes quadratic time."""

    def __init__(self, results: StoredResults, values: FinalValues) -> None:
        self.values = values
        self.planned = results.benchmark.seeds if results.benchmark else ()
        frame = results.frame
        ends = frame[frame["metric"] == FINISHED]
        if ends["key"].nunique() < frame["key"].nunique():  # a results.csv that was edited
            ends = frame
        columns = ["dataset", "label", "seed", "status"]
        self.seeds: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for dataset, label, seed, status in ends[columns].drop_duplicates().itertuples(index=False):
            self.seeds[dataset, label].append((seed, status))
        ledger = frame[frame["metric"].isin(LEDGER)]
        self.ledger = _by_row(ledger[ledger["status"] == "finished"])
        # The number of parameters is known before training ends; the rest of the ledger is not.
        self.ledger |= _by_row(ledger[ledger["metric"] == "parameters"])


def _by_row(frame: pd.DataFrame) -> dict[tuple[str, str, str], list[float]]:
    """Values by dataset, label and metric."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    columns = (frame[name].tolist() for name in ("dataset", "label", "metric", "value"))
    for dataset, label, metric, value in zip(*columns, strict=True):
        found[dataset, label, metric].append(value)
    return dict(found)


def _row(runs: _Runs, group: _Group, columns: Sequence[Column], footnotes: Sequence[str]) -> Row:
    place = (group.dataset, group.label)
    seeds = runs.seeds.get(place, [])
    cells = {column.name: _estimate(runs.values, place, column.name) for column in columns}
    ledger = {name: runs.ledger.get((*place, name)) for name in LEDGER}
    return Row(
        group.dataset,
        group.label,
        group.model,
        group.anchor,
        finished=len({seed for seed, status in seeds if status == "finished"}),
        planned=len(set(runs.planned) | {seed for seed, _ in seeds}),
        cells=cells,
        ledger={name: _mean(values) if values else None for name, values in ledger.items()},
        shared=group.shared,
        departures=tuple(sorted(footnotes.index(text) + 1 for text in set(group.departures))),
    )


def _estimate(final: FinalValues, place: tuple[str, str], metric: str) -> Estimate | None:
    """Mean and interval of a metric over the finished seeds of a row; None without values."""
    dataset, label = place
    observed = final.row(dataset, metric, label)
    values, sizes = observed.of(sorted(observed.values))
    if observed.undefined:  # shown, not dropped
        every = (*values.tolist(), *observed.undefined.values())
        with np.errstate(invalid="ignore"):
            return Estimate(float(np.mean(every)), None, None, every)
    if not len(values):
        return None
    question = final.question(dataset, metric, {})
    found = summarize(values.tolist(), question.scale, question.direction, sizes.tolist(), question.total)
    low, high = (None if math.isnan(limit) else limit for limit in (found.low, found.high))
    complete = found.complete.k if found.complete else None
    return Estimate(found.mean, low, high, found.values, found.scale, found.collapsed.k, complete)


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; nan without any."""
    found = np.array([value for value in values if not math.isnan(value)])
    return float(found.mean()) if len(found) else math.nan


def _marked(rows: Sequence[Row], compared: Comparisons | None) -> list[Row]:
    """Add to each row the metrics in which it leads."""
    if compared is None:
        return list(rows)
    return [replace(row, marked=compared.marks.get((row.dataset, row.label), frozenset())) for row in rows]
