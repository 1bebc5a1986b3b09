"""The comparison table: what it computes, what it refuses to mark, and how it is escaped."""

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

import pytest
from click.testing import CliRunner
from scipy import stats

from gan_bench.cli.table import command
from gan_bench.contracts.table import Estimate
from gan_bench.errors import UsageError
from gan_bench.plugins import discovery
from gan_bench.report.tables import build as tables
from gan_bench.report.tables.formats import MISSING, escape_latex, escape_markdown, number, to_text
from gan_bench.results.load import read_results, write_results_csv
from tests.support import fabricate
from tests.support.fabricate import HOSTILE, Model, Run, simple

GAN, MGAN = Model("GAN"), Model("MGAN", "mgan")
REAL, UNTRAINED = Model("real-data", "real-data", anchor=True), Model("untrained", "untrained", anchor=True)


def _fill(folder: Path, model: Model, values: list[float], metric: str = "symmetric_kl") -> None:
    for seed, value in enumerate(values):
        fabricate.run(folder, simple(model, seed, value, metric))


def _lines(text: str) -> dict[str, list[str]]:
    """The rows of a Markdown table by their first cell."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_mean_interval_and_n(tmp_path: Path) -> None:
    """A row is the mean over the seeds' final values, with the t-test's interval."""
    fabricate.benchmark(tmp_path, [GAN])
    _fill(tmp_path, GAN, [1.0, 2.0, 4.0])
    row = tables.table(tmp_path).iloc[0]
    interval = stats.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval(0.95)
    assert (row["n"], row["planned"]) == (3, 3)
    assert row["symmetric_kl"] == pytest.approx(7 / 3)
    assert row["symmetric_kl_half_width"] == pytest.approx((interval.high - interval.low) / 2)
    assert math.isnan(row["modes"])
    assert _lines(tables.render(tmp_path))["GAN"][:2] == ["3", "**2.33 ± 3.79**"]


@pytest.mark.parametrize("status", ["failed", "diverged", "running", "interrupted"])
def test_a_row_with_an_unfinished_seed_is_never_best(tmp_path: Path, status: str) -> None:
    """A seed that did not finish makes the row "2/3": its values do not count, and it is never marked."""
    fabricate.benchmark(tmp_path, [GAN, MGAN])
    _fill(tmp_path, GAN, [0.1, 0.1])
    rows: fabricate.Rows = [(1000, None, "symmetric_kl", 99.0)]
    fabricate.run(tmp_path, Run(GAN, 2, status=status, iteration=1000, rows=rows))
    _fill(tmp_path, MGAN, [5.0, 5.0, 5.0])
    lines = _lines(tables.render(tmp_path))
    assert lines["GAN"][:2] == ["2/3", "0.100 ± 0.000"]
    assert lines["MGAN"][:2] == ["3", "**5.00 ± 0.00**"]


def test_a_seed_that_never_ran_counts_as_missing(tmp_path: Path) -> None:
    """The benchmark's seeds, and any others that were found, are what a row is measured against."""
    fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1, 2])
    fabricate.run(tmp_path, simple(GAN, 0, 1.0))
    fabricate.run(tmp_path, simple(GAN, 9, 1.0))
    text = tables.render(tmp_path)
    assert _lines(text)["GAN"][0] == "2/4"
    assert _lines(text)["MGAN"][:2] == ["0/3", MISSING]
    assert "Runs: 2 finished, 5 missing." in text


def test_the_best_follows_the_direction(tmp_path: Path) -> None:
    """Lower wins where lower is better, higher where higher is, ties win together, no direction no winner."""
    third = Model("third")
    fabricate.benchmark(tmp_path, [GAN, MGAN, third], seeds=[0, 1], metrics=["symmetric_kl", "modes", "purity"])
    for seed, (model, kl, modes) in itertools.product((0, 1), ((GAN, 2.0, 8.0), (MGAN, 1.0, 8.0), (third, 3.0, 7.0))):
        values = {"symmetric_kl": kl, "modes": modes, "purity": kl}
        fabricate.run(tmp_path, Run(model, seed, rows=[(0, None, name, value) for name, value in values.items()]))
    assert tables.table(tmp_path)["best"].tolist() == ["modes", "symmetric_kl, modes", ""]
    assert _lines(tables.render(tmp_path))["MGAN"][:4] == ["2", "**1.00 ± 0.00**", "**8.00 ± 0.00**", "1.00 ± 0.00"]


def test_one_seed_has_no_best(tmp_path: Path) -> None:
    """The lowest of single values says nothing of other seeds: no mark and no interval."""
    fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0])
    for model, value in ((GAN, 2.0), (MGAN, 1.0)):
        _fill(tmp_path, model, [value])
    assert tables.table(tmp_path)["best"].tolist() == ["", ""]
    assert _lines(tables.render(tmp_path))["MGAN"][:2] == ["1", "1.00"]


class TestSomeSeeds:
    """Tables of the seeds that are complete, while others go on."""

    def test_are_as_if_there_were_no_others(self, tmp_path: Path) -> None:
        """A run of another seed is neither a value nor a missing one; the title counts the seeds."""
        fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1, 2])
        for model in (GAN, MGAN):
            _fill(tmp_path, model, [1.0, 3.0])
        fabricate.run(tmp_path, simple(GAN, 2, 99.0))
        text = tables.render_table(tables.write_tables(tmp_path, [0, 1]), "markdown")
        assert text == (tmp_path / "table.md").read_text(encoding="utf-8")
        assert "### synthetic8 (2 of 3 seeds): ring8" in text
        assert _lines(text)["GAN"][:2] == ["2", "2.0 ± 12.7"]
        assert "Runs: 4 finished." in text

    def test_of_a_run_that_did_not_finish_show_it(self, tmp_path: Path) -> None:
        """A complete seed may hold failures, which are counted and listed."""
        fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1])
        _fill(tmp_path, GAN, [1.0])
        fabricate.run(tmp_path, Run(MGAN, 0, status="diverged", iteration=500, rows=[(0, None, "symmetric_kl", 9.0)]))
        text = tables.render_table(tables.write_tables(tmp_path, [0]), "markdown")
        assert _lines(text)["MGAN"][:2] == ["0/1", MISSING]
        assert "MGAN seed 0 diverged at iteration 500" in text

    def test_all_of_them_are_the_whole_table(self, tmp_path: Path) -> None:
        fabricate.benchmark(tmp_path, [GAN], seeds=[0, 1])
        _fill(tmp_path, GAN, [1.0, 2.0])
        assert tables.write_tables(tmp_path, [0, 1]) == tables.write_tables(tmp_path)


class TestText:
    """The table as a terminal shows it."""

    def shown(self, folder: Path, width: int) -> str:
        return to_text(tables.build(read_results(folder)), width)

    @pytest.mark.parametrize("width", [60, 80, 120, 400])
    def test_fits_the_terminal_and_loses_nothing(self, tmp_path: Path, width: int) -> None:
        """No line is wider than the terminal; every column stands in some block, beside the labels of all rows."""
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

    def test_marks_the_best_and_says_how(self, tmp_path: Path) -> None:
        fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1])
        _fill(tmp_path, GAN, [2.0, 2.0])
        _fill(tmp_path, MGAN, [1.0, 1.0])
        text = self.shown(tmp_path, 120)
        assert "*1.00 ± 0.00" in text and "*2.00" not in text and "* best value of a column" in text

    def test_tells_long_labels_apart(self, tmp_path: Path) -> None:
        """Those of an ablation differ at the end: the middle is left out."""
        models = [Model(f"MGAN with eight generators, beta={beta}", f"mgan{beta}") for beta in (0.25, 0.5)]
        fabricate.benchmark(tmp_path, models, seeds=[0])
        for model in models:
            _fill(tmp_path, model, [1.0])
        starts = {line[:20] for line in self.shown(tmp_path, 60).splitlines() if line.startswith("MGAN")}
        assert len(starts) == 2 and all("…" in start for start in starts)

    def test_shows_control_characters_as_spaces(self, tmp_path: Path) -> None:
        """A label from elsewhere must not move the cursor or colour the terminal; a long one is cut."""
        hostile = Model("\x1b[31mred\x1b[0m\nline " + "long " * 30)
        fabricate.benchmark(tmp_path, [hostile], seeds=[0])
        _fill(tmp_path, hostile, [1.0])
        text = self.shown(tmp_path, 60)
        assert "\x1b" not in text and "[31mred" in text and "…" in text
        assert max(map(len, text.splitlines())) <= 60


def test_nobody_is_best_where_all_are_equal(tmp_path: Path) -> None:
    """When every model has the same value, a mark would say nothing."""
    fabricate.benchmark(tmp_path, [GAN, MGAN])
    for model in (GAN, MGAN):
        _fill(tmp_path, model, [0.0, 0.0, 0.0], "modes")
    assert tables.table(tmp_path)["best"].tolist() == ["", ""]


def test_the_best_is_of_its_dataset(tmp_path: Path) -> None:
    """Datasets are separate tables, each with its own best."""
    fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1], datasets=["ring8", "grid25"])
    for dataset, values in (("ring8", (1.0, 2.0)), ("grid25", (20.0, 10.0))):
        for seed, (model, value) in itertools.product((0, 1), zip((GAN, MGAN), values, strict=True)):
            fabricate.run(tmp_path, Run(model, seed, dataset=dataset, rows=[(0, None, "symmetric_kl", value)]))
    frame = tables.table(tmp_path)
    assert frame["dataset"].tolist() == ["ring8", "ring8", "grid25", "grid25"]
    assert frame["best"].tolist() == ["symmetric_kl", "", "", "symmetric_kl"]
    text = tables.render(tmp_path)
    assert text.index("### synthetic8: ring8") < text.index("### synthetic8: grid25")


def test_anchors_stand_below_and_are_never_best(tmp_path: Path) -> None:
    """Real data beats every model, stands below them behind a line, and is not marked."""
    fabricate.benchmark(tmp_path, [GAN, REAL, UNTRAINED], seeds=[0, 1])
    for seed, (model, value) in itertools.product((0, 1), ((GAN, 3.0), (REAL, 0.05), (UNTRAINED, 9.0))):
        fabricate.run(tmp_path, Run(model, seed, iteration=0, rows=[(0, None, "symmetric_kl", value)]))
    text = tables.render(tmp_path)
    lines = _lines(text)
    assert list(lines)[-4:] == ["GAN", "*anchors*", "real-data", "untrained"]
    assert (lines["GAN"][1], lines["real-data"][1]) == ("**3.00 ± 0.00**", "0.0500 ± 0.0000")
    latex = tables.render(tmp_path, "latex")
    assert latex.index("GAN") < latex.rindex(r"\midrule") < latex.index("real-data")


def test_values_that_are_not_finite_are_shown(tmp_path: Path) -> None:
    """nan and inf of finished runs appear as such in every format, and never win."""
    fabricate.benchmark(tmp_path, [GAN, MGAN, Model("X")], seeds=[0, 1])
    for model, values in ((GAN, [1.0, math.nan]), (MGAN, [1.0, math.inf]), (Model("X"), [7.0, 7.0])):
        _fill(tmp_path, model, values)
    text = tables.render(tmp_path)
    lines = _lines(text)
    assert (lines["GAN"][1], lines["MGAN"][1], lines["X"][1]) == ("nan", "inf", "**7.00 ± 0.00**")
    assert "the value of a finished run is undefined or not finite" in text
    records = list(csv.DictReader(io.StringIO(tables.render(tmp_path, "csv"))))
    assert [record["symmetric_kl"] for record in records] == ["nan", "inf", "7.0"]
    assert [record["modes"] for record in records] == ["", "", ""]


def test_best_is_one_iteration_for_all_metrics(tmp_path: Path) -> None:
    """at="best" takes each run's iteration of lowest symmetric_kl; what does not stand there is missing."""
    fabricate.benchmark(tmp_path, [GAN], seeds=[0, 1])
    for seed, (low, high) in enumerate(((500, 2.0), (1000, 4.0))):
        rows: fabricate.Rows = [(t, None, "symmetric_kl", 1.0 if t == low else 9.0) for t in (0, 500, 1000)]
        rows += [(low, None, "modes", high), (2000, None, "symmetric_kl", math.nan)]
        rows += [(0, None, "wasserstein", 5.0), (2000, None, "modes", 0.0), (2000, None, "wasserstein", 6.0)]
        fabricate.run(tmp_path, Run(GAN, seed, rows=rows))
    row = tables.table(tmp_path, at="best").iloc[0]
    assert (row["symmetric_kl"], row["modes"]) == (1.0, 3.0)
    text = tables.render(tmp_path, at="best")
    assert _lines(text)["GAN"][:4] == ["2", "**1.00 ± 0.00**", MISSING, "**3.0 ± 12.7**"]
    assert "wasserstein does not stand at the best iteration of every finished run: GAN" in text
    assert "hindsight" in text
    last = tables.table(tmp_path).iloc[0]
    assert (last["modes"], last["wasserstein"]) == (0.0, 6.0) and math.isnan(last["symmetric_kl"])


def test_best_needs_symmetric_kl(tmp_path: Path) -> None:
    """at="best" without symmetric_kl is a usage error that says what to do."""
    fabricate.benchmark(tmp_path, [GAN], metrics=["modes"])
    _fill(tmp_path, GAN, [1.0], "modes")
    with pytest.raises(UsageError, match=r"lowest symmetric_kl.*Add it to \[evaluation\] metrics"):
        tables.table(tmp_path, at="best")


def test_a_cell_of_fewer_seeds_says_so_and_does_not_win(tmp_path: Path) -> None:
    """A metric that stands in two of three finished runs shows n=2 and is not marked."""
    fabricate.benchmark(tmp_path, [GAN, MGAN])
    for seed in range(3):
        rows: fabricate.Rows = [(2000, None, "modes", 8.0)]
        rows += [(2000, None, "symmetric_kl", 0.5)] if seed else []
        fabricate.run(tmp_path, Run(GAN, seed, rows=rows))
    _fill(tmp_path, MGAN, [6.0, 6.0, 6.0])
    lines = _lines(tables.render(tmp_path))
    assert lines["GAN"][1] == "0.500 ± 0.000 (n=2)"
    assert lines["MGAN"][1] == "**6.00 ± 0.00**"


def test_the_benchmarks_sample_size_counts(tmp_path: Path) -> None:
    """Of two values from different numbers of samples, the one the benchmark asks for is shown."""
    fabricate.benchmark(tmp_path, [GAN], seeds=[0])
    run = fabricate.run(tmp_path, Run(GAN, rows=[(2000, None, "symmetric_kl", 1.0)]))
    with open(run / "curve.csv", "a") as file:
        file.write("2000,,symmetric_kl,2.0,50000,1\n")
    assert tables.table(tmp_path)["symmetric_kl"].tolist() == [1.0]
    assert "different numbers of samples" not in tables.render(tmp_path)
    fabricate.run(tmp_path, Run(GAN, 1, rows=[(2000, None, "symmetric_kl", 1.0)], samples=500))
    expected = "symmetric_kl: measured with different numbers of samples (500; 10,000)"
    assert expected in tables.render(tmp_path)


def test_headings_ledger_and_units(tmp_path: Path) -> None:
    """Headings carry direction and unit; the ledger has thousands separators."""
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
    """The content of benchmark.json, written back with what was changed of it."""
    path = folder / "benchmark.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    yield content
    path.write_text(json.dumps(content), encoding="utf-8")


class TestHeldOutData:
    """What the row real-data is scored on, where a dataset runs out of it."""

    METRICS = ("symmetric_kl", "wasserstein")

    def _made(self, folder: Path, *, held_out: int | None, used: int, seeds: int = 2, needs: int = 50_000) -> str:
        """The table of a GAN and of real data that were scored on `used` samples; wasserstein `needs` so many."""
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

    def test_that_are_too_few_explain_a_missing_value(self, tmp_path: Path) -> None:
        """Which metric, how many it needs, how many there are; from results.csv alone as well."""
        expected = "real-data has no wasserstein, for which 50,000 samples are needed: ring8 holds out 10,000."
        text = self._made(tmp_path, held_out=10_000, used=10_000)
        assert _lines(text)["real-data"][2] == MISSING
        assert expected in text and "does not stand at the final iteration" not in text
        write_results_csv(tmp_path)
        shutil.rmtree(tmp_path / "runs")
        assert expected in tables.render(tmp_path)

    def test_that_are_enough_explain_nothing(self, tmp_path: Path) -> None:
        """Nor do those that never run out."""
        assert "real-data has no" not in self._made(tmp_path / "a", held_out=50_000, used=10_000, needs=10_000)
        assert "real-data has no" not in self._made(tmp_path / "b", held_out=None, used=10_000)

    def test_of_many_datasets_are_told_in_one_line(self, tmp_path: Path) -> None:
        """With the fewest and the most."""
        labels = [f"d{number}" for number in range(5)]
        fabricate.benchmark(tmp_path, [GAN, REAL], datasets=labels, metrics=["symmetric_kl"])
        with _described(tmp_path) as content:
            content["metrics"]["symmetric_kl"]["needs"] = 3_000
            for position, dataset in enumerate(content["datasets"], 1):
                dataset["held_out"] = 1_000 * position
        fabricate.run(tmp_path, Run(GAN, dataset="d0"))
        line = "real-data has no symmetric_kl, for which 3,000 samples are needed: "
        assert line + "d0 holds out 1,000, d1 holds out 2,000." in tables.render(tmp_path)
        with _described(tmp_path) as content:
            content["metrics"]["symmetric_kl"]["needs"] = 9_000
        assert line.replace("3,", "9,") + "5 datasets hold out 1,000 to 5,000." in tables.render(tmp_path)

    def test_that_are_all_scored_have_no_noise_over_seeds(self, tmp_path: Path) -> None:
        """Said once, and only where several seeds score all that there are."""
        told = "every seed scores the same samples, all that there are (ring8 holds out 10,000)"
        assert self._made(tmp_path / "all", held_out=10_000, used=10_000).count(told) == 1
        assert "every seed scores" not in self._made(tmp_path / "some", held_out=20_000, used=10_000)
        assert "every seed scores" not in self._made(tmp_path / "one", held_out=10_000, used=10_000, seeds=1)
        assert "every seed scores" not in self._made(tmp_path / "endless", held_out=None, used=10_000)


def test_footnotes_of_a_dataset_stand_at_its_rows_only(tmp_path: Path) -> None:
    """Beside the departures, which hold on every dataset; each number is of one text."""
    fabricate.benchmark(tmp_path, [Model("A", departures=("x = 1",))], datasets=["ring8", "grid25"])
    with _described(tmp_path) as content:
        content["models"][0]["footnotes"] = {"ring8": ["a pool of 20"], "grid25": ["a pool of 10"]}
    text = tables.render(tmp_path)
    assert "1. x = 1\n2. a pool of 20\n3. a pool of 10\n" in text
    assert tables.table(tmp_path)["departures"].tolist() == ["x = 1; a pool of 20", "x = 1; a pool of 10"]


def test_departures_are_numbered_footnotes(tmp_path: Path) -> None:
    """A departure has one number wherever it stands, and its text below."""
    models = [Model("A", departures=("x = 1",)), Model("B", departures=("y = 2", "x = 1")), Model("C")]
    fabricate.benchmark(tmp_path, models)
    text = tables.render(tmp_path)
    assert {"A [1]", "B [1, 2]", "C"} <= set(_lines(text))
    assert "Departures from the protocol:\n\n1. x = 1\n2. y = 2\n" in text
    assert r"B\textsuperscript{1,2} &" in tables.render(tmp_path, "latex")
    assert tables.table(tmp_path)["departures"].tolist() == ["x = 1", "x = 1; y = 2", ""]


def test_the_showcase_tells_what_happened(tmp_path: Path) -> None:
    """Below the table: protocol, evaluation, sharing, how runs ended with their errors, others, ignored."""
    fabricate.showcase(tmp_path, iterations=5000, seeds=5)
    fabricate.run(tmp_path, simple(Model("elsewhere"), 0, 1.0))
    (tmp_path / "runs" / "broken").mkdir()
    text = tables.render(tmp_path)
    for expected in (
        "2,000 iterations; 512 real and 1,024 generated samples a draw; shared latents, normal of size 256",
        "10,000 samples; mean ± half-width of the 95 % t-interval over 5 training seeds, at the final",
        "Shared in MAD-GAN, MGAN: all layers but the first.",
        "Shared in multi-discriminator MGAN: nothing.",
        "Runs: 38 finished, 1 diverged, 1 failed.",
        "MAD-GAN seed 3 failed at iteration 7,200 of 5,000: RunError: CUDA out of memory.",
        "1 stored run of other settings is not shown.",
        "ignored: runs/broken (run.json is missing)",
    ):
        assert expected in text


def test_hostile_labels_stay_in_their_cells(tmp_path: Path) -> None:
    """Pipes, TeX specials and HTML in labels and errors break no format."""
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
def test_markdown_escapes_what_would_format(plain: str, escaped: str) -> None:
    """What Markdown would read as markup is escaped, and nothing else, so that a terminal stays legible."""
    assert escape_markdown(plain) == escaped


def test_latex_escapes_every_special() -> None:
    """All ten special characters, and what the standard fonts lack."""
    assert escape_latex("&%$#_{}") == r"\&\%\$\#\_\{\}"
    assert escape_latex("~^\\<>|") == (
        r"\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}\textgreater{}\textbar{}"
    )
    assert escape_latex(f"1 ± 2 ↓ {MISSING}") == r"1 $\pm$ 2 $\downarrow$ --"


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (1.0234, 0.0987, "1.02 ± 0.10"),
        (0.04731, 0.0031, "0.0473 ± 0.0031"),
        (0.9889, 0.0004, "0.9889 ± 0.0004"),
        (8.0, 0.0, "8.00 ± 0.00"),
        (0.0, 0.0, "0.00 ± 0.00"),
        (0.0, None, "0.00"),
        (0.02, 3.0, "0.02 ± 3.00"),
        (-12.345, 1.5, "-12.3 ± 1.5"),
        (1234567.8, 1000.0, "1,234,568 ± 1,000"),
        (3.2e-6, 1e-7, "3.20e-06 ± 1.00e-07"),
        (math.nan, math.nan, "nan"),
        (math.inf, math.nan, "inf"),
        (1.0, math.inf, "1.00 ± inf"),
    ],
)
def test_numbers_have_three_digits_and_the_same_decimals(mean: float, half: float | None, text: str) -> None:
    """Mean and interval share their decimals: three significant digits of the larger."""
    assert number(Estimate(mean, half, 5), 5) == text


def test_metrics_are_chosen_by_name(tmp_path: Path) -> None:
    """--metrics takes any stored metric in the order given; an unknown one names the closest."""
    fabricate.benchmark(tmp_path, [GAN])
    _fill(tmp_path, GAN, [1.0], "sliced_wasserstein")
    frame = tables.table(tmp_path, ["modes", "sliced_wasserstein"])
    names = [name for name in frame.columns if name in fabricate.METRICS]
    assert names == ["modes", "sliced_wasserstein"]
    with pytest.raises(UsageError, match="no metric 'mode' here; did you mean 'modes'"):
        tables.table(tmp_path, ["mode"])
    with pytest.raises(UsageError, match="Unknown format 'html'"):
        tables.render(tmp_path, "html")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="did you mean 'best'"):
        tables.table(tmp_path, at="beast")  # type: ignore[arg-type]


def test_a_bare_csv_takes_directions_from_the_installed_metrics(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without benchmark.json: units and directions from plugins, anchors by name, and a note on the rest."""
    fabricate.benchmark(tmp_path, [REAL, GAN, MGAN], seeds=[0, 1], metrics=["modes"])
    for model, values in ((GAN, [1.0, 2.0]), (MGAN, [8.0, 8.0]), (REAL, [8.5, 8.5])):
        _fill(tmp_path, model, values, "modes")

    class Modes:
        direction, unit = "higher", "modes"

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
    assert (lines["MGAN"][1], lines["real-data"][1]) == ("**8.00 ± 0.00**", "8.50 ± 0.00")
    assert "No benchmark.json beside this results.csv" in text


def test_write_tables(tmp_path: Path) -> None:
    """table.md and table.csv hold what `render` gives."""
    fabricate.benchmark(tmp_path, [GAN])
    _fill(tmp_path, GAN, [1.0])
    assert tables.write_tables(tmp_path) == tables.build(read_results(tmp_path))
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == tables.render(tmp_path)
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == tables.render(tmp_path, "csv")


def test_the_command(tmp_path: Path) -> None:
    """`gan-bench table` prints what `render` gives; a csv's warnings go to the other stream."""
    fabricate.benchmark(tmp_path, [GAN])
    _fill(tmp_path, GAN, [1.0])
    (tmp_path / "runs" / "x").mkdir()
    plain = CliRunner().invoke(command, [str(tmp_path), "--metrics", "modes, symmetric_kl", "--at", "best"])
    assert plain.stdout == tables.render(tmp_path, metrics=["modes", "symmetric_kl"], at="best")
    as_csv = CliRunner().invoke(command, [str(tmp_path), "--format", "csv"])
    assert as_csv.stdout == tables.render(tmp_path, "csv")
    assert as_csv.stderr == "ignored: runs/x (run.json is missing)\n"


def test_the_notes_come_with_the_frame(tmp_path: Path) -> None:
    """In a notebook the notes are in `attrs`, warnings too."""
    fabricate.benchmark(tmp_path, [GAN])
    (tmp_path / "runs" / "x").mkdir()
    notes = tables.table(tmp_path).attrs["notes"]
    assert notes[0].startswith("Protocol: ") and notes[-1] == "ignored: runs/x (run.json is missing)"
    assert read_results(tmp_path).ignored[0].folder == "x"


@pytest.mark.parametrize(
    ("compiled", "said"),
    [
        ((False, False), "without evaluation (cpu)."),
        ((True, True), "without evaluation, compiled iterations (cpu)."),
        ((True, False), "some runs with compiled iterations, some without: seconds do not compare."),
    ],
)
def test_what_was_compiled_is_said(tmp_path: Path, compiled: tuple[bool, bool], said: str) -> None:
    """Seconds of compiled and of other iterations do not compare, and the table says so."""
    fabricate.benchmark(tmp_path, [GAN, MGAN])
    for model, flag in zip((GAN, MGAN), compiled, strict=True):
        ledger = {**fabricate.LEDGER, "plan": {"compiled": flag}}
        fabricate.run(tmp_path, replace(simple(model, 0, 1.0), ledger=ledger))
    assert said in tables.render(tmp_path)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((1, 1), "of a run, without evaluation (cpu)."),
        ((10, 10), "without evaluation, its share of that of 10 seeds that train as one program (cpu)."),
        ((1, 10), "without evaluation, its share of that of 1 or 10 seeds that train as one program (cpu)."),
    ],
)
def test_seeds_that_train_together_are_said(tmp_path: Path, sizes: tuple[int, int], said: str) -> None:
    """Their seconds are shares of one program's."""
    fabricate.benchmark(tmp_path, [GAN, MGAN])
    for model, size in zip((GAN, MGAN), sizes, strict=True):
        ledger = {**fabricate.LEDGER, "plan": {"compiled": False, "stack": size}}
        fabricate.run(tmp_path, replace(simple(model, 0, 1.0), ledger=ledger))
    assert said in tables.render(tmp_path)
