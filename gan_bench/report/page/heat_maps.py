"""Section with classes: a heat map of generators by modes for each model, with the usage of each generator."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from gan_bench import escape
from gan_bench.contracts.scores import NONE, OTHERS
from gan_bench.report.page.contents import Contents
from gan_bench.report.page.elements import Attribute, DataTable, element, render, titled
from gan_bench.results.class_shares import load_classes, published_classes
from gan_bench.results.stored_run import Ignored, Unreadable, read_classes

DEAD = "dead_generators"
"""Metric whose values mark dead generators."""

_CELL, _ROW, _LEFT, _ABOVE, _BAR = 26, 22, 74, 20, 64
_NUMBERED = 24  # largest number of classes with numbers in the cells
_LEVEL = 4  # characters of a heading that fit above its column; longer ones are slanted
_LONGEST = 14  # characters of a heading
_LETTER = 5  # height of a character of a slanted heading
_LABELS = {NONE: "none", OTHERS: "rest"}

Shares = dict[str, tuple[float, int]]
"""Class → share and number of samples, for one generator."""

Run = tuple[str, int, str]
"""Label, seed and status."""

Last = tuple[int, dict[int | None, Shares]]
"""Last iteration of a run with shares, and these by generator, None for the mixture."""


@dataclass(frozen=True)
class Map:
    """Heat map of one run at its last iteration with shares."""

    label: str
    seed: int
    iteration: int
    figure: Markup
    dead: str
    data: DataTable


@dataclass(frozen=True)
class Group:
    """Heat maps of one dataset, and the models without shares."""

    dataset: str
    maps: tuple[Map, ...]
    absent: tuple[str, ...]
    dead: DataTable | None


def section(contents: Contents) -> Markup:
    """Body of the section."""
    published = _published(contents)
    damaged: dict[str, Ignored] = {}
    if published:
        frame = pd.concat([load_classes(path) for path in published], ignore_index=True)
        groups = [
            _group(contents, dataset, _first(_by_run(frame[frame["dataset"] == dataset])))
            for dataset in contents.datasets
        ]
    else:
        groups = [_group(contents, dataset, _stored(contents, dataset, damaged)) for dataset in contents.datasets]
    return render(
        "heat_maps.html",
        groups=groups,
        damaged=[str(each) for each in damaged.values()],
        folders=bool(contents.results.runs) or bool(published),
    )


def _published(contents: Contents) -> list[Path]:
    """Files of results that are published without their runs."""
    results = contents.results
    found = (published_classes(replace(results, source=source)) for source in results.parts or (results.source,))
    return [path for path in found if path is not None]


def _stored(contents: Contents, dataset: str, damaged: dict[str, Ignored]) -> dict[str, tuple[Run, Last]]:
    """Shares of one run of each model, the lowest seed that finished if it stored any."""
    found: dict[str, pd.DataFrame] = {}
    order = sorted(contents.runs(dataset), key=lambda item: (item.run.status != "finished", item.run.seed))
    for item in order:
        label, run = item.entry.label, item.run
        if label in found:
            continue
        try:
            shares = read_classes(run)
        except Unreadable as error:
            damaged[run.folder.name] = Ignored(run.folder.name, str(error))
            continue
        if shares is not None and len(shares):
            found[label] = shares.assign(label=label, seed=run.seed, status=run.status)
    return _first(_by_run(pd.concat(found.values(), ignore_index=True))) if found else {}


def _first(found: Mapping[Run, Last]) -> dict[str, tuple[Run, Last]]:
    """One run of each model, the lowest seed that finished if there is one."""
    order = sorted(found, key=lambda run: (run[2] != "finished", run[1]), reverse=True)
    return {run[0]: (run, found[run]) for run in order}


def _group(contents: Contents, dataset: str, found: Mapping[str, tuple[Run, Last]]) -> Group:
    dead = _dead(contents, dataset)
    labels = [row.label for row in contents.models(dataset)]
    maps = [_map(*found[label], dead.get((label, found[label][0][1]), {})) for label in labels if label in found]
    absent = [label for label in labels if label not in found]
    return Group(dataset, tuple(maps), tuple(absent) if maps else (), _dead_table(dead, labels))


def _by_run(frame: pd.DataFrame) -> dict[Run, Last]:
    """Shares of each run at its last iteration that has any."""
    run = ["label", "seed", "status"]
    last = frame[frame["iteration"] == frame.groupby(run, sort=False)["iteration"].transform("max")]
    found: dict[Run, Last] = {}
    names = [*run, "iteration", "generator", "class", "share", "n"]
    for label, seed, status, iteration, generator, name, share, n in zip(
        *(last[column].tolist() for column in names), strict=True
    ):
        _, shares = found.setdefault((label, seed, status), (iteration, defaultdict(dict)))
        of = shares[None if pd.isna(generator) else int(generator)]
        before = of.get(name, (0.0, 0))[0]
        of[name] = (before + share, 0 if pd.isna(n) else int(n))
    return found


def _dead(contents: Contents, dataset: str) -> dict[tuple[str, int], dict[int, bool]]:
    """Dead generators of each run at its last iteration, by label and seed."""
    frame = contents.results.frame
    frame = frame[(frame["metric"] == DEAD) & (frame["dataset"] == dataset) & frame["generator"].notna()]
    found: dict[tuple[str, int], dict[int, bool]] = defaultdict(dict)
    at: dict[tuple[str, int], int] = {}
    names = ["label", "seed", "iteration", "generator", "value"]
    for label, seed, iteration, generator, value in zip(*(frame[name].tolist() for name in names), strict=True):
        run = label, seed
        if iteration > at.get(run, -1):
            found[run], at[run] = {}, iteration
        if iteration == at[run] and not math.isnan(value):
            found[run][int(generator)] = value > 0
    return found


def _map(run: Run, last: Last, dead: Mapping[int, bool]) -> Map:
    label, seed, status = run
    iteration, shares = last
    generators = sorted(k for k in shares if k is not None)
    classes = list(dict.fromkeys(name for of in shares.values() for name in of))
    rows: list[int | None] = [*generators, None] if len(generators) > 1 or not generators else [*generators]
    total = sum(_count(shares[k]) for k in generators)
    usage = {k: _count(shares[k]) / total if total else math.nan for k in generators}
    ending = "" if status == "finished" else f" ({status})"
    described = f"Share of each class among the samples of each generator of {label}, seed {seed}{ending}"
    figure = titled(described, *_drawn(rows, classes, shares, usage, dead))
    listed = [str(k) for k in generators if dead.get(k)]
    about = f"dead: {', '.join(listed)}" if listed else ("none dead" if dead else "")
    return Map(label, seed, iteration, figure, about, _data(described, rows, classes, shares, usage, dead))


def _count(shares: Shares) -> int:
    return max((n for _, n in shares.values()), default=0)


def _drawn(
    rows: Sequence[int | None],
    classes: Sequence[str],
    shares: Mapping[int | None, Shares],
    usage: Mapping[int, float],
    dead: Mapping[int, bool],
) -> tuple[dict[str, str], Markup]:
    """Attributes and content of the drawing."""
    several = len(rows) > 1
    cells = len(classes) * _CELL
    headings = [_LABELS.get(name) or escape.shortened(escape.one_line(name), _LONGEST) for name in classes]
    slanted = max(map(len, headings), default=0) > _LEVEL
    above = _ABOVE + (_LONGEST * _LETTER if slanted else 0)
    end = _LONGEST * _LETTER // 2 if slanted and not several else 0  # the last heading leans to the right
    width, height = _LEFT + cells + (_BAR + 46 if several else 8 + end), above + len(rows) * _ROW + 4
    parts = [_heading(_LEFT + (j + 0.5) * _CELL, above - 6, text, slanted) for j, text in enumerate(headings)]
    if several:
        parts.append(element("text", {"class": "tiny", "x": _LEFT + cells + 10, "y": above - 6}, "usage"))
    most = max([share for share in usage.values() if math.isfinite(share)], default=0.0)
    for i, k in enumerate(rows):
        y = above + i * _ROW
        name = "all" if k is None else f"{k}{' dead' if dead.get(k) else ''}"
        kind = "dead" if k is not None and dead.get(k) else "row"
        parts.append(element("text", {"class": kind, "x": _LEFT - 8, "y": y + 15, "text-anchor": "end"}, name))
        parts += _row(y, classes, shares.get(k, {}))
        if several and k is not None and most > 0 and math.isfinite(usage[k]):
            long = _BAR * usage[k] / most
            bar = {"x": _LEFT + cells + 10, "y": y + 4, "width": round(long, 1), "height": _ROW - 8}
            parts.append(element("rect", {"class": "usage", **bar}))
            at = round(_LEFT + cells + 14 + long, 1)
            parts.append(element("text", {"class": "tiny", "x": at, "y": y + 15}, f"{usage[k]:.0%}"))
    if several:
        parts.append(element("path", {"class": "axis", "d": f"M{_LEFT} {height - 4 - _ROW}h{cells}"}))
    drawing = element("g", {}, *parts)
    attributes = {"class": "heat", "viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
    return attributes, drawing


def _heading(x: float, y: float, text: str, slanted: bool) -> Markup:
    """Heading of a column, slanted if a heading is wider than its column."""
    place: dict[str, Attribute] = {"class": "tiny", "x": x, "y": y}
    turn: dict[str, Attribute] = {"transform": f"rotate(-60 {x:g} {y:g})"} if slanted else {"text-anchor": "middle"}
    return element("text", {**place, **turn}, text)


def _row(y: float, classes: Sequence[str], shares: Shares) -> list[Markup]:
    parts = []
    for j, name in enumerate(classes):
        share = shares.get(name, (0.0, 0))[0]
        box: dict[str, Attribute] = {"x": _LEFT + j * _CELL + 1, "y": y + 1, "width": _CELL - 2, "height": _ROW - 2}
        kind = "cell rest" if name in _LABELS else "cell"
        shade = 0.0 if math.isnan(share) else min(max(share, 0.0), 1.0)
        parts.append(element("rect", {"class": "empty", **box}))
        if shade > 0:
            parts.append(element("rect", {"class": kind, **box, "fill-opacity": f"{shade:.2f}"}))
        number = "?" if math.isnan(share) else f"{100 * share:.0f}"
        if number != "0" and len(classes) <= _NUMBERED:
            dark = "number light" if shade > 0.55 else "number"
            place: dict[str, Attribute] = {"x": _LEFT + (j + 0.5) * _CELL, "y": y + 15, "text-anchor": "middle"}
            parts.append(element("text", {"class": dark, **place}, number))
    return parts


def _data(
    caption: str,
    rows: Sequence[int | None],
    classes: Sequence[str],
    shares: Mapping[int | None, Shares],
    usage: Mapping[int, float],
    dead: Mapping[int, bool],
) -> DataTable:
    head = ("generator", *(f"class {name}" for name in classes), "usage", "dead")
    lines = []
    for k in rows:
        found = shares.get(k, {})
        cells = [_percent(found.get(name, (0.0, 0))[0]) for name in classes]
        state = "\N{EN DASH}" if k is None or k not in dead else ("yes" if dead[k] else "no")
        share = "" if k is None else _percent(usage[k])
        lines.append(("all" if k is None else str(k), *cells, share, "" if k is None else state))
    return DataTable(caption, head, tuple(lines))


def _percent(share: float) -> str:
    return "undefined" if math.isnan(share) else f"{share:.1%}"


def _dead_table(dead: Mapping[tuple[str, int], Mapping[int, bool]], labels: Sequence[str]) -> DataTable | None:
    """Number of dead generators in each seed; None without any values."""
    runs = {run: found for run, found in dead.items() if run[0] in labels and len(found) > 1}
    if not runs:
        return None
    seeds = sorted({seed for _, seed in runs})
    shown = [label for label in labels if any((label, seed) in runs for seed in seeds)]
    rows = [(label, *(_of(runs.get((label, seed))) for seed in seeds)) for label in shown]
    return DataTable(
        "Dead generators at the last iteration", ("model", *(f"seed {seed}" for seed in seeds)), tuple(rows)
    )


def _of(found: Mapping[int, bool] | None) -> str:
    return "\N{EN DASH}" if not found else f"{sum(found.values())} of {len(found)}"
