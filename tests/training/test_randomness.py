"""Promises of counted randomness: a draw depends on its purpose and counters, not on earlier draws."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from torch import nn

from gan_bench.contracts.model import Latents
from gan_bench.contracts.network import Networks
from gan_bench.evaluation.evaluate import draw
from gan_bench.training.randomness import Randomness, seed_of
from tests.support.tiny import CPU, ZOO, trainer


def test_every_argument_counts() -> None:
    """Seed, purpose and each counter change the number, and their digits cannot shift from one to another."""
    arguments = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 0, 0), (0, "a", 1, 0), (0, "a", 0, 1)]
    arguments += [(1, "a", 1, 11), (1, "a", 11, 1), (11, "a", 1, 1), (0, "a", 10), (0, "a1", 0)]
    assert len({seed_of(*a) for a in arguments}) == len(arguments)  # type: ignore[arg-type]


def test_fixed_for_ever() -> None:
    """The numbers are part of the format: results of different versions and machines share their draws."""
    assert seed_of(0, "data", 0, 0) == 6_397_791_217_848_648_163
    assert seed_of(7, "noise/mix", 12, 3) == 2_162_815_409_747_723_030


def test_range_and_collisions() -> None:
    """Numbers have 63 bits, and 20,000 draws of a run do not collide."""
    numbers = [seed_of(0, purpose, t, 0) for purpose in ("data", "latents") for t in range(10_000)]
    assert len(set(numbers)) == 20_000
    assert all(0 <= number < 2**63 for number in numbers)


def test_a_draw_does_not_depend_on_the_ones_before() -> None:
    """A draw is the same after any other draws, also of another run's object."""
    first = Randomness(3, CPU)
    expected = torch.randn(5, generator=first.at("data", 4, 1))
    other = Randomness(3, CPU)
    torch.randn(17, generator=other.at("latents", 4))
    assert torch.equal(torch.randn(5, generator=other.at("data", 4, 1)), expected)
    assert not torch.equal(torch.randn(5, generator=other.at("data", 4, 2)), expected)
    assert not torch.equal(torch.randn(5, generator=Randomness(4, CPU).at("data", 4, 1)), expected)


def test_draws_are_independent() -> None:
    """Draws for neighbouring seeds, purposes and iterations are uncorrelated: |r| < 0.05 at n = 10,000."""
    keys = itertools.product((0, 1), ("data", "latents"), (0, 1))
    draws = [torch.randn(10_000, generator=Randomness(s, CPU).at(p, t)) for s, p, t in keys]
    r = torch.corrcoef(torch.stack(draws)) - torch.eye(len(draws))
    assert float(r.abs().max()) < 0.05


@pytest.mark.parametrize(("distribution", "mean", "std"), [("normal", 0, 1), ("uniform", 0, 1 / 3**0.5)])
def test_latents(distribution: str, mean: float, std: float) -> None:
    """Latents are N(0, I) or U(-1, 1), in float32, with the moments of their prior."""
    z = Latents(distribution, 8).draw(20_000, Randomness(0, CPU).at("latents"))
    assert z.shape == (20_000, 8)
    assert z.dtype == torch.float32
    assert float(z.mean()) == pytest.approx(mean, abs=0.01)
    assert float(z.std()) == pytest.approx(std, abs=0.01)
    assert distribution == "normal" or float(z.abs().max()) <= 1


def test_layers_of_any_kind_start_from_the_seed() -> None:
    """A layer that `initialise` does not support keeps torch's initialisation, which depends on the seed only."""

    class Odd(GAN):
        def build(self, networks: Networks) -> Mapping[str, nn.Module]:
            return dict(super().build(networks)) | {"generator": nn.Embedding(3, 2)}

    first, again, other = (trainer(Odd(), seed=seed).model.get_parameter("generator.weight") for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ZOO)
def test_no_global_stream_is_read(name: str) -> None:
    """The random state of torch, numpy and Python is unchanged by building, training and sampling."""

    def states() -> tuple[object, ...]:
        _, keys, position, *_ = np.random.get_state()
        return torch.get_rng_state().tolist(), list(keys), position, random.getstate()

    before = states()
    t = trainer(ZOO[name]())
    t.iterate()
    draw(t, 10, 0)
    assert states() == before
