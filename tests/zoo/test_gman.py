"""GMAN: its losses against closed forms, the weighting of its discriminators, and the learned lambda."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gman import GMAN, Lenient, split, weighted
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.contracts.network import Discriminator
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, number, put, real, spy, trainer, values

Array = NDArray[np.float64]
EXACT = 1e-12
RNG = np.random.default_rng(0)
M = 3
REAL, FAKE = RNG.normal(0, 3, (7, M)), RNG.normal(0, 3, (12, M))  # a logit of each discriminator for each sample


class _Parts(Discriminator):
    """A discriminator whose logit is the sample, given in one part for each of its copies."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        assert x.dim() == 3
        return {"source": x.squeeze(-1)}


def _gman(**params: Any) -> GMAN:
    """Return a GMAN with one column of a sample as the logit of each discriminator, and shared data."""
    model = GMAN(GMAN.Params(discriminators=M, data="shared", **params))
    put(model, discriminators=Echo({"source": None}, copies=M))
    if model.params.learned:
        put(model, generator=Lenient(nn.Identity(), model.params.lam).double())
    return model


def _says_real(a: Array) -> Array:
    """Return -log sigmoid(a)."""
    return np.logaddexp(0, -a)


def _says_fake(a: Array) -> Array:
    """Return -log(1 - sigmoid(a))."""
    return np.logaddexp(0, a)


def _weighted(v: Array, lam: float) -> float:
    w = np.exp(lam * v)
    return float((w * v).sum() / w.sum())


class TestLosses:
    def test_discriminators(self) -> None:
        """The loss is the sum over i of -E log D_i(x) - E log(1 - D_i(G)), each mean over a whole draw."""
        expected = _says_real(REAL).mean(0).sum() + _says_fake(FAKE).mean(0).sum()
        assert number(_gman().discriminators_loss(real(REAL), fake(FAKE))) == pytest.approx(expected, rel=EXACT)

    @pytest.mark.parametrize("lam", [0.0, 0.3, 1.0, 4.0])
    @pytest.mark.parametrize("saturating", [True, False])
    def test_generator(self, lam: float, saturating: bool) -> None:
        """The loss is sum_i w_i V_i with w = softmax(lambda V), V_i = E log(1 - D_i) or -E log D_i."""
        v = -_says_fake(FAKE).mean(0) if saturating else _says_real(FAKE).mean(0)
        loss = _gman(lam=lam, saturating=saturating).generator_loss(fake(FAKE))
        assert number(loss) == pytest.approx(_weighted(v, lam), rel=EXACT)

    def test_learned(self) -> None:
        """A learned lambda starts at `lam`, has the same weights as a fixed one, and adds -c lambda to the loss."""
        model = _gman(learned=True, lam=0.7, reward=0.05)
        expected = _weighted(-_says_fake(FAKE).mean(0), 0.7) - 0.05 * 0.7
        assert number(model.generator_loss(fake(FAKE))) == pytest.approx(expected, rel=1e-6)  # lam is a float32

    def test_one_discriminator_is_a_gan(self) -> None:
        """With M = 1 the losses are those of a saturating GAN for any lambda."""
        model = GMAN(GMAN.Params(discriminators=1, lam=3.0))
        put(model, discriminators=_Parts())
        r, f = REAL[:, :1], FAKE[:, :1]
        of_discriminator = model.discriminators_loss(real(r), fake(f))
        assert number(of_discriminator) == pytest.approx(_says_real(r).mean() + _says_fake(f).mean(), rel=EXACT)
        assert number(model.generator_loss(fake(f))) == pytest.approx(-_says_fake(f).mean(), rel=EXACT)

    def test_parts(self) -> None:
        """With split data, discriminator i is trained on the i-th part of the real and of the generated samples."""
        model = GMAN(GMAN.Params(discriminators=M, lam=1.0))
        put(model, discriminators=_Parts())
        r, f = RNG.normal(0, 3, 7), RNG.normal(0, 3, 12)  # parts of 2, one sample left over, and of 4
        on_real, on_fake = r[:6].reshape(M, 2), f.reshape(M, 4)
        expected = _says_real(on_real).mean(1).sum() + _says_fake(on_fake).mean(1).sum()
        assert number(model.discriminators_loss(real(r[:, None]), fake(f[:, None]))) == pytest.approx(expected)
        assert number(model.generator_loss(fake(f[:, None]))) == pytest.approx(
            _weighted(-_says_fake(on_fake).mean(1), 1.0), rel=EXACT
        )

    @pytest.mark.parametrize("logit", [-1e4, 1e4])
    @pytest.mark.parametrize("saturating", [True, False])
    def test_certain_discriminators(self, logit: float, saturating: bool) -> None:
        """With certain discriminators losses and gradients are finite in float32."""
        x = torch.tensor([[logit, -logit, logit]], requires_grad=True)
        loss = _gman(saturating=saturating).generator_loss(fake(x))
        (gradient,) = torch.autograd.grad(loss, x)
        assert bool(torch.isfinite(loss))
        assert bool(torch.isfinite(gradient).all())


class TestWeights:
    V = torch.tensor([-2.0, -0.5, 0.1, -1.0], dtype=torch.float64)

    def test_from_the_mean_to_the_harshest(self) -> None:
        """With lambda = 0 the value is the mean; it grows with lambda towards the largest value."""
        found = [number(weighted(self.V, lam)) for lam in (0.0, 0.5, 2.0, 100.0)]
        assert found == sorted(found)
        assert found[0] == pytest.approx(number(self.V.mean()), rel=EXACT)
        assert found[-1] == pytest.approx(0.1, rel=EXACT)

    @pytest.mark.parametrize("lam", [0.0, 0.5, 2.0])
    def test_gradient_through_the_weights(self, lam: float) -> None:
        """Gradients pass through the weights: d/dV_i = w_i (1 + lambda (V_i - mean))."""
        w = torch.softmax(lam * self.V, 0)
        expected = w * (1 + lam * (self.V - weighted(self.V, lam)))
        (gradient,) = torch.autograd.grad(weighted(x := self.V.clone().requires_grad_(), lam), x)
        assert torch.allclose(gradient, expected, rtol=EXACT)
        assert torch.autograd.gradcheck(lambda v: weighted(v, lam), x)

    def test_lambda_is_paid_by_disagreement(self) -> None:
        """The derivative of the weighted mean by lambda is the variance of the values under the weights."""
        lam = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(weighted(self.V, lam), lam)
        w = torch.softmax(lam * self.V, 0)
        variance = (w * self.V.square()).sum() - (w * self.V).sum().square()
        assert number(gradient) == pytest.approx(number(variance), rel=EXACT)
        assert torch.autograd.gradcheck(weighted, (self.V, lam))


class TestLearnedLambda:
    @pytest.mark.parametrize("lam", [1e-3, 0.126928, 1.0, 30.0])
    def test_start(self, lam: float) -> None:
        """A learned lambda starts at its parameter, small or large."""
        assert number(Lenient(nn.Identity(), lam).lam()) == pytest.approx(lam, rel=1e-5)

    def test_preset_starts_as_the_release(self) -> None:
        """The preset's initial value is softplus(-2)."""
        lam = GMAN.presets["learned"].params["lam"]
        assert lam == pytest.approx(np.log1p(np.exp(-2)), rel=1e-5)

    @pytest.mark.parametrize(("reward", "grows"), [(0.0, False), (10.0, True)])
    def test_moves_with_the_generator(self, reward: float, grows: bool) -> None:
        """A learned lambda belongs to the generator's player: it falls without a reward and rises with a large one."""
        t = trainer(GMAN(GMAN.Params(learned=True, reward=reward)))
        assert "level" in t.parameters["generator"]
        assert "level" not in t.parameters["discriminators"]
        before = values(t.model)["generator.level"]
        for _ in range(3):
            t.iterate()
        assert bool(values(t.model)["generator.level"] > before) is grows

    def test_fixed_is_no_parameter(self) -> None:
        """A fixed lambda adds no parameter."""
        assert not any("level" in name for name in values(trainer(GMAN()).model))


class TestData:
    def test_everyone_moves_at_once(self) -> None:
        """One turn updates both players, on the same generated samples."""
        model = GMAN()
        of_discriminators, of_generator = spy(model, "discriminators_loss"), spy(model, "generator_loss")
        t = trainer(model)
        t.iterate()
        assert t.counts.updates == {"discriminators": 1, "generator": 1}
        assert torch.equal(of_discriminators[0]["fake"].x, of_generator[0]["fake"].x)

    def test_split(self) -> None:
        """Parts are consecutive and equal; the remainder is left out."""
        x = torch.arange(14).view(7, 2)
        assert torch.equal(split(x, 3), torch.arange(12).view(3, 2, 2))

    def test_too_few_samples(self, messages: Messages) -> None:
        """Fewer samples than discriminators are refused, unless each discriminator uses all of them."""
        model, shared = (GMAN(GMAN.Params(discriminators=3, data=data)) for data in ("split", "shared"))
        messages.check(model.refuses_draws(8, 2), "8 real", "2 generated", "3 discriminators")
        assert model.refuses_draws(8, 3) is None
        assert shared.refuses_draws(8, 2) is None

    def test_zero_cannot_be_learned_from(self, messages: Messages) -> None:
        """A learned lambda that starts at 0 is refused."""
        with messages.raises(ValueError, "lam = 0"):
            GMAN.Params(learned=True, lam=0.0)
