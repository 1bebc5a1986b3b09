"""Images over iterations: mosaics with a row for each generator, from the same latents in every panel of a row.

After figures 3 and 5 of the MGAN paper (Hoang et al., ICLR 2018). Images are scaled by whole numbers only, up or
down, so that pixels stay exact. They are smaller if many models with many generators would not fit on a page.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from gan_bench.report.figures import mosaic, sample_grid
from gan_bench.report.figures.mosaic import Pixels
from gan_bench.report.figures.sample_grid import COLUMNS, DPI, GAP, WIDTH, SampleGrid, SampleRow
from gan_bench.results.load import StoredResults
from gan_bench.results.stored_run import Snapshots

if TYPE_CHECKING:
    from matplotlib.axes import Axes


PER_ROW = 8
_LEAST, _MOST = 32, 48  # pixels of an image's longer side in a figure
_SMALLEST = 14  # the same, if there are many rows
_ALL_ROWS = 5.7  # largest height of all rows in inches, if images are not smaller than _SMALLEST
_INDENT, _EMPTY = 0.12, 0.25  # inches
_FEW_ROWS = 4  # largest number of models with as many rows of images each as columns


@dataclass(frozen=True)
class ImageGrid(SampleGrid):
    """Grid of samples that are images.

    Attributes:
        original: shape of one image, (C, H, W).
        by: factor by which images are scaled in the figure.
        real: held-out real data, None if no anchor stored any.
    """

    original: tuple[int, ...]
    by: float
    real: SampleRow | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W), in pixels of the figure."""
        return mosaic.scaled(np.zeros((1, *self.original), dtype=np.uint8), self.by).shape[1:]

    @property
    def height(self) -> float:
        """Height of all rows in inches."""
        return sum(self.size(row)[1] + GAP for row in self.drawn_rows) - GAP

    @property
    def for_thumbnails(self) -> ImageGrid:
        """Grid with images of the size that a few rows have."""
        return replace(self, by=_scales(self.original)[0])

    @property
    def drawn_rows(self) -> tuple[SampleRow, ...]:
        """Models, then real data."""
        return self.rows if self.real is None else (*self.rows, self.real)

    @property
    def indent(self) -> float:
        """Indent for the numbers of generators, in inches."""
        return _INDENT if any(row.generators > 1 for row in self.rows) else 0.0

    def size(self, row: SampleRow) -> tuple[float, float]:
        """Width and height of its mosaic; a row with only a message is low."""
        width, height = mosaic.mosaic_size(self.shape, [self._lines(row)] * row.generators, PER_ROW)
        return width / DPI, _EMPTY if row.snapshots is None else height / DPI

    def draw_panel(self, ax: Axes, row: SampleRow, iteration: int) -> None:
        """Draw one mosaic, pixel by pixel if the panel has its size."""
        groups = self._groups(row, iteration)
        if groups is None:
            sample_grid.frame(ax)
            sample_grid.draw_absence(ax, row, iteration)
            return
        ax.axis("off")
        if any(len(group) for group in groups):
            whole = mosaic.mosaic([mosaic.scaled(group, self.by) for group in groups], PER_ROW)
            colours = whole if whole.ndim == 3 else np.stack([whole] * 3, axis=2)  # a colour map of greys would round
            ax.imshow(colours, interpolation="none", aspect="auto")

    def mark(self, ax: Axes, row: SampleRow) -> None:
        """Write the number of each generator, left of its images."""
        for k in range(row.generators if row.generators > 1 and row.snapshots is not None else 0):
            at = 1 - (k + 0.5) / row.generators
            ax.text(-0.02, at, str(k), ha="right", va="center", fontsize=5, color="0.3", transform=ax.transAxes)

    def caption(self, which: str) -> str:
        """Description of a row."""
        text = f"Images: samples of {which}, from the same latents at every iteration"
        if self.indent:
            text += "; numbers on the left: generators"
        return text + ("; last row: held-out real data." if self.real is not None else ".")

    def _lines(self, row: SampleRow) -> int:
        """Number of rows of images for each generator: one, or more for few generators."""
        if row is self.real:
            return max(
                1, len(_images(row, 0)) // (PER_ROW * len(self.iterations))
            )  # full rows, with fewer images if necessary
        return max(1, (PER_ROW if len(self.rows) <= _FEW_ROWS else PER_ROW // 2) // row.generators)

    def _groups(self, row: SampleRow, iteration: int) -> list[Pixels] | None:
        """Images of each generator, equally many; real data continue from panel to panel. None without samples."""
        each = PER_ROW * self._lines(row)
        if row is self.real:
            first = each * self.iterations.index(iteration)
            part = _images(row, 0)[first : first + each]
            return [mosaic.filled(part, each) if len(part) else part]
        at = row.at(iteration)
        if at is None or row.snapshots is None:
            return None
        x, generator = _images(row, at), row.snapshots.generator[at].clip(0)
        return [mosaic.filled(x[generator == k], each) for k in range(row.generators)]


def image_grid(results: StoredResults, dataset: str) -> ImageGrid | None:
    """Grid of a dataset's samples; None unless they are images, grey or of three colours."""
    rows = sample_grid.sample_rows(results, dataset, _drawable)
    if not rows:
        return None
    shape = _common_shape(rows)
    rows = tuple(row if _shape(row) == shape else replace(row, snapshots=None) for row in rows)
    real = [row for row in sample_grid.real_rows(results, dataset, _drawable) if _shape(row) == shape]
    found = (_grid(rows, shape, by, real[0] if real else None) for by in _scales(shape))
    return min(found, key=lambda grid: max(grid.height, _ALL_ROWS))  # the first that fits


def _grid(rows: tuple[SampleRow, ...], shape: tuple[int, ...], by: float, real: SampleRow | None) -> ImageGrid:
    """Grid with as many iterations as fit into the width."""
    alone = ImageGrid(rows, (), shape, by, real)
    width = mosaic.mosaic_size(alone.shape, [1], PER_ROW)[0] / DPI
    columns = max(1, min(COLUMNS, int((WIDTH + GAP) / (width + GAP))))
    return replace(alone, iterations=sample_grid.common_iterations(rows, columns))


def _scales(shape: tuple[int, ...]) -> list[float]:
    """Factors by which images may be scaled, the largest first."""
    side = max(shape[1:])
    usual = mosaic.scale(side, _LEAST, _MOST)
    smaller = [*range(int(usual) - 1, 0, -1), *(1 / n for n in range(max(2, round(1 / usual) + 1), side))]
    return [usual, *(by for by in smaller if side * by >= _SMALLEST)]


def _drawable(found: Snapshots) -> bool:
    return found.x.dtype == "uint8" and found.x.ndim == 5 and found.x.shape[2] in mosaic.CHANNELS and found.x.size > 0


def _shape(row: SampleRow) -> tuple[int, ...] | None:
    return None if row.snapshots is None else row.snapshots.x.shape[2:]


def _common_shape(rows: tuple[SampleRow, ...]) -> tuple[int, ...]:
    return Counter(snapshots.x.shape[2:] for snapshots in sample_grid.kept(rows)).most_common(1)[0][0]


def _images(row: SampleRow, at: int) -> Pixels:
    assert row.snapshots is not None  # guaranteed by the caller
    return cast(Pixels, row.snapshots.x[at])
