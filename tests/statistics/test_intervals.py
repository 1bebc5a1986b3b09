"""Intervals over seeds, against scipy, statsmodels and direct enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from gan_bench.statistics.intervals import clopper_pearson, collapsed, summarize, t_interval


@pytest.mark.parametrize("n", [2, 3, 5, 30])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_t_intervals_are_those_of_scipy(n: int, confidence: float) -> None:
    """Rows of a matrix have the confidence intervals of the one-sample t-test."""
    x = np.random.default_rng(n).normal(3, 2, (4, n))
    mean, low, high = t_interval(x, confidence)
    expected = stats.ttest_1samp(x, 0, axis=1).confidence_interval(confidence)
    assert mean == pytest.approx(x.mean(axis=1), abs=1e-12)
    assert low == pytest.approx(expected.low, rel=1e-10)
    assert high == pytest.approx(expected.high, rel=1e-10)


@pytest.mark.parametrize("n", [1, 3, 5, 10, 40])
def test_clopper_pearson_is_that_of_statsmodels_and_scipy(n: int) -> None:
    """Limits of every k of n agree with two independent implementations."""
    for k in range(n + 1):
        found = clopper_pearson(k, n)
        exact = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-10)
        assert (found.low, found.high) == pytest.approx(proportion_confint(k, n, method="beta"), abs=1e-10)


def test_known_limits_of_clopper_and_pearson() -> None:
    """5 of 5 leaves up to 52 % failing (1 - 0.025^(1/5)); no seed at all leaves everything open."""
    assert clopper_pearson(5, 5).low == pytest.approx(0.025**0.2, abs=1e-12)
    assert clopper_pearson(5, 5).high == 1
    assert (clopper_pearson(0, 0).low, clopper_pearson(0, 0).high) == (0, 1)
    with pytest.raises(ValueError):
        clopper_pearson(3, 2)


class TestSummary:
    def test_log_is_a_geometric_mean(self) -> None:
        """The interval is that of the logarithms, so it is positive and its limits are factors."""
        values = [0.3, 1.2, 5.0]
        found = summarize(values, "log", "lower")
        low, high = stats.ttest_1samp(np.log(values), 0).confidence_interval()
        assert found.mean == pytest.approx(stats.gmean(values), rel=1e-12)
        assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)), rel=1e-10)

    def test_log_with_zero_is_linear(self) -> None:
        """A value that has no logarithm makes the whole row linear, which the summary shows."""
        found = summarize([0.0, 1.0, 2.0], "log", "lower")
        assert (found.scale, found.mean) == ("linear", 1.0)

    @pytest.mark.parametrize("values", [[1.0, 0.99, 0.999], [0.0, 0.01, 0.0], [0.0, 1.0, 0.5]])
    def test_shares_stay_within_bounds(self, values: list[float]) -> None:
        """Limits of shares are between 0 and 1, whatever the spread."""
        found = summarize(values, "share", "higher", [10_000.0] * 3)
        assert 0 < found.low < found.mean < found.high < 1

    @pytest.mark.parametrize("scale", ["log", "linear", "share", "count"])
    def test_equal_values_have_no_interval(self, scale: str) -> None:
        """Equal seeds do not show a spread of 0: they are called equal."""
        found = summarize([0.5] * 4, scale, "lower", [100.0] * 4)  # type: ignore[arg-type]
        assert found.equal and found.mean == 0.5
        assert math.isnan(found.low) and math.isnan(found.high)

    def test_counts_are_complete_seeds(self) -> None:
        """Counts are summarized by the seeds that reach the total, with an exact interval."""
        found = summarize([8.0, 8.0, 7.0, 8.0], "count", "higher", total=8)
        assert found.complete == clopper_pearson(3, 4)
        assert math.isnan(found.low)
        assert summarize([0.0, 2.0], "count", "lower", total=0).complete == clopper_pearson(1, 2)
        assert summarize([0.0, 2.0], "count", "lower").complete is None

    def test_a_collapsed_seed_makes_the_interval_unreliable(self) -> None:
        """A seed above ten times the median, or below a tenth of it if higher is better, is counted."""
        found = summarize([1.0, 1.1, 0.9, 1.0, 10.1], "log", "lower")
        assert found.collapsed == clopper_pearson(1, 5) and not found.reliable
        assert summarize([1.0, 1.1, 0.9, 1.0, 10.0], "log", "lower").reliable
        assert collapsed([0.9, 0.95, 0.08], "higher").k == 1
        assert collapsed([1.0, 1.0, 100.0], "higher").k == 0
        assert collapsed([-1.0, 0.0, 100.0], "lower").k == 0
        assert collapsed([1.0, 1.0, 100.0], "none").k == 0

    def test_one_and_no_value(self) -> None:
        """One seed has a mean and no interval; none has neither."""
        assert (summarize([2.0], "log").mean, math.isnan(summarize([2.0], "log").low)) == (pytest.approx(2), True)
        assert math.isnan(summarize([], "log").mean)
