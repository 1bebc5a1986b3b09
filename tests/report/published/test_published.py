"""Published figures: what the zoo's file says, what a wrong file is answered with, and how they stand beside ours."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gan_bench_zoo
import pandas as pd
import pytest

import gan_bench
from gan_bench.config.load import load_benchmark
from gan_bench.config.source import open_source
from gan_bench.errors import PluginError, UsageError
from gan_bench.plugins import discovery
from gan_bench.plugins.discovery import load_plugins
from gan_bench.report.published import load as literature
from gan_bench.report.published.formats import render
from gan_bench.report.published.load import CLAIM, COLUMNS, RERUN, data_of, read_figures, to_frame
from gan_bench.report.published.side_by_side import NOTHING, PublishedComparison, published_comparison
from gan_bench.report.tables import build as tables
from gan_bench.report.tables.formats import MISSING
from gan_bench.results.load import read_results
from tests.support import fabricate
from tests.support.fabricate import Model, Run

ZOO = Path(gan_bench_zoo.__file__).with_name("published.csv")
GOOD = {
    "system": "mgan", "name": "MGAN", "params": "", "dataset": "ring8", "metric": "modes", "measure": "modes",
    "direction": "higher", "value": "8.0", "spread": "0.25", "spread_is": "std over runs", "n": "10", "samples": "2500",
    "printed": "8.00±0.25", "protocol": "longer", "source": "Somebody, 2020", "quoted_by": "", "kind": CLAIM,
    "verified": "yes",
}  # fmt: skip
RING8 = """
@hookimpl
def gan_bench_datasets():
    from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
    return [Ring8]
"""
GAN, MGAN = Model("GAN"), Model("MGAN", "mgan")


def write(path: Path, *rows: Mapping[str, str], columns: tuple[str, ...] = tuple(COLUMNS)) -> Path:
    """A file of figures; each row says what it has otherwise than `GOOD`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({**GOOD, **row} for row in rows)
    return path


@pytest.fixture(scope="module")
def zoo() -> pd.DataFrame:
    """The figures of the zoo."""
    return to_frame(read_figures(ZOO))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a plugin of figures.csv and two metrics, and none installed; the path of the file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(discovery, "_installed", lambda registry: [])
    (tmp_path / "plugins").mkdir()
    path = tmp_path / "plugins" / "figures.csv"
    text = "from pathlib import Path\nfrom gan_bench import hookimpl\n@hookimpl\ndef gan_bench_published():\n"
    metrics = "@hookimpl\ndef gan_bench_metrics():\n    from gan_bench_zoo.metrics.modes import HighQuality, Modes\n"
    text += f"    return [Path({str(path)!r})]\n{metrics}    return [HighQuality, Modes]\n"
    path.with_suffix(".py").write_text(text, encoding="utf-8")
    return path


def figure(zoo: pd.DataFrame, **where: str) -> Any:
    """The one figure with these cells."""
    (found,) = zoo[(zoo[list(where)] == pd.Series(where)).all(axis=1)].itertuples()
    return found


MGAN_TABLE_1 = """
    Real data: 11.24±0.16 26.08±0.26 25.78±0.47
    WGAN: 3.82±0.06 - -
    MIX+WGAN: 4.04±0.07 - -
    Improved-GAN: 4.36±0.04 - -
    ALI: 5.34±0.05 - -
    BEGAN: 5.62 - -
    MAGAN: 5.67 - -
    GMAN: 6.00±0.19 - -
    DCGAN: 6.40±0.05 7.54 7.89
    DFM: 7.72±0.13 8.51±0.13 9.18±0.13
    D2GAN: 7.15±0.07 7.98 8.25
    MGAN: 8.33±0.10 9.22±0.11 9.32±0.10
"""
"""Inception scores on CIFAR-10, STL-10 and ImageNet, typed from the paper."""

MGAN_TABLE_2 = {"DCGAN": 37.7, "DCGAN + TTUR": 36.9, "WGAN-GP": 29.3, "WGAN-GP + TTUR": 24.8, "MGAN": 26.7}
"""FID on CIFAR-10; the first with the decimal point that our copy of the paper lost."""

VEEGAN_TABLE_1 = {
    "GAN": (1, 99.3, 3.3, 0.5, 1.6, 2.0),
    "ALI": (2.8, 0.13, 15.8, 1.6, 3, 5.4),
    "Unrolled GAN": (7.6, 35.6, 23.6, 16, 0, 0.0),
    "VEEGAN": (8, 52.9, 24.6, 40, 5.5, 28.29),
}
"""Modes and high-quality percentage of ring, grid and the mixture in 1200 dimensions."""

PACGAN_TABLE_1 = """
    GAN: 6.3±0.5 98.2±0.2 0.45±0.09 17.3±0.8 94.8±0.7 0.70±0.07
    ALI: 6.6±0.3 97.6±0.4 0.36±0.04 24.1±0.4 95.7±0.6 0.14±0.03
    PacGAN2: 7.9±0.1 95.6±2.0 0.07±0.03 23.8±0.7 91.3±0.8 0.13±0.04
    PacGAN3: 7.8±0.1 97.7±0.3 0.10±0.02 24.6±0.4 94.2±0.4 0.06±0.02
    PacGAN4: 7.8±0.1 95.9±1.4 0.07±0.02 24.8±0.2 93.6±0.6 0.04±0.01
"""
"""Modes, high-quality percentage and reverse KL of ring and grid, with standard errors over ten runs."""


VEEGANS = "stacked-mnist; variant=veegan"
"""The fixed images of stacked MNIST."""


def typed(table: str) -> dict[str, list[str]]:
    """The cells of a table that was typed in, by its first column."""
    lines = (line.strip().split(": ") for line in table.strip().splitlines())
    return {name: cells.split() for name, cells in lines}


def told(value: float, spread: float, factor: float = 1) -> tuple[float, float]:
    """Rounded, because percents are stored as shares."""
    return round(value * factor, 6), -1 if math.isnan(spread) else round(spread * factor, 6)


def cell(text: str) -> tuple[float, float]:
    """``8.33±0.10`` as two numbers, -1 for no spread."""
    value, _, spread = text.partition("±")
    return float(value), float(spread or -1)


class TestTheZoosFile:
    def test_is_valid_and_loaded(self, zoo: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every row is right, and `gan_bench.published` returns them all."""
        monkeypatch.chdir(tmp_path)
        found = gan_bench.published()
        assert list(found.columns) == list(COLUMNS)
        pd.testing.assert_frame_equal(found, zoo)

    def test_metrics_and_datasets_are_ours_or_none(self, zoo: pd.DataFrame) -> None:
        """A metric or dataset that is named exists; directions agree, and so do parameters and the sizes of values."""
        registry = load_plugins(kinds=("metrics", "datasets"))
        metrics, datasets = registry.all("metrics"), registry.all("datasets")
        same = zoo[zoo["metric"] != ""]
        assert {"modes", "high_quality", "mode_kl", "inception_score", "fid", "kid"} == set(same["metric"])
        assert all(metrics[row.metric].direction == row.direction for row in same.itertuples())
        assert {name for name in zoo["dataset"] if re.match("ring|grid", name)} <= set(datasets)
        for name, params in map(data_of, same["dataset"].unique()):
            defaults = datasets[name].Params()
            assert all(type(value)(getattr(defaults, key)) != value for key, value in params.items()), name
        assert same.loc[same["metric"] == "high_quality", "value"].between(0, 1).all()

    def test_systems_are_called_as_in_the_zoo(self, zoo: pd.DataFrame) -> None:
        """Every name is a model's, or a system's that the zoo names, or one of these that it does not know."""
        registry = load_plugins(kinds=("models",))
        known = {*registry.all("models"), *registry.unimplemented()}
        others = {"stackelberg-gan", "ssgan", "infomax-gan", "lsgan", "dragan", "megan"}
        assert set(zoo["system"]) - known <= others

    def test_values_are_what_is_printed(self, zoo: pd.DataFrame) -> None:
        """Value and spread are the numbers of the printed cell; those read off a figure say so."""
        for row in zoo.itertuples():
            numbers = [float(each) for each in re.findall(r"\d+(?:\.\d+)?", row.printed)]
            factor = 100 if "%" in row.printed else 1
            if row.measure == "modes in the figure, by eye" or row.printed == "377":
                continue
            shown = [row.value * factor] + ([] if math.isnan(row.spread) else [row.spread * factor])
            assert numbers == pytest.approx(shown), row

    def test_every_row_of_mgans_first_table(self, zoo: pd.DataFrame) -> None:
        """Inception scores, and the two systems that were trained at 32×32 where the others are at 48×48."""
        scores = zoo[(zoo["measure"] == "Inception score")]
        for name, cells in typed(MGAN_TABLE_1).items():
            stl = "stl10-32" if name in ("DCGAN", "D2GAN") else "stl10"
            mine = scores[(scores["name"] == name) & (scores[["source", "quoted_by"]] == T1).any(axis=1)]
            expected = {each: cell(text) for each, text in zip(("cifar10", stl, "imagenet32"), cells, strict=True)
                        if text != "-"}  # fmt: skip
            assert {row.dataset: told(row.value, row.spread) for row in mine.itertuples()} == expected
            assert set(mine.loc[mine["dataset"] != "stl10-32", "metric"]) == {"inception_score"}

    def test_every_row_of_mgans_second_table(self, zoo: pd.DataFrame) -> None:
        """FID; 377 is told as what it must be, with the reason."""
        table = zoo[(zoo[["source", "quoted_by"]] == T2).any(axis=1)]
        assert dict(zip(table["name"], table["value"], strict=True)) == MGAN_TABLE_2
        assert set(table["metric"]) == {"fid"}
        assert figure(table, name="DCGAN").printed == "377"
        assert "decimal point" in figure(table, name="DCGAN").protocol

    def test_veegans_table(self, zoo: pd.DataFrame) -> None:
        """Ring, grid and 1200 dimensions, the mean of five runs without any spread."""
        table = zoo[zoo["source"].str.contains("VEEGAN") & zoo["source"].str.contains("Table 1")]
        assert len(table) == 24 and set(table["n"]) == {5} and table["spread"].isna().all()
        for name, numbers in VEEGAN_TABLE_1.items():
            for i, dataset in enumerate(("ring8-veegan", "grid25", "mixture-1200d")):
                mine = table[(table["name"] == name) & (table["dataset"] == dataset)].set_index("measure")["value"]
                shown = (mine["modes captured"], mine["high quality samples"] * 100)
                assert shown == pytest.approx(numbers[2 * i : 2 * i + 2])

    def test_pacgans_table(self, zoo: pd.DataFrame) -> None:
        """Ring and grid with standard errors over ten runs; what it says of others is a re-run."""
        table = zoo[zoo["source"].str.contains("PacGAN") & zoo["source"].str.contains("Table 1")]
        assert set(table["spread_is"]) == {"standard error over runs"} and set(table["n"]) == {10}
        for name, cells in typed(PACGAN_TABLE_1).items():
            mine = table[table["name"] == name]
            found = {(row.dataset, row.metric): (row.value, row.spread) for row in mine.itertuples()}
            where = [(dataset, metric) for dataset in ("ring8-veegan", "grid25") for metric in METRICS]
            for place, text in zip(where, cells, strict=True):
                factor = 100 if place[1] == "high_quality" else 1
                assert told(*found[place], factor) == cell(text)
            assert set(mine["kind"]) == {CLAIM if name.startswith("Pac") else RERUN}

    @pytest.mark.parametrize(
        ("where", "value", "spread"),
        [
            ({"name": "PacDCGAN2", "measure": "modes by a classifier", "dataset": VEEGANS}, 1000, 0),
            ({"name": "PacDCGAN4", "measure": "KL of modes by a classifier", "dataset": VEEGANS}, 0.07, 0.005),
            ({"name": "VEEGAN", "measure": "modes by a classifier"}, 150, None),
            ({"name": "Unrolled GAN, 10 steps; D of 1/2 the size of G", "direction": "higher"}, 817.4, 37.91),
            ({"name": "PacDCGAN3; D of 1/4 the size of G", "measure": "KL of modes by a classifier"}, 2.0, 0.17),
            ({"name": "MGAN, released code"}, 7.0, None),
            ({"name": "MGAN, official code", "measure": "Inception score"}, 7.52, 0.1),
            ({"name": "MGAN", "dataset": "stl10; size=96"}, 9.79, 0.08),
            ({"name": "SNGAN", "dataset": "cifar10", "measure": "KID"}, 0.0125, 0.0001),
        ],
    )  # fmt: skip
    def test_anchors(self, zoo: pd.DataFrame, where: dict[str, str], value: float, spread: float | None) -> None:
        """A few figures of every other source."""
        found = figure(zoo, **where)
        assert found.value == value
        assert math.isnan(found.spread) if spread is None else found.spread == spread

    def test_an_inception_metric_is_ours_for_as_many_samples_only(self, zoo: pd.DataFrame) -> None:
        """50,000, or not said; against training images, by the score's own network."""
        ours = zoo[zoo["metric"].isin(["inception_score", "fid", "kid"])]
        assert set(ours["samples"].dropna()) == {50_000}
        assert not ours["protocol"].str.contains("10,000 test images|another implementation").any()
        assert set(ours["dataset"]) == {"cifar10", "stl10", "stl10; size=96", "imagenet32"}

    def test_dcgan_is_our_gan_on_its_networks(self, zoo: pd.DataFrame) -> None:
        """Its figures stand beside the rows of that model."""
        assert set(zoo.loc[zoo["name"].str.startswith("DCGAN"), "system"]) == {"gan", "ttur"}

    def test_no_figure_is_from_memory(self, zoo: pd.DataFrame) -> None:
        """Every built-in figure was read in its source or in a quotation."""
        assert not zoo["protocol"].str.contains("memory").any()

    def test_unnamed_quotations_are_not_verified(self, zoo: pd.DataFrame) -> None:
        """Figures from a quotation without a name are marked; all others name the place where they were read."""
        doubtful = zoo["protocol"].str.contains("quotation only") | zoo["quoted_by"].str.contains("quotation")
        assert (zoo["verified"] == ~doubtful).all()

    def test_ships_with_the_package(self) -> None:
        """The file stands beside the modules, where a wheel takes it along."""
        assert [path for path, _ in load_plugins(kinds=("published",)).published] == [ZOO]


T1, T2 = "Hoang et al., ICLR 2018 (MGAN), Table 1", "Hoang et al., ICLR 2018 (MGAN), Table 2"
METRICS = ("modes", "high_quality", "mode_kl")


class TestWrongFiles:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"system": " "}, "system is empty."),
            ({"source": ""}, "source is empty."),
            ({"value": ""}, "value is empty."),
            ({"value": "8,33"}, "value is '8,33'; a number such as 8.33."),
            ({"value": "nan"}, "value is 'nan'"),
            ({"value": "١٢"}, "value is '١٢'"),
            ({"value": "1e999"}, "value is '1e999'"),
            ({"spread": "-1"}, "spread is -1; it cannot be negative."),
            ({"spread": ""}, "spread and spread_is belong together"),
            ({"spread_is": ""}, "spread and spread_is belong together"),
            ({"spread_is": "std"}, "spread_is is 'std'; .*std over runs"),
            ({"dataset": "stl10; size"}, "dataset is 'stl10; size'; a name, and plain values"),
            ({"dataset": "stl10; size=9; size=6"}, "dataset is 'stl10; size=9; size=6'; a name, and plain values"),
            ({"n": "0"}, "n is '0'; a whole number from 1, or nothing."),
            ({"samples": "2.5"}, "samples is '2.5'"),
            ({"samples": "²"}, "samples is '²'"),
            ({"direction": "up"}, "direction is 'up'; known: higher, lower, none."),
            ({"kind": "papers"}, "kind is 'papers'; did you mean 'paper'?"),
            ({"verified": "maybe"}, "verified is 'maybe'; known: no, yes."),
            ({}, "the same system, name, .* as in line 2"),
        ],
    )
    def test_a_wrong_row_is_named_with_its_line(self, tmp_path: Path, changes: dict[str, str], message: str) -> None:
        """File, line, what was found and what is allowed."""
        path = write(tmp_path / "f.csv", {}, changes)
        with pytest.raises(PluginError, match=rf"f\.csv:3: {message}"):
            read_figures(path)

    def test_all_wrong_rows_are_told_at_once(self, tmp_path: Path) -> None:
        """The first ten of them."""
        path = write(tmp_path / "f.csv", *[{"name": str(i), "value": "x"} for i in range(12)])
        with pytest.raises(PluginError, match=r"f\.csv:2: ") as raised:
            read_figures(path)
        assert str(raised.value).count("value is 'x'") == 10
        assert str(raised.value).endswith("… and 2 more.")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "f.csv:1: a column is missing: system, name"),
            (",".join(COLUMNS).replace("kind", "kinds").encode(), "f.csv:1: there is no column 'kinds'; did you mean"),
            (",".join([*COLUMNS, "kind"]).encode(), "f.csv:1: a column stands twice."),
            (",".join(COLUMNS).encode() + b"\na,b\n", "f.csv:2: 2 cells under 18 columns"),
            (",".join(COLUMNS).encode() + b'\n"a\n', "f.csv:2: no csv"),
            (b"\xff\xfe", "f.csv: is not UTF-8"),
        ],
    )  # fmt: skip
    def test_what_is_no_such_csv_is_refused(self, tmp_path: Path, content: bytes, message: str) -> None:
        """A wrong head, a row of another length, another encoding."""
        path = tmp_path / "f.csv"
        path.write_bytes(content)
        with pytest.raises(PluginError, match=message):
            read_figures(path)

    def test_a_mark_of_utf_8_is_no_part_of_the_head(self, tmp_path: Path) -> None:
        """Spreadsheets write one."""
        path = write(tmp_path / "f.csv", {})
        path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
        assert len(read_figures(path)) == 1

    def test_counts_keep_every_digit(self, tmp_path: Path) -> None:
        """Also beyond what a float holds, and beside rows without a count."""
        found = read_figures(write(tmp_path / "f.csv", {"n": "9007199254740993"}, {"name": "x", "n": ""}))
        assert [each.n for each in found] == [9007199254740993, None]
        counts = to_frame(found)["n"]
        assert counts[0] == 9007199254740993 and counts.isna().tolist() == [False, True]

    def test_a_missing_file_and_a_folder_are_refused(self, tmp_path: Path) -> None:
        """The reason is the operating system's."""
        for path in (tmp_path, tmp_path / "no.csv"):
            with pytest.raises(PluginError, match="cannot be read"):
                read_figures(path)

    def test_the_api_raises_what_the_table_tells(self, own: Path) -> None:
        """A script hears of a wrong file at once; a table leaves it out and says so."""
        write(own, {"value": "x"})
        with pytest.raises(PluginError, match=r"figures\.csv:2: value"):
            gan_bench.published()
        _, (problem,) = literature.gather(load_plugins([own.parent], kinds=("published",)))
        assert "figures.py are left out: " in problem and "figures.csv:2: value is 'x'" in problem

    @pytest.mark.parametrize(
        ("returned", "reason"),
        [
            ("['figures.csv']", "returned str, not a Path"),
            ("'figures.csv'", "returned str, not a Path"),
            ("[Path('figures.csv')]", "returned figures.csv, which is not absolute"),
            ("1 / 0", "ZeroDivisionError"),
        ],
    )
    def test_a_hook_that_returns_no_path_is_broken(self, own: Path, returned: str, reason: str) -> None:
        """It is listed once, with its reason, and costs nobody else anything."""
        text = own.with_suffix(".py").read_text(encoding="utf-8")
        own.with_suffix(".py").write_text(re.sub("return .*", f"return {returned}", text, count=1), encoding="utf-8")
        registry = load_plugins([own.parent])
        (broken,) = registry.broken
        assert reason in broken.error
        assert registry.published == []

    def test_a_named_plugin_must_be_there(self, own: Path) -> None:
        """`published(plugins)` refuses what is no file, and reads those that are."""
        write(own, {})
        elsewhere = own.parent.parent / "elsewhere.py"
        own.with_suffix(".py").rename(elsewhere)
        assert len(gan_bench.published()) == 0
        assert list(gan_bench.published([elsewhere])["system"]) == ["mgan"]
        with pytest.raises(UsageError, match="there is no such file"):
            gan_bench.published(["no.py"])


def rows_of(folder: Path, metrics: list[str] | None = None) -> PublishedComparison:
    """The published figures of a results folder."""
    results = read_results(folder)
    return published_comparison(results, tables.build(results, metrics))


def fill(folder: Path, model: Model, metric: str, *values: float, dataset: str = "ring8") -> None:
    """Finished runs with these final values."""
    for seed, value in enumerate(values):
        fabricate.run(folder, Run(model, seed, dataset, rows=[(2000, None, metric, value)]))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A benchmark of GAN and MGAN on the ring, with modes of MGAN only."""
    folder = fabricate.benchmark(tmp_path / "results", [GAN, MGAN], metrics=["modes"])
    fill(folder, MGAN, "modes", 7.0, 8.0, 8.0)
    return folder


def log(folder: Path, **params: Mapping[str, Any]) -> None:
    """Write the parameters of models, by label, into a benchmark.json."""
    path = folder / "benchmark.json"
    described = json.loads(path.read_text())
    for model in described["models"]:
        model["params"] = dict(params.get(model["label"], {}))
    path.write_text(json.dumps(described))


class TestParameters:
    """A figure of a variant stands beside that variant."""

    def test_beside_the_row_that_has_them(self, own: Path, tmp_path: Path) -> None:
        """Numbers agree however they are written; a row of other parameters has nothing beside it."""
        rows = [Model("two", "mgan"), Model("four", "mgan")]
        folder = fabricate.benchmark(tmp_path / "r", rows, metrics=["modes"])
        log(folder, two={"generators": 2, "beta": 0.5}, four={"generators": 4, "beta": 0.25, "shared": "body"})
        write(own, {"params": "generators=4; beta=.250; shared=body"}, {"name": "x", "params": "generators=3"})
        assert [(each.row.label, each.published.name) for each in rows_of(folder).figures] == [("four", "MGAN")]

    def test_of_the_usual_model_once(self, own: Path, tmp_path: Path) -> None:
        """A figure without parameters stands beside the first row that departs in nothing, and beside no other."""
        rows = [
            Model("departing", "mgan", departures=("latents: fresh",)),
            Model("first", "mgan"),
            Model("next", "mgan"),
        ]
        folder = fabricate.benchmark(tmp_path / "r", rows, metrics=["modes"])
        write(own, {})
        assert [each.row.label for each in rows_of(folder).figures] == ["first"]

    def test_unknown_parameters_match_nothing(self, own: Path, results: Path) -> None:
        """Where nobody wrote down what a row has, a figure of a variant stands beside none."""
        write(own, {"params": "generators=4"})
        assert rows_of(results).figures == ()

    def test_beside_every_row_that_has_them(self, own: Path, tmp_path: Path) -> None:
        """Where two rows differ in what the figure does not say, it is of either."""
        folder = fabricate.benchmark(tmp_path / "r", [Model("a", "mgan"), Model("b", "mgan")], metrics=["modes"])
        log(folder, a={"beta": 0, "shared": "body"}, b={"beta": 0, "shared": "nothing"})
        write(own, {"params": "beta=0"}, {"name": "x", "params": "beta=0; shared=nothing"})
        assert [(each.row.label, each.published.name) for each in rows_of(folder).figures] == [
            ("a", "MGAN"), ("b", "MGAN"), ("b", "x"),
        ]  # fmt: skip

    def test_truth_values_are_no_numbers(self, own: Path, tmp_path: Path) -> None:
        """``true`` is a row's true, and not its 1."""
        folder = fabricate.benchmark(tmp_path / "r", [Model("a", "mgan"), Model("b", "mgan")], metrics=["modes"])
        log(folder, a={"tied": 1}, b={"tied": True})
        write(own, {"params": "tied=true"})
        assert [each.row.label for each in rows_of(folder).figures] == ["b"]

    def test_of_a_run_before_those_of_the_benchmark(self, own: Path, results: Path) -> None:
        """What was trained says what a row is; benchmark.json where there are no runs."""
        write(own, {"params": "generators=2"})
        log(results, MGAN={"generators": 3})
        for path in (results / "runs").glob("*/run.json"):
            record = json.loads(path.read_text())
            record["model"]["params"] = {"generators": 2}
            path.write_text(json.dumps(record))
        assert len(rows_of(results).figures) == 1

    def test_no_figure_is_lost_to_a_dataset_of_other_parameters(self, own: Path, tmp_path: Path) -> None:
        """It stands beside the row whose data are the usual ones, though another is listed before."""
        folder = fabricate.benchmark(tmp_path / "r", [MGAN], datasets=["wide", "ring8"], metrics=["modes"])
        described = folder / "benchmark.json"
        described.write_text(described.read_text().replace('"plugin": "wide"', '"plugin": "ring8"'))
        fill(folder, MGAN, "modes", 8.0, dataset="wide")
        for path in (folder / "runs").glob("*/run.json"):
            record = json.loads(path.read_text())
            record["dataset"] |= {"plugin": "ring8", "params": {"radius": 3.0}}
            path.write_text(json.dumps(record))
        with own.with_suffix(".py").open("a", encoding="utf-8") as file:
            file.write(RING8)
        write(own, {})
        assert [each.row.dataset for each in rows_of(folder).figures] == ["ring8"]

    def test_those_of_no_row_are_counted(self, own: Path, results: Path) -> None:
        """Whoever looks for them learns that they are there."""
        write(own, {"params": "generators=4"}, {"name": "x", "params": "generators=5"})
        assert "More figures are of parameters that no row is known to have: 2 of mgan." in rows_of(results).notes

    @pytest.mark.parametrize(
        "text",
        ["generators", "generators=", "=4", "generators=4;", "a b=1", "generators==4", "k=1; k=2", "k=[1]", "k=ä"],
    )
    def test_wrong_form(self, own: Path, text: str) -> None:
        """What is no list of parameters is refused with an example."""
        with pytest.raises(PluginError, match=r"names with plain values, each once, as in generators=4; beta=0\.25"):
            read_figures(write(own, {"params": text}))

    def test_right_form(self) -> None:
        """Numbers, truth values and texts, with or without quotation marks."""
        told = {"k": 4.0, "beta": 2e-4, "tied": True, "shared": "body", "of": "a b"}
        assert literature.params_of('k=4; beta = 2e-4;tied=true; shared=body; of="a b"') == told


class TestBeside:
    def test_a_wrong_metric_is_told(self, own: Path, results: Path) -> None:
        """A name that no metric has, or the other direction, leaves the figure out: file, system and what is right."""
        write(
            own,
            {"metric": "mods"},
            {"metric": "mods", "name": "y"},
            {"name": "x", "direction": "lower"},
            {"name": "right"},
        )
        found = rows_of(results)
        assert [each.published.name for each in found.figures] == ["right"]
        said = "\n".join(found.notes)
        assert f"{own}: 2 of the figures of mgan left out: there is no metric 'mods'; did you mean 'modes'?" in said
        assert f"{own}: 1 of the figures of mgan left out: the direction of modes is higher, not lower." in said

    def test_figures_of_other_data_are_counted(self, own: Path, results: Path) -> None:
        """What is known of the same models on other data is named, for whoever looks for it."""
        write(
            own,
            {},
            {"dataset": "cifar10"},
            {"dataset": "stl10", "name": "x"},
            {"system": "d2gan", "dataset": "cifar10"},
        )
        said = "More figures are of other data (cifar10, stl10): 2 of mgan; gan_bench.published() has them."
        assert said in rows_of(results).notes

    @pytest.mark.parametrize(("value", "spread"), [("1e300", "1e-300"), ("1e-200", ""), ("-3e12", "1")])
    def test_huge_and_tiny_values_stay_short(self, own: Path, results: Path, value: str, spread: str) -> None:
        """They are written in powers of ten."""
        write(own, {"value": value, "spread": spread, "spread_is": "unknown" if spread else ""})
        assert max(map(len, render(rows_of(results), "markdown").splitlines()[2:4])) < 160

    def test_ours_stands_beside_the_same_quantity(self, own: Path, results: Path) -> None:
        """Our mean, half-width and n; the value with its ± and what that is; runs; samples where they differ."""
        write(own, {})
        text = render(rows_of(results), "markdown")
        (line,) = [line for line in text.splitlines() if line.startswith("| MGAN")]
        cells = [each.strip() for each in line.split("|")[1:-1]]
        assert cells == [
            "MGAN", "modes ↑", "7.67 ± 1.43", "3", "8.00 ± 0.25 (s.d.)", "10", "MGAN", "1",
        ]  # fmt: skip
        assert "\n1. Somebody, 2020: 2,500 samples; longer.\n" in text
        assert "as above, of 10,000 samples each." in text
        assert "- (s.d.) ± standard deviation over runs." in text
        assert "### synthetic8: claimed in papers" in text
        assert "independent re-runs\n" not in text

    def test_another_metric_keeps_its_name_and_stands_alone(self, own: Path, results: Path) -> None:
        """Even where it is called as one of ours: equal names are no equal quantities."""
        write(own, {"metric": "", "measure": "modes"})
        (found,) = rows_of(results).figures
        assert found.ours is None
        assert any("of another definition" in note for note in rows_of(results).notes)
        assert re.search(rf"\| MGAN +\| modes ↑ +\| +{MISSING} \| +{MISSING} \|", render(rows_of(results), "markdown"))

    def test_another_name_of_the_same_metric_is_told(self, own: Path, results: Path) -> None:
        """In the numbered note, where two figures of one source and protocol have one number."""
        write(own, {"measure": "modes captured"}, {"name": "x"}, {"name": "y", "protocol": "shorter"})
        text = render(rows_of(results), "markdown")
        assert [line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| MGAN")] == [
            "modes ↑"
        ] * 3
        assert [line.split("|")[-2].strip() for line in text.splitlines() if line.startswith("| MGAN")] == [
            "1",
            "1",
            "2",
        ]
        assert "1. Somebody, 2020: 2,500 samples; longer; modes there: modes captured." in text

    @pytest.mark.parametrize(
        ("cells", "shown"),
        [
            ({"value": "34.1", "printed": "34.10", "spread": "", "spread_is": ""}, "34.10"),
            ({"value": "78.9", "spread": "6.46", "printed": "78.9±6.46"}, "78.9 ± 6.46 (s.d.)"),
            ({"value": "0.956", "spread": "0.02", "printed": "95.6±2.0 %"}, "0.956 ± 0.020 (s.d.)"),
            (
                {"value": "8.33", "spread": "0.1", "printed": "?", "spread_is": "evaluation repeats"},
                "8.33 ± 0.10 (eval.)",
            ),
            ({"value": "1e300", "spread": "1e-300", "spread_is": "unknown"}, "1e+300 ± 1e-300 (?)"),
        ],
    )
    def test_decimals_are_the_sources(self, own: Path, results: Path, cells: dict[str, str], shown: str) -> None:
        """As printed; where that is otherwise, both with as many as the longer has."""
        write(own, cells)
        assert f"| {shown} |" in re.sub(" +", " ", render(rows_of(results), "markdown"))

    def test_latex_is_no_wider_than_the_text(self, own: Path, results: Path) -> None:
        """A longtable of columns that are shares of its width, with raised numbers that lead to the notes."""
        write(own, {"name": "a name that is longer than " * 9})
        text = render(rows_of(results), "latex")
        assert text.startswith("% needs \\usepackage{array,booktabs,longtable}\n")
        widths = [float(width) for width in re.findall(r"p\{([.\d]+)\\linewidth\}", text)]
        assert len(widths) == 8 and sum(widths) < 0.9
        (line,) = [line for line in text.splitlines() if line.startswith("MGAN &")]
        assert line.endswith(r"& \textsuperscript{1} \\")
        assert "\n\\textsuperscript{1} Somebody, 2020: 2,500 samples; longer. \\\\\n" in text

    def test_claims_and_re_runs_are_apart(self, own: Path, results: Path) -> None:
        """In two tables, whatever the order in the file."""
        write(own, {"kind": RERUN, "value": "3"}, {"value": "8"})
        claims, reruns = render(rows_of(results), "markdown").split("### synthetic8: independent re-runs")
        assert "| 8.00 ± 0.25" in claims and "| 3.00 ± 0.25" not in claims
        assert "| 3.00 ± 0.25" in reruns and "| 8.00 ± 0.25" not in reruns

    def test_what_is_not_verified_is_marked(self, own: Path, results: Path) -> None:
        """In its cell, with a note below; a quotation names both places."""
        write(own, {"verified": "no", "spread": "", "spread_is": "", "quoted_by": "Else, 2021"})
        text = render(rows_of(results), "markdown")
        assert "| 8.00 (unverified) |" in text
        assert "1. Somebody, 2020, as quoted in Else, 2021: " in text
        assert "- unverified: from memory" in text
        write(own, {})
        assert "unverified" not in render(rows_of(results), "markdown")

    def test_a_model_or_dataset_of_another_name_has_no_figures(self, own: Path, results: Path) -> None:
        """And the table says so, in every format."""
        write(own, {"system": "gan", "dataset": "grid25"}, {"system": "d2gan"})
        found = rows_of(results)
        assert found.figures == ()
        assert NOTHING in render(found, "markdown") and NOTHING in render(found, "latex")
        assert NOTHING in found.notes
        assert len(render(found, "csv").splitlines()) == 1

    def test_a_dataset_with_other_parameters_is_other_data(self, results: Path, tmp_path: Path) -> None:
        """No figure stands beside it, and a note says why; the defaults spelled out change nothing."""
        for path in (results / "runs").glob("*/run.json"):
            path.write_text(path.read_text().replace('"params": {}', '"params": {"radius": 2.0, "modes": 8}', 1))
        assert rows_of(results).figures != ()
        for path in (results / "runs").glob("*/run.json"):
            path.write_text(path.read_text().replace('"radius": 2.0', '"radius": 3.0'))
        found = rows_of(results)
        assert found.figures == ()
        assert any(note.startswith("ring8: its parameters are not the defaults") for note in found.notes)

    @pytest.mark.parametrize("data", ["ring8; modes=8; radius=3", "ring8;radius=3.0", "ring8; radius=3e0"])
    def test_a_figure_may_say_what_its_data_have_otherwise(self, own: Path, results: Path, data: str) -> None:
        """It stands beside those data, however they are written, and beside no other."""
        write(own, {"dataset": data}, {"name": "of the defaults"})
        with own.with_suffix(".py").open("a", encoding="utf-8") as file:
            file.write(RING8)
        described = results / "benchmark.json"
        content = json.loads(described.read_text(encoding="utf-8"))
        for radius, name in ((2.0, "of the defaults"), (3.0, "MGAN")):
            content["datasets"][0]["params"] = {"radius": radius}
            described.write_text(json.dumps(content), encoding="utf-8")
            for path in (results / "runs").glob("*/run.json"):
                record = json.loads(path.read_text(encoding="utf-8"))
                path.write_text(json.dumps(record | {"dataset": {"plugin": "ring8", "params": {"radius": radius}}}))
            found = rows_of(results)
            assert [figure.published.name for figure in found.figures] == [name]

    def test_metrics_that_are_not_shown_are_counted(self, own: Path, results: Path) -> None:
        """--metrics chooses; what is known of others is named below."""
        write(own, {"metric": "high_quality", "measure": "hq"}, {})
        found = rows_of(results)
        assert [figure.published.metric for figure in found.figures] == ["modes"]
        assert any("metrics that the table does not show: high_quality." in note for note in found.notes)

    @pytest.mark.parametrize(
        ("name", "claims"),
        [("cifar10", {8.33, 26.7}), ("stl10-48", {9.22}), ("stl10-96", {9.79}), ("imagenet32", {9.32})],
    )
    def test_mgans_claims_stand_beside_the_benchmarks_of_its_tables(
        self, tmp_path: Path, name: str, claims: set[float]
    ) -> None:
        """Models, datasets and metrics have the same names in both; without data and without runs."""
        registry = load_plugins()
        asked = load_benchmark(open_source(name), registry)
        models = [Model(model.label, model.plugin, model.anchor) for model in asked.models]
        (dataset,) = asked.datasets
        folder = fabricate.benchmark(tmp_path / name, models, datasets=[dataset.label], metrics=[])
        described = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
        described["datasets"] = [{"label": dataset.label, "plugin": dataset.plugin, "params": dict(dataset.params)}]
        kinds = {metric: registry.get("metrics", metric) for metric in asked.evaluation.metrics}
        described["metrics"] = {
            metric: {"direction": kind.direction, "unit": kind.unit, "version": 1} for metric, kind in kinds.items()
        }
        described["evaluation"]["metrics"] = [*kinds]
        (folder / "benchmark.json").write_text(json.dumps(described), encoding="utf-8")
        for model in models:
            fabricate.run(folder, Run(model, dataset=dataset.label))
        for record in (folder / "runs").glob("*/run.json"):
            told = json.loads(record.read_text(encoding="utf-8")) | {"dataset": described["datasets"][0]}
            record.write_text(json.dumps(told), encoding="utf-8")
        own = [each for each in rows_of(folder).figures if each.row.model == "mgan" and each.published.kind == CLAIM]
        assert {each.published.value for each in own} == claims

    def test_several_datasets_are_told_apart(self, own: Path, tmp_path: Path) -> None:
        """A row names its dataset where there is more than one; a label is not a plugin."""
        folder = fabricate.benchmark(tmp_path / "two", [MGAN], datasets=["ring8", "grid25"], metrics=["modes"])
        fill(folder, MGAN, "modes", 8.0)
        write(own, {}, {"dataset": "grid25"})
        text = render(rows_of(folder), "markdown")
        assert "| MGAN (ring8) " in text and "| MGAN (grid25) " in text
        described = folder / "benchmark.json"
        described.write_text(described.read_text().replace('"label": "grid25"', '"label": "a grid"'))
        assert "| MGAN (a grid) " in render(rows_of(folder), "markdown")

    def test_a_broken_file_is_left_out_with_its_reason(self, own: Path, results: Path) -> None:
        """The comparison goes on."""
        write(own, {"value": "x"})
        found = rows_of(results)
        assert found.figures == () and "figures.csv:2: value is 'x'" in " ".join(found.notes)

    @pytest.mark.parametrize("text", fabricate.HOSTILE)
    def test_what_a_file_says_stays_in_its_cell(self, own: Path, results: Path, text: str) -> None:
        """Markdown and LaTeX are escaped, csv is quoted; a line break ends no line."""
        columns = ("name", "measure", "protocol", "source", "quoted_by")
        write(own, {"metric": "", **{name: f"{text}\nand, so on" for name in columns}})
        found = rows_of(results)
        markdown = [line for line in render(found, "markdown").splitlines() if line.startswith("| MGAN")]
        assert len(markdown) == 1 and len(re.findall(r"(?<!\\)\|", markdown[0])) == 9
        assert "<b>" not in markdown[0].replace(r"\<b>", "")
        latex = [line for line in render(found, "latex").splitlines() if line.startswith("MGAN &")]
        assert len(latex) == 1 and len(re.findall(r"(?<!\\)&", latex[0])) == 7
        assert re.findall(r"(?<!\\)[%$#_]", latex[0].replace(r"$\pm$", "").replace(r"$\uparrow$", "")) == []
        (record,) = csv.DictReader(io.StringIO(render(found, "csv")))
        assert record["name"] == f"{text}\nand, so on"

    def test_csv_holds_numbers(self, own: Path, results: Path) -> None:
        """One number a cell, empty where there is none."""
        write(own, {"spread": "", "spread_is": "", "n": "", "samples": ""})
        (record,) = csv.DictReader(io.StringIO(render(rows_of(results), "csv")))
        assert (float(record["ours"]), record["ours_n"]) == (pytest.approx(23 / 3), "3")
        assert (record["value"], record["spread"], record["n"], record["verified"]) == ("8.0", "", "", "True")

    def test_the_zoos_figures_stand_beside_a_benchmark(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """PacGAN on VEEGAN's ring: three variants of its paper, with the metric that PacGAN calls reverse KL."""
        monkeypatch.chdir(tmp_path)
        model = Model("PacGAN", "pacgan")
        folder = fabricate.benchmark(tmp_path / "r", [model], datasets=["ring8-veegan"], metrics=["modes"])
        fill(folder, model, "modes", 8.0, 8.0, dataset="ring8-veegan")
        log(folder, PacGAN={"pack": 2})
        found = rows_of(folder)
        assert [(figure.published.name, figure.published.value) for figure in found.figures] == [("PacGAN2", 7.9)]
        assert "| 7.9 ± 0.1 (s.e.) |" in render(found, "markdown")

    def test_needs_no_torch(self, results: Path) -> None:
        """Neither the table nor what it loads of plugins."""
        script = (
            "import sys\n"
            "from click.testing import CliRunner; from gan_bench.cli.table import command\n"
            f"done = CliRunner().invoke(command, [{str(results)!r}, '--published'])\n"
            "assert done.exit_code == 0, done.output\n"
            "assert 'modes in the figure' in done.output and 'left out' not in done.output, done.output\n"
            "assert 'torch' not in sys.modules\n"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=results, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
