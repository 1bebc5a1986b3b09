"""MAD-GAN-Sim: the competing term of the generators' loss against its formula, written sample by sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mad_gan_sim import MADGANSim
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.contracts.network import Discriminator
from gan_bench.contracts.parameters import checked
from tests.support.messages import Messages
from tests.support.tiny import fake, networks, number, put, real, spy, trainer

Array = NDArray[np.float64]
K, B = 3, 4  # number of generators, and of samples of each
X = np.random.default_rng(0).normal(0, 1.5, (K * B, 3))
"""Samples, generator by generator: a logit, and two features."""
SIMILARITIES: list[dict[str, Any]] = [{}, {"similarity": "gaussian", "width": 0.7}]


class Columns(Discriminator):
    """A discriminator whose logit is the first column of a sample and whose features are the others."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"source": x[:, 0]}

    def features(self, x: Tensor) -> Tensor:
        return x[:, 1:]


def _model(weight: float = 1.0, **params: Any) -> MADGANSim:
    model = MADGANSim(MADGANSim.Params(generators=K, weight=weight, **params))
    put(model, discriminator=Columns())
    return model


def _loss(x: Any, **params: Any) -> Tensor:
    return _model(**params).generator_loss(fake(x, K))


def _sp(a: float) -> float:
    return float(np.logaddexp(0, a))


def _score(x: Array) -> float:
    return float(1 / (1 + np.exp(-x[0])))


def _alike(one: Array, other: Array, params: dict[str, Any]) -> float:
    if params.get("similarity") == "gaussian":
        return float(np.exp(-((one - other) ** 2).sum() / (2 * params["width"] ** 2)))
    return float(one[1:] @ other[1:] / np.linalg.norm(one[1:]) / np.linalg.norm(other[1:]))


def _competing(x: Array, params: dict[str, Any]) -> list[float]:
    """Return max(0, mean over j != i of D_j - D_i + Delta_ij) for each generator i and latent b."""
    parts = x.reshape(K, B, -1)
    terms = []
    for i in range(K):
        for b in range(B):
            others = [parts[j, b] for j in range(K) if j != i]
            own = parts[i, b]
            behind = [_score(other) - _score(own) + _alike(own, other, params) for other in others]
            terms.append(max(0.0, float(np.mean(behind))))
    return terms


class TestLosses:
    @pytest.mark.parametrize("params", SIMILARITIES)
    @pytest.mark.parametrize("weight", [0.0, 0.6, 3.0])
    def test_generator(self, params: dict[str, Any], weight: float) -> None:
        """The loss is the mean of sp(-d) plus lambda times the mean of the competing terms, some of which are 0."""
        terms = _competing(X, params)
        assert 0 < sum(term == 0 for term in terms) < len(terms)
        expected = np.mean([_sp(-x[0]) for x in X]) + weight * np.mean(terms)
        assert number(_loss(X, weight=weight, **params)) == pytest.approx(expected, rel=1e-12)

    def test_saturating(self) -> None:
        """With `saturating` the form of GAN's loss changes, and the competing term does not."""
        expected = -np.mean([_sp(x[0]) for x in X]) + 0.6 * np.mean(_competing(X, {}))
        assert number(_loss(X, weight=0.6, saturating=True)) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("params", SIMILARITIES)
    def test_that_the_similarity_is_fixed_changes_no_value(self, params: dict[str, Any]) -> None:
        """A constant similarity changes gradients, not values."""
        free, fixed = (_loss(X, through_similarity=through, **params) for through in (True, False))
        assert number(free) == number(fixed)

    def test_discriminator(self) -> None:
        """The discriminator's loss is GAN's on the mixture of all generators."""
        r = real(np.random.default_rng(1).normal(size=(5, 3)))
        gan = put(GAN(), discriminator=Columns())
        assert isinstance(gan, GAN)
        expected = number(gan.discriminator_loss(r, fake(X, K)))
        assert number(_model(weight=7.0).discriminator_loss(r, fake(X, K))) == expected

    def test_equal_generators(self) -> None:
        """If all generators generate the same samples, the similarity is 1 and the competing term is 1."""
        same = np.tile(X[:B], (K, 1))
        for params in SIMILARITIES:
            competing = number(_loss(same, weight=1.0, **params)) - number(_loss(same, weight=0.0, **params))
            assert competing == pytest.approx(1.0, rel=1e-12)

    def test_generators_that_are_far_apart(self) -> None:
        """If the kernel is 0 and all scores are equal, the competing term is 0."""
        apart = np.concatenate([np.tile([0.3, 100.0 * k, 0.0], (B, 1)) for k in range(K)])
        assert number(_loss(apart, similarity="gaussian")) == pytest.approx(_sp(-0.3), rel=1e-12)

    @pytest.mark.parametrize("logit", [-1e4, 1e4])
    def test_extreme_logits(self, logit: float) -> None:
        """Scores are in [0, 1], so the competing term is at most 2 for any logits; gradients are finite."""
        x = torch.tensor(X, dtype=torch.float32)
        x[:B, 0] = logit
        x.requires_grad_()
        loss = _loss(x, weight=1.0)
        (gradient,) = torch.autograd.grad(loss, x)
        assert 0 <= number(loss) - number(_loss(x.detach(), weight=0.0)) <= 2
        assert bool(torch.isfinite(gradient).all())

    @pytest.mark.parametrize("params", SIMILARITIES)
    def test_samples_without_features(self, params: dict[str, Any]) -> None:
        """Features of 0, as of a discriminator that starts at 0, have finite gradients."""
        x = torch.zeros(K * B, 3, requires_grad=True)
        (gradient,) = torch.autograd.grad(_loss(x, **params), x)
        assert bool(torch.isfinite(gradient).all())


class TestGradients:
    """The loss of a generator has gradients by its samples only."""

    def _of_generator(self, i: int, x: Tensor, params: dict[str, Any], fixed: Array | None = None) -> Tensor:
        """Return generator i's part of the loss by its samples, with X for the others; `fixed` replaces Delta."""
        parts = [*torch.tensor(X).view(K, B, -1)]
        others = torch.stack([part for j, part in enumerate(parts) if j != i])
        if fixed is not None:
            alike = torch.tensor(fixed)
        elif params.get("similarity") == "gaussian":
            alike = torch.exp(-((others - x) ** 2).sum(2) / (2 * params["width"] ** 2)).mean(0)
        else:
            alike = nn.functional.cosine_similarity(others[:, :, 1:], x[None, :, 1:], dim=2).mean(0)
        behind = torch.sigmoid(others[:, :, 0]).mean(0) - torch.sigmoid(x[:, 0]) + alike
        own = nn.functional.softplus(-x[:, 0]) + 0.6 * behind.clamp(min=0)
        return own.sum() / (K * B)

    @pytest.mark.parametrize("params", SIMILARITIES)
    @pytest.mark.parametrize("through", [True, False])
    def test_is_that_of_each_generators_own_loss(self, params: dict[str, Any], through: bool) -> None:
        """By the samples of generator i the gradient is that of its loss, with the others' samples as constants."""
        x = torch.tensor(X, requires_grad=True)
        (found,) = torch.autograd.grad(_loss(x, weight=0.6, through_similarity=through, **params), x)
        parts = X.reshape(K, B, -1)
        for i in range(K):
            alike = [[_alike(parts[i, b], parts[j, b], params) for b in range(B)] for j in range(K) if j != i]
            own = torch.tensor(parts[i], requires_grad=True)
            fixed = None if through else np.mean(alike, 0)
            (expected,) = torch.autograd.grad(self._of_generator(i, own, params, fixed), own)
            torch.testing.assert_close(found.view(K, B, -1)[i], expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("params", SIMILARITIES)
    @pytest.mark.parametrize("i", range(K))
    def test_is_a_finite_difference(self, params: dict[str, Any], i: int) -> None:
        """The loss used in this comparison has the central differences of the formula written as a loop."""
        step = 1e-6
        own = torch.tensor(X.reshape(K, B, -1)[i], requires_grad=True)
        (found,) = torch.autograd.grad(self._of_generator(i, own, params), own)
        for b in range(B):
            for d in range(3):
                ends = []
                for sign in (1, -1):
                    moved = X.copy().reshape(K, B, -1)
                    moved[i, b, d] += sign * step
                    terms = _competing(moved.reshape(K * B, -1), params)
                    ends.append((_sp(-moved[i, b, 0]) + 0.6 * terms[i * B + b]) / (K * B))
                assert number(found[b, d]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)

    def test_pushes_up_whoever_is_behind(self) -> None:
        """The competing term has a negative gradient by the logit of a sample that is behind, and 0 if it is ahead."""
        x = torch.tensor(X, requires_grad=True)
        difference = _loss(x, weight=1.0) - _loss(x, weight=0.0)
        (gradient,) = torch.autograd.grad(difference, x)
        behind = torch.tensor(_competing(X, {})) > 0
        assert bool((gradient[behind, 0] < 0).all())
        assert float(gradient[~behind].abs().max()) == 0


class TestGame:
    def test_generators_see_the_same_latents(self) -> None:
        """Sample b of each generator is generated from latent b, as the competing term assumes."""
        model = MADGANSim(MADGANSim.Params(generators=K))
        seen = spy(model, "generator_loss")
        trainer(model).iterate()
        z = seen[0]["fake"].by_generator(seen[0]["fake"].z)
        assert torch.equal(z[0], z[1]) and torch.equal(z[0], z[2])

    def test_ownership(self) -> None:
        """The discriminator's loss has no gradient by generators; the generators' loss has one by each of them."""
        model = MADGANSim(MADGANSim.Params(generators=K))
        of_d, of_g = spy(model, "discriminator_loss"), spy(model, "generator_loss")
        trainer(model).iterate()
        assert not of_d[0]["fake"].x.requires_grad
        x = of_g[0]["fake"].x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model.generator_loss(fake=fake(x, K)), x)
        assert bool((gradient.abs().view(K, -1).sum(1) > 0).all())

    def test_nothing_is_shared_unless_asked(self, messages: Messages) -> None:
        """The default is K whole generators; `shared` selects a common body."""
        sizes = {}
        for shared in ("nothing", "body", "trunk"):
            model = MADGANSim(MADGANSim.Params(generators=K, shared=shared))
            sizes[shared] = sum(each.numel() for each in model.build(networks())["generator"].parameters())
        alone = sum(each.numel() for each in GAN().build(networks())["generator"].parameters())
        assert sizes["nothing"] == K * alone
        assert alone < sizes["trunk"] < sizes["nothing"] and alone < sizes["body"] < sizes["nothing"]
        messages.check(MADGANSim().sharing, "generators", "nothing")

    @pytest.mark.parametrize(
        "wrong", [{"generators": 1}, {"weight": -0.1}, {"width": 0.0}, {"similarity": "dot"}, {"shared": "all"}]
    )
    def test_parameters_out_of_range(self, wrong: dict[str, Any]) -> None:
        """A single generator, a negative weight, a kernel of width 0 and unknown names are refused."""
        told: list[str] = []
        checked(MADGANSim.Params, wrong, lambda _, message: told.append(message))
        assert len(told) == 1 and next(iter(wrong)) in told[0]
