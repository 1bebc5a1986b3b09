"""Published figures: the file of the zoo, errors in a file, and the comparison with our results."""

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
from gan_bench.report.wording import MISSING
from gan_bench.results.load import read_results
from tests.support import fabricate
from tests.support.fabricate import Model, Run
from tests.support.messages import Messages

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
    """A file of figures; each row gives its differences from `GOOD`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({**GOOD, **row} for row in rows)
    return path


@pytest.fixture(scope="module")
def zoo() -> pd.DataFrame:
    """Figures of the zoo."""
    return to_frame(read_figures(ZOO))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of figures.csv in a working folder whose plugin has it and two metrics; no plugins are installed."""
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
    """The only figure with these cells."""
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
"""Inception scores on CIFAR-10, STL-10 and ImageNet, as in the paper."""

MGAN_TABLE_2 = {"DCGAN": 37.7, "DCGAN + TTUR": 36.9, "WGAN-GP": 29.3, "WGAN-GP + TTUR": 24.8, "MGAN": 26.7}
"""FID on CIFAR-10; the first with the decimal point that is missing in our copy of the paper."""

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
    """Cells of a typed table, by its first column."""
    lines = (line.strip().split(": ") for line in table.strip().splitlines())
    return {name: cells.split() for name, cells in lines}


def told(value: float, spread: float, factor: float = 1) -> tuple[float, float]:
    """Value and spread times a factor, rounded, because percentages are stored as shares; -1 for no spread."""
    return round(value * factor, 6), -1 if math.isnan(spread) else round(spread * factor, 6)


def cell(text: str) -> tuple[float, float]:
    """``8.33±0.10`` as two numbers, -1 for no spread."""
    value, _, spread = text.partition("±")
    return float(value), float(spread or -1)


class TestTheZoosFile:
    def test_is_valid_and_loaded(self, zoo: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every row is valid, and `gan_bench.published` returns all rows."""
        monkeypatch.chdir(tmp_path)
        found = gan_bench.published()
        assert list(found.columns) == list(COLUMNS)
        pd.testing.assert_frame_equal(found, zoo)

    def test_metrics_and_datasets_are_ours_or_none(self, zoo: pd.DataFrame) -> None:
        """Named metrics and datasets exist. Directions and parameters agree, and shares are from 0 to 1."""
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

    def test_systems_have_the_names_of_the_zoo(self, zoo: pd.DataFrame) -> None:
        """Every system is a model, a system that the zoo lists, or one of a few others."""
        registry = load_plugins(kinds=("models",))
        known = {*registry.all("models"), *registry.unimplemented()}
        others = {"stackelberg-gan", "ssgan", "infomax-gan", "lsgan", "dragan", "megan"}
        assert set(zoo["system"]) - known <= others

    def test_values_are_as_printed(self, zoo: pd.DataFrame) -> None:
        """Value and spread are the numbers of the printed cell, except for those read off a figure."""
        for row in zoo.itertuples():
            numbers = [float(each) for each in re.findall(r"\d+(?:\.\d+)?", row.printed)]
            factor = 100 if "%" in row.printed else 1
            if row.measure == "modes in the figure, by eye" or row.printed == "377":
                continue
            shown = [row.value * factor] + ([] if math.isnan(row.spread) else [row.spread * factor])
            assert numbers == pytest.approx(shown), row

    def test_every_row_of_mgans_first_table(self, zoo: pd.DataFrame) -> None:
        """Inception scores; two systems were trained at 32×32, the others at 48×48."""
        scores = zoo[(zoo["measure"] == "Inception score")]
        for name, cells in typed(MGAN_TABLE_1).items():
            stl = "stl10-32" if name in ("DCGAN", "D2GAN") else "stl10"
            mine = scores[(scores["name"] == name) & (scores[["source", "quoted_by"]] == T1).any(axis=1)]
            expected = {each: cell(text) for each, text in zip(("cifar10", stl, "imagenet32"), cells, strict=True)
                        if text != "-"}  # fmt: skip
            assert {row.dataset: told(row.value, row.spread) for row in mine.itertuples()} == expected
            assert set(mine.loc[mine["dataset"] != "stl10-32", "metric"]) == {"inception_score"}

    def test_every_row_of_mgans_second_table(self, zoo: pd.DataFrame) -> None:
        """FID; the printed 377 is corrected, with the reason."""
        table = zoo[(zoo[["source", "quoted_by"]] == T2).any(axis=1)]
        assert dict(zip(table["name"], table["value"], strict=True)) == MGAN_TABLE_2
        assert set(table["metric"]) == {"fid"}
        assert figure(table, name="DCGAN").printed == "377"
        assert "decimal point" in figure(table, name="DCGAN").protocol

    def test_veegans_table(self, zoo: pd.DataFrame) -> None:
        """The figures of ring, grid and 1200 dimensions are means of five runs without a spread."""
        table = zoo[zoo["source"].str.contains("VEEGAN") & zoo["source"].str.contains("Table 1")]
        assert len(table) == 24 and set(table["n"]) == {5} and table["spread"].isna().all()
        for name, numbers in VEEGAN_TABLE_1.items():
            for i, dataset in enumerate(("ring8-veegan", "grid25", "mixture-1200d")):
                mine = table[(table["name"] == name) & (table["dataset"] == dataset)].set_index("measure")["value"]
                shown = (mine["modes captured"], mine["high quality samples"] * 100)
                assert shown == pytest.approx(numbers[2 * i : 2 * i + 2])

    def test_pacgans_table(self, zoo: pd.DataFrame) -> None:
        """The figures of ring and grid have standard errors over ten runs. Those of other systems are re-runs."""
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
        """A few figures of every other source are as printed."""
        found = figure(zoo, **where)
        assert found.value == value
        assert math.isnan(found.spread) if spread is None else found.spread == spread

    def test_an_inception_metric_is_ours_for_equal_sample_sizes_only(self, zoo: pd.DataFrame) -> None:
        """Such figures have 50,000 samples or an unknown number, and compare with training images."""
        ours = zoo[zoo["metric"].isin(["inception_score", "fid", "kid"])]
        assert set(ours["samples"].dropna()) == {50_000}
        assert not ours["protocol"].str.contains("10,000 test images|another implementation").any()
        assert set(ours["dataset"]) == {"cifar10", "stl10", "stl10; size=96", "imagenet32"}

    def test_dcgan_is_our_gan_on_its_networks(self, zoo: pd.DataFrame) -> None:
        """Figures of DCGAN are shown next to the rows of that model."""
        assert set(zoo.loc[zoo["name"].str.startswith("DCGAN"), "system"]) == {"gan", "ttur"}

    def test_no_figure_is_from_memory(self, zoo: pd.DataFrame) -> None:
        """Every built-in figure was read in its source or in a quotation."""
        assert not zoo["protocol"].str.contains("memory").any()

    def test_unnamed_quotations_are_not_verified(self, zoo: pd.DataFrame) -> None:
        """Figures from an unnamed quotation are marked. All others name the place where they were read."""
        doubtful = zoo["protocol"].str.contains("quotation only") | zoo["quoted_by"].str.contains("quotation")
        assert (zoo["verified"] == ~doubtful).all()

    def test_ships_with_the_package(self) -> None:
        """The file is next to the modules, so a wheel contains it."""
        assert [path for path, _ in load_plugins(kinds=("published",)).published] == [ZOO]


T1, T2 = "Hoang et al., ICLR 2018 (MGAN), Table 1", "Hoang et al., ICLR 2018 (MGAN), Table 2"
METRICS = ("modes", "high_quality", "mode_kl")


def identifier(value: object) -> str:
    """``value=8,33; spread=`` for the cells of a row; empty for other parameters of a test."""
    return "; ".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else ""


class TestWrongFiles:
    @pytest.mark.parametrize(
        ("changes", "parts"),
        [
            ({"system": " "}, ["system"]),
            ({"source": ""}, ["source"]),
            ({"value": ""}, ["value"]),
            ({"value": "8,33"}, ["value", "'8,33'"]),
            ({"value": "nan"}, ["value", "'nan'"]),
            ({"value": "١٢"}, ["value", "'١٢'"]),
            ({"value": "1e999"}, ["value", "'1e999'"]),
            ({"spread": "-1"}, ["spread", "-1"]),
            ({"spread": ""}, ["spread", "spread_is"]),
            ({"spread_is": ""}, ["spread", "spread_is"]),
            ({"spread_is": "std"}, ["spread_is", "'std'", "std over runs"]),
            ({"dataset": "stl10; size"}, ["dataset", "'stl10; size'"]),
            ({"dataset": "stl10; size=9; size=6"}, ["dataset", "'stl10; size=9; size=6'"]),
            ({"n": "0"}, ["n ", "'0'"]),
            ({"samples": "2.5"}, ["samples", "'2.5'"]),
            ({"samples": "²"}, ["samples", "'²'"]),
            ({"direction": "up"}, ["direction", "'up'", "higher, lower, none"]),
            ({"kind": "papers"}, ["kind", "'papers'", "'paper'"]),
            ({"verified": "maybe"}, ["verified", "'maybe'", "no, yes"]),
            ({}, ["system, name", "line 2"]),
        ],
        ids=identifier,
    )
    def test_a_wrong_row_is_reported_with_its_line(
        self, tmp_path: Path, changes: dict[str, str], parts: list[str], messages: Messages
    ) -> None:
        """The message has file, line, the value found and the allowed values."""
        path = write(tmp_path / "f.csv", {}, changes)
        with messages.raises(PluginError, f"{path}:3: ", *parts):
            read_figures(path)

    def test_the_first_ten_wrong_rows_are_reported_together(self, tmp_path: Path, messages: Messages) -> None:
        path = write(tmp_path / "f.csv", *[{"name": str(i), "value": "x"} for i in range(12)])
        with messages.raises(PluginError, *(f"{path}:{line}: value" for line in range(2, 12))) as raised:
            read_figures(path)
        assert "f.csv:12" not in str(raised.value) and "2 more" in str(raised.value)

    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            (b"", [":1: ", "system, name"]),
            (",".join(COLUMNS).replace("kind", "kinds").encode(), [":1: ", "'kinds'", "'kind'"]),
            (",".join([*COLUMNS, "kind"]).encode(), [":1: "]),
            (",".join(COLUMNS).encode() + b"\na,b\n", [":2: ", "18", "2"]),
            (",".join(COLUMNS).encode() + b'\n"a\n', [":2: ", "unexpected end of data"]),
            (b"\xff\xfe", ["UTF-8", "invalid start byte", "byte 0"]),
        ],
        ids=["empty", "unknown", "twice", "short", "quote", "encoding"],
    )
    def test_a_file_of_another_form_is_refused(
        self, tmp_path: Path, content: bytes, parts: list[str], messages: Messages
    ) -> None:
        """The head, the number of cells and the encoding are checked."""
        path = tmp_path / "f.csv"
        path.write_bytes(content)
        with messages.raises(PluginError, f"{path}:", *parts):
            read_figures(path)

    def test_a_byte_order_mark_is_not_part_of_the_head(self, tmp_path: Path) -> None:
        """Spreadsheets write a byte order mark."""
        path = write(tmp_path / "f.csv", {})
        path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
        assert len(read_figures(path)) == 1

    def test_counts_keep_every_digit(self, tmp_path: Path) -> None:
        """Counts are exact beyond the precision of a float, also if other rows have none."""
        found = read_figures(write(tmp_path / "f.csv", {"n": "9007199254740993"}, {"name": "x", "n": ""}))
        assert [each.n for each in found] == [9007199254740993, None]
        counts = to_frame(found)["n"]
        assert counts[0] == 9007199254740993 and counts.isna().tolist() == [False, True]

    def test_a_missing_file_and_a_folder_are_refused(self, tmp_path: Path) -> None:
        """The reason is in the words of the operating system."""
        for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "no.csv", "No such file or directory")):
            with pytest.raises(PluginError, match=rf"{path}: .*\({reason}\)"):
                read_figures(path)

    def test_the_api_raises_and_the_table_reports(self, own: Path, messages: Messages) -> None:
        """A wrong file is an error of `published`. A table leaves the file out with a note."""
        write(own, {"value": "x"})
        with messages.raises(PluginError, f"{own}:2: value"):
            gan_bench.published()
        _, (problem,) = literature.gather(load_plugins([own.parent], kinds=("published",)))
        messages.check(problem, "figures.py", f"{own}:2: value", "'x'")

    @pytest.mark.parametrize(
        ("returned", "part"),
        [
            ("['figures.csv']", "str"),
            ("'figures.csv'", "str"),
            ("[Path('figures.csv')]", "figures.csv"),
            ("1 / 0", "ZeroDivisionError"),
        ],
    )
    def test_a_hook_must_return_absolute_paths(self, own: Path, returned: str, part: str, messages: Messages) -> None:
        """Otherwise the plugin is listed once as broken, with the reason, and other plugins are loaded."""
        text = own.with_suffix(".py").read_text(encoding="utf-8")
        own.with_suffix(".py").write_text(re.sub("return .*", f"return {returned}", text, count=1), encoding="utf-8")
        registry = load_plugins([own.parent])
        (broken,) = registry.broken
        messages.check(broken.error, part)
        assert registry.published == []

    def test_a_named_plugin_must_exist(self, own: Path) -> None:
        """`published(plugins)` reads existing files and refuses others."""
        write(own, {})
        elsewhere = own.parent.parent / "elsewhere.py"
        own.with_suffix(".py").rename(elsewhere)
        assert len(gan_bench.published()) == 0
        assert list(gan_bench.published([elsewhere])["system"]) == ["mgan"]
        with pytest.raises(UsageError, match=r"no\.py"):
            gan_bench.published(["no.py"])


def rows_of(folder: Path, metrics: list[str] | None = None) -> PublishedComparison:
    """Published figures for a results folder."""
    results = read_results(folder)
    return published_comparison(results, tables.build(results, metrics))


def note_of(found: PublishedComparison, *parts: str) -> str:
    """The only note with these texts."""
    (note,) = [note for note in found.notes if all(part in note for part in parts)]
    return note


def fill(folder: Path, model: Model, metric: str, *values: float, dataset: str = "ring8") -> None:
    """Write finished runs with these final values."""
    for seed, value in enumerate(values):
        fabricate.run(folder, Run(model, seed, dataset, rows=[(2000, None, metric, value)]))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A benchmark of GAN and MGAN on the ring, with runs of MGAN only."""
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
    """A figure of a variant is shown next to that variant."""

    def test_select_the_row_that_has_them(self, own: Path, tmp_path: Path) -> None:
        """Numbers match in any notation. A row with other parameters has no figure."""
        rows = [Model("two", "mgan"), Model("four", "mgan")]
        folder = fabricate.benchmark(tmp_path / "r", rows, metrics=["modes"])
        log(folder, two={"generators": 2, "beta": 0.5}, four={"generators": 4, "beta": 0.25, "shared": "body"})
        write(own, {"params": "generators=4; beta=.250; shared=body"}, {"name": "x", "params": "generators=3"})
        assert [(each.row.label, each.published.name) for each in rows_of(folder).figures] == [("four", "MGAN")]

    def test_without_them_a_figure_is_shown_once(self, own: Path, tmp_path: Path) -> None:
        """Such a figure is next to the first row without departures."""
        rows = [
            Model("departing", "mgan", departures=("latents: fresh",)),
            Model("first", "mgan"),
            Model("next", "mgan"),
        ]
        folder = fabricate.benchmark(tmp_path / "r", rows, metrics=["modes"])
        write(own, {})
        assert [each.row.label for each in rows_of(folder).figures] == ["first"]

    def test_unknown_parameters_match_nothing(self, own: Path, results: Path) -> None:
        """If the parameters of a row were not stored, it has no figure of a variant."""
        write(own, {"params": "generators=4"})
        assert rows_of(results).figures == ()

    def test_select_every_row_that_has_them(self, own: Path, tmp_path: Path) -> None:
        """Rows may differ in parameters that the figure does not give."""
        folder = fabricate.benchmark(tmp_path / "r", [Model("a", "mgan"), Model("b", "mgan")], metrics=["modes"])
        log(folder, a={"beta": 0, "shared": "body"}, b={"beta": 0, "shared": "nothing"})
        write(own, {"params": "beta=0"}, {"name": "x", "params": "beta=0; shared=nothing"})
        assert [(each.row.label, each.published.name) for each in rows_of(folder).figures] == [
            ("a", "MGAN"), ("b", "MGAN"), ("b", "x"),
        ]  # fmt: skip

    def test_truth_values_are_not_numbers(self, own: Path, tmp_path: Path) -> None:
        """``true`` matches true, not 1."""
        folder = fabricate.benchmark(tmp_path / "r", [Model("a", "mgan"), Model("b", "mgan")], metrics=["modes"])
        log(folder, a={"tied": 1}, b={"tied": True})
        write(own, {"params": "tied=true"})
        assert [each.row.label for each in rows_of(folder).figures] == ["b"]

    def test_of_a_run_precede_those_of_the_benchmark(self, own: Path, results: Path) -> None:
        """The parameters of a row are those of its runs, or those in benchmark.json if there are no runs."""
        write(own, {"params": "generators=2"})
        log(results, MGAN={"generators": 3})
        for path in (results / "runs").glob("*/run.json"):
            record = json.loads(path.read_text())
            record["model"]["params"] = {"generators": 2}
            path.write_text(json.dumps(record))
        assert len(rows_of(results).figures) == 1

    def test_of_another_dataset_do_not_take_a_figure(self, own: Path, tmp_path: Path) -> None:
        """A figure is next to the row whose dataset has the default parameters, not to an earlier row."""
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

    def test_figures_without_a_row_are_counted(self, own: Path, results: Path, messages: Messages) -> None:
        """A note has their number by system."""
        write(own, {"params": "generators=4"}, {"name": "x", "params": "generators=5"})
        messages.check(note_of(rows_of(results), "parameters", "2 of mgan"))

    @pytest.mark.parametrize(
        "text",
        ["generators", "generators=", "=4", "generators=4;", "a b=1", "generators==4", "k=1; k=2", "k=[1]", "k=ä"],
    )
    def test_wrong_form(self, own: Path, text: str, messages: Messages) -> None:
        """Text that is not a list of parameters is refused with an example."""
        with messages.raises(PluginError, f"{own}:2: params", repr(text), "generators=4; beta=0.25"):
            read_figures(write(own, {"params": text}))

    def test_right_form(self) -> None:
        """Values are numbers, truth values and texts, with or without quotation marks."""
        told = {"k": 4.0, "beta": 2e-4, "tied": True, "shared": "body", "of": "a b"}
        assert literature.params_of('k=4; beta = 2e-4;tied=true; shared=body; of="a b"') == told


class TestComparison:
    def test_a_wrong_metric_is_reported(self, own: Path, results: Path, messages: Messages) -> None:
        """A figure with an unknown metric or a wrong direction is left out; the note has file, system and remedy."""
        write(
            own,
            {"metric": "mods"},
            {"metric": "mods", "name": "y"},
            {"name": "x", "direction": "lower"},
            {"name": "right"},
        )
        found = rows_of(results)
        assert [each.published.name for each in found.figures] == ["right"]
        messages.check(note_of(found, str(own), "2 ", "mgan", "'mods'", "'modes'"))
        messages.check(note_of(found, str(own), "1 ", "mgan", "higher", "lower"))

    def test_figures_of_other_data_are_counted(self, own: Path, results: Path, messages: Messages) -> None:
        """A note lists the datasets with figures of the same models, and the number of figures."""
        write(
            own,
            {},
            {"dataset": "cifar10"},
            {"dataset": "stl10", "name": "x"},
            {"system": "d2gan", "dataset": "cifar10"},
        )
        messages.check(note_of(rows_of(results), "cifar10, stl10", "2 of mgan", "gan_bench.published()"))

    @pytest.mark.parametrize(("value", "spread"), [("1e300", "1e-300"), ("1e-200", ""), ("-3e12", "1")])
    def test_huge_and_tiny_values_stay_short(self, own: Path, results: Path, value: str, spread: str) -> None:
        """Such values are formatted in powers of ten."""
        write(own, {"value": value, "spread": spread, "spread_is": "unknown" if spread else ""})
        assert max(map(len, render(rows_of(results), "markdown").splitlines()[2:4])) < 160

    def test_ours_is_next_to_the_same_quantity(self, own: Path, results: Path, messages: Messages) -> None:
        """A line has our mean, half-width and n, and the published value with its spread, its meaning and n."""
        write(own, {})
        text = render(rows_of(results), "markdown")
        (line,) = [line for line in text.splitlines() if line.startswith("| MGAN")]
        cells = [each.strip() for each in line.split("|")[1:-1]]
        assert cells == [
            "MGAN", "modes ↑", "7.67 ± 1.43", "3", "8.00 ± 0.25 (s.d.)", "10", "MGAN", "1",
        ]  # fmt: skip
        assert "\n1. Somebody, 2020: 2,500 samples; longer.\n" in text
        messages.check(note_of(rows_of(results), "10,000 samples"))
        assert "- (s.d.) ± standard deviation over runs." in text
        assert "### synthetic8: claimed in papers" in text
        assert "independent re-runs\n" not in text

    def test_another_metric_has_no_value_of_ours(self, own: Path, results: Path, messages: Messages) -> None:
        """The metric of a figure may have the name of one of ours and another definition."""
        write(own, {"metric": "", "measure": "modes"})
        (found,) = rows_of(results).figures
        assert found.ours is None
        messages.check(note_of(rows_of(results), "definition"))
        assert re.search(rf"\| MGAN +\| modes ↑ +\| +{MISSING} \| +{MISSING} \|", render(rows_of(results), "markdown"))

    def test_another_name_of_the_same_metric_is_in_a_note(self, own: Path, results: Path, messages: Messages) -> None:
        """Figures of one source and protocol share a numbered note, which has the name in the source."""
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
        (note,) = [line for line in text.splitlines() if line.startswith("1. ")]
        messages.check(note, "Somebody, 2020", "2,500 samples", "longer", "modes captured")

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
    def test_decimals_are_those_of_the_source(
        self, own: Path, results: Path, cells: dict[str, str], shown: str
    ) -> None:
        """Decimals are as printed. If they differ from the stored ones, both numbers have those of the longer."""
        write(own, cells)
        assert f"| {shown} |" in re.sub(" +", " ", render(rows_of(results), "markdown"))

    def test_latex_is_no_wider_than_the_text(self, own: Path, results: Path) -> None:
        """The longtable has columns relative to the width of the text, and raised numbers of the notes."""
        write(own, {"name": "a name that is longer than " * 9})
        text = render(rows_of(results), "latex")
        assert text.startswith("% needs \\usepackage{array,booktabs,longtable}\n")
        widths = [float(width) for width in re.findall(r"p\{([.\d]+)\\linewidth\}", text)]
        assert len(widths) == 8 and sum(widths) < 0.9
        (line,) = [line for line in text.splitlines() if line.startswith("MGAN &")]
        assert line.endswith(r"& \textsuperscript{1} \\")
        assert "\n\\textsuperscript{1} Somebody, 2020: 2,500 samples; longer. \\\\\n" in text

    def test_claims_and_re_runs_are_separate(self, own: Path, results: Path) -> None:
        """There are two tables, for any order in the file."""
        write(own, {"kind": RERUN, "value": "3"}, {"value": "8"})
        claims, reruns = render(rows_of(results), "markdown").split("### synthetic8: independent re-runs")
        assert "| 8.00 ± 0.25" in claims and "| 3.00 ± 0.25" not in claims
        assert "| 3.00 ± 0.25" in reruns and "| 8.00 ± 0.25" not in reruns

    def test_unverified_figures_are_marked(self, own: Path, results: Path, messages: Messages) -> None:
        """The mark is in the cell, with a note below. The source of a quotation names both places."""
        write(own, {"verified": "no", "spread": "", "spread_is": "", "quoted_by": "Else, 2021"})
        text = render(rows_of(results), "markdown")
        assert "| 8.00 (unverified) |" in text
        assert "1. Somebody, 2020, as quoted in Else, 2021: " in text
        messages.check(note_of(rows_of(results), "unverified"))
        write(own, {})
        assert "unverified" not in render(rows_of(results), "markdown")

    def test_without_figures_a_note_is_shown(self, own: Path, results: Path, messages: Messages) -> None:
        """Figures of other models and datasets are not shown. The note is in every format except csv."""
        write(own, {"system": "gan", "dataset": "grid25"}, {"system": "d2gan"})
        found = rows_of(results)
        assert found.figures == ()
        assert NOTHING in render(found, "markdown") and NOTHING in render(found, "latex")
        messages.check(found.notes[0])
        assert found.notes[0] == NOTHING
        assert len(render(found, "csv").splitlines()) == 1

    def test_a_dataset_with_other_parameters_is_other_data(self, results: Path, messages: Messages) -> None:
        """It has no figures, and a note gives the reason. Defaults may be stated explicitly."""
        for path in (results / "runs").glob("*/run.json"):
            path.write_text(path.read_text().replace('"params": {}', '"params": {"radius": 2.0, "modes": 8}', 1))
        assert rows_of(results).figures != ()
        for path in (results / "runs").glob("*/run.json"):
            path.write_text(path.read_text().replace('"radius": 2.0', '"radius": 3.0'))
        found = rows_of(results)
        assert found.figures == ()
        messages.check(note_of(found, "ring8: "))

    @pytest.mark.parametrize("data", ["ring8; modes=8; radius=3", "ring8;radius=3.0", "ring8; radius=3e0"])
    def test_a_figure_may_have_parameters_of_its_data(self, own: Path, results: Path, data: str) -> None:
        """The figure is next to the rows with these parameters, in any notation, and to no others."""
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

    def test_metrics_that_are_not_shown_are_listed(self, own: Path, results: Path, messages: Messages) -> None:
        """Only figures of the table's metrics are shown. A note lists other metrics with figures."""
        write(own, {"metric": "high_quality", "measure": "hq"}, {})
        found = rows_of(results)
        assert [figure.published.metric for figure in found.figures] == ["modes"]
        messages.check(note_of(found, "high_quality"))

    @pytest.mark.parametrize(
        ("name", "claims"),
        [("cifar10", {8.33, 26.7}), ("stl10-48", {9.22}), ("stl10-96", {9.79}), ("imagenet32", {9.32})],
    )
    def test_mgans_claims_are_shown_for_the_benchmarks_of_its_tables(
        self, tmp_path: Path, name: str, claims: set[float]
    ) -> None:
        """Models, datasets and metrics have the same names in figures and benchmarks. No data or training is needed."""
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

    def test_several_datasets_are_distinguished(self, own: Path, tmp_path: Path) -> None:
        """A row has the label of its dataset if there are several datasets."""
        folder = fabricate.benchmark(tmp_path / "two", [MGAN], datasets=["ring8", "grid25"], metrics=["modes"])
        fill(folder, MGAN, "modes", 8.0)
        write(own, {}, {"dataset": "grid25"})
        text = render(rows_of(folder), "markdown")
        assert "| MGAN (ring8) " in text and "| MGAN (grid25) " in text
        described = folder / "benchmark.json"
        described.write_text(described.read_text().replace('"label": "grid25"', '"label": "a grid"'))
        assert "| MGAN (a grid) " in render(rows_of(folder), "markdown")

    def test_a_broken_file_is_left_out_with_its_reason(self, own: Path, results: Path) -> None:
        write(own, {"value": "x"})
        found = rows_of(results)
        assert found.figures == () and note_of(found, f"{own}:2: value")

    @pytest.mark.parametrize("text", fabricate.HOSTILE)
    def test_hostile_text_stays_in_its_cell(self, own: Path, results: Path, text: str) -> None:
        """Text is escaped in Markdown and LaTeX and quoted in csv. A line break becomes a space."""
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
        assert record["name"] == f"{text} and, so on"

    def test_csv_contains_numbers(self, own: Path, results: Path) -> None:
        """Each cell has one number, or is empty."""
        write(own, {"spread": "", "spread_is": "", "n": "", "samples": ""})
        (record,) = csv.DictReader(io.StringIO(render(rows_of(results), "csv")))
        assert (float(record["ours"]), record["ours_n"]) == (pytest.approx(23 / 3), "3")
        assert (record["value"], record["spread"], record["n"], record["verified"]) == ("8.0", "", "", "True")

    def test_the_zoos_figures_are_shown_for_a_benchmark(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """PacGAN on VEEGAN's ring with a pack of 2 has the figure of PacGAN2."""
        monkeypatch.chdir(tmp_path)
        model = Model("PacGAN", "pacgan")
        folder = fabricate.benchmark(tmp_path / "r", [model], datasets=["ring8-veegan"], metrics=["modes"])
        fill(folder, model, "modes", 8.0, 8.0, dataset="ring8-veegan")
        log(folder, PacGAN={"pack": 2})
        found = rows_of(folder)
        assert [(figure.published.name, figure.published.value) for figure in found.figures] == [("PacGAN2", 7.9)]
        assert "| 7.9 ± 0.1 (s.e.) |" in render(found, "markdown")

    def test_needs_no_torch(self, results: Path) -> None:
        """Neither the table nor the loaded plugins import torch."""
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
