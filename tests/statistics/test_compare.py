"""Comparisons of frames of results: families, verdicts and bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gan_bench.errors import UsageError
from gan_bench.results.load import read_results, write_results_csv
from gan_bench.statistics.compare import compare, compare_results, summaries
from gan_bench.statistics.families import COLUMNS
from gan_bench.statistics.marks import mark_results
from gan_bench.statistics.power import seeds_needed, upper_spread
from gan_bench.statistics.verdicts import holm
from tests.statistics.frames import METRICS, Values, frame
from tests.support import fabricate
from tests.support.messages import Messages

RNG = np.random.default_rng(1)
BASE = RNG.lognormal(0, 0.1, 8)
FOUR: Values = {
    "GAN": BASE.tolist(),
    "half": (0.5 * BASE * RNG.lognormal(0, 0.05, 8)).tolist(),
    "double": (2 * BASE * RNG.lognormal(0, 0.05, 8)).tolist(),
    "same": (BASE * RNG.lognormal(0, 0.05, 8)).tolist(),
    "noisy": (BASE * RNG.lognormal(0, 1, 8)).tolist(),
    "real-data": [0.01] * 8,
}


def one(values: Values, metric: str = "symmetric_kl", **options: object) -> pd.Series:
    """Return the only comparison of two models."""
    found = compare(frame(values, metric), METRICS, metric=metric, **options)  # type: ignore[arg-type]
    assert len(found) == 1
    return found.iloc[0]


def test_every_model_is_compared_with_the_baseline() -> None:
    """Verdicts, ratios and adjusted p-values of the default family, without anchors."""
    found = compare(frame(FOUR), METRICS).set_index("label")
    assert found["verdict"].to_dict() == {
        "half": "better",
        "double": "worse",
        "same": "equivalent",
        "noisy": "undecided",
    }
    assert set(found["baseline"]) == {"GAN"} and found["declared"].all() and (found["family"] == 4).all()
    p = [stats.ttest_rel(np.log(FOUR[label]), np.log(FOUR["GAN"])).pvalue for label in found.index]  # type: ignore[arg-type]
    assert found["p"].to_numpy() == pytest.approx(p, abs=1e-12)
    assert found["p_holm"].to_numpy() == pytest.approx(holm(p), abs=1e-12)
    d = np.log(FOUR["half"]) - np.log(FOUR["GAN"])  # type: ignore[arg-type]
    interval = np.exp(stats.ttest_1samp(d, 0).confidence_interval())
    noise = np.log(FOUR["noisy"]) - np.log(FOUR["GAN"])  # type: ignore[arg-type]
    needed = seeds_needed(upper_spread(noise.std(ddof=1), 8), math.log(1.25), 0.05 / 4)
    assert found.loc["noisy", "seeds_needed"] == needed
    row = found.loc["half"]
    assert row[["estimate", "low", "high"]].tolist() == pytest.approx([math.exp(d.mean()), *interval], rel=1e-10)
    assert (row["effect"], row["test"], row["p_flip"]) == ("ratio", "paired t", 2 / 2**8)


def test_all_pairs_and_another_baseline() -> None:
    """All pairs are a separate family; another baseline turns the verdict."""
    pairs = compare(frame(FOUR), METRICS, pairs="all")
    assert len(pairs) == 10 and (pairs["family"] == 10).all() and not pairs["declared"].any()
    turned = compare(frame(FOUR), METRICS, baseline="half").set_index("label")
    assert turned.loc["GAN", "verdict"] == "worse"
    assert turned.loc["GAN", "estimate"] == pytest.approx(1 / compare(frame(FOUR), METRICS)["estimate"][0])


def test_families_are_separate_by_dataset_and_metric() -> None:
    """A second dataset or metric does not change the adjusted p-values of the first."""
    both = pd.concat([frame(FOUR), frame(FOUR, dataset="grid25"), frame(FOUR, "kid")])
    found = compare(both, METRICS, metric=["symmetric_kl", "kid"])
    alone = compare(frame(FOUR), METRICS)
    assert len(found) == 12
    assert found["dataset"].tolist() == ["ring8"] * 4 + ["grid25"] * 4 + ["ring8"] * 4
    assert found["p_holm"][:4].tolist() == alone["p_holm"].tolist()
    assert found["declared"].tolist() == [True] * 8 + [False] * 4


def test_direction_and_scale_of_shares() -> None:
    """Higher shares are better. The effect is an odds ratio, the margin of equivalence is one of shares."""
    row = one({"GAN": [0.5, 0.6, 0.55, 0.5], "MGAN": [0.97, 0.98, 0.97, 0.96]}, "high_quality")
    assert (row["verdict"], row["effect"], row["scale"]) == ("better", "odds ratio", "share")
    shares = {"GAN": [0.97, 0.98, 0.97, 0.96], "MGAN": [0.98, 0.97, 0.975, 0.965]}
    row = one(shares, "high_quality")
    d = np.subtract(shares["MGAN"], shares["GAN"])
    lower = stats.ttest_1samp(d, -0.05, alternative="greater").pvalue
    upper = stats.ttest_1samp(d, 0.05, alternative="less").pvalue
    assert row["p_equivalent"] == pytest.approx(max(lower, upper), abs=1e-12)
    assert row["verdict"] == "equivalent"


def test_a_zero_makes_a_log_metric_linear() -> None:
    """A comparison with a value that is not above 0 is linear, has no margin, and its note gives the reason."""
    row = one({"GAN": [1.0, 2.0, 3.0], "MGAN": [0.0, 0.1, 0.1]})
    assert (row["scale"], row["effect"]) == ("linear", "difference")
    assert row["estimate"] == pytest.approx(np.mean([-1, -1.9, -2.9]))
    assert math.isnan(row["margin"]) and "linear: a value is not above 0" in row["note"]


def test_a_margin_may_be_declared() -> None:
    """A metric without a default margin has one if the benchmark declares it."""
    values = {"GAN": [0.1, 0.2, 0.3, 0.2], "MGAN": [0.11, 0.19, 0.31, 0.2]}
    without = one(values, "kid")
    assert (
        without["verdict"] == "undecided" and pd.isna(without["seeds_needed"]) and math.isnan(without["p_equivalent"])
    )
    row = one(values, "kid", margins={"kid": 0.1})
    assert row["verdict"] == "equivalent" and row["seeds_needed"] == 3


def test_equal_in_all_seeds() -> None:
    """Equal values are called equal, with p = 1 and no NaN in p-values."""
    row = one({"GAN": [1.0, 2.0, 3.0], "MGAN": [1.0, 2.0, 3.0]})
    assert row["note"].startswith("equal in all seeds")
    assert (row["p"], row["p_flip"], row["verdict"], row["estimate"]) == (1, 1, "equivalent", 1)
    row = one({"GAN": [1.0, 2.0, 3.0], "MGAN": [1.0, 2.0, 3.0]}, "kid")
    assert (row["p"], row["verdict"], row["estimate"], row["ties"]) == (1, "undecided", 0, 3)


def test_a_verdict_without_support_rests_on_normality() -> None:
    """Five seeds cannot support a verdict by sign flips (at least 2/2⁵); eight can."""
    values = {"GAN": BASE[:5].tolist(), "MGAN": (BASE[:5] * [0.1, 0.11, 0.1, 0.1, 0.12]).tolist()}
    row = one(values)
    assert row["verdict"] == "better" and row["rests_on_normality"] and "rests on normality" in row["note"]
    assert row["p_flip"] == 0.0625
    eight = one({"GAN": FOUR["GAN"], "half": FOUR["half"]})
    assert eight["verdict"] == "better" and not eight["rests_on_normality"]


def test_at_the_floor_there_is_no_ratio() -> None:
    """Two rows within twice the value of real data have no ratio; the test is still reported."""
    values: Values = {"GAN": [1.5, 1.6, 1.4], "MGAN": [1.0, 1.1, 1.05], "real-data": [0.9, 1.0, 1.1]}
    row = one(values)
    assert row["at_floor"] and math.isnan(row["estimate"]) and math.isnan(row["high"])
    assert "at the floor" in row["note"] and row["p"] < 1
    assert not one({**values, "GAN": [2.5, 2.6, 2.4]})["at_floor"]


class TestCounts:
    def test_unit_is_the_seed(self) -> None:
        """Models are compared by the seeds with all modes of the real data, by McNemar's test."""
        row = one({"GAN": [8, 7, 3, 1, 2, 4, 7], "MGAN": [8] * 7, "real-data": [8] * 7}, "modes")
        assert (row["test"], row["estimate"], row["p"]) == ("McNemar", pytest.approx(6 / 7), 2 * 0.5**6)
        assert row["verdict"] == "better" and not row["rests_on_normality"]
        assert "complete seeds: 7/7 and 1/7" in row["note"]

    def test_zero_of_what_should_not_occur_is_complete(self) -> None:
        """Of counts that should be low, a seed is complete at 0, and more complete seeds are better."""
        row = one({"GAN": [1, 2, 3, 1, 2, 4], "MGAN": [0] * 6}, "dead_generators")
        assert (row["verdict"], row["estimate"]) == ("better", 1)

    def test_without_pairs(self) -> None:
        """Seeds that differ are compared by Fisher's exact test."""
        row = one({"GAN": [8, 8, 7, None], "MGAN": [1, 2, 3, 4]}, "modes")
        assert row["test"] == "Fisher" and not row["paired"]


class TestBadInput:
    def test_missing_pairs(self) -> None:
        """If seeds differ, Welch's test compares all of them, and the note has their numbers."""
        values = {"GAN": [1.0, 2.0, 3.0, None], "MGAN": [None, 0.2, 0.3, 0.2]}
        row = one(values)
        expected = stats.ttest_ind(np.log([0.2, 0.3, 0.2]), np.log([1, 2, 3]), equal_var=False)
        assert row["p"] == pytest.approx(expected.pvalue, abs=1e-12)
        assert "unpaired: seeds differ (3 and 3, 2 in common)" in row["note"]
        assert row["test"] == "Welch t" and row["rests_on_normality"] == (row["verdict"] != "undecided")
        assert math.isnan(row["p_flip"]) and row["seeds_needed"] > 2

    def test_nan_and_inf_are_left_out_and_named(self) -> None:
        """A value that is not finite does not form a pair."""
        row = one({"GAN": [1.0, math.nan, 3.0, 2.0], "MGAN": [1.0, 2.0, math.inf, 4.0]})
        assert "GAN: nan or inf in seed 1" in row["note"] and "MGAN: nan or inf in seed 2" in row["note"]
        assert (row["n"], row["n_baseline"], row["test"]) == (3, 3, "Welch t")

    @pytest.mark.parametrize("metric", ["symmetric_kl", "kid", "high_quality", "modes"])
    def test_one_seed(self, metric: str) -> None:
        """One seed has an estimate and decides nothing."""
        row = one({"GAN": [0.5], "MGAN": [0.25]}, metric)
        assert row["verdict"] == "undecided" and math.isnan(row["p"]) and pd.isna(row["seeds_needed"])

    @pytest.mark.parametrize("metric", ["symmetric_kl", "kid", "high_quality", "modes"])
    def test_a_model_without_values(self, metric: str) -> None:
        """A model that failed everywhere has a row; the others' family still counts it."""
        values = {"GAN": [0.5, 0.6, 0.7], "MGAN": [None] * 3, "B": [0.1, 0.2, 0.3]}
        status = {("MGAN", seed): "failed" for seed in range(3)}
        found = compare(frame(values, metric, status=status), METRICS, metric=metric).set_index("label")
        assert "no value of MGAN" in found.loc["MGAN", "note"] and found.loc["MGAN", "n"] == 0
        assert found.loc["B", "family"] == 2
        assert compare(frame(values, metric), METRICS, metric=metric, baseline="MGAN")["verdict"].eq("undecided").all()

    def test_one_model_and_no_results(self) -> None:
        """Nothing to compare is an empty frame with all columns."""
        for values in ({"GAN": [1.0, 2.0]}, {}):
            found = compare(frame(values), METRICS)
            assert list(found.columns) == list(COLUMNS) and found.empty

    def test_a_collapsed_seed_is_named(self) -> None:
        """A comparison with a collapsed seed is labelled unreliable."""
        row = one({"GAN": [1.0, 1.1, 12.0], "MGAN": [1.0, 1.0, 1.1]})
        assert "unreliable: 1 of 3 seeds of GAN collapsed" in row["note"]

    def test_unknown_names(self, messages: Messages) -> None:
        """Unknown metrics and models, and metrics without a direction, are refused with what is available."""
        with messages.raises(UsageError, "'symetric_kl'", "symmetric_kl"):
            compare(frame(FOUR), METRICS, metric="symetric_kl")
        with messages.raises(UsageError, "purity", "direction"):
            compare(pd.concat([frame(FOUR), frame(FOUR, "purity")]), METRICS, metric="purity")
        with messages.raises(UsageError, "'halve'", "half"):
            compare(frame(FOUR), METRICS, baseline="halve")

    def test_many_models(self) -> None:
        """200 models are compared with the baseline."""
        values = {f"m{i}": np.random.default_rng(i).lognormal(0, 1, 3).tolist() for i in range(200)}
        found = compare(frame(values), METRICS)
        assert len(found) == 199 and (found["family"] == 199).all()


def test_iterations_and_generators_are_not_mixed() -> None:
    """Only the mixture's values at the last iteration are compared."""
    mixed = pd.concat([frame(FOUR), frame(FOUR).assign(generator=0, value=77.0)])
    assert compare(mixed, METRICS)["p"].tolist() == compare(frame(FOUR), METRICS)["p"].tolist()


def test_summaries_of_rows() -> None:
    """Each row, anchors included, has its summary by metric."""
    both = pd.concat([frame(FOUR), frame({"GAN": [8, 7, 8], "real-data": [8, 8, 8]}, "modes")])
    found = summaries(both, METRICS)
    assert found["ring8", "half", "symmetric_kl"].mean == pytest.approx(stats.gmean(FOUR["half"]), rel=1e-12)
    complete = found["ring8", "GAN", "modes"].complete
    assert complete is not None and (complete.k, complete.n) == (2, 3)
    assert found["ring8", "real-data", "symmetric_kl"].equal
    assert found["ring8", "half", "modes"].values == ()


def test_a_frame_describes_its_metrics(tmp_path: Path) -> None:
    """Without other descriptions, direction and scale are those in the frame, also for metrics of no plugin."""
    made = frame(FOUR).replace({"metric": {"symmetric_kl": "mine"}})
    found = compare(made)
    assert found["metric"].eq("mine").all() and found["scale"].eq("log").all()
    assert found["p"].tolist() == compare(frame(FOUR), METRICS)["p"].tolist()
    path = tmp_path / "results.csv"
    made.to_csv(path, index=False)
    pd.testing.assert_frame_equal(compare_results(read_results(path)), found)


def test_equal_differences_are_tested_by_signs() -> None:
    """A constant ratio has no spread for a t-test; its p-value is that of the sign flips."""
    row = one({"GAN": [1.0, 2.0, 4.0], "MGAN": [0.5, 1.0, 2.0]})
    assert (row["test"], row["p"], row["verdict"]) == ("sign flip", 0.25, "undecided")


def test_a_results_folder_and_its_csv(tmp_path: Path) -> None:
    """Scales of older results are those of the installed metrics, with or without benchmark.json."""
    real = fabricate.Model("real-data", "real-data", anchor=True)
    models = [fabricate.Model("GAN"), fabricate.Model("MGAN", "mgan"), real]
    fabricate.benchmark(tmp_path, models, seeds=range(4), metrics=["symmetric_kl"])
    for i, model in enumerate(models):
        for seed in range(4):
            value = 0.01 if model is real else (i + 1.0) * (1 + seed / 10)
            fabricate.run(tmp_path, fabricate.simple(model, seed, value))
    found = compare_results(read_results(tmp_path))
    assert (found["verdict"].tolist(), found["declared"].tolist()) == (["undecided"], [True])
    assert found["scale"].tolist() == ["log"] and found["estimate"].tolist() == pytest.approx([2])
    bare = tmp_path / "bare.csv"
    bare.write_bytes(write_results_csv(tmp_path).read_bytes())
    assert compare_results(read_results(bare)).drop(columns="note").equals(found.drop(columns="note"))


def test_settings_of_the_benchmark(tmp_path: Path) -> None:
    """Primary metric, margins and oracles of benchmark.json are used."""
    models = [fabricate.Model(label) for label in ("GAN", "A", "B", "C", "oracle")]
    fabricate.benchmark(tmp_path, models, seeds=range(4), metrics=["symmetric_kl", "wasserstein"])
    content = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))
    content["evaluation"] |= {"primary": "wasserstein", "margins": {"wasserstein": 0.3}, "oracles": ["oracle"]}
    (tmp_path / "benchmark.json").write_text(json.dumps(content), encoding="utf-8")
    noise = np.random.default_rng(0).normal(0, 0.05, (5, 4))
    for i, model in enumerate(models):
        for seed in range(4):
            value = float(np.exp(noise[i, seed] + (3, 2, 2, 1, 0)[i]))
            fabricate.run(tmp_path, fabricate.simple(model, seed, value, "wasserstein"))
    found = compare_results(read_results(tmp_path))
    assert found["metric"].eq("wasserstein").all() and found["declared"].all() and found["margin"].eq(0.3).all()
    marks = mark_results(read_results(tmp_path), "wasserstein").set_index("label")["status"]
    assert marks.to_dict() == {"GAN": "behind", "A": "behind", "B": "behind", "C": "marked", "oracle": "excluded"}


def test_a_model_that_has_not_run_yet(tmp_path: Path) -> None:
    """It has a comparison without values, as a declared baseline too, and nothing is marked while it is missing."""
    models = [fabricate.Model(label) for label in ("GAN", "A", "B", "C")]
    fabricate.benchmark(tmp_path, models, seeds=range(3), metrics=["symmetric_kl"])
    assert compare_results(read_results(tmp_path)).empty
    for i, model in enumerate(models[1:]):
        for seed in range(3):
            fabricate.run(tmp_path, fabricate.simple(model, seed, 10.0**i * (1 + seed / 10)))
    found = compare_results(read_results(tmp_path))
    assert found["label"].tolist() == ["A", "B", "C"] and found["verdict"].eq("undecided").all()
    assert found["note"].str.contains("no value of GAN").all()
    marks = mark_results(read_results(tmp_path), "symmetric_kl")
    assert marks["label"].tolist() == ["GAN", "A", "B", "C"]
    assert marks["reason"].eq("leader undecided: runs are missing: GAN").all()
