"""Tests of losses: closed forms, gradients, and values at the optimum.

Closed forms are written in numpy from the papers' equations, for logits of a stand-in discriminator. Statements about
optima are tested on finite spaces, for which the optimal discriminators are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.d2gan import D2GAN, log_softplus
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mad_gan import MADGAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.models.multi_discriminator import MultiDiscriminator
from gan_bench_zoo.models.unrolled_gan import UnrolledGAN
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, rel_entr
from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Model, Real, Turn
from tests.support.tiny import ZOO, Echo, Table, cells, fake, networks, number, put, real, values

Array = NDArray[np.float64]
EXACT = 1e-12
RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 3, 7), RNG.normal(0, 3, 12)  # logits; unequal sizes reveal a mean over the wrong batch
KINDS = [(k, balance) for k in (2, 3, 5) for balance in ("mean", "none")]


def _real(a: Array) -> Any:
    """-log sigmoid(a)."""
    return np.logaddexp(0, -a)


def _fake(a: Array) -> Any:
    """-log(1 - sigmoid(a))."""
    return np.logaddexp(0, a)


def _gan(saturating: bool = False) -> GAN:
    model = GAN(GAN.Params(saturating=saturating))
    put(model, discriminator=Echo({"source": None}))
    return model


def _d2gan(alpha: float = 1.0, beta: float = 1.0) -> D2GAN:
    model = D2GAN(D2GAN.Params(alpha=alpha, beta=beta))
    put(model, discriminators=Echo({"score": None}, copies=2))
    return model


def _mgan(k: int, **params: Any) -> MGAN:
    model = MGAN(MGAN.Params(generators=k, **params))
    put(model, discriminator=Echo({"source": None, "generator": k}))
    return model


def _mad_gan(k: int) -> MADGAN:
    model = MADGAN(MADGAN.Params(generators=k))
    put(model, discriminator=Echo({"class": k + 1}))
    return model


class _First(nn.Module):
    """Adversarial discriminator whose logit is the first column of the samples."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"source": x[:, 0]}


class _Rest(nn.Module):
    """Supplementary discriminators whose logits are the other columns of the samples."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"own": x[:, 1:].t()}


def _multi(k: int, **params: Any) -> MultiDiscriminator:
    model = MultiDiscriminator(MultiDiscriminator.Params(generators=k, **params))
    put(model, discriminator=_First(), supplementary=_Rest())
    return model


def _column(a: Array) -> Array:
    return np.asarray(a, float)[:, None]


class TestPieces:
    def test_closed_forms(self) -> None:
        """bce_real is the mean of -log sigmoid(a), bce_fake that of -log(1 - sigmoid(a))."""
        probability = 1 / (1 + np.exp(-REAL))
        assert number(bce_real(torch.tensor(REAL))) == pytest.approx(-np.log(probability).mean(), rel=EXACT)
        assert number(bce_fake(torch.tensor(REAL))) == pytest.approx(-np.log1p(-probability).mean(), rel=EXACT)

    @pytest.mark.parametrize("logit", [-1e4, -200.0, 200.0, 1e4])
    def test_extreme_logits_stay_finite(self, logit: float) -> None:
        """Losses and gradients of a certain discriminator are finite and correct in float32."""
        a = torch.full((3,), logit, requires_grad=True)
        (gradient,) = torch.autograd.grad(bce_real(a) + 2 * bce_fake(a), a)
        assert number(bce_real(a)) == pytest.approx(max(-logit, 0), abs=1e-6)
        assert number(bce_fake(a)) == pytest.approx(max(logit, 0), abs=1e-6)
        assert gradient.tolist() == pytest.approx([(2 if logit > 0 else -1) / 3] * 3)


class TestGAN:
    def test_discriminator(self) -> None:
        """-E log D(x) - E log(1 - D(G(z))), a sum of two means, for batches of any sizes."""
        loss = _gan().discriminator_loss(real(_column(REAL)), fake(_column(FAKE)))
        assert number(loss) == pytest.approx(_real(REAL).mean() + _fake(FAKE).mean(), rel=EXACT)

    def test_generator(self) -> None:
        """The default is -E log D(G(z)); saturating, E log(1 - D(G(z)))."""
        assert number(_gan().generator_loss(fake(_column(FAKE)))) == pytest.approx(_real(FAKE).mean(), rel=EXACT)
        saturating = _gan(saturating=True).generator_loss(fake(_column(FAKE)))
        assert number(saturating) == pytest.approx(-_fake(FAKE).mean(), rel=EXACT)


class TestD2GAN:
    ALPHA, BETA = 0.3, 1.7

    def test_discriminators(self) -> None:
        """-alpha E log D1(x) + E D1(G) + E D2(x) - beta E log D2(G), with D = softplus of the logit."""
        model = _d2gan(self.ALPHA, self.BETA)
        r, f = RNG.normal(0, 3, (7, 2)), RNG.normal(0, 3, (12, 2))
        d_r, d_f = np.log1p(np.exp(r)), np.log1p(np.exp(f))
        first = -self.ALPHA * np.log(d_r[:, 0]).mean() + d_f[:, 0].mean()
        second = d_r[:, 1].mean() - self.BETA * np.log(d_f[:, 1]).mean()
        assert number(model.discriminators_loss(real(r), fake(f))) == pytest.approx(first + second, rel=EXACT)

    def test_generator(self) -> None:
        """-E D1(G) + beta E log D2(G)."""
        f = RNG.normal(0, 3, (12, 2))
        d = np.log1p(np.exp(f))
        expected = -d[:, 0].mean() + self.BETA * np.log(d[:, 1]).mean()
        loss = _d2gan(self.ALPHA, self.BETA).generator_loss(fake(f))
        assert number(loss) == pytest.approx(expected, rel=EXACT)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_log_softplus_everywhere(self, dtype: torch.dtype) -> None:
        """log softplus and its gradient sigmoid/softplus are correct from -200 to 200, across the switch at -20."""
        near = np.nextafter(np.float32(-20), np.array([-21, 0], np.float32))
        a = np.concatenate([np.linspace(-200, 200, 4000, dtype=np.float32), near]).astype(float)
        softplus = np.logaddexp(0, a)  # exp(a) at -200 is 1e-87, far above the smallest float64
        x = torch.tensor(a, dtype=dtype, requires_grad=True)
        y = log_softplus(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        assert y.detach().double().numpy() == pytest.approx(np.log(softplus), rel=1e-6, abs=1e-6)
        assert slope.double().numpy() == pytest.approx(np.exp(-np.logaddexp(0, -a)) / softplus, rel=1e-6, abs=1e-6)

    @pytest.mark.parametrize("logit", [-200.0, 200.0])
    def test_extreme_logits(self, logit: float) -> None:
        """Losses and gradients agree with the formulas at logits of ±200, where softplus is 0 or linear in float32."""
        model = _d2gan(self.ALPHA, self.BETA)
        r = torch.full((4, 2), logit, requires_grad=True)
        f = torch.full((5, 2), logit, requires_grad=True)
        d, log_d = max(logit, 0.0), math.log(logit) if logit > 0 else logit
        slope, log_slope = (1.0, 1 / logit) if logit > 0 else (0.0, 1.0)
        loss = model.discriminators_loss(Real(r), fake(f))
        of_r, of_f = torch.autograd.grad(loss, (r, f))
        assert number(loss) == pytest.approx(2 * d - (self.ALPHA + self.BETA) * log_d, rel=1e-6)
        assert of_r[0].tolist() == pytest.approx([-self.ALPHA * log_slope / 4, slope / 4], rel=1e-5)
        assert of_f[0].tolist() == pytest.approx([slope / 5, -self.BETA * log_slope / 5], rel=1e-5)
        (of_g,) = torch.autograd.grad(model.generator_loss(fake(f)), f)
        assert of_g[0].tolist() == pytest.approx([-slope / 5, self.BETA * log_slope / 5], rel=1e-5)


class TestMGAN:
    K = 3

    def _logits(self) -> tuple[Array, Array]:
        return RNG.normal(0, 2, (7, 1 + self.K)), RNG.normal(0, 2, (12, 1 + self.K))

    def _cross_entropy(self, f: Array) -> float:
        each = len(f) // self.K
        return number(np.mean([-log_softmax(f[n, 1:])[n // each] for n in range(len(f))]))

    def test_discriminator(self) -> None:
        """Discriminator and classifier have weight 1, without beta, and the classifier uses no real samples."""
        r, f = self._logits()
        expected = _real(r[:, 0]).mean() + _fake(f[:, 0]).mean() + self._cross_entropy(f)
        for beta in (0.0, 0.125, 2.0):
            loss = _mgan(self.K, beta=beta).discriminator_loss(real(r), fake(f, self.K))
            assert number(loss) == pytest.approx(expected, rel=EXACT)
        r[:, 1:] += 5
        again = _mgan(self.K).discriminator_loss(real(r), fake(f, self.K))
        assert number(again) == pytest.approx(expected, rel=EXACT)

    @pytest.mark.parametrize("beta", [0.0, 0.125, 1.0])
    def test_generator(self, beta: float) -> None:
        """-E log D + beta · cross-entropy with the correct labels: the generators help the classifier."""
        _, f = self._logits()
        expected = _real(f[:, 0]).mean() + beta * self._cross_entropy(f)
        loss = _mgan(self.K, beta=beta).generator_loss(fake(f, self.K))
        assert number(loss) == pytest.approx(expected, rel=EXACT)

    def test_classifier_mean_over_generators_divides_beta(self) -> None:
        """`classifier_mean = "generators"` with beta equals `"samples"` with beta / K, in the generators' loss only."""
        r, f = self._logits()
        other = _mgan(self.K, beta=0.6, classifier_mean="generators")
        expected = _mgan(self.K, beta=0.2).generator_loss(fake(f, self.K))
        assert number(other.generator_loss(fake(f, self.K))) == pytest.approx(number(expected), rel=EXACT)
        of_d = _mgan(self.K).discriminator_loss(real(r), fake(f, self.K))
        assert number(other.discriminator_loss(real(r), fake(f, self.K))) == pytest.approx(number(of_d), rel=EXACT)

    def test_one_generator_is_gan(self) -> None:
        """With K = 1 the classifier's terms vanish and both losses are those of GAN."""
        r, f = (a[:, :2] for a in self._logits())
        mgan, gan = _mgan(1, beta=0.5), _gan()
        on_d = gan.discriminator_loss(real(r[:, :1]), fake(f[:, :1]))
        assert number(mgan.discriminator_loss(real(r), fake(f))) == pytest.approx(number(on_d), rel=EXACT)
        assert number(mgan.generator_loss(fake(f))) == pytest.approx(number(gan.generator_loss(fake(f[:, :1]))))


class TestMADGAN:
    @pytest.mark.parametrize("k", [1, 2, 4])
    def test_closed_forms(self, k: int) -> None:
        """D: mean over the K + 1 sources of each one's mean cross-entropy; generators: -E log D_real."""
        r, f = RNG.normal(0, 2, (7, k + 1)), RNG.normal(0, 2, (12, k + 1))
        by_source = [-log_softmax(r, 1)[:, 0].mean()]
        by_source += [-log_softmax(f, 1)[g * 12 // k : (g + 1) * 12 // k, g + 1].mean() for g in range(k)]
        model = _mad_gan(k)
        assert number(model.discriminator_loss(real(r), fake(f, k))) == pytest.approx(np.mean(by_source), rel=EXACT)
        expected = -(f[:, 0] - logsumexp(f, 1)).mean()
        assert number(model.generator_loss(fake(f, k))) == pytest.approx(expected, rel=EXACT)

    def test_one_generator_is_gan(self) -> None:
        """With K = 1, D's loss is half of GAN's on the difference of the logits, and the generator's loss is GAN's."""
        r, f = RNG.normal(0, 2, (7, 2)), RNG.normal(0, 2, (12, 2))
        a_r, a_f = r[:, 0] - r[:, 1], f[:, 0] - f[:, 1]
        model = _mad_gan(1)
        assert number(model.generator_loss(fake(f))) == pytest.approx(_real(a_f).mean(), rel=EXACT)
        expected = (_real(a_r).mean() + _fake(a_f).mean()) / 2
        assert number(model.discriminator_loss(real(r), fake(f))) == pytest.approx(expected, rel=EXACT)

    def test_extreme_logits_stay_finite(self) -> None:
        """The loss for a discriminator that is certain and wrong is the difference of its logits."""
        f = torch.tensor([[-200.0, 200.0, 0.0]] * 4, requires_grad=True)
        loss = _mad_gan(2).generator_loss(fake(f, 2))
        (gradient,) = torch.autograd.grad(loss, f)
        assert number(loss) == pytest.approx(400)
        assert gradient[0].tolist() == pytest.approx([-0.25, 0.25, 0])


class TestMultiDiscriminator:
    W = 0.7

    @pytest.mark.parametrize(("k", "balance"), KINDS)
    def test_one_vs_rest(self, k: int, balance: str) -> None:
        """Eq. 4 as written, or averaged: the loss of each h_k, and the same terms with the same labels for g_k."""
        r, f = RNG.normal(0, 2, (7, 1 + k)), RNG.normal(0, 2, (5 * k, 1 + k))
        by = f.reshape(k, 5, 1 + k)  # source, sample, (h, h_1, …, h_K)
        rest = 1 / (k - 1) if balance == "mean" else 1.0

        def of_h(i: int) -> float:
            others = sum(_fake(by[j, :, 1 + i]).mean() for j in range(k) if j != i)
            return number(_real(by[i, :, 1 + i]).mean() + rest * others)

        def of_g(i: int) -> float:
            others = sum(_fake(by[i, :, 1 + j]).mean() for j in range(k) if j != i)
            diversity = _real(by[i, :, 1 + i]).mean() + rest * others
            share = 1 / k if balance == "mean" else 1.0
            return number(_real(by[i, :, 0]).mean() / k + self.W * share * diversity)

        model = _multi(k, weight=self.W, balance=balance)
        adversarial = _real(r[:, 0]).mean() + sum(_fake(by[i, :, 0]).mean() for i in range(k)) / k
        assert number(model.discriminator_loss(real(r), fake(f, k))) == pytest.approx(adversarial, rel=EXACT)
        assert number(model.supplementary_loss(fake(f, k))) == pytest.approx(sum(map(of_h, range(k))), rel=EXACT)
        assert number(model.generator_loss(fake(f, k))) == pytest.approx(sum(map(of_g, range(k))), rel=EXACT)

    @pytest.mark.parametrize(("balance", "share"), [("mean", 0.5), ("none", 1.0)])
    def test_single(self, balance: str, share: float) -> None:
        """One classifier of generator 1 against 2: sums as written, or the mean over the aggregated batch."""
        f = RNG.normal(0, 2, (10, 2))
        apart = share * (_real(f[:5, 1]).mean() + _fake(f[5:, 1]).mean())
        model = _multi(2, weight=self.W, balance=balance, supplementary="single")
        assert number(model.supplementary_loss(fake(f, 2))) == pytest.approx(apart, rel=EXACT)
        expected = _real(f[:, 0]).mean() + self.W * apart
        assert number(model.generator_loss(fake(f, 2))) == pytest.approx(expected, rel=EXACT)

    def test_single_needs_two(self) -> None:
        """A single supplementary discriminator for three generators raises ValueError."""
        with pytest.raises(ValueError, match="2 generators apart, not 3"):
            MultiDiscriminator.Params(generators=3, supplementary="single")

    def test_supplementary_discriminators_are_independent(self) -> None:
        """The gradient of a supplementary discriminator does not depend on the others: their losses are summed."""
        model = _multi(3)
        f = torch.tensor(RNG.normal(0, 2, (9, 4)), requires_grad=True)
        (g,) = torch.autograd.grad(model.supplementary_loss(fake(f, 3)), f)
        changed = f.detach().clone()
        changed[:, 2:] = 1.0
        changed.requires_grad_()
        (h,) = torch.autograd.grad(model.supplementary_loss(fake(changed, 3)), changed)
        assert torch.equal(g[:, 1], h[:, 1])


LOSSES: list[tuple[str, Model, int, Callable[[Any, Real, Fake], Tensor]]] = [
    ("gan D", _gan(), 1, lambda m, r, f: m.discriminator_loss(r, f)),
    ("gan G", _gan(), 1, lambda m, r, f: m.generator_loss(f)),
    ("gan G saturating", _gan(True), 1, lambda m, r, f: m.generator_loss(f)),
    ("d2gan D", _d2gan(0.3, 1.7), 2, lambda m, r, f: m.discriminators_loss(r, f)),
    ("d2gan G", _d2gan(0.3, 1.7), 2, lambda m, r, f: m.generator_loss(f)),
    ("mgan D", _mgan(3, beta=0.5), 4, lambda m, r, f: m.discriminator_loss(r, f)),
    ("mgan G", _mgan(3, beta=0.5), 4, lambda m, r, f: m.generator_loss(f)),
    ("mad-gan D", _mad_gan(3), 4, lambda m, r, f: m.discriminator_loss(r, f)),
    ("mad-gan G", _mad_gan(3), 4, lambda m, r, f: m.generator_loss(f)),
    ("multi D", _multi(3), 4, lambda m, r, f: m.discriminator_loss(r, f)),
    ("multi S", _multi(3), 4, lambda m, r, f: m.supplementary_loss(f)),
    ("multi G", _multi(3, weight=0.7), 4, lambda m, r, f: m.generator_loss(f)),
    ("multi G as written", _multi(3, balance="none"), 4, lambda m, r, f: m.generator_loss(f)),
]


@pytest.mark.parametrize("case", LOSSES, ids=[case[0] for case in LOSSES])
def test_gradients_are_finite_differences(case: tuple[str, Model, int, Callable[..., Tensor]]) -> None:
    """The gradient of each loss with respect to every logit is its central difference in float64."""
    _, model, width, loss = case
    r = torch.tensor(RNG.normal(0, 2, (4, width)), requires_grad=True)
    f = torch.tensor(RNG.normal(0, 2, (6, width)), requires_grad=True)
    generators = model.generators
    assert torch.autograd.gradcheck(lambda r, f: loss(model, Real(r), fake(f, generators)), (r, f))


def _game(name: str) -> tuple[Model, Tensor, Tensor]:
    """Model with networks in float64, real points and latents."""
    torch.manual_seed(0)
    model = ZOO[name]()
    put(model, **model.build(networks())).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.6)
    x, z = torch.randn(9, 2, dtype=torch.float64), torch.randn(model.generators, 4, 6, dtype=torch.float64)
    return model, x, z


def _player_loss(model: Model, player: str, x: Tensor, z: Tensor) -> Tensor:
    made = fake(model.generate(z).flatten(0, 1), model.generators)
    made = made if player in model.generating else made.detach()
    loss = getattr(model, f"{player}_loss")
    given = {"real": Real(x), "fake": made}
    wanted = loss.__code__.co_varnames[1 : loss.__code__.co_argcount]
    value: Tensor = loss(**{name: given[name] for name in wanted})
    return value


@pytest.mark.parametrize("name", ZOO)
def test_derivatives_of_whole_games(name: str) -> None:
    """Each player's gradient through networks is the slope of its loss along its parameters.

    For UnrolledGAN it is the total derivative through every unrolled step.
    """
    model, x, z = _game(name)
    for player in model.players:
        own = list(model.get_submodule(player).parameters())
        gradients = torch.autograd.grad(_player_loss(model, player, x, z), own)
        along = [torch.randn_like(p) for p in own]
        slope = sum(number((g * d).sum()) for g, d in zip(gradients, along, strict=True))
        step = 1e-6
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                for p, d in zip(own, along, strict=True):
                    p.add_(sign * step * d)
            ends.append(number(_player_loss(model, player, x, z)))
            with torch.no_grad():
                for p, d in zip(own, along, strict=True):
                    p.sub_(sign * step * d)
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)
        assert abs(slope) > 1e-4


class TestUnrolledGAN:
    def _model(self, **params: Any) -> tuple[UnrolledGAN, Tensor, Tensor]:
        model, x, z = _game("unrolled-gan")
        assert isinstance(model, UnrolledGAN)
        model.params = UnrolledGAN.Params(**params)
        return model, x, z

    def _gradient(self, model: UnrolledGAN, x: Tensor, z: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        loss = model.generator_loss(Real(x), fake(model.generate(z).flatten(0, 1)))
        return loss, torch.autograd.grad(loss, list(model.generator.parameters()))

    def _logit(self, w: Sequence[Tensor], x: Tensor) -> Tensor:
        """Logits of the discriminator: one hidden layer, leaky with slope 0.2, and a linear layer."""
        hidden = x @ w[0].T + w[1]
        return (torch.maximum(hidden, 0.2 * hidden) @ w[2].T + w[3])[:, 0]

    def _value(self, w: Sequence[Tensor], x: Tensor, g: Tensor) -> Tensor:
        """Loss L_D, from probabilities."""
        on_real, on_fake = torch.sigmoid(self._logit(w, x)), torch.sigmoid(self._logit(w, g))
        return -on_real.log().mean() - (1 - on_fake).log().mean()

    def _unrolled(
        self, model: UnrolledGAN, x: Tensor, z: Tensor, step: Callable[[list[Tensor], tuple[Tensor, ...]], list[Tensor]]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Value and gradient of -L_D after m steps, by `torch.autograd.grad` with a graph of the gradients."""
        g = model.generate(z).flatten(0, 1)
        w: list[Tensor] = list(model.discriminator.parameters())
        for _ in range(model.params.unroll_steps):
            w = step(w, torch.autograd.grad(self._value(w, x, g), w, create_graph=True))
        loss = -self._value(w, x, g)
        return loss, torch.autograd.grad(loss, list(model.generator.parameters()))

    def _agree(self, first: tuple[Tensor, tuple[Tensor, ...]], second: tuple[Tensor, tuple[Tensor, ...]]) -> None:
        torch.testing.assert_close(first[0], second[0], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(first[1], second[1], rtol=1e-8, atol=1e-10)

    def test_zero_steps_is_the_saturating_gan(self) -> None:
        """Without steps the loss is -L_D, its real half included, and the gradient is that of the saturating GAN."""
        model, x, z = self._model(unroll_steps=0)
        loss, gradient = self._gradient(model, x, z)
        g = model.generate(z).flatten(0, 1)
        a_r, a_f = (model.discriminator(v)["source"].detach().numpy() for v in (x, g))
        assert number(loss) == pytest.approx(-_real(a_r).mean() - _fake(a_f).mean(), rel=EXACT)
        saturating = put(GAN(GAN.Params(saturating=True)), discriminator=model.discriminator)
        of_gan = saturating.generator_loss(fake(g))  # type: ignore[operator]
        torch.testing.assert_close(gradient, torch.autograd.grad(of_gan, list(model.generator.parameters())))

    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_descent(self, steps: int) -> None:
        """Loss and gradient after m steps of gradient descent equal those of an independent unrolling."""
        model, x, z = self._model(unroll_steps=steps, unroll_lr=0.3)
        expected = self._unrolled(model, x, z, lambda w, d: [p - 0.3 * g for p, g in zip(w, d, strict=True)])
        self._agree(self._gradient(model, x, z), expected)

    def test_first_order(self) -> None:
        """Without second order the loss is the same, and the gradient is that of detached steps."""
        model, x, z = self._model(unroll_steps=3, unroll_lr=0.3, second_order=False)
        found = self._gradient(model, x, z)
        constant = self._unrolled(model, x, z, lambda w, d: [p - 0.3 * g.detach() for p, g in zip(w, d, strict=True)])
        self._agree(found, constant)
        full, _, _ = self._model(unroll_steps=3, unroll_lr=0.3)
        loss, gradient = self._gradient(full, x, z)
        torch.testing.assert_close(found[0], loss)
        assert max(number((a - b).abs().max()) for a, b in zip(found[1], gradient, strict=True)) > 1e-3

    def test_adam(self) -> None:
        """The inner Adam is bias-corrected, with betas 0.5 and 0.999 and its moments in the graph."""
        model, x, z = self._model(unroll_steps=4, unroll_lr=0.02, inner="adam")
        history: list[tuple[Tensor, ...]] = []

        def step(w: list[Tensor], d: tuple[Tensor, ...]) -> list[Tensor]:
            history.append(d)
            t = len(history)
            moved = []
            for i, p in enumerate(w):  # the moments as explicit weighted sums of all gradients so far
                m: Any = sum(0.5 * 0.5 ** (t - s) * history[s - 1][i] for s in range(1, t + 1))
                v: Any = sum(0.001 * 0.999 ** (t - s) * history[s - 1][i] ** 2 for s in range(1, t + 1))
                moved.append(p - 0.02 * (m / (1 - 0.5**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8))
            return moved

        found, expected = self._gradient(model, x, z), self._unrolled(model, x, z, step)
        torch.testing.assert_close(found[0], expected[0], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=1e-7)

    def test_adam_is_finite_for_a_zero_gradient(self) -> None:
        """The gradient through the inner Adam is finite if a parameter of the discriminator has gradient 0."""
        model, x, z = self._model(unroll_steps=2, inner="adam")
        with torch.no_grad():
            for parameter in model.discriminator.parameters():
                parameter.zero_()
        assert all(bool(torch.isfinite(g).all()) for g in self._gradient(model, x, z)[1])

    def test_discriminator_is_gan(self) -> None:
        """The loss of the discriminator is not unrolled: it is GAN's."""
        model, x, z = self._model(unroll_steps=5)
        made = fake(model.generate(z).flatten(0, 1)).detach()
        gan = put(GAN(), discriminator=model.discriminator)
        of_gan = gan.discriminator_loss(Real(x), made)  # type: ignore[operator]
        torch.testing.assert_close(model.discriminator_loss(Real(x), made), of_gan, rtol=EXACT, atol=EXACT)

    def test_players_move_simultaneously(self) -> None:
        """Both players move in one turn: unrolling starts from the discriminator before its step."""
        assert UnrolledGAN().turns(0) == (Turn(("discriminator", "generator")),)

    def test_a_loss_changes_no_parameter(self) -> None:
        """The unrolled steps change no parameter of the discriminator and set no gradient."""
        model, x, z = self._model(unroll_steps=5)
        before = values(model)
        self._gradient(model, x, z)
        assert all(torch.equal(before[name], p) and p.grad is None for name, p in model.named_parameters())


# --- at the optimum, on a finite space ----------------------------------------------------------------------

P = [5, 1, 2, 4]  # counts of real samples in each of four cells
QUARTERS = [[6, 2, 2, 2], [1, 1, 9, 1], [3, 4, 1, 4], [2, 2, 2, 6], [1, 5, 5, 1]]  # and of up to five generators


def _share(counts: Sequence[int]) -> Array:
    return np.asarray(counts, float) / sum(counts)


def _kl(p: Array, q: Array) -> float:
    return number(rel_entr(p, q).sum())


def _jsd(*parts: Array) -> float:
    mean = np.mean(parts, axis=0)
    return number(np.mean([_kl(part, mean) for part in parts]))


def _classes(logits: Array) -> Table:
    """Discriminator of MAD-GAN with logits (cells, K + 1)."""
    return Table({"class": logits})


def _space(k: int) -> tuple[Real, Fake, Array, list[Array]]:
    """Real samples and samples of K generators in the finite space, and their exact distributions."""
    made = fake(torch.cat([cells(counts) for counts in QUARTERS[:k]]), k)
    return real(cells(P)), made, _share(P), [_share(counts) for counts in QUARTERS[:k]]


def _is_optimal(model: Model, player: str, loss: Callable[[], Tensor]) -> None:
    """Assert that the player's gradient is zero."""
    for gradient in torch.autograd.grad(loss(), list(model.get_submodule(player).parameters())):
        assert gradient.abs().max() < 1e-12


def _optimal_mgan(k: int, beta: float) -> tuple[MGAN, Real, Fake]:
    r, f, p, q = _space(k)
    model = MGAN(MGAN.Params(generators=k, beta=beta))
    put(model, discriminator=Table({"source": np.log(p / np.mean(q, 0)), "generator": np.log(q).T}))
    return model, r, f


def _optimal_multi(k: int, **params: Any) -> tuple[MultiDiscriminator, Real, Fake]:
    r, f, p, q = _space(k)
    model = MultiDiscriminator(MultiDiscriminator.Params(generators=k, **params))
    total = np.sum(q, 0)
    negatives = 1 / (k - 1) if model.params.balance == "mean" else 1.0
    own = [np.log(q_k / (negatives * (total - q_k))) for q_k in q]
    copies = own[:1] if model.params.supplementary == "single" else own
    put(
        model,
        discriminator=Table({"source": np.log(p / np.mean(q, 0))}),
        supplementary=Table({"own": np.array(copies)}, copied=True),
    )
    return model, r, f


def _minimax(model: Any, f: Fake) -> float:
    """Loss of the generators in the paper's game: log(1 - D) instead of -log D."""
    logits = model.discriminator(f.x)["source"]
    return number(model.generator_loss(f) - bce_real(logits) - bce_fake(logits))


class TestOptima:
    def test_gan(self) -> None:
        """At D* = p / (p + q), D's loss is log 4 - 2 JSD(p, q), and its gradient is zero."""
        r, f, p, (q,) = _space(1)
        model = GAN()
        put(model, discriminator=Table({"source": np.log(p / q)}))
        _is_optimal(model, "discriminator", lambda: model.discriminator_loss(r, f))
        assert number(model.discriminator_loss(r, f)) == pytest.approx(math.log(4) - 2 * _jsd(p, q), rel=EXACT)

    def test_d2gan(self) -> None:
        """At D1* = alpha p/q, D2* = beta q/p, the generator minimises alpha KL(p||q) + beta KL(q||p) + const."""
        alpha, beta = 0.3, 1.7
        r, f, p, (q,) = _space(1)
        outputs = np.array([alpha * p / q, beta * q / p])
        model = D2GAN(D2GAN.Params(alpha=alpha, beta=beta))
        put(model, discriminators=Table({"score": np.log(np.expm1(outputs))}, copied=True))
        _is_optimal(model, "discriminators", lambda: model.discriminators_loss(r, f))
        constant = alpha * (math.log(alpha) - 1) + beta * (math.log(beta) - 1)
        value = constant + alpha * _kl(p, q) + beta * _kl(q, p)
        assert -number(model.discriminators_loss(r, f)) == pytest.approx(value, rel=1e-11)
        expected = -alpha + beta * math.log(beta) + beta * _kl(q, p)
        assert number(model.generator_loss(f)) == pytest.approx(expected, rel=1e-11)

    @pytest.mark.parametrize("beta", [0.125, 1.0])
    @pytest.mark.parametrize("k", [2, 3, 4, 5])
    def test_mgan(self, k: int, beta: float) -> None:
        """At the optimum it is 2 JSD(p, q) - beta JSD(q_1, …, q_K) - log 4 + beta log K (theorem 2)."""
        model, r, f = _optimal_mgan(k, beta)
        _, _, p, q = _space(k)
        _is_optimal(model, "discriminator", lambda: model.discriminator_loss(r, f))
        to_data = 2 * _jsd(p, np.mean(q, 0)) - math.log(4)
        apart = math.log(k) - _jsd(*q)
        assert number(model.discriminator_loss(r, f)) == pytest.approx(-to_data + apart, rel=1e-11)
        on_real = number(bce_real(model.discriminator(r.x)["source"]))
        assert _minimax(model, f) - on_real == pytest.approx(to_data + beta * apart, rel=1e-11)

    @pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
    def test_mad_gan(self, k: int) -> None:
        """At the optimum, D's loss is log(K+1) - JSD(p, q_1, …, q_K); the generators' has a closed form, too."""
        r, f, p, q = _space(k)
        model = MADGAN(MADGAN.Params(generators=k))
        put(model, discriminator=_classes(np.log([p, *q]).T))
        _is_optimal(model, "discriminator", lambda: model.discriminator_loss(r, f))
        loss = number(model.discriminator_loss(r, f))
        assert loss == pytest.approx(math.log(k + 1) - _jsd(p, *q), rel=1e-11)
        mean, mixture = np.mean([p, *q], 0), np.mean(q, 0)
        assert number(model.generator_loss(f)) == pytest.approx(
            number((mixture * np.log((k + 1) * mean / p)).sum()), rel=1e-11
        )

    def test_mad_gan_rewards_no_separation(self) -> None:
        """Separate and identical generators of the same mixture have the same loss in MAD-GAN, but not in MGAN."""
        apart, alike = [[6, 0, 2, 0], [0, 6, 0, 2]], [[3, 3, 1, 1]] * 2
        losses: dict[str, list[float]] = {"mad-gan": [], "mgan": []}
        for counts in (apart, alike):
            made = fake(torch.cat([cells(c) for c in counts]), 2)
            q = np.array([_share(c) for c in counts])
            mad_gan, mgan = MADGAN(MADGAN.Params(generators=2)), MGAN(MGAN.Params(generators=2, beta=1.0))
            floor = np.log(np.maximum([_share(P), *q], 1e-300)).T
            put(mad_gan, discriminator=_classes(floor))
            put(mgan, discriminator=Table({"source": np.log(_share(P) / q.mean(0)), "generator": floor[:, 1:]}))
            losses["mad-gan"].append(number(mad_gan.generator_loss(made)))
            losses["mgan"].append(number(mgan.generator_loss(made)))
        assert losses["mad-gan"][0] == pytest.approx(losses["mad-gan"][1], rel=1e-11)
        assert losses["mgan"][1] - losses["mgan"][0] == pytest.approx(math.log(2), rel=1e-11)

    @pytest.mark.parametrize("w", [1.0, 0.3])
    @pytest.mark.parametrize(
        ("supplementary", "balance", "beta"),
        [("one-vs-rest", "none", 4), ("one-vs-rest", "mean", 2), ("single", "none", 2), ("single", "mean", 1)],
    )
    def test_multi_discriminator_of_two_is_mgan(self, supplementary: str, balance: str, beta: int, w: float) -> None:
        """For K = 2 the variants of the second paper equal MGAN with beta = 4 w, 2 w, 2 w and w."""
        model, r, f = _optimal_multi(2, weight=w, supplementary=supplementary, balance=balance)
        _is_optimal(model, "supplementary", lambda: model.supplementary_loss(f))
        _is_optimal(model, "discriminator", lambda: model.discriminator_loss(r, f))
        mgan, _, _ = _optimal_mgan(2, beta * w)
        assert number(model.generator_loss(f)) == pytest.approx(number(mgan.generator_loss(f)), rel=1e-11)

    @pytest.mark.parametrize("k", [2, 3, 4, 5])
    def test_multi_discriminator_as_written(self, k: int) -> None:
        """V* of eq. 4 for any K, with the factor K - 1 that is missing in the paper's eq. 6."""
        model, r, f = _optimal_multi(k, balance="none")
        _, _, p, q = _space(k)
        rest = [(np.sum(q, 0) - q_k) / (k - 1) for q_k in q]
        _is_optimal(model, "supplementary", lambda: model.supplementary_loss(f))
        expected = 2 * _jsd(p, np.mean(q, 0)) - math.log(4)
        expected += -k * _jsd(*q) - k * (k - 1) * _jsd(*rest)
        expected += k * math.log(k) - k * (k - 1) * math.log((k - 1) / k)
        on_real = number(bce_real(model.discriminator(r.x)["source"]))
        assert _minimax(model, f) - on_real == pytest.approx(expected, rel=1e-11)

    @pytest.mark.parametrize("k", [2, 3, 4, 5])
    def test_multi_discriminator_balanced(self, k: int) -> None:
        """With averages, the diversity term is -(w/K) sum_k (2 JSD(p_k, p_kbar) - log 4) for every K."""
        w = 0.3
        model, _, f = _optimal_multi(k, weight=w)
        _, _, _, q = _space(k)
        _is_optimal(model, "supplementary", lambda: model.supplementary_loss(f))
        rest = [(np.sum(q, 0) - q_k) / (k - 1) for q_k in q]
        diversity = -w / k * sum(2 * _jsd(a, b) - math.log(4) for a, b in zip(q, rest, strict=True))
        adversarial = number(bce_real(model.discriminator(f.x)["source"]))
        assert number(model.generator_loss(f)) - adversarial == pytest.approx(diversity, rel=1e-11)
