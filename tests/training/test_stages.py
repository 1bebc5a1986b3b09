"""Promises of stages, on a small game of two stages that records its calls."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from torch import Tensor, nn

from gan_bench.acceleration.compilation import Program
from gan_bench.contracts.model import Real, Stage, Turn
from gan_bench.contracts.network import Networks
from gan_bench.errors import Diverged, PluginError
from gan_bench.training.trainer import Trainer
from tests.support.messages import Messages
from tests.support.tiny import same, spy, trainer, values

SECOND = 3  # first iteration of the second stage


class TwoStages(GAN):
    """GAN with extra discriminator turns before the second stage, in which the generator is renewed."""

    name = "two-stages"
    pool_size = 12

    def __init__(self) -> None:
        super().__init__()
        self.entered: list[tuple[int, dict[str, Tensor]]] = []

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        alone = (Turn(("discriminator",), weights="chosen"), Turn(("discriminator",), weights="chosen"))
        return (Stage(0), Stage(SECOND, alone, renewed=("generator",)))

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        return (Turn(("discriminator",), weights="chosen"), Turn(("generator",)))

    def initial_state(self) -> Mapping[str, Tensor]:
        return {"chosen": torch.ones(self.pool_size)}

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        self.entered.append((number, values(self)))
        chosen = torch.zeros(self.pool_size)
        chosen[number] = 1
        return {"chosen": chosen}


def _after(iterations: int) -> Trainer:
    t = trainer(TwoStages())
    for _ in range(iterations):
        t.iterate()
    return t


def _model(t: Trainer) -> TwoStages:
    assert isinstance(t.model, TwoStages)
    return t.model


class TestPrelude:
    def test_belongs_to_no_iteration(self) -> None:
        """Its turns run before the stage's first iteration, with separate draws, and are counted."""
        model = TwoStages()
        calls = spy(model, "discriminator_loss")
        t = trainer(model)
        for _ in range(SECOND + 1):
            t.iterate()
        assert t.iteration == SECOND + 1
        assert t.counts.updates == {"discriminator": SECOND + 1 + 2, "generator": SECOND + 1}
        latents = [call["fake"].z for call in calls]
        assert len(latents) == SECOND + 1 + 2
        assert all(not torch.equal(a, b) for i, a in enumerate(latents) for b in latents[:i])

    def test_sees_the_stage_before(self) -> None:
        """Its players and state are those of the stage that ends."""
        model = TwoStages()
        calls = spy(model, "discriminator_loss")
        t = trainer(model)
        for _ in range(SECOND + 1):
            t.iterate()
        assert [set(call["real"].index.tolist()) for call in calls] == [{0}] * (SECOND + 2) + [{1}]


class TestEntering:
    def test_comes_before_renewal(self) -> None:
        """A model enters a stage with the trained generators."""
        t = _after(SECOND)
        trained = values(t.model)
        t.iterate()
        numbers = [number for number, _ in _model(t).entered]
        assert numbers == [0, 1]
        seen = _model(t).entered[1][1]
        generator = {name: value for name, value in trained.items() if name.startswith("generator")}
        assert all(torch.equal(seen[name], value) for name, value in generator.items())

    def test_renews_parameters_and_optimiser(self) -> None:
        """A renewed player has different weights than at the start, and an optimiser without state."""
        start = values(trainer(TwoStages()).model)
        t = _after(SECOND)
        before = t.parameters["generator"]["layers.1.weight"]
        t.enter_stage()
        fresh = values(t.model)
        assert before is t.parameters["generator"]["layers.1.weight"]
        for name in ("generator.layers.0.weight", "generator.layers.1.weight", "generator.layers.2.weight"):
            assert not torch.equal(fresh[name], start[name])
            assert float(fresh[name].std()) == pytest.approx(0.5, rel=0.5)
        assert all(not value.any() for name, value in fresh.items() if name.startswith("generator") and "bias" in name)
        for state in t.optimizers["generator"].state.values():
            assert all(not value.any() for value in state.values())
        assert all(state["step"] == SECOND + 2 for state in t.optimizers["discriminator"].state.values())

    def test_first_step_of_a_renewed_player(self) -> None:
        """Its first step is Adam's first: every weight with a gradient changes by the learning rate."""
        t = _after(SECOND)
        t.enter_stage()
        fresh = values(t.model)
        t.stages = ()
        t.iterate()
        moved = values(t.model)["generator.layers.2.weight"] - fresh["generator.layers.2.weight"]
        assert moved.abs().max().item() == pytest.approx(t.rate("generator", t.iteration), rel=1e-3)

    def test_compiled_counts_from_the_renewal(self) -> None:
        """The traced graph's Adam restarts as well: traced and eager iterations agree across the stage."""
        eager, traced = _after(SECOND + 2), trainer(TwoStages())
        traced.iterate()
        program = Program(traced, tuple(traced.model.turns(1)), lambda graph, *_: graph)
        traced.run_iteration = lambda turns, draws: program(draws)
        for _ in range(SECOND + 1):
            traced.iterate()
        for name, value in values(eager.model).items():
            torch.testing.assert_close(values(traced.model)[name], value, rtol=1e-4, atol=1e-6)


class TestPool:
    def test_is_the_seeds(self) -> None:
        """A pool is drawn once a run, and is the same for the same seed."""
        pools = [trainer(TwoStages(), seed=seed).pool.samples for seed in (0, 0, 1)]
        first, again, other = (pool.x for pool in pools if pool is not None)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert first.shape == (12, 2)

    def test_draws_by_weights(self) -> None:
        """Points of the pool, with index and label, are drawn as often as their weights require."""
        t = trainer(TwoStages(), batch=3000)
        assert t.pool.samples is not None
        t.state = {"chosen": torch.tensor([0.0] * 9 + [1.0, 2.0, 3.0])}
        drawn = t.pool.draw("chosen", t.state, torch.Generator().manual_seed(0))
        assert drawn.index is not None
        assert torch.equal(drawn.x, t.pool.samples.x[drawn.index])
        assert drawn.label is not None
        assert t.pool.samples.label is not None
        assert torch.equal(drawn.label, t.pool.samples.label[drawn.index])
        shares = torch.bincount(drawn.index, minlength=12) / 3000
        assert shares[9:].tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.03)
        assert not shares[:9].any()

    @pytest.mark.parametrize(
        ("state", "parts"),
        [
            ({"others": torch.ones(12)}, ["'chosen'"]),
            ({"chosen": torch.ones(11)}, ["chosen", "(11,)", "12"]),
        ],
    )
    def test_wrong_weights(self, state: dict[str, Tensor], parts: list[str], messages: Messages) -> None:
        """Weights with another name, or for another number of points, are reported as errors."""
        t = trainer(TwoStages())
        t.state = state
        with messages.raises(PluginError, *parts):
            t.pool.draw("chosen", t.state, torch.Generator())

    def test_one_draw_has_one_set_of_weights(self, messages: Messages) -> None:
        """Two turns cannot share a draw of real data with different weights."""

        class Torn(TwoStages):
            def turns(self, iteration: int) -> tuple[Turn, ...]:
                return (Turn(("discriminator",), weights="chosen"), Turn(("discriminator",)), Turn(("generator",)))

        with messages.raises(PluginError, "draw 0"):
            trainer(Torn()).iterate()

    def test_without_one(self, messages: Messages) -> None:
        """A turn cannot draw by weights without a pool."""

        class Poolless(TwoStages):
            pool_size = None

            def initial_state(self) -> Mapping[str, Tensor]:
                return {"chosen": torch.ones(1)}

            def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
                return state

        with messages.raises(PluginError, "pool_size", "None"):
            trainer(Poolless()).iterate()


@pytest.mark.parametrize("stop", [SECOND - 1, SECOND, SECOND + 1])
def test_resumed_equals_uninterrupted(stop: int) -> None:
    """A run interrupted before, at and after the start of a stage ends as an uninterrupted one."""
    through, file = _after(stop), io.BytesIO()
    torch.save(through.state_dict(), file)
    file.seek(0)
    resumed = trainer(TwoStages())
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(SECOND + 3 - stop):
        through.iterate()
        resumed.iterate()
    assert same(values(through.model), values(resumed.model))
    assert through.counts == resumed.counts
    assert through.renewed == resumed.renewed == {"discriminator": 0, "generator": SECOND}


class TestState:
    def test_order_is_no_matter(self) -> None:
        """A stage may return the state in another order, also if compiled."""

        class Reversing(TwoStages):
            def initial_state(self) -> Mapping[str, Tensor]:
                return {"chosen": torch.ones(12), "scale": torch.tensor(2.0)}

            def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
                return {"scale": state["scale"] + 1, "chosen": state["chosen"]}

            def after_turn(
                self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]
            ) -> Mapping[str, Tensor]:
                return {**state, "scale": state["scale"] * 1.5}

        eager, traced = trainer(Reversing()), trainer(Reversing())
        program = Program(traced, tuple(traced.model.turns(0)), lambda graph, *_: graph)
        traced.run_iteration = lambda turns, draws: program(draws)
        for _ in range(SECOND + 2):
            eager.iterate()
            traced.iterate()
        assert float(traced.state["scale"]) == pytest.approx(float(eager.state["scale"]))
        assert eager.state.keys() == {"chosen", "scale"}

    def test_nothing_gets_lost(self, messages: Messages) -> None:
        """A stage has to return every tensor of the state."""

        class Forgetting(TwoStages):
            def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
                return {}

        with messages.raises(PluginError, "enter_stage()", "[]", "['chosen']"):
            trainer(Forgetting()).iterate()

    def test_divergence_is_told_as_such(self, messages: Messages) -> None:
        """A stage whose parameters are not finite at its start ends the run as diverged."""
        t = _after(SECOND)
        with torch.no_grad():
            t.parameters["generator"]["layers.1.weight"].fill_(float("nan"))
        with messages.raises(Diverged, "generator.layers.1.weight", "iteration 3"):
            t.iterate()


class TestAverage:
    def _trainer(self) -> Trainer:
        t = trainer(TwoStages(), ema=0.9)
        for _ in range(SECOND):
            t.iterate()
        return t

    def test_starts_again_with_its_player(self) -> None:
        """The moving average of a renewed player restarts from its new parameters."""
        t = self._trainer()
        assert t.average is not None
        assert not torch.equal(
            t.average.values["generator.layers.1.weight"], values(t.model)["generator.layers.1.weight"]
        )
        t.enter_stage()
        for name, value in t.average.values.items():
            assert torch.equal(value, values(t.model)[name]), name

    def test_is_what_a_stage_sees(self) -> None:
        """A stage receives the average of the generators, from which evaluation draws."""
        t = self._trainer()
        assert t.average is not None
        average = {name: value.clone() for name, value in t.average.values.items()}
        t.enter_stage()
        seen = _model(t).entered[1][1]
        assert all(torch.equal(seen[name], value) for name, value in average.items())


class TestInPlace:
    def test_a_buffer_that_is_replaced_is_refused(self, messages: Messages) -> None:
        """A program that is compiled, recorded or stacked would still use the old buffer."""

        class Replacing(TwoStages):
            def build(self, networks: Networks) -> Mapping[str, nn.Module]:
                self.register_buffer("scale", torch.ones(()))
                return super().build(networks)

            def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
                self.scale = self.scale * 2
                return super().enter_stage(number, state, pool)

        with messages.raises(PluginError, "enter_stage()", "scale"):
            trainer(Replacing()).iterate()


class Drawing(TwoStages):
    """Stages that draw what they are given."""

    name = "drawing"

    def enter_stage(
        self, number: int, state: Mapping[str, Tensor], pool: Real | None, rng: torch.Generator
    ) -> Mapping[str, Tensor]:
        assert pool is not None
        return {"chosen": torch.rand(len(pool.x), generator=rng, device=rng.device)}


class TestRandomGenerator:
    def _drawn(self, seed: int = 0) -> list[Tensor]:
        t, drawn = trainer(Drawing(), seed=seed), []
        for _ in range(SECOND + 1):
            t.iterate()
            drawn.append(t.state["chosen"])
        return [drawn[0], drawn[-1]]

    def test_is_a_function_of_seed_and_stage(self) -> None:
        """Equal seeds draw equal numbers; another seed and another stage draw others."""
        first, again, other = self._drawn(), self._drawn(), self._drawn(1)
        assert all(map(torch.equal, first, again))
        assert not any(map(torch.equal, first, other))
        assert not torch.equal(*first)

    @pytest.mark.parametrize(
        ("stream", "use"),
        [
            ("torch", lambda: torch.rand(1)),
            ("numpy", lambda: np.random.rand()),
            ("random", random.random),
            ("torch", lambda: nn.Linear(1, 1)),
        ],
        ids=["torch", "numpy", "random", "layer"],
    )
    def test_global_streams_are_refused(self, stream: str, use: Callable[[], object], messages: Messages) -> None:
        """A resumed run would draw other numbers."""

        class Careless(TwoStages):
            name = "careless"

            def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
                use()
                return super().enter_stage(number, state, pool)

        with messages.raises(PluginError, "careless", "enter_stage()", stream, "rng"):
            trainer(Careless()).iterate()
