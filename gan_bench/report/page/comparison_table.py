"""Section with the comparison table: each number with its dot and interval, and lines at the anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gan_bench.contracts.table import Column, Estimate, Row
from gan_bench.report.page.axes import Axis, axis
from gan_bench.report.page.contents import Contents
from gan_bench.report.page.elements import element, render
from gan_bench.report.page.verdicts import tie_groups
from gan_bench.report.tables.formats import ARROWS, number
from gan_bench.results.load import ANCHORS

_WIDTH, _HEIGHT, _RADIUS = 96, 14, 3.2


@dataclass(frozen=True)
class Heading:
    """Head of a metric's column, with a description for its tooltip."""

    name: str
    arrow: str
    unit: str
    doc: str


@dataclass(frozen=True)
class Cell:
    """Number of a cell, its value for sorting, and its drawing."""

    text: str
    value: str
    marked: bool
    drawing: Markup


@dataclass(frozen=True)
class Line:
    """Row of the table."""

    label: str
    plugin: str
    seeds: str
    finished: int
    complete: bool
    departures: tuple[int, ...]
    group: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """Table of one dataset. `grouped` if models have letters of tie groups in the primary metric."""

    dataset: str
    index: int
    headings: tuple[Heading, ...]
    models: tuple[Line, ...]
    anchors: tuple[Line, ...]
    grouped: bool


def section(contents: Contents) -> Markup:
    """Body of the section."""
    table = contents.table
    return render(
        "comparison_table.html",
        blocks=[_block(contents, dataset, index) for index, dataset in enumerate(contents.datasets)],
        empty=contents.empty,
        columns=[column.name for column in table.columns],
        footnotes=table.footnotes,
        notes=table.notes,
        warnings=table.warnings,
        primary=contents.verdicts.primary,
        any_marked=any(row.marked for row in table.rows),
    )


def _block(contents: Contents, dataset: str, index: int) -> Block:
    models, anchors = contents.models(dataset), contents.anchors(dataset)
    columns = contents.table.columns
    axes = [_axis(contents, column, models, contents.real(dataset, column.name)) for column in columns]
    real = [contents.real(dataset, column.name) for column in columns]
    pairs = contents.verdicts.of(contents.verdicts.pairs, dataset)
    compared = {label for pair in pairs for label in (pair.label, pair.baseline)}
    groups = tie_groups([label for label in _ordered(contents, models) if label in compared], pairs)

    def line(row: Row) -> Line:
        cells = (_cell(row, column, along, anchor) for column, along, anchor in zip(columns, axes, real, strict=True))
        seeds = str(row.finished) if row.finished == row.planned else f"{row.finished} of {row.planned}"
        return Line(
            row.label,
            row.model,
            seeds,
            row.finished,
            row.finished == row.planned,
            row.departures,
            groups.get(row.label, "") if not row.anchor else "",
            tuple(cells),
        )

    headings = (
        Heading(column.name, ARROWS[column.info.direction], _unit(column), column.info.doc) for column in columns
    )
    lines, references = (tuple(line(row) for row in rows) for rows in (models, anchors))
    return Block(dataset, index, tuple(headings), lines, references, bool(pairs))


def _ordered(contents: Contents, rows: Sequence[Row]) -> list[str]:
    """Labels by their means in the primary metric, the best first."""
    primary = contents.verdicts.primary
    if primary is None:
        return [row.label for row in rows]
    sign = -1 if contents.verdicts.metrics[primary].direction == "higher" else 1
    cells = {row.label: row.cells.get(primary) for row in rows}
    means = {
        label: math.inf if cell is None or math.isnan(cell.mean) else sign * cell.mean for label, cell in cells.items()
    }
    return sorted(means, key=lambda label: means[label])


def _unit(column: Column) -> str:
    return column.info.unit if column.info.unit != column.name else ""


def interval(cell: Estimate) -> tuple[float, float] | None:
    """Ends of a cell's interval; None without one."""
    if cell.scale == "count" and cell.n > 1:  # its range
        return min(cell.values), max(cell.values)
    return None if cell.low is None or cell.high is None else (cell.low, cell.high)


def _axis(contents: Contents, column: Column, rows: Sequence[Row], real: float | None) -> Axis:
    """Axis of all models' values and intervals; an end that is not positive has no place on a logarithmic axis."""
    cells = [cell for row in rows if (cell := row.cells[column.name]) is not None]
    means = [cell.mean for cell in cells] + ([] if real is None else [real])
    ends = [end for cell in cells for end in interval(cell) or ()]
    log = contents.is_log(column.name) and all(value > 0 for value in means if math.isfinite(value))
    if log:
        least = min((value for value in means if math.isfinite(value)), default=1.0)
        ends = [max(end, least / 3) for end in ends]
    return axis([*means, *ends], _WIDTH, log=log)


def _cell(row: Row, column: Column, along: Axis, real: float | None) -> Cell:
    cell = row.cells[column.name]
    value = "" if cell is None or math.isnan(cell.mean) else f"{cell.mean:.6g}"
    return Cell(number(cell, row.finished), value, column.name in row.marked, _drawing(row, cell, along, real))


def _drawing(row: Row, cell: Estimate | None, along: Axis, real: float | None) -> Markup:
    """Dot and interval on the column's axis, with a line at real data."""
    parts = []
    middle = _HEIGHT / 2
    if real is not None:
        x = float(along.at([real])[0])
        parts.append(element("path", {"class": "real", "d": f"M{x:.1f} 0v{_HEIGHT}"}))
    if cell is not None and math.isfinite(cell.mean):
        ends = interval(cell)
        if ends is not None:
            low, high = (float(x) for x in along.at([max(ends[0], along.low) if along.log else ends[0], ends[1]]))
            parts.append(element("path", {"class": "range", "d": f"M{low:.1f} {middle:g}H{high:.1f}"}))
        x = float(along.at([cell.mean])[0])
        outside = row.anchor and not along.low <= cell.mean <= along.high
        if not outside and row.model != ANCHORS[0]:
            shape = {"class": "dot marked" if is_marked(row, cell) else "dot"}
            parts.append(element("circle", {**shape, "cx": f"{x:.1f}", "cy": middle, "r": _RADIUS}))
    return element("svg", {"class": "dots", "viewBox": f"-4 0 {_WIDTH + 8} {_HEIGHT}", "aria-hidden": "true"}, *parts)


def is_marked(row: Row, cell: Estimate) -> bool:
    """Whether a cell is marked in its row."""
    return any(row.cells[name] is cell for name in row.marked)
