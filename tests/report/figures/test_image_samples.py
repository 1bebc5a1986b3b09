"""Figures of image runs: a row for each generator, the same latents in every column, exact pixels."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from gan_bench.report.figures import figures
from gan_bench.report.figures.image_samples import ImageGrid
from gan_bench.results.load import read_results
from tests.support import fabricate
from tests.support.fabricate import HOSTILE, Model, Run
from tests.support.messages import Messages

GAN, MGAN = Model("GAN"), Model("MGAN", "mgan", generators=10)
REAL = Model("real-data", "real-data", anchor=True)
TIMES = (0, 1000, 2000)

Snapshots = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def snapshots(generators: int, shape: tuple[int, ...] = (1, 8, 8), times: tuple[int, ...] = TIMES) -> Snapshots:
    """As many images of each generator as runs store, with level 20 × generator + column of the figure."""
    each = max(16, 64 // generators)
    owner = np.repeat(np.arange(generators), each)
    level = 20 * (owner % 10) + np.arange(len(times))[:, None]
    x = np.broadcast_to(level[(..., *[None] * len(shape))], (len(times), len(owner), *shape)).astype(np.uint8)
    return np.asarray(times), x, np.tile(owner, (len(times), 1)).astype(np.int16)


def noise(shape: tuple[int, ...], n: int = 64, times: tuple[int, ...] = TIMES) -> Snapshots:
    """Images of one generator whose pixels all differ."""
    x = np.random.default_rng(0).integers(0, 256, (len(times), n, *shape)).astype(np.uint8)
    return np.asarray(times), x, np.zeros((len(times), n), dtype=np.int16)


def write(folder: Path, models: dict[Model, Snapshots | None], real: NDArray[np.uint8] | None = None) -> Path:
    """A benchmark with one run of each model, and real data."""
    fabricate.benchmark(folder, [*models, REAL], seeds=[0], metrics=("modes",))
    for number, (model, kept) in enumerate(models.items()):
        fabricate.run(folder, Run(model, rows=[(0, None, "modes", 1.0)], snapshots=kept), name=str(number))
    if real is not None:
        kept = np.array([0]), real[None], np.full((1, len(real)), -1, dtype=np.int16)
        fabricate.run(folder, Run(REAL, iteration=0, snapshots=kept))
    return folder


def grid_of(folder: Path) -> ImageGrid:
    """Panels of a benchmark."""
    grid = figures.sample_grid(read_results(folder), "ring8")
    assert isinstance(grid, ImageGrid)
    return grid


def panels(folder: Path) -> list[Any]:
    """All axes of the figure except the curves."""
    return list(figures.figure(read_results(folder), "ring8").axes[:-1])


def shown(ax: Any) -> NDArray[np.uint8]:
    """The mosaic in a panel: (height, width) if it is grey, else (height, width, 3)."""
    (image,) = ax.images
    pixels = np.asarray(image.get_array())
    return pixels[:, :, 0] if (pixels == pixels[:, :, :1]).all() else pixels


class TestRows:
    @pytest.mark.parametrize(("generators", "lines"), [(1, 8), (2, 4), (4, 2), (5, 1), (10, 1), (32, 1)])
    def test_are_the_generators(self, tmp_path: Path, generators: int, lines: int) -> None:
        """A row has eight images of one generator. Few generators have several rows each, in their order."""
        model = Model("M", generators=generators)
        ax = panels(write(tmp_path, {model: snapshots(generators)}))[0]
        step = lines * (32 + 1) - 1 + 3  # 8 × 8 pixels are shown as 32 × 32
        middles = shown(ax)[16::step, 16::33]
        assert middles.shape == (generators, 8)
        np.testing.assert_array_equal(middles, np.repeat(20 * (np.arange(generators) % 10), 8).reshape(-1, 8))
        assert shown(ax).shape == (generators * step - 3, 8 * 33 - 1)
        numbers = [text.get_text() for text in ax.texts]
        assert numbers == ([*map(str, range(generators))] if generators > 1 else []) + ["M"]

    def test_are_of_the_same_latents_in_every_column(self, tmp_path: Path) -> None:
        """Columns are iterations. Images at the same position have the same index in the stored samples."""
        axes = panels(write(tmp_path, {MGAN: snapshots(10)}))
        assert [int(shown(ax)[16, 16]) for ax in axes] == [0, 1, 2]
        assert [ax.get_title() for ax in axes] == ["iteration 0", "1k", "2k"]

    def test_of_too_few_images_end_in_white(self, tmp_path: Path) -> None:
        """A resumed run may have fewer images, and a generator may have none."""
        times, x, owner = snapshots(10)
        ax = panels(write(tmp_path, {MGAN: (times, x[:, :36], owner[:, :36])}))[0]
        middles = shown(ax)[16::35, 16::33]
        assert (middles[:2] < 255).all() and (middles[2] == [40] * 4 + [255] * 4).all() and (middles[3:] == 255).all()

    def test_have_the_height_they_need(self, tmp_path: Path) -> None:
        """Panels do not overlap. A panel with a message only is low."""
        gone, broken = Model("gone"), Model("broken")
        models = {GAN: snapshots(1), MGAN: snapshots(10), gone: None, broken: noise((1, 9, 9))}
        axes = panels(write(tmp_path, models, noise((1, 8, 8))[1][0]))
        boxes = [ax.get_window_extent() for ax in axes]
        assert [text.get_text() for text in axes[6].texts] == ["no samples", "gone"]
        assert [text.get_text() for text in axes[9].texts] == ["no samples", "broken"]
        assert boxes[6].height < boxes[0].height < boxes[3].height
        assert all(a.y0 > b.y1 for a, b in zip(boxes[::3], boxes[3::3], strict=False))

    def test_of_a_run_that_ended_have_a_message(self, tmp_path: Path) -> None:
        """The message is in the panels of iterations that the run did not reach."""
        fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0], metrics=("modes",))
        fabricate.run(tmp_path, Run(GAN, snapshots=snapshots(1)))
        early = tuple(part[:2] for part in snapshots(10))
        fabricate.run(tmp_path, Run(MGAN, status="diverged", iteration=1500, snapshots=(early[0], early[1], early[2])))
        assert [text.get_text() for text in panels(tmp_path)[5].texts] == ["diverged\nat 1,500"]

    def test_are_smaller_if_they_would_not_fit_on_a_page(self, tmp_path: Path) -> None:
        """Seven models of eight generators have images of half the size, but thumbnails of the usual one."""
        folder = write(
            tmp_path, {Model(f"MGAN {n}", "mgan", generators=8): snapshots(8, (1, 28, 28)) for n in range(7)}
        )
        assert (grid_of(folder).shape, grid_of(folder).for_thumbnails.shape) == ((1, 14, 14), (1, 28, 28))
        assert figures.figure(read_results(folder), "ring8").get_figheight() < 8.8
        few = write(
            tmp_path / "few", {Model(f"MGAN {n}", "mgan", generators=8): snapshots(8, (1, 28, 28)) for n in range(4)}
        )
        assert grid_of(few).shape == (1, 28, 28)


class TestRealData:
    def test_continues_from_panel_to_panel(self, tmp_path: Path) -> None:
        """Real images are in full rows below the models, each image once."""
        real = np.arange(64, dtype=np.uint8)[:, None, None, None].repeat(8, axis=2).repeat(8, axis=3)
        axes = panels(write(tmp_path, {GAN: snapshots(1)}, real))
        found = np.concatenate([shown(ax)[16::33, 16::33].ravel() for ax in axes[3:]])
        np.testing.assert_array_equal(found, np.arange(48))

    def test_has_no_thumbnail(self, tmp_path: Path) -> None:
        """Only models have thumbnails."""
        results = read_results(write(tmp_path, {GAN: snapshots(1)}, noise((1, 8, 8))[1][0]))
        assert list(figures.thumbnails(results, "ring8")) == ["GAN"]


class TestPixels:
    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 12), (1, 28, 28), (3, 32, 32), (3, 20, 30), (3, 96, 96)])
    def test_are_exact(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        """The PNG contains each mosaic pixel by pixel, without smoothing."""
        folder = write(tmp_path, {GAN: noise(shape)})
        path = figures.plot(folder, tmp_path / "f.png")[0]
        page = (imread(path)[:, :, :3] * 255).round().astype(np.uint8)
        for ax in panels(folder):
            whole = shown(ax)
            whole = whole if whole.ndim == 3 else whole[:, :, None].repeat(3, axis=2)
            place = ax.get_position()
            left, top = round(place.x0 * page.shape[1]), round((1 - place.y1) * page.shape[0])
            height, width = whole.shape[:2]
            np.testing.assert_array_equal(page[top : top + height, left : left + width], whole)

    @pytest.mark.parametrize(("side", "columns"), [(8, 4), (28, 5), (32, 4), (64, 4), (96, 3)])
    def test_determine_the_number_of_columns(self, tmp_path: Path, side: int, columns: int) -> None:
        """First and last iteration are shown, and all columns are within the page."""
        times = tuple(range(0, 700, 100))
        folder = write(tmp_path, {GAN: noise((1, side, side), 8, times)})
        grid = grid_of(folder)
        assert (len(grid.iterations), grid.iterations[0], grid.iterations[-1]) == (columns, 0, 600)
        assert max(ax.get_position().x1 for ax in panels(folder)) < 1

    def test_of_a_thumbnail_are_those_of_the_last_mosaic(self, tmp_path: Path) -> None:
        """The thumbnail has the size of the mosaic in the figure."""
        folder = write(tmp_path, {MGAN: snapshots(10)})
        page = imread(io.BytesIO(figures.thumbnails(read_results(folder), "ring8")["MGAN"]))[:, :, 0]
        np.testing.assert_array_equal((page[2:-2, 2:-2] * 255).round(), shown(panels(folder)[-1]))


class TestFigure:
    def test_shows_grey_and_coloured_images_only(self, tmp_path: Path) -> None:
        """For two channels, or values that are not uint8, the figure has metrics only."""
        for name, kept in (("two", noise((2, 8, 8))), ("none", noise((1, 8, 8), 0)), ("numbers", snapshots(1))):
            kept = (kept[0], kept[1].astype(np.float32), kept[2]) if name == "numbers" else kept
            folder = write(tmp_path / name, {GAN: kept})
            assert figures.sample_grid(read_results(folder), "ring8") is None
            assert panels(folder) == []

    def test_explains_its_rows(self, tmp_path: Path, messages: Messages) -> None:
        """The caption has the seed, and explains the numbers of generators and real data if there are any."""
        real = noise((1, 8, 8))[1][0]
        for number, (model, kept) in enumerate([(GAN, None), (MGAN, None), (MGAN, real)]):
            folder = write(tmp_path / str(number), {model: snapshots(model.generators)}, kept)
            caption = figures.figure(read_results(folder), "ring8").texts[-1].get_text().splitlines()[0]
            assert ("generators" in caption) is (model is MGAN)
            assert ("real data" in caption) is (kept is not None)
            messages.check(caption, "seed 0")

    def test_takes_hostile_labels_as_text(self, tmp_path: Path) -> None:
        """Labels with TeX or HTML, or of the length of a line, give no warning as PNG and PDF."""
        models = {Model(label, generators=2): snapshots(2) for label in (*HOSTILE, "$x^{", "W" * 60)}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(figures.plot(write(tmp_path, models))) == 2
