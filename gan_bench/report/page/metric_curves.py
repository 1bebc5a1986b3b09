"""Section with curves: every seed and the median over iterations, a small chart for each model and metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from gan_bench import escape
from gan_bench.contracts.table import Column
from gan_bench.report.figures import curves
from gan_bench.report.page.axes import Axis, Floats, axis, number, path, short
from gan_bench.report.page.contents import Contents, Curve
from gan_bench.report.page.elements import DataTable, element, joined, render, titled
from gan_bench.report.page.marks import Mark
from gan_bench.report.tables.formats import ARROWS

OVERLAID = 12
"""Largest number of models that share a chart of medians; beyond that it would be unreadable."""

_WIDTH, _HEIGHT = 400, 220
_LEFT, _BELOW, _ABOVE, _RIGHT = 62, 34, 12, 12
_LABELS = 230  # units right of the overview, for labels
_WIDE, _TALL = 900, 380
_LINE = 26  # units between two labels
_MOST_MARKERS = 12


@dataclass(frozen=True)
class Model:
    """Curves of one model."""

    label: str
    mark: Mark
    runs: tuple[Curve, ...]
    iterations: Floats
    median: Floats
    low: Floats
    high: Floats
    finished: int


@dataclass(frozen=True)
class Panel:
    """All charts of one metric on one dataset."""

    metric: str
    title: str
    log: bool
    overview: Markup
    charts: tuple[Markup, ...]
    data: DataTable
    missing: str


@dataclass(frozen=True)
class Group:
    """Panels of one dataset."""

    dataset: str
    index: int
    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, Markup], ...]


def section(contents: Contents) -> Markup:
    """Body of the section."""
    groups = [_group(contents, dataset, index) for index, dataset in enumerate(contents.datasets)]
    broken = any(not curve.finished for found in contents.curves.values() for curve in found)
    return render("metric_curves.html", groups=groups, broken=broken, overlaid=OVERLAID)


def _group(contents: Contents, dataset: str, index: int) -> Group:
    rows = contents.models(dataset)
    columns = contents.table.columns
    panels = tuple(_panel(contents, dataset, column, f"f{index}-{i}") for i, column in enumerate(columns))
    legend = tuple((row.label, contents.marks[row.label].key()) for row in rows)
    return Group(dataset, index, panels, legend)


def _panel(contents: Contents, dataset: str, column: Column, frame: str) -> Panel:
    """Charts of one metric; `frame` is the identifier of the axes that the small charts share."""
    labels = [row.label for row in contents.models(dataset)]
    found = {label: contents.curves.get((dataset, label, column.name), ()) for label in labels}
    models = [_model(label, contents.marks[label], runs) for label, runs in found.items() if _is_drawable(runs)]
    absent = [label for label, runs in found.items() if not _is_drawable(runs)]
    unit = f" ({column.info.unit})" if column.info.unit and column.info.unit != column.name else ""
    title = f"{column.name}{unit} {ARROWS[column.info.direction]}".rstrip()
    real = contents.real(dataset, column.name)
    visible = _visible(models, real)
    log = contents.is_log(column.name) and bool(len(visible)) and bool((visible > 0).all())
    last = max((float(model.iterations[-1]) for model in models if len(model.iterations)), default=0.0)
    last = last or max((float(run.iterations[-1]) for model in models for run in model.runs), default=1.0) or 1.0
    across, up = Axis(0, last, _WIDTH - _LEFT - _RIGHT), axis(visible, _HEIGHT - _ABOVE - _BELOW, log=log)
    axes = element("g", {"id": frame}, _frame(across, up, 4, 3), *_real(across, up, real))
    again = element("use", {"href": f"#{frame}"})
    charts = tuple(_chart(m, column.name, across, up, again if i else axes) for i, m in enumerate(models))
    overview = _overview(models, column.name, visible, log, last, real) if 1 < len(models) <= OVERLAID else Markup("")
    return Panel(column.name, title, log, overview, charts, _data(models, column.name), _missing(absent))


def _is_drawable(runs: Sequence[Curve]) -> bool:
    return any(np.isfinite(run.values).any() for run in runs)


def _missing(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    shown = ", ".join(labels[:10]) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")
    return f"No finite value: {shown}."


def _model(label: str, mark: Mark, runs: Sequence[Curve]) -> Model:
    """Median and range over the finished seeds; a seed whose value is not finite leaves a gap in both."""
    finished = [run for run in runs if run.finished]
    iterations = np.unique(np.concatenate([run.iterations for run in finished])) if finished else np.empty(0)
    values = np.full((len(finished), len(iterations)), np.nan)
    counted = np.zeros(len(iterations), dtype=int)
    for row, run in enumerate(finished):
        at = np.searchsorted(iterations, run.iterations)
        values[row, at] = run.values
        counted[at] += 1
    whole = np.isfinite(values).sum(axis=0) == counted if len(finished) else np.empty(0, dtype=bool)
    median, low, high = (np.full(len(iterations), np.nan) for _ in range(3))
    if whole.any():
        used = np.where(np.isfinite(values[:, whole]), values[:, whole], np.nan)
        median[whole], low[whole], high[whole] = (
            np.nanmedian(used, axis=0),
            np.nanmin(used, axis=0),
            np.nanmax(used, axis=0),
        )
    return Model(label, mark, tuple(runs), iterations.astype(float), median, low, high, len(finished))


def _visible(models: Sequence[Model], real: float | None) -> Floats:
    """Values that determine the limits: those of finished runs, so that a diverged run does not flatten the others."""
    finished = [run.values for model in models for run in model.runs if run.finished]
    arrays = finished or [run.values for model in models for run in model.runs]
    values = np.concatenate([*arrays, np.asarray([] if real is None else [real])]) if arrays else np.empty(0)
    return values[np.isfinite(values)]


def _chart(model: Model, metric: str, across: Axis, up: Axis, axes: Markup) -> Markup:
    """Small chart of one model: its seeds, and their median."""
    parts = [axes]
    ends = []
    for run in model.runs:
        kind = "seed" if run.finished else "seed broken"
        x, y = across.at(run.iterations.astype(np.float64)), up.size - up.at(run.values)
        title = element("title", {}, f"{model.label}, seed {run.seed}{_ending(run)}")
        parts.append(element("path", {"class": kind, "d": path(x, y)}, title))
        finite = np.flatnonzero(np.isfinite(y))
        if not run.finished and len(finite):
            ends.append(_cross(float(x[finite[-1]]), float(y[finite[-1]])))
    if model.finished > 1:
        parts.append(_median(model, across, up))
    failed = sum(not run.finished for run in model.runs)
    about = f"{model.finished} finished" + (f", {failed} not finished" if failed else "")
    described = f"{metric} of {model.label} over iterations, {about}"
    inner = element("g", {"transform": f"translate({_LEFT} {_ABOVE})"}, *parts, *ends)
    drawn = titled(described, {"class": "chart", "viewBox": f"0 0 {_WIDTH} {_HEIGHT}"}, inner)
    name = element("figcaption", {}, model.mark.key(), element("span", {}, model.label), element("small", {}, about))
    return element("figure", {"class": f"small {model.mark.classes}", "data-label": model.label}, drawn, name)


def _ending(run: Curve) -> str:
    return "" if run.finished else f", {run.status}"


def _cross(x: float, y: float) -> Markup:
    return element("path", {"class": "fail", "d": f"M{x - 6:.0f} {y - 6:.0f}l12 12m0-12l-12 12"})


def _median(model: Model, across: Axis, up: Axis) -> Markup:
    x, y = across.at(model.iterations), up.size - up.at(model.median)
    return element("path", {"class": "median", "d": path(x, y)})


def _real(across: Axis, up: Axis, real: float | None) -> list[Markup]:
    if real is None:
        return []
    y = up.size - float(up.at([real])[0])
    title = element("title", {}, f"real data: {number(real)}")
    return [element("path", {"class": "real", "d": f"M0 {y:.0f}H{across.size:g}"}, title)]


def _frame(across: Axis, up: Axis, most_x: int, most_y: int) -> Markup:
    """Grid lines and tick labels."""
    parts = []
    for value in up.ticks(most_y):
        y = up.size - float(up.at([value])[0])
        parts.append(element("path", {"class": "grid", "d": f"M0 {y:.0f}H{across.size:g}"}))
        parts.append(element("text", {"x": -8, "y": f"{y + 6:.0f}", "text-anchor": "end"}, short(value)))
    for value in across.ticks(most_x):
        x = float(across.at([value])[0])
        anchor = "end" if x > across.size - 15 else "middle"
        parts.append(element("text", {"x": f"{x:.0f}", "y": up.size + 24, "text-anchor": anchor}, short(value)))
    parts.append(element("path", {"class": "axis", "d": f"M0 {up.size:g}H{across.size:g}"}))
    return joined(parts)


def _overview(
    models: Sequence[Model], metric: str, visible: Floats, log: bool, last: float, real: float | None
) -> Markup:
    """Chart of all medians, labelled at their ends."""
    across = Axis(0, last, _WIDE - _LEFT - _LABELS)
    up = axis(visible, _TALL - _ABOVE - _BELOW, log=log)
    parts = [_frame(across, up, 6, 5), *_real(across, up, real)]
    drawn, ends = [], []
    for model in models:
        x, heights = across.at(model.iterations), up.size - up.at(model.median)
        finite = np.flatnonzero(np.isfinite(heights))
        if not len(finite):
            continue
        step = -(-len(finite) // _MOST_MARKERS)
        markers = [model.mark.marker(float(x[i]), float(heights[i])) for i in finite[::-step]]
        drawn.append((model, [element("path", {"class": "median", "d": path(x, heights)}), *markers]))
        ends.append((float(x[finite[-1]]), float(heights[finite[-1]])))
    if not drawn:
        return Markup("")
    # `spread` places labels upwards from the lower edge, in fractions of the height.
    placed = curves.spread([1 - y / up.size for _, y in ends], _LINE / up.size)
    for (model, marks), (end, y), height in zip(drawn, ends, placed, strict=True):
        label = escape.shortened(escape.one_line(model.label), 19)
        at = (1 - height) * up.size
        leader = element("path", {"class": "leader", "d": f"M{end + 8:.0f} {y:.0f}L{across.size + 16:.0f} {at:.0f}"})
        name = element("text", {"class": "name", "x": across.size + 22, "y": f"{at + 7:.0f}"}, label)
        group = {"class": f"series {model.mark.classes}", "data-label": model.label}
        parts.append(element("g", group, *marks, leader, name))
    inner = element("g", {"transform": f"translate({_LEFT} {_ABOVE})"}, *parts)
    described = f"{metric} over iterations: median of each model over its finished seeds"
    attributes = {"class": "chart overview", "viewBox": f"0 0 {_WIDE} {_TALL}"}
    return titled(described, attributes, inner)


def _data(models: Sequence[Model], metric: str) -> DataTable:
    """Medians with their range; a column for each model."""
    times = sorted({int(each) for model in models for each in model.iterations})
    columns = [
        {int(t): _range(*values) for t, *values in zip(m.iterations, m.median, m.low, m.high, strict=True)}
        for m in models
    ]
    head = ("iteration", *(model.label for model in models))
    rows = tuple((f"{t:,}", *(column.get(t, "\N{EN DASH}") for column in columns)) for t in times)
    return DataTable(f"{metric}: median over the finished seeds (least to greatest)", head, rows)


def _range(median: float, low: float, high: float) -> str:
    if not np.isfinite(median):
        return "not finite"
    return number(median) if low == high else f"{number(median)} ({number(low)} to {number(high)})"
