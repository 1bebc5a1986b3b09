"""State of a model: it keeps its names, shapes, types and memory in every mode of execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from torch import Tensor

from gan_bench.acceleration.compilation import as_traced, compile_iterations
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.contracts.model import Fake, Turn
from gan_bench.errors import PluginError
from gan_bench.training.trainer import Trainer
from tests.support.messages import Messages
from tests.support.tiny import same, trainer, values

State = Mapping[str, Tensor]


class Scaled(GAN):
    """The generator's loss is multiplied by a state, which each turn replaces."""

    def __init__(
        self, start: Any, change: Callable[[State], State] = lambda state: {"scale": state["scale"] * 0.9}
    ) -> None:
        super().__init__()
        self.start, self.change = start, change

    def initial_state(self) -> State:
        return self.start if isinstance(self.start, dict) else {"scale": self.start}

    def generator_loss(self, fake: Fake, state: State) -> Tensor:  # type: ignore[override]
        return super().generator_loss(fake) * state["scale"].sum()

    def after_turn(self, turn: Turn, state: State, values: Mapping[str, Tensor]) -> State:
        return self.change(state)


def _eager(model: GAN) -> Trainer:
    t = trainer(model)
    t.iterate()
    return t


def _traced(model: GAN) -> Trainer:
    t = trainer(model)
    compile_iterations(t, lambda message: None, as_traced)
    t.iterate()
    return t


def _stacked(model: GAN) -> Trainer:
    t = trainer(model)
    stack = Stack([t], as_traced, lambda message: None)
    stack.iterate()
    stack.settle()
    return t


MODES = {"eager": _eager, "traced": _traced, "stacked": _stacked}

WRONG: Mapping[str, tuple[Any, Callable[[State], Any], tuple[str, ...]]] = {
    "integer": (torch.tensor(1), lambda state: {"scale": state["scale"] * 0.9}, ("float32", "int64")),
    "double": (torch.ones(()), lambda state: {"scale": state["scale"].double()}, ("float64", "float32")),
    "half": (torch.ones(()), lambda state: {"scale": state["scale"].half()}, ("float16", "float32")),
    "shape": (torch.ones(()), lambda state: {"scale": state["scale"].expand(2)}, ("(2,)", "()")),
    "column": (torch.ones(3), lambda state: {"scale": state["scale"][:, None]}, ("(3, 1)", "(3,)")),
    "number": (torch.ones(()), lambda state: {"scale": 0.9}, ("float", "float32")),
    "lost": (torch.ones(()), lambda state: {}, ("'scale'",)),
    "added": (torch.ones(()), lambda state: {**state, "more": state["scale"]}, ("'more'", "'scale'")),
    "nothing": (torch.ones(()), lambda state: None, ("NoneType", "'scale'")),
    "in place": (torch.ones(()), lambda state: {"scale": state["scale"].mul_(0.9)}, ("'scale'",)),
}


class TestForm:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("wrong", WRONG)
    def test_a_changed_form_is_refused_at_the_first_iteration(self, messages: Messages, wrong: str, mode: str) -> None:
        """Eager, traced and stacked iterations refuse the same values, and name both forms."""
        start, change, parts = WRONG[wrong]
        with messages.raises(PluginError, *parts):
            MODES[mode](Scaled(start, change))

    def test_a_loss_does_not_change_state_in_place(self, messages: Messages) -> None:
        class Adding(Scaled):
            def generator_loss(self, fake: Fake, state: State) -> Tensor:  # type: ignore[override]
                return super().generator_loss(fake, {"scale": state["scale"].add_(1)})

        for run in MODES.values():
            with messages.raises(PluginError, "generator", "'scale'"):
                run(Adding(torch.ones(())))

    @pytest.mark.parametrize("start", [0.5, {"scale": [1.0]}, {"scale": None}])
    def test_initial_state_must_be_tensors(self, messages: Messages, start: Any) -> None:
        with messages.raises(PluginError, "initial_state()", "'scale'", type(start).__name__ if start == 0.5 else ""):
            trainer(Scaled(start))

    @pytest.mark.parametrize("start", [torch.ones(()), torch.ones(3, dtype=torch.float64), torch.ones(2, 2).half()])
    def test_a_kept_form_is_accepted(self, start: Tensor) -> None:
        """Types other than float32 are fine if they stay what they are."""
        for run in MODES.values():
            found = run(Scaled(start)).state["scale"]
            assert found.dtype == start.dtype and found.shape == start.shape


class TestMemory:
    @pytest.mark.parametrize("start", [torch.ones(()).expand(4), torch.ones(4, 3).t(), torch.ones(8)[::2]])
    def test_views_are_copied(self, start: Tensor) -> None:
        """State is contiguous in memory of its own, whatever a model returns."""
        for run in MODES.values():
            found = run(Scaled(start)).state["scale"]
            assert found.is_contiguous()
            assert found.untyped_storage().nbytes() == found.nbytes

    @pytest.mark.parametrize("number", [2, 5])
    def test_a_view_of_a_parameter_is_a_copy(self, number: int) -> None:
        """State that refers to a parameter keeps the value from the end of its turn, in every mode alike."""

        class Following(Scaled):
            def after_turn(self, turn: Turn, state: State, values: Mapping[str, Tensor]) -> State:
                bias = next(self.generator.parameters())
                return {"scale": bias.reshape(-1)[:1]} if "generator" in turn.players else state

        eager, traced = trainer(Following(torch.ones(1))), trainer(Following(torch.ones(1)))
        compile_iterations(traced, lambda message: None, as_traced)
        for _ in range(number):
            eager.iterate()
            traced.iterate()
        kept = eager.state["scale"].clone()
        torch.testing.assert_close(kept, traced.state["scale"])
        with torch.no_grad():
            next(eager.model.get_submodule("generator").parameters()).zero_()
        assert same({"scale": kept}, {"scale": eager.state["scale"]})


class _Counting(GAN):
    """The generator's loss depends on a number of its own that it counts up."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def generator_loss(self, fake: Fake) -> Tensor:
        self.count += 1
        return super().generator_loss(fake) / self.count


class _Averaging(GAN):
    def __init__(self) -> None:
        super().__init__()
        self.average = torch.ones(())

    def generator_loss(self, fake: Fake) -> Tensor:
        loss = super().generator_loss(fake) * self.average
        self.average = 0.5 * (self.average + loss.detach())
        return loss


class _Appending(_Counting):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def generator_loss(self, fake: Fake) -> Tensor:
        self.seen.append(fake.x.detach())
        return GAN.generator_loss(self, fake) / len(self.seen)


class _Nested(GAN):
    """The attribute belongs to a submodule."""

    def generator_loss(self, fake: Fake) -> Tensor:
        inner = self.discriminator
        inner.calls = getattr(inner, "calls", 0) + 1  # type: ignore[assignment]
        return super().generator_loss(fake) / int(inner.calls)  # type: ignore[arg-type]


class _Memo(GAN):
    """A number is computed on first use and then stays the same."""

    size: int | None

    def __init__(self) -> None:
        super().__init__()
        self.size = None

    def generator_loss(self, fake: Fake) -> Tensor:
        self.size = self.size or len(fake.x)
        return super().generator_loss(fake) / self.size


class TestAttributes:
    @pytest.mark.parametrize(
        ("model", "name"),
        [(_Counting, "count"), (_Averaging, "average"), (_Appending, "seen"), (_Nested, "discriminator.calls")],
    )
    def test_a_changing_attribute_is_not_traced(self, messages: Messages, model: type[GAN], name: str) -> None:
        """A value that iterations change on the model is no constant: the run stays eager, as if never traced."""
        t, plain = trainer(model()), trainer(model())
        with messages.raises(NotCompilableError, name):
            compile_iterations(t, lambda message: None, as_traced)
        for _ in range(3):
            t.iterate()
            plain.iterate()
        assert same(values(t.model), values(plain.model))

    def test_a_number_computed_on_first_use_is_traced(self) -> None:
        t, plain = trainer(_Memo()), trainer(_Memo())
        compile_iterations(t, lambda message: None, as_traced)
        for _ in range(3):
            t.iterate()
            plain.iterate()
        torch.testing.assert_close(values(t.model), values(plain.model))
