"""The figure: its content and layout, for any state of the runs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray

from gan_bench.cli.plot import command
from gan_bench.errors import StoreError, UsageError
from gan_bench.report.figures import figures, palette
from gan_bench.report.figures.curves import short, spread
from gan_bench.report.figures.figures import sample_grid
from gan_bench.results.load import read_results, write_results_csv
from tests.support import fabricate
from tests.support.fabricate import HOSTILE, Model, Run
from tests.support.messages import Messages

GAN = Model("GAN")
REAL = Model("real-data", "real-data", anchor=True)
TIMES = np.array([0, 1000, 2000])


def _snapshots(points: NDArray[Any], generators: int = 1) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The same points at three iterations, from generators in turn."""
    x = np.stack([points] * 3).astype(np.float32)
    return TIMES, x, np.tile(np.arange(len(points)) % generators, (3, 1)).astype(np.int16)


def _real(folder: Path, points: NDArray[Any], dataset: str = "ring8") -> None:
    snapshots = (TIMES[:1], points[None].astype(np.float32), np.full((1, len(points)), -1, dtype=np.int16))
    fabricate.run(folder, Run(REAL, dataset=dataset, iteration=0, snapshots=snapshots))


@pytest.fixture
def ring() -> NDArray[np.float64]:
    """64 points of real data."""
    return fabricate.ring(64, np.random.default_rng(0))


@pytest.fixture
def folder(tmp_path: Path, ring: NDArray[np.float64]) -> Path:
    """One model with two seeds, and real data, on the ring."""
    fabricate.benchmark(tmp_path, [GAN, REAL], seeds=[0, 1])
    for seed in (0, 1):
        rows: fabricate.Rows = [(t, None, "symmetric_kl", 8.0 / (1 + t) + seed) for t in (0, 1000, 2000)]
        fabricate.run(tmp_path, Run(GAN, seed, rows=rows, snapshots=_snapshots(ring)))
    _real(tmp_path, ring)
    return tmp_path


def test_png_and_pdf_are_written_beside_the_results(folder: Path) -> None:
    """The defaults are figure.png (200 dpi, a page wide) and figure.pdf, with the same bytes each time."""
    png, pdf = figures.plot(folder)
    assert (png, pdf) == (folder / "figure.png", folder / "figure.pdf")
    assert imread(png).shape[1] == 1440
    assert pdf.read_bytes().startswith(b"%PDF")
    first = png.read_bytes(), pdf.read_bytes()
    figures.plot(folder)
    assert (png.read_bytes(), pdf.read_bytes()) == first


def test_the_output_may_be_a_file_or_a_folder(folder: Path, tmp_path: Path, messages: Messages) -> None:
    """The extension of a file determines its format. Other extensions are refused."""
    assert figures.plot(folder, tmp_path / "a.svg") == [tmp_path / "a.svg"]
    new = tmp_path / "new"
    assert figures.plot(folder, new) == [new / "figure.png", new / "figure.pdf"]
    with messages.raises(UsageError, tmp_path / "a.jpg", ".png, .pdf, .svg"):
        figures.plot(folder, tmp_path / "a.jpg")


def test_several_datasets_make_several_figures(tmp_path: Path, ring: NDArray[np.float64]) -> None:
    """There is one figure per dataset, with its label in the name, without unsafe characters."""
    fabricate.benchmark(tmp_path, [GAN], datasets=["ring8", "a/b c"])
    for dataset in ("ring8", "a/b c"):
        fabricate.run(tmp_path, Run(GAN, dataset=dataset, snapshots=_snapshots(ring)), name=dataset[:1])
    names = [path.name for path in figures.plot(tmp_path)]
    assert names == ["figure-ring8.png", "figure-ring8.pdf", "figure-a_b_c.png", "figure-a_b_c.pdf"]


def test_the_axes_show_the_real_data_for_any_samples(tmp_path: Path, ring: NDArray[np.float64]) -> None:
    """Limits are those of real data. Distant samples are counted as outside, nan as not finite."""
    far, gone = Model("far"), Model("gone")
    fabricate.benchmark(tmp_path, [far, gone, REAL], seeds=[0])
    fabricate.run(tmp_path, Run(far, snapshots=_snapshots(ring * [[1e6, 1.0]])))
    fabricate.run(tmp_path, Run(gone, status="diverged", snapshots=_snapshots(ring * np.nan)))
    _real(tmp_path, ring)
    drawn = figures.figure(read_results(tmp_path), "ring8")
    panels = [ax for ax in drawn.axes if ax.get_aspect() == 1]
    assert len(panels) == 6
    for ax in panels:
        low, high = ax.get_xlim()
        assert low < ring.min() and high > ring.max() and high - low < 2 * np.ptp(ring)
    texts = [text.get_text() for ax in panels for text in ax.texts]
    assert texts.count("100% outside") == 3 and texts.count("not finite") == 3


def test_points_have_their_generators_colour(tmp_path: Path, ring: NDArray[np.float64]) -> None:
    """Each point has the colour of its generator, for any order of drawing."""
    model = Model("M", generators=4)
    fabricate.benchmark(tmp_path, [model], seeds=[0])
    fabricate.run(tmp_path, Run(model, snapshots=_snapshots(ring, 4)))
    drawn = figures.figure(read_results(tmp_path), "ring8")
    (points,) = drawn.axes[0].collections
    offsets, colours = np.asarray(points.get_offsets()), np.asarray(points.get_facecolors())[:, :3]
    expected = palette.generator_colours(4)
    for i, point in enumerate(ring.astype(np.float32)):
        at = int(np.abs(offsets - point).sum(axis=1).argmin())
        assert tuple(colours[at]) == pytest.approx(expected[i % 4])


def test_points_on_a_line_are_histograms(tmp_path: Path) -> None:
    """One-dimensional samples are drawn as shares per bin, stacked by generator, over those of real data."""
    model, x = Model("M", generators=2), np.random.default_rng(0).normal(10, 3, (400, 1))
    fabricate.benchmark(tmp_path, [model, REAL], seeds=[0])
    fabricate.run(tmp_path, Run(model, snapshots=_snapshots(x, 2)))
    _real(tmp_path, x)
    ax = figures.figure(read_results(tmp_path), "ring8").axes[0]
    real, first, second = (patch.get_data() for patch in ax.patches)
    assert real.values.sum() == pytest.approx(1)
    np.testing.assert_allclose(second.values, real.values)  # generated and real samples are equal
    np.testing.assert_allclose(second.baseline, first.values)
    assert first.values.sum() == pytest.approx(0.5)


def test_the_curve_is_the_median_with_its_range(folder: Path) -> None:
    """The line is the median over finished seeds; the band is from the lowest to the highest."""
    drawn = figures.figure(read_results(folder), "ring8", ["symmetric_kl"])
    ax = drawn.axes[-1]
    median = next(line for line in ax.lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(np.asarray(median.get_ydata()), 8 / (1 + TIMES) + 0.5)
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (pytest.approx(8 / 2001), pytest.approx(9.0))
    assert ax.get_yscale() == "log"


def test_a_diverged_run_does_not_flatten_the_others(folder: Path) -> None:
    """Limits are those of finished runs. An unfinished run is a thin line that ends in a cross."""
    other = Model("other")
    fabricate.benchmark(folder, [GAN, other, REAL], seeds=[0, 1])
    rows: fabricate.Rows = [(0, None, "symmetric_kl", 8.0), (1000, None, "symmetric_kl", 1e12)]
    rows += [(1500, None, "symmetric_kl", float("nan"))]
    fabricate.run(folder, Run(other, status="diverged", iteration=1500, rows=rows))
    ax = figures.figure(read_results(folder), "ring8", ["symmetric_kl"]).axes[-1]
    assert ax.get_ylim()[1] < 20
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in crosses] == [([1000], [1e12])]


def test_wasserstein_precedes_sliced_wasserstein(tmp_path: Path) -> None:
    """The exact distance is drawn if available, otherwise the sliced one."""
    for metrics, expected in (
        (("symmetric_kl", "wasserstein", "sliced_wasserstein"), ["symmetric_kl", "wasserstein"]),
        (("symmetric_kl", "sliced_wasserstein"), ["symmetric_kl", "sliced_wasserstein"]),
        (("modes", "high_quality", "purity"), ["modes", "high_quality"]),
    ):
        folder = fabricate.benchmark(tmp_path / expected[0] / expected[1], [GAN], metrics=metrics)
        fabricate.run(folder, Run(GAN, rows=[(0, None, name, 1.0) for name in metrics]))
        drawn = figures.figure(read_results(folder), "ring8")
        assert [ax.get_title(loc="left").split()[0] for ax in drawn.axes] == expected


@pytest.mark.parametrize(
    ("values", "empty"), [([np.nan, np.nan], True), ([np.nan, 1.0], False), ([], True)], ids=["nan", "value", "none"]
)
def test_a_panel_without_a_value_has_an_explanation(
    tmp_path: Path, values: list[float], empty: bool, messages: Messages
) -> None:
    """This also holds for a panel with real data only."""
    fabricate.benchmark(tmp_path, [GAN, REAL], metrics=["purity"])
    fabricate.run(tmp_path, Run(GAN, rows=[(t, None, "purity", value) for t, value in enumerate(values)]))
    fabricate.run(tmp_path, Run(REAL, iteration=0, rows=[(0, None, "purity", 0.5)]))
    (ax,) = figures.figure(read_results(tmp_path), "ring8").axes
    found = [text.get_text() for text in ax.texts if text.get_text() not in ("GAN", "real data")]
    assert len(found) == empty
    for text in found:
        messages.check(text)


def test_hostile_and_many_models_are_drawn(tmp_path: Path, ring: NDArray[np.float64]) -> None:
    """Labels with TeX, HTML or characters that the font lacks, and 32 generators, give no warning."""
    labels = [*HOSTILE, "$x^{", "日本", "W" * 60, *map(str, range(8))]
    models = [Model(label, generators=32 if i == 1 else 3) for i, label in enumerate(labels)]
    fabricate.benchmark(tmp_path, models, seeds=[0])
    for i, model in enumerate(models):
        rows: fabricate.Rows = [(t, None, "symmetric_kl", 1.0 + i) for t in (0, 2000)]
        made = Run(model, rows=rows, snapshots=_snapshots(ring, model.generators))
        fabricate.run(tmp_path, made, name=f"run-{i}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(figures.plot(tmp_path)) == 2


def test_damaged_or_missing_samples_leave_empty_panels(folder: Path) -> None:
    """A run with missing or damaged samples has a row with a message, and the figure is drawn."""
    for seed in (0, 1):
        (folder / f"runs/gan-ring8-{seed}/samples.npz").write_bytes(b"PK\x03\x04 cut off")
    other = Model("other")
    fabricate.benchmark(folder, [GAN, other, REAL])
    fabricate.run(folder, Run(other, snapshots=_snapshots(np.zeros((4, 2)))))
    drawn = figures.figure(read_results(folder), "ring8")
    assert [text.get_text() for text in drawn.axes[0].texts] == ["no samples", "GAN"]


def test_images_have_no_scatter(tmp_path: Path) -> None:
    """For samples of another shape than points, the figure has metrics only."""
    fabricate.benchmark(tmp_path, [GAN])
    snapshots = (TIMES[:1], np.zeros((1, 4, 3, 8, 8), dtype=np.float32), np.zeros((1, 4), dtype=np.int16))
    fabricate.run(tmp_path, Run(GAN, rows=[(0, None, "symmetric_kl", 1.0)], snapshots=snapshots))
    results = read_results(tmp_path)
    assert sample_grid(results, "ring8") is None
    assert len(figures.figure(results, "ring8").axes) == 2


def test_a_csv_alone_gives_the_curves(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From a results.csv, metrics are drawn into its folder."""
    published = tmp_path_factory.mktemp("published")
    (published / "results.csv").write_bytes(write_results_csv(folder).read_bytes())
    assert figures.plot(published / "results.csv", metrics=["symmetric_kl"])[0] == published / "figure.png"


def test_nothing_to_draw_is_an_error(tmp_path: Path, folder: Path, messages: Messages) -> None:
    """There may be no runs yet, or no values of a metric."""
    empty = fabricate.benchmark(tmp_path / "empty", [GAN, REAL])
    with messages.raises(StoreError, empty, "gan-bench run"):
        figures.plot(empty)
    with messages.raises(UsageError, folder, "'symetric_kl'", "'symmetric_kl'"):
        figures.plot(folder, metrics=["symetric_kl"])


def test_settings_of_matplotlib_are_kept(folder: Path) -> None:
    """A figure neither uses nor changes the rcParams of the caller."""
    with matplotlib.rc_context({"font.size": 40.0, "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        figures.plot(folder)
        assert dict(matplotlib.rcParams) == before


def test_the_command(folder: Path, messages: Messages) -> None:
    """`gan-bench plot` prints the written files on stdout, and ignored runs on stderr."""
    (folder / "runs" / "x").mkdir()
    result = CliRunner().invoke(command, [str(folder), "--output", str(folder / "f.png")])
    assert result.stdout == f"{folder / 'f.png'}\n"
    messages.check(result.stderr, "runs/x", "run.json")


def test_the_command_reports_damaged_files(folder: Path) -> None:
    """Each damaged file is reported once, with its run. The figure shows another seed."""
    (folder / "runs/gan-ring8-0/samples.npz").write_bytes(b"PK\x03\x04 cut off")
    (folder / "runs/gan-ring8-1/classes.csv").write_text("no such columns\n")
    result = CliRunner().invoke(command, [str(folder), "--output", str(folder / "f.png")])
    assert (result.exit_code, result.stdout) == (0, f"{folder / 'f.png'}\n")
    samples, classes = result.stderr.splitlines()
    assert "runs/gan-ring8-0 (samples.npz: " in samples
    assert "runs/gan-ring8-1 (classes.csv: " in classes


def test_texts_of_a_figure_are_inside_of_it_and_distinct(
    tmp_path: Path, ring: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Titles, labels and the caption end at the edge; shortened labels of an ablation still differ."""
    metric = "a_metric_with_a_long_name_" * 4
    monkeypatch.setitem(fabricate.METRICS, metric, {"direction": "lower", "unit": "data units"})
    models = [Model(f"WIDE MODEL NUMBER {number} OF A LONG ABLATION") for number in range(3)]
    fabricate.benchmark(tmp_path, models, seeds=[0], metrics=[metric], datasets=["ring8"], name="x" * 80)
    for model in models:
        fabricate.run(tmp_path, Run(model, rows=[(0, None, metric, 1.0)], snapshots=_snapshots(ring)))
    drawn = figures.figure(read_results(tmp_path), "ring8", [metric])
    renderer = FigureCanvasAgg(drawn).get_renderer()
    texts = [*drawn.texts, *(text for ax in drawn.axes for text in (*ax.texts, ax.title, ax._left_title))]  # type: ignore[attr-defined]
    shown = [text for text in texts if text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in shown]
    assert all(box.x0 >= 0 and box.x1 <= drawn.bbox.width for box in boxes)
    ends = [text.get_text() for text in shown if text.get_text().startswith("WIDE") and "\n" not in text.get_text()]
    assert len(set(ends)) == 3


@pytest.mark.parametrize("models", [4, 7, 12])
def test_a_figure_of_many_models_fits_a_page(tmp_path: Path, ring: NDArray[np.float64], models: int) -> None:
    """Panels of more than four models are smaller; those of twelve are the smallest."""
    made = [Model(f"model {number}") for number in range(models)]
    fabricate.benchmark(tmp_path, made, seeds=[0])
    for model in made:
        fabricate.run(tmp_path, Run(model, rows=[(0, None, "symmetric_kl", 1.0)], snapshots=_snapshots(ring)))
    width, height = figures.figure(read_results(tmp_path), "ring8").get_size_inches()
    assert width == 7.2
    assert height < (9.7 if models < 12 else 12)


def test_labels_keep_their_distance_and_order() -> None:
    """Labels move as little as possible: touching ones are placed around their mean, within the axes."""
    assert spread([0.2, 0.8], 0.1) == pytest.approx([0.2, 0.8])
    assert spread([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    assert spread([1.0, 0.98], 0.1) == pytest.approx([1.0, 0.9])
    assert spread([0.0] * 3, 0.2) == pytest.approx([0.0, 0.2, 0.4])
    assert spread([], 0.1) == []
    crowded = spread(np.random.default_rng(0).random(9).tolist(), 0.1)
    assert np.diff(sorted(crowded)).min() >= 0.1 - 1e-12


def test_colours() -> None:
    """Eight generators have the Okabe-Ito colours, more have those of a circle, and 28 models have distinct styles."""
    assert palette.generator_colours(1) == [to_rgb("#0072B2")]
    assert len(set(palette.generator_colours(8))) == 8
    circle = np.asarray(palette.generator_colours(32))
    assert len(np.unique(circle.round(6), axis=0)) == 32
    steps = np.linalg.norm(circle - np.roll(circle, 1, axis=0), axis=1)
    assert steps.max() < 0.35  # no seam between the last and the first
    assert len({(look.colour, look.dashes) for look in map(palette.line, range(28))}) == 28


def test_iterations_are_short() -> None:
    """Tick labels are 0, 500, 2.5k and 25k."""
    assert [short(t) for t in (0, 500, 2500, 25_000)] == ["0", "500", "2.5k", "25k"]
