"""Power, seeds needed and detectable differences, against statsmodels, scipy and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.power import TTestPower

from gan_bench.statistics.power import (
    MOST_SEEDS,
    detectable,
    detectable_effect,
    power_of_t,
    seeds_needed,
    upper_spread,
)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 60, 61, 100, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.0018])
def test_power_is_that_of_the_noncentral_t(n: int, alpha: float) -> None:
    """It agrees with scipy's noncentral t, if that is a number."""
    for effect in (0.0, 0.05, 0.3, 1.0, -1.0, 2.0):
        critical, shift = stats.t.ppf(1 - alpha / 2, n - 1), effect * math.sqrt(n)
        expected = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
        if math.isfinite(expected):
            assert power_of_t(effect, n, alpha) == pytest.approx(expected, abs=1e-10)


def test_power_is_that_of_statsmodels() -> None:
    """Another implementation of the same power."""
    for n, effect in ((5, 1.5), (8, 1.0), (20, 0.5)):
        assert power_of_t(effect, n) == pytest.approx(TTestPower().power(effect, n, 0.05), abs=1e-10)


def test_large_effects_have_a_power() -> None:
    """scipy's noncentral t is NaN there; direct integration over the spread is not."""
    for effect, n, alpha in ((4.0, 5, 0.0018), (8.0, 4, 1e-4), (2.0, 62, 0.05)):
        critical, nu, shift = stats.t.ppf(1 - alpha / 2, n - 1), n - 1, effect * math.sqrt(n)
        expected, _ = integrate.quad(
            lambda s, c=critical, nu=nu, d=shift: (
                stats.norm.sf(c * s - d) * stats.chi.pdf(s * math.sqrt(nu), nu) * math.sqrt(nu)
            ),
            0, 6, epsabs=1e-13, limit=200, points=[shift / critical],
        )  # fmt: skip
        assert power_of_t(effect, n, alpha) == pytest.approx(expected, abs=1e-10)
    assert power_of_t(1e6, 3) == pytest.approx(1, abs=1e-12)
    assert math.isnan(power_of_t(1, 1))


def test_power_with_three_seeds_at_a_tiny_level() -> None:
    """With two degrees of freedom V/2 is exponential: power is the integral of φ(z)·(1 - exp(-((z + δ)/t)²))."""
    probability = 1 - 5e-7
    critical = (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    shift = 900 * math.sqrt(3)
    expected, _ = integrate.quad(
        lambda z: stats.norm.pdf(z) * -math.expm1(-(((z + shift) / critical) ** 2)), -12, 12, epsabs=1e-14, points=[0]
    )
    assert power_of_t(900, 3, 1e-6) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("n", "effects"),
    [(3, (3.26, 7.32, 17.3)), (4, (2.12, 3.71, 6.64)), (5, (1.68, 2.63, 4.11)), (10, (1.00, 1.33, 1.72))],
)
def test_detectable_effects_are_the_simulated_ones(n: int, effects: tuple[float, ...]) -> None:
    """Smallest effects found by 100,000 simulated experiments, at levels .05, .01 and .0018."""
    found = [detectable_effect(n, alpha) for alpha in (0.05, 0.01, 0.05 / 28)]
    assert found == pytest.approx(effects, rel=0.01)
    assert power_of_t(found[0], n) == pytest.approx(0.8, abs=1e-10)


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_seeds_needed_are_those_of_statsmodels(spread: float, alpha: float) -> None:
    """The smallest whole number with 80 % power."""
    margin = math.log(1.25)
    n = seeds_needed(spread, margin, alpha)
    assert n is not None
    assert power_of_t(margin / spread, n, alpha) >= 0.8
    assert n == 2 or power_of_t(margin / spread, n - 1, alpha) < 0.8
    if spread >= 0.1:
        assert n == math.ceil(TTestPower().solve_power(margin / spread, alpha=alpha, power=0.8))


def test_limits_of_seeds_needed() -> None:
    """No spread needs two seeds; more than the largest number are not counted."""
    assert seeds_needed(0.0, 0.1) == 2
    assert seeds_needed(1.0, 0.001) is None
    n = seeds_needed(1.0, 0.03)
    assert n is not None and 8_000 < n < MOST_SEEDS


def test_upper_limit_of_the_spread() -> None:
    """80 % of normal samples have an upper limit above σ (exact, by the χ² distribution)."""
    for n in (2, 5, 10):
        s2 = stats.chi2.ppf(0.2, n - 1) / (n - 1)  # 80 % of samples have a larger variance
        assert upper_spread(math.sqrt(s2), n) == pytest.approx(1, abs=1e-12)
    spreads = np.random.default_rng(0).normal(0, 1, (20_000, 5)).std(axis=1, ddof=1)
    assert np.mean([upper_spread(s, 5) > 1 for s in spreads]) == pytest.approx(0.8, abs=0.01)


def test_what_a_benchmark_can_show() -> None:
    """More comparisons need larger differences; the margin is shown up to a spread; one seed shows nothing."""
    found = detectable(5, 4, 0.2)
    assert found.effect == pytest.approx(detectable_effect(5, 0.05 / 4), abs=1e-12)
    assert found.spread == pytest.approx(0.2 / found.effect)
    assert power_of_t(0.2 / found.spread, 5, 0.05 / 4) == pytest.approx(0.8, abs=1e-9)
    assert math.isnan(detectable(1).effect) and math.isnan(detectable(5).spread)
