"""The table of published figures as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from tabulate import tabulate

from gan_bench import escape
from gan_bench.report.published.load import CLAIM, RERUN, PublishedFigure
from gan_bench.report.published.side_by_side import MARKS, Figure, PublishedComparison
from gan_bench.report.tables.formats import ARROWS, Format, number
from gan_bench.report.wording import MISSING

TITLES = {CLAIM: "claimed in papers", RERUN: "independent re-runs"}
_RECORD = ("kind", "dataset", "label", "system", "name", "metric", "ours", "ours_low", "ours_high", "ours_n")
_COPIED = (
    "params", "measure", "direction", "value", "spread", "spread_is", "n", "samples", "verified", "printed", "protocol",
    "source", "quoted_by",
)  # fmt: skip
_HEADINGS = ("model", "metric", "ours", "our n", "published", "their n", "name in source", "note")
_WIDTHS = (0.14, 0.14, 0.13, 0.05, 0.17, 0.06, 0.13, 0.04)  # of these columns in LaTeX; their sum leaves room for gaps

_PLAIN = (1e-6, 1e9)  # range of plain decimals; other values are powers of ten


def render(found: PublishedComparison, format: Format) -> str:
    """Format the second table as text that ends with a line break."""
    renderers: Mapping[Format, Callable[[PublishedComparison], str]] = {
        "markdown": to_markdown,
        "csv": to_csv,
        "latex": to_latex,
    }
    return renderers[format](found).rstrip("\n") + "\n"


def to_markdown(found: PublishedComparison) -> str:
    """Format a heading and a pipe table for claims and for re-runs, then numbered sources and the notes."""
    parts, places = [], _places(found)
    for title, figures in _parts(found):
        lines = [[escape.markdown(text) for text in _cells(found, each)] for each in figures]
        lines = [[*line, str(places.index(_place(each)) + 1)] for line, each in zip(lines, figures, strict=True)]
        align = ["left", "left", *["right"] * 4, "left", "right"]
        parts.append(f"### {escape.markdown_block(title)}")
        parts.append(str(tabulate(lines, _HEADINGS, tablefmt="pipe", disable_numparse=True, colalign=align)))
    parts = parts or [f"### {escape.markdown_block(f'{found.title}: published figures')}"]
    if places:
        parts.append("Sources, by note:")
        parts.append("\n".join(f"{i}. {escape.markdown_block(text)}." for i, text in enumerate(_footnotes(found), 1)))
    parts.append("\n".join(f"- {escape.markdown_block(note)}" for note in found.notes))
    return "\n\n".join(parts)


def to_latex(found: PublishedComparison) -> str:
    """Format a longtable of the text's width, with a block for claims and for re-runs, then sources and notes."""
    head = [r"% needs \usepackage{array,booktabs,longtable}", r"{\footnotesize\setlength{\tabcolsep}{3pt}"]
    head += [rf"\begin{{longtable}}{{@{{}}{_latex_columns()}@{{}}}}", r"\toprule"]
    head += [" & ".join(_HEADINGS) + r" \\", r"\endhead", r"\bottomrule", r"\endfoot"]
    lines = [line for title, figures in _parts(found) for line in _latex_block(found, title, figures)]
    body = [*head, *lines, r"\end{longtable}", "}"] if found.figures else []
    notes = [f"{_superscript(i)} {escape.latex(text)}." for i, text in enumerate(_footnotes(found), 1)]
    notes += [escape.latex_line(escape.latex(note)) for note in found.notes]
    return "\n".join([*body, "", r"\par\smallskip\noindent{\footnotesize", " \\\\\n".join(notes), r"\par}"])


def _latex_columns() -> str:
    sides = zip(_WIDTHS, ["ragged" + ("right" if i in (0, 1, 6) else "left") for i in range(8)], strict=True)
    return "".join(rf">{{\{side}\arraybackslash}}p{{{width}\linewidth}}" for width, side in sides)


def _latex_block(found: PublishedComparison, title: str, figures: Sequence[Figure]) -> Iterator[str]:
    yield r"\midrule"
    yield rf"\multicolumn{{{len(_HEADINGS)}}}{{@{{}}l}}{{\emph{{{escape.latex(title)}}}}} \\"
    places = _places(found)
    for figure in figures:
        cells = [escape.latex(text).replace(r"\_", r"\_\allowbreak{}") for text in _cells(found, figure)]
        yield escape.latex_row([*cells, _superscript(places.index(_place(figure)) + 1)])


def _superscript(number: int) -> str:
    return rf"\textsuperscript{{{number}}}"


def to_csv(found: PublishedComparison) -> str:
    """CSV with one number a cell; missing values are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_RECORD, *_COPIED])
    for figure in found.figures:
        theirs, ours = figure.published, figure.ours
        mine = (None, None, None, None) if ours is None else (ours.mean, ours.low, ours.high, ours.n)
        row = (theirs.kind, figure.row.dataset, figure.row.label, theirs.system, theirs.name, theirs.metric)
        cells = [*row, *mine, *(getattr(theirs, name) for name in _COPIED)]
        # csv writes None as "".
        writer.writerow([escape.csv_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return file.getvalue()


def _several(found: PublishedComparison) -> bool:
    return len({figure.row.dataset for figure in found.figures}) > 1


def _parts(found: PublishedComparison) -> Iterator[tuple[str, list[Figure]]]:
    """Claims and re-runs with their titles; empty groups are omitted."""
    for kind, title in TITLES.items():
        figures = [figure for figure in found.figures if figure.published.kind == kind]
        if figures:
            yield f"{found.title}: {title}", figures


def _cells(found: PublishedComparison, figure: Figure) -> list[str]:
    """Texts of one line except the note, not escaped; the dataset is included if there are several."""
    row, theirs, ours = figure.row, figure.published, figure.ours
    count = MISSING if ours is None else str(ours.n) if ours.n == row.planned else f"{ours.n}/{row.planned}"
    return [
        f"{row.label} ({row.dataset})" if _several(found) else row.label,
        _metric(theirs),
        number(ours, ours.n if ours else 0),
        count,
        _value(theirs),
        MISSING if theirs.n is None else f"{theirs.n:,}",
        theirs.name,
    ]


class _Place(NamedTuple):
    """Contents of a numbered note: the source of a published figure, and how it was measured."""

    source: str
    quoted_by: str
    samples: int | None
    protocol: str


def _place(figure: Figure) -> _Place:
    theirs = figure.published
    return _Place(theirs.source, theirs.quoted_by, theirs.samples, theirs.protocol)


def _places(found: PublishedComparison) -> list[_Place]:
    """Unique places, in the order of the tables."""
    return list(dict.fromkeys(map(_place, found.figures)))


def _footnotes(found: PublishedComparison) -> list[str]:
    """Text of each place: source, samples, protocol, and its names for our metrics."""
    places = _places(found)
    return [_footnote(place, [each.published for each in found.figures if _place(each) == place]) for place in places]


def _footnote(place: _Place, figures: Sequence[PublishedFigure]) -> str:
    where = f"{place.source}, as quoted in {place.quoted_by}" if place.quoted_by else place.source
    drawn = "" if place.samples is None else f"{place.samples:,} samples"
    named = [each for each in figures if each.metric not in ("", each.measure)]
    words = dict.fromkeys(f"{each.metric} is called {each.measure} in the source" for each in named)
    how = "; ".join(part for part in (drawn, place.protocol, *words) if part)
    return f"{where}: {how}" if how else where


def _metric(figure: PublishedFigure) -> str:
    """Format a metric as ``mode_kl ↓``; a metric of another definition has the source's name for it."""
    return f"{figure.metric or figure.measure} {ARROWS[figure.direction]}".strip()


def _value(figure: PublishedFigure) -> str:
    """Format a value as ``8.33 ± 0.10 (eval.)``, with the decimals of the source."""
    given = [each for each in (figure.value, figure.spread) if each is not None]
    remarks = [MARKS[figure.spread_is]] if figure.spread_is else []
    remarks += [] if figure.verified else ["unverified"]
    return " ± ".join(_written(given, figure.printed)) + (f" ({'; '.join(remarks)})" if remarks else "")


def _written(numbers: Sequence[float], printed: str) -> list[str]:
    """Format numbers as printed in the source if known, else with the decimals of the longest, or in powers of ten."""
    if not all(x == 0 or _PLAIN[0] <= abs(x) < _PLAIN[1] for x in numbers):
        return [f"{x:.6g}" for x in numbers]
    shown = {float(text): len(text.partition(".")[2]) for text in re.findall(r"[0-9]+(?:\.[0-9]+)?", printed)}
    decimals = [shown.get(abs(x)) for x in numbers]
    longest = max(map(_decimals, numbers))
    known = None not in decimals
    return [f"{x:,.{own if known else longest}f}" for x, own in zip(numbers, decimals, strict=True)]


def _decimals(x: float) -> int:
    exponent = Decimal(f"{x:.10g}").normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
