"""Promises of evaluation about mixtures: gates, weights that are refused, samples that depend on their batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.networks.mlp_maxout import MLPMaxout
from torch import Tensor, nn

from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Networks
from gan_bench.errors import Diverged, PluginError, UsageError
from gan_bench.evaluation import evaluate as evaluation
from gan_bench.evaluation.evaluate import check_in_parts, draw, evaluate
from gan_bench.running.stored_model import StoredModel
from gan_bench.testing.tiny import trainer as tiny_trainer
from gan_bench.training.trainer import Trainer
from tests.support.messages import Messages
from tests.support.tiny import trainer


class Weighted(MGAN):
    """Three generators with given weights."""

    name = "weighted"
    given: Tensor

    def weights(self) -> Tensor:
        return self.given


class Gated(MGAN):
    """Generator k of three makes the point (k, z_0); the gate chooses by z_0, generator 2 only above `limit`."""

    name = "gated"
    limit = 1.5

    def generate(self, z: Tensor) -> Tensor:
        return torch.stack((torch.arange(3.0)[:, None].expand(z.shape[:2]), z[..., 0]), 2)

    def gate(self, z: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        high, left = z[:, 0] > self.limit, z[:, 0] < 0
        return torch.stack((left & ~high, ~left & ~high, high), 1).float()


def _mixture(cls: type[MGAN]) -> Trainer:
    return trainer(cls(MGAN.Params(generators=3)))


class TestWeights:
    @pytest.mark.parametrize(
        ("given", "parts"),
        [
            ([0.5, 0.7, -0.2], ["at least 0", "-0.2"]),
            ([0.5, 0.4, 0.2], ["sum to 1", "1.1"]),
            ([0.5, math.nan, 0.5], ["finite", "nan"]),
            ([0.5, 0.5], ["(3,)", "(2,)"]),
        ],
    )
    def test_refused(self, given: list[float], parts: list[str], messages: Messages) -> None:
        """Each with the model, what it returned and what is allowed, in evaluations and for stored models."""
        t = _mixture(Weighted)
        t.model.given = torch.tensor(given)  # type: ignore[assignment]
        t.iteration = 4
        with messages.raises(PluginError, "weighted", "weights()", *parts):
            evaluate(t, [], 10, 0)
        with messages.raises(PluginError, "weighted", "weights()", *parts):
            StoredModel(t).sample(10)

    def test_rounding_is_allowed(self) -> None:
        """Weights are float32."""
        t = _mixture(Weighted)
        t.model.given = torch.tensor([0.5, 0.25, 0.25 + 1e-6])  # type: ignore[assignment]
        assert len(draw(t, 8, 0).x) == 8

    def test_of_a_diverged_model(self) -> None:
        """The run has diverged; the weights are only a consequence."""
        t = _mixture(Weighted)
        t.model.given = torch.full((3,), math.nan)  # type: ignore[assignment]
        with torch.no_grad():
            t.model.get_parameter("generator.layers.1.weight")[0] = math.nan
        with pytest.raises(Diverged, match=r"generator\.layers\.1\.weight"):
            evaluate(t, [], 10, 0)


class TestGate:
    def test_samples_and_indices(self) -> None:
        """A sample is that of the chosen generator at the latent for which it was chosen, in parts too."""
        t = _mixture(Gated)
        for size in (2**21, 30):  # of a part
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(evaluation, "LARGEST_PART", size)
                drawn = draw(t, 400, 0)
            assert drawn.generator is not None and len(drawn.x) == 400
            assert (drawn.x[:, 0] == drawn.generator).all()
            z = drawn.x[:, 1]
            assert (drawn.generator == np.where(z > 1.5, 2, np.where(z < 0, 0, 1))).all()
            assert (np.diff(drawn.generator) != 0).any()

    def test_one_generator(self) -> None:
        """Its samples are those for which it is chosen: the tail above 1.5, a fifteenth of the latents."""
        drawn = draw(_mixture(Gated), 200, 0, generator=2)
        assert len(drawn.x) == 200
        assert (drawn.x[:, 0] == 2).all() and (drawn.x[:, 1] > 1.5).all()
        assert drawn.generator is not None and drawn.generator.tolist() == [2] * 200

    def test_one_that_is_never_chosen(self, messages: Messages) -> None:
        """The search ends."""
        t = _mixture(Gated)
        t.model.limit = 50.0  # type: ignore[assignment]
        with messages.raises(UsageError, "gated", "generator 2", "0 of"):
            StoredModel(t).sample(3, generator=2)

    @pytest.mark.parametrize(
        ("row", "parts"),
        [
            ([0.5, 0.7, -0.2], ["at least 0", "-0.2"]),
            ([0.5, 0.4, 0.2], ["sum to 1", "1.1"]),
            ([0.5, math.nan, 0.5], ["finite", "nan", "iteration 4"]),
            ([0.5, 0.5], ["(10, 3)", "(10, 2)"]),
        ],
    )
    def test_refused(self, row: list[float], parts: list[str], messages: Messages) -> None:
        """If one latent has such probabilities, with the model and the iteration."""

        class Wrong(Gated):
            def gate(self, z: Tensor, state: Mapping[str, Tensor]) -> Tensor:
                return torch.tensor([[1.0, 0.0, 0.0][: len(row)]] * (len(z) - 1) + [row])

        t = _mixture(Wrong)
        t.iteration = 4
        with messages.raises(PluginError, "gated", "gate()", *parts):
            evaluate(t, [], 10, 0)

    def test_in_training_nan_is_divergence(self) -> None:
        """An iteration reads no value, so that the next evaluation finds parameters that are not finite."""

        class Undefined(Gated):
            def generate(self, z: Tensor) -> Tensor:
                return MGAN.generate(self, z)

            def gate(self, z: Tensor, state: Mapping[str, Tensor]) -> Tensor:
                return torch.full((len(z), 3), math.nan) * self.generate(z.expand(3, *z.shape)).mean()

            def generator_loss(self, fake: object) -> Tensor:
                loss: Tensor = fake.mixed().mean()  # type: ignore[attr-defined]
                return loss

        t = _mixture(Undefined)
        t.iterate()
        with pytest.raises(Diverged, match="generator"):
            evaluate(t, [], 10, 0)


class TestState:
    def test_determines_the_weights(self) -> None:
        """As it is at the evaluation, by the weights or by the gate."""

        class Counting(Weighted):
            def initial_state(self) -> Mapping[str, Tensor]:
                return {"w": torch.tensor([1.0, 0.0, 0.0])}

            def weights(self, state: Mapping[str, Tensor]) -> Tensor:
                return state["w"]

        class Switched(Counting):
            def gate(self, z: Tensor, state: Mapping[str, Tensor]) -> Tensor:
                return state["w"].expand(len(z), 3)

        for cls in (Counting, Switched):
            t = _mixture(cls)
            t.state = {**t.state, "w": torch.tensor([0.0, 1.0, 0.0])}
            drawn = evaluate(t, [], 10, 0).drawn
            assert drawn.generator is not None and drawn.generator.tolist() == [1] * 10


class TestInParts:
    def test_batch_statistics_are_refused(self, messages: Messages) -> None:
        """A generator that normalises over the batch in evaluation, without a declaration."""

        class Normalised(GAN):
            name = "normalised"

            def generate(self, z: Tensor) -> Tensor:
                x = super().generate(z)
                return x - x.mean(1, keepdim=True)

        with messages.raises(PluginError, "normalised", "in_parts = False"):
            check_in_parts(trainer(Normalised()))

        class Declared(Normalised):
            in_parts = False

        check_in_parts(trainer(Declared()))

    def test_gates_are_compared(self, messages: Messages) -> None:
        """A gate that depends on the batch."""

        class Relative(Gated):
            def gate(self, z: Tensor, state: Mapping[str, Tensor]) -> Tensor:
                return (z[:, :3] - z[:, :3].mean(0)).softmax(1)

        check_in_parts(_mixture(Gated))
        with messages.raises(PluginError, "gated", "in_parts"):
            check_in_parts(_mixture(Relative))

    def test_a_network_declares_it(self) -> None:
        """With mlp-maxout, all samples of an evaluation are one batch."""
        t = tiny_trainer(MGAN(MGAN.Params(generators=3)), network=MLPMaxout(MLPMaxout.Params(hidden=8)))
        assert t.model.in_parts and not evaluation.in_parts(t.model)
        check_in_parts(t)
        with pytest.MonkeyPatch.context() as patch:
            whole = draw(t, 30, 0)
            patch.setattr(evaluation, "LARGEST_PART", 8)
            assert (draw(t, 30, 0).x == whole.x).all()

    def test_running_averages_are_fine(self) -> None:
        """Batch normalisation in evaluation mode depends on no other sample."""

        class Batch(GAN):
            def build(self, networks: Networks) -> Mapping[str, nn.Module]:
                players = dict(super().build(networks))
                players["generator"].layers[1] = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
                return players

        t = trainer(Batch())
        for _ in range(3):
            t.iterate()
        check_in_parts(t)


def test_stored_models_are_in_evaluation_mode() -> None:
    """Their modules, too, if they are called directly."""
    stored = StoredModel(trainer(GAN()))
    assert not any(module.training for module in stored.model.modules())
    stored.sample(3)
    assert not any(module.training for module in stored.model.modules())


def test_the_default_gate_is_not_one() -> None:
    """A model that defines no gate is sampled by its weights."""
    model: Model = GAN()
    assert not model.gated and not model.chooses
    with pytest.raises(NotImplementedError, match="gate"):
        model.gate(torch.zeros(1, 1), {})
