"""Points over iterations: panels in one or two dimensions, coloured by generator, real data beneath in grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gan_bench.report.figures import palette, sample_grid
from gan_bench.report.figures.sample_grid import COLUMNS, GAP, WIDTH, SampleGrid, SampleRow
from gan_bench.results.load import StoredResults
from gan_bench.results.stored_run import Snapshots

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Floats = NDArray[np.floating[Any]]

_SIDE = WIDTH / COLUMNS - GAP
_ALL_ROWS = 4.6  # largest height of all rows in inches, if the panels are not smaller than _LEAST
_LEAST = 0.6
_THUMBNAIL = 1.08
_REAL_POINTS = 2048
_BINS = 60
_MARGIN = 0.15  # of the real data's range, on every side


@dataclass(frozen=True)
class PointGrid(SampleGrid):
    """Grid of samples on a line or in the plane.

    Attributes:
        real: (n, d) real data with d 1 or 2, None if no anchor stored any.
        low, high: (d,) limits of the axes, determined by the real data only.
    """

    real: Floats | None
    low: Floats
    high: Floats

    @property
    def keys(self) -> tuple[int, ...]:
        """Largest number of generators with individual colours, and largest number of generators."""
        found = sorted({row.generators for row in self.rows if row.generators > 1})
        few = [generators for generators in found if generators <= palette.FEW][-1:]
        return tuple(dict.fromkeys([*few, *found[-1:]]))

    def size(self, row: SampleRow) -> tuple[float, float]:
        """Square size of the panels: smaller for many rows, so that the figure fits a page."""
        side = min(_SIDE, max(_LEAST, _ALL_ROWS / len(self.rows) - GAP))
        return side, side

    def thumbnail_size(self, row: SampleRow) -> tuple[float, float]:
        """Square size of the thumbnails."""
        return _THUMBNAIL, _THUMBNAIL

    def draw_panel(self, ax: Axes, row: SampleRow, iteration: int) -> None:
        """Draw points in the plane, or a histogram of points on a line."""
        sample_grid.frame(ax)
        ax.set(xlim=(self.low[0], self.high[0]))
        x, generator = _at(row, iteration)
        if len(self.low) == 1:
            _draw_histogram(ax, self, row, x, generator)
        else:
            ax.set(ylim=(self.low[1], self.high[1]), aspect="equal")
            _draw_points(ax, self, row, x, generator)
        if x is None:
            sample_grid.draw_absence(ax, row, iteration)
        else:
            sample_grid.write(ax, (0.97, 0.03), _outside(x, self), ha="right", va="bottom")

    def caption(self, which: str) -> str:
        """Explanation of the colours."""
        grey = "; grey: held-out real data" if self.real is not None else ""
        return f"Points: samples of {which}, coloured by generator{grey}."


def point_grid(results: StoredResults, dataset: str) -> PointGrid | None:
    """Grid of a dataset's samples; None unless they have one or two dimensions."""
    rows = sample_grid.sample_rows(results, dataset, _drawable)
    if not rows:
        return None
    real = _real(results, dataset)
    points = real if real is not None else np.concatenate([snapshots.x[-1] for snapshots in sample_grid.kept(rows)])
    return PointGrid(rows, sample_grid.common_iterations(rows), real, *_limits(points))


def _drawable(found: Snapshots) -> bool:
    return found.x.ndim == 3 and found.x.shape[2] in (1, 2)


def _real(results: StoredResults, dataset: str) -> Floats | None:
    found = sample_grid.kept(sample_grid.real_rows(results, dataset, _drawable))
    return np.concatenate([snapshots.x[-1] for snapshots in found])[:_REAL_POINTS] if found else None


def _limits(points: Floats) -> tuple[Floats, Floats]:
    """Limits of a square (or interval) around the points, with a margin."""
    finite = points[np.isfinite(points).all(axis=1)]
    if not len(finite):
        return np.full(points.shape[1], -1.0), np.full(points.shape[1], 1.0)
    low, high = finite.min(axis=0).astype(np.float64), finite.max(axis=0).astype(np.float64)
    half = (0.5 + _MARGIN) * max(float((high - low).max()), 1e-6)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _at(row: SampleRow, iteration: int) -> tuple[Floats | None, NDArray[np.integer[Any]]]:
    """Samples (n, d) at an iteration and their generators, in an order that favours no generator."""
    at = row.at(iteration)
    if at is None or row.snapshots is None:
        return None, np.empty(0, dtype=np.int64)
    order = np.random.default_rng(0).permutation(row.snapshots.x.shape[1])
    return row.snapshots.x[at][order], row.snapshots.generator[at][order]


def _outside(x: Floats, grid: PointGrid) -> str:
    """Text on the number of samples beyond the axes, if there are more than a few."""
    if not np.isfinite(x).all(axis=1).any():
        return "not finite"
    inside = ((x >= grid.low) & (x <= grid.high)).all(axis=1)  # nan is outside any limits
    share = 1 - float(inside.mean())
    return f"{share:.0%} outside" if share >= 0.005 else ""


def _draw_points(
    ax: Axes, grid: PointGrid, row: SampleRow, x: Floats | None, generator: NDArray[np.integer[Any]]
) -> None:
    dots: dict[str, Any] = {"linewidths": 0, "rasterized": True}  # as vectors in a PDF they would be large
    if grid.real is not None:
        ax.scatter(grid.real[:, 0], grid.real[:, 1], s=1.5, color=palette.REAL, **dots)
    if x is not None:
        colours = np.asarray(palette.generator_colours(row.generators))
        ax.scatter(x[:, 0], x[:, 1], s=2.2, c=colours[generator.clip(0) % row.generators], **dots)


def _draw_histogram(
    ax: Axes, grid: PointGrid, row: SampleRow, x: Floats | None, generator: NDArray[np.integer[Any]]
) -> None:
    """Draw shares of samples per bin, stacked by generator, over those of the real data."""
    bins = np.linspace(float(grid.low[0]), float(grid.high[0]), _BINS + 1)
    if grid.real is not None:
        shares = _shares(grid.real[:, 0], bins, len(grid.real))
        ax.stairs(shares, bins, fill=True, color=palette.REAL)
        ax.set_ylim(0, 1.6 * float(shares.max()))  # the spike of a collapsed model leaves the panel
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
