"""Samples over iterations, a row of panels per model: selection of runs and iterations, for points and images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gan_bench.results.load import StoredResults
from gan_bench.results.stored_run import Ignored, Snapshots, StoredRun, Unreadable, read_snapshots

if TYPE_CHECKING:
    from matplotlib.axes import Axes


DPI = 200
WIDTH, GAP = 6.04, 0.05  # width of a row of panels and of the gap between two, in inches
COLUMNS = 6  # largest number

Drawable = Callable[[Snapshots], bool]


@dataclass(frozen=True)
class SampleRow:
    """One model's row: the samples of one run, or None if it stored none."""

    label: str
    run: StoredRun
    generators: int
    snapshots: Snapshots | None

    @property
    def last(self) -> int | None:
        """Last iteration with samples."""
        return None if self.snapshots is None else int(self.snapshots.iterations[-1])

    def at(self, iteration: int) -> int | None:
        """Index of an iteration in the snapshots."""
        if self.snapshots is None or iteration not in self.snapshots.iterations:
            return None
        return int(np.flatnonzero(self.snapshots.iterations == iteration)[0])


@dataclass(frozen=True)
class SampleGrid(ABC):
    """Everything that the panels need.

    Attributes:
        rows: one for each model, in the order of the benchmark.
        iterations: one for each column.
    """

    rows: tuple[SampleRow, ...]
    iterations: tuple[int, ...]

    @property
    def drawn_rows(self) -> tuple[SampleRow, ...]:
        """Rows of the figure, from above; real data may have one."""
        return self.rows

    @property
    def keys(self) -> tuple[int, ...]:
        """Numbers of generators with a legend line each."""
        return ()

    @property
    def indent(self) -> float:
        """Space left of the first panel for `mark`, in inches."""
        return 0.0

    @abstractmethod
    def size(self, row: SampleRow) -> tuple[float, float]:
        """Width and height of a row's panels in inches; all rows are equally wide."""

    @property
    def for_thumbnails(self) -> SampleGrid:
        """Grid whose panels are drawn alone."""
        return self

    def thumbnail_size(self, row: SampleRow) -> tuple[float, float]:
        """Width and height of a single panel."""
        return self.size(row)

    @abstractmethod
    def draw_panel(self, ax: Axes, row: SampleRow, iteration: int) -> None:
        """Draw one model's samples at one iteration, or the reason for their absence."""

    def mark(self, ax: Axes, row: SampleRow) -> None:
        """Label the parts of a row next to its first panel."""
        return

    @abstractmethod
    def caption(self, which: str) -> str:
        """Description of the panels, in a sentence; `which` names the seeds."""


def sample_rows(results: StoredResults, dataset: str, drawable: Drawable) -> tuple[SampleRow, ...]:
    """A row for each model of a dataset; empty if no model stored samples that can be drawn."""
    runs = [placed for placed in results.runs if placed.dataset == dataset]
    labels = dict.fromkeys(placed.entry.label for placed in runs if not placed.entry.anchor)
    rows = tuple(_row(label, [p.run for p in runs if p.entry.label == label], drawable) for label in labels)
    return rows if kept(rows) else ()


def real_rows(results: StoredResults, dataset: str, drawable: Drawable) -> list[SampleRow]:
    """Rows of held-out real data, one for each anchor's run that stored any."""
    runs = [placed for placed in results.runs if placed.dataset == dataset and placed.entry.anchor]
    real = [placed.run for placed in runs if placed.entry.plugin == "real-data"]
    rows = [_row("real data", [run], drawable) for run in real]
    return [row for row in rows if row.snapshots is not None]


def damaged_samples(results: StoredResults) -> list[Ignored]:
    """Runs whose row is missing because their samples cannot be read."""
    models: dict[tuple[str, str], list[StoredRun]] = defaultdict(list)
    for placed in results.runs:
        models[placed.dataset, placed.entry.label].append(placed.run)
    found: dict[str, Ignored] = {}  # one run may be listed under two labels
    for runs in models.values():
        for run in _preferred(runs):
            try:
                if read_snapshots(run) is not None:
                    break
            except Unreadable as error:
                found[run.folder.name] = Ignored(run.folder.name, str(error))
    return list(found.values())


def kept(rows: Sequence[SampleRow]) -> list[Snapshots]:
    """Samples of all rows that have any."""
    return [row.snapshots for row in rows if row.snapshots is not None]


def common_iterations(rows: Sequence[SampleRow], columns: int = COLUMNS) -> tuple[int, ...]:
    """Iterations that most models stored, at most `columns`, evenly selected, including the first and the last."""
    counts = Counter(tuple(snapshots.iterations.tolist()) for snapshots in kept(rows))
    common = max(counts, key=lambda times: (counts[times], len(times)))
    chosen = np.linspace(0, len(common) - 1, min(columns, len(common))).round().astype(int)
    return tuple(common[i] for i in chosen)


def frame(ax: Axes) -> None:
    """Prepare a panel without ticks, in a thin frame."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color="0.6", linewidth=0.5)


def draw_absence(ax: Axes, row: SampleRow, iteration: int) -> None:
    """Write the reason into an empty panel."""
    write(ax, (0.5, 0.5), _absence(row, iteration), ha="center", va="center")


def write(ax: Axes, at: tuple[float, float], text: str, ha: str, va: str) -> None:
    """Write a remark into a panel, legible over any background."""
    beneath = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    if text:
        ax.text(*at, text, ha=ha, va=va, fontsize=5.5, color="0.3", transform=ax.transAxes, bbox=beneath)


def _row(label: str, runs: Sequence[StoredRun], drawable: Drawable) -> SampleRow:
    """Row of a model: its lowest seed that finished and stored samples; else the lowest that stored any."""
    order = _preferred(runs)
    for run in order:
        found = _readable(run, drawable)
        if found is not None:
            return SampleRow(label, run, _generators(run), found)
    return SampleRow(label, order[0], _generators(order[0]), None)


def _preferred(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Sort runs: finished ones first, then by seed."""
    return sorted(runs, key=lambda run: (run.status != "finished", run.seed))


def _generators(run: StoredRun) -> int:
    return max(1, run.record.model.generators)


def _readable(run: StoredRun, drawable: Drawable) -> Snapshots | None:
    """Samples of the run; None if they are missing, damaged, or of another kind."""
    try:
        found = read_snapshots(run)
    except Unreadable:
        return None
    return found if found is not None and len(found.x) > 0 and drawable(found) else None


def _absence(row: SampleRow, iteration: int) -> str:
    if row.snapshots is None:
        return "no samples"
    if row.run.status != "finished" and iteration > row.run.iteration:
        return f"{row.run.status}\nat {row.run.iteration:,}"
    return "not stored"
