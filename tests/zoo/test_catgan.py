"""CatGAN: entropies of categories, the optimum of either player, and the player that each turn updates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.catgan import CatGAN
from numpy.typing import NDArray

from gan_bench.contracts.model import Real
from gan_bench.contracts.parameters import checked
from tests.support.tiny import Echo, fake, number, put, real, same, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(4)
K = 3
R, F = RNG.normal(0, 2, (7, K)), RNG.normal(0, 2, (5, K))
EXACT = 1e-12
CERTAIN = 60 * np.eye(K)  # logits of samples that each have one category for certain


def _model() -> CatGAN:
    model = CatGAN(CatGAN.Params(categories=K))
    put(model, discriminator=Echo({"category": K}))
    return model


def _p(logits: Array) -> Array:
    weights = np.exp(logits)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _h(p: Array) -> Array:
    """Return the entropies of rows, in nats."""
    return np.asarray(-(p * np.log(p)).sum(-1))


class TestLosses:
    def test_discriminator(self) -> None:
        """The loss is E_x H[p(x)] - E_z H[p(G)] - H[E_x p(x)], with a marginal of real samples only."""
        expected = _h(_p(R)).mean() - _h(_p(F)).mean() - _h(_p(R).mean(0))
        assert number(_model().discriminator_loss(real(R), fake(F))) == pytest.approx(expected, rel=EXACT)

    def test_generator(self) -> None:
        """The loss is E_z H[p(G)] - H[E_z p(G)]."""
        expected = _h(_p(F)).mean() - _h(_p(F).mean(0))
        assert number(_model().generator_loss(fake(F))) == pytest.approx(expected, rel=EXACT)

    def test_gradients_are_finite_differences(self) -> None:
        """Gradients by every logit are central differences in float64."""
        model, r, f = _model(), torch.tensor(R, requires_grad=True), torch.tensor(F, requires_grad=True)

        def losses(r: Any, f: Any) -> Any:
            return model.discriminator_loss(Real(r), fake(f)), model.generator_loss(fake(f))

        assert torch.autograd.gradcheck(losses, (r, f))

    def test_what_the_discriminator_wants(self) -> None:
        """The least loss, -2 log K, needs certain real samples in all categories and uncertain generated ones."""
        loss = _model().discriminator_loss(real(CERTAIN), fake(np.zeros((4, K))))
        assert number(loss) == pytest.approx(-2 * np.log(K), rel=1e-10)
        lopsided = _model().discriminator_loss(real(CERTAIN[[0, 0, 1]]), fake(np.zeros((4, K))))
        assert number(lopsided) > number(loss) + 0.1

    def test_what_the_generator_wants(self) -> None:
        """The loss is -log K if categories are certain and equally frequent, and 0 if there is only one."""
        assert number(_model().generator_loss(fake(CERTAIN))) == pytest.approx(-np.log(K), rel=1e-10)
        assert number(_model().generator_loss(fake(CERTAIN[[0, 0, 0]]))) == pytest.approx(0, abs=1e-10)
        assert number(_model().generator_loss(fake(np.zeros((3, K))))) == pytest.approx(0, abs=1e-12)

    def test_mutual_information(self) -> None:
        """The generator's loss is minus the mutual information of a sample and its category: never above 0."""
        p = _p(F)
        expected = (p * np.log(p / p.mean(0))).sum(1).mean()
        assert number(_model().generator_loss(fake(F))) == pytest.approx(-expected, rel=1e-10)

    def test_extreme_logits(self) -> None:
        """With a certain discriminator losses and gradients are finite in float32."""
        logits = (1e4 * torch.eye(K)).requires_grad_()
        model = _model()
        for loss in (model.discriminator_loss(Real(logits), fake(logits)), model.generator_loss(fake(logits))):
            (gradient,) = torch.autograd.grad(loss, logits)
            assert torch.isfinite(loss)
            assert torch.isfinite(gradient).all()

    @pytest.mark.parametrize("times", [2, 5])
    def test_means_by_source(self, times: int) -> None:
        """The losses do not depend on the number of samples, generated or real."""
        model, once = _model(), number(_model().discriminator_loss(real(R), fake(F)))
        assert number(model.discriminator_loss(real(R), fake(np.tile(F, (times, 1))))) == pytest.approx(once, rel=1e-10)
        assert number(model.discriminator_loss(real(np.tile(R, (times, 1))), fake(F))) == pytest.approx(once, rel=1e-10)


def test_each_turn_moves_its_player() -> None:
    """Each turn updates its player and leaves the other one as it is."""
    t = trainer(CatGAN(CatGAN.Params(categories=K)))
    of_d, of_g = t.model.turns(0)
    for turn, other in ((of_d, t.model.generator), (of_g, t.model.discriminator)):
        before = values(other)
        everything = values(t.model)
        t.play((turn,), t.draw((turn,)))
        assert same(before, values(other))
        assert not same(everything, values(t.model))


def test_one_category_is_refused() -> None:
    """Fewer than two categories are refused: every sample would be certain."""
    told: list[str] = []
    checked(CatGAN.Params, {"categories": 1}, lambda _, message: told.append(message))
    assert len(told) == 1
