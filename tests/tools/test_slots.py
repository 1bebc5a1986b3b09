"""Test of the calculation of commands with many slots."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "speed"))

import slots  # type: ignore[import-not-found]

FREE = slots.Costs(settle=0, attempt=0, message=0, hold=2, start=0, hello=0, table=0, plan=0)


@pytest.mark.parametrize(
    ("costs", "length", "seconds", "bottleneck"),
    [
        ({}, 10.0, 20.0, "the runs"),
        ({"start": 5.0, "plan": 0.1}, 10.0, 27.0, "the runs"),
        ({"settle": 1.0}, 1.0, 12.0, "settling"),
        ({"attempt": 1.0}, 1.0, 21.0, "disk"),
    ],
    ids=["no costs", "start and plan", "settling", "disk"],
)
def test_total_is_known_without_a_queue_or_with_one_cost(
    costs: dict[str, float], length: float, seconds: float, bottleneck: str
) -> None:
    """20 runs on ten slots: two waves, or one run after the other if the command takes as long as a run."""
    found = slots.simulate(20, 10, length, 1, replace(FREE, **costs))
    assert found.seconds == pytest.approx(seconds, rel=1e-6)
    assert found.bottleneck == bottleneck
