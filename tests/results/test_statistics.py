"""Means and intervals over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from gan_bench.contracts.table import Estimate
from gan_bench.results.statistics import mean_interval


@pytest.mark.parametrize("n", [2, 3, 5, 30])
@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_the_interval_is_that_of_the_t_test(n: int, confidence: float) -> None:
    """Mean ± half-width equals scipy's confidence interval of the one-sample t-test."""
    values = np.random.default_rng(n).lognormal(0, 1, n)
    estimate = mean_interval(values.tolist(), confidence)
    interval = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert estimate.half_width is not None
    assert estimate.mean - estimate.half_width == pytest.approx(interval.low, rel=1e-12)
    assert estimate.mean + estimate.half_width == pytest.approx(interval.high, rel=1e-12)
    assert estimate.n == n


def test_a_known_interval() -> None:
    """For 1, 2, 3: mean 2, s = 1, so the half-width is t(0.975; 2) / √3 = 4.302653 / 1.732051."""
    estimate = mean_interval([1, 2, 3])
    assert estimate.mean == 2
    assert estimate.half_width == pytest.approx(4.30265273 / 3**0.5, rel=1e-8)


def test_one_seed_has_no_interval() -> None:
    """One value has a mean and no half-width."""
    assert mean_interval([0.25]) == Estimate(0.25, None, 1)


def test_equal_values_have_an_interval_of_zero() -> None:
    """Values without spread have a half-width of exactly 0."""
    assert mean_interval([8.0, 8.0, 8.0]) == Estimate(8.0, 0.0, 3)


def test_values_that_are_not_finite_are_kept() -> None:
    """nan and inf enter the mean without a warning."""
    with_nan, with_inf = mean_interval([1.0, math.nan]), mean_interval([1.0, math.inf])
    assert math.isnan(with_nan.mean) and with_inf.mean == math.inf
    assert with_inf.half_width is not None and math.isnan(with_inf.half_width)
