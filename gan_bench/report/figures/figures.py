"""The figure of a benchmark, after Figure 2 of the MGAN paper (Hoang et al., ICLR 2018).

Above are samples over iterations, points or mosaics of images. Then follow the classes of each generator, if a metric
distinguishes classes. Below are metrics over iterations with their spread over seeds. The figure is drawn from the run
folders; a results.csv alone only has the metrics.
"""

from __future__ import annotations

import io
import os
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_bench import escape
from gan_bench.errors import StoreError, UsageError
from gan_bench.files import write_atomically
from gan_bench.names import allowed
from gan_bench.report.figures import class_heatmap, curves, palette
from gan_bench.report.figures.class_heatmap import HeatMap, heat_maps
from gan_bench.report.figures.image_samples import image_grid
from gan_bench.report.figures.point_samples import point_grid
from gan_bench.report.figures.sample_grid import DPI, GAP, WIDTH, SampleGrid, SampleRow
from gan_bench.results.load import ANCHORS, StoredResults, read_results
from gan_bench.results.metrics import known_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FORMATS = (".png", ".pdf", ".svg")
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # the one font that matplotlib includes
    "font.size": 7.0,
    "pdf.fonttype": 42,  # TrueType: journals reject Type 3
    "svg.hashsalt": "gan-bench",
    "axes.unicode_minus": False,
}

# Inches. The width is the full page width of most journals.
_WIDTH, _LABELS, _HEAD, _KEY = 7.2, 1.08, 0.2, 0.19
_CURVE_LEFT, _CURVE_RIGHT, _CURVE_ABOVE, _CURVE_BELOW = 0.4, 1.3, 0.28, 0.34
_CAPTION_LINE, _CAPTION_LETTERS = 0.115, 150
_LABEL_LINE = 0.11
_EDGE = 0.01  # of a thumbnail, in inches


def plot(
    source: StoredResults | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    metrics: Sequence[str] | None = None,
) -> list[Path]:
    """Draw stored results, one figure per dataset, and return the files written.

    Args:
        source: a results folder or results.csv, or the return value of `read_results`.
        output: a .png, .pdf or .svg file, or a folder for figure.png and figure.pdf; None for the results
            folder. Several datasets get their labels in the name.
        metrics: curves to draw, in this order; None for symmetric_kl and wasserstein, if results have them.

    Raises StoreError if there is nothing to draw or a file cannot be written, UsageError for an unknown
    metric or kind of file.
    """
    results = source if isinstance(source, StoredResults) else read_results(source)
    targets = _targets(results, output)
    datasets = _datasets(results)
    written = []
    for dataset in datasets:
        with _style():
            drawn = figure(results, dataset, metrics)
            for target in targets:
                path = target if len(datasets) == 1 else _named(target, dataset)
                written.append(write_atomically(path, _encoded(drawn, path.suffix.lower())))
    return written


def figure(results: StoredResults, dataset: str, metrics: Sequence[str] | None = None) -> Figure:
    """Figure of one dataset, independent of pyplot, so that it need not be closed."""
    from matplotlib.figure import Figure

    grid = sample_grid(results, dataset)
    labels = _labels(results, dataset)
    panels = [_panel(results, dataset, name, labels) for name in _metrics(results, metrics)]
    maps = heat_maps(results, dataset, {row.label: row.run for row in grid.rows} if grid else {})
    layout = _Layout.of(grid, maps, len(panels), len(labels), _caption(results, dataset, grid, maps))
    drawn = Figure(figsize=(_WIDTH, layout.height))
    if grid is not None:
        _draw_grid(drawn, layout, grid)
    for each in layout.maps:
        class_heatmap.draw(layout.map_axes(drawn, each), each, max(other.iteration for other in maps))
    for index, panel in enumerate(panels):
        curves.draw(layout.curve_axes(drawn, index), panel)
    drawn.text(
        0.08 / _WIDTH,
        0.05 / layout.height,
        layout.caption,
        fontsize=6,
        color="0.3",
        va="bottom",
        parse_math=False,
    )
    return drawn


def sample_grid(results: StoredResults, dataset: str) -> SampleGrid | None:
    """Samples of a dataset as panels of points or images; None if no stored samples can be drawn."""
    return point_grid(results, dataset) or image_grid(results, dataset)


def thumbnails(results: StoredResults, dataset: str) -> dict[str, bytes]:
    """Last samples of each model that stored any, as a small PNG each, by label."""
    grid = sample_grid(results, dataset)
    if grid is None:
        return {}
    return {row.label: _thumbnail(grid, row, last) for row in grid.rows if (last := row.last) is not None}


def _thumbnail(grid: SampleGrid, row: SampleRow, iteration: int) -> bytes:
    from matplotlib.figure import Figure

    width, height = grid.thumbnail_size(row)
    whole = width + 2 * _EDGE, height + 2 * _EDGE
    with _style():
        panel = Figure(figsize=whole)
        ax = panel.add_axes((_EDGE / whole[0], _EDGE / whole[1], width / whole[0], height / whole[1]))
        grid.draw_panel(ax, row, iteration)
        return _encoded(panel, ".png")


@dataclass(frozen=True)
class _Layout:
    """Positions of all axes, in inches from the top. Every axes is placed, so nothing can overlap.

    All positions are whole pixels, so that a panel for n pixels has exactly n.
    """

    panels: tuple[tuple[float, float], ...]  # width and height of the sample panels in each row
    curve_rows: int
    curve_height: float
    keys: tuple[int, ...]  # numbers of generators, with a legend line for each
    maps: tuple[class_heatmap.Placed, ...]
    maps_height: float
    caption: str

    @classmethod
    def of(cls, grid: SampleGrid | None, maps: Sequence[HeatMap], panels: int, models: int, caption: str) -> _Layout:
        placed, height = class_heatmap.place(maps, _WIDTH - 2 * _EDGE)
        return cls(
            panels=tuple(grid.size(row) for row in grid.drawn_rows) if grid else (),
            curve_rows=-(-panels // 2),
            curve_height=max(1.75, 0.125 * (models + 1)),
            keys=grid.keys if grid else (),
            maps=tuple(placed),
            maps_height=height,
            caption=caption,
        )

    @property
    def grid_height(self) -> float:
        below = _KEY * len(self.keys) or 0.05
        return self._top(len(self.panels)) + below if self.panels else 0.0

    @property
    def height(self) -> float:
        curve = _CURVE_ABOVE + self.curve_height + _CURVE_BELOW
        caption = 0.1 + _CAPTION_LINE * (self.caption.count("\n") + 1)
        return _whole(self.grid_height + self.maps_height + self.curve_rows * curve + caption)

    def _top(self, row: int) -> float:
        return _HEAD + sum(height + GAP for _, height in self.panels[:row])

    def axes(self, figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - _whole(top) - _whole(height)
        return figure.add_axes(
            (_whole(left) / _WIDTH, bottom / self.height, _whole(width) / _WIDTH, _whole(height) / self.height)
        )

    def sample_axes(self, figure: Figure, row: int, column: int) -> Axes:
        width, height = self.panels[row]
        return self.axes(figure, _LABELS + column * (width + GAP), self._top(row), width, height)

    def map_axes(self, figure: Figure, placed: class_heatmap.Placed) -> Axes:
        width = placed.map.width if placed.map.columns else placed.width
        return self.axes(figure, placed.left, self.grid_height + placed.top, width, placed.map.height)

    def curve_axes(self, figure: Figure, index: int) -> Axes:
        row, column = divmod(index, 2)
        step = _CURVE_ABOVE + self.curve_height + _CURVE_BELOW
        left, width = column * _WIDTH / 2 + _CURVE_LEFT, _WIDTH / 2 - _CURVE_LEFT - _CURVE_RIGHT
        top = self.grid_height + self.maps_height + row * step + _CURVE_ABOVE
        return self.axes(figure, left, top, width, self.curve_height)


def _draw_grid(figure: Figure, layout: _Layout, grid: SampleGrid) -> None:
    for r, row in enumerate(grid.drawn_rows):
        for c, iteration in enumerate(grid.iterations):
            ax = layout.sample_axes(figure, r, c)
            grid.draw_panel(ax, row, iteration)
            if r == 0:
                title = f"iteration {curves.short(iteration)}" if c == 0 else curves.short(iteration)
                ax.set_title(title, fontsize=6.5, pad=2.5)
            if c == 0:
                grid.mark(ax, row)
                _name_row(ax, row, grid.indent)
    for index, generators in enumerate(layout.keys):
        top = layout.grid_height - _KEY * (len(layout.keys) - index)
        _draw_key(layout.axes(figure, _LABELS, top, WIDTH, _KEY), generators)


def _name_row(ax: Axes, row: SampleRow, indent: float) -> None:
    """Write the model's label, left of its first panel and of the text in the indent."""
    letters = round(19 * (1 - indent))
    lines = max(1, min(4, int(ax.bbox.height / ax.figure.dpi / _LABEL_LINE)))
    label = escape.shortened(escape.one_line(row.label), (letters - 3) * lines)
    room = _LABELS - 0.08 - indent
    name = "\n".join(curves.fitted(line, 6.5, room) for line in textwrap.wrap(label, letters)[: lines + 1])
    ax.annotate(
        name,
        (0, 0.5),
        xytext=(-72 * (0.057 + indent), 0),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=6.5,
        parse_math=False,
    )


def _whole(inches: float) -> float:
    """Round to whole pixels."""
    return round(inches * DPI) / DPI


def _draw_key(ax: Axes, generators: int) -> None:
    """Draw the legend of generator colours below the samples; the axes' units are inches."""
    step = min(0.28, (WIDTH - 0.8) / generators)
    ax.set(xlim=(0, WIDTH), ylim=(0, 1))
    ax.axis("off")
    ax.text(0, 0.5, "generator", fontsize=6, va="center")
    for k, colour in enumerate(palette.generator_colours(generators)):
        ax.plot(0.62 + k * step, 0.53, "o", color=colour, markersize=3.5)
        if step == 0.28 or k == generators - 1:
            ax.text(0.67 + k * step, 0.5, str(k), fontsize=6, va="center")


def _labels(results: StoredResults, dataset: str) -> list[str]:
    """Models of a dataset without anchors, in the order of the benchmark."""
    if results.benchmark is not None:
        return [entry.label for entry in results.benchmark.models if not entry.anchor]
    frame = results.frame
    rows = frame[(frame["dataset"] == dataset) & ~frame["model"].isin(ANCHORS)]
    return [str(label) for label in rows["label"].unique()]


def _panel(results: StoredResults, dataset: str, name: str, labels: Sequence[str]) -> curves.Panel:
    return curves.panel(results, dataset, name, known_metrics(results)[name], labels)


def _metrics(results: StoredResults, metrics: Sequence[str] | None) -> list[str]:
    """The requested metrics, or symmetric_kl and a Wasserstein distance, or the benchmark's first two."""
    known = known_metrics(results)
    for name in metrics or ():
        if name not in known:
            raise UsageError(f"{results.source}: there is no metric {name!r}. {allowed(name, known)}")
    if metrics:
        return list(dict.fromkeys(metrics))
    distance = "wasserstein" if "wasserstein" in known else "sliced_wasserstein"
    return [name for name in ("symmetric_kl", distance) if name in known] or list(known)[:2]


def _datasets(results: StoredResults) -> list[str]:
    """Datasets with anything to draw. Raises StoreError if there are no such datasets."""
    measured = results.frame.loc[~results.frame["model"].isin(ANCHORS)]
    found = [str(label) for label in measured["dataset"].unique()]
    if not found:
        raise StoreError(f"{results.source}: there is no run to plot yet. Start one with `gan-bench run`.")
    return found


def _caption(results: StoredResults, dataset: str, grid: SampleGrid | None, maps: Sequence[HeatMap]) -> str:
    """Explanation of the marks, worded for a paper."""
    frame = results.frame[results.frame["dataset"] == dataset]
    seeds = frame.loc[~frame["model"].isin(ANCHORS), "seed"].nunique()
    lines = [f"Lines: median over the finished seeds (of {seeds}); bands: minimum to maximum."]
    if (frame["status"] != "finished").any():
        lines[0] += " Thin lines that end in a cross: runs that did not finish."
    if grid is not None:
        shown = sorted({row.run.seed for row in grid.rows if row.snapshots is not None})
        which = f"seed{'s' if len(shown) > 1 else ''} {', '.join(map(str, shown))}"
        lines.insert(0, grid.caption(which))
    if maps:
        lines.insert(len(lines) - 1, class_heatmap.caption(maps))
    names = (escape.shortened(escape.one_line(text), 60) for text in (_name(results), dataset))
    lines[0] = f"{', '.join(names)}. {lines[0]}"
    return "\n".join(part for line in lines for part in textwrap.wrap(line, _CAPTION_LETTERS))


def _name(results: StoredResults) -> str:
    return results.benchmark.name if results.benchmark else str(results.frame["benchmark"].iloc[0])


def _targets(results: StoredResults, output: str | os.PathLike[str] | None) -> list[Path]:
    """Files to write, before labels of datasets are inserted into their names."""
    home = results.source if results.source.is_dir() else results.source.parent
    path = home if output is None else Path(output)
    if not path.is_dir() and path.suffix.lower() in FORMATS:
        return [path]
    if not path.is_dir() and path.suffix:
        raise UsageError(f"{path}: the output must be a folder or a file ({', '.join(FORMATS)}), found {path.suffix}.")
    return [path / "figure.png", path / "figure.pdf"]


def _named(path: Path, dataset: str) -> Path:
    return path.with_name(f"{path.stem}-{re.sub(r'[^A-Za-z0-9._-]+', '_', dataset)}{path.suffix}")


@contextmanager
def _style() -> Iterator[None]:
    """Apply our settings of matplotlib within a context; the user's settings are restored afterwards."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # A label may contain any character; one that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _encoded(figure: Figure, suffix: str) -> bytes:
    """Bytes of the file, identical for identical figures: without dates and versions."""
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}[suffix]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix[1:], dpi=DPI, metadata=metadata)
    return buffer.getvalue()
