"""Ensembles, cascades and AdaGAN, whose generators are trained in sequence, against the definitions of their papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gan_bench_zoo.models._staged import StagedGAN
from gan_bench_zoo.models.adagan import AdaGAN, weights
from gan_bench_zoo.models.ensemble import CascadeGAN, Ensemble, SelfEnsemble
from numpy.typing import NDArray

from gan_bench.contracts.model import Fake
from gan_bench.contracts.parameters import checked
from gan_bench.evaluation.evaluate import draw
from gan_bench.training.trainer import Trainer
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, number, put, real, same, spy, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)


def _sp(a: Array) -> Array:
    return np.logaddexp(0, a)


class TestEnsemble:
    def _model(self) -> Ensemble:
        model = Ensemble(Ensemble.Params(generators=2))
        put(model, discriminator=_ByPair())
        return model

    def test_losses(self) -> None:
        """The losses are sums over pairs of GAN's losses, each discriminator on the samples of its generator."""
        r, f = RNG.normal(0, 3, (5, 1)), RNG.normal(0, 3, (6, 1))
        logits = [f[:3, 0], 10 * f[3:, 0]]  # logits of the second discriminator are ten times the samples
        of_d = sum(_sp(-scale * r).mean() + _sp(on).mean() for scale, on in zip((1, 10), logits, strict=True))
        model = self._model()
        assert number(model.discriminator_loss(real(r), fake(f, 2))) == pytest.approx(of_d, rel=1e-9)
        of_g = sum(_sp(-on).mean() for on in logits)
        assert number(model.generator_loss(fake(f, 2))) == pytest.approx(of_g, rel=1e-9)

    def test_finite_differences(self) -> None:
        """Gradients by every logit are central differences in float64."""
        model = self._model()
        r, f = (torch.tensor(RNG.normal(0, 1, (n, 1)), requires_grad=True) for n in (5, 6))
        assert torch.autograd.gradcheck(lambda r, f: model.discriminator_loss(real(r), fake(f, 2)), (r, f))
        assert torch.autograd.gradcheck(lambda f: model.generator_loss(fake(f, 2)), (f,))

    def test_pairs_know_nothing_of_each_other(self) -> None:
        """The training of pair 0 does not depend on the generator of pair 1."""
        t, other = (trainer(Ensemble(Ensemble.Params(generators=2))) for _ in range(2))
        with torch.no_grad():
            other.model.get_parameter("generator.layers.2.bias")[1] += 5
        for _ in range(3):
            t.iterate()
            other.iterate()
        for name, value in values(t.model).items():
            assert torch.equal(values(other.model)[name][0], value[0]), name


class _ByPair(Echo):
    """A batched discriminator of two: its logits are the samples, in the second ten times the samples."""

    def __init__(self) -> None:
        super().__init__({"source": None}, copies=2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        both = x.expand(2, *x.shape) if x.dim() == 2 else x
        return {"source": both.squeeze(-1) * torch.tensor([[1.0], [10.0]], dtype=x.dtype)}


class TestSelfEnsemble:
    def test_keeps_the_generator_of_each_moment(self) -> None:
        """After K stages the mixture consists of the generator's states at K iterations of the run."""
        model = SelfEnsemble(SelfEnsemble.Params(generators=4))
        t = trainer(model, iterations=20)
        moments = []
        for _ in range(20):
            t.iterate()
            if t.iteration % 5 == 0:
                moments.append(values(model.generator))
        z = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            made = model.generate_all(z)
            for k, moment in enumerate(moments):
                own = torch.func.functional_call(model.generator, moment, (z[k : k + 1],))
                assert torch.equal(made[k : k + 1], own)

    def test_weights(self) -> None:
        """Stored generators and the one in training have equal weights; those of later stages are never sampled."""
        model = SelfEnsemble(SelfEnsemble.Params(generators=4))
        t = trainer(model, iterations=20)
        for _ in range(12):
            t.iterate()
        assert model.weights().tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
        drawn = draw(t, 90, 0)
        assert drawn.generator is not None
        assert np.bincount(drawn.generator, minlength=4).tolist() == [30, 30, 30, 0]

    def test_trains_as_one_gan(self) -> None:
        """The number of snapshots does not affect training."""
        one, several = (trainer(SelfEnsemble(SelfEnsemble.Params(generators=k)), iterations=12) for k in (1, 4))
        for _ in range(12):
            one.iterate()
            several.iterate()
        assert same(values(one.model), values(several.model))


class TestCascade:
    def test_passes_on_what_is_called_real(self) -> None:
        """The share with the largest outputs of the discriminator is passed on, out of the data of its stage."""
        model = CascadeGAN(CascadeGAN.Params(generators=3, passed_on=0.5, pool=40))
        t = trainer(model, iterations=9)
        for _ in range(3):
            t.iterate()
        assert t.pool.samples is not None
        with torch.no_grad():
            sure = model.discriminator(t.pool.samples.x)["source"]
        t.iterate()
        chosen = t.state["passed"].nonzero().flatten()
        assert set(chosen.tolist()) == set(sure.topk(20).indices.tolist())
        for _ in range(3):
            t.iterate()
        later = t.state["passed"].nonzero().flatten()
        assert len(later) == 10
        assert set(later.tolist()) < set(chosen.tolist())

    def test_trains_on_them_only(self) -> None:
        """Real samples of a later stage are those that were passed on."""
        model = CascadeGAN(CascadeGAN.Params(generators=2, passed_on=0.1, pool=40))
        calls = spy(model, "discriminator_loss")
        t = trainer(model, iterations=6)
        for _ in range(6):
            t.iterate()
        seen = {int(i) for call in calls[3:] for i in call["real"].index}
        assert seen <= set(t.state["passed"].nonzero().flatten().tolist())
        assert len(seen) <= 4

    def test_each_gan_is_new(self) -> None:
        """Both players are initialised with other weights in each stage."""
        model = CascadeGAN(CascadeGAN.Params(generators=2, pool=40))
        t = trainer(model, iterations=6)
        start = values(model)
        for _ in range(3):
            t.iterate()
        t.enter_stage()
        for name, value in values(model).items():
            assert ("bias" in name and not value.any()) or not torch.equal(value, start[name])


class TestDataWeights:
    """The rule of AdaGAN for data weights, equations 17 and 18."""

    @pytest.mark.parametrize("share", [0.05, 1 / 3, 0.5, 0.99])
    def test_equals_a_search(self, share: float) -> None:
        """The weights are (l - (1 - b) r)_+ / (b n) with the l, found by bisection, for which they sum to 1."""
        ratio = RNG.lognormal(0, 1.5, 300)
        low, high = 0.0, 1e6
        for _ in range(200):
            level = (low + high) / 2
            total = np.clip(level - (1 - share) * ratio, 0, None).sum() / (share * len(ratio))
            low, high = (level, high) if total < 1 else (low, level)
        expected = np.clip(level - (1 - share) * ratio, 0, None) / (share * len(ratio))
        assert weights(torch.tensor(ratio), share).numpy() == pytest.approx(expected, abs=1e-12)

    def test_a_perfect_mixture_leaves_them_even(self) -> None:
        """If the mixture has the density of the data everywhere, weights are equal."""
        assert weights(torch.ones(7), 0.25).tolist() == pytest.approx([1 / 7] * 7)

    def test_missed_data_weigh_more(self) -> None:
        """At b = 1/2, data that the mixture misses have all the weight if the others have twice their share."""
        found = weights(torch.tensor([0.0, 0.0, 2.0, 2.0]), 0.5)
        assert found.tolist() == pytest.approx([0.5, 0.5, 0.0, 0.0])

    def test_all_new(self) -> None:
        """With b = 1 the newest GAN is the whole mixture, and data have equal weights."""
        assert weights(torch.tensor([0.0, 5.0]), 1.0).tolist() == pytest.approx([0.5, 0.5])

    def test_extreme_ratios(self) -> None:
        """With a classifier that is certain of a point, weights are finite and sum to 1."""
        for ratio in (torch.tensor([0.0, float("inf"), 1.0]), torch.tensor([1e30, 1e30])):
            found = weights(ratio, 0.5)
            assert bool(torch.isfinite(found).all())
            assert number(found.sum()) == pytest.approx(1)


class TestAdaGAN:
    def _after(self, iterations: int, **params: object) -> tuple[AdaGAN, Trainer]:
        model = AdaGAN(AdaGAN.Params(generators=3, pool=50, classifier_steps=2, **params))  # type: ignore[arg-type]
        t = trainer(model, iterations=9)
        for _ in range(iterations):
            t.iterate()
        return model, t

    @pytest.mark.parametrize(("share", "expected"), [(None, [1 / 3, 1 / 3, 1 / 3]), (0.5, [0.25, 0.25, 0.5])])
    def test_mixture_weights(self, share: float | None, expected: list[float]) -> None:
        """The mixture is uniform if b_t = 1/t; otherwise each new share reduces all earlier ones."""
        model, _ = self._after(9, share=share)
        assert model.weights().tolist() == pytest.approx(expected)

    def test_data_weights_follow_the_classifier(self) -> None:
        """The weights of a stage follow the rule, with the classifier that was trained before it."""
        model = AdaGAN(AdaGAN.Params(generators=3, pool=50, classifier_steps=2))
        t = trainer(model, iterations=9)
        for _ in range(3):
            t.iterate()
        assert t.state["data"].tolist() == pytest.approx([1 / 50] * 50)
        seen = []
        enter = model.enter_stage

        def watched(number: int, state: object, pool: object) -> object:
            seen.append(torch.exp(-model.classifier(t.pool.samples.x)["data"]))  # type: ignore[union-attr]
            return enter(number, state, pool)  # type: ignore[arg-type]

        model.enter_stage = watched  # type: ignore[method-assign, assignment]
        t.iterate()
        assert torch.equal(t.state["data"], weights(seen[0], 1 / 2))
        assert len(set(t.state["data"].tolist())) > 1

    @pytest.mark.parametrize("simultaneous", [False, True])
    def test_who_moves(self, simultaneous: bool) -> None:
        """An iteration updates discriminator and generator; the classifier is updated before later stages only."""
        _, t = self._after(9, simultaneous=simultaneous)
        assert t.counts.updates == {"classifier": 2 * 2, "discriminator": 9, "generator": 9}

    def test_bagging(self) -> None:
        """Without reweighting, data have equal weights in every stage."""
        model = AdaGAN(AdaGAN.Params(generators=3, pool=50, classifier_steps=2, reweight=False))
        t = trainer(model, iterations=9)
        for _ in range(9):
            t.iterate()
        assert t.state["data"].tolist() == pytest.approx([1 / 50] * 50)

    def test_classifier_loss(self) -> None:
        """The loss is the cross-entropy of data against the weighted mixture, with no gradient by other players."""
        model, _ = self._after(5)
        r, z = RNG.normal(0, 2, (4, 1)), torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            made = model.generate_all(z.view(3, 2, 6))[:, :, :1].double().numpy()
        put(model, classifier=_First())
        expected = _sp(-r).mean() + sum(share * _sp(made[k]).mean() for k, share in enumerate(model.weights().tolist()))
        given = Fake(torch.empty(6, 2), z, torch.zeros(6, dtype=torch.int64), 1)
        loss = model.classifier_loss(real(torch.tensor(r, dtype=torch.float32)), given)
        assert number(loss) == pytest.approx(expected, rel=1e-5)
        assert not loss.requires_grad

    def test_too_few_fakes(self, messages: Messages) -> None:
        """A draw with fewer samples than generators is refused."""
        model = AdaGAN(AdaGAN.Params(generators=8))
        assert model.refuses_draws(4, 8) is None
        messages.check(model.refuses_draws(4, 7), "7 generated", "8 generators")


class _First(Echo):
    """A classifier whose logit is the first coordinate."""

    def __init__(self) -> None:
        super().__init__({"data": None})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"data": x[:, 0]}


@pytest.mark.parametrize(
    ("model", "pool"),
    [
        (SelfEnsemble(SelfEnsemble.Params(generators=5)), None),
        (CascadeGAN(CascadeGAN.Params(generators=5, pool=4_000)), 4_000),
        (AdaGAN(AdaGAN.Params(generators=5, pool=4_000)), 4_000),
    ],
)
def test_what_the_table_says(model: StagedGAN, pool: int | None, messages: Messages) -> None:
    """The footnote reports the number of generators; sharing and the size of the pool are those of the model."""
    (footnote,) = model.footnotes
    messages.check(footnote, 5)
    assert model.pool_size == pool
    messages.check(model.sharing, "generators", "nothing")


@pytest.mark.parametrize(
    "values_", [{"share": 0}, {"share": 1.5}, {"pool": 0}, {"generators": 0}, {"classifier_steps": 0}]
)
def test_out_of_range(values_: dict[str, float]) -> None:
    """Parameters outside their range are refused."""
    told: list[str] = []
    checked(AdaGAN.Params, values_, lambda _, message: told.append(message))
    assert len(told) == 1
