"""Samples over iterations: a row of panels per model, coloured by generator, real data beneath in grey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gan_bench import palette
from gan_bench.results import PlacedRun, StoredResults
from gan_bench.runfolder import Snapshots, StoredRun, Unreadable, read_snapshots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.floating[Any]]

COLUMNS = 6  # at most
_REAL_POINTS = 2048
_BINS = 60
_MARGIN = 0.15  # of the real data's range, on every side


@dataclass(frozen=True)
class SampleRow:
    """What one model's row shows: one run's samples, or None where it kept none."""

    label: str
    run: StoredRun
    generators: int
    snapshots: Snapshots | None


@dataclass(frozen=True)
class SampleGrid:
    """Everything the panels need.

    Attributes:
        rows: a model each, in the order of the benchmark.
        iterations: a column each.
        real: (n, d) real data with d 1 or 2, None where no anchor kept any.
        low, high: (d,) limits of the axes: they show the real data, wherever a model went.
    """

    rows: tuple[SampleRow, ...]
    iterations: tuple[int, ...]
    real: Floats | None
    low: Floats
    high: Floats


def sample_grid(results: StoredResults, dataset: str) -> SampleGrid | None:
    """What can be shown of a dataset's samples; None where there are none of one or two dimensions."""
    runs = [placed for placed in results.runs if placed.dataset == dataset]
    labels = dict.fromkeys(placed.entry.label for placed in runs if not placed.entry.anchor)
    rows = tuple(_row(label, [p.run for p in runs if p.entry.label == label]) for label in labels)
    kept = [row.snapshots for row in rows if row.snapshots is not None]
    if not kept:
        return None
    real = _real(runs)
    low, high = _limits(real if real is not None else np.concatenate([s.x[-1] for s in kept]))
    return SampleGrid(rows, _iterations(kept), real, low, high)


def draw_panel(ax: Axes, grid: SampleGrid, row: SampleRow, iteration: int) -> None:
    """Draw one model's samples at one iteration, or say why there are none."""
    ax.set(xticks=[], yticks=[], xlim=(grid.low[0], grid.high[0]))
    for spine in ax.spines.values():
        spine.set(color="0.6", linewidth=0.5)
    x, generator = _at(row, iteration)
    if len(grid.low) == 1:
        _draw_histogram(ax, grid, row, x, generator)
    else:
        ax.set(ylim=(grid.low[1], grid.high[1]), aspect="equal")
        _draw_points(ax, grid, row, x, generator)
    if x is None:
        _write(ax, (0.5, 0.5), _absence(row, iteration), ha="center", va="center")
    else:
        _write(ax, (0.97, 0.03), _outside(x, grid), ha="right", va="bottom")


def _write(ax: Axes, at: tuple[float, float], text: str, ha: str, va: str) -> None:
    """A remark in a panel, legible over whatever lies beneath it."""
    beneath = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    if text:
        ax.text(*at, text, ha=ha, va=va, fontsize=5.5, color="0.3", transform=ax.transAxes, bbox=beneath)


def _row(label: str, runs: Sequence[StoredRun]) -> SampleRow:
    """The lowest seed that finished and kept samples; else the lowest that kept any."""
    order = sorted(runs, key=lambda run: (run.status != "finished", run.seed))
    for run in order:
        found = _readable(run)
        if found is not None:
            return SampleRow(label, run, _generators(run), found)
    return SampleRow(label, order[0], _generators(order[0]), None)


def _generators(run: StoredRun) -> int:
    return max(1, int(run.model.get("generators") or 1))


def _readable(run: StoredRun) -> Snapshots | None:
    """The run's samples, None where they are missing, damaged, or not points on a line or in the plane."""
    try:
        found = read_snapshots(run)
    except Unreadable:
        return None
    drawable = found is not None and len(found.x) > 0 and found.x.ndim == 3 and found.x.shape[2] in (1, 2)
    return found if drawable else None


def _real(runs: Sequence[PlacedRun]) -> Floats | None:
    anchors = [placed.run for placed in runs if placed.entry.anchor and placed.entry.plugin == "real-data"]
    found = [snapshots.x[-1] for run in anchors if (snapshots := _readable(run)) is not None]
    return np.concatenate(found)[:_REAL_POINTS] if found else None


def _limits(points: Floats) -> tuple[Floats, Floats]:
    """A square (or interval) around the points, with a margin."""
    finite = points[np.isfinite(points).all(axis=1)]
    if not len(finite):
        return np.full(points.shape[1], -1.0), np.full(points.shape[1], 1.0)
    low, high = finite.min(axis=0).astype(np.float64), finite.max(axis=0).astype(np.float64)
    half = (0.5 + _MARGIN) * max(float((high - low).max()), 1e-6)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _iterations(kept: Sequence[Snapshots]) -> tuple[int, ...]:
    """The iterations that most models kept, at most six, evenly chosen, first and last among them."""
    counts = Counter(tuple(snapshots.iterations.tolist()) for snapshots in kept)
    common = max(counts, key=lambda times: (counts[times], len(times)))
    chosen = np.linspace(0, len(common) - 1, min(COLUMNS, len(common))).round().astype(int)
    return tuple(common[i] for i in chosen)


def _at(row: SampleRow, iteration: int) -> tuple[Floats | None, NDArray[np.integer[Any]]]:
    """The samples (n, d) at an iteration and who made them, in an order that favours no generator."""
    snapshots = row.snapshots
    if snapshots is None or iteration not in snapshots.iterations:
        return None, np.empty(0, dtype=np.int64)
    at = int(np.flatnonzero(snapshots.iterations == iteration)[0])
    order = np.random.default_rng(0).permutation(snapshots.x.shape[1])
    return snapshots.x[at][order], snapshots.generator[at][order]


def _absence(row: SampleRow, iteration: int) -> str:
    if row.snapshots is None:
        return "no samples"
    if row.run.status != "finished" and iteration > row.run.iteration:
        return f"{row.run.status}\nat {row.run.iteration:,}"
    return "not kept"


def _outside(x: Floats, grid: SampleGrid) -> str:
    """How many samples lie beyond the axes, where it is more than a few."""
    if not np.isfinite(x).all(axis=1).any():
        return "not finite"
    inside = ((x >= grid.low) & (x <= grid.high)).all(axis=1)  # nan is inside nothing
    share = 1 - float(inside.mean())
    return f"{share:.0%} outside" if share >= 0.005 else ""


def _draw_points(
    ax: Axes, grid: SampleGrid, row: SampleRow, x: Floats | None, generator: NDArray[np.integer[Any]]
) -> None:
    dots: dict[str, Any] = {"linewidths": 0, "rasterized": True}  # small as vectors, in a PDF, they are not
    if grid.real is not None:
        ax.scatter(grid.real[:, 0], grid.real[:, 1], s=1.5, color=palette.REAL, **dots)
    if x is not None:
        colours = np.asarray(palette.generator_colours(row.generators))
        ax.scatter(x[:, 0], x[:, 1], s=2.2, c=colours[generator.clip(0) % row.generators], **dots)


def _draw_histogram(
    ax: Axes, grid: SampleGrid, row: SampleRow, x: Floats | None, generator: NDArray[np.integer[Any]]
) -> None:
    """Shares of samples per bin, stacked by generator, over the real data's."""
    bins = np.linspace(float(grid.low[0]), float(grid.high[0]), _BINS + 1)
    if grid.real is not None:
        shares = _shares(grid.real[:, 0], bins, len(grid.real))
        ax.stairs(shares, bins, fill=True, color=palette.REAL)
        ax.set_ylim(0, 1.6 * float(shares.max()))  # where a model collapsed, its spike leaves the panel
    if x is None:
        return
    below = np.zeros(_BINS)
    for k, colour in enumerate(palette.generator_colours(row.generators)):
        top = below + _shares(x[generator.clip(0) == k, 0], bins, len(x))
        ax.stairs(top, bins, baseline=below, fill=True, color=colour, alpha=0.75)
        below = top


def _shares(x: Floats, bins: Floats, total: int) -> Floats:
    shares: Floats = np.histogram(x[np.isfinite(x)], bins)[0] / total
    return shares
