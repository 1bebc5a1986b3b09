"""VEEGAN: its three losses against closed forms, the optimal logit, and the gradients of each player."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.veegan import VEEGAN, Reconstructor
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.contracts.model import Fake, Turn
from gan_bench.contracts.network import JointDiscriminator
from gan_bench.contracts.parameters import checked
from tests.support.tiny import cells, networks, number, put, real, spy, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)
SIZES = [(7, 7), (7, 12), (12, 7)]
"""Numbers of real and of generated samples in a draw."""

SIGNS = np.array([1.0, -0.5, 2.0])


class Bilinear(JointDiscriminator):
    """d(x, z) = x_1 (z_1 - z_2 / 2 + 2 z_3), of points in the plane and three latents."""

    def forward(self, x: Tensor, z: Tensor) -> dict[str, Tensor]:
        return {"source": x[:, 0] * (z @ torch.tensor(SIGNS))}


class Twice(nn.Module):
    """A reconstructor's body with F(x) = (2 x_1, 2 x_2, 0)."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"latent": torch.cat([2 * x, torch.zeros_like(x[:, :1])], 1)}


class Cells(JointDiscriminator):
    """A discriminator on a finite space, with a logit as a parameter for every pair of a cell of x and a cell of z."""

    def __init__(self, logits: Array) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor, z: Tensor) -> dict[str, Tensor]:
        return {"source": self.logits[x.long()[:, 0], z.long()[:, 0]]}


class Nowhere(nn.Module):
    """A reconstructor's body with mean 0: with sigma = 1 the latents of real samples are its noise."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"latent": torch.zeros_like(x)}


def _veegan(**params: Any) -> VEEGAN:
    model = VEEGAN(VEEGAN.Params(**params))
    return _with(model, Bilinear(), Twice())


def _with(model: VEEGAN, discriminator: JointDiscriminator, body: nn.Module) -> VEEGAN:
    reconstructor = Reconstructor(networks(latent_size=3), model.params.std)
    reconstructor.body = body
    put(model, discriminator=discriminator, reconstructor=reconstructor)
    return model


def _pairs(x: Any, z: Any) -> Fake:
    """Return generated samples with their latents."""
    x, z = torch.as_tensor(x), torch.as_tensor(z)
    return Fake(x, z, torch.zeros(len(x), dtype=torch.int64), 1)


def _logits(x: Array, z: Array) -> Array:
    return np.asarray(x[:, 0] * (z @ SIGNS))


def _f(x: Array) -> Array:
    return np.concatenate([2 * x, np.zeros((len(x), 1))], 1)


def _sp(a: Array) -> Array:
    return np.asarray(np.logaddexp(0, a))


class TestLosses:
    @pytest.mark.parametrize("std", [0.0, 1.0, 0.3])
    @pytest.mark.parametrize(("batch", "fakes"), SIZES)
    def test_discriminator(self, batch: int, fakes: int, std: float) -> None:
        """The loss is E sp(-d(G(z), z)) + E sp(d(x, F(x) + sigma eps)): the positive class is the generator's."""
        x, noise = RNG.normal(0, 1, (batch, 2)), RNG.normal(0, 1, (batch, 3))
        made, z = RNG.normal(0, 1, (fakes, 2)), RNG.normal(0, 1, (fakes, 3))
        loss = _veegan(std=std).discriminator_loss(real(x), _pairs(made, z), {"encoder": torch.tensor(noise)})
        expected = _sp(-_logits(made, z)).mean() + _sp(_logits(x, _f(x) + std * noise)).mean()
        assert number(loss) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
    def test_generator(self, weight: float) -> None:
        """The loss is E d(G(z), z) + lambda E |z - F(G(z))|^2, with the logit itself and a sum over coordinates."""
        made, z = RNG.normal(0, 1, (12, 2)), RNG.normal(0, 1, (12, 3))
        missed = ((z - _f(made)) ** 2).sum(1).mean()
        loss = _veegan(reconstruction=weight).generator_loss(_pairs(made, z))
        assert number(loss) == pytest.approx(_logits(made, z).mean() + weight * missed, rel=1e-12)

    @pytest.mark.parametrize("std", [0.0, 1.0])
    def test_reconstructor(self, std: float) -> None:
        """The loss is lambda E |z - F(G(z))|^2, without noise for any sigma."""
        made, z = RNG.normal(0, 1, (12, 2)), RNG.normal(0, 1, (12, 3))
        missed = ((z - _f(made)) ** 2).sum(1).mean()
        loss = _veegan(reconstruction=0.7, std=std).reconstructor_loss(_pairs(made, z))
        assert number(loss) == pytest.approx(0.7 * missed, rel=1e-12)

    def test_one_half_is_a_likelihood(self) -> None:
        """With lambda = 1/2 the reconstruction is -log N(z; F(G(z)), 1), up to a constant of the dimension."""
        made, z = RNG.normal(0, 1, (12, 2)), RNG.normal(0, 1, (12, 3))
        density = torch.distributions.Normal(torch.tensor(_f(made)), 1.0).log_prob(torch.tensor(z)).sum(1)
        loss = _veegan(reconstruction=0.5).reconstructor_loss(_pairs(made, z))
        assert number(loss) == pytest.approx(-number(density.mean()) - 1.5 * np.log(2 * np.pi), rel=1e-12)

    @pytest.mark.parametrize("size", [-1e4, 1e4])
    def test_extreme_logits(self, size: float) -> None:
        """With a certain discriminator the loss is the absolute logit, finite in float32."""
        made, z = torch.ones(3, 1), torch.zeros(3, 1)
        model = _with(VEEGAN(), Cells(np.array([[0.0, 0.0], [size, size]])), Nowhere())
        loss = model.discriminator_loss(real(made), _pairs(made, z), {"encoder": torch.ones(3, 1)})
        assert number(loss) == pytest.approx(1e4)


class TestOptimum:
    """Losses on a finite space of 3 x 4 pairs: q(x|z) p(z) of the generator, p(z|x) p(x) of reconstructor and data."""

    MADE = np.array([[1, 2, 2, 1], [3, 1, 2, 2], [1, 1, 1, 6]])
    DATA = np.array([[3, 1, 1, 2], [2, 4, 2, 1], [1, 2, 5, 1]])

    def _drawn(self, counts: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        cell = cells(counts.flatten().tolist())
        return (cell // 4).double()[:, None], (cell % 4).double()[:, None]

    def _loss(self, logits: Array) -> tuple[Tensor, VEEGAN]:
        model = _with(VEEGAN(VEEGAN.Params(std=1.0)), Cells(logits), Nowhere())
        (x, codes), (made, z) = self._drawn(self.DATA), self._drawn(self.MADE)
        return model.discriminator_loss(real(x), _pairs(made, z), {"encoder": codes}), model

    def test_logit(self) -> None:
        """The optimal logit is log q(x|z) p(z) / (p(z|x) p(x)), with gradient 0 and the least loss of D."""
        q, p = self.MADE / self.MADE.sum(), self.DATA / self.DATA.sum()
        best, model = self._loss(np.log(q / p))
        (gradient,) = torch.autograd.grad(best, list(model.discriminator.parameters()))
        assert gradient.abs().max() < 1e-12
        for _ in range(20):
            assert number(self._loss(np.log(q / p) + RNG.normal(0, 0.5, q.shape))[0]) > number(best)

    def test_divergence(self) -> None:
        """With the optimal logit, the generator's first term is KL(q(x|z) p(z) || p(z|x) p(x))."""
        q, p = self.MADE / self.MADE.sum(), self.DATA / self.DATA.sum()
        _, model = self._loss(np.log(q / p))
        made = _pairs(*self._drawn(self.MADE))
        first = number(model.generator_loss(made)) - number(model.reconstructor_loss(made))
        assert first == pytest.approx((q * np.log(q / p)).sum(), rel=1e-10)


def _in_double() -> VEEGAN:
    """Return VEEGAN with networks of three hidden units, float64 weights far from zero, and latents in the plane."""
    model = VEEGAN(VEEGAN.Params(reconstruction=0.7, std=0.4))
    put(model, **model.build(networks(latent_size=2, hidden=3)))
    rng = torch.Generator().manual_seed(0)
    for parameter in model.double().parameters():
        nn.init.normal_(parameter, 0, 0.7, generator=rng)
    return model


class _Whole(nn.Module):
    """A player's loss with the samples that it needs, so that its gradient includes the generator's weights."""

    def __init__(self, model: VEEGAN, player: str) -> None:
        super().__init__()
        self.model, self.player = model, player
        rng = np.random.default_rng(1)
        self.x, self.noise = (torch.tensor(rng.normal(0, 1, (4, 2))) for _ in range(2))
        self.z = torch.tensor(rng.normal(0, 1, (1, 5, 2)))

    def forward(self) -> Tensor:
        made = _pairs(self.model.generate(self.z).flatten(0, 1), self.z[0])
        if self.player == "discriminator":
            return self.model.discriminator_loss(real(self.x), made.detach(), {"encoder": self.noise})
        if self.player == "generator":
            return self.model.generator_loss(made)
        return self.model.reconstructor_loss(made.detach())


class TestGradients:
    @pytest.mark.parametrize("player", VEEGAN.players)
    def test_finite_differences(self, player: str) -> None:
        """Gradients by every weight of a player are central differences in float64."""
        whole = _Whole(_in_double(), player)
        names = [name for name, _ in whole.named_parameters() if name.startswith(f"model.{player}.")]

        def loss(*own: Tensor) -> Tensor:
            found: Tensor = functional_call(whole, dict(zip(names, own, strict=True)), ())
            return found

        own = [whole.get_parameter(name).detach().clone().requires_grad_() for name in names]
        assert torch.autograd.gradcheck(loss, own)

    @pytest.mark.parametrize(
        ("player", "untouched"),
        [
            ("discriminator", ("reconstructor", "generator")),
            ("reconstructor", ("discriminator", "generator")),
        ],
    )
    def test_ownership(self, player: str, untouched: tuple[str, ...]) -> None:
        """The losses of D and of the reconstructor have gradients by their player only."""
        whole = _Whole(_in_double(), player)
        theirs = [p for name in untouched for p in whole.model.get_submodule(name).parameters()]
        assert torch.autograd.grad(whole(), theirs, allow_unused=True) == (None,) * len(theirs)

    def test_generator_learns_from_both(self) -> None:
        """The generator's gradient is the sum of those through D and through the reconstructor, neither of them 0."""
        whole = _Whole(_in_double(), "generator")
        own = list(whole.model.generator.parameters())
        together = torch.autograd.grad(whole(), own)
        made = _pairs(whole.model.generate(whole.z).flatten(0, 1), whole.z[0])
        through_d = torch.autograd.grad(whole.model.judge(made.x, made.z).mean(), own, retain_graph=True)
        through_f = torch.autograd.grad(whole.model.reconstructor_loss(made), own)
        for both, d, f in zip(together, through_d, through_f, strict=True):
            assert bool(d.any())
            assert bool(f.any())
            torch.testing.assert_close(both, d + f)


class TestTurns:
    def test_one_turn(self) -> None:
        """One turn updates all three players, on the same latents."""
        assert VEEGAN().turns(0) == VEEGAN().turns(7) == (Turn(("discriminator", "reconstructor", "generator")),)
        model = VEEGAN()
        calls = [spy(model, f"{player}_loss") for player in model.players]
        t = trainer(model)
        t.iterate()
        of_d, of_f, of_g = (call[0]["fake"] for call in calls)
        assert torch.equal(of_d.z, of_f.z)
        assert torch.equal(of_d.z, of_g.z)
        assert [each.x.requires_grad for each in (of_d, of_f, of_g)] == [False, False, True]
        assert t.counts.updates == dict.fromkeys(model.players, 1)

    def test_the_reconstructor_ignores_the_discriminator(self) -> None:
        """The reconstructor's step does not depend on D; the generator's does."""
        first, second = (trainer(VEEGAN(), optimizer="sgd") for _ in range(2))
        with torch.no_grad():
            for parameter in second.model.get_submodule("discriminator").parameters():
                parameter.neg_().add_(0.1)
        for t in (first, second):
            t.iterate()
        of_first, of_second = values(first.model), values(second.model)
        equal = {name: torch.equal(value, of_second[name]) for name, value in of_first.items()}
        assert all(equal[name] for name in equal if name.startswith("reconstructor."))
        assert not any(equal[name] for name in equal if name.startswith("generator."))

    def test_noise(self) -> None:
        """The noise is N(0, I) of latent size for each real sample, redrawn in each iteration; sigma = 0 ignores it."""
        model = VEEGAN()
        calls = spy(model, "discriminator_loss")
        t = trainer(model)
        t.iterate()
        t.iterate()
        first, second = (call["noise"]["encoder"] for call in calls)
        assert first.shape == (16, 6)
        assert not bool((first == second).any())
        silent = Reconstructor(networks(), 0.0)
        x = torch.randn(16, 2)
        assert torch.equal(silent(x, first), silent(x, second))


@pytest.mark.parametrize("wrong", [{"reconstruction": 0.0}, {"reconstruction": -1.0}, {"std": -0.1}])
def test_ranges(wrong: dict[str, Any]) -> None:
    """A weight of the reconstruction of 0 or below, and a negative deviation, are refused."""
    told: list[str] = []
    checked(VEEGAN.Params, wrong, lambda _, message: told.append(message))
    assert len(told) == 1
