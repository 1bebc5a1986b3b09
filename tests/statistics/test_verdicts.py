"""Holm's procedure, equivalence and verdicts, against statsmodels and scipy."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttost_paired

from gan_bench.statistics.verdicts import decide, holm, paired_equivalence, unpaired_equivalence


@pytest.mark.parametrize("m", [1, 2, 5, 28])
def test_holm_is_that_of_statsmodels(m: int) -> None:
    """Adjusted p-values of a batch of families, ties and values above 1 among them."""
    p = np.round(np.random.default_rng(m).random((2, m)) ** 3, 2)
    expected = [multipletests(row, method="holm")[1] for row in p]
    assert holm(p) == pytest.approx(np.array(expected), abs=1e-12)


def test_a_comparison_without_p_counts_in_the_family() -> None:
    """A comparison that could not be tested makes the others no more significant."""
    found = holm([0.01, math.nan, 0.03])
    assert found[[0, 2]] == pytest.approx([0.03, 0.06])
    assert math.isnan(found[1])


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize("margin", [0.1, 1.0, 3.0])
def test_paired_equivalence_is_that_of_statsmodels(n: int, margin: float) -> None:
    """The larger p-value of two one-sided paired t-tests."""
    rng = np.random.default_rng(n)
    a, b = rng.normal(0, 1, n), rng.normal(0.2, 1, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ttost_paired(a, b, -margin, margin)[0]
    assert paired_equivalence(a - b, margin) == pytest.approx(expected, abs=1e-12)
    lower = stats.ttest_1samp(a - b, -margin, alternative="greater").pvalue
    upper = stats.ttest_1samp(a - b, margin, alternative="less").pvalue
    assert paired_equivalence(a - b, margin) == pytest.approx(max(lower, upper), abs=1e-12)


def test_unpaired_equivalence_is_that_of_statsmodels() -> None:
    """The larger p-value of two one-sided Welch tests."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, 6), rng.normal(0.2, 2, 9)
    means = CompareMeans(DescrStatsW(a), DescrStatsW(b))
    expected = means.ttost_ind(-1, 1, usevar="unequal")[0]
    assert unpaired_equivalence(a, b, 1) == pytest.approx(expected, abs=1e-12)


def test_equivalence_without_spread() -> None:
    """All 0 is equivalent; other equal differences are as certain as signs can be; one seed shows nothing."""
    assert paired_equivalence([0.0] * 3, 0.1) == 0
    assert paired_equivalence([0.05] * 5, 0.1) == 1 / 32
    assert paired_equivalence([0.5] * 5, 0.1) == 1
    assert math.isnan(paired_equivalence([0.0], 0.1))
    assert unpaired_equivalence([1.0, 1.0], [1.0, 1.0], 0.1) == 1 / 6
    assert math.isnan(unpaired_equivalence([1.0], [1.0, 2.0], 0.1))


def test_verdicts() -> None:
    """Equivalent wins over better and worse; without significance the verdict is undecided."""
    gain = [1.0, -1.0, 1.0, 1.0, 1.0, math.nan]
    p = [0.04, 0.04, 0.04, 0.06, 0.9, math.nan]
    equivalence = [math.nan, 0.2, 0.01, math.nan, 0.05, math.nan]
    expected = ["better", "worse", "equivalent", "undecided", "equivalent", "undecided"]
    assert decide(gain, p, equivalence).tolist() == expected
