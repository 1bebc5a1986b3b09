"""Promises of evaluation: draws from a mixture, divergence, and failing metrics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.anchors import RealData, Untrained
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN
from torch import Tensor

from gan_bench.contracts.metric import Classes, Metric, Samples
from gan_bench.errors import Diverged
from gan_bench.evaluation.evaluate import allocate, check_finite, draw, evaluate
from gan_bench.training.randomness import seed_of
from gan_bench.training.trainer import Trainer
from tests.support.messages import Messages
from tests.support.tiny import Ring, same, trainer, values


class _Labelled(MGAN):
    """Generator k makes the point (k, k) only."""

    def generate(self, z: Tensor) -> Tensor:
        return torch.arange(len(z)).view(-1, 1, 1).expand(-1, z.shape[1], 2).float()


class _Weighted(_Labelled):
    """Mixture with unequal weights."""

    def weights(self) -> Tensor:
        return torch.tensor([0.5, 0.2, 0.3])


class _Mean(Metric):
    """Mean of all coordinates."""

    name, direction, unit = "mean", "none", "data units"

    def compute(self, samples: Samples) -> float:
        return float(samples.x.mean())


class _Broken(Metric):
    """Metric that raises an exception."""

    name, direction, unit, version = "broken", "lower", "nats", 3

    def compute(self, samples: Samples) -> float:
        raise ZeroDivisionError("nothing to divide by")


class _Halves(_Mean):
    """Classes: points near 0, and others."""

    name, kinds = "halves", ("low", "high")

    def classes(self, samples: Samples) -> Classes:
        return Classes((samples.x[:, 0] > 0.5).astype(np.int64), self.kinds, exhaustive=True)


class _Thirds(_Halves):
    """Same classes with other names."""

    name, kinds = "thirds", ("near", "far")


class _Mute(_Mean):
    """Metric whose classes fail."""

    name = "mute"

    def classes(self, samples: Samples) -> Classes:
        raise ZeroDivisionError("nothing to divide by")


def _labelled(cls: type[MGAN] = _Labelled) -> Trainer:
    return trainer(cls(MGAN.Params(generators=3)))


class TestAllocate:
    @pytest.mark.parametrize(
        ("weights", "n", "expected"),
        [
            ([1.0], 7, [7]),
            ([0.5, 0.5], 7, [4, 3]),
            ([0.125] * 8, 10_000, [1250] * 8),
            ([0.6, 0.3, 0.1], 8, [5, 2, 1]),  # shares 4.8, 2.4, 0.8
            ([0.7, 0.2, 0.1], 4, [3, 1, 0]),  # shares 2.8, 0.8, 0.4
            ([0.0, 1.0], 5, [0, 5]),
            ([2.0, 1.0, 1.0], 8, [4, 2, 2]),  # weights need not sum to 1
            ([0.25] * 4, 0, [0] * 4),
        ],
    )
    def test_largest_remainders(self, weights: list[float], n: int, expected: list[int]) -> None:
        """Counts are rounded down, then the largest remainders get one more, ties to the first."""
        assert allocate(weights, n) == expected

    def test_total_and_error(self) -> None:
        """For any weights the counts sum to n, and each is within one sample of its share."""
        rng = np.random.default_rng(0)
        for _ in range(200):
            weights, n = rng.dirichlet(np.ones(rng.integers(1, 12))), int(rng.integers(0, 500))
            counts = allocate(weights.astype(np.float32).tolist(), n)
            assert sum(counts) == n
            assert np.abs(np.array(counts) - weights / weights.sum() * n).max() < 1


class TestDraw:
    def test_index_names_the_generator(self) -> None:
        """A sample has the index of its generator, and each generator has its share."""
        drawn = draw(_labelled(), 300, 0)
        assert drawn.x.dtype == np.float32
        assert drawn.x.shape == (300, 2)
        assert drawn.generator is not None
        assert (drawn.x[:, 0] == drawn.generator).all()
        assert np.bincount(drawn.generator).tolist() == [100, 100, 100]

    def test_weights(self) -> None:
        """A mixture is sampled by its weights."""
        drawn = draw(_labelled(_Weighted), 10, 0)
        assert drawn.generator is not None
        assert np.bincount(drawn.generator).tolist() == [5, 2, 3]
        assert (drawn.x[:, 0] == drawn.generator).all()

    def test_order_is_random(self) -> None:
        """The mixture is in random order: the first half contains all generators in about equal parts."""
        drawn = draw(_labelled(), 3000, 0)
        assert drawn.generator is not None
        assert (np.bincount(drawn.generator[:1500], minlength=3) > 430).all()
        assert (np.diff(drawn.generator) != 0).mean() == pytest.approx(2 / 3, abs=0.05)

    @pytest.mark.parametrize("k", [0, 1, 2])
    def test_one_generator(self, k: int) -> None:
        """All samples are from the requested generator."""
        drawn = draw(_labelled(), 50, 0, generator=k)
        assert drawn.x.tolist() == [[k, k]] * 50
        assert drawn.generator is not None
        assert (drawn.generator == k).all()

    def test_one_generator_of_a_network(self) -> None:
        """Samples of generator k use its input layer."""
        t = trainer(MGAN(MGAN.Params(generators=3)))
        with torch.no_grad():
            bias = t.model.get_parameter("generator.layers.0.bias")
            bias[2] += 100
        whole, alone = draw(t, 30, 0), draw(t, 30, 0, generator=2)
        far = np.abs(whole.x).max(1) > np.abs(draw(t, 30, 0, generator=0).x).max() * 5
        assert whole.generator is not None
        assert (far == (whole.generator == 2)).all()
        assert np.abs(alone.x).max(1).min() > 10

    def test_seed(self) -> None:
        """The same seed gives the same samples, another seed others, and training is not affected."""
        t = trainer(GAN())
        before = values(t.model)
        first, again, other = (draw(t, 20, seed).x for seed in (5, 5, 6))
        assert (first == again).all()
        assert (first != other).all()
        assert same(before, values(t.model))
        assert t.model.training

    def test_real_data_has_no_index(self) -> None:
        """The anchor of held-out real data consists of data points without generators."""
        drawn = draw(trainer(RealData()), 2000, 0)
        assert drawn.generator is None
        radius = np.linalg.norm(drawn.x, axis=1)
        assert radius.mean() == pytest.approx(2.0, abs=0.02)
        assert drawn.x.shape == (2000, 2)

    def test_untrained_is_the_gan_at_its_start(self) -> None:
        """The untrained anchor equals a GAN of the same seed before its first iteration."""
        assert (draw(trainer(Untrained()), 20, 0).x == draw(trainer(GAN()), 20, 0).x).all()

    def test_evaluation_mode(self) -> None:
        """Samples are drawn in evaluation mode, and training mode is restored afterwards."""
        t = trainer(GAN())
        modes: list[bool] = []
        t.model.get_submodule("generator").register_forward_hook(lambda m, *_: modes.append(m.training))
        draw(t, 4, 0)
        assert modes == [False]
        assert t.model.training

    def test_average(self) -> None:
        """With a moving average the samples are the average's, and the trained parameters are restored afterwards."""
        t = trainer(GAN(), ema=0.9)
        for _ in range(3):
            t.iterate()
        assert t.average is not None
        before = values(t.model)
        drawn = draw(t, 20, 0)
        assert same(before, values(t.model))
        plain = trainer(GAN())
        plain.model.load_state_dict(t.model.state_dict() | t.average.values)
        assert (draw(plain, 20, 0).x == drawn.x).all()
        assert not same(before, values(plain.model))


class TestDiverged:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_parameters(self, value: float, messages: Messages) -> None:
        """A parameter of any player that is not finite is reported as divergence, with its name."""
        t = trainer(GAN())
        with torch.no_grad():
            t.model.get_parameter("discriminator.heads.bias")[0] = value
        t.iteration = 41
        with messages.raises(Diverged, "discriminator.heads.bias", "iteration 41"):
            evaluate(t, [_Mean()], 10, 0)

    def test_samples(self, messages: Messages) -> None:
        """Samples that overflow with finite parameters are reported as divergence."""
        t = trainer(GAN())
        with torch.no_grad():
            for parameter in t.model.get_submodule("generator").parameters():
                parameter.fill_(1e30)
        with messages.raises(Diverged, "iteration 0"):
            evaluate(t, [_Mean()], 10, 0)

    def test_finite_is_not(self) -> None:
        """Finite values pass, however large."""
        t = trainer(GAN())
        with torch.no_grad():
            t.model.get_parameter("discriminator.heads.bias")[0] = 3e38
        check_finite(t, draw(t, 10, 0))


class TestEvaluate:
    def test_scores(self) -> None:
        """Samples are drawn for (seed, evaluation, iteration). Metrics receive them with index, K and dataset."""
        seen: list[Samples] = []

        class Keeping(_Mean):
            def compute(self, samples: Samples) -> float:
                seen.append(samples)
                return super().compute(samples)

        t = _labelled()
        t.iteration = 7
        drawn, scores, errors, classes = evaluate(t, [Keeping()], 9, 2)
        expected = draw(t, 9, seed_of(2, "evaluation", 7))
        assert (drawn.x == expected.x).all()
        assert (errors, classes) == ({}, [])
        assert [(s.metric, s.generator, s.value, s.n, s.version) for s in scores] == [("mean", None, 1.0, 9, 1)]
        assert seen[0].generators == 3
        assert seen[0].dataset is t.dataset
        assert seen[0].generator is not None
        assert (seen[0].generator == drawn.generator).all()

    def test_iterations_are_evaluated_on_different_latents(self) -> None:
        """Two evaluations of an unchanged model use different samples."""
        t = trainer(GAN())
        first = evaluate(t, [], 10, 0)[0].x
        t.iteration = 1
        assert (evaluate(t, [], 10, 0)[0].x != first).all()

    def test_a_metric_that_fails(self) -> None:
        """Its value is NaN, with its error; the metrics before and after it are computed."""
        _, scores, errors, _ = evaluate(_labelled(), [_Mean(), _Broken(), _Mean()], 9, 0)
        assert [s.metric for s in scores] == ["mean", "broken", "mean"]
        assert [math.isnan(s.value) for s in scores] == [False, True, False]
        assert (scores[1].generator, scores[1].n, scores[1].version) == (None, 9, 3)
        assert errors == {"broken": "ZeroDivisionError: nothing to divide by"}

    def test_the_first_metric_that_tells_classes_is_heard(self) -> None:
        """A metric whose classes fail or do not exist is skipped. Its score is kept, and a failure is reported."""
        metrics = [_Mean(), _Mute(), _Halves(), _Thirds()]
        _, scores, errors, classes = evaluate(_labelled(), metrics, 9, 0)
        assert errors == {"mute": "classes: ZeroDivisionError: nothing to divide by"}
        assert [s.value for s in scores] == [1.0] * 4
        assert [(c.generator, c.name, c.share) for c in classes if c.name == "low"] == [
            (None, "low", 1 / 3), (0, "low", 1.0), (1, "low", 0.0), (2, "low", 0.0),
        ]  # fmt: skip
        assert {c.name for c in classes} == {"low", "high"}

    def test_evaluating_changes_nothing_in_training(self) -> None:
        """A run evaluated at every iteration ends as one that is never evaluated."""
        ends: list[dict[str, Any]] = []
        for evaluated in (False, True):
            t = trainer(MGAN(MGAN.Params(generators=3)), ema=0.9, dataset=Ring())
            for _ in range(4):
                if evaluated:
                    evaluate(t, [_Mean()], 10, 0)
                t.iterate()
            ends.append(values(t.model))
        assert same(ends[0], ends[1])
