"""The comparison table: a row per model, the mean over its finished seeds with the 95 % t-interval.

The table is deliberately strict: a model with a failed, diverged or missing seed shows "4/5" and is never marked best;
anchors (held-out real data, the untrained model) are separate and never marked; values of another version of a metric
are not shown under its name.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from gan_bench.contracts.table import Column, MetricInfo, Row, Table
from gan_bench.errors import UsageError
from gan_bench.files import write_atomically
from gan_bench.names import allowed
from gan_bench.report.tables import formats, notes
from gan_bench.report.tables.formats import At, Format
from gan_bench.results.load import ANCHORS, FINISHED, LEDGER, StoredResults, only_seeds, read_results
from gan_bench.results.parts import Paths, read_parts
from gan_bench.results.statistics import mean_interval

SELECTOR = "symmetric_kl"
"""Metric whose lowest value selects the iteration of `at="best"`."""


def table(path: Paths, metrics: Sequence[str] | None = None, at: At = "last") -> pd.DataFrame:
    """Comparison table of a results folder or results.csv as numbers, for a notebook.

    Columns: dataset, label, model, anchor, n (finished seeds), planned, for each metric its mean and its
    `<metric>_half_width` (of the 95 % t-interval; missing for one seed), `best` (in which metrics), the
    ledger, shared, departures. `attrs["notes"]` has the notes below the rendered table.

    Args:
        path: a results folder, or a results.csv; several of them are read as parts of one benchmark.
        metrics: columns, in this order; None for the benchmark's metrics.
        at: "last" for each run's final values, "best" for those at the iteration of its lowest symmetric_kl.

    Raises StoreError if there are no results, UsageError for an unknown metric or parts that cannot be combined.
    """
    built = build(read_parts(path), metrics, at)
    frame = formats.to_frame(built)
    frame.attrs["notes"] = [*built.notes, *built.warnings]
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
    columns = _columns(results, metrics)
    footnotes = _footnotes(results)
    values = _chosen(_values(results), at)
    runs = _Runs(results, values)
    rows = [_row(runs, group, columns, footnotes) for group in _groups(results)]
    built = Table(
        title=_title(results),
        columns=columns,
        rows=tuple(_marked(rows, columns)),
        footnotes=tuple(footnotes),
        notes=(),
        warnings=(),
    )
    return replace(built, notes=notes.notes(results, built, values, at), warnings=notes.warnings(results))


def known_metrics(results: StoredResults) -> dict[str, MetricInfo]:
    """Metrics that can be shown: the benchmark's first, then any others of the runs."""
    known = dict(results.benchmark.metrics) if results.benchmark else {}
    found = [name for name in results.frame["metric"].unique() if is_metric(name) and name not in known]
    described = _installed(found) if found else {}
    return known | {name: described.get(name, MetricInfo()) for name in found}


def is_metric(name: str) -> bool:
    """Whether a row of this name belongs to a metric, not to a loss or the ledger."""
    return not name.startswith("loss_") and name not in (*LEDGER, FINISHED)


def _installed(names: Iterable[str]) -> dict[str, MetricInfo]:
    """Descriptions by the installed plugins of metrics that benchmark.json does not describe."""
    from gan_bench.plugins.discovery import load_plugins

    classes = load_plugins(kinds=("metrics",)).all("metrics")
    return {name: MetricInfo(classes[name].direction, classes[name].unit) for name in names if name in classes}


def _title(results: StoredResults) -> str:
    if results.benchmark:
        shown, planned = len(results.benchmark.seeds), results.planned_seeds
        version = f", version {results.benchmark.version}" if results.benchmark.version else ""
        seeds = f" ({shown} of {planned} seeds)" if planned and planned != shown else ""
        return results.benchmark.name + version + seeds
    return ", ".join(results.frame["benchmark"].unique()) or results.source.name


def _columns(results: StoredResults, metrics: Sequence[str] | None) -> tuple[Column, ...]:
    known = known_metrics(results)
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
    return [
        _Group(
            dataset.label,
            entry.label,
            entry.plugin,
            entry.anchor,
            sharing.get((dataset.label, entry.label), ""),
            (*entry.departures, *entry.footnotes.get(dataset.label, ())),
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
    texts = ((*entry.departures, *chain.from_iterable(entry.footnotes.values())) for entry in entries)
    return list(dict.fromkeys(chain.from_iterable(texts)))


def _values(results: StoredResults) -> pd.DataFrame:
    """The mixture's values of finished runs, one for each run, iteration and metric.

    If a metric was computed from several numbers of samples, the benchmark's number is used if present, else the
    largest.
    """
    frame = results.frame
    metrics = [name for name in frame["metric"].unique() if is_metric(name)]
    measured = frame["generator"].isna() & frame["metric"].isin(metrics)
    values = frame[measured & (frame["status"] == "finished")]
    score = ["dataset", "label", "seed", "iteration", "metric"]
    if not values.duplicated(score).any():
        return values
    wanted = results.benchmark.evaluation.samples if results.benchmark else None
    order = values.assign(requested=(values["n"] == wanted).fillna(False), size=values["n"].fillna(0))
    order = order.sort_values(["requested", "size"], kind="stable")
    return order.drop_duplicates(score, keep="last").sort_index()


def _chosen(values: pd.DataFrame, at: At) -> pd.DataFrame:
    """Rows of `values` at the one iteration of each run that the table shows."""
    run = ["dataset", "label", "seed"]
    if at == "last":
        last = values.groupby(run, sort=False)["iteration"].transform("max")
        return values[values["iteration"] == last]
    selector = values[(values["metric"] == SELECTOR) & values["value"].map(math.isfinite).astype(bool)]
    lowest = selector.sort_values(["value", "iteration"], kind="stable").drop_duplicates(run)
    return values.merge(lowest[[*run, "iteration"]], on=[*run, "iteration"])


class _Runs:
    """Runs and values of a table by row, grouped once: filtering the frame for each row takes quadratic time."""

    def __init__(self, results: StoredResults, values: pd.DataFrame) -> None:
        self.planned = results.benchmark.seeds if results.benchmark else ()
        frame = results.frame
        ends = frame[frame["metric"] == FINISHED]
        if ends["key"].nunique() < frame["key"].nunique():  # a results.csv that was edited
            ends = frame
        columns = ["dataset", "label", "seed", "status"]
        self.seeds: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for dataset, label, seed, status in ends[columns].drop_duplicates().itertuples(index=False):
            self.seeds[dataset, label].append((seed, status))
        self.values = _by_row(values)
        ledger = frame[frame["metric"].isin(LEDGER)]
        self.ledger = _by_row(ledger[ledger["status"] == "finished"])
        # The number of parameters is known before training ends; the rest of the ledger is not.
        self.ledger |= _by_row(ledger[ledger["metric"] == "parameters"])


def _by_row(frame: pd.DataFrame) -> dict[tuple[str, str, str], list[float]]:
    """Values by dataset, label and metric."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    rows = zip(frame["dataset"], frame["label"], frame["metric"], frame["value"].tolist(), strict=True)
    for dataset, label, metric, value in rows:
        found[dataset, label, metric].append(value)
    return dict(found)


def _row(runs: _Runs, group: _Group, columns: Sequence[Column], footnotes: Sequence[str]) -> Row:
    place = (group.dataset, group.label)
    seeds = runs.seeds.get(place, [])
    cells = {column.name: runs.values.get((*place, column.name)) for column in columns}
    ledger = {name: runs.ledger.get((*place, name)) for name in LEDGER}
    return Row(
        group.dataset,
        group.label,
        group.model,
        group.anchor,
        finished=len({seed for seed, status in seeds if status == "finished"}),
        planned=len(set(runs.planned) | {seed for seed, _ in seeds}),
        cells={name: mean_interval(values) if values else None for name, values in cells.items()},
        ledger={name: _mean(values) if values else None for name, values in ledger.items()},
        shared=group.shared,
        departures=tuple(sorted(footnotes.index(text) + 1 for text in set(group.departures))),
    )


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; nan without any."""
    found = np.array([value for value in values if not math.isnan(value)])
    return float(found.mean()) if len(found) else math.nan


def _marked(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Add to each row the metrics in which it is the best of its dataset, unless all rows are equal."""
    best: dict[tuple[str, str], float] = {}
    for column in columns:
        for dataset in {row.dataset for row in rows}:
            competitors = [row for row in rows if row.dataset == dataset]
            if notes.mostly_incomplete(competitors):
                continue
            means = [_comparable(row, column) for row in competitors]
            found = [mean for mean in means if mean is not None]
            if len(found) == 1 or len(set(found)) > 1:
                best[dataset, column.name] = (min if column.info.direction == "lower" else max)(found)
    return [replace(row, best=frozenset(_wins(row, columns, best))) for row in rows]


def _wins(row: Row, columns: Sequence[Column], best: Mapping[tuple[str, str], float]) -> Iterable[str]:
    for column in columns:
        mean = _comparable(row, column)
        best_mean = best.get((row.dataset, column.name))
        if mean is not None and best_mean is not None and math.isclose(mean, best_mean, rel_tol=1e-12):
            yield column.name


def _comparable(row: Row, column: Column) -> float | None:
    """Mean of a metric with which a row competes; None if it does not compete."""
    cell = row.cells[column.name]
    # One seed gives no estimate of the spread between seeds, so its lowest value is not a result.
    if row.anchor or not row.complete or row.finished < 2 or column.info.direction == "none":
        return None
    if cell is None or cell.n < row.finished or not math.isfinite(cell.mean):
        return None
    return cell.mean
