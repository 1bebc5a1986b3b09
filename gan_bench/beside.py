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

from gan_bench.literature import CLAIM, RERUN, SPREADS, gather, params_of
from gan_bench.plugins import PUBLISHED, Registry, load_plugins, plugin_folders
from gan_bench.rendering import ARROWS, MISSING, escape_latex, escape_markdown, number
from gan_bench.results import StoredResults
from gan_bench.statistics import Estimate
from gan_bench.tables import Format, Row, Table

TITLES = {CLAIM: "claimed in papers", RERUN: "independent re-runs"}
NOTHING = "No published figure is known of these models on these datasets."
_RECORD = ("kind", "dataset", "label", "system", "name", "metric", "ours", "half_width", "ours_n")
_COPIED = (
    "params", "measure", "direction", "value", "spread", "spread_is", "n", "samples", "verified", "printed", "protocol",
    "source", "quoted_by",
)  # fmt: skip
_HEADINGS = ("model", "metric", "ours", "our n", "published", "their n", "system there", "note")
_PLAIN = (1e-6, 1e9)  # what is written out; the rest in powers of ten
MARKS: Mapping[str, str] = {
    "std over runs": "s.d.",
    "standard error over runs": "s.e.",
    "evaluation repeats": "eval.",
    "unknown": "?",
}
"""What stands beside a ±, by what it is."""


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
    registry = load_plugins(plugin_folders(), kinds=(PUBLISHED, "datasets", "metrics"))
    frame, problems = gather(registry)
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    known = [dict(zip(frame.columns, row, strict=True)) for row in rows]
    wrong = list(_misnamed(known, table, registry))
    changed = _changed(results, registry)
    matched = [
        (row, told)
        for row in table.rows
        for told in known
        if row.dataset not in changed and told not in wrong and row is _row_of(told, results, table)
    ]
    columns = {column.name: column for column in table.columns}
    shown = [(row, told) for row, told in matched if not told["metric"] or told["metric"] in columns]
    figures = [_figure(results, row, told) for row, told in shown]
    figures.sort(key=lambda figure: figure.told["kind"] != CLAIM)
    hidden = dict.fromkeys(
        str(told["metric"]) for _, told in matched if told["metric"] and told["metric"] not in columns
    )
    problems += tuple(f"A figure of {told['name']} is left out: no metric is called {told['metric']!r}, or another "
                      f"direction is its better one ({told['source']})." for told in wrong)  # fmt: skip
    notes = [*(_notes(figures) if figures else [NOTHING]), *_elsewhere(table, results, known)]
    return Beside(table.title, tuple(figures), (*notes, *_left_out(list(hidden), changed), *problems))


def render(found: Beside, format: Format) -> str:
    """The second table as text that ends with a line break."""
    renderers: Mapping[Format, Callable[[Beside], str]] = {
        "markdown": to_markdown,
        "csv": to_csv,
        "latex": to_latex,
    }
    return renderers[format](found).rstrip("\n") + "\n"


def to_markdown(found: Beside) -> str:
    """A heading and a pipe table for claims and for re-runs, then numbered sources and the notes."""
    parts, sources = [], _sources(found)
    for title, figures in _parts(found):
        several = _several(found)
        lines = [[escape_markdown(text) for text in _cells(each, sources, several=several)] for each in figures]
        align = ["left", "left", *["right"] * 4, "left", "right"]
        parts.append(f"### {escape_markdown(title)}")
        parts.append(str(tabulate(lines, _HEADINGS, tablefmt="pipe", disable_numparse=True, colalign=align)))
    parts = parts or [f"### {escape_markdown(f'{found.title}: published figures')}"]
    if sources:
        parts.append("\n".join(f"{i}. {escape_markdown(source)}." for i, source in enumerate(sources, 1)))
    parts.append("\n".join(f"- {escape_markdown(note)}" for note in found.notes))
    return "\n\n".join(parts)


def to_latex(found: Beside) -> str:
    """A longtable with a block for claims and for re-runs, then numbered sources and the notes in small print."""
    sources, several = _sources(found), _several(found)
    lines = [r"% needs \usepackage{booktabs,longtable}", r"{\small", r"\begin{longtable}{llrrrrlr}", r"\toprule"]
    lines += [" & ".join(_HEADINGS) + r" \\", r"\endhead"]
    for title, figures in _parts(found):
        lines += [r"\midrule", rf"\multicolumn{{{len(_HEADINGS)}}}{{l}}{{\emph{{{escape_latex(title)}}}}} \\"]
        for figure in figures:
            lines.append(" & ".join(map(escape_latex, _cells(figure, sources, several=several))) + r" \\")
    body = [*lines, r"\bottomrule", r"\end{longtable}", "}"] if found.figures else []
    notes = [rf"\textsuperscript{{{i}}} {escape_latex(source)}." for i, source in enumerate(sources, 1)]
    notes += map(escape_latex, found.notes)
    return "\n".join([*body, "", r"\par\smallskip\noindent{\footnotesize", " \\\\\n".join(notes), r"\par}"])


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


def _misnamed(known: Sequence[dict[str, Any]], table: Table, registry: Registry) -> Iterator[dict[str, Any]]:
    """The figures whose metric there is none of, or is better in the other direction."""
    metrics = registry.all("metrics")
    directions = {name: metric.direction for name, metric in metrics.items()}
    directions |= {column.name: column.info.direction for column in table.columns}
    for told in known:
        name = told["metric"]
        judged = name and (name in directions or metrics)  # else nothing is known of any metric
        if judged and directions.get(name) != told["direction"]:
            yield told


def _row_of(told: Mapping[str, Any], results: StoredResults, table: Table) -> Row | None:
    """The row that a figure stands beside: the first of its model and data that has its parameters.

    A figure of no parameters in particular is of the model as it usually is: it stands beside the first row that
    departs in nothing from the protocol, or else the first.
    """
    plugins = _plugins(results)
    rows = [
        row
        for row in table.rows
        if row.model == told["system"] and plugins.get(row.dataset, row.dataset) == told["dataset"]
    ]
    if told["params"]:
        wanted = params_of(str(told["params"]))
        rows = [row for row in rows if _agrees(wanted, _params(row, results))]
    return next((row for row in rows if not row.departures), next(iter(rows), None))


def _plugins(results: StoredResults) -> dict[str, str]:
    """The plugin of each dataset's label."""
    return {each.label: each.plugin for each in results.benchmark.datasets} if results.benchmark else {}


def _params(row: Row, results: StoredResults) -> Mapping[str, Any]:
    """The parameters of a row's model; empty where nobody has written them down."""
    entries = results.benchmark.models if results.benchmark else ()
    said: Mapping[str, Any] = next((each.params for each in entries if each.label == row.label and each.params), {})
    runs = (placed.run.model for placed in results.runs if placed.entry.label == row.label)
    return said or next((model["params"] for model in runs if model.get("params")), {})


def _agrees(wanted: Mapping[str, str], params: Mapping[str, Any]) -> bool:
    """Whether parameters have these values, numbers however they are written."""
    return all(name in params and _same(value, params[name]) for name, value in wanted.items())


def _same(text: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text.lower() == str(value).lower()
    try:
        return math.isclose(float(text), value, rel_tol=1e-9)
    except ValueError:
        return False


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
        "Published figures are of other code, networks and budgets than ours, as far as the notes tell; n is training "
        "runs. Ours: mean ± half-width of the 95 % t-interval, as above. Claimed in papers: a system's own authors "
        "say so; independent re-runs: others trained it, often the authors of another system."
    )
    marks = dict.fromkeys(figure.told["spread_is"] for figure in figures if figure.told["spread_is"])
    if marks:
        yield "; ".join(f"({MARKS[mark]}) {SPREADS[mark]}" for mark in marks) + "."
    if any(figure.ours is None for figure in figures):
        yield "Where ours is missing, the metric is of another definition than any of ours, or has no value yet."
    if not all(figure.told["verified"] for figure in figures):
        yield "unverified: from memory, or from a quotation that is not named; look it up before relying on it."


def _elsewhere(table: Table, results: StoredResults, known: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How many figures there are of these models on other data."""
    models = {row.model for row in table.rows if not row.anchor}
    here = {_plugins(results).get(row.dataset, row.dataset) for row in table.rows}
    other = [str(told["dataset"]) for told in known if told["system"] in models and told["dataset"] not in here]
    if other:
        names = ", ".join(sorted(set(other)))
        yield f"{len(other)} more figures of these models are of other data ({names}): gan_bench.published() has them."


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


def _cells(figure: Figure, sources: Sequence[str], *, several: bool) -> list[str]:
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
        str(sources.index(_source(figure)) + 1),
    ]


def _sources(found: Beside) -> list[str]:
    """Where the figures stand and how they were measured, each once, in the order of the tables."""
    return list(dict.fromkeys(_source(figure) for figure in found.figures))


def _source(figure: Figure) -> str:
    told = figure.told
    place = f"{told['source']}, as quoted in {told['quoted_by']}" if told["quoted_by"] else str(told["source"])
    how = _protocol(figure)
    return f"{place}: {how}" if how else place


def _metric(told: Mapping[str, Any]) -> str:
    """``mode_kl ↓, there reverse KL``; a metric of another definition by its own name alone."""
    name = told["metric"] or told["measure"]
    there = f", there {told['measure']}" if told["metric"] not in ("", told["measure"]) else ""
    return " ".join(part for part in (name, ARROWS[told["direction"]]) if part) + there


def _value(told: Mapping[str, Any]) -> str:
    """``8.33 ± 0.10 (eval.)``, both with as many decimals as the longer has."""
    value, spread = told["value"], told["spread"]
    given = [each for each in (value, spread) if each is not None]
    if all(each == 0 or _PLAIN[0] <= abs(each) < _PLAIN[1] for each in given):
        decimals = max(map(_decimals, given))
        texts = [f"{each:,.{decimals}f}" for each in given]
    else:
        texts = [f"{each:.6g}" for each in given]
    remarks = [MARKS[told["spread_is"]]] if told["spread_is"] else []
    remarks += [] if told["verified"] else ["unverified"]
    return " ± ".join(texts) + (f" ({'; '.join(remarks)})" if remarks else "")


def _decimals(x: float) -> int:
    exponent = Decimal(f"{x:.10g}").normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _protocol(figure: Figure) -> str:
    """What differs, first of all the number of samples."""
    told, ours = figure.told, figure.samples
    drawn = "" if told["samples"] is None else f"{told['samples']:,} samples"
    if drawn and ours is not None and ours != told["samples"]:
        drawn += f" (ours {ours:,})"
    return "; ".join(part for part in (drawn, told["protocol"]) if part)
