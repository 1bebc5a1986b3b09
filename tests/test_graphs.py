"""Recorded iterations: what surrounds a CUDA graph, with a recorder that needs no GPU; the real one where there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from test_compilation import _assert_close, _silent
from tiny import WIDER, ZOO, side_by_side, trainer
from torch import Tensor

from gan_bench.compilation import as_traced, compile_iterations
from gan_bench.graphs import WARM_UP, Captured, StaticInputs, Work, captured
from gan_bench.model import Turn
from gan_bench.stacking import Stack
from gan_bench.tracing import NotCompilableError


def replayed(work: Work) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """As a graph does: it warms up, its results lie in fixed places, and a replay works on the same inputs."""
    for _ in range(WARM_UP):
        results = list(work())

    def replay() -> None:
        for place, value in zip(results, work(), strict=True):
            place.copy_(value)

    return replay, results


def _given(*values: Tensor) -> StaticInputs:
    return StaticInputs(values, torch.device("cpu"))


def _add(x: Tensor, y: Tensor) -> list[Tensor]:
    x.add_(y)
    return [x * 10]


class TestCaptured:
    def test_changes_the_tensors_that_stay(self) -> None:
        """In place, once for each call; not by being recorded."""
        x = torch.zeros(2)
        program = Captured(_add, [x], _given(torch.ones(2)), replayed)
        assert torch.equal(x, torch.zeros(2))
        (result,) = program(x, torch.full((2,), 3.0))
        assert torch.equal(x, torch.full((2,), 3.0)) and torch.equal(result, torch.full((2,), 30.0))
        program(x, torch.ones(2))
        assert torch.equal(x, torch.full((2,), 4.0))

    def test_a_call_overwrites_the_results_of_the_last(self) -> None:
        """Whoever needs them longer keeps a copy."""
        x = torch.zeros(1)
        program = Captured(_add, [x], _given(torch.ones(1)), replayed)
        first = program(x, torch.ones(1))[0]
        program(x, torch.ones(1))
        assert first.item() == 20

    def test_its_results_may_be_the_next_inputs(self) -> None:
        """The model's state is given back to it."""
        x, state = torch.ones(1), torch.zeros(1)
        program = Captured(lambda x, state: [state + x], [x], _given(state), replayed)
        for _ in range(3):
            (state,) = program(x, state)
        assert state.item() == 3

    def test_what_cannot_be_recorded_is_as_it_was(self) -> None:
        """With the reason."""
        x = torch.zeros(2)

        def refuse(work: Work) -> Any:
            work()
            raise RuntimeError("operation not permitted when stream is capturing")

        with pytest.raises(NotCompilableError, match=r"CUDA graph \(RuntimeError: operation not permitted"):
            Captured(_add, [x], _given(torch.ones(2)), refuse)
        assert torch.equal(x, torch.zeros(2))


class TestIterations:
    @pytest.mark.parametrize("name", ["mgan", "began", "wgan, warm-up"])
    def test_train_as_eager_ones(self, name: str) -> None:
        """One run: optimisers, the model's state, turns that differ between iterations."""
        make = (ZOO | WIDER)[name]
        eager, recorded = (trainer(make(), learning_rate=0.002, optimizer="rmsprop") for _ in range(2))
        compile_iterations(recorded, _silent, captured(as_traced, replayed))
        for _ in range(5):
            eager.iterate()
            recorded.iterate()
        _assert_close(eager, recorded)

    def test_state_that_is_handed_on_under_another_name(self) -> None:
        """What a program returns may be what it was given, and is overwritten by the next call no sooner than read."""

        class Remembering(GAN):
            def initial_state(self) -> Mapping[str, Tensor]:
                return {name: torch.zeros(()) for name in ("now", "before", "long_before")}

            def after_turn(
                self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]
            ) -> Mapping[str, Tensor]:
                if turn.players == ("discriminator",):
                    return state
                return {"now": state["now"] + 1, "before": state["now"], "long_before": state["before"]}

        recorded = trainer(Remembering())
        compile_iterations(recorded, _silent, captured(as_traced, replayed))
        for _ in range(4):
            recorded.iterate()
        assert [recorded.state[name].item() for name in ("now", "before", "long_before")] == [4, 3, 2]

    def test_of_a_stack(self) -> None:
        """Draws in blocks, moving averages and a state."""
        singles, members = ([trainer(WIDER["began"](), seed=s, ema=0.9, iterations=20) for s in (0, 1)] for _ in "12")
        for one in (*singles, *members):
            one.drawing.rows = 3
        stack = Stack(members, captured(as_traced, replayed), _silent)
        side_by_side(singles, stack, 7)
        for one, member in zip(singles, members, strict=True):
            _assert_close(one, member)


@pytest.mark.gpu
class TestOnAGPU:
    @pytest.mark.parametrize("name", ["gan", "mgan", "unrolled-gan", "wgan, warm-up", "began"])
    def test_graphs_train_as_eager_iterations(self, name: str) -> None:
        """The real recorder, of a single run and of a stack."""
        make, cuda = (ZOO | WIDER)[name], torch.device("cuda")
        eager, recorded, *members = (trainer(make(), device=cuda, learning_rate=0.002) for _ in range(4))
        compile_iterations(recorded, _silent, captured(as_traced))
        stack = Stack(members, captured(as_traced), _silent)
        for _ in range(5):
            eager.iterate()
            recorded.iterate()
            stack.iterate()
        stack.settle()
        _assert_close(eager, recorded)
        for member in members:
            _assert_close(eager, member)
