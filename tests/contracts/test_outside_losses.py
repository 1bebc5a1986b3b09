"""Plugins written from the documentation alone: they pass the kit, equal their papers' formulas and learn."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.metrics.modes import Modes
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.networks.mlp import MLP
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from gan_bench.contracts.metric import Samples
from gan_bench.contracts.model import Fake, Model, Real
from gan_bench.evaluation.evaluate import evaluate
from gan_bench.testing import checks, trainer
from gan_bench.testing.checks import Check
from tests.support.outside import gdpp
from tests.support.outside.coverage_radius import REAL, CoverageRadius
from tests.support.outside.gdpp import GDPP
from tests.support.outside.msgan import MSGAN
from tests.support.outside.two_rings import TwoRings

PLUGINS: list[type[Any]] = [MSGAN, GDPP, TwoRings, CoverageRadius]
RINGS = TwoRings(TwoRings.Params())
ITERATIONS = 500


@pytest.mark.parametrize("check", [check for cls in PLUGINS for check in checks(cls)], ids=str)
def test_contract(check: Check) -> None:
    """Each passes every check of its kind."""
    check()


# --- closed forms


class Plane(nn.Module):
    """A discriminator whose logit is the first coordinate, with the points themselves as features."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"source": x[:, 0]}

    def features(self, x: Tensor) -> Tensor:
        return x


def draw(x: Tensor, z: Tensor, generators: int = 1) -> Fake:
    """Return generated samples of equally many samples a generator."""
    return Fake(x, z, torch.arange(generators).repeat_interleave(len(x) // generators), generators)


def test_msgan_is_the_ratio_of_distances() -> None:
    """Of two generators with two samples each, a pair is of one generator: r is 3 / 2."""
    x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [4.0, 4.0]])
    z = torch.tensor([[0.0], [1.0], [5.0], [8.0]])
    model = MSGAN(MSGAN.Params(weight=0.5, generators=2))
    model.add_module("discriminator", Plane())
    adversarial = np.logaddexp(0, -x[:, 0].numpy()).mean()
    assert model.generator_loss(draw(x, z, 2)).item() == pytest.approx(adversarial + 0.5 / (3 / 2 + 1e-5))


def test_msgan_ignores_a_sample_without_a_partner() -> None:
    """Of five samples, the first is paired with the third and the second with the fourth."""
    x = torch.tensor([[0.0], [0.0], [1.0], [3.0], [1e6]])
    assert MSGAN().ratio(draw(x, 2 * x)).item() == pytest.approx(0.5)


def _diversities(real: Any, fake: Any) -> list[float]:
    """Return the diversity loss by its definition, for each choice of the signs of the eigenvectors."""
    pairs = []
    for features in (real, fake):
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        pairs.append(np.linalg.eigh(unit @ unit.T))
    (real_values, real_vectors), (fake_values, fake_vectors) = pairs
    weights = (real_values - real_values[0]) / (real_values[-1] - real_values[0])
    terms = weights * [real_vectors[:, i] @ fake_vectors[:, i] for i in range(len(weights))]
    magnitude = 1e-4 * ((fake_values - real_values) ** 2).mean()
    return [float(magnitude - terms @ signs) for signs in product((1, -1), repeat=len(terms))]


def test_gdpp_compares_the_spectra_of_two_kernels() -> None:
    """The loss equals its definition. That of equal sets is minus the sum of the scaled eigenvalues, the minimum."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 5, 9))
    found = gdpp.diversity_loss(torch.tensor(real), torch.tensor(fake)).item()
    assert min(abs(found - each) for each in _diversities(real, fake)) < 1e-12
    same = gdpp.diversity_loss(torch.tensor(real), torch.tensor(real)).item()
    assert same == pytest.approx(min(_diversities(real, real)), rel=1e-9)
    assert same < found


def test_gdpp_compares_samples_of_all_generators() -> None:
    """The gradient of the diversity loss reaches the first two samples of each of three generators only."""
    x = torch.randn(12, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    real = Real(torch.randn(20, 8, generator=torch.Generator().manual_seed(1)))
    model = GDPP(GDPP.Params(samples=6, generators=3, weight=1e6))
    model.add_module("discriminator", Plane())
    model.generator_loss(real, draw(x, torch.zeros(12, 1), 3)).backward()
    assert x.grad is not None
    large = x.grad.abs().amax(1).view(3, 4) > 10  # the adversarial loss has gradients below 1
    assert large.tolist() == [[True, True, False, False]] * 3


@pytest.mark.parametrize(("model", "fakes"), [(MSGAN(MSGAN.Params(generators=3)), 5), (GDPP(), 15)])
def test_small_draws_are_refused(model: Model, fakes: int) -> None:
    """A draw without a pair of each generator, or smaller than a kernel, has a reason."""
    assert model.refuses_draws(100, fakes)
    assert model.refuses_draws(100, fakes + 1) is None


def test_two_rings_have_their_radii_and_shares() -> None:
    """The label is the ring, with its radius, width and share of points."""
    rings = TwoRings(TwoRings.Params(inner=0.5, outer=3.0, std=0.1, share=0.25))
    real = rings.draw(20_000, torch.Generator().manual_seed(0))
    radius = real.x.norm(dim=1)
    assert real.label is not None
    for ring, expected in enumerate((0.5, 3.0)):
        found = radius[real.label == ring]
        assert found.mean().item() == pytest.approx(expected, abs=0.01)
        assert found.std().item() == pytest.approx(0.1, rel=0.05)
    assert (real.label == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert real.x.mean(0).abs().max().item() < 0.1  # no preferred angle


def test_coverage_radius_is_a_quantile_of_nearest_distances() -> None:
    """The value equals that from all distances."""
    samples = Samples(np.random.default_rng(0).normal(size=(50, 2)), RINGS, seed=3)
    nearest = cdist(samples.held_out(REAL), samples.x).min(axis=1)
    assert CoverageRadius().compute(samples) == pytest.approx(np.quantile(nearest, 0.95))


# --- training


def _modes(model: Model) -> float:
    """Train a model on the ring of eight, and return the number of its modes."""
    settings = {"batch": 128, "fakes": 128, "latent_size": 16, "iterations": ITERATIONS}
    start = {"init": "orthogonal", "init_scale": 1.0, "learning_rate": 1e-3}
    run = trainer(model, network=MLP(MLP.Params(hidden=64)), dataset=Ring8(Ring8.Params()), **settings, **start)
    for _ in range(ITERATIONS):
        run.iterate()
    (score,) = evaluate(run, [Modes()], 2000, 0).scores
    return score.value


def test_gan_collapses() -> None:
    """With these settings GAN reaches a few modes only."""
    assert _modes(GAN()) <= 3


@pytest.mark.parametrize("model", [MSGAN(), GDPP(GDPP.Params(generators=4))], ids=["msgan", "gdpp"])
def test_regularised_models_reach_more_modes(model: Model) -> None:
    """With the same settings the regularised models reach most modes."""
    assert _modes(model) >= 6
