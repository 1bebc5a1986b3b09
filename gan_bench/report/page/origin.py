"""Section with the origin of the results: commands, code, machines, the benchmark, citations and files."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from gan_bench import escape
from gan_bench.report.page.citations import bibtex, software
from gan_bench.report.page.contents import Contents
from gan_bench.report.page.elements import render
from gan_bench.report.tables.notes import describe_protocol
from gan_bench.results.load import StoredResults
from gan_bench.store.records import Provenance, encode

FILES = ("table.md", "table.csv", "results.csv", "classes.csv", "benchmark.json")
"""Files of a results folder that the page links to, besides figures."""


@dataclass(frozen=True)
class Fact:
    """A property of machines or code, with its values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Link:
    """A file beside the page."""

    name: str
    address: str


def section(contents: Contents, file: Path) -> Markup:
    """Body of the section; links are relative to the place of `file`, the page."""
    results = contents.results
    benchmark = results.benchmark
    found = [item.run.record.provenance for item in results.runs]
    entries = {entry.plugin: entry.citation for entry in benchmark.models if not entry.anchor} if benchmark else {}
    plugins = dict.fromkeys(row.model for row in contents.table.rows if not row.anchor)
    return render(
        "origin.html",
        name=contents.table.title,
        commands=_commands(found),
        repeat=_repeat(results),
        facts=list(_facts(found)),
        plugins=_plugins(found),
        protocol=describe_protocol(benchmark.protocol) if benchmark else "",
        evaluation=benchmark.evaluation if benchmark else None,
        seeds=benchmark.seeds if benchmark else (),
        text=benchmark.file if benchmark else "",
        record=encode(benchmark) if benchmark and not benchmark.file else "",
        citations=[bibtex(plugin, entries[plugin]) for plugin in plugins if entries.get(plugin)],
        uncited=[plugin for plugin in plugins if not entries.get(plugin)],
        software=software(importlib.metadata.version("gan-bench")),
        links=list(_links(results, file)),
        folders=bool(results.runs),
    )


def _commands(found: list[Provenance]) -> list[str]:
    """Commands that started the runs, the most frequent first."""
    counts = Counter(each.command for each in found if each.command)
    return [shlex.join(_short(command)) for command, _ in counts.most_common()]


def _short(command: tuple[str, ...]) -> list[str]:
    """Command with the name of the program instead of its path."""
    first, *rest = command
    name = Path(first).name
    return ["gan-bench" if name in ("__main__.py", "gan-bench") else name, *rest]


def _repeat(results: StoredResults) -> list[str]:
    """Commands that build table, figure and this page again."""
    source = " ".join(shlex.quote(path.name) for path in results.parts or (results.source,))
    return [f"gan-bench table {source}", f"gan-bench plot {source}", f"gan-bench report {source}"]


def _facts(found: list[Provenance]) -> Iterator[Fact]:
    values = {
        "Python": [each.python for each in found],
        "platform": [each.platform for each in found],
        "CPU": [each.cpu for each in found],
        "GPU": [" ".join(filter(None, (each.gpu, f"CUDA {each.cuda}" if each.cuda else ""))) for each in found],
        "commit": [f"{each.git.commit}{' with changes' if each.git.dirty else ''}" for each in found if each.git],
        "packages": [
            ", ".join(f"{name} {version}" for name, version in sorted(each.packages.items())) for each in found
        ],
        "started": _first_last(sorted({each.started for each in found if each.started})),
    }
    for name, each in values.items():
        distinct = tuple(dict.fromkeys(value for value in each if value))
        if distinct:
            yield Fact(name, distinct)


def _first_last(times: list[str]) -> list[str]:
    return times if len(times) < 2 else [f"{times[0]} to {times[-1]}"]


def _plugins(found: list[Provenance]) -> list[tuple[str, str, str, str, str]]:
    """Kind, name, origin, version and hash of the code of each plugin, once."""
    facts = {(p.kind, p.name, p.origin, p.version, p.code[:12]) for each in found for p in each.plugins}
    return sorted(facts)


def _links(results: StoredResults, file: Path) -> Iterator[Link]:
    """Figures and files of the results folder that exist."""
    sources = results.parts or (results.source,)
    for folder in (source if source.is_dir() else source.parent for source in sources):
        figures = sorted(path.name for path in folder.glob("figure*.pdf"))
        try:
            way = os.path.relpath(folder.resolve(), file.resolve().parent)
        except ValueError:  # another drive
            continue
        for name in [*figures, *FILES]:
            if (folder / name).is_file():
                shown = name if len(sources) == 1 else f"{folder.name}/{name}"
                yield Link(shown, quote(Path(way, name).as_posix()))


def data(contents: Contents) -> str:
    """Curves of every run as JSON, with six significant digits.

    A metric of a run is the index of its iterations in `iterations`, and its values; the last one is the final value.
    """
    runs: dict[tuple[str, str, int], dict[str, Any]] = {}
    iterations: dict[tuple[int, ...], int] = {}
    for place, curves in contents.curves.items():
        dataset, label, metric = map(escape.one_line, place)
        for curve in curves:
            new = {"dataset": dataset, "label": label, "seed": curve.seed, "status": curve.status, "metrics": {}}
            run = runs.setdefault((dataset, label, curve.seed), new)
            at = iterations.setdefault(tuple(curve.iterations.tolist()), len(iterations))
            run["metrics"][metric] = [at, [_rounded(value) for value in curve.values.tolist()]]
    facts = {
        escape.one_line(column.name): {"direction": column.info.direction, "unit": escape.one_line(column.info.unit)}
        for column in contents.table.columns
    }
    whole = {
        "benchmark": escape.one_line(contents.table.title),
        "metrics": facts,
        "iterations": list(iterations),
        "runs": list(runs.values()),
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _rounded(value: float) -> float | str | int:
    """Value with six significant digits; JSON has no nan and no infinity."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    found = float(f"{value:.6g}")
    return int(found) if found.is_integer() and abs(found) < 1e15 else found
