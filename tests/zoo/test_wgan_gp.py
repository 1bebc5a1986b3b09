"""WGAN-GP: its losses against closed forms, on critics with a known slope, and against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.wgan_gp import WGANGP
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.contracts.network import Discriminator
from gan_bench.contracts.parameters import checked
from tests.support.tiny import fake, networks, number, put, real, spy, trainer

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)
SIZES = [(7, 7), (7, 12), (12, 7)]
"""Numbers of real and of generated samples in a draw."""


class Quadratic(Discriminator):
    """f(x) = a·x + x·Qx / 2 with a symmetric Q, whose gradient by the sample is a + Qx."""

    def __init__(self, a: Array, q: Array) -> None:
        super().__init__()
        self.a, self.q = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(q))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"score": x @ self.a + (x @ self.q * x).sum(1) / 2}


A, Q = RNG.normal(0, 1, 2), np.array([[0.7, -0.4], [-0.4, -1.1]])


def _score(x: Array) -> Array:
    return np.asarray(x @ A + np.einsum("ni,ij,nj->n", x, Q, x) / 2)


def _model(a: Array = A, q: Array = Q, **params: Any) -> WGANGP:
    model = WGANGP(WGANGP.Params(**params))
    put(model, critic=Quadratic(a, q))
    return model


def _draws(batch: int, fakes: int) -> tuple[Array, Array, Array]:
    return RNG.normal(0, 2, (batch, 2)), RNG.normal(0, 2, (fakes, 2)), RNG.uniform(0, 1, min(batch, fakes))


def _loss(model: WGANGP, r: Any, f: Any, e: Any) -> Tensor:
    return model.critic_loss(real(r), fake(f), {"mix": torch.as_tensor(e)})


class TestCritic:
    @pytest.mark.parametrize(("batch", "fakes"), SIZES)
    def test_closed_form(self, batch: int, fakes: int) -> None:
        """The loss is E f(G) - E f(x) over whole draws, plus lambda times the penalty over min(B, N) pairs."""
        r, f, e = _draws(batch, fakes)
        y = np.stack([e[i] * r[i] + (1 - e[i]) * f[i] for i in range(min(batch, fakes))])
        penalty = np.mean((np.sqrt(((A + y @ Q) ** 2).sum(1)) - 1) ** 2)
        expected = _score(f).mean() - _score(r).mean() + 0.3 * penalty
        assert number(_loss(_model(penalty=0.3), r, f, e)) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(("length", "expected"), [(0.25, 0.5625), (1.0, 0.0), (3.0, 4.0)])
    def test_two_sided(self, length: float, expected: float) -> None:
        """A linear critic of slope s has the penalty lambda (s - 1)^2 at any point, also for s < 1."""
        r, f, e = _draws(7, 7)
        a = length * np.array([0.6, -0.8])
        loss = _loss(_model(a, np.zeros((2, 2)), penalty=10.0), r, f, e)
        assert number(loss) - (f @ a).mean() + (r @ a).mean() == pytest.approx(10 * expected, abs=1e-12)

    def test_one_number_for_each_pair(self) -> None:
        """With e = 1 the slope is evaluated at the real sample, with e = 0 at the generated one."""
        r, f, _ = _draws(3, 3)
        e = np.array([1.0, 0.0, 1.0])
        at = np.stack([r[0], f[1], r[2]])
        penalty = np.mean((np.linalg.norm(A + at @ Q, axis=1) - 1) ** 2)
        expected = _score(f).mean() - _score(r).mean() + penalty
        assert number(_loss(_model(penalty=1.0), r, f, e)) == pytest.approx(expected, rel=1e-12)

    def test_samples_of_any_shape(self) -> None:
        """The norm is over a whole sample: matrices have the loss of the same numbers as vectors."""
        r, f, e = _draws(7, 12)
        model = _model()
        as_points = number(_loss(model, r, f, e))

        class Flat(Quadratic):
            def forward(self, x: Tensor) -> dict[str, Tensor]:
                return super().forward(x.flatten(1))

        put(model, critic=Flat(A, Q))
        as_matrices = _loss(model, r.reshape(7, 1, 2, 1), f.reshape(12, 1, 2, 1), e)
        assert number(as_matrices) == pytest.approx(as_points, rel=1e-12)

    @pytest.mark.parametrize(("batch", "fakes"), SIZES)
    def test_gradient_of_the_penalty(self, batch: int, fakes: int) -> None:
        """Gradients by a and Q, second order through the slope, are those derived by hand."""
        r, f, e = _draws(batch, fakes)
        model = _model(penalty=0.3)
        of_a, of_q = torch.autograd.grad(_loss(model, r, f, e), list(model.critic.parameters()))
        pairs = min(batch, fakes)
        y = e[:, None] * r[:pairs] + (1 - e[:, None]) * f[:pairs]
        slope = A + y @ Q
        length = np.linalg.norm(slope, axis=1, keepdims=True)
        pull = 0.3 * 2 * (length - 1) * slope / length / pairs  # gradient of the penalty by each pair's slope
        expected_a = f.mean(0) - r.mean(0) + pull.sum(0)
        assert of_a.numpy() == pytest.approx(expected_a, rel=1e-10)
        outer = (f.T @ f / len(f) - r.T @ r / len(r)) / 2
        # the gradient by the sample is a + (Q + Q^T) y / 2
        expected_q = outer + (y.T @ pull + pull.T @ y) / 2
        assert of_q.numpy() == pytest.approx(expected_q, rel=1e-10)

    def test_finite_differences(self) -> None:
        """Gradients by every weight of a network are central differences in float64."""
        model = WGANGP()
        put(model, **_in_double())
        r, f, e = (torch.tensor(value) for value in _draws(4, 6))
        names = [name for name, _ in model.named_parameters() if name.startswith("critic.")]

        def loss(*own: Tensor) -> Tensor:
            arguments = {"real": real(r), "fake": fake(f), "noise": {"mix": e}}
            value: Tensor = functional_call(model, dict(zip(names, own, strict=True)), ("critic_loss", arguments))
            return value

        own = [model.get_parameter(name).detach().clone().requires_grad_() for name in names]
        assert torch.autograd.gradcheck(loss, own)

    def test_no_slope_at_all(self) -> None:
        """For a constant critic the penalty is lambda and the gradient is finite, although a norm has none at 0."""
        r, f, e = (torch.tensor(value) for value in _draws(5, 5))
        model = _model(np.zeros(2), np.zeros((2, 2)))
        loss = _loss(model, r, f, e)
        assert number(loss) == 10
        for gradient in torch.autograd.grad(loss, list(model.critic.parameters())):
            assert bool(torch.isfinite(gradient).all())


def _in_double() -> dict[str, nn.Module]:
    """Return a critic of three hidden units with float64 weights far from zero."""
    critic = networks(hidden=3).discriminator({"score": None}).double()
    rng = torch.Generator().manual_seed(0)
    for parameter in critic.parameters():
        nn.init.normal_(parameter, 0, 0.7, generator=rng)
    return {"critic": critic}


def test_generator() -> None:
    """The loss is -E f(G(z)), without a penalty."""
    f = RNG.normal(0, 2, (12, 2))
    assert number(_model().generator_loss(fake(f))) == pytest.approx(-_score(f).mean(), rel=1e-12)


class TestNoise:
    @pytest.mark.parametrize(("batch", "fakes"), [(16, 16), (16, 12), (8, 24)])
    def test_one_for_each_pair(self, batch: int, fakes: int) -> None:
        """The noise is min(B, N) numbers from U(0, 1), redrawn in each critic step."""
        model = WGANGP()
        calls = spy(model, "critic_loss")
        trainer(model, batch=batch, fakes=fakes).iterate()
        drawn = torch.stack([call["noise"]["mix"] for call in calls])
        assert drawn.shape == (5, min(batch, fakes))
        assert len(set(drawn.flatten().tolist())) == drawn.numel()
        assert 0 <= number(drawn.min()) < 0.2
        assert 0.8 < number(drawn.max()) <= 1


@pytest.mark.parametrize("wrong", [{"penalty": 0.0}, {"penalty": -1.0}, {"critic_steps": 0}])
def test_ranges(wrong: dict[str, Any]) -> None:
    """A penalty of 0 or below, and zero critic steps, are refused."""
    told: list[str] = []
    checked(WGANGP.Params, wrong, lambda _, message: told.append(message))
    assert len(told) == 1


def test_presets() -> None:
    """The presets differ in lambda and in Adam's betas, as paper and release do."""
    paper, release = WGANGP.presets["paper"], WGANGP.presets["release"]
    assert (WGANGP.Params(**paper.params).penalty, WGANGP.Params(**release.params).penalty) == (10.0, 0.1)
    assert (paper.protocol["betas"], release.protocol["betas"]) == ((0.0, 0.9), (0.5, 0.9))
