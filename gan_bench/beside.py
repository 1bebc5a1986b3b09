"""Published figures beside ours: the second table of `gan-bench table --published`.

A figure stands beside a row where model and dataset are the same plugins. Ours stands beside it where the metric is
the same quantity, too; a metric of another definition has its own name and nothing of ours next to it. What papers
claim of their own systems is apart from what others measured.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tabulate import tabulate

from gan_bench.literature import CLAIM, RERUN, SPREADS, gather
from gan_bench.plugins import PUBLISHED, Registry, load_plugins, plugin_folders
from gan_bench.rendering import ARROWS, MISSING, escape_latex, escape_markdown, number
from gan_bench.results import StoredResults
from gan_bench.statistics import Estimate
from gan_bench.tables import Format, Row, Table

TITLES = {CLAIM: "claimed in papers", RERUN: "independent re-runs"}
NOTHING = "No published figure is known of these models on these datasets."
_RECORD = ("kind", "dataset", "label", "system", "name", "metric", "ours", "half_width", "ours_n")
_COPIED = (
    "measure", "direction", "value", "spread", "spread_is", "n", "samples", "verified", "printed", "protocol",
    "source", "quoted_by",
)  # fmt: skip
_HEADINGS = ("model", "metric", "ours", "n", "published", "n", "published of", "protocol", "source")


@dataclass(frozen=True)
class Figure:
    """One published figure and the row that it stands beside.

    Attributes:
        row: of the comparison table.
        ours: our estimate of the same quantity; None where the metric is another, or has no value yet.
        samples: how many samples ours is computed from, where that is known and there is one.
        told: the figure, by the columns of `gan_bench.literature`; None where it has no value.
    """

    row: Row
    ours: Estimate | None
    samples: int | None
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Beside:
    """The published figures of a comparison table: claims first, each in the order of the table's rows."""

    title: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]


def beside(results: StoredResults, table: Table) -> Beside:
    """The published figures of what `table` shows, from the installed plugins and plugins/ of the working folder."""
    registry = load_plugins(plugin_folders(), kinds=(PUBLISHED, "datasets"))
    frame, problems = gather(registry)
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    known = [dict(zip(frame.columns, row, strict=True)) for row in rows]
    changed = _changed(results, registry)
    matched = [(row, told) for row in table.rows if row.dataset not in changed for told in _of(results, row, known)]
    columns = {column.name: column for column in table.columns}
    shown = [(row, told) for row, told in matched if not told["metric"] or told["metric"] in columns]
    figures = [_figure(results, row, told) for row, told in shown]
    figures.sort(key=lambda figure: figure.told["kind"] != CLAIM)
    hidden = dict.fromkeys(
        str(told["metric"]) for _, told in matched if told["metric"] and told["metric"] not in columns
    )
    notes = [*(_notes(figures) if figures else [NOTHING]), *_left_out(list(hidden), changed), *problems]
    return Beside(table.title, tuple(figures), tuple(notes))


def render(found: Beside, format: Format) -> str:
    """The second table as text that ends with a line break."""
    renderers: Mapping[Format, Callable[[Beside], str]] = {
        "markdown": to_markdown,
        "csv": to_csv,
        "latex": to_latex,
    }
    return renderers[format](found).rstrip("\n") + "\n"


def to_markdown(found: Beside) -> str:
    """A heading and a pipe table for claims and for re-runs, then the notes."""
    parts = []
    for title, figures in _parts(found):
        lines = [[escape_markdown(text) for text in _cells(figure, several=_several(found))] for figure in figures]
        align = ["left", "left", *["right"] * 4, *["left"] * 3]
        parts.append(f"### {escape_markdown(title)}")
        parts.append(str(tabulate(lines, _HEADINGS, tablefmt="pipe", disable_numparse=True, colalign=align)))
    parts = parts or [f"### {escape_markdown(f'{found.title}: published figures')}"]
    parts.append("\n".join(f"- {escape_markdown(note)}" for note in found.notes))
    return "\n\n".join(parts)


def to_latex(found: Beside) -> str:
    """A booktabs tabular with a block for claims and for re-runs, then the notes in small print."""
    columns = "llrrrrl" + r"p{.25\linewidth}" * 2
    lines = [r"% needs \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines.append(" & ".join(_HEADINGS) + r" \\")
    for title, figures in _parts(found):
        lines += [r"\midrule", rf"\multicolumn{{{len(_HEADINGS)}}}{{l}}{{\emph{{{escape_latex(title)}}}}} \\"]
        for figure in figures:
            lines.append(" & ".join(map(escape_latex, _cells(figure, several=_several(found)))) + r" \\")
    body = [*lines, r"\bottomrule", r"\end{tabular}"] if found.figures else []
    notes = " \\\\\n".join(map(escape_latex, found.notes))
    return "\n".join([*body, "", r"\par\smallskip\noindent{\footnotesize", notes, r"\par}"])


def to_csv(found: Beside) -> str:
    """One number a cell: empty where there is none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_RECORD, *_COPIED])
    for figure in found.figures:
        told, ours = figure.told, figure.ours
        mine = (None, None, None) if ours is None else (ours.mean, ours.half_width, ours.n)
        row = (told["kind"], figure.row.dataset, figure.row.label, told["system"], told["name"], told["metric"])
        writer.writerow([*row, *mine, *(told[name] for name in _COPIED)])  # csv writes None as ""
    return file.getvalue()


def _of(results: StoredResults, row: Row, known: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The figures of a row's model on its dataset."""
    plugins = {each.label: each.plugin for each in results.benchmark.datasets} if results.benchmark else {}
    dataset = plugins.get(row.dataset, row.dataset)
    yield from (told for told in known if told["system"] == row.model and told["dataset"] == dataset)


def _figure(results: StoredResults, row: Row, told: Mapping[str, Any]) -> Figure:
    ours = row.cells[told["metric"]] if told["metric"] else None
    samples = results.benchmark.evaluation.get("samples") if results.benchmark else None
    return Figure(row, ours, samples if ours is not None else None, told)


def _changed(results: StoredResults, registry: Registry) -> tuple[str, ...]:
    """The datasets whose parameters are not their plugins' defaults: no figure is of the same data."""
    found = {}
    for placed in results.runs:
        cls = registry.all("datasets").get(str(placed.run.dataset.get("plugin")))
        if cls is None:
            continue
        usual = {each.name: each.default for each in dataclasses.fields(cls.Params)}
        params = placed.run.dataset.get("params") or {}
        if any(value != json.loads(json.dumps(usual.get(name), default=str)) for name, value in params.items()):
            found[placed.dataset] = True
    return tuple(found)


def _notes(figures: Sequence[Figure]) -> Iterator[str]:
    yield (
        "Published figures are of other code, networks and budgets than ours, as far as protocol tells; n is training "
        "runs, ± what stands beside it. Ours: mean ± half-width of the 95 % t-interval, as above."
    )
    yield (
        "Claimed in papers: a system's own authors say so. Independent re-runs: others trained it, often the authors "
        "of another system."
    )
    if any(figure.ours is None for figure in figures):
        yield "Where ours is missing, the metric is of another definition than any of ours, or has no value yet."
    if not all(figure.told["verified"] for figure in figures):
        yield "unverified: from memory, or from a quotation that is not named; look it up before relying on it."


def _left_out(hidden: Sequence[str], changed: Sequence[str]) -> Iterator[str]:
    if hidden:
        yield f"More figures are known of metrics that the table does not show: {', '.join(hidden)}."
    for label in changed:
        yield f"{label}: its parameters are not the defaults of its plugin, so no published figure is of the same data."


def _several(found: Beside) -> bool:
    return len({figure.row.dataset for figure in found.figures}) > 1


def _parts(found: Beside) -> Iterator[tuple[str, list[Figure]]]:
    """Claims and re-runs with their titles, those that there are."""
    for kind, title in TITLES.items():
        figures = [figure for figure in found.figures if figure.told["kind"] == kind]
        if figures:
            yield f"{found.title}: {title}", figures


def _cells(figure: Figure, *, several: bool) -> list[str]:
    """The texts of one line, not escaped; the dataset is named where there are `several`."""
    row, told, ours = figure.row, figure.told, figure.ours
    count = MISSING if ours is None else str(ours.n) if ours.n == row.planned else f"{ours.n}/{row.planned}"
    return [
        f"{row.label} ({row.dataset})" if several else row.label,
        _metric(told),
        number(ours, ours.n if ours else 0),
        count,
        _value(told),
        MISSING if told["n"] is None else f"{told['n']:,}",
        told["name"],
        _protocol(figure),
        f"{told['source']}, as quoted in {told['quoted_by']}" if told["quoted_by"] else told["source"],
    ]


def _metric(told: Mapping[str, Any]) -> str:
    """``mode_kl ↓, there reverse KL``; a metric of another definition by its own name alone."""
    name = told["metric"] or told["measure"]
    there = f", there {told['measure']}" if told["metric"] not in ("", told["measure"]) else ""
    return " ".join(part for part in (name, ARROWS[told["direction"]]) if part) + there


def _value(told: Mapping[str, Any]) -> str:
    """``8.33 ± 0.10 (± over repeats of the evaluation)``, both with as many decimals as the longer has."""
    value, spread = told["value"], told["spread"]
    decimals = max(_decimals(each) for each in (value, spread) if each is not None)
    text = f"{value:,.{decimals}f}" + ("" if spread is None else f" ± {spread:,.{decimals}f}")
    remarks = [SPREADS[told["spread_is"]]] if told["spread_is"] else []
    remarks += [] if told["verified"] else ["unverified"]
    return f"{text} ({'; '.join(remarks)})" if remarks else text


def _decimals(x: float) -> int:
    exponent = Decimal(f"{x:.10g}").normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) and math.isfinite(x) else 0


def _protocol(figure: Figure) -> str:
    """What differs, first of all the number of samples."""
    told, ours = figure.told, figure.samples
    drawn = "" if told["samples"] is None else f"{told['samples']:,} samples"
    if drawn and ours is not None and ours != told["samples"]:
        drawn += f" (ours {ours:,})"
    return "; ".join(part for part in (drawn, told["protocol"]) if part)
