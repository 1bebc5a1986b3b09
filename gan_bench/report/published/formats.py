"""The table of published figures as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tabulate import tabulate

from gan_bench.report.published.load import CLAIM, RERUN
from gan_bench.report.published.side_by_side import MARKS, Beside, Figure
from gan_bench.report.tables.formats import ARROWS, MISSING, Format, escape_latex, escape_markdown, number

TITLES = {CLAIM: "claimed in papers", RERUN: "independent re-runs"}
_RECORD = ("kind", "dataset", "label", "system", "name", "metric", "ours", "half_width", "ours_n")
_COPIED = (
    "params", "measure", "direction", "value", "spread", "spread_is", "n", "samples", "verified", "printed", "protocol",
    "source", "quoted_by",
)  # fmt: skip
_HEADINGS = ("model", "metric", "ours", "our n", "published", "their n", "system there", "note")
_WIDTHS = (0.14, 0.14, 0.13, 0.05, 0.17, 0.06, 0.13, 0.04)  # of these columns in LaTeX; their sum leaves room for gaps

_PLAIN = (1e-6, 1e9)  # range of plain decimals; other values are powers of ten


def render(found: Beside, format: Format) -> str:
    """Format the second table as text that ends with a line break."""
    renderers: Mapping[Format, Callable[[Beside], str]] = {
        "markdown": to_markdown,
        "csv": to_csv,
        "latex": to_latex,
    }
    return renderers[format](found).rstrip("\n") + "\n"


def to_markdown(found: Beside) -> str:
    """Format a heading and a pipe table for claims and for re-runs, then numbered sources and the notes."""
    parts, places = [], _places(found)
    for title, figures in _parts(found):
        lines = [[escape_markdown(text) for text in _cells(found, each)] for each in figures]
        lines = [[*line, str(places.index(_place(each)) + 1)] for line, each in zip(lines, figures, strict=True)]
        align = ["left", "left", *["right"] * 4, "left", "right"]
        parts.append(f"### {escape_markdown(title)}")
        parts.append(str(tabulate(lines, _HEADINGS, tablefmt="pipe", disable_numparse=True, colalign=align)))
    parts = parts or [f"### {escape_markdown(f'{found.title}: published figures')}"]
    if places:
        parts.append("Where they stand, by note:")
        parts.append("\n".join(f"{i}. {escape_markdown(text)}." for i, text in enumerate(_footnotes(found), 1)))
    parts.append("\n".join(f"- {escape_markdown(note)}" for note in found.notes))
    return "\n\n".join(parts)


def to_latex(found: Beside) -> str:
    """Format a longtable of the text's width, with a block for claims and for re-runs, then sources and notes."""
    head = [r"% needs \usepackage{array,booktabs,longtable}", r"{\footnotesize\setlength{\tabcolsep}{3pt}"]
    head += [rf"\begin{{longtable}}{{@{{}}{_latex_columns()}@{{}}}}", r"\toprule"]
    head += [" & ".join(_HEADINGS) + r" \\", r"\endhead", r"\bottomrule", r"\endfoot"]
    lines = [line for title, figures in _parts(found) for line in _latex_block(found, title, figures)]
    body = [*head, *lines, r"\end{longtable}", "}"] if found.figures else []
    notes = [f"{_superscript(i)} {escape_latex(text)}." for i, text in enumerate(_footnotes(found), 1)]
    notes += map(escape_latex, found.notes)
    return "\n".join([*body, "", r"\par\smallskip\noindent{\footnotesize", " \\\\\n".join(notes), r"\par}"])


def _latex_columns() -> str:
    sides = zip(_WIDTHS, ["ragged" + ("right" if i in (0, 1, 6) else "left") for i in range(8)], strict=True)
    return "".join(rf">{{\{side}\arraybackslash}}p{{{width}\linewidth}}" for width, side in sides)


def _latex_block(found: Beside, title: str, figures: Sequence[Figure]) -> Iterator[str]:
    yield r"\midrule"
    yield rf"\multicolumn{{{len(_HEADINGS)}}}{{@{{}}l}}{{\emph{{{escape_latex(title)}}}}} \\"
    places = _places(found)
    for figure in figures:
        cells = [escape_latex(text).replace(r"\_", r"\_\allowbreak{}") for text in _cells(found, figure)]
        yield " & ".join([*cells, _superscript(places.index(_place(figure)) + 1)]) + r" \\"


def _superscript(number: int) -> str:
    return rf"\textsuperscript{{{number}}}"


def to_csv(found: Beside) -> str:
    """CSV with one number a cell; missing values are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_RECORD, *_COPIED])
    for figure in found.figures:
        told, ours = figure.told, figure.ours
        mine = (None, None, None) if ours is None else (ours.mean, ours.half_width, ours.n)
        row = (told["kind"], figure.row.dataset, figure.row.label, told["system"], told["name"], told["metric"])
        writer.writerow([*row, *mine, *(told[name] for name in _COPIED)])  # csv writes None as ""
    return file.getvalue()


def _several(found: Beside) -> bool:
    return len({figure.row.dataset for figure in found.figures}) > 1


def _parts(found: Beside) -> Iterator[tuple[str, list[Figure]]]:
    """Claims and re-runs with their titles; empty groups are omitted."""
    for kind, title in TITLES.items():
        figures = [figure for figure in found.figures if figure.told["kind"] == kind]
        if figures:
            yield f"{found.title}: {title}", figures


def _cells(found: Beside, figure: Figure) -> list[str]:
    """Texts of one line but the last, not escaped; the dataset is included if there are several."""
    row, told, ours = figure.row, figure.told, figure.ours
    count = MISSING if ours is None else str(ours.n) if ours.n == row.planned else f"{ours.n}/{row.planned}"
    return [
        f"{row.label} ({row.dataset})" if _several(found) else row.label,
        _metric(told),
        number(ours, ours.n if ours else 0),
        count,
        _value(told),
        MISSING if told["n"] is None else f"{told['n']:,}",
        told["name"],
    ]


def _place(figure: Figure) -> tuple[Any, ...]:
    """Key of a numbered note: the place of a figure in its source, and its protocol."""
    return tuple(figure.told[name] for name in ("source", "quoted_by", "samples", "protocol"))


def _places(found: Beside) -> list[tuple[Any, ...]]:
    """Unique places, in the order of the tables."""
    return list(dict.fromkeys(map(_place, found.figures)))


def _footnotes(found: Beside) -> list[str]:
    """Text of each place: source, samples, protocol, and its names for our metrics."""
    return [_footnote([each.told for each in found.figures if _place(each) == place]) for place in _places(found)]


def _footnote(figures: Sequence[Mapping[str, Any]]) -> str:
    told = figures[0]
    place = f"{told['source']}, as quoted in {told['quoted_by']}" if told["quoted_by"] else str(told["source"])
    drawn = "" if told["samples"] is None else f"{told['samples']:,} samples"
    named = [each for each in figures if each["metric"] not in ("", each["measure"])]
    words = dict.fromkeys(f"{each['metric']} there: {each['measure']}" for each in named)
    how = "; ".join(part for part in (drawn, told["protocol"], *words) if part)
    return f"{place}: {how}" if how else place


def _metric(told: Mapping[str, Any]) -> str:
    """Format a metric as ``mode_kl ↓``; a metric of another definition has the source's name for it."""
    return f"{told['metric'] or told['measure']} {ARROWS[told['direction']]}".strip()


def _value(told: Mapping[str, Any]) -> str:
    """Format a value as ``8.33 ± 0.10 (eval.)``, with the decimals of the source."""
    given = [each for each in (told["value"], told["spread"]) if each is not None]
    remarks = [MARKS[told["spread_is"]]] if told["spread_is"] else []
    remarks += [] if told["verified"] else ["unverified"]
    return " ± ".join(_written(given, told["printed"])) + (f" ({'; '.join(remarks)})" if remarks else "")


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
