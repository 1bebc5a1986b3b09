"""Promises of draws whose generators are chosen, by a gate or by the weights of the mixture."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from torch import Tensor, nn

from gan_bench.acceleration.compilation import as_traced, compile_iterations
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.contracts.model import Fake, Turn
from gan_bench.contracts.network import Networks
from gan_bench.errors import PluginError
from gan_bench.training.state import USAGE
from tests.acceleration.test_compilation import _assert_close
from tests.support.messages import Messages
from tests.support.tiny import side_by_side, spy, trainer


class Several(GAN):
    """GAN with three separate generators."""

    presets = {}
    generators = 3

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        return {**super().build(networks), "generator": networks.generators(3, shared="nothing")}


class Weighted(Several):
    """The same with draws by weights, which are a part of the state."""

    name = "weighted"
    weighted_draws = True

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"w": torch.tensor([0.5, 0.5, 0.0])}

    def weights(self, state: Mapping[str, Tensor]) -> Tensor:
        return state["w"]


class Sign(Several):
    """The same with a gate: generator 0 for negative first latents, else 2 with a probability that is the state."""

    name = "sign"

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"p": torch.tensor(1.0)}

    def gate(self, z: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        left, p = (z[:, 0] < 0).float(), state["p"]
        return torch.stack((left, (1 - left) * (1 - p), (1 - left) * p), 1)


class Changing(Sign):
    """The same with a probability that is 0 after the first turn."""

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"p": torch.zeros(())}


def _fakes(model: Several, iterations: int = 1, **settings: object) -> list[Fake]:
    """Draws of the generator's turns."""
    calls = spy(model, "generator_loss")
    t = trainer(model, **settings)  # type: ignore[arg-type]
    for _ in range(iterations):
        t.iterate()
    return [call["fake"] for call in calls]


class TestGate:
    def test_chooses_each_sample(self) -> None:
        """A sample is that of its generator at its latents, and a draw has as many as other models' draws."""
        model = Sign()
        calls = spy(model, "generator_loss")
        t = trainer(model)
        with torch.no_grad():
            before = t.model.generate_all(t.draw(tuple(model.turns(0))).latents[0].expand(3, -1, -1))
        t.iterate()
        (fake,) = (call["fake"] for call in calls)
        assert fake.x.shape == (12, 2)
        assert torch.equal(fake.generator, torch.where(fake.z[:, 0] < 0, 0, 2))
        torch.testing.assert_close(fake.x, before[fake.generator, torch.arange(12)])
        torch.testing.assert_close(fake.candidates, before)

    def test_sees_the_state(self) -> None:
        """The choice follows the state that the turn before left, also between turns of one iteration."""
        model = Changing()
        first, second = spy(model, "discriminator_loss"), spy(model, "generator_loss")
        trainer(model).iterate()
        assert set(first[0]["fake"].generator.tolist()) == {0, 2}
        assert set(second[0]["fake"].generator.tolist()) == {0, 1}

    def test_wrong_shape(self, messages: Messages) -> None:
        """An iteration cannot look at values, but at the shape."""

        class Flat(Sign):
            def gate(self, z: Tensor, state: Mapping[str, Tensor]) -> Tensor:
                return super().gate(z, state)[:, :2]

        with messages.raises(PluginError, "sign", "gate()", "(12, 3)", "(12, 2)"):
            trainer(Flat()).iterate()


class TestWeightedDraws:
    def test_follow_the_weights(self) -> None:
        """Over 200 draws, generators have their shares, within four standard deviations; one of weight 0 has none."""
        index = torch.cat([fake.generator for fake in _fakes(Weighted(), 200)])
        counts = index.bincount(minlength=3)
        assert counts[2] == 0
        assert abs(counts[0].item() - len(index) / 2) < 2 * len(index) ** 0.5

    def test_use_current_weights(self) -> None:
        """Weights that change in an iteration determine the draws of the next."""

        class Moving(Weighted):
            def after_turn(
                self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]
            ) -> Mapping[str, Tensor]:
                return {"w": torch.tensor([0.0, 0.0, 1.0])} if "generator" in turn.players else state

        first, second = _fakes(Moving(), 2)
        assert set(first.generator.tolist()) == {0, 1}
        assert set(second.generator.tolist()) == {2}

    def test_noise_is_drawn_for_each_draw(self) -> None:
        """Each iteration and each number of a draw has its own, which a resumed run draws again."""
        t = trainer(Weighted())
        turns = (Turn(("discriminator",), latents=0), Turn(("generator",), latents=1))
        drawn = [t.draw(turns, moment=(i,)).gumbel[number] for i in (0, 1) for number in (0, 1)]
        assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
        assert torch.equal(drawn[1], trainer(Weighted()).draw(turns, moment=(0,)).gumbel[1])

    def test_latents_are_those_of_other_models(self) -> None:
        """Latents do not depend on how the generators are chosen."""
        (one,), (other,) = _fakes(Weighted()), _fakes(Several())
        assert torch.equal(one.z, other.z)

    def test_wrong_shape(self, messages: Messages) -> None:
        """As for a gate."""

        class Short(Weighted):
            def weights(self, state: Mapping[str, Tensor]) -> Tensor:
                return state["w"][:2]

        with messages.raises(PluginError, "weighted", "weights()", "(3,)", "(2,)"):
            trainer(Short()).iterate()


class TestLedger:
    def test_counts_what_losses_received(self) -> None:
        """Chosen samples, each draw once, also if the state changes between its turns and they are chosen again."""
        model = Changing()
        calls = spy(model, "discriminator_loss")
        t = trainer(model)
        for _ in range(3):
            t.iterate()
        counts = torch.cat([call["fake"].generator for call in calls]).bincount(minlength=3)
        assert t.counts.fake_samples == sum(t.usage) == 36
        assert t.usage == tuple(counts.tolist())

    def test_is_empty_for_other_models(self) -> None:
        """Their draws have the same number of samples of each generator."""
        t = trainer(Several())
        t.iterate()
        assert t.usage == () and USAGE not in t.state

    def test_is_not_part_of_the_models_state(self) -> None:
        """A model sees the names that it declared."""
        seen: list[set[str]] = []

        class Watching(Sign):
            def after_turn(
                self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]
            ) -> Mapping[str, Tensor]:
                seen.append(set(state))
                return state

        t = trainer(Watching())
        t.iterate()
        assert seen == [{"p"}, {"p"}] and set(t.model_state) == {"p"}

    def test_name_is_reserved(self, messages: Messages) -> None:
        """For a state of the model."""

        class Clash(Sign):
            def initial_state(self) -> Mapping[str, Tensor]:
                return {USAGE: torch.zeros(3)}

        with messages.raises(PluginError, "sign", "initial_state()", USAGE):
            trainer(Clash())


def test_all_generators_must_play(messages: Messages) -> None:
    """A choice among generators of which some do not train has no meaning."""

    class Staged(Weighted):
        playing = 1

    with messages.raises(PluginError, "weighted", "playing", "3", "1"):
        trainer(Staged())


@pytest.mark.parametrize("kind", [Sign, Weighted])
def test_blocks_of_draws(kind: type[Several]) -> None:
    """On a GPU, draws come in blocks, noise of the choice included: eager, traced and stacked iterations agree."""
    single, members, compiled = ([trainer(kind(), seed=seed, optimizer="sgd") for seed in (0, 1)] for _ in range(3))
    for one in (*single, *members, *compiled):
        one.draw_source.rows = 4
    side_by_side(single, Stack(members, as_traced, print), 6)
    for one, member, other in zip(single, members, compiled, strict=True):
        compile_iterations(other, print, as_traced)
        for _ in range(6):
            other.iterate()
        _assert_close(one, member)
        _assert_close(one, other)
        assert one.usage == member.usage == other.usage
