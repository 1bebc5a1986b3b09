"""Samples over iterations, a row of panels per model: which runs and iterations are shown, of points and of images."""

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
WIDTH, GAP = 6.04, 0.05  # inches that a row of panels shares, and between two of them
COLUMNS = 6  # at most

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
        """The last iteration of which there are samples."""
        return None if self.snapshots is None else int(self.snapshots.iterations[-1])

    def at(self, iteration: int) -> int | None:
        """Index of an iteration in the snapshots."""
        if self.snapshots is None or iteration not in self.snapshots.iterations:
            return None
        return int(np.flatnonzero(self.snapshots.iterations == iteration)[0])


@dataclass(frozen=True)
class SampleGrid(ABC):
    """Everything the panels need.

    Attributes:
        rows: a model each, in the order of the benchmark.
        iterations: a column each.
    """

    rows: tuple[SampleRow, ...]
    iterations: tuple[int, ...]

    @property
    def drawn_rows(self) -> tuple[SampleRow, ...]:
        """The rows of the figure, from above; real data may have one."""
        return self.rows

    @property
    def keys(self) -> tuple[int, ...]:
        """Numbers of generators whose colours are explained, a line each."""
        return ()

    @property
    def indent(self) -> float:
        """Inches left of the first panel that `mark` writes in."""
        return 0.0

    @abstractmethod
    def size(self, row: SampleRow) -> tuple[float, float]:
        """Width and height of a row's panels in inches; all rows are equally wide."""

    def thumbnail_size(self, row: SampleRow) -> tuple[float, float]:
        """Width and height of a single panel."""
        return self.size(row)

    @abstractmethod
    def draw_panel(self, ax: Axes, row: SampleRow, iteration: int) -> None:
        """Draw one model's samples at one iteration, or the reason for their absence."""

    def mark(self, ax: Axes, row: SampleRow) -> None:
        """Write beside a row's first panel what its parts are."""
        return

    @abstractmethod
    def caption(self, which: str) -> str:
        """Description of the panels, in a sentence; `which` names the seeds."""


def sample_rows(results: StoredResults, dataset: str, drawable: Drawable) -> tuple[SampleRow, ...]:
    """A row for each model of a dataset; empty where none kept samples that are drawable."""
    runs = [placed for placed in results.runs if placed.dataset == dataset]
    labels = dict.fromkeys(placed.entry.label for placed in runs if not placed.entry.anchor)
    rows = tuple(_row(label, [p.run for p in runs if p.entry.label == label], drawable) for label in labels)
    return rows if kept(rows) else ()


def real_rows(results: StoredResults, dataset: str, drawable: Drawable) -> list[SampleRow]:
    """Held-out real data, a row for each anchor's run that kept any."""
    runs = [placed for placed in results.runs if placed.dataset == dataset and placed.entry.anchor]
    real = [placed.run for placed in runs if placed.entry.plugin == "real-data"]
    rows = [_row("real data", [run], drawable) for run in real]
    return [row for row in rows if row.snapshots is not None]


def damaged_samples(results: StoredResults) -> list[Ignored]:
    """The runs that a row would show, and does not because their samples cannot be read."""
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
    """The samples that there are."""
    return [row.snapshots for row in rows if row.snapshots is not None]


def common_iterations(rows: Sequence[SampleRow], columns: int = COLUMNS) -> tuple[int, ...]:
    """The iterations that most models kept, at most `columns`, evenly chosen, first and last among them."""
    counts = Counter(tuple(snapshots.iterations.tolist()) for snapshots in kept(rows))
    common = max(counts, key=lambda times: (counts[times], len(times)))
    chosen = np.linspace(0, len(common) - 1, min(columns, len(common))).round().astype(int)
    return tuple(common[i] for i in chosen)


def frame(ax: Axes) -> None:
    """A panel without ticks, in a thin frame."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color="0.6", linewidth=0.5)


def say_absence(ax: Axes, row: SampleRow, iteration: int) -> None:
    """Write the reason into an empty panel."""
    write(ax, (0.5, 0.5), _absence(row, iteration), ha="center", va="center")


def write(ax: Axes, at: tuple[float, float], text: str, ha: str, va: str) -> None:
    """A remark in a panel, legible over whatever lies beneath it."""
    beneath = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    if text:
        ax.text(*at, text, ha=ha, va=va, fontsize=5.5, color="0.3", transform=ax.transAxes, bbox=beneath)


def _row(label: str, runs: Sequence[StoredRun], drawable: Drawable) -> SampleRow:
    """The lowest seed that finished and kept samples; else the lowest that kept any."""
    order = _preferred(runs)
    for run in order:
        found = _readable(run, drawable)
        if found is not None:
            return SampleRow(label, run, _generators(run), found)
    return SampleRow(label, order[0], _generators(order[0]), None)


def _preferred(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Those that finished first, by seed."""
    return sorted(runs, key=lambda run: (run.status != "finished", run.seed))


def _generators(run: StoredRun) -> int:
    return max(1, run.record.model.generators)


def _readable(run: StoredRun, drawable: Drawable) -> Snapshots | None:
    """The run's samples, None where they are missing, damaged, or of another kind."""
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
    return "not kept"
