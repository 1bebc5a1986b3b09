"""Tests of the selection of generated samples from all generators."""

from __future__ import annotations

import pytest
import torch

from gan_bench.contracts.model import Fake
from tests.support.messages import Messages


def draw(generators: int, each: int) -> Fake:
    """Return a draw whose samples are their own positions."""
    index = torch.arange(generators).repeat_interleave(each)
    x = torch.arange(generators * each, dtype=torch.float32)[:, None]
    return Fake(x, torch.zeros(len(x), 3), index, generators)


@pytest.mark.parametrize(("generators", "each"), [(1, 7), (3, 4), (8, 1), (4, 5)])
def test_every_number_of_samples_is_spread_evenly(generators: int, each: int) -> None:
    """All indices differ, and two generators differ by at most one sample. The first indices are the same for all n."""
    fake = draw(generators, each)
    everything = fake.spread(len(fake.x))
    for n in range(len(fake.x) + 1):
        found = fake.spread(n)
        counts = torch.bincount(fake.generator[found], minlength=generators)
        assert int(counts.max() - counts.min()) <= 1
        assert torch.equal(found, everything[:n])
    assert sorted(everything.tolist()) == list(range(len(fake.x)))


def test_samples_are_taken_in_turn_and_in_their_order() -> None:
    """Of three generators with four samples each, the first is taken from each, then the second."""
    assert draw(3, 4).spread(5).tolist() == [0, 4, 8, 1, 5]


def test_gradients_reach_every_generator() -> None:
    """A subset as large as the number of generators has a gradient at one sample of each."""
    fake = draw(4, 5)
    fake.x.requires_grad_()
    fake.x[fake.spread(4)].sum().backward()
    assert fake.x.grad is not None
    assert fake.by_generator(fake.x.grad).sum(1).flatten().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("n", [-1, 13])
def test_more_samples_than_there_are_cannot_be_selected(n: int, messages: Messages) -> None:
    """A number outside 0…N is rejected."""
    with messages.raises(ValueError, "from 0 to 12", f"found {n}"):
        draw(3, 4).spread(n)
