"""Marks of the best rows, and ranks across datasets."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gan_bench.statistics.across import ranks, win_tie_loss
from gan_bench.statistics.compare import compare
from gan_bench.statistics.leaders import leaders, mean_ranks
from gan_bench.statistics.marks import mark
from tests.statistics.frames import METRICS, Values, frame

SEEDS = np.array([1.0, 1.1, 0.9, 1.05, 0.95])
ROWS: Values = {
    "best": (0.100 * SEEDS).tolist(),
    "near": (0.105 * SEEDS[[0, 2, 1, 3, 4]]).tolist(),
    "far": (0.5 * SEEDS[[1, 0, 2, 4, 3]]).tolist(),
    "farther": (0.9 * SEEDS[[1, 2, 4, 0, 3]]).tolist(),
    "real-data": [0.01] * 5,
}


def statuses(values: Values, metric: str = "symmetric_kl", **options: object) -> dict[str, str]:
    """Return the status of each row."""
    found = mark(frame(values, metric), METRICS, metric, **options)  # type: ignore[arg-type]
    return dict(zip(found["label"], found["status"], strict=True))


class TestLeaders:
    def test_within_the_margin_and_not_beaten(self) -> None:
        """Rows within the margin of the best lead unless another row beats them."""
        loss = [1.0, 1.1, 1.15, 2.0, 3.0]
        assert leaders(loss, [False] * 5, 0.1).tolist() == [True, True, False, False, False]
        assert leaders(loss, [False, True, False, False, False], 0.2).tolist() == [True, False, True, False, False]
        assert leaders(loss, [False] * 5, None).tolist() == [True, False, False, False, False]

    def test_nothing_leads_if_most_would(self) -> None:
        """More than half of the rows cannot lead; half can."""
        assert not leaders([1.0, 1.0, 1.0, 5.0], [False] * 4).any()
        assert leaders([1.0, 1.0, 5.0, 5.0], [False] * 4).tolist() == [True, True, False, False]
        assert not leaders([1.0], [False]).any()

    def test_batches(self) -> None:
        """First axes are separate tables."""
        loss = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
        assert leaders(loss, np.zeros((2, 3), dtype=bool)).tolist() == [[True, False, False], [False, False, True]]


class TestMarks:
    def test_leaders_are_marked(self) -> None:
        """Of two rows within the margin both are marked; the others have their reason."""
        found = mark(frame(ROWS), METRICS, "symmetric_kl").set_index("label")
        assert found["status"].to_dict() == {"best": "marked", "near": "marked", "far": "behind", "farther": "behind"}
        assert found.loc["far", "reason"] == "behind best, near"
        assert found.loc["best", "mean"] == pytest.approx(stats.gmean(ROWS["best"]))

    def test_a_mean_beyond_the_margin_is_not_marked_though_it_is_not_beaten(self) -> None:
        """Noisy rows do not beat each other; only the best mean is marked."""
        noisy = {"a": [0.1, 0.2, 0.1], "b": [0.1, 9.0, 0.2], "c": [0.1, 0.9, 4.0]}
        found = mark(frame(noisy), METRICS, "symmetric_kl").set_index("label")
        assert found["status"].to_dict() == {"a": "marked", "b": "behind", "c": "behind"}
        assert found.loc["b", "reason"] == "beyond the margin of the best"

    @pytest.mark.parametrize("metric", ["high_quality", "kid"])
    def test_other_scales(self, metric: str) -> None:
        """Shares are marked from the top, linear metrics only at the best mean."""
        values = {"a": [0.98, 0.97, 0.99], "b": [0.96, 0.97, 0.97], "c": [0.5, 0.6, 0.4], "d": [0.1, 0.2, 0.1]}
        marked = [label for label, status in statuses(values, metric).items() if status == "marked"]
        assert marked == (["a", "b"] if metric == "high_quality" else ["d"])

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"far": [0.5, 0.6, 0.5, None, None]}, "runs are missing: far"),
            ({label: values[:2] for label, values in ROWS.items()}, "fewer than 3 seeds"),
            ({"far": [0.1, 0.1, 0.1, 0.1, 0.1], "farther": [0.1, 0.1, 0.1, 0.1, 0.1]}, "over half would be marked"),
        ],
    )
    def test_the_leader_is_undecided(self, change: dict[str, list[float | None]], reason: str) -> None:
        """While runs are missing, with few seeds, or if most rows would be marked, none is."""
        made = frame({**ROWS, **change})
        lost = [f"{label}{seed}" for label, values in change.items() for seed, v in enumerate(values) if v is None]
        found = mark(made[~made["key"].isin(lost)], METRICS, "symmetric_kl")
        assert set(found["status"]) == {"undecided"}
        assert set(found["reason"]) == {f"leader undecided: {reason}"}

    def test_numbers_of_seeds_must_be_equal(self) -> None:
        """A row with further seeds than the benchmark's makes the leader undecided."""
        found = mark(frame({**ROWS, "far": [0.5] * 6}), METRICS, "symmetric_kl", planned=range(5))
        assert set(found["reason"]) == {"leader undecided: numbers of seeds differ"}

    def test_planned_seeds_that_have_not_run_are_missing(self) -> None:
        """Seeds of the benchmark that no model has are missing too."""
        assert set(statuses(ROWS, planned=range(6)).values()) == {"undecided"}
        assert "marked" in statuses(ROWS, planned=range(5)).values()

    def test_rows_that_never_win(self) -> None:
        """Excluded: rows that receive more than others, failed or undefined seeds, better than real data."""
        values = {
            **ROWS,
            "oracle": (0.05 * SEEDS).tolist(),
            "failed": [0.05, 0.05, 0.05, 0.05, None],
            "undefined": [0.05, 0.05, 0.05, 0.05, math.nan],
            "beyond": [0.009] * 5,
        }
        made = frame(values, status={("failed", 4): "diverged"})
        found = mark(made, METRICS, "symmetric_kl", excluded={"oracle": "receives labels"}).set_index("label")
        assert found[found["status"] == "excluded"]["reason"].to_dict() == {
            "oracle": "receives labels",
            "failed": "no value in 1 of 5 seeds",
            "undefined": "no value in 1 of 5 seeds",
            "beyond": "better than every seed of real data",
        }
        assert found[found["status"] == "marked"].index.tolist() == ["best", "near"]

    def test_a_metric_that_is_trivial_for_one_generator(self) -> None:
        """A single generator cannot be dead because another has its mode, so it does not compete."""
        values = {"GAN": [0, 0, 0], "a": [0, 0, 0], "b": [3, 2, 3], "c": [4, 4, 4]}
        made = frame(values, "dead_generators")
        each = [made.assign(generator=k) for k in range(2)]
        several = pd.concat(each)[lambda f: ~((f["label"] == "GAN") & (f["generator"] == 1))]
        several = several[several["metric"] == "dead_generators"].astype({"generator": "Int64"})
        found = mark(pd.concat([made, several]), METRICS, "dead_generators").set_index("label")
        assert found["status"].to_dict() == {"GAN": "excluded", "a": "marked", "b": "behind", "c": "behind"}


class TestAcross:
    def test_ranks_are_enumerated(self) -> None:
        """Mean ranks, ties included, equal those of scipy; the interval those of all resamples of two seeds."""
        losses = [np.array([[1.0, 4.0], [2.0, 2.0], [3.0, 1.0]]), np.array([[5.0, 5.0], [5.0, 5.0], [1.0, 2.0]])]
        found = mean_ranks(losses, confidence=0.8)
        expected = np.mean([stats.rankdata(x.mean(axis=1)) for x in losses], axis=0)
        assert [each.rank for each in found] == pytest.approx(expected, abs=1e-12)
        every = [
            np.mean([stats.rankdata(x[:, list(i)].mean(axis=1)) for x, i in zip(losses, picks, strict=True)], axis=0)
            for picks in product(product(range(2), repeat=2), repeat=2)
        ]
        low, high = np.quantile(every, [0.1, 0.9], axis=0, method="inverted_cdf")
        assert [each.low for each in found] == pytest.approx(low, abs=1e-9)
        assert [each.high for each in found] == pytest.approx(high, abs=1e-9)

    def test_ranks_of_a_frame(self) -> None:
        """The best model is first; models and datasets without all values are left out."""
        both = pd.concat([frame(ROWS), frame(ROWS, dataset="grid25"), frame({"best": [1.0] * 5}, dataset="other")])
        assert ranks(both, METRICS, "symmetric_kl")["label"].tolist() == ["best"]
        found = ranks(both[both["dataset"] != "other"], METRICS, "symmetric_kl")
        assert found["label"].tolist() == ["best", "near", "far", "farther"]
        assert found["rank"].tolist() == [1, 2, 3, 4] and (found["datasets"] == 2).all()
        assert (found["low"] <= found["rank"]).all() and (found["rank"] <= found["high"]).all()

    def test_the_highest_share_has_the_first_rank(self) -> None:
        """Ranks follow the metric's direction."""
        values = {"low": [0.1, 0.2, 0.1], "high": [0.9, 0.8, 0.9]}
        assert ranks(frame(values, "high_quality"), METRICS, "high_quality")["label"].tolist() == ["high", "low"]

    def test_wins_ties_and_losses(self) -> None:
        """The matrix counts verdicts by ordered pair, over datasets."""
        both = pd.concat([frame(ROWS), frame(ROWS, dataset="grid25")])
        found = win_tie_loss(compare(both, METRICS, pairs="all")).set_index(["label", "other"])
        assert found.loc[("best", "far")].tolist() == [2, 0, 0]
        assert found.loc[("far", "best")].tolist() == [0, 0, 2]
        assert found.loc[("best", "near")].tolist() == [0, 2, 0]
        assert len(found) == 12 and (found.sum(axis=1) == 2).all()
