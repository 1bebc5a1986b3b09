"""R3GAN: its paired losses and both penalties against closed forms, and by finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.r3gan import R3GAN
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.contracts.network import Discriminator
from gan_bench.contracts.parameters import checked
from tests.support.tiny import Echo, fake, networks, number, put, real, spy, trainer

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)
SIZES = [(7, 7), (7, 12), (12, 7), (5, 15), (1, 4)]
"""Numbers of real and of generated samples in a draw: equal, one a multiple of the other, neither."""


def _echo(**params: Any) -> R3GAN:
    model = R3GAN(R3GAN.Params(**params))
    put(model, discriminator=Echo({"score": None}))
    return model


def _pairs(r: Array, f: Array) -> list[tuple[float, float]]:
    """Return the logits of each pair, written as a loop; the smaller batch is repeated from its start."""
    return [(float(r[i % len(r)]), float(f[i % len(f)])) for i in range(max(len(r), len(f)))]


def _sp(a: float) -> float:
    return float(np.logaddexp(0, a))


class TestPairs:
    """Losses of a discriminator whose logits are the samples, so that both penalties are 1."""

    @pytest.mark.parametrize(("batch", "fakes"), SIZES)
    def test_discriminator(self, batch: int, fakes: int) -> None:
        """The loss is the mean over max(B, N) pairs of sp(-(d(x) - d(G))), plus the penalties."""
        r, f = RNG.normal(0, 3, batch), RNG.normal(0, 3, fakes)
        expected = np.mean([_sp(-(a - b)) for a, b in _pairs(r, f)])
        loss = _echo(gamma=0.0).discriminator_loss(real(r[:, None]), fake(f[:, None]))
        assert number(loss) == pytest.approx(expected, rel=1e-12)
        loss = _echo(gamma=0.6).discriminator_loss(real(r[:, None]), fake(f[:, None]))
        assert number(loss) == pytest.approx(expected + 0.3 * (1 + 1), rel=1e-12)

    @pytest.mark.parametrize(("batch", "fakes"), SIZES)
    def test_generator(self, batch: int, fakes: int) -> None:
        """The loss is the mean over the same pairs of sp(-(d(G) - d(x))), without penalties."""
        r, f = RNG.normal(0, 3, batch), RNG.normal(0, 3, fakes)
        expected = np.mean([_sp(-(b - a)) for a, b in _pairs(r, f)])
        loss = _echo(gamma=0.6).generator_loss(real(r[:, None]), fake(f[:, None]))
        assert number(loss) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(("batch", "fakes"), SIZES)
    def test_every_sample_gets_a_gradient(self, batch: int, fakes: int) -> None:
        """Every generated sample has a gradient of the generator's loss, every real one of the discriminator's."""
        r = torch.tensor(RNG.normal(0, 3, (batch, 1)), requires_grad=True)
        f = torch.tensor(RNG.normal(0, 3, (fakes, 1)), requires_grad=True)
        (of_f,) = torch.autograd.grad(_echo().generator_loss(real(r), fake(f)), f)
        of_r, _ = torch.autograd.grad(_echo(gamma=0.0).discriminator_loss(real(r), fake(f)), (r, f))
        assert bool((of_f < 0).all())
        assert bool((of_r < 0).all())

    def test_expectation_whatever_the_sizes(self) -> None:
        """If all real logits are equal, and all generated ones, the loss does not depend on the sizes of the draws."""
        for batch, fakes in SIZES:
            loss = _echo(gamma=0.0).discriminator_loss(real(np.full((batch, 1), 0.7)), fake(np.full((fakes, 1), -0.4)))
            assert number(loss) == pytest.approx(_sp(-1.1), rel=1e-12)

    def test_only_differences_matter(self) -> None:
        """The same number added to all logits changes neither loss."""
        r, f = RNG.normal(0, 3, (7, 1)), RNG.normal(0, 3, (12, 1))
        model = _echo()
        for loss in (model.discriminator_loss, model.generator_loss):
            assert number(loss(real(r + 5), fake(f + 5))) == pytest.approx(number(loss(real(r), fake(f))), rel=1e-10)

    @pytest.mark.parametrize("logit", [-1e4, 1e4])
    def test_extreme_logits(self, logit: float) -> None:
        """With a certain discriminator the loss is the difference of its logits or 0, finite in float32."""
        r, f = torch.full((3, 1), logit), torch.full((6, 1), -logit, requires_grad=True)
        loss = _echo(gamma=0.0).generator_loss(real(r), fake(f))
        (gradient,) = torch.autograd.grad(loss, f)
        assert number(loss) == pytest.approx(max(2 * logit, 0.0), abs=1e-6)
        assert gradient.flatten().tolist() == pytest.approx([-1 / 6 if logit > 0 else 0.0] * 6)


class _Quadratic(Discriminator):
    """d(x) = a·x + q |x|^2 / 2, whose gradient by the sample is a + q x."""

    def __init__(self, a: Array, q: float) -> None:
        super().__init__()
        self.a, self.q = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(q, dtype=torch.float64))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"score": x @ self.a + self.q * x.square().sum(1) / 2}


class TestPenalties:
    A, SLOPE = np.array([0.4, -1.3]), 0.8

    @pytest.mark.parametrize(("batch", "fakes"), SIZES)
    def test_closed_form(self, batch: int, fakes: int) -> None:
        """The penalty is gamma/2 (R1 + R2), the means of |a + q x|^2 over the real and over the generated draw."""
        r, f = RNG.normal(0, 2, (batch, 2)), RNG.normal(0, 2, (fakes, 2))
        with_penalty, without = (R3GAN(R3GAN.Params(gamma=gamma)) for gamma in (0.3, 0.0))
        for model in (with_penalty, without):
            put(model, discriminator=_Quadratic(self.A, self.SLOPE))
        found = with_penalty.discriminator_loss(real(r), fake(f)) - without.discriminator_loss(real(r), fake(f))
        r1, r2 = (((self.A + self.SLOPE * x) ** 2).sum(1).mean() for x in (r, f))
        assert number(found) == pytest.approx(0.15 * (r1 + r2), rel=1e-10)

    def test_gradient_by_hand(self) -> None:
        """The gradients of the penalties by a and q, which are second order, are those derived by hand."""
        r, f = RNG.normal(0, 2, (7, 2)), RNG.normal(0, 2, (12, 2))
        gradients = []
        for gamma in (0.3, 0.0):
            model = R3GAN(R3GAN.Params(gamma=gamma))
            put(model, discriminator=_Quadratic(self.A, self.SLOPE))
            loss = model.discriminator_loss(real(r), fake(f))
            gradients.append(torch.autograd.grad(loss, list(model.discriminator.parameters())))
        of_a, of_q = (_array(first - second) for first, second in zip(*gradients, strict=True))
        slopes = [self.A + self.SLOPE * x for x in (r, f)]
        assert of_a == pytest.approx(0.15 * sum(2 * s.mean(0) for s in slopes), rel=1e-9)
        expected = 0.15 * sum(2 * (s * x).sum(1).mean() for s, x in zip(slopes, (r, f), strict=True))
        assert of_q == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(("batch", "fakes"), [(4, 4), (3, 5)])
    def test_finite_differences(self, batch: int, fakes: int) -> None:
        """Gradients of D's loss by every weight of a network are central differences in float64."""
        model = R3GAN()
        network = networks(hidden=3).discriminator({"score": None}).double()
        rng = torch.Generator().manual_seed(0)
        for parameter in network.parameters():
            nn.init.normal_(parameter, 0, 0.7, generator=rng)
        put(model, discriminator=network)
        r, f = torch.tensor(RNG.normal(0, 2, (batch, 2))), torch.tensor(RNG.normal(0, 2, (fakes, 2)))
        names = [name for name, _ in model.named_parameters()]

        def loss(*own: Tensor) -> Tensor:
            arguments = {"real": real(r), "fake": fake(f)}
            given = dict(zip(names, own, strict=True))
            value: Tensor = functional_call(model, given, ("discriminator_loss", arguments))
            return value

        own = [value.detach().clone().requires_grad_() for value in model.parameters()]
        assert torch.autograd.gradcheck(loss, own)

    def test_generator_by_finite_differences(self) -> None:
        """Gradients of the generator's loss by every sample are central differences in float64."""
        model = R3GAN()
        put(model, discriminator=_Quadratic(self.A, self.SLOPE))
        r = torch.tensor(RNG.normal(0, 2, (3, 2)))
        f = torch.tensor(RNG.normal(0, 2, (5, 2)), requires_grad=True)
        assert torch.autograd.gradcheck(lambda f: model.generator_loss(real(r), fake(f)), (f,))


def _array(value: Tensor) -> Any:
    """Return a tensor as a numpy array."""
    return value.detach().numpy()


class TestTurns:
    def test_shared_data(self) -> None:
        """By default both turns use the same real data, no more than GAN's."""
        model = R3GAN()
        of_d, of_g = spy(model, "discriminator_loss"), spy(model, "generator_loss")
        t = trainer(model)
        t.iterate()
        assert torch.equal(of_d[0]["real"].x, of_g[0]["real"].x)
        assert torch.equal(of_d[0]["fake"].z, of_g[0]["fake"].z)
        assert t.counts.real_samples == 16

    def test_fresh_data(self) -> None:
        """With `fresh_real` the generator's turn uses a separate draw, which is counted."""
        model = R3GAN(R3GAN.Params(fresh_real=True))
        of_d, of_g = spy(model, "discriminator_loss"), spy(model, "generator_loss")
        t = trainer(model)
        t.iterate()
        assert not torch.equal(of_d[0]["real"].x, of_g[0]["real"].x)
        assert t.counts.real_samples == 32


def test_negative_gamma() -> None:
    """A negative weight of the penalties is refused."""
    told: list[str] = []
    checked(R3GAN.Params, {"gamma": -0.1}, lambda _, message: told.append(message))
    assert len(told) == 1
