"""The whole page, and its file."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from gan_bench import escape
from gan_bench.errors import UsageError
from gan_bench.files import write_atomically
from gan_bench.report.page import (
    answer,
    comparison_table,
    comparisons,
    failures,
    heat_maps,
    ledger,
    marks,
    metric_curves,
    origin,
    rank_summary,
    sample_panels,
)
from gan_bench.report.page.contents import Contents, contents
from gan_bench.report.page.elements import render
from gan_bench.results.load import StoredResults
from gan_bench.results.parts import Paths, read_parts

NAME = "report.html"
"""Name of the file in a results folder."""


@dataclass(frozen=True)
class Section:
    """One section: identifier, title, title in the navigation, and content."""

    identifier: str
    title: str
    short: str
    body: Markup


def write_report(path: Paths, file: str | os.PathLike[str] | None = None) -> Path:
    """Write the report of stored results, one HTML file without external parts, and return its path.

    Args:
        path: a results folder, or a results.csv; several of them are read as parts of one benchmark.
        file: name of the file; None for report.html in the results folder, if there is only one.

    Raises StoreError if there are no results or the file cannot be written, UsageError for parts that cannot be
    combined.
    """
    results = read_parts(path)
    if file is None and len(results.parts) > 1:
        raise UsageError("The report of several results needs a file. Choose one with -o FILE, or `file` in Python.")
    home = results.source if results.source.is_dir() else results.source.parent
    target = home / NAME if file is None else Path(file)
    return write_atomically(target, page(results, target))


def page(results: StoredResults, file: Path) -> str:
    """Text of the page; `file` is its place, from which it links to files of the results folder."""
    found = contents(results)
    samples, frames = sample_panels.section(found)
    sections = [
        Section("answer", "The answer", "Answer", answer.section(found)),
        Section("table", "Results", "Table", comparison_table.section(found)),
        Section("comparisons", "Comparisons", "Comparisons", comparisons.section(found)),
        Section("curves", "Metrics over iterations", "Curves", metric_curves.section(found)),
        Section("samples", "Samples", "Samples", samples),
        Section("modes", "Generators and modes", "Modes", heat_maps.section(found)),
        Section("ranks", "Ranks across datasets", "Ranks", rank_summary.section(found)),
        Section("ledger", "What was not identical", "Ledger", ledger.section(found)),
        Section("failures", "Failed and diverged runs", "Failures", failures.section(found)),
        Section("origin", "Origin, data and citations", "Origin", origin.section(found, file)),
    ]
    style, script = _asset("page.css"), _asset("page.js")
    text = render(
        "page.html",
        title=found.table.title,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        sections=sections,
        symbols=marks.symbols(),
        summary=_summary(found),
        data=Markup(escape.json_in_html(origin.data(found))),
        frames=Markup(escape.json_in_html(json.dumps(frames, separators=(",", ":")))),
    )
    return "".join((text.rstrip(), "\n"))  # a plain string: `Markup` would escape what is added to it


def _summary(found: Contents) -> list[str]:
    """Numbers of models, datasets, seeds and runs."""
    rows = [row for row in found.table.rows if not row.anchor]
    parts: list[tuple[int, str]] = [
        (len({row.label for row in rows}), "model"),
        (len(found.datasets), "dataset"),
        (max((row.planned for row in rows), default=0), "seed"),
        (sum(row.finished for row in rows), "finished run"),
    ]
    return [f"{number:,} {noun}{'' if number == 1 else 's'}" for number, noun in parts]


def _policy(style: str, script: str) -> str:
    """Content security policy: this style, this script and images in the page, nothing else."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    """Hash of an element's text in a policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (files("gan_bench.report.page") / name).read_text(encoding="utf-8")
