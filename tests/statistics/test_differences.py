"""Tests of differences, against scipy, statsmodels and enumeration."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from gan_bench.statistics.differences import (
    SIGN_FLIPS,
    correlation,
    fisher_exact,
    improvement,
    mcnemar,
    paired_difference,
    paired_t,
    sign_flip,
    sign_flip_equivalence,
    unpaired_improvement,
    welch,
)


def draws(n: int, m: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two samples of different means and spreads."""
    rng = np.random.default_rng(n)
    return rng.lognormal(0, 1, n), rng.lognormal(0.4, 0.5, m or n)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_paired_t_is_that_of_scipy(n: int) -> None:
    """p-value and interval agree with `ttest_rel`, also for a batch of differences."""
    a, b = draws(n)
    expected = stats.ttest_rel(a, b)
    found = paired_difference(a - b)
    interval = expected.confidence_interval()
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert paired_t(np.array([a - b, b - a])) == pytest.approx([expected.pvalue] * 2, abs=1e-12)


def test_differences_without_spread_never_give_nan() -> None:
    """If all are 0, p is 1; if all are equal, it is that of the sign-flip test; of one seed nothing is known."""
    assert paired_t([0.0, 0.0, 0.0]) == 1
    assert paired_t([0.2, 0.2, 0.2]) == sign_flip([0.2, 0.2, 0.2]) == 0.25
    assert math.isnan(paired_t([1.0]))
    assert paired_t(np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])) == pytest.approx(
        [1, stats.ttest_1samp([1, 2, 3], 0).pvalue], abs=1e-12
    )


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flips_are_enumerated(n: int) -> None:
    """p-values equal those of a direct enumeration of all signs, two-sided and one-sided."""
    d = np.round(np.random.default_rng(n).normal(0.5, 1, n), 1)  # rounded, so that sums can be equal
    sums = [sum(s * x for s, x in zip(signs, d, strict=True)) for signs in product((1, -1), repeat=n)]
    two_sided = np.mean([abs(each) >= abs(d.sum()) - 1e-9 for each in sums])
    assert sign_flip(d) == pytest.approx(two_sided, abs=1e-15)
    assert sign_flip(d, greater=True) == pytest.approx(np.mean([each >= d.sum() - 1e-9 for each in sums]), abs=1e-15)


@pytest.mark.parametrize("n", [3, 7, 12])
def test_sign_flips_are_those_of_scipy(n: int) -> None:
    """Exact p-values equal those of scipy's permutation test of paired samples."""
    d = draws(n)[0] - draws(n)[1]
    expected = stats.permutation_test(
        (d,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=math.inf, vectorized=True
    )
    assert sign_flip(d) == pytest.approx(expected.pvalue, abs=1e-12)


def test_many_seeds_are_sampled_with_the_added_one() -> None:
    """Above 12 seeds p is (1 + hits)/(1 + draws), never 0, the same for the same seed, near the exact one."""
    d = np.random.default_rng(0).normal(0.4, 1, 13)
    signs = np.array(list(product((1, -1), repeat=13)))
    exact = (np.abs(signs @ d) >= abs(d.sum()) - 1e-12).mean()
    error = math.sqrt(exact * (1 - exact) / SIGN_FLIPS)
    assert sign_flip(d) == pytest.approx(exact, abs=5 * error)
    assert sign_flip(d, 3) == sign_flip(np.array([d, d]), 3)[1] != sign_flip(d, 4)
    assert sign_flip(np.full(40, 1.0)) == 1 / (1 + SIGN_FLIPS)


def test_sign_flips_for_equivalence() -> None:
    """Both one-sided tests of shifted differences must reject; five equal seeds reach 1/2⁵."""
    d = np.array([0.1, -0.2, 0.05])
    assert sign_flip_equivalence(d, 1.0) == max(sign_flip(1 + d, greater=True), sign_flip(1 - d, greater=True)) == 1 / 8
    assert sign_flip_equivalence(np.zeros(5), 0.1) == 1 / 32
    assert sign_flip_equivalence(np.full(5, 2.0), 0.1) == 1


@pytest.mark.parametrize(("n", "m"), [(2, 3), (5, 4), (30, 10)])
def test_welch_is_that_of_scipy_and_statsmodels(n: int, m: int) -> None:
    """p-value and interval agree with two independent implementations."""
    a, b = draws(n, m)
    found, expected = welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    means = CompareMeans(DescrStatsW(a), DescrStatsW(b))
    assert (found.low, found.high) == pytest.approx(means.tconfint_diff(usevar="unequal"), rel=1e-10)


def test_welch_without_spread_or_values() -> None:
    """Equal values give no NaN: p counts the divisions into two groups. One value gives no p."""
    assert welch([1.0, 1.0], [1.0, 1.0, 1.0]).p == 1
    assert welch([1.0, 1.0], [2.0, 2.0, 2.0]).p == 2 / 10
    assert math.isnan(welch([1.0], [2.0, 3.0]).p)


def test_mcnemar_is_that_of_statsmodels() -> None:
    """Exact p-values of all tables of up to five seeds of each kind."""
    for first, second in product(range(6), repeat=2):
        a = np.array([True] * first + [False] * second + [True, False])
        b = np.array([False] * first + [True] * second + [True, False])
        expected = mcnemar_of_statsmodels([[1, first], [second, 1]], exact=True).pvalue if first + second else 1.0
        assert mcnemar(a, b) == pytest.approx(expected, abs=1e-12)


def test_fisher_is_that_of_scipy() -> None:
    """Successes of different seeds are compared by Fisher's exact test."""
    a, b = np.array([True] * 5), np.array([False] * 4 + [True])
    assert fisher_exact(a, b) == pytest.approx(stats.fisher_exact([[5, 0], [1, 4]]).pvalue, abs=1e-14)


def test_improvement_counts_ties_as_half() -> None:
    """The interval is exact over the untied seeds, and lower values win if lower is better."""
    found = improvement([1, 2, 3, 4, 9], [1, 3, 4, 5, 8], "lower")
    assert (found.wins, found.ties, found.losses, found.probability) == (3, 1, 1, 0.7)
    exact = stats.binomtest(3, 4).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    mirrored = improvement([1, 2, 3, 4, 9], [1, 3, 4, 5, 8], "higher")
    assert (mirrored.wins, mirrored.losses) == (1, 3)
    all_tied = improvement([1, 1], [1, 1], "lower")
    assert (all_tied.probability, all_tied.low, all_tied.high) == (0.5, 0, 1)


def test_unpaired_improvement_is_that_of_mann_and_whitney() -> None:
    """It equals U/(nm), with half of each tie."""
    a, b = [1.0, 2.0, 2.0, 5.0], [2.0, 3.0, 4.0]
    expected = stats.mannwhitneyu(a, b).statistic / 12
    assert unpaired_improvement(a, b, "higher").probability == pytest.approx(expected, abs=1e-15)
    assert unpaired_improvement(a, b, "lower").probability == pytest.approx(1 - expected, abs=1e-15)


def test_correlation() -> None:
    """Pearson's, or NaN if it is undefined."""
    a, b = draws(6)
    assert correlation(a, b) == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)
    assert math.isnan(correlation([1, 1, 1], [1, 2, 3])) and math.isnan(correlation([1, 2], [1, 2]))
