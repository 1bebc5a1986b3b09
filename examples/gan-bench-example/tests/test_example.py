"""Contract checks of the package's model and dataset, and their closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from gan_bench import Fake, Real
from gan_bench.testing import DatasetTestCase, ModelTestCase
from torch import Tensor, nn

from gan_bench_example.stackelberg import StackelbergGAN
from gan_bench_example.swiss_roll import SwissRoll


class TestStackelbergGAN(ModelTestCase):
    """One test for each check that `gan-bench check` runs on a model."""

    plugin = StackelbergGAN


class TestSwissRoll(DatasetTestCase):
    """One test for each check that `gan-bench check` runs on a dataset."""

    plugin = SwissRoll


class First(nn.Module):
    """Discriminator whose logit is the first coordinate of a sample."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (n, d) to (n,)."""
        return {"source": x[:, 0]}


def test_losses_are_means_over_generators() -> None:
    """Losses are the mean of the generators' losses, here of two generators with two samples each."""
    real, logits = torch.tensor([[0.5, 0.0]]), [-1.0, 0.0, 2.0, 3.0]
    fake = Fake(torch.tensor([[a, 0.0] for a in logits]), torch.empty(4, 0), torch.tensor([0, 0, 1, 1]), 2)
    model = StackelbergGAN(StackelbergGAN.Params(generators=2))
    model.add_module("discriminator", First())
    bce_fake = [math.log(1 + math.exp(a)) for a in logits]
    of_each = [math.log(1 + math.exp(-0.5)) + sum(bce_fake[k : k + 2]) / 2 for k in (0, 2)]
    assert model.discriminator_loss(Real(real), fake).item() == pytest.approx(sum(of_each) / 2)
    assert model.generator_loss(fake).item() == pytest.approx(sum(math.log(1 + math.exp(-a)) for a in logits) / 4)


def test_the_roll_makes_one_and_a_half_turns() -> None:
    """It starts below the centre, at a third of the radius, and ends above, at the full radius."""
    means = SwissRoll(SwissRoll.Params(modes=30_000, radius=2.0)).mixture.means
    assert means[0].tolist() == pytest.approx([0.0, -2 / 3], abs=1e-3)
    assert means[-1].tolist() == pytest.approx([0.0, 2.0], abs=1e-3)


def test_weights_by_length_are_the_length_of_the_roll() -> None:
    """A mode's share is proportional to the distance of its neighbours; by angle all shares are equal."""
    by_length = SwissRoll(SwissRoll.Params(modes=1000, even_by="length")).mixture
    steps = ((by_length.means[2:] - by_length.means[:-2]) ** 2).sum(1) ** 0.5
    assert (by_length.weights[1:-1] / by_length.weights[1:-1].sum()).tolist() == pytest.approx(
        (steps / steps.sum()).tolist(), rel=1e-4
    )
    assert set(SwissRoll(SwissRoll.Params(modes=4)).mixture.weights.tolist()) == {0.25}


def test_draws_have_the_moments_of_the_density() -> None:
    """Each mode is as frequent as its weight, with its mean and standard deviation."""
    data = SwissRoll(SwissRoll.Params(modes=3, std=0.1, even_by="length"))
    real = data.draw(60_000, torch.Generator().manual_seed(0))
    assert real.label is not None
    for mode, (mean, weight) in enumerate(zip(data.mixture.means, data.mixture.weights, strict=True)):
        x = real.x[real.label == mode]
        assert len(x) / 60_000 == pytest.approx(weight, abs=0.01)
        assert x.mean(0).tolist() == pytest.approx(mean.tolist(), abs=0.01)
        assert x.std(0).tolist() == pytest.approx([0.1, 0.1], rel=0.05)
