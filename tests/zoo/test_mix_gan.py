"""MIX+GAN: the losses of two weighted mixtures, the term on their weights, clipping, and sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.mix_gan import MixGAN, Weighted
from numpy.typing import NDArray
from torch import nn

from gan_bench.contracts.model import Real, Turn
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, networks, number, put, real, same, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(5)
EXACT = 1e-12
K, M, RHO = 3, 2, 0.3
W, U = np.array([0.5, 0.2, 0.3]), np.array([0.9, 0.1])  # of generators, of discriminators
R, F = RNG.normal(0, 2, (7, M)), RNG.normal(0, 2, (5 * K, M))  # a column for each discriminator


def _weighted(bodies: nn.Module, weights: Array) -> Weighted:
    module = Weighted(bodies, len(weights)).double()
    with torch.no_grad():
        module.logits.copy_(torch.as_tensor(np.log(weights)))
    return module


def _model(**params: Any) -> MixGAN:
    model = MixGAN(MixGAN.Params(generators=K, discriminators=M, entropy=RHO, **params))
    discriminators = _weighted(Echo({"score": None}, copies=M), U)
    put(model, discriminators=discriminators, generator=_weighted(nn.Identity(), W))
    return model


def _pairs(values: Array) -> float:
    """Return sum_ij w_i u_j of the mean over generator i's samples of (5 K, M) values."""
    return float(sum(W[i] * U[j] * values[5 * i : 5 * i + 5, j].mean() for i in range(K) for j in range(M)))


def _uneven(weights: Array) -> float:
    """Return -1/K sum log w."""
    return float(-np.log(weights).mean())


class TestLosses:
    def test_discriminators_gan(self) -> None:
        """The loss is sum_ij w_i u_j (-E log D_j(x) - E log(1 - D_j(G_i))) - rho/M sum log u."""
        by_pair = np.logaddexp(0, F) + np.logaddexp(0, -R).mean(0)
        loss = _model().discriminators_loss(real(R), fake(F, K))
        assert number(loss) == pytest.approx(_pairs(by_pair) + RHO * _uneven(U), rel=EXACT)

    def test_discriminators_wgan(self) -> None:
        """The loss is sum_ij w_i u_j (E D_j(G_i) - E D_j(x)) - rho/M sum log u."""
        loss = _model(payoff="wgan").discriminators_loss(real(R), fake(F, K))
        assert number(loss) == pytest.approx(_pairs(F - R.mean(0)) + RHO * _uneven(U), rel=EXACT)

    @pytest.mark.parametrize(
        ("params", "by_pair"),
        [
            ({}, np.logaddexp(0, -F)),
            ({"saturating": True}, -np.logaddexp(0, F)),
            ({"payoff": "wgan"}, -F),
        ],
    )
    def test_generators(self, params: dict[str, Any], by_pair: Array) -> None:
        """The loss is sum_ij w_i u_j of -E log D_j(G_i), E log(1 - D_j(G_i)) or -E D_j(G_i), - rho/K sum log w."""
        loss = _model(**params).generator_loss(fake(F, K))
        assert number(loss) == pytest.approx(_pairs(by_pair) + RHO * _uneven(W), rel=EXACT)

    @pytest.mark.parametrize("params", [{}, {"saturating": True}, {"payoff": "wgan"}])
    def test_gradients_are_finite_differences(self, params: dict[str, Any]) -> None:
        """Gradients by every score and by the logits of both mixtures are central differences in float64."""
        model = _model(**params)
        r, f = torch.tensor(R, requires_grad=True), torch.tensor(F, requires_grad=True)
        logits = model.discriminators.logits, model.generator.logits

        def losses(r: Any, f: Any, *_: Any) -> Any:
            return model.discriminators_loss(Real(r), fake(f, K)), model.generator_loss(fake(f, K))

        assert torch.autograd.gradcheck(losses, (r, f, *logits))

    def test_zero_sum(self) -> None:
        """Without R, the generators' saturating or WGAN loss is minus the discriminators' loss on generated samples."""
        for params in ({"saturating": True}, {"payoff": "wgan"}):
            model = _model(**params)
            empty = real(np.full((1, M), 1e3 if "saturating" in params else 0.0))  # the loss on real samples is 0
            of_d = number(model.discriminators_loss(empty, fake(F, K))) - RHO * _uneven(U)
            assert number(model.generator_loss(fake(F, K))) - RHO * _uneven(W) == pytest.approx(-of_d, rel=EXACT)


class TestWeights:
    def _trained(self, entropy: float, best: float) -> torch.Tensor:
        """Return the generators' weights after descent with scores that are larger by `best` for the first one."""
        model = _model(payoff="wgan")
        model.params = MixGAN.Params(generators=K, discriminators=M, entropy=entropy, payoff="wgan")
        scores = torch.zeros(5 * K, M, dtype=torch.float64)
        scores[:5] = best
        logits = model.generator.logits
        for _ in range(1000):
            (gradient,) = torch.autograd.grad(model.generator_loss(fake(scores, K)), logits)
            with torch.no_grad():
                logits.sub_(gradient)
        return model.weights().detach()

    def test_the_better_generator_gains(self) -> None:
        """Without R, the generator with the largest score has almost all weight in the end."""
        assert self._trained(0.0, 1.0)[0] > 0.99

    def test_entropy_keeps_weights_off_the_corners(self) -> None:
        """With R, descent ends at rho (1 - K w_i) / K = w_i (mean score - score_i) for each i, with all w_i > 0."""
        w = self._trained(0.5, 1.0)
        scores = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
        pull, push = 0.5 * (1 - K * w) / K, w * (w @ scores - scores)
        assert pull.tolist() == pytest.approx(push.tolist(), abs=1e-9)
        assert w.min() > 0.05
        assert w[0] > w[1]

    def test_equal_at_first(self) -> None:
        """Both mixtures start with equal weights, for which R is the log of their size."""
        model = MixGAN(MixGAN.Params(generators=4, discriminators=5))
        trainer(model)
        assert model.weights().tolist() == [0.25] * 4
        assert number(model.generator.evenness()) == pytest.approx(np.log(4))
        assert number(model.discriminators.evenness()) == pytest.approx(np.log(5))

    def test_training_moves_both(self) -> None:
        """Training updates the weights of both mixtures; they stay positive and sum to 1."""
        model = MixGAN(MixGAN.Params(generators=K, discriminators=M))
        t = trainer(model)
        for _ in range(5):
            t.iterate()
        for mixture in (model.generator, model.discriminators):
            weights = mixture.weights()
            assert weights.min() > 0
            assert number(weights.sum()) == pytest.approx(1)
            assert weights.max() > weights.min()

    def test_turns_leave_the_other_mixture_alone(self) -> None:
        """The discriminators' turn changes no parameter of the generators, weights included."""
        model = MixGAN(MixGAN.Params(generators=K, discriminators=M))
        t = trainer(model)
        before = values(model.generator)
        turns = (Turn(("discriminators",)),)
        t.play(turns, t.draw(turns))
        assert same(before, values(model.generator))


class TestModel:
    def test_nothing_is_shared(self) -> None:
        """K generators have K times the parameters of one, M discriminators M times, and one logit each."""
        model = MixGAN(MixGAN.Params(generators=K, discriminators=M))
        players = model.build(networks())

        def size(module: nn.Module) -> int:
            return sum(parameter.numel() for parameter in module.parameters())

        assert size(players["generator"]) == K * (size(networks().generators()) + 1)
        assert size(players["discriminators"]) == M * (size(networks().discriminator({"score": None})) + 1)

    @pytest.mark.parametrize(("payoff", "clipped"), [("wgan", True), ("gan", False)])
    def test_clipping(self, payoff: str, clipped: bool) -> None:
        """WGAN's payoff clips every parameter of the discriminators to the bound; GAN's payoff does not."""
        model = MixGAN(MixGAN.Params(generators=K, discriminators=M, payoff=payoff, clip=0.03))
        trainer(model).iterate()
        largest = max(number(p.abs().max()) for name, p in values(model.discriminators).items() if name != "logits")
        assert (largest <= 0.03 + 1e-9) == clipped

    def test_logits_are_not_clipped(self) -> None:
        """Neither logits of weights nor parameters of generators are clipped."""
        model = MixGAN(MixGAN.Params(payoff="wgan", clip=0.03))
        logits, other = torch.tensor([0.5, -0.5]), torch.tensor([0.5, -0.5])
        model.constrain("discriminators", {"logits": logits, "bodies.weight": other})
        assert logits.tolist() == [0.5, -0.5]
        assert other.tolist() == pytest.approx([0.03, -0.03])
        model.constrain("generator", {"bodies.weight": logits})
        assert logits.tolist() == [0.5, -0.5]

    def test_turns(self) -> None:
        """An iteration has n turns of the discriminators, each on new draws, then one of the generators."""
        turns = MixGAN(MixGAN.Params(discriminator_steps=3)).turns(0)
        assert [(turn.players, turn.real, turn.latents) for turn in turns[:3]] == [
            (("discriminators",), i, i) for i in range(3)
        ]
        assert turns[3] == Turn(("generator",), latents=2)

    def test_saturating_needs_gans_payoff(self, messages: Messages) -> None:
        """`saturating` with WGAN's payoff is refused."""
        with messages.raises(ValueError, "saturating", "payoff"):
            MixGAN.Params(saturating=True, payoff="wgan")
