"""The comparison table: values, marks of the best, notes, and escaping."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from gan_bench import escape
from gan_bench.cli.table import command
from gan_bench.contracts.table import Estimate
from gan_bench.errors import UsageError
from gan_bench.plugins import discovery
from gan_bench.report.tables import build as tables
from gan_bench.report.tables.formats import number, to_text
from gan_bench.report.wording import MISSING
from gan_bench.results.load import read_results, write_results_csv
from tests.support import fabricate
from tests.support.fabricate import HOSTILE, Model, Run, simple
from tests.support.messages import Messages

GAN, MGAN = Model("GAN"), Model("MGAN", "mgan")
REAL, UNTRAINED = Model("real-data", "real-data", anchor=True), Model("untrained", "untrained", anchor=True)


def _fill(folder: Path, model: Model, values: list[float], metric: str = "symmetric_kl") -> None:
    for seed, value in enumerate(values):
        fabricate.run(folder, simple(model, seed, value, metric))


def _note(text: str, *parts: str) -> str:
    """The only note below a Markdown table that contains these texts."""
    (found,) = [line for line in text.splitlines() if line.startswith("- ") and all(part in line for part in parts)]
    return found.removeprefix("- ")


def _lines(text: str) -> dict[str, list[str]]:
    """Rows of a Markdown table by their first cell."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_mean_interval_and_n(tmp_path: Path) -> None:
    """A row is the geometric mean over the seeds for a metric on the log scale, with the interval of the logarithms."""
    fabricate.benchmark(tmp_path, [GAN])
    _fill(tmp_path, GAN, [1.0, 2.0, 4.0])
    row = tables.table(tmp_path).iloc[0]
    interval = stats.ttest_1samp(np.log([1.0, 2.0, 4.0]), 0).confidence_interval(0.95)
    assert (row["n"], row["planned"]) == (3, 3)
    assert row["symmetric_kl"] == pytest.approx(2.0)
    assert (row["symmetric_kl_low"], row["symmetric_kl_high"]) == pytest.approx(tuple(np.exp(interval)))
    assert math.isnan(row["modes"])
    assert _lines(tables.render(tmp_path))["GAN"][:2] == ["3", "2.00 (0.36\N{EN DASH}11)"]


@pytest.mark.parametrize("status", ["failed", "diverged", "running", "interrupted"])
def test_a_row_with_an_unfinished_seed_is_never_marked(tmp_path: Path, status: str) -> None:
    """With an unfinished seed, a row shows "2/3" and omits the values of that seed."""
    fabricate.benchmark(tmp_path, [GAN, MGAN])
    _fill(tmp_path, GAN, [0.1, 0.1])
    rows: fabricate.Rows = [(1000, None, "symmetric_kl", 99.0)]
    fabricate.run(tmp_path, Run(GAN, 2, status=status, iteration=1000, rows=rows))
    _fill(tmp_path, MGAN, [5.0, 5.0, 5.0])
    lines = _lines(tables.render(tmp_path))
    assert lines["GAN"][:2] == ["2/3", "0.100 (all equal)"]
    assert tables.table(tmp_path)["marked"].tolist() == ["", ""]


def test_a_seed_that_never_ran_counts_as_missing(tmp_path: Path, messages: Messages) -> None:
    """The planned number is that of the benchmark's seeds and of other seeds with runs."""
    fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1, 2])
    fabricate.run(tmp_path, simple(GAN, 0, 1.0))
    fabricate.run(tmp_path, simple(GAN, 9, 1.0))
    text = tables.render(tmp_path)
    assert _lines(text)["GAN"][0] == "2/4"
    assert _lines(text)["MGAN"][:2] == ["0/3", MISSING]
    messages.check(_note(text, "5 not started"), "2 finished")


@pytest.mark.parametrize(("primary", "marked"), [("symmetric_kl", "MGAN"), ("high_quality", "third")])
def test_the_primary_metric_marks_by_its_direction(tmp_path: Path, primary: str, marked: str) -> None:
    """Only the primary metric marks: the lowest or highest that no other row beats."""
    third = Model("third")
    names = ["symmetric_kl", "high_quality"]
    fabricate.benchmark(tmp_path, [GAN, MGAN, third], metrics=names)
    with _described(tmp_path) as content:
        content["evaluation"]["primary"] = primary
    for seed, (model, value) in itertools.product(range(3), ((GAN, 0.5), (MGAN, 0.2), (third, 0.8))):
        fabricate.run(tmp_path, Run(model, seed, rows=[(0, None, name, value + 0.01 * seed) for name in names]))
    frame = tables.table(tmp_path)
    assert dict(zip(frame["label"], frame["marked"], strict=True)) == {"GAN": "", "MGAN": "", "third": ""} | {
        marked: primary
    }
    cell = _lines(tables.render(tmp_path))[marked][1 + names.index(primary)]
    assert cell.startswith("**") and cell.endswith("**")


def test_one_seed_has_no_mark(tmp_path: Path, messages: Messages) -> None:
    """One seed gives no estimate of the spread between seeds, so nothing is marked and there is no interval."""
    fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0])
    for model, value in ((GAN, 2.0), (MGAN, 1.0)):
        _fill(tmp_path, model, [value])
    assert tables.table(tmp_path)["marked"].tolist() == ["", ""]
    text = tables.render(tmp_path)
    assert _lines(text)["MGAN"][:2] == ["1", "1.00"]
    messages.check(_note(text, "Nothing is marked"), "symmetric_kl", "3 seeds")


class TestSomeSeeds:
    """Tables of the complete seeds, while others are still running."""

    def test_omit_other_seeds(self, tmp_path: Path, messages: Messages) -> None:
        """A run of another seed is neither a value nor missing. The title has the number of seeds."""
        fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1, 2])
        for model in (GAN, MGAN):
            _fill(tmp_path, model, [1.0, 3.0])
        fabricate.run(tmp_path, simple(GAN, 2, 99.0))
        text = tables.render_table(tables.write_tables(tmp_path, [0, 1]), "markdown")
        assert text == (tmp_path / "table.md").read_text(encoding="utf-8")
        assert "### synthetic8 (2 of 3 seeds): ring8" in text
        assert _lines(text)["GAN"][:2] == ["2", "1.73 (0.0016\N{EN DASH}1,861)"]
        messages.check(_note(text, "4 finished"))

    def test_list_runs_that_did_not_finish(self, tmp_path: Path, messages: Messages) -> None:
        """Failures of a complete seed are counted and listed."""
        fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1])
        _fill(tmp_path, GAN, [1.0])
        fabricate.run(tmp_path, Run(MGAN, 0, status="diverged", iteration=500, rows=[(0, None, "symmetric_kl", 9.0)]))
        text = tables.render_table(tables.write_tables(tmp_path, [0]), "markdown")
        assert _lines(text)["MGAN"][:2] == ["0/1", MISSING]
        messages.check(_note(text, "MGAN", "seed 0", "diverged"), "500")

    def test_all_of_them_give_the_whole_table(self, tmp_path: Path) -> None:
        fabricate.benchmark(tmp_path, [GAN], seeds=[0, 1])
        _fill(tmp_path, GAN, [1.0, 2.0])
        assert tables.write_tables(tmp_path, [0, 1]) == tables.write_tables(tmp_path)


class TestText:
    """The table in a terminal."""

    def shown(self, folder: Path, width: int) -> str:
        return to_text(tables.build(read_results(folder)), width)

    @pytest.mark.parametrize("width", [60, 80, 120, 400])
    def test_fits_the_terminal_and_loses_nothing(self, tmp_path: Path, width: int) -> None:
        """No line is wider than the terminal. Every column is in a block, with the labels of all rows."""
        names = ["symmetric_kl", "wasserstein", "modes", "high_quality", "purity"]
        fabricate.benchmark(tmp_path, [GAN, MGAN, REAL], seeds=[0, 1], metrics=names)
        for model, seed in itertools.product((GAN, MGAN, REAL), (0, 1)):
            rows: fabricate.Rows = [(0, None, name, 1.5 + seed) for name in names]
            fabricate.run(tmp_path, Run(model, seed, iteration=0, rows=rows))
        text = self.shown(tmp_path, width)
        assert max(map(len, text.splitlines())) <= width
        assert all(text.count(name) >= 1 for name in (*names, "parameters", "real samples", "seconds"))
        blocks = text.count("model ")
        assert sum(line.startswith("MGAN ") for line in text.splitlines()) == blocks
        assert (blocks == 1) == (width == 400)

    def test_marks_the_leader_and_explains_the_mark(self, tmp_path: Path) -> None:
        fabricate.benchmark(tmp_path, [GAN, MGAN])
        _fill(tmp_path, GAN, [2.0, 2.0, 2.0])
        _fill(tmp_path, MGAN, [1.0, 1.0, 1.0])
        text = self.shown(tmp_path, 120)
        assert "*1.00 (all equal)" in text and "*2.00" not in text and "* leads by the primary metric" in text

    def test_keeps_long_labels_distinct(self, tmp_path: Path) -> None:
        """Labels of an ablation differ at the end, so the middle is omitted."""
        models = [Model(f"MGAN with eight generators, beta={beta}", f"mgan{beta}") for beta in (0.25, 0.5)]
        fabricate.benchmark(tmp_path, models, seeds=[0])
        for model in models:
            _fill(tmp_path, model, [1.0])
        starts = {line[:20] for line in self.shown(tmp_path, 60).splitlines() if line.startswith("MGAN")}
        assert len(starts) == 2 and all("…" in start for start in starts)

    def test_shows_control_characters_as_spaces(self, tmp_path: Path) -> None:
        """Control characters of a label do not reach the terminal. A long label is cut."""
        hostile = Model("\x1b[31mred\x1b[0m\nline " + "long " * 30)
        fabricate.benchmark(tmp_path, [hostile], seeds=[0])
        _fill(tmp_path, hostile, [1.0])
        text = self.shown(tmp_path, 60)
        assert "\x1b" not in text and "[31mred" in text and "…" in text
        assert max(map(len, text.splitlines())) <= 60


def test_models_that_no_test_separates_are_marked_together(tmp_path: Path, messages: Messages) -> None:
    """Two leaders of four are marked. If more than half would be, none is, and a note gives the reason."""
    models = [Model(f"model{number}") for number in range(4)]
    values = ([1.0, 1.1, 1.2], [1.1, 1.0, 1.2], [5.0, 5.1, 5.2], [6.0, 6.1, 6.2])
    for count, expected in ((4, ["symmetric_kl", "symmetric_kl", "", ""]), (3, ["", "", ""])):
        folder = fabricate.benchmark(tmp_path / str(count), models[:count])
        for model, each in zip(models[:count], values, strict=False):
            _fill(folder, model, each)
        assert tables.table(folder)["marked"].tolist() == expected
        messages.check(_note(tables.render(folder), "arked", "by symmetric_kl"))


def test_a_model_that_has_more_information_is_never_marked(tmp_path: Path, messages: Messages) -> None:
    """The benchmark names such models, and a note the reason."""
    fabricate.benchmark(tmp_path, [GAN, MGAN, Model("X"), Model("Y")])
    with _described(tmp_path) as content:
        content["evaluation"]["oracles"] = ["MGAN"]
    for model, value in ((GAN, 2.0), (MGAN, 1.0), (Model("X"), 3.0), (Model("Y"), 4.0)):
        _fill(tmp_path, model, [value, 1.1 * value, 1.2 * value])
    assert tables.table(tmp_path)["marked"].tolist() == ["symmetric_kl", "", "", ""]
    messages.check(_note(tables.render(tmp_path), "Never marked"), "MGAN")


class TestVerdicts:
    """Lines below the table on the comparisons with the baseline."""

    def _fill(self, folder: Path, **evaluation: object) -> str:
        fabricate.benchmark(folder, [GAN, MGAN, Model("X"), REAL], seeds=range(5))
        with _described(folder) as content:
            content["evaluation"] |= evaluation
        for model, value in ((GAN, 2.0), (MGAN, 1.0), (Model("X"), 2.1), (REAL, 0.01)):
            _fill(folder, model, [value * factor for factor in (1.0, 1.03, 0.98, 1.01, 0.97 + 0.01 * value)])
        return tables.render(folder)

    def test_name_test_effect_and_p(self, tmp_path: Path, messages: Messages) -> None:
        """Each model is compared with the first one."""
        text = self._fill(tmp_path)
        for parts in (("Compared with GAN", "Holm"), ("MGAN", "better"), ("X", "equivalent")):
            messages.check(_note(text, *parts))

    def test_follow_the_benchmark(self, tmp_path: Path, messages: Messages) -> None:
        """Baseline and margin are the benchmark's."""
        text = self._fill(tmp_path, baseline="MGAN", margins={"symmetric_kl": 0.01})
        for parts in (("Compared with MGAN",), ("GAN: worse",), ("X: worse",)):
            messages.check(_note(text, *parts))

    def test_are_left_out_of_a_choice_by_hindsight(self, tmp_path: Path) -> None:
        """With at="best" there are neither marks nor verdicts."""
        self._fill(tmp_path)
        assert tables.table(tmp_path, at="best")["marked"].eq("").all()
        assert "Compared with" not in tables.render(tmp_path, at="best")

    def test_are_shortened_for_many_models(self, tmp_path: Path, messages: Messages) -> None:
        """Twelve are listed, and the command that lists all."""
        models = [Model(f"model{number}") for number in range(15)]
        fabricate.benchmark(tmp_path, models)
        for place, model in enumerate(models):
            _fill(tmp_path, model, [1.0 + place, 1.2 + place, 1.1 + place])
        messages.check(_note(tables.render(tmp_path), "gan-bench compare"), "2 more")


def test_a_collapsed_seed_is_named(tmp_path: Path, messages: Messages) -> None:
    """The cell has a question mark, and a note lists all seeds and the exact interval."""
    fabricate.benchmark(tmp_path, [GAN], seeds=range(5))
    _fill(tmp_path, GAN, [0.05, 0.06, 0.07, 0.055, 9.1])
    text = tables.render(tmp_path)
    assert _lines(text)["GAN"][1].endswith("?")
    messages.check(_note(text, "collapsed"), "1 of 5", "9.1")


def test_counts_are_ranges_with_complete_seeds(tmp_path: Path) -> None:
    """A cell has the range over the seeds and how many reach the value of real data, and never "± 0.00"."""
    fabricate.benchmark(tmp_path, [GAN, MGAN, REAL], metrics=["modes"])
    for model, values in ((GAN, [6.0, 8.0, 7.0]), (MGAN, [8.0, 8.0, 8.0]), (REAL, [8.0, 8.0, 8.0])):
        _fill(tmp_path, model, values, "modes")
    lines = _lines(tables.render(tmp_path))
    assert (lines["GAN"][1], lines["MGAN"][1]) == ("6\N{EN DASH}8 (1/3)", "**8 (3/3)**")


def test_each_dataset_has_its_marks(tmp_path: Path) -> None:
    """Datasets are separate tables."""
    fabricate.benchmark(tmp_path, [GAN, MGAN], datasets=["ring8", "grid25"])
    for dataset, values in (("ring8", (1.0, 2.0)), ("grid25", (20.0, 10.0))):
        for seed, (model, value) in itertools.product(range(3), zip((GAN, MGAN), values, strict=True)):
            rows: fabricate.Rows = [(0, None, "symmetric_kl", value + 0.01 * seed)]
            fabricate.run(tmp_path, Run(model, seed, dataset=dataset, rows=rows))
    frame = tables.table(tmp_path)
    assert frame["dataset"].tolist() == ["ring8", "ring8", "grid25", "grid25"]
    assert frame["marked"].tolist() == ["symmetric_kl", "", "", "symmetric_kl"]
    text = tables.render(tmp_path)
    assert text.index("### synthetic8: ring8") < text.index("### synthetic8: grid25")


def test_anchors_are_below_and_never_marked(tmp_path: Path) -> None:
    """Real data has better values than every model, is below the models after a rule, and is not marked."""
    fabricate.benchmark(tmp_path, [GAN, MGAN, REAL, UNTRAINED])
    for seed, (model, value) in itertools.product(range(3), ((GAN, 3.0), (MGAN, 7.0), (REAL, 0.05), (UNTRAINED, 9.0))):
        fabricate.run(tmp_path, Run(model, seed, iteration=0, iterations=0, rows=[(0, None, "symmetric_kl", value)]))
    text = tables.render(tmp_path)
    lines = _lines(text)
    assert list(lines)[-5:] == ["GAN", "MGAN", "*anchors*", "real-data", "untrained"]
    assert (lines["GAN"][1], lines["real-data"][1]) == ("**3.00 (all equal)**", "0.0500 (all equal)")
    latex = tables.render(tmp_path, "latex")
    assert latex.index("GAN") < latex.rindex(r"\midrule") < latex.index("real-data")


def test_values_that_are_not_finite_are_shown(tmp_path: Path, messages: Messages) -> None:
    """nan and inf of finished runs are shown in every format, and are never marked."""
    fabricate.benchmark(tmp_path, [GAN, MGAN, Model("X")], seeds=[0, 1])
    for model, values in ((GAN, [1.0, math.nan]), (MGAN, [1.0, math.inf]), (Model("X"), [7.0, 7.0])):
        _fill(tmp_path, model, values)
    text = tables.render(tmp_path)
    lines = _lines(text)
    assert (lines["GAN"][1], lines["MGAN"][1], lines["X"][1]) == ("nan", "inf", "7.00 (all equal)")
    messages.check(_note(text, "nan, inf"))
    records = list(csv.DictReader(io.StringIO(tables.render(tmp_path, "csv"))))
    assert [record["symmetric_kl"] for record in records] == ["nan", "inf", "7.0"]
    assert [record["modes"] for record in records] == ["", "", ""]


def test_best_is_one_iteration_for_all_metrics(tmp_path: Path, messages: Messages) -> None:
    """at="best" is the iteration of each run's lowest symmetric_kl. Metrics without a value there are missing."""
    fabricate.benchmark(tmp_path, [GAN], seeds=[0, 1])
    for seed, (low, high) in enumerate(((500, 2.0), (1000, 4.0))):
        rows: fabricate.Rows = [(t, None, "symmetric_kl", 1.0 if t == low else 9.0) for t in (0, 500, 1000)]
        rows += [(low, None, "modes", high), (2000, None, "symmetric_kl", math.nan)]
        rows += [(0, None, "wasserstein", 5.0), (2000, None, "modes", 0.0), (2000, None, "wasserstein", 6.0)]
        fabricate.run(tmp_path, Run(GAN, seed, rows=rows))
    row = tables.table(tmp_path, at="best").iloc[0]
    assert (row["symmetric_kl"], row["modes"]) == (1.0, 3.0)
    text = tables.render(tmp_path, at="best")
    assert _lines(text)["GAN"][:4] == ["2", "1.00 (all equal)", MISSING, "2\N{EN DASH}4 (1/2)"]
    messages.check(_note(text, "wasserstein", "GAN"), "best iteration")
    messages.check(_note(text, "Evaluation:"), "lowest symmetric_kl")
    last = tables.table(tmp_path).iloc[0]
    assert (last["modes"], last["wasserstein"]) == (0.0, 6.0) and math.isnan(last["symmetric_kl"])


def test_best_needs_symmetric_kl(tmp_path: Path, messages: Messages) -> None:
    """at="best" without symmetric_kl is a usage error with a remedy."""
    fabricate.benchmark(tmp_path, [GAN], metrics=["modes"])
    _fill(tmp_path, GAN, [1.0], "modes")
    with messages.raises(UsageError, tmp_path, "symmetric_kl", "[evaluation] metrics"):
        tables.table(tmp_path, at="best")


def test_a_cell_of_fewer_seeds_shows_n_and_is_not_marked(tmp_path: Path) -> None:
    """A metric with values in two of three finished runs shows n=2."""
    fabricate.benchmark(tmp_path, [GAN, MGAN, Model("X")])
    for seed in range(3):
        rows: fabricate.Rows = [(2000, None, "modes", 8.0)]
        rows += [(2000, None, "symmetric_kl", 0.5)] if seed else []
        fabricate.run(tmp_path, Run(GAN, seed, rows=rows))
    _fill(tmp_path, MGAN, [6.0, 6.0, 6.0])
    _fill(tmp_path, Model("X"), [9.0, 9.0, 9.0])
    lines = _lines(tables.render(tmp_path))
    assert lines["GAN"][1] == "0.500 (all equal) (n=2)"
    assert tables.table(tmp_path)["marked"].tolist() == ["", "symmetric_kl", ""]


def test_the_benchmarks_sample_size_is_preferred(tmp_path: Path, messages: Messages) -> None:
    """Of two values from different numbers of samples, that with the benchmark's number is shown."""
    fabricate.benchmark(tmp_path, [GAN], seeds=[0])
    run = fabricate.run(tmp_path, Run(GAN, rows=[(2000, None, "symmetric_kl", 1.0)]))
    with open(run / "curve.csv", "a") as file:
        file.write("2000,,symmetric_kl,2.0,50000,1\n")
    assert tables.table(tmp_path)["symmetric_kl"].tolist() == [1.0]
    assert "numbers of samples" not in tables.render(tmp_path)
    fabricate.run(tmp_path, Run(GAN, 1, rows=[(2000, None, "symmetric_kl", 1.0)], samples=500))
    messages.check(_note(tables.render(tmp_path), "symmetric_kl:", "numbers of samples"), "500; 10,000")


def test_headings_ledger_and_units(tmp_path: Path) -> None:
    """Headings have direction and unit. Numbers of the ledger have thousands separators."""
    fabricate.benchmark(tmp_path, [GAN], seeds=[0])
    _fill(tmp_path, GAN, [1.0])
    lines = _lines(tables.render(tmp_path))
    assert lines["model"] == [
        *("n", "symmetric_kl ↓ (nats)", "wasserstein ↓ (data units)", "modes ↑"),
        *("parameters", "real samples", "fake samples", "seconds"),
    ]
    assert lines["GAN"][-4:] == ["199,427", "1,024,000", "2,048,000", "12.5"]


@contextmanager
def _described(folder: Path) -> Iterator[dict[str, Any]]:
    """The content of benchmark.json, written back with changes."""
    path = folder / "benchmark.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    yield content
    path.write_text(json.dumps(content), encoding="utf-8")


class TestHeldOutData:
    """Notes on the row real-data, if a dataset has few held-out samples."""

    METRICS = ("symmetric_kl", "wasserstein")

    def _made(self, folder: Path, *, held_out: int | None, used: int, seeds: int = 2, needs: int = 50_000) -> str:
        """The table of a GAN and of real data, scored on `used` samples; wasserstein needs `needs` samples."""
        fabricate.benchmark(folder, [GAN, REAL], seeds=range(seeds), metrics=self.METRICS)
        with _described(folder) as content:
            content["datasets"][0]["held_out"] = held_out
            content["metrics"]["wasserstein"]["needs"] = needs
        for seed in range(seeds):
            rows: fabricate.Rows = [(0, None, name, 1.0) for name in self.METRICS]
            fabricate.run(folder, Run(GAN, seed, rows=rows))
            few = rows if held_out is None or needs <= used else rows[:1]
            fabricate.run(folder, Run(REAL, seed, rows=few, samples=used))
        return tables.render(folder)

    def test_too_few_explain_a_missing_value(self, tmp_path: Path, messages: Messages) -> None:
        """The note names the metric, the samples that it needs, and those that exist, also from results.csv alone."""
        text = self._made(tmp_path, held_out=10_000, used=10_000)
        assert _lines(text)["real-data"][2] == MISSING
        assert "final iteration of" not in text
        expected = _note(text, "real-data", "50,000")
        messages.check(expected, "wasserstein", "50,000", "ring8", "10,000")
        write_results_csv(tmp_path)
        shutil.rmtree(tmp_path / "runs")
        assert expected in tables.render(tmp_path)

    def test_enough_need_no_note(self, tmp_path: Path) -> None:
        """There is no note for enough samples, nor for unlimited ones."""
        assert "- real-data" not in self._made(tmp_path / "a", held_out=50_000, used=10_000, needs=10_000)
        assert "- real-data" not in self._made(tmp_path / "b", held_out=None, used=10_000)

    def test_of_many_datasets_are_one_note(self, tmp_path: Path, messages: Messages) -> None:
        """The note has the smallest and the largest number."""
        labels = [f"d{number}" for number in range(5)]
        fabricate.benchmark(tmp_path, [GAN, REAL], datasets=labels, metrics=["symmetric_kl"])
        with _described(tmp_path) as content:
            content["metrics"]["symmetric_kl"]["needs"] = 3_000
            for position, dataset in enumerate(content["datasets"], 1):
                dataset["held_out"] = 1_000 * position
        fabricate.run(tmp_path, Run(GAN, dataset="d0"))
        messages.check(_note(tables.render(tmp_path), "real-data"), "3,000", "d0", "1,000", "d1", "2,000")
        with _described(tmp_path) as content:
            content["metrics"]["symmetric_kl"]["needs"] = 9_000
        messages.check(_note(tables.render(tmp_path), "real-data"), "9,000", "5 datasets", "1,000 to 5,000")

    def test_all_scored_have_no_noise_over_seeds(self, tmp_path: Path, messages: Messages) -> None:
        """There is one note, only if several seeds use all held-out samples."""
        every = "every seed"
        messages.check(
            _note(self._made(tmp_path / "all", held_out=10_000, used=10_000), every), "real-data", "ring8", "10,000"
        )
        assert every not in self._made(tmp_path / "some", held_out=20_000, used=10_000)
        assert every not in self._made(tmp_path / "one", held_out=10_000, used=10_000, seeds=1)
        assert every not in self._made(tmp_path / "endless", held_out=None, used=10_000)


def test_merged_folders_count_the_seeds_that_were_found(tmp_path: Path) -> None:
    """A benchmark of one seed, with the runs of another seed copied into it, has two training seeds."""
    fabricate.benchmark(tmp_path, [GAN], seeds=[0])
    _fill(tmp_path, GAN, [1.0, 2.0])
    text = tables.render(tmp_path)
    assert _lines(text)["GAN"][0] == "2"
    assert "2 training seeds" in text and "one training seed" not in text


def test_nothing_is_marked_while_runs_are_missing(tmp_path: Path, messages: Messages) -> None:
    """A note names the models that lack seeds."""
    models = [Model(f"model{number}") for number in range(4)]
    fabricate.benchmark(tmp_path, [*models, REAL])
    for place, model in enumerate(models):
        _fill(tmp_path, model, [1.0 + place, 2.0 + place, 3.0 + place][: 3 if place < 3 else 2])
    text = tables.render(tmp_path)
    assert "**" not in text
    messages.check(_note(text, "Nothing is marked"), "model3")


def test_a_summary_has_labels_seeds_and_metrics(tmp_path: Path) -> None:
    """At the width of a terminal, the ledger and the notes are left out, and long labels are shortened."""
    models = [Model("a label of an ablation that is longer than the others"), GAN]
    fabricate.benchmark(tmp_path, models, seeds=[0])
    for model in models:
        _fill(tmp_path, model, [1.0])
    text = to_text(tables.build(read_results(tmp_path), ["symmetric_kl"]), 80, notes=False, ledger=False)
    lines = text.splitlines()
    assert lines[2].split() == ["model", "n", "symmetric_kl", "↓", "(nats)"]
    assert len(lines) == 6 and max(map(len, lines)) <= 80
    assert "seconds" not in text and "Protocol" not in text


def test_rows_of_latex_that_begin_with_a_bracket_or_star(tmp_path: Path) -> None:
    r"""`\\` and rules take such a character as their argument, so an empty group comes before it."""
    models = [Model("[2pt]"), Model("*")]
    fabricate.benchmark(tmp_path, models, seeds=[0])
    latex = tables.render(tmp_path, "latex")
    assert "\n{}[2pt] & " in latex and "\n{}* & " in latex


def test_cells_of_csv_are_no_formulas(tmp_path: Path) -> None:
    """Such a label has an apostrophe in front, which `load_results` removes; numbers are unchanged."""
    labels = ["=1+1", "@x", "-x", "'=y", "-5"]
    fabricate.benchmark(tmp_path, [Model(label) for label in labels], seeds=[0])
    for label in labels:
        fabricate.run(tmp_path, simple(Model(label), 0, -1.5), name=f"run{labels.index(label)}")
    shown = ["'=1+1", "'@x", "'-x", "''=y", "-5"]
    records = list(csv.DictReader(io.StringIO(tables.render(tmp_path, "csv"))))
    assert [record["label"] for record in records] == shown
    assert {record["symmetric_kl"] for record in records} == {"-1.5"}
    written = write_results_csv(tmp_path)
    assert (
        list(dict.fromkeys(row["label"] for row in csv.DictReader(io.StringIO(written.read_text(encoding="utf-8")))))
        == shown
    )
    shutil.rmtree(tmp_path / "runs")
    assert read_results(tmp_path).frame["label"].unique().tolist() == labels


def test_footnotes_of_a_dataset_mark_its_rows_only(tmp_path: Path) -> None:
    """Departures mark the rows of every dataset. Each number belongs to one text."""
    fabricate.benchmark(tmp_path, [Model("A", departures=("x = 1",))], datasets=["ring8", "grid25"])
    with _described(tmp_path) as content:
        content["models"][0]["footnotes"] = {"ring8": ["a pool of 20"], "grid25": ["a pool of 10"]}
    text = tables.render(tmp_path)
    assert "1. x = 1\n2. a pool of 20\n3. a pool of 10\n" in text
    assert tables.table(tmp_path)["departures"].tolist() == ["x = 1; a pool of 20", "x = 1; a pool of 10"]


def test_labels_that_a_model_reads_are_a_footnote(tmp_path: Path) -> None:
    """A row whose runs read labels has a footnote, unless the model has its own footnote on labels."""
    own = "uses the labels of the data: one generator for each class"
    models = [
        Model("A", reads_labels=True, departures=("x = 1",)),
        Model("B", reads_labels=True, departures=(own,)),
        Model("C", reads_labels=True),
        Model("D"),
    ]
    fabricate.benchmark(tmp_path, models)
    for model in models:
        fabricate.run(tmp_path, simple(model, 0, 1.0))
    text = tables.render(tmp_path)
    assert f"1. x = 1\n2. uses the labels of the data\n3. {own}\n" in text
    assert {"A [1, 2]", "B [3]", "C [2]", "D"} <= set(_lines(text))


def test_labels_are_a_footnote_of_their_dataset_only(tmp_path: Path) -> None:
    """A model that reads labels of one dataset is not marked on another, which has none."""
    model = Model("A", reads_labels=True)
    fabricate.benchmark(tmp_path, [model], datasets=["ring8", "rings"])
    fabricate.run(tmp_path, simple(model, 0, 1.0))
    fabricate.run(tmp_path, replace(simple(Model("A"), 0, 1.0), dataset="rings"))
    assert tables.table(tmp_path)["departures"].tolist() == ["uses the labels of the data", ""]


def test_parameters_other_than_the_defaults_are_notes(tmp_path: Path) -> None:
    """Rows whose parameters differ from the defaults have a line with these, and rows of defaults have none."""
    fabricate.benchmark(tmp_path, [Model("A|1"), Model("B"), Model("C"), Model("D")])
    with _described(tmp_path) as content:
        content["models"][0]["other_params"] = ["beta 0.5 instead of 0.125", "shared nothing instead of body"]
        for other in content["models"][2:]:
            other["other_params"] = ["generators 4 instead of 8"]
    text = tables.render(tmp_path)
    assert "- Parameters of A\\|1: beta 0.5 instead of 0.125; shared nothing instead of body.\n" in text
    assert "- Parameters of C, D: generators 4 instead of 8.\n" in text
    assert text.count("Parameters of") == 2
    assert "Parameters of A|1: beta 0.5" in tables.table(tmp_path).attrs["notes"][2]


def test_departures_are_numbered_footnotes(tmp_path: Path) -> None:
    """A departure has the same number in all rows, and its text is below the table."""
    models = [Model("A", departures=("x = 1",)), Model("B", departures=("y = 2", "x = 1")), Model("C")]
    fabricate.benchmark(tmp_path, models)
    text = tables.render(tmp_path)
    assert {"A [1]", "B [1, 2]", "C"} <= set(_lines(text))
    assert "Departures from the protocol:\n\n1. x = 1\n2. y = 2\n" in text
    assert r"B\textsuperscript{1,2} &" in tables.render(tmp_path, "latex")
    assert tables.table(tmp_path)["departures"].tolist() == ["x = 1", "x = 1; y = 2", ""]


def test_the_showcase_has_all_notes(tmp_path: Path, messages: Messages) -> None:
    """Notes are on protocol, evaluation, sharing, unfinished runs with their errors, other runs and ignored ones."""
    fabricate.showcase(tmp_path, iterations=5000, seeds=5)
    fabricate.run(tmp_path, simple(Model("elsewhere"), 0, 1.0))
    (tmp_path / "runs" / "broken").mkdir()
    text = tables.render(tmp_path)
    for parts in (
        ("Protocol:", "2,000 iterations", "512 real", "1,024 generated samples", "256"),
        ("Evaluation:", "10,000 samples", "5 training seeds", "final"),
        ("MAD-GAN, MGAN", "all layers but the first"),
        ("multi-discriminator MGAN", "nothing"),
        ("38 finished", "1 diverged", "1 failed"),
        ("MAD-GAN", "seed 3", "failed", "7,200 of 5,000", "RunError: CUDA out of memory"),
        ("1 stored run",),
        ("ignored: runs/broken",),
    ):
        messages.check(_note(text, *parts))


def test_hostile_labels_stay_in_their_cells(tmp_path: Path) -> None:
    """Pipes, TeX specials and HTML in labels and errors are escaped in every format."""
    fabricate.benchmark(tmp_path, [Model(label) for label in HOSTILE], seeds=[0])
    for label in HOSTILE:
        error = ("RunError", "| <i>\n&amp; $x$ \\end{tabular}")
        fabricate.run(tmp_path, Run(Model(label), status="failed", error=error))
    text = tables.render(tmp_path)
    table_lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in table_lines}) == 1
    assert r"| a\|b " in text and r"| 50%\_x & \$y " in text and r"| \<b> " in text
    assert r"RunError: \| \<i> \&amp; \$x\$ \\end{tabular}" in text
    latex = tables.render(tmp_path, "latex")
    assert r"50\%\_x \& \$y &" in latex and r"\textless{}b\textgreater{} &" in latex
    assert latex.count(r"\end{tabular}") == 1 and latex.count("{") - latex.count(r"\{") == latex.count(
        "}"
    ) - latex.count(r"\}")
    records = list(csv.DictReader(io.StringIO(tables.render(tmp_path, "csv"))))
    assert [record["label"] for record in records] == list(HOSTILE)


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        ("symmetric_kl", "symmetric_kl"),
        ("_a_ b_c", r"\_a\_ b_c"),
        ("a * b `c` ~d~", r"a \* b \`c\` \~d\~"),
        ("[x](y) [0.5]", r"[x\](y) [0.5]"),
        ("R&D &lt;", r"R&D \&lt;"),
        ("a\n\tb", "a b"),
    ],
)
def test_markdown_escapes_only_markup(plain: str, escaped: str) -> None:
    """Text that Markdown would format is escaped. Other text stays legible in a terminal."""
    assert escape.markdown(plain) == escaped


def test_latex_escapes_every_special() -> None:
    """All ten special characters, and characters that the standard fonts lack, are replaced."""
    assert escape.latex("&%$#_{}") == r"\&\%\$\#\_\{\}"
    assert escape.latex("~^\\<>|") == (
        r"\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}\textgreater{}\textbar{}"
    )
    assert escape.latex(f"1 ± 2 ↓ {MISSING}") == r"1 $\pm$ 2 $\downarrow$ --"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (Estimate(1.0234, 0.9247, 1.1221, (1.0,) * 5), "1.02 ± 0.10"),
        (Estimate(0.04731, 0.04421, 0.05041, (1.0,) * 5), "0.0473 ± 0.0031"),
        (Estimate(0.9889, 0.9885, 0.9893, (1.0,) * 5), "0.9889 ± 0.0004"),
        (Estimate(8.0, None, None, (8.0,) * 5), "8.00 (all equal)"),
        (Estimate(0.0, None, None, (0.0,) * 5), "0.00 (all equal)"),
        (Estimate(0.02, -2.98, 3.02, (1.0,) * 5), "0.02 ± 3.00"),
        (Estimate(-12.345, -13.845, -10.845, (1.0,) * 5), "-12.3 ± 1.5"),
        (Estimate(1234567.8, 1233567.8, 1235567.8, (1.0,) * 5), "1,234,568 ± 1,000"),
        (Estimate(3.2e-6, 3.1e-6, 3.3e-6, (1.0,) * 5), "3.20e-06 ± 1.00e-07"),
        (Estimate(math.nan, None, None, (math.nan,) * 5), "nan"),
        (Estimate(math.inf, None, None, (math.inf,) * 5), "inf"),
        (Estimate(0.757, 0.6123, 0.935, (1.0,) * 5, "log"), "0.757 (0.61\N{EN DASH}0.94)"),
        (Estimate(0.41, 0.0021, 81.4, (1.0,) * 5, "log", collapsed=1), "0.410 (0.0021\N{EN DASH}81)?"),
        (Estimate(0.9932, 0.98, 0.9991, (1.0,) * 5, "share"), "0.993 (0.980\N{EN DASH}0.999)"),
        (Estimate(0.009, 1.6e-31, 0.97, (1.0,) * 5, "share"), "0.00900 (<0.001\N{EN DASH}0.97)"),
        (Estimate(7.2, None, None, (6.0, 8.0, 7.0, 7.0, 8.0), "count", complete=2), "6\N{EN DASH}8 (2/5)"),
        (Estimate(7.2, None, None, (6.0, 8.0, 7.0, 7.0, 8.0), "count"), "6\N{EN DASH}8"),
        (None, MISSING),
    ],
)
def test_numbers_are_formatted_by_their_scale(values: Estimate | None, text: str) -> None:
    """Mean and half-width have the same decimals, with three significant digits of the larger; limits have two."""
    assert number(values, 5) == text


def test_metrics_are_chosen_by_name(tmp_path: Path, messages: Messages) -> None:
    """Metrics may be any stored ones, in any order. For an unknown name the error suggests the closest."""
    fabricate.benchmark(tmp_path, [GAN])
    _fill(tmp_path, GAN, [1.0], "sliced_wasserstein")
    frame = tables.table(tmp_path, ["modes", "sliced_wasserstein"])
    names = [name for name in frame.columns if name in fabricate.METRICS]
    assert names == ["modes", "sliced_wasserstein"]
    with messages.raises(UsageError, "'mode'", "'modes'"):
        tables.table(tmp_path, ["mode"])
    with messages.raises(UsageError, "'html'", "latex"):
        tables.render(tmp_path, "html")  # type: ignore[arg-type]
    with messages.raises(UsageError, "'beast'", "'best'"):
        tables.table(tmp_path, at="beast")  # type: ignore[arg-type]


def test_a_bare_csv_takes_directions_from_the_installed_metrics(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    """Without benchmark.json, units and directions are those of plugins, anchors have known names; a note explains."""
    fabricate.benchmark(tmp_path, [REAL, GAN, MGAN], seeds=[0, 1], metrics=["modes"])
    for model, values in ((GAN, [1.0, 2.0]), (MGAN, [8.0, 8.0]), (REAL, [8.5, 8.5])):
        _fill(tmp_path, model, values, "modes")

    class Modes:
        direction, unit, scale = "higher", "modes", "count"

    class Registry:
        def all(self, kind: str) -> dict[str, type]:
            return {"modes": Modes}

    monkeypatch.setattr(discovery, "load_plugins", lambda kinds: Registry())
    bare = tmp_path_factory.mktemp("bare") / "published.csv"
    bare.write_bytes(write_results_csv(tmp_path).read_bytes())
    text = tables.render(bare)
    lines = _lines(text)
    assert lines["model"][:2] == ["n", "modes ↑"]
    assert list(lines)[-4:] == ["GAN", "MGAN", "*anchors*", "real-data"]
    assert (lines["MGAN"][1], lines["real-data"][1]) == ("8 (0/2)", "8.5 (2/2)")
    messages.check(_note(text, "benchmark.json"), "results.csv")


def test_write_tables(tmp_path: Path) -> None:
    """table.md and table.csv contain the output of `render`."""
    fabricate.benchmark(tmp_path, [GAN])
    _fill(tmp_path, GAN, [1.0])
    assert tables.write_tables(tmp_path) == tables.build(read_results(tmp_path))
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == tables.render(tmp_path)
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == tables.render(tmp_path, "csv")


def test_the_command(tmp_path: Path, messages: Messages) -> None:
    """`gan-bench table` prints the output of `render`. Warnings of a csv are on stderr."""
    fabricate.benchmark(tmp_path, [GAN])
    _fill(tmp_path, GAN, [1.0])
    (tmp_path / "runs" / "x").mkdir()
    plain = CliRunner().invoke(command, [str(tmp_path), "--metrics", "modes, symmetric_kl", "--at", "best"])
    assert plain.stdout == tables.render(tmp_path, metrics=["modes", "symmetric_kl"], at="best")
    as_csv = CliRunner().invoke(command, [str(tmp_path), "--format", "csv"])
    assert as_csv.stdout == tables.render(tmp_path, "csv")
    messages.check(as_csv.stderr, "runs/x", "run.json")


def test_the_frame_has_the_notes(tmp_path: Path, messages: Messages) -> None:
    """In a notebook, notes and warnings are in `attrs`."""
    fabricate.benchmark(tmp_path, [GAN])
    (tmp_path / "runs" / "x").mkdir()
    notes = tables.table(tmp_path).attrs["notes"]
    assert notes[0].startswith("Protocol: ")
    messages.check(notes[-1], "runs/x")
    assert read_results(tmp_path).ignored[0].folder == "x"


@pytest.mark.parametrize(("compiled", "named"), [((False, False), False), ((True, True), True), ((True, False), True)])
def test_seconds_of_compiled_iterations_have_a_note(
    tmp_path: Path, compiled: tuple[bool, bool], named: bool, messages: Messages
) -> None:
    """The note on seconds names compiled iterations, and warns if only some runs used them."""
    fabricate.benchmark(tmp_path, [GAN, MGAN])
    for model, flag in zip((GAN, MGAN), compiled, strict=True):
        ledger = {**fabricate.LEDGER, "plan": {"compiled": flag}}
        fabricate.run(tmp_path, replace(simple(model, 0, 1.0), ledger=ledger))
    note = _note(tables.render(tmp_path), "Seconds")
    assert ("compiled" in note) is named
    messages.check(note, "(cpu)")


@pytest.mark.parametrize(("sizes", "named"), [((1, 1), ""), ((10, 10), "10 seeds"), ((1, 10), "1 or 10 seeds")])
def test_seconds_of_stacked_seeds_have_a_note(
    tmp_path: Path, sizes: tuple[int, int], named: str, messages: Messages
) -> None:
    """The note on seconds states that they are shares of the time of one program."""
    fabricate.benchmark(tmp_path, [GAN, MGAN])
    for model, size in zip((GAN, MGAN), sizes, strict=True):
        ledger = {**fabricate.LEDGER, "plan": {"compiled": False, "stack": size}}
        fabricate.run(tmp_path, replace(simple(model, 0, 1.0), ledger=ledger))
    note = _note(tables.render(tmp_path), "Seconds")
    assert ("seeds" in note) is bool(named)
    messages.check(note, named)
