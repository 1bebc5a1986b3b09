"""Promises of random draws: also in blocks, as on a GPU, they depend on the seed and the iteration only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gan_bench_zoo.models.wgan import WGAN
from torch import Tensor

from gan_bench.acceleration.tracing import flat
from gan_bench.training.draws import LARGEST_BLOCK, MOST_ROWS
from gan_bench.training.iteration import MOST_TURNS
from gan_bench.training.trainer import Trainer
from tests.support.tiny import WIDER, ZOO, trainer


def blocked(name: str, rows: int = 4, seed: int = 0, **settings: Any) -> Trainer:
    """Return a trainer that draws for some iterations at a time."""
    found = trainer((ZOO | WIDER)[name](), seed=seed, iterations=40, **settings)
    found.draw_source.rows = rows
    return found


def drawn(t: Trainer, iteration: int) -> list[Tensor]:
    """Return all tensors drawn for an iteration."""
    t.iteration = iteration
    return flat(t.draw(tuple(t.model.turns(iteration))))


class TestBlocks:
    @pytest.mark.parametrize("name", ["mgan", "wgan-gp", "ac-gan", "mgan, shared noise"])
    def test_have_the_shapes_of_single_draws(self, name: str) -> None:
        """The draws are real data with labels, latents and declared noise."""
        single, rows = drawn(blocked(name, 1), 5), drawn(blocked(name), 5)
        assert [(x.shape, x.dtype) for x in single] == [(x.shape, x.dtype) for x in rows]

    def test_depend_on_the_iteration_alone(self) -> None:
        """Earlier draws do not matter, so a resumed run draws the same as an uninterrupted one."""
        through = blocked("wgan-gp")
        all_of_them = [drawn(through, i) for i in range(10)]
        for i in (9, 2, 4, 3):
            assert all(map(torch.equal, drawn(blocked("wgan-gp"), i), all_of_them[i]))

    def test_differ_between_iterations_and_seeds(self) -> None:
        """No row equals another."""
        latents = [drawn(blocked("gan", seed=seed), i)[-1] for seed in (0, 1) for i in range(9)]
        assert len({tuple(z.flatten().tolist()) for z in latents}) == 18

    def test_are_the_same_for_every_model(self) -> None:
        """All models share real data and latents; K generators split the same latents."""
        one, many = drawn(blocked("gan"), 6), drawn(blocked("mgan"), 6)
        assert torch.equal(one[0], many[0])
        assert torch.equal(one[-1].flatten(0, 1), many[-1].flatten(0, 1))

    def test_data_drawn_by_weights_are_drawn_singly(self) -> None:
        """The weights may differ in the next iteration."""
        t = blocked("adagan")
        for _ in range(40):
            t.iterate()
        turns = tuple(t.model.turns(39))
        assert t.draw_source.blocks(turns, t.draw(turns), t.iteration) is None

    def test_long_iterations_draw_for_themselves(self) -> None:
        """An iteration of many turns draws no block for later ones, and each iteration has different draws."""
        t = trainer(WGAN(WGAN.Params(critic_steps=2, warm_up=3, long_steps=MOST_TURNS)), iterations=40)
        t.draw_source.rows = 4
        first, second = drawn(t, 0), drawn(t, 1)
        assert t.draw_source._blocks == {}
        assert not any(map(torch.equal, first, second))
        assert all(map(torch.equal, first, drawn(t, 0)))
        drawn(t, 5)
        assert t.draw_source._blocks

    def test_are_no_larger_than_allowed(self) -> None:
        """Large draws have few rows, and there are never more rows than useful."""
        assert blocked("gan").draw_source._most_rows() == MOST_ROWS
        large = trainer(ZOO["gan"](), batch=LARGEST_BLOCK // 6, fakes=2).draw_source
        assert large._most_rows() == 3


class TestOnACPU:
    def test_every_iteration_draws_its_own(self) -> None:
        """Results published earlier can be reproduced."""
        assert trainer(ZOO["mgan"]()).draw_source.rows == 1
