"""Published figures: files of plugins, read and validated.

A file is a table with the columns of `COLUMNS` and a figure a row. A figure is copied from a source, so a row gives
its place there, the meaning of its ±, its protocol, who trained the system, and whether it was verified.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from gan_bench.contracts.metric import Direction
from gan_bench.errors import PluginError, UsageError
from gan_bench.names import allowed
from gan_bench.plugins.discovery import load_plugins, plugin_files, plugin_folders
from gan_bench.plugins.kinds import PUBLISHED
from gan_bench.plugins.registry import Registry

COLUMNS: Mapping[str, str] = {
    "system": "Name of the model's plugin, or the name that it would have.",
    "name": "Name in the source, with the variant.",
    "params": "Parameters of the model, if the figure is for certain ones: `generators=4; beta=0.25`; else empty.",
    "dataset": "Name of the dataset's plugin, with parameters other than defaults: `stl10; size=96`; else any name.",
    "metric": "Name of the metric's plugin, if it is the same quantity; else empty.",
    "measure": "Name of the metric in the source.",
    "direction": "Better direction: lower, higher or none.",
    "value": "Value, in the unit of `metric` if that is given.",
    "spread": "Number after ±, in the same unit; empty if there is none.",
    "spread_is": "Meaning of the spread: one of `SPREADS`; empty if there is none.",
    "n": "Number of training runs; empty if unknown.",
    "samples": "Number of generated samples of a run; empty if unknown.",
    "printed": "Value as printed in the source.",
    "protocol": "Differences from other protocols, and remarks.",
    "source": "Paper and table, or repository and issue.",
    "quoted_by": "Place where the figure was read, if not in the source.",
    "kind": "paper: claimed by the authors of the system; independent re-run: trained by others.",
    "verified": "yes: read in the place that the row names; no: from memory, or from an unnamed quotation.",
}
"""Columns of a file, with their meaning."""

ParamValue = bool | float | str
"""Value of a parameter in a row."""


@dataclass(frozen=True)
class PublishedFigure:
    """One published figure: a row of a file, with a field for each of `COLUMNS`.

    Missing texts are empty, missing numbers are None.
    """

    system: str
    name: str
    params: str
    dataset: str
    metric: str
    measure: str
    direction: str
    value: float
    spread: float | None
    spread_is: str
    n: int | None
    samples: int | None
    printed: str
    protocol: str
    source: str
    quoted_by: str
    kind: str
    verified: bool

    @property
    def subject(self) -> tuple[str, str]:
        """System and dataset."""
        return self.system, self.dataset


SPREADS: Mapping[str, str] = {
    "std over runs": "± standard deviation over runs",
    "standard error over runs": "± standard error over runs",
    "evaluation repeats": "± over repeats of the evaluation",
    "unknown": "± of unknown meaning",
}
CLAIM, RERUN = "paper", "independent re-run"

_REQUIRED = ("system", "name", "dataset", "measure", "value", "source")
_CHOICES: Mapping[str, Sequence[str]] = {
    "direction": get_args(Direction),
    "spread_is": ("", *SPREADS),
    "kind": (CLAIM, RERUN),
    "verified": ("yes", "no"),
}
_COUNTS = ("n", "samples")
_PARAM = r'[A-Za-z_]\w* *= *(?:[-+.\w]+|"[^";=]*")'
_PARAMS = re.compile(rf"{_PARAM}(?: *; *{_PARAM})*", re.ASCII)
_FIGURE = ("system", "name", "dataset", "measure", "source", "quoted_by", "kind")  # columns that identify a figure
_TYPES = {"value": "float64", "spread": "float64", "n": "Int64", "samples": "Int64", "verified": "bool"}
_MOST = 10
"""Number of wrong lines of a file that are listed individually."""


def published(plugins: Sequence[str | os.PathLike[str]] = ()) -> pd.DataFrame:
    """Load all published figures, one a row: claims of papers, and measurements by others.

    Columns: system, name, params, dataset, metric (empty if it is not one of ours), measure, direction, value, spread
    (missing if unknown), spread_is, n (training runs) and samples (both <NA> if unknown), printed,
    protocol, source, quoted_by, kind ("paper" or "independent re-run"), verified.

    Args:
        plugins: plugin files, in addition to installed plugins and plugins/ of the working folder.

    Raises PluginError for a wrong file, UsageError for a plugin that is not a file.
    """

    def complain(number: int, message: str) -> None:
        raise UsageError(message)

    registry = load_plugins([*plugin_folders(), *plugin_files([*map(Path, plugins)], complain)], kinds=(PUBLISHED,))
    return to_frame([figure for path, _ in registry.published for figure in read_figures(path)])


def gather(
    registry: Registry, directions: Mapping[str, str] | None = None
) -> tuple[list[PublishedFigure], tuple[str, ...]]:
    """Figures of all plugins of a registry, and messages about those that are left out.

    Args:
        registry: a registry with published figures.
        directions: of every metric; a figure of another metric or direction is left out. None keeps all.
    """
    kept: list[PublishedFigure] = []
    problems: list[str] = []
    for path, origin in registry.published:
        try:
            figures = read_figures(path)
        except PluginError as error:
            problems.append(f"Published figures of {origin} are left out: {error}")
            continue
        wrong = [] if directions is None else [each for each in figures if _is_misjudged(each, directions)]
        kept += [each for each in figures if each not in wrong]
        problems += [f"{path}: {message}" for message in _wrong_metrics(wrong, directions or {})]
    problems += [f"Plugin {each.name} is left out: {each.error} (from {each.origin})." for each in registry.broken]
    return kept, tuple(problems)


def _is_misjudged(figure: PublishedFigure, directions: Mapping[str, str]) -> bool:
    """Whether a figure is of a metric that does not exist, or that is better in another direction."""
    return figure.metric != "" and directions.get(figure.metric) != figure.direction


def _wrong_metrics(wrong: Sequence[PublishedFigure], directions: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each wrong metric, with the systems of its figures."""
    for metric, direction in dict.fromkeys((each.metric, each.direction) for each in wrong):
        systems = [each.system for each in wrong if (each.metric, each.direction) == (metric, direction)]
        better = directions.get(metric)
        reason = f"there is no metric {metric!r}. {allowed(metric, directions)}"
        reason = f"the direction of {metric} is {better}, not {direction}." if better else reason
        number = "1 figure" if len(systems) == 1 else f"{len(systems)} figures"
        yield f"left out {number} of {', '.join(dict.fromkeys(systems))}: {reason}"


def read_figures(path: str | os.PathLike[str]) -> list[PublishedFigure]:
    """Read one file of figures, a csv with `COLUMNS`.

    Raises PluginError with the file and the line of every problem.
    """
    path = Path(path)
    rows = _rows(path)
    wrong = [f"{path}:{line}: {message}" for line, row in rows.items() for message in _complaints(row)]
    wrong = wrong or [f"{path}:{line}: {message}" for line, message in _repeated(rows)]
    if wrong:
        more = [f"… and {len(wrong) - _MOST} more."] if len(wrong) > _MOST else []
        raise PluginError("\n".join([*wrong[:_MOST], *more]))
    return [_figure(row) for row in rows.values()]


def _rows(path: Path) -> dict[int, dict[str, str]]:
    """Rows of a file as text, by the line on which they end."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # a spreadsheet may have written a byte order mark
            reader = csv.reader(file, strict=True)
            head = next(reader, [])
            _check_head(path, head)
            found = {}
            for cells in reader:
                if len(cells) != len(head):
                    message = (
                        f"a row must have {len(head)} cells, found {len(cells)}. Quote text that contains a comma."
                    )
                    raise PluginError(f"{path}:{reader.line_num}: {message}")
                found[reader.line_num] = dict(zip(head, (cell.strip() for cell in cells), strict=True))
            return found
    except OSError as error:
        raise PluginError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise PluginError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}).") from error
    except csv.Error as error:
        raise PluginError(f"{path}:{reader.line_num}: not valid CSV ({error}).") from error


def _check_head(path: Path, head: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in head]
    unknown = [name for name in head if name not in COLUMNS]
    if unknown:
        raise PluginError(f"{path}:1: unknown column {unknown[0]!r}. {allowed(unknown[0], COLUMNS, limit=20)}")
    if missing or len(head) != len(COLUMNS):
        what = f"missing columns: {', '.join(missing)}" if missing else "a column occurs twice"
        raise PluginError(f"{path}:1: {what}.")


def _complaints(row: Mapping[str, str]) -> Iterator[str]:
    """Problems of one row."""
    for name in _REQUIRED:
        if not row[name]:
            yield f"{name} must not be empty."
    for name, choices in _CHOICES.items():
        if row[name] not in choices:
            yield f"unknown value {row[name]!r} of {name}. {allowed(row[name], filter(None, choices))}"
    for name in ("value", "spread"):
        if row[name] and not math.isfinite(_number(row[name])):
            yield f"{name} must be a number such as 8.33, found {row[name]!r}."
    _, several, data = row["dataset"].partition(";")
    if several and not (_PARAMS.fullmatch(data.strip()) and _names_once(data)):
        yield f"dataset must be a name with distinct plain parameters such as stl10; size=96, found {row['dataset']!r}."
    for name in _COUNTS:
        if row[name] and not re.fullmatch("[1-9][0-9]{0,17}", row[name]):
            yield f"{name} must be a whole number >= 1 or empty, found {row[name]!r}."
    if row["params"] and not (_PARAMS.fullmatch(row["params"]) and _names_once(row["params"])):
        yield f"params must be distinct plain parameters such as generators=4; beta=0.25, found {row['params']!r}."
    if _number(row["spread"] or "0") < 0:
        yield f"spread must be >= 0, found {row['spread']}."
    if bool(row["spread"]) != bool(row["spread_is"]):
        yield "spread and spread_is must be given together, or both be empty."


def _names_once(text: str) -> bool:
    return len(params_of(text)) == text.count("=")


def _repeated(rows: Mapping[int, Mapping[str, str]]) -> Iterator[tuple[int, str]]:
    """Rows that repeat a figure."""
    first: dict[tuple[str, ...], int] = {}
    for line, row in rows.items():
        earlier = first.setdefault(tuple(row[name] for name in _FIGURE), line)
        if earlier != line:
            yield line, f"the same {', '.join(_FIGURE)} as in line {earlier}. Distinguish the variants in name."


def _number(text: str) -> float:
    try:
        return float(text) if re.fullmatch(r"[-+.0-9eE]+", text) else math.nan
    except ValueError:
        return math.nan


def _figure(row: Mapping[str, str]) -> PublishedFigure:
    """Convert a valid row to a figure."""
    return PublishedFigure(
        system=row["system"],
        name=row["name"],
        params=row["params"],
        dataset=row["dataset"],
        metric=row["metric"],
        measure=row["measure"],
        direction=row["direction"],
        value=float(row["value"]),
        spread=float(row["spread"]) if row["spread"] else None,
        spread_is=row["spread_is"],
        n=int(row["n"]) if row["n"] else None,
        samples=int(row["samples"]) if row["samples"] else None,
        printed=row["printed"],
        protocol=row["protocol"],
        source=row["source"],
        quoted_by=row["quoted_by"],
        kind=row["kind"],
        verified=row["verified"] == "yes",
    )


def to_frame(figures: Sequence[PublishedFigure]) -> pd.DataFrame:
    """Figures as a table, with the columns and types of `published`."""
    columns = {name: [getattr(each, name) for each in figures] for name in COLUMNS}
    return pd.DataFrame({name: pd.Series(cells, dtype=_TYPES.get(name, "str")) for name, cells in columns.items()})


def params_of(text: str) -> dict[str, ParamValue]:
    """Parse ``generators=4; shared=body`` as a dict with numbers, truth values and texts."""
    pairs = (pair.split("=") for pair in text.split(";"))
    return {name.strip(): _plain(value.strip()) for name, value in pairs}


def data_of(text: str) -> tuple[str, dict[str, ParamValue]]:
    """Parse ``stl10; size=96`` as a name and its parameters."""
    name, several, params = text.partition(";")
    return name.strip(), params_of(params) if several else {}


def _plain(text: str) -> ParamValue:
    if text in ("true", "false"):
        return text == "true"
    number = _number(text)
    return text.strip('"') if math.isnan(number) else number
