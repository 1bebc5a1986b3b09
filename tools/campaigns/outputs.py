"""Send hostile names through every writer, and parse what it writes by other means.

    python tools/campaigns/outputs.py                  all names
    python tools/campaigns/outputs.py --quick          every 24th name, in seconds
    python tools/campaigns/outputs.py --only 17        one name again, with its output

A name is a label, metric, dataset, title, footnote, note, warning and message at once. It has control characters,
bidirectional marks, terminal escapes, markup of LaTeX, Markdown, CSV or HTML, emoji, or 2 MB. CSV is parsed by the csv
module, Markdown by markdown-it-py, HTML by html.parser, SVG by an XML parser, LaTeX by the tokeniser below. Faults: an
exception, a character that a terminal executes or no encoder accepts, a cell that ends early, is a formula or has
another text, an unbalanced group, and an output that is as long as its input of 2 MB. The exit code is 1 if there is
any.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import itertools
import re
import sys
import unicodedata
import warnings
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from gan_bench import cli, escape
from gan_bench.cli.check import Output
from gan_bench.contracts.events import Evaluated
from gan_bench.contracts.observer import BenchmarkInfo, Observer
from gan_bench.contracts.protocol import Evaluation, Protocol
from gan_bench.contracts.run import DatasetRef, ModelRef, Run, SkippedModel
from gan_bench.contracts.scores import Share
from gan_bench.contracts.table import Column, Estimate, MetricInfo, Row, Table
from gan_bench.report.figures import curves
from gan_bench.report.page.page import page
from gan_bench.report.published import formats as published
from gan_bench.report.published.load import CLAIM, PublishedFigure
from gan_bench.report.published.side_by_side import Figure, PublishedComparison
from gan_bench.report.tables import evaluation_noise
from gan_bench.report.tables.build import render_table
from gan_bench.report.tables.formats import to_text
from gan_bench.results import csv_frames
from gan_bench.results.load import COLUMNS, FINISHED, LEDGER, StoredResults
from gan_bench.running.check_report import CheckedRun, CheckReport
from gan_bench.running.observers import Observers
from gan_bench.running.progress import LiveProgress, PlainProgress
from gan_bench.store import rows
from gan_bench.store.layout import CLASS_COLUMNS
from gan_bench.store.records import BenchmarkRecord, StoredDataset, StoredEntry

LONG = 2_000_000
LONGEST_OUTPUT = 400_000
"""Characters of an output for readers, for any name."""

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
MARKS = [*"\u200b\u200d\u200e\u200f\u202a\u202b\u202d\u202e\u2066\u2067\u2069\ufeff\u061c\u2028\u2029\u00ad\U000e0041"]
SURROGATES = ["\udce9", "\ud800", "\udfff"]
ESCAPES = [
    "\x1b[2J", "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link", "\x1b]52;c;eA==\x07", "\x1bP+q\x1b\\",
    "\x9b31m", "\r\x1b[K", "x\rok", "x\x08y", "a\nb", "a\r\nb", "\n\n# heading", "a\n| b |", "\n---\n",
]  # fmt: skip
LATEX = [
    "[2pt]", "*", "[", "]", "*[x]", "\\\\", "\\", "\\input{x}", "\\end{tabular}", "\\begin{x}", "&", "%", "$", "$x$",
    "#1", "_", "^", "^^41", "{", "}", "{}", "~", '"', "`", "''", "--", "\\midrule", "%\n", "\\\\[1em]", "<", ">",
]  # fmt: skip
MARKDOWN = [
    "|", "||", "\\|", "a | b", "`", "``x``", "**", "*x*", "_x_", "__x__", "~~x~~", "# x", "x #", "##", "> x", "- x",
    "+ x", "1. x", "1) x", "- [ ] x", "[ ] x", "[x](y)", "![x](y)", "[x]: y", "[x][y]", "<http://x.y>", "---", "===",
    "    x", "~~~", "```", "&amp;", "&#65;", "\\", "x\\", "|:--|", "$x$", "- - -", "* * *", "***",
]  # fmt: skip
CSV = [
    "=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(1)", "\t=1", "\r=1", " =1", "'=1", "''-x", "-x", "+x", '"', '""', '"a',
    ",", ";", "a,b", '","', "-1e5", "+inf", "\uff1d1", "=cmd|' /C calc'!A0", "-2+3", "\n=1", "\xa0=1", "\ufeff=1",
]  # fmt: skip
HTML = ["<b>", "</td>", "<script>x</script>", "<!-- x", "-->", "<img src=x onerror=y>", "<br>", "&lt;", "]]>", "<?x?>"]
OTHER = ["😀", "👩\u200d🔬", "🇩🇪", "e\u0301", "中文", "ערבית", "\ufffd", "\U0010ffff", "\ue000", "a  b", "x" * 90]
BASES = [*CONTROLS, *MARKS, *SURROGATES, *ESCAPES, *LATEX, *MARKDOWN, *CSV, *HTML, *OTHER]
PLACES = ("{}", "a{}", "{}a", "a{}b", "a {} b", "{0}{0}")


def names() -> list[str]:
    """Return all hostile names, each once; the last ones have 2 MB."""
    short = [place.format(base) for base, place in itertools.product(BASES, PLACES)]
    long = [base * (LONG // len(base)) for base in ("x", "| ", "\x1b[31m", "=1,", "\\{", "\n")]
    return [*dict.fromkeys(short), *long]


# --- what is written ------------------------------------------------------------------------------------------


def table(name: str) -> Table:
    """Build a table with the name in every place."""
    cell = Estimate(-1.5, -1.75, -1.25, (-1.4, -1.6))
    row = Row(
        dataset=name, label=name, model=name, anchor=False, finished=2, planned=2, cells={name: cell, "modes": None},
        ledger=dict.fromkeys(LEDGER, 1.0), shared=name, departures=(1,), marked=frozenset([name]),
    )  # fmt: skip
    other = replace(row, label=f"{name}.", departures=(), marked=frozenset(), finished=1)
    anchor = replace(other, label="real-data", anchor=True)
    columns = (Column(name, MetricInfo("lower", unit=f"{name}!")), Column("modes", MetricInfo("higher")))
    return Table(name, columns, (row, other, anchor), (name, f"{name} 2"), (name, f"note {name}"), (f"warning {name}",))


def comparison(name: str) -> PublishedComparison:
    """Build published figures with the name in every text."""
    row = table(name).rows[0]
    figure = PublishedFigure(
        system=name, name=name, params=name, dataset=name, metric=name, measure=f"{name}?", direction="lower",
        value=-8.33, spread=0.1, spread_is="unknown", n=5, samples=10, printed=name, protocol=name, source=name,
        quoted_by=name, kind=CLAIM, verified=False,
    )  # fmt: skip
    return PublishedComparison(name, (Figure(row, Estimate(-1.0, -1.5, -0.5, (-0.9, -1.1)), figure),), (name,))


def noise(name: str) -> pd.DataFrame:
    """Build a frame of repeated draws with the name in every text."""
    row = [name] * 5 + [100, 3, 5, -1.5, 0.5, 0.25, 2.0]
    return pd.DataFrame([row], columns=list(evaluation_noise.COLUMNS))


def progress(name: str) -> str:
    """Lines of both displays for a run, its warning and error, and of an observer that fails."""

    class Failing(Observer):
        """Observer that raises."""

        def note(self, message: str) -> None:
            """Raise an exception with the name."""
            raise RuntimeError(name)

    Failing.name = "failing"
    run = Run("tiny", name, DatasetRef("ring8", {}, name), ModelRef("gan", {}), Protocol(), 0, "c", "key")
    stream, terminal = io.StringIO(), io.StringIO()
    live = LiveProgress([name, "modes"], Console(file=terminal, width=80, color_system=None))
    for display in (PlainProgress([name], stream), live):
        observers = Observers(display, [(Failing, None)], BenchmarkInfo())
        observers.note("begin")
        display.planned([run, run], 0)
        for status in ("finished", "failed"):
            display.started(run)
            display.evaluated(run, Evaluated("key", 5, 10, {"modes": 1.0, name: 2.0}))
            display.warning(run, name)
            display.note(name)
            if isinstance(display, LiveProgress):
                display.interim_table(table(name))
                display.console.print(display.live.get_renderable())
            else:
                display.interim_table(table(name))
            display.ended(run, status, f"ValueError: {name}")
    live.live.stop()
    return stream.getvalue() + terminal.getvalue()


def check_output(name: str) -> str:
    """Print the lists of `check` and of `run --quick`."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        Output(verbose=True).finding(name, name, name, name, name)
    report = CheckReport((CheckedRun(name, name, ("NO", "-", "-", "-"), (name,)),), (name,))
    return stream.getvalue() + report.render()


def error_output(name: str) -> str:
    """Print the error of a results folder of this name that does not exist, by the entry point of the commands."""
    if "\0" in name or len(name) > 200 or re.search("[\ud800-\udc7f\udd00-\udfff]", name):
        return ""  # no argument of a process and no file is called so
    stream, before = io.StringIO(), sys.argv
    sys.argv = ["gan-bench", "table", f"./{name}"]
    try:
        with contextlib.redirect_stderr(stream), contextlib.suppress(SystemExit):
            cli.main()
    finally:
        sys.argv = before
    return stream.getvalue()


# --- what is parsed -------------------------------------------------------------------------------------------


def printable(text: str) -> Iterator[str]:
    """Report characters that a terminal executes, that change the direction of text, or that cannot be encoded."""
    bad = {each for each in text if each != "\n" and unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    if bad:
        yield f"raw characters {sorted(map(ascii, bad))}"
    if len(text) > LONGEST_OUTPUT:
        yield f"{len(text):,} characters"


def csv_rows(text: str, name: str) -> Iterator[str]:
    """Report rows of another length, formulas, control characters, and a label that cannot be restored."""
    yield from (fault for fault in printable(text) if not fault.endswith(" characters"))
    csv.field_size_limit(10 * LONG)
    head, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    if any(len(row) != len(head) for row in rows):
        yield "a row of another length"
    for cell in {cell for row in (head, *rows) for cell in row}:
        if cell[:1] in (*"=+-@\t\r", "\uff1d", "\uff0b", "\uff20") and not _is_number(cell):
            yield f"a formula: {cell[:40]!a}"


def _is_number(cell: str) -> bool:
    try:
        return bool(re.fullmatch(r"[-+.0-9a-z]+", cell)) and float(cell) is not None
    except ValueError:
        return False


MARKDOWN_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PLAIN_TOKENS = {"text", "strong_open", "strong_close", "em_open", "em_close", "text_special"}


def markdown_tables(text: str, name: str, tables: int, cells: int, items: int) -> Iterator[str]:
    """Report another structure than `tables` with `cells` and lists of `items`, other markup, and another label."""
    yield from printable(text)
    tokens = MARKDOWN_PARSER.parse(text)
    found = [sum(token.type == kind for token in tokens) for kind in ("table_open", "list_item_open")]
    count = sum(token.type in ("td_open", "th_open") for token in tokens)
    if [*found, count] != [tables, items, cells]:
        yield f"tables, items and cells {[*found, count]}, expected {[tables, items, cells]}"
    expected = {"heading", "table", "thead", "tbody", "tr", "th", "td", "paragraph", "bullet_list", "ordered_list"}
    kinds = {re.sub("_(open|close)$", "", token.type) for token in tokens} - {*expected, "list_item", "inline"}
    if kinds:
        yield f"blocks {sorted(kinds)}"
    inside = {child.type for token in tokens for child in token.children or ()} - PLAIN_TOKENS
    if inside:
        yield f"markup {sorted(inside)}"
    labels = [_plain(tokens[i + 1]) for i, token in enumerate(tokens) if token.type == "td_open"]
    wanted = escape.one_line(name)
    if tables and not any(label.startswith(wanted.strip()) for label in labels):
        yield f"no cell has the text {wanted[:40]!a}"


def _plain(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|.", re.DOTALL)
AFTER_RULE = re.compile(r"(?:\\\\|\\(?:toprule|midrule|bottomrule|endhead|endfoot))\s*[\[*]")


def latex_table(text: str, columns: int) -> Iterator[str]:
    """Report unbalanced groups and mathematics, raw special characters, and rows of another number of cells."""
    yield from printable(text)
    if AFTER_RULE.search(text):
        yield "a bracket or star after a command that takes it as its argument"
    depth = mathematics = 0
    for line in text.splitlines():
        if line.startswith(("% needs", r"\begin{longtable}")):
            continue
        cells = 1
        for token in TOKEN.findall(line):
            depth += {"{": 1, "}": -1}.get(token, 0)
            mathematics ^= token == "$"
            cells += token == "&"
            if token in '%#~^_"<>|' or depth < 0:
                yield f"a raw {token} in {line[:60]!a}"
                return
        if line.endswith(r"\\") and cells not in (1, columns):
            yield f"{cells} cells in {line[:60]!a}"
        if mathematics:
            yield f"mathematics without an end in {line[:60]!a}"
            return
    if depth or text.count(r"\begin{") != text.count(r"\end{"):
        yield "an open group"


def results_csv(name: str) -> Iterator[str]:
    """Report faults of a results.csv with the name, and whether its label is another one when it is read."""
    frame = pd.DataFrame({"label": [name, "GAN"], "value": ["-0.5", "nan"]})
    text = csv_frames.escaped(frame).to_csv(index=False, lineterminator="\n")
    yield from csv_rows(text, name)
    types = {"label": "category", "value": "str"}
    read = csv_frames.restored(pd.read_csv(io.StringIO(text), dtype=types, keep_default_na=False))
    if read["label"].tolist() != [_in_csv(name), "GAN"] or read["value"].tolist() != ["-0.5", "nan"]:
        yield "another label after reading"


def classes_csv(name: str) -> Iterator[str]:
    """Report faults of a run's classes.csv with a class of the name, and whether it is another one when it is read."""
    text = rows.to_text(CLASS_COLUMNS, rows.class_rows(0, [Share(None, name, 0.5, 1)]))
    yield from csv_rows(text, name)
    if [row["class"] for row in rows.from_text(CLASS_COLUMNS, text)] != [_in_csv(name)]:
        yield "another class after reading"


def _in_csv(name: str) -> str:
    return escape.printable(re.sub(r"[\t\n\v\f\r\x85\u2028\u2029]+", " ", name))


def report_page(name: str) -> str:
    """Text of a report in which the name is a label, dataset, metric, unit, footnote, citation and benchmark file."""
    metric = MetricInfo("lower", name, doc=name, scale="log")
    keys = {label: f"{i:064x}" for i, label in enumerate((name, f"{name} 2"))}
    models = tuple(StoredEntry(label, name, False, (name,), {name: key}, citation=name) for label, key in keys.items())
    benchmark = BenchmarkRecord(
        name=name,
        seeds=(0, 1),
        evaluation=Evaluation(samples=100, metrics=(name,)),
        protocol=Protocol(),
        datasets=(StoredDataset(name, "ring8"),),
        models=models,
        metrics={name: metric},
        left_out=(SkippedModel(name, name, name),),
        file=name,
    )
    rows = [
        (name, name, name, label, seed, t, pd.NA, measured, 1.0 + seed + t, 100, "finished", key + str(seed), "", "")
        for label, key in keys.items()
        for seed in (0, 1)
        for t, measured in ((0, name), (10, name), (10, FINISHED))
    ]
    types = {"generator": "Int64", "n": "Int64", "value": "float64"}
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)
    return page(StoredResults(Path("results.csv"), benchmark, frame), Path("report.html"))


def html_page(text: str, name: str) -> Iterator[str]:
    """Faults of a page: elements or attributes that a plain name would not give, or text that ends early."""
    yield from printable(text)
    found, plain = _Elements(text), _Elements(report_page("plain"))
    if found.shape != plain.shape:
        differing = (found.shape - plain.shape) + (plain.shape - found.shape)
        yield f"elements or attributes {sorted(differing.items())}"
    wanted = escape.one_line(name).strip() or "(no name)"
    if wanted not in found.text:
        yield f"no element has the text {wanted[:40]!a}"


class _Elements(HTMLParser):
    """Elements of a page with the names of their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shape: Counter[tuple[str, ...]] = Counter()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count an element."""
        self.shape[tag, *sorted(name for name, _ in attrs)] += 1

    def handle_endtag(self, tag: str) -> None:
        """Count the end of an element."""
        self.shape[f"/{tag}",] += 1

    def handle_data(self, data: str) -> None:
        """Collect text."""
        self.text += data


Writer = Callable[[str], Iterator[str]]
WRITERS: dict[str, Writer] = {
    "report": lambda name: html_page(report_page(name), name),
    "table.md": lambda name: markdown_tables(render_table(table(name), "markdown"), name, 1, 40, 5),
    "table.csv": lambda name: csv_rows(render_table(table(name), "csv"), name),
    "table in LaTeX": lambda name: latex_table(render_table(table(name), "latex"), 8),
    "table in a terminal": lambda name: printable(to_text(table(name), 80)),
    "published in Markdown": lambda name: markdown_tables(
        published.render(comparison(name), "markdown"), name, 1, 16, 2
    ),
    "published in CSV": lambda name: csv_rows(published.render(comparison(name), "csv"), name),
    "published in LaTeX": lambda name: latex_table(published.render(comparison(name), "latex"), 8),
    "evaluation noise": lambda name: markdown_tables(evaluation_noise.render(noise(name)), name, 1, 18, 0),
    "results.csv": results_csv,
    "classes.csv of a run": classes_csv,
    "progress": lambda name: printable(progress(name)),
    "check": lambda name: printable(check_output(name)),
    "error": lambda name: printable(error_output(name)),
}


def figure_faults(some: Sequence[str]) -> Iterator[str]:
    """Report whether a panel with curves of these labels is not XML, or shows a control character."""
    import numpy as np
    from matplotlib.figure import Figure as Drawn

    from gan_bench.report.figures.palette import line

    at, values = np.array([0, 1]), np.array([1.0, 2.0])
    made = tuple(curves.Curve(name, line(i), at, values, values, values, ()) for i, name in enumerate(some))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawn = Drawn(figsize=(7.2, 3))
        curves.draw(drawn.add_axes((0.1, 0.1, 0.3, 0.7)), curves.Panel(some[0], MetricInfo(unit=some[-1]), made, None))
        drawn.savefig(buffer, format="svg")
    text = buffer.getvalue().decode()
    ElementTree.fromstring(text)
    yield from (fault for fault in printable(text) if not fault.endswith(" characters"))


def examine(name: str) -> Iterator[tuple[str, str]]:
    """Send a name through every writer; yield writer and fault."""
    for writer, faults in WRITERS.items():
        try:
            yield from ((writer, fault) for fault in faults(name))
        except Exception as error:  # it is counted
            yield writer, f"{type(error).__name__}: {str(error)[:200]!a}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; return 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every 24th name, and one of 2 MB")
    parser.add_argument("--only", type=int, help="number of the only name to try")
    options = parser.parse_args(arguments)
    every = list(enumerate(names()))
    chosen = every[:-6:24] + every[-6:-5] if options.quick else every
    chosen = chosen if options.only is None else [every[options.only]]
    faults = [(number, name, *fault) for number, name in chosen for fault in examine(name)]
    for group in [chosen[i : i + 8] for i in range(0, len(chosen), 80 if options.quick else 8)]:
        try:
            found = list(figure_faults([name for _, name in group]))
        except Exception as error:  # it is counted
            found = [f"{type(error).__name__}: {str(error)[:200]!a}"]
        faults += [(group[0][0], group[0][1], "figure", fault) for fault in found]
    for number, name, writer, fault in faults:
        print(f"name {number}, {name[:40]!a}: {writer}: {fault}")
    print(f"{len(chosen)} names through {len(WRITERS) + 1} writers: {len(faults) or 'no'} fault(s)")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
