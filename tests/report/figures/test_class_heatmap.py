"""Heat maps of classes: their runs, the text of cells, and their place in the figure."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan_bench.report.figures import class_heatmap, figures
from gan_bench.report.figures.class_heatmap import ALL, HeatMap, heat_maps
from gan_bench.results.load import read_results
from tests.support import fabricate
from tests.support.fabricate import HOSTILE, Model, Run
from tests.support.messages import Messages

Shares = Mapping[int | None, Mapping[str, float]]

GAN, MGAN = Model("GAN"), Model("MGAN", "mgan", generators=2)
ONE: Shares = {None: {"3": 0.9, "5": 0.1}, 0: {"3": 0.9, "5": 0.1}}
TWO: Shares = {
    None: {"3": 0.5, "5": 0.46, "(none)": 0.04},
    0: {"3": 0.996, "5": 0.0, "(none)": 0.004},
    1: {"3": 0.0, "5": 0.92, "(none)": 0.08},
}
NOTHING: Mapping[str, float] = {"3": float("nan"), "5": float("nan"), "(none)": float("nan")}


def made(folder: Path, *runs: tuple[Run, Shares]) -> Path:
    """A benchmark of these runs, with shares at their last iteration unless those are empty."""
    models = {run.model.label: run.model for run, _ in runs}
    fabricate.benchmark(folder, models.values(), seeds=[0, 1], metrics=["symmetric_kl"])
    for run, shares in runs:
        path = fabricate.run(folder, run)
        if shares:
            fabricate.classes(path, run.iteration, shares)
    return folder


def panels(folder: Path) -> list[Axes]:
    """Axes of the figure that are not curves."""
    drawn = figures.figure(read_results(folder), "ring8")
    return [ax for ax in drawn.axes if ax.get_xlabel() != "iteration"]


def texts(ax: Axes) -> list[str]:
    """Texts of the cells."""
    return [text.get_text() for text in ax.texts]


class TestHeatMaps:
    def test_have_a_row_for_each_generator_and_for_all(self, tmp_path: Path) -> None:
        (found,) = heat_maps(read_results(made(tmp_path, (Run(MGAN), TWO))), "ring8", {})
        assert (found.rows, found.columns) == (("0", "1", ALL), ("3", "5", "(none)"))
        assert found.shares.tolist() == [[0.996, 0, 0.004], [0, 0.92, 0.08], [0.5, 0.46, 0.04]]

    def test_of_one_generator_have_one_row(self, tmp_path: Path) -> None:
        (found,) = heat_maps(read_results(made(tmp_path, (Run(GAN), ONE))), "ring8", {})
        assert (found.rows, found.shares.tolist()) == (("0",), [[0.9, 0.1]])

    def test_are_of_the_run_whose_samples_are_shown(self, tmp_path: Path) -> None:
        """If no samples are shown, they are of the lowest seed that finished."""
        other: Shares = {None: {"3": 0.0, "5": 1.0}, 0: {"3": 0.0, "5": 1.0}}
        diverged = Run(GAN, 0, status="diverged", iteration=900)
        results = read_results(made(tmp_path, (diverged, ONE), (Run(GAN, 1), other)))
        assert heat_maps(results, "ring8", {})[0].shares.tolist() == [[0, 1]]
        shown = next(placed.run for placed in results.runs if placed.run.seed == 0)
        (found,) = heat_maps(results, "ring8", {"GAN": shown})
        assert (found.shares.tolist(), found.iteration) == ([[0.9, 0.1]], 900)

    def test_are_of_the_last_iteration_that_has_shares(self, tmp_path: Path) -> None:
        folder = made(tmp_path, (Run(GAN), ONE))
        path = next(folder.glob("runs/*"))
        fabricate.classes(path, 500, ONE, after=True)
        fabricate.classes(path, 1500, {None: {"3": 1.0}, 0: {"3": 1.0}}, after=True)
        (found,) = heat_maps(read_results(folder), "ring8", {})
        assert found.iteration == 2000

    def test_are_omitted_if_no_run_stored_shares(self, tmp_path: Path) -> None:
        """Older results have no shares."""
        folder = made(tmp_path, (Run(GAN), {}), (Run(MGAN), {}))
        assert heat_maps(read_results(folder), "ring8", {}) == [] == panels(folder)


class TestFigure:
    def test_has_percentages_in_the_cells(self, tmp_path: Path) -> None:
        """Percentages are rounded. A cell below half a per cent is empty."""
        (ax,) = panels(made(tmp_path, (Run(MGAN), TWO)))
        assert texts(ax) == ["100", "92", "8", "50", "46", "4"]
        assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "all"]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "5", "none"]

    def test_is_darker_where_the_share_is_larger(self, tmp_path: Path) -> None:
        (ax,) = panels(made(tmp_path, (Run(MGAN), TWO)))
        cells = np.asarray(ax.images[0].get_array())[:, :2, :3].sum(axis=2)
        assert cells[0, 0] < cells[1, 1] < cells[2, 0] < cells[0, 1]

    def test_marks_missing_values(self, tmp_path: Path) -> None:
        """Marks are for a generator without samples, a run without shares or with a damaged one, and an early end."""
        folder = made(
            tmp_path,
            (Run(MGAN), {**TWO, 0: NOTHING}),
            (Run(Model("none")), {}),
            (Run(Model("damaged")), ONE),
            (Run(Model("early"), status="diverged", iteration=1200), ONE),
        )
        (folder / "runs/damaged-ring8-0/classes.csv").write_text("iteration\n")
        dead, none, damaged, early = panels(folder)
        assert texts(dead)[:4] == ["?", "?", "?", "92"]
        assert texts(none) == texts(damaged) == ["no shares"]
        assert early.get_title(loc="left") == "early, at 1.2k"

    def test_explains_its_cells(self, tmp_path: Path, messages: Messages) -> None:
        """The caption explains only rows and columns of the figure."""
        two, one = made(tmp_path / "two", (Run(MGAN), TWO)), made(tmp_path / "one", (Run(GAN), ONE))
        captions = [figures.figure(read_results(folder), "ring8").texts[0].get_text() for folder in (two, one)]
        for caption, none in zip(captions, (True, False), strict=True):
            (cells,) = [line for line in caption.splitlines() if "Cells" in line]
            assert ("none: no class" in cells) is none
            messages.check(cells, "iteration 2k")

    def test_places_many_and_hostile_ones_without_overlap(self, tmp_path: Path) -> None:
        """Names with TeX, HTML or many letters, 32 classes and 40 generators fit on the page."""
        names = [*HOSTILE, "$x^{", "W" * 60, *map(str, range(27))]
        shares = dict.fromkeys(names, 1 / 32) | {"(others)": 0.0, "(none)": 0.0}
        labels = [*HOSTILE, "$x^{", "W" * 60]
        each = {generator: shares for generator in (None, *range(40))}
        folder = made(tmp_path, *((Run(Model(label)), each) for label in labels))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figures.plot(folder, folder / "figure.pdf")
        boxes = [ax.get_position() for ax in panels(folder)]
        assert len(boxes) == len(labels)
        assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
        assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))

    def test_titles_end_before_the_next_panel(self) -> None:
        """This holds for the longest label that is not cut and for longer ones, in the font of the figure."""
        labels = ["multi-discriminator MGAN", "multi-discriminator MGAN with more"]
        maps = [HeatMap(label, 0, ("0",), ("3",), np.ones((1, 1))) for label in labels]
        first, second = class_heatmap.place(maps, 7.2)[0]
        figure = Figure(figsize=(7.2, 1))
        for placed in (first, second):
            ax = figure.add_axes((placed.left / 7.2, 0.5, placed.map.width / 7.2, 0.1))
            class_heatmap.draw(ax, placed, 0)
            title = next(t for t in ax.get_children() if getattr(t, "get_text", str)().startswith("multi"))
            right = title.get_window_extent(FigureCanvasAgg(figure).get_renderer()).x1 / figure.dpi
            assert right < placed.left + (second.left - first.left)
        assert figure.axes[0].get_title(loc="left") == labels[0]
        assert figure.axes[1].get_title(loc="left").endswith("with more")

    def test_names_of_columns_do_not_meet(self, tmp_path: Path) -> None:
        """The name of the column of no class fits its cell, next to digits."""
        shares = {**{str(digit): 0.09 for digit in range(10)}, "(none)": 0.1}
        folder = made(tmp_path, (Run(MGAN), {generator: shares for generator in (None, 0, 1)}))
        (ax,) = panels(folder)
        renderer = FigureCanvasAgg(ax.figure).get_renderer()
        boxes = [label.get_window_extent(renderer) for label in ax.get_xticklabels()]
        assert len(boxes) == 11 and not any(first.overlaps(second) for first, second in combinations(boxes, 2))

    @pytest.mark.parametrize("generators", [16, 17])
    def test_has_numbers_if_rows_are_high_enough(self, tmp_path: Path, generators: int) -> None:
        folder = made(tmp_path, (Run(MGAN), {generator: {"3": 1.0} for generator in (None, *range(generators))}))
        (ax,) = panels(folder)
        assert bool(texts(ax)) == (generators == 16)
        assert [label.get_text() for label in ax.get_yticklabels()][-1] == "all"
