"""Heat maps of the classes among each generator's samples: a panel for each model, a row for each generator.

The values are those of classes.csv for the run and iteration of the samples above. Cells have the same size for any
numbers of generators and classes, so that the text in them is legible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench import escape
from gan_bench.contracts.scores import NONE, OTHERS
from gan_bench.report.figures import curves
from gan_bench.report.figures.sample_grid import write
from gan_bench.results.load import StoredResults
from gan_bench.results.stored_run import StoredRun, Unreadable, read_classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


ALL = "all"
"""Label of the row of the whole mixture, below those of its generators."""

# Inches.
_CELL, _LINE, _LOW_LINE = 0.17, 0.125, 0.06
_LEFT, _ABOVE, _BETWEEN, _LEAST = 0.34, 0.2, 0.06, 1.4
_LETTER, _BELOW, _TITLE_LETTER = 0.042, 0.12, 0.056
_TITLE = 6.5  # points

_TALL = 16  # largest number of generators with rows high enough for numbers
_LONGEST = 14  # characters of a class's name
_BARE = {NONE: NONE.strip("()"), OTHERS: OTHERS.strip("()")}
"""Names of columns of no class: with brackets, "(none)" is wider than a cell and meets its neighbour."""


@dataclass(frozen=True)
class HeatMap:
    """One model's shares: a row for each generator, and for all if there are several; a column for each class.

    `shares` is empty if the run stored none.
    """

    label: str
    iteration: int
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shares: NDArray[np.float64]

    @property
    def width(self) -> float:
        """Width of the cells."""
        return _CELL * max(1, len(self.columns))

    @property
    def height(self) -> float:
        """Height of the cells."""
        return (_LINE if self.numbered else _LOW_LINE) * max(1, len(self.rows))

    @property
    def numbered(self) -> bool:
        """Whether shares are written in the cells."""
        return len(self.rows) <= _TALL + 1

    @property
    def below(self) -> float:
        """Height of the class names."""
        return _BELOW if self.flat else _LETTER * max(map(len, self.names)) + 0.05

    @property
    def names(self) -> list[str]:
        """Class names, shortened if long."""
        return [_BARE.get(name) or escape.shortened(escape.one_line(name), _LONGEST) for name in self.columns]

    @property
    def flat(self) -> bool:
        """Whether names are short enough to be written side by side."""
        return OTHERS not in self.columns and all(len(name) <= 2 for name in self.names if name != _BARE[NONE])


@dataclass(frozen=True)
class Placed:
    """A heat map and the position of its cells, in inches from the left and from the top of all.

    `width` is the space for its title.
    """

    map: HeatMap
    left: float
    top: float
    width: float


def heat_maps(results: StoredResults, dataset: str, shown: Mapping[str, StoredRun]) -> list[HeatMap]:
    """A heat map for each model of a dataset; empty if no run stored shares.

    Args:
        shown: the run of each label whose samples are shown; for other labels, the lowest seed that finished.
    """
    runs = [placed for placed in results.runs if placed.dataset == dataset and not placed.entry.anchor]
    order = sorted(runs, key=lambda placed: (placed.run.status != "finished", placed.run.seed))
    chosen = {placed.entry.label: placed.run for placed in reversed(order)} | dict(shown)
    made = [_made(label, chosen[label]) for label in dict.fromkeys(placed.entry.label for placed in runs)]
    return made if any(len(each.shares) for each in made) else []


def _made(label: str, run: StoredRun) -> HeatMap:
    found = _last(run)
    if found is None:
        return HeatMap(label, run.iteration, (), (), np.empty((0, 0)))
    generators = [str(k) for k in sorted(found["generator"].dropna().unique())]
    rows = generators if len(generators) == 1 else [*generators, ALL]
    columns = list(dict.fromkeys(found["class"]))
    shares = np.zeros((len(rows), len(columns)))
    for generator, name, share in zip(found["generator"], found["class"], found["share"], strict=True):
        row = ALL if pd.isna(generator) else str(generator)
        if row in rows:
            shares[rows.index(row), columns.index(name)] += share
    return HeatMap(label, int(found["iteration"].iloc[0]), tuple(rows), tuple(columns), shares)


def _last(run: StoredRun) -> pd.DataFrame | None:
    """Shares at the last iteration that has any."""
    try:
        found = read_classes(run)
    except Unreadable:
        return None
    return None if found is None or found.empty else found[found["iteration"] == found["iteration"].max()]


def place(maps: Sequence[HeatMap], width: float) -> tuple[list[Placed], float]:
    """Place heat maps from left to right, line by line, within a width; return them and their height, 0 for no maps."""
    placed: list[Placed] = []
    top, room = 0.0, max((_LEAST, *(each.width for each in maps)))
    for line in _lines(maps, max(1, int(width / (room + _LEFT)))):
        placed += [Placed(each, _LEFT + i * (room + _LEFT), top + _ABOVE, room) for i, each in enumerate(line)]
        top += _ABOVE + max(each.height + each.below for each in line) + _BETWEEN
    return placed, top


def _lines(maps: Sequence[HeatMap], each: int) -> Iterator[Sequence[HeatMap]]:
    for start in range(0, len(maps), each):
        yield maps[start : start + each]


def draw(ax: Axes, placed: Placed, last: int) -> None:
    """Draw a heat map in axes of its size; label its iteration if it is not `last`."""
    drawn = placed.map
    at = "" if drawn.iteration == last else f", at {curves.short(drawn.iteration)}"
    room = placed.width + _LEFT / 2
    title = curves.fitted(drawn.label, _TITLE, room - _TITLE_LETTER * len(at)) + at
    ax.set_title(title, fontsize=_TITLE, pad=2.5, loc="left", parse_math=False)
    for spine in ax.spines.values():
        spine.set(color="0.6", linewidth=0.5)
    if not len(drawn.shares):
        ax.set(xticks=[], yticks=[])
        write(ax, (0.5, 0.5), "no shares", ha="center", va="center")
        return
    ax.imshow(_colours(drawn), interpolation="none", aspect="auto")
    _set_ticks(ax, drawn)
    if drawn.numbered:
        _write_shares(ax, drawn)


def _colours(drawn: HeatMap) -> NDArray[np.float64]:
    """RGBA (rows, columns, 4): blues for classes, greys for other columns."""
    from matplotlib import colormaps

    share = np.nan_to_num(drawn.shares).clip(0, 1)
    colours: NDArray[np.float64] = np.asarray(colormaps["Blues"](share))
    rest = _no_class(drawn)
    colours[:, rest] = np.asarray(colormaps["Greys"](share[:, rest]))
    return colours


def _no_class(drawn: HeatMap) -> NDArray[np.bool_]:
    """Mask of columns that belong to no single class."""
    return np.isin(drawn.columns, (OTHERS, NONE))


def _set_ticks(ax: Axes, drawn: HeatMap) -> None:
    ax.set_xticks(range(len(drawn.columns)))
    ax.set_xticklabels(drawn.names, fontsize=5, parse_math=False, rotation=0 if drawn.flat else 90)
    step = 1 if drawn.numbered else 4
    shown = [i for i, name in enumerate(drawn.rows) if len(drawn.rows) > 1 and (i % step == 0 or name == ALL)]
    ax.set_yticks(shown)
    ax.set_yticklabels([drawn.rows[i] for i in shown], fontsize=5)
    ax.tick_params(length=0, pad=1.5)
    if ALL in drawn.rows:
        ax.axhline(len(drawn.rows) - 1.5, color="0.3", linewidth=0.5)
    for column in np.flatnonzero(_no_class(drawn)):
        ax.axvline(column - 0.5, color="0.3", linewidth=0.5)


def _write_shares(ax: Axes, drawn: HeatMap) -> None:
    """Write shares in per cent unless they are 0; a question mark without samples."""
    for (row, column), share in np.ndenumerate(drawn.shares):
        text = "?" if np.isnan(share) else f"{100 * share:.0f}"
        if text != "0":
            colour = "white" if share > 0.55 else "0.15"
            ax.text(column, row, text, fontsize=4.5, color=colour, ha="center", va="center")


def caption(maps: Sequence[HeatMap]) -> str:
    """Description of the cells, in a sentence."""
    last = max(each.iteration for each in maps)
    rows = "generators, and all together" if any(ALL in each.rows for each in maps) else "the generator"
    text = f"Cells: percentage of a generator's samples in a class, at iteration {curves.short(last)}; rows: {rows}"
    columns = {name for each in maps for name in each.columns}
    none = f"; {_BARE[NONE]}: no class" if NONE in columns else ""
    others = f"; {_BARE[OTHERS]}: all other classes" if OTHERS in columns else ""
    return f"{text}{others}{none}."
