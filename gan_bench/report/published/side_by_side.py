"""Published figures next to ours: the second table of `gan-bench table --published`.

A figure is shown next to a row if model and dataset are the same plugins with the same parameters; parameters that
the figure omits are the dataset's defaults. A figure without parameters of the model is shown once. Our value is added
if the metric is the same quantity; a metric of another definition has a separate name and no value of ours. Claims of
papers about their systems are separate from measurements by others.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from gan_bench.contracts.run import JsonValue, Plain
from gan_bench.contracts.table import Estimate, Row, Table
from gan_bench.plugins.discovery import load_plugins, plugin_folders
from gan_bench.plugins.kinds import PUBLISHED
from gan_bench.plugins.registry import Registry
from gan_bench.report.published.load import CLAIM, SPREADS, ParamValue, PublishedFigure, data_of, gather, params_of
from gan_bench.results.load import StoredResults
from gan_bench.results.metrics import known_metrics

NOTHING = "No published figures are known for these models and datasets."
BOUNDS = "values"
"""Parameter of an image dataset that scales its pixels."""

Data = Mapping[str, str]
"""Label of a dataset → name and parameters, as in the column `dataset` of published figures."""
MARKS: Mapping[str, str] = {
    "std over runs": "s.d.",
    "standard error over runs": "s.e.",
    "evaluation repeats": "eval.",
    "unknown": "?",
}
"""Text next to a ±, by its meaning."""


@dataclass(frozen=True)
class Figure:
    """One published figure and the row that it belongs to.

    Attributes:
        row: its row of the comparison table.
        ours: our estimate of the same quantity; None if the metric is another one or has no value yet.
        published: the figure.
    """

    row: Row
    ours: Estimate | None
    published: PublishedFigure


@dataclass(frozen=True)
class PublishedComparison:
    """Published figures of a comparison table: claims first, each group in the order of the table's rows."""

    title: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]


def published_comparison(results: StoredResults, table: Table) -> PublishedComparison:
    """Published figures for `table`, from the installed plugins and plugins/ of the working folder."""
    registry = load_plugins(plugin_folders(results=results.source), kinds=(PUBLISHED, "datasets", "metrics"))
    read, problems = gather(registry, _directions(results, registry))
    known = [replace(each, dataset=_described(*data_of(each.dataset), registry)) for each in read]
    data, rows = _data(results, registry), table.rows
    matched = [(row, each) for each in known for row in _rows_of(each, results, rows, data)]
    columns = {column.name for column in table.columns}
    figures = [_figure(row, each) for row, each in matched if not each.metric or each.metric in columns]
    figures.sort(key=lambda figure: (figure.published.kind != CLAIM, rows.index(figure.row)))
    hidden = dict.fromkeys(each.metric for _, each in matched if each.metric not in ("", *columns))
    notes = [*(_notes(results, figures) if figures else [NOTHING]), *_more(known, results, rows, data)]
    return PublishedComparison(table.title, tuple(figures), (*notes, *_left_out(list(hidden), known, data), *problems))


def _directions(results: StoredResults, registry: Registry) -> dict[str, str]:
    """Direction of every metric: of those that are installed, and of those in the results."""
    installed = {name: str(metric.direction) for name, metric in registry.all("metrics").items()}
    return {name: info.direction for name, info in known_metrics(results).items()} | installed


def _rows_of(figure: PublishedFigure, results: StoredResults, rows: Sequence[Row], data: Data) -> list[Row]:
    """Return the rows of a figure: those of its system and dataset that have its parameters.

    A figure without parameters describes the usual form of the system. It is shown once, next to the first row without
    departures from the protocol, or next to the first row if all have departures.
    """
    mine = [row for row in rows if _shown(row, data) == figure.subject]
    if not figure.params:
        return sorted(mine, key=lambda row: bool(row.departures))[:1]
    wanted = params_of(figure.params)
    return [row for row in mine if _agrees(wanted, _params(row, results))]


def _shown(row: Row, data: Data) -> tuple[str, str]:
    """Model and dataset of a row."""
    return row.model, data.get(row.dataset, row.dataset)


def _data(results: StoredResults, registry: Registry) -> Data:
    """Description of each dataset, by label, in the notation of published figures."""
    entries = results.benchmark.datasets if results.benchmark else ()
    found: dict[str, tuple[str, Plain]] = {each.label: (each.plugin, each.params or {}) for each in entries}
    for placed in results.runs:
        dataset = placed.run.record.dataset
        found[placed.dataset] = dataset.plugin, dataset.params
    return {label: _described(plugin, params, registry) for label, (plugin, params) in found.items()}


def _described(plugin: str, params: Plain, registry: Registry) -> str:
    """Format a dataset with its unusual parameters, the same text for the same data: ``stl10; size=96``."""
    unusual = sorted(_unusual(plugin, params, registry).items())
    pairs = (f"{key}={float(value):g}" if _is_number(value) else f"{key}={value}".lower() for key, value in unusual)
    return "; ".join([plugin, *pairs])


def _unusual(plugin: str, params: Plain, registry: Registry) -> Plain:
    """Parameters that differ from the plugin's defaults, except the bounds of images; empty without the plugin."""
    cls = registry.all("datasets").get(plugin)
    if cls is None:
        return {}
    usual = json.loads(json.dumps({each.name: each.default for each in dataclasses.fields(cls.Params)}, default=str))
    return {name: value for name, value in params.items() if name != BOUNDS and value != usual.get(name)}


def _is_number(value: JsonValue) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _params(row: Row, results: StoredResults) -> Plain:
    """Parameters of a row's model, from its runs or else benchmark.json; empty if both lack them."""
    of_runs = [
        each.run.record.model for each in results.runs if (each.dataset, each.entry.label) == (row.dataset, row.label)
    ]
    entries = results.benchmark.models if results.benchmark else ()
    found = [model.params for model in of_runs] + [each.params for each in entries if each.label == row.label]
    return next((params for params in found if params), {})


def _agrees(wanted: Mapping[str, ParamValue], params: Plain) -> bool:
    """Whether parameters have these values, for any notation of numbers."""
    return all(name in params and _same(value, params[name]) for name, value in wanted.items())


def _same(wanted: ParamValue, found: JsonValue) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, float) and isinstance(found, int | float):
        return math.isclose(wanted, found, rel_tol=1e-9)
    return wanted == found


def _figure(row: Row, published: PublishedFigure) -> Figure:
    return Figure(row, row.cells[published.metric] if published.metric else None, published)


def _notes(results: StoredResults, figures: Sequence[Figure]) -> Iterator[str]:
    samples = results.benchmark.evaluation.samples if results.benchmark else None
    drawn = f", from {samples:,} samples each" if samples is not None else ""
    yield (
        f"Published figures are from other code, networks and budgets than ours; their notes list what is known. "
        f"n: number of training runs. Ours: mean ± half-width of the 95 % t-interval, as above{drawn}. Claimed in "
        f"papers: by the authors of the system. Independent re-runs: by others, often the authors of another system."
    )
    marks = dict.fromkeys(figure.published.spread_is for figure in figures if figure.published.spread_is)
    if marks:
        yield "; ".join(f"({MARKS[mark]}) {SPREADS[mark]}" for mark in marks) + "."
    if any(figure.ours is None for figure in figures):
        yield "If ours is missing, the metric has a definition other than ours, or no value yet."
    if not all(figure.published.verified for figure in figures):
        yield "unverified: from memory, or from an unnamed quotation. Check the source before relying on it."


def _more(known: Sequence[PublishedFigure], results: StoredResults, rows: Sequence[Row], data: Data) -> Iterator[str]:
    """Count figures of the same systems on other data, and of variants that have no row."""
    subjects = {_shown(row, data) for row in rows if not row.anchor}
    systems, here = {system for system, _ in subjects}, {dataset for _, dataset in subjects}
    far = [each for each in known if each.system in systems and each.dataset not in here]
    if far:
        datasets = _most([each.dataset for each in far])
        counts = _most([each.system for each in far], "{count} of {name}")
        yield f"More figures exist for other data ({datasets}): {counts}. gan_bench.published() returns them."
    others = [each for each in known if each.subject in subjects and not _rows_of(each, results, rows, data)]
    if others:
        counts = _most([each.system for each in others], "{count} of {name}")
        yield f"More figures exist for parameters that no row is known to have: {counts}."


def _most(texts: Sequence[str], write: str = "{name}") -> str:
    """``mnist, celeba, …``: the three most frequent, with their counts if `write` has a place for them."""
    counted = Counter(texts).most_common()
    names = [write.format(name=name, count=count) for name, count in counted[:3]]
    return ", ".join([*names, "…"] if len(counted) > 3 else names)


def _left_out(hidden: Sequence[str], known: Sequence[PublishedFigure], data: Data) -> Iterator[str]:
    if hidden:
        yield f"More figures exist for metrics that the table does not show: {', '.join(hidden)}."
    published = {each.dataset for each in known}
    for label in (label for label, text in data.items() if ";" in text and text not in published):
        yield f"{label}: its parameters are not the defaults of the plugin, so no published figure is for this data."
