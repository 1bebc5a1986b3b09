"""Promises of shares of classes, for many classes and for generators without samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8

from gan_bench.contracts.metric import Classes, Samples
from gan_bench.contracts.scores import NONE, OTHERS
from gan_bench.evaluation.class_shares import KEPT, class_shares
from tests.support.messages import Messages


def samples(n: int, generator: Any = None, k: int = 1) -> Samples:
    """Return samples of which only the generator index matters."""
    return Samples(np.zeros((n, 2)), Ring8(Ring8.Params()), generator=generator, generators=k)


def told(classes: Classes, given: Samples) -> dict[int | None, dict[str, float]]:
    """Return shares by generator and class."""
    found: dict[int | None, dict[str, float]] = {}
    for share in class_shares(classes, given):
        found.setdefault(share.generator, {})[share.name] = share.share
    return found


class TestShares:
    def test_are_those_counted_by_hand(self) -> None:
        """Shares are those of the mixture, then of each generator; samples without a class have a share too."""
        classes = Classes(np.array([0, 0, 1, -1, 1, 1]), ("a", "b"))
        assert told(classes, samples(6, [0, 0, 0, 0, 1, 1], 2)) == {
            None: {"a": 2 / 6, "b": 3 / 6, NONE: 1 / 6},
            0: {"a": 0.5, "b": 0.25, NONE: 0.25},
            1: {"a": 0.0, "b": 1.0, NONE: 0.0},
        }

    def test_say_of_how_many_samples_they_are(self) -> None:
        classes = Classes(np.array([0, 0, 0]), ("a",), exhaustive=True)
        found = class_shares(classes, samples(3, [0, 0, 1], 2))
        assert [(share.generator, share.n) for share in found] == [(None, 3), (0, 2), (1, 1)]

    def test_have_none_only_where_a_sample_can_be_of_none(self) -> None:
        assert told(Classes(np.array([0]), ("a",), exhaustive=True), samples(1)) == {None: {"a": 1.0}}

    def test_of_samples_without_an_index_are_those_of_the_mixture(self) -> None:
        """An example is real data."""
        assert list(told(Classes(np.array([0, 1]), ("a", "b")), samples(2))) == [None]

    def test_of_a_generator_that_made_nothing_are_not_a_number(self) -> None:
        """The generator's n is 0, unlike that of a generator without samples of one class."""
        found = class_shares(Classes(np.array([0, 0]), ("a", "b")), samples(2, [1, 1], 2))
        assert [np.isnan(share.share) for share in found if share.generator == 0] == [True] * 3
        assert {share.n for share in found if share.generator == 0} == {0}

    def test_of_many_classes_name_the_largest_of_any_generator(self) -> None:
        """A class that only a small generator makes is named. The others are merged, and all shares sum to 1."""
        label = np.concatenate([np.arange(1000), np.full(3, 997)])
        generator = np.concatenate([np.zeros(1000, dtype=np.int64), np.ones(3, dtype=np.int64)])
        names = tuple(f"{number:03}" for number in range(1000))
        found = told(Classes(label, names, exhaustive=True), samples(1003, generator, 2))
        assert [len(shares) for shares in found.values()] == [KEPT + 1] * 3
        assert found[1]["997"] == 1.0 and found[1][OTHERS] == 0.0
        assert found[0][OTHERS] == pytest.approx(1 - KEPT / 1000)
        assert [sum(shares.values()) for shares in found.values()] == pytest.approx([1.0] * 3)
        assert list(found[0])[-2:] == ["997", OTHERS]

    def test_of_as_many_classes_as_can_be_told_have_no_others(self) -> None:
        """A grid of 25 is reported completely and in order, with its empty classes."""
        names = tuple(map(str, range(KEPT)))
        assert list(told(Classes(np.array([7]), names), samples(1))[None]) == [*names, NONE]


class TestClasses:
    @pytest.mark.parametrize(("label", "exhaustive"), [(2, False), (-2, False), (-1, True)])
    def test_have_labels_that_their_names_know(self, label: int, exhaustive: bool, messages: Messages) -> None:
        """A metric with an invalid label is reported immediately."""
        with messages.raises(ValueError, label, "2"):
            Classes(np.array([0, label]), ("a", "b"), exhaustive)
