"""Promises of tie groups: models share a letter exactly if they are not shown to differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest

from gan_bench.report.page.verdicts import tie_groups


@dataclass(frozen=True)
class Pair:
    """A comparison."""

    label: str
    baseline: str
    verdict: str


def test_the_best_has_the_first_letter() -> None:
    """Letters follow the order of the labels."""
    pairs = [Pair("a", "b", "undecided"), Pair("a", "c", "better"), Pair("b", "c", "equivalent")]
    assert tie_groups(["a", "b", "c"], pairs) == {"a": "a", "b": "ab", "c": "b"}


@pytest.mark.parametrize("seed", range(20))
def test_letters_are_shared_exactly_by_ties(seed: int) -> None:
    """For any pattern of differences, intransitive ones too."""
    rng = np.random.default_rng(seed)
    labels = [f"m{i}" for i in range(6)]
    pairs = [Pair(a, b, str(rng.choice(["better", "worse", "undecided"]))) for a, b in combinations(labels, 2)]
    letters = tie_groups(labels, pairs)
    for pair in pairs:
        assert bool(set(letters[pair.label]) & set(letters[pair.baseline])) == (pair.verdict == "undecided")


def test_without_differences_all_share_one_letter() -> None:
    """No comparison at all is the same."""
    assert tie_groups(["x", "y"], []) == {"x": "a", "y": "a"}
