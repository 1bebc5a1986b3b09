"""Scales of metrics: transformed values and their return."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gan_bench.contracts.metric import Scale
from gan_bench.statistics.scales import effect_of, has_spread, mean_of, transform, usable_scale


@pytest.mark.parametrize(
    ("scale", "values", "samples", "usable"),
    [
        ("log", [0.1, 2.0], None, "log"),
        ("log", [0.1, 0.0], None, "linear"),
        ("log", [0.1, -1e-300], None, "linear"),
        ("share", [0.0, 1.0], [10.0, 10.0], "share"),
        ("share", [0.0, 1.0], [10.0, math.nan], "linear"),
        ("share", [0.0, 1.0], None, "linear"),
        ("share", [0.0, 1.1], [10.0, 10.0], "linear"),
        ("linear", [-1.0], None, "linear"),
        ("count", [0.0], None, "count"),
    ],
)
def test_a_scale_that_values_do_not_allow_is_linear(
    scale: Scale, values: list[float], samples: list[float] | None, usable: Scale
) -> None:
    """Logarithms need positive values; log odds need shares of known numbers of samples."""
    assert usable_scale(scale, values, samples) == usable


def test_transformed_values() -> None:
    """Logarithm, log odds of (c + ½)/(m + 1), and the value itself."""
    assert transform([2.0], "log") == pytest.approx(math.log(2), abs=1e-15)
    assert transform([0.75], "share", [100]) == pytest.approx(math.log(75.5 / 25.5), abs=1e-14)
    assert transform([0.0, 1.0], "share", [9, 9]) == pytest.approx([-math.log(19), math.log(19)], abs=1e-14)
    assert transform([-3.0], "linear") == transform([-3.0], "count") == -3


def test_means_and_effects_are_in_readable_units() -> None:
    """A mean returns to the metric's unit; a difference is a ratio, an odds ratio or a difference."""
    assert mean_of(transform([1.0, 4.0], "log").mean(), "log") == pytest.approx(2)
    assert mean_of(0.0, "share") == 0.5
    assert effect_of(math.log(3), "log") == effect_of(math.log(3), "share") == pytest.approx(3)
    assert mean_of(1.5, "linear") == effect_of(1.5, "linear") == effect_of(1.5, "count") == 1.5


def test_rounding_is_no_spread() -> None:
    """Differences that are equal but for the last bits have no spread."""
    x = np.log([0.1, 0.7, 3.0])
    assert not has_spread((x + math.log(2)) - x)
    assert has_spread(np.array([1.0, 1.0 + 1e-9]))
    assert has_spread(np.array([[0.0, 0.0], [0.0, 1e-300]])).tolist() == [False, True]
