"""A comparison table as Markdown, LaTeX, CSV or a DataFrame, with every label escaped for the format."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import pandas as pd
from tabulate import tabulate

from gan_bench import escape
from gan_bench.contracts.table import Estimate
from gan_bench.report.wording import MISSING
from gan_bench.results.load import LEDGER

if TYPE_CHECKING:
    from gan_bench.contracts.table import Column, Row, Table

ARROWS = {"lower": "↓", "higher": "↑", "none": ""}
_LEDGER_HEADINGS = ("parameters", "real samples", "fake samples", "seconds")


def to_frame(table: Table) -> pd.DataFrame:
    """Convert to a frame with one number a cell; see `gan_bench.report.tables.build.table` for the columns."""
    frame = pd.DataFrame([_record(table, row) for row in table.rows])
    numbers = [name for column in table.columns for name in _number_columns(column)] + list(LEDGER)
    return frame.astype(dict.fromkeys(numbers, "float64"))


def to_csv(table: Table) -> str:
    """The same numbers as CSV: nan and inf spelled out, missing values empty."""
    records = [_record(table, row) for row in table.rows]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for line in [[*records[0]] if records else [], *(record.values() for record in records)]:
        # csv writes None as "", nan as "nan".
        writer.writerow([escape.csv_cell(cell) if isinstance(cell, str) else cell for cell in line])
    return file.getvalue()


def to_markdown(table: Table) -> str:
    """Format a heading and a pipe table for each dataset, then the footnotes and notes."""
    parts = []
    for dataset, rows in _by_dataset(table.rows):
        parts += [f"### {escape.markdown_block(f'{table.title}: {dataset}')}", _pipes(table, rows)]
    if table.footnotes:
        parts.append("Departures from the protocol:")
        parts.append("\n".join(f"{i}. {escape.markdown_block(text)}" for i, text in enumerate(table.footnotes, 1)))
    parts.append("\n".join(f"- {escape.markdown_block(note)}" for note in table.lines))
    return "\n\n".join(parts)


def to_latex(table: Table) -> str:
    """Format a booktabs tabular with a block for each dataset, then the footnotes and notes in small print."""
    lines = [r"% needs \usepackage{booktabs}", rf"\begin{{tabular}}{{l{'r' * (_width(table) - 1)}}}"]
    lines += [r"\toprule", escape.latex_row(_headings(table, escape.latex))]
    blocks = list(_by_dataset(table.rows))
    for dataset, rows in blocks:
        lines.append(r"\midrule")
        if len(blocks) > 1:
            lines.append(rf"\multicolumn{{{_width(table)}}}{{l}}{{\emph{{{escape.latex(dataset)}}}}} \\")
        models, anchors = _split(rows)
        lines += [_latex_row(table, row) for row in models]
        lines += [r"\midrule", *(_latex_row(table, row) for row in anchors)] if anchors else []
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "", *_latex_notes(table)])


def to_text(table: Table, width: int, *, notes: bool = True, ledger: bool = True) -> str:
    """Format for a terminal: columns that fit `width` side by side, the others in blocks below, notes wrapped.

    Without `notes` and `ledger` it is a summary: labels, numbers of seeds and metrics.
    """
    parts = []
    for dataset, rows in _by_dataset(table.rows):
        parts += [escape.one_line(f"{table.title}: {dataset}"), *_blocks(table, rows, width, ledger=ledger)]
    if any(row.marked for row in table.rows):
        parts.append("* leads by the primary metric")
    if notes:
        marked = [f"{i}. {text}" for i, text in enumerate(table.footnotes, 1)]
        lines = [*marked, *(f"- {note}" for note in table.lines)]
        parts.append("\n".join(_wrapped(line, width) for line in lines))
    return "\n\n".join(parts)


def _blocks(table: Table, rows: Sequence[Row], width: int, *, ledger: bool) -> Iterator[str]:
    """Split a table into parts of a width, each with the labels of the rows."""
    models, anchors = _split(rows)
    shown_columns = slice(None if ledger else -len(LEDGER))
    headings = _headings(table, escape.one_line)[shown_columns]
    cells = [_cells(table, row, "", escape.one_line, "*", "")[shown_columns] for row in (*models, *anchors)]
    longest = max(12, width // 3)
    cut = [escape.shortened(label, longest) for label, *_ in cells]
    labels = [label + _mark(row) for label, row in zip(cut, (*models, *anchors), strict=True)]
    sizes = [max(len(each[i]) for each in (headings, *cells)) for i in range(len(headings))]
    first, taken = 1, max(map(len, ["model", *labels]))
    start = taken
    for i in range(1, len(headings) + 1):
        full = i == len(headings) or taken + 2 + sizes[i] > width
        if full and i > first:
            shown = [[label, *each[first:i]] for label, each in zip(labels, cells, strict=True)]
            yield _columns(["model", *headings[first:i]], shown, len(models))
            first, taken = i, start
        taken += 2 + sizes[i] if i < len(headings) else 0


def _columns(headings: Sequence[str], rows: Sequence[Sequence[str]], models: int) -> str:
    """Align columns, two spaces apart, with a rule below the headings and one between models and anchors."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "  ".join([cells[0].ljust(widths[0]), *aligned]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    lines = [line(headings), rule, *map(line, rows[:models])]
    lines += [rule] if 0 < models < len(rows) else []
    return "\n".join([*lines, *map(line, rows[models:])])


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(escape.one_line(line), width, subsequent_indent="  ", break_on_hyphens=False)


def number(estimate: Estimate | None, finished: int) -> str:
    """Format an estimate; with n if it is not `finished`.

    ``1.02 ± 0.10`` on the scale "linear", ``0.757 (0.61–0.94)`` on "log" and "share", with limits of the 95 % interval;
    ``6–8 (2/5)`` for counts: the range, and the number of complete seeds. A question mark follows if a seed collapsed.
    """
    if estimate is None:
        return MISSING
    text = _count(estimate) if estimate.scale == "count" else _mean(estimate)
    text += "?" if estimate.collapsed else ""
    return text if estimate.n == finished else f"{text} (n={estimate.n})"


def _count(estimate: Estimate) -> str:
    low, high = min(estimate.values), max(estimate.values)
    text = f"{low:g}" if low == high else f"{low:g}\N{EN DASH}{high:g}"
    return text if estimate.complete is None else f"{text} ({estimate.complete}/{estimate.n})"


def _mean(estimate: Estimate) -> str:
    mean, low, high = estimate.mean, estimate.low, estimate.high
    if low is None or high is None:
        equal = estimate.n > 1 and math.isfinite(mean)
        return _writer(mean, None)(mean) + (" (all equal)" if equal else "")
    if estimate.scale == "linear":
        write = _writer(mean, high - mean)
        return f"{write(mean)} ± {write(high - mean)}"
    width = high - low
    return f"{_writer(mean, None)(mean)} ({_limit(low, width)}\N{EN DASH}{_limit(high, width)})"


def _limit(x: float, width: float) -> str:
    """Format a limit of an interval with two significant digits, more if the interval is narrow."""
    if 0 < x < 1e-3 and width > 0.1:
        return "<0.001"
    if x == 0 or 1e-3 <= abs(x) < 1e5:
        digits = max(0, 1 - _magnitude(x), -_magnitude(width / 2))
        return f"{x:,.{min(digits, 6)}f}"
    return f"{x:.1e}"


def _record(table: Table, row: Row) -> dict[str, str | float | None]:
    record: dict[str, str | float | None] = {
        "dataset": row.dataset,
        "label": row.label,
        "model": row.model,
        "anchor": row.anchor,
        "n": row.finished,
        "planned": row.planned,
    }
    for column in table.columns:
        cell = row.cells[column.name]
        numbers = (None, None, None) if cell is None else (cell.mean, cell.low, cell.high)
        record |= zip(_number_columns(column), numbers, strict=True)
    record["marked"] = ", ".join(column.name for column in table.columns if column.name in row.marked)
    departures = "; ".join(table.footnotes[i - 1] for i in row.departures)
    return {**record, **row.ledger, "shared": row.shared, "departures": departures}


def _number_columns(column: Column) -> tuple[str, str, str]:
    return column.name, f"{column.name}_low", f"{column.name}_high"


def _by_dataset(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    for dataset, found in groupby(rows, key=lambda row: row.dataset):
        yield dataset, list(found)


def _width(table: Table) -> int:
    return 2 + len(table.columns) + len(LEDGER)


def _headings(table: Table, escape: Callable[[str], str]) -> list[str]:
    return [escape(text) for text in ("model", "n", *map(_heading, table.columns), *_LEDGER_HEADINGS)]


def _heading(column: Column) -> str:
    """Format a column's name, direction and unit: ``symmetric_kl ↓ (nats)``."""
    arrow, unit = ARROWS[column.info.direction], column.info.unit
    # A count of modes needs no "(modes)" after its name.
    shown = f"({unit})" if unit and unit != column.name else ""
    return " ".join(part for part in (column.name, arrow, shown) if part)


def _cells(table: Table, row: Row, mark: str, escape: Callable[[str], str], bold: str, unbold: str) -> list[str]:
    count = str(row.finished) if row.finished == row.planned else f"{row.finished}/{row.planned}"
    texts = [escape(row.label) + mark, count]
    for column in table.columns:
        text = escape(number(row.cells[column.name], row.finished))
        texts.append(f"{bold}{text}{unbold}" if column.name in row.marked else text)
    return texts + [escape(_quantity(name, row.ledger[name])) for name in LEDGER]


def _quantity(name: str, value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.3g}" if name == "train_seconds" and value < 100 else f"{value:,.0f}"


def _split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Split rows into models and anchors."""
    return [row for row in rows if not row.anchor], [row for row in rows if row.anchor]


def _pipes(table: Table, rows: Sequence[Row]) -> str:
    models, anchors = _split(rows)
    lines = [_markdown_row(table, row) for row in models]
    if anchors:  # Markdown has no rule inside a table
        lines.append(["*anchors*", *[""] * (_width(table) - 1)])
        lines += [_markdown_row(table, row) for row in anchors]
    align = ["left", *["right"] * (_width(table) - 1)]
    headings = _headings(table, escape.markdown)
    return str(tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=align))


def _markdown_row(table: Table, row: Row) -> list[str]:
    return _cells(table, row, _mark(row), escape.markdown, "**", "**")


def _mark(row: Row) -> str:
    return f" [{', '.join(map(str, row.departures))}]" if row.departures else ""


def _latex_row(table: Table, row: Row) -> str:
    mark = rf"\textsuperscript{{{','.join(map(str, row.departures))}}}" if row.departures else ""
    return escape.latex_row(_cells(table, row, mark, escape.latex, r"\textbf{", "}"))


def _latex_notes(table: Table) -> list[str]:
    lines = [rf"\textsuperscript{{{i}}} {escape.latex(text)}." for i, text in enumerate(table.footnotes, 1)]
    lines += [escape.latex_line(escape.latex(note)) for note in table.lines]
    return [r"\par\smallskip\noindent{\footnotesize", " \\\\\n".join(lines), r"\par}"]


def _writer(mean: float, half: float | None) -> Callable[[float], str]:
    """Format for a mean and its half-width: three digits of the larger, at least one of the half-width."""
    scale = max((abs(x) for x in (mean, half) if x is not None and math.isfinite(x)), default=0.0)
    if 0 < scale < 1e-4:
        return "{:.2e}".format
    digits = 2 - _magnitude(scale)
    if half is not None and math.isfinite(half):
        digits = max(digits, -_magnitude(half) if half else digits)
    return f"{{:,.{min(max(digits, 0), 6)}f}}".format


def _magnitude(x: float) -> int:
    return math.floor(math.log10(x)) if x else 0


At = Literal["last", "best"]
Format = Literal["markdown", "csv", "latex"]
