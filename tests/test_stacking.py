"""Stacked seeds: each member trains as it would alone, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_compilation import GAMES, SETTINGS, _assert_close, _silent
from tiny import WIDER, ZOO, trainer

from gan_bench.model import Model
from gan_bench.stacking import Stack, as_traced
from gan_bench.training import Trainer

SEEDS = (0, 1, 5)


def _both(make: Callable[[], Model], iterations: int = 4, **settings: Any) -> tuple[list[Trainer], list[Trainer]]:
    """The same seeds, one by one and stacked."""
    single, members = ([trainer(make(), seed=seed, **settings) for seed in SEEDS] for _ in range(2))
    stack = Stack(members, as_traced, _silent)
    for _ in range(iterations):
        stack.iterate()
        for one in single:
            one.iterate()
    return single, members


class TestStack:
    @pytest.mark.parametrize("name", ZOO)
    def test_zoo(self, name: str) -> None:
        """Parameters, optimisers, losses and counts of each seed are as without the others."""
        for one, member in zip(*_both(ZOO[name], learning_rate=0.002), strict=True):
            _assert_close(one, member)

    @pytest.mark.parametrize("name", WIDER)
    def test_wider_zoo(self, name: str) -> None:
        """The other models as well; by gradient descent, since some have gradients of zero up to rounding."""
        for one, member in zip(*_both(WIDER[name], 7, optimizer="sgd", learning_rate=0.002), strict=True):
            _assert_close(one, member)

    @pytest.mark.parametrize("name", GAMES)
    def test_other_games(self, name: str) -> None:
        """Many turns, turns by iteration, noise, constraints, state, simultaneous players, learned weights."""
        settings = SETTINGS.get(name, {"fakes": 16})
        for one, member in zip(*_both(GAMES[name], 7, learning_rate=0.002, **settings), strict=True):
            _assert_close(one, member)
