"""Promises of recorded iterations, with a simulated recorder that needs no GPU, and with the real one on a GPU."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from torch import Tensor, fx

from gan_bench.acceleration import cuda_graphs
from gan_bench.acceleration.compilation import as_traced, compile_iterations, compiled
from gan_bench.acceleration.cuda_graphs import WARM_UP, Captured, StaticInputs, Work, captured, free_memory, record
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.contracts.events import Event, Warned
from gan_bench.contracts.model import Turn
from gan_bench.running import execute, execution_modes
from gan_bench.running.execution_modes import ExecutionMode
from tests.acceleration.test_compilation import _assert_close, _silent
from tests.support import project
from tests.support.messages import Messages
from tests.support.tiny import WIDER, ZOO, side_by_side, trainer


def replayed(work: Work) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """Simulate a graph: it warms up, its results have fixed places, and a replay uses the same inputs."""
    for _ in range(WARM_UP):
        results = list(work())

    def replay() -> None:
        for place, value in zip(results, work(), strict=True):
            place.copy_(value)

    return replay, results


def _add(x: Tensor, y: Tensor) -> list[Tensor]:
    x.add_(y)
    return [x * 10]


class TestCaptured:
    def test_changes_the_tensors_that_stay(self) -> None:
        """Each call changes them once and in place; the recording does not change them."""
        x = torch.zeros(2)
        program = Captured(_add, [x, torch.ones(2)], 1, replayed)
        assert torch.equal(x, torch.zeros(2))
        (result,) = program(x, torch.full((2,), 3.0))
        assert torch.equal(x, torch.full((2,), 3.0)) and torch.equal(result, torch.full((2,), 30.0))
        program(x, torch.ones(2))
        assert torch.equal(x, torch.full((2,), 4.0))

    def test_a_call_overwrites_the_results_of_the_last(self) -> None:
        """A caller that needs earlier results has to copy them."""
        x = torch.zeros(1)
        program = Captured(_add, [x, torch.ones(1)], 1, replayed)
        first = program(x, torch.ones(1))[0]
        program(x, torch.ones(1))
        assert first.item() == 20

    def test_its_results_may_be_the_next_inputs(self) -> None:
        """A model's state can be the input of the next call."""
        x, state = torch.ones(1), torch.zeros(1)
        program = Captured(lambda x, state: [state + x], [x, state], 1, replayed)
        for _ in range(3):
            (state,) = program(x, state)
        assert state.item() == 3

    def test_what_cannot_be_recorded_is_as_it_was(self, messages: Messages) -> None:
        """The error gives the reason, and the inputs are unchanged."""
        x = torch.zeros(2)

        def refuse(work: Work) -> Any:
            work()
            raise RuntimeError("operation not permitted when stream is capturing")

        with messages.raises(NotCompilableError, "operation not permitted when stream is capturing"):
            Captured(_add, [x, torch.ones(2)], 1, refuse)
        assert torch.equal(x, torch.zeros(2))

    def test_out_of_memory_of_a_library_is_out_of_memory(self) -> None:
        """The stack is then split, whichever library ran out of memory."""

        def refuse(work: Work) -> Any:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

        with pytest.raises(torch.OutOfMemoryError):
            Captured(_add, [torch.zeros(2), torch.ones(2)], 1, refuse)


class TestStaticInputs:
    def test_are_copied_in_one_launch_for_each_type(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each type is copied at once, a tensor of another layout alone, and an unused tensor not at all."""
        x, y, unread = torch.rand(2, 3), torch.rand(4), torch.rand(5)
        label, expanded = torch.arange(3), torch.rand(3, 1).expand(3, 2)
        inputs = StaticInputs([x, label, expanded, y, unread], x.device, [True, True, True, True, False])
        calls: list[int] = []
        together = torch._foreach_copy_

        def copy(places: list[Tensor], values: list[Tensor]) -> None:
            assert len({value.dtype for value in (*places, *values)}) == 1
            assert [place.stride() for place in places] == [value.stride() for value in values]
            calls.append(len(places))
            together(places, values)

        monkeypatch.setattr(torch, "_foreach_copy_", copy)
        values = [x + 1, label + 1, expanded + 1, y + 1, unread + 1]
        inputs.fill(values)
        assert sorted(calls) == [1, 2]
        assert all(map(torch.equal, inputs.places[:4], values[:4]))
        assert torch.equal(inputs.places[4], unread)

    def test_of_a_program_are_those_that_it_reads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Labels of real data are drawn for every model, but a GAN's losses do not use them."""
        seen: list[list[bool]] = []

        class Noted(StaticInputs):
            def __init__(self, values: Sequence[Tensor], device: torch.device, used: Sequence[bool]) -> None:
                seen.append([used[i] for i, value in enumerate(values) if value.dtype == torch.int64])
                super().__init__(values, device, used)

        monkeypatch.setattr(cuda_graphs, "StaticInputs", Noted)
        for name in ("gan", "ac-gan"):
            compile_iterations(trainer((ZOO | WIDER)[name]()), _silent, captured(as_traced, replayed))
        assert seen == [[False], [True]]


class Streams:
    """Simulation of the parts of CUDA that `record` uses, without a GPU.

    Attributes:
        made: number of streams created.
        fails: place of a failure, "begin" or "end".
        capturing: whether a capture is in progress.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made, self.fails, self.capturing, self.emptied = 0, "", False, 0
        cuda_graphs._side_stream.cache_clear()
        for name, value in {
            "current_stream": self._stream,
            "current_device": lambda: 0,
            "Stream": self._new,
            "stream": self._on,
            "set_stream": lambda stream: None,
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
            "graph": self._capture,
            "empty_cache": self._empty,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(cuda_graphs, "_broken", "")
        self._patch = monkeypatch

    def freed(self) -> int:
        """Free memory as on a GPU, and return how often the cache was emptied so far."""
        with self._patch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: True)
            free_memory()
        return self.emptied

    def _stream(self) -> Any:
        return SimpleNamespace(wait_stream=lambda other: None)

    def _new(self, device: int) -> Any:
        self.made += 1
        return self._stream()

    @contextmanager
    def _on(self, stream: Any) -> Iterator[None]:
        yield

    def _empty(self) -> None:
        self.emptied += 1

    @contextmanager
    def _capture(self, graph: Any) -> Iterator[None]:
        if self.fails == "begin":
            raise RuntimeError("capture_begin")
        self.capturing = True
        try:
            yield
        finally:
            self.capturing = False
            if self.fails == "end":
                raise RuntimeError("operation failed due to a previous error during capture")


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Streams]:
    """A simulation of CUDA."""
    yield Streams(monkeypatch)
    cuda_graphs._side_stream.cache_clear()


class TestRecord:
    def test_warms_up_on_one_stream(self, streams: Streams) -> None:
        """All programs share one stream, since cuBLAS keeps a workspace for each stream."""
        for _ in range(3):
            record(lambda: [])
        assert streams.made == 1

    def test_collects_no_garbage_in_a_capture(self, streams: Streams) -> None:
        """Garbage collection is disabled in a capture only, and enabled again after a failure too."""
        seen: list[tuple[bool, bool]] = []

        def work() -> list[Tensor]:
            seen.append((streams.capturing, gc.isenabled()))
            if streams.capturing and streams.fails:
                raise RuntimeError("no luck")
            return []

        record(work)
        assert seen == [(False, True)] * WARM_UP + [(True, False)]
        streams.fails = "end"
        with pytest.raises(RuntimeError, match="no luck"):
            record(work)
        assert gc.isenabled()

    @pytest.mark.parametrize("where", ["begin", "end"])
    def test_a_capture_that_failed_is_the_last(self, streams: Streams, where: str, messages: Messages) -> None:
        """The allocator may consider it unfinished: another capture, or freeing its cache, could abort the process."""
        assert streams.freed() == 1
        streams.fails, calls = where, []

        def waits(x: Tensor, y: Tensor) -> list[Tensor]:
            calls.append(1)
            if streams.capturing:
                raise RuntimeError("operation not permitted when stream is capturing")
            return [x + y]

        arguments = [torch.zeros(1), torch.ones(1)]
        reason = "capture_begin" if where == "begin" else "operation not permitted"
        with messages.raises(NotCompilableError, reason):
            Captured(waits, arguments, 1)
        streams.fails, tried = "", len(calls)
        with messages.raises(NotCompilableError):
            Captured(waits, arguments, 1)
        with messages.raises(NotCompilableError):
            captured(lambda *_: pytest.fail("it is compiled"))(fx.GraphModule({}, fx.Graph()), arguments, 1)
        assert len(calls) == tried
        assert streams.freed() == 1

    def test_others_may_follow_a_failure_outside_of_a_capture(self, streams: Streams) -> None:
        """The failure is in a warm-up, or in a capture that ends in order, such as after running out of memory."""

        def work() -> list[Tensor]:
            raise RuntimeError(f"CUDA out of memory, {streams.capturing}")

        def in_capture() -> list[Tensor]:
            return work() if streams.capturing else []

        for failing in (work, in_capture):
            with pytest.raises(RuntimeError, match=f"{failing is in_capture}"):
                record(failing)
            record(lambda: [])
        assert streams.freed() == 1

    def test_a_run_goes_on_eagerly_after_a_failed_capture(
        self, streams: Streams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """The run tries no other capture and ends as a plain run, with two warnings and its plan."""
        plain = project.plan(project.describe(), tmp_path / "plain")
        assert project.run_jobs(plain) == "finished"
        modes = [ExecutionMode(captured(as_traced), compiled=compiled, graph=True) for compiled in (True, False)]
        monkeypatch.setattr(execution_modes, "candidates", lambda run: iter(modes))
        streams.fails = "end"
        planned = project.plan(project.describe(), tmp_path / "recorded")
        events: list[Event] = []
        assert execute.execute(planned.jobs[0], planned.registry, events.append, project.never) == "finished"
        warned = [event.message for event in events if isinstance(event, Warned)]
        for message in warned:
            messages.check(message, "CUDA graph")
        assert len(warned) == 2
        folders = [Path(each.jobs[0].folder) for each in (plain, planned)]
        assert [plan["graph"] for plan in project.record(folders[1])["plans"]] == [False]
        assert project.difference(*map(project.outcome, folders)) is None


class TestIterations:
    @pytest.mark.parametrize("name", ["mgan, shared noise", "mad-gan, trunk", "wgan-gp"])
    def test_are_compiled_for_inputs_as_they_are_called(self, name: str) -> None:
        """Compiled programs accept the strides of their inputs only: rows of a block of shared latents are expanded."""
        forms: list[list[Any]] = []

        def strict(graph: fx.GraphModule, arguments: list[Tensor], fixed: int) -> Callable[..., Any]:
            def call(*given: Tensor) -> Any:
                forms.append([(x.shape, x.stride()) for x in given])
                return graph(*given)

            forms.append([(x.shape, x.stride()) for x in arguments])
            return call

        recorded = trainer((ZOO | WIDER)[name]())
        recorded.draw_source.rows = 8
        compile_iterations(recorded, _silent, captured(strict, replayed))
        recorded.iterate()
        assert len(forms) == 1 + WARM_UP + 1 and all(form == forms[0] for form in forms)

    @pytest.mark.slow
    @pytest.mark.usefixtures("compiler")
    @pytest.mark.parametrize("name", ["mgan, shared noise", "mad-gan, trunk"])
    def test_of_shared_noise_compile(self, name: str) -> None:
        """The compiled program passes inductor's check of strides, and the run equals the eager one."""
        eager, recorded = (trainer(ZOO[name](), learning_rate=0.002) for _ in range(2))
        eager.draw_source.rows = recorded.draw_source.rows = 8
        compile_iterations(recorded, _silent, captured(compiled, replayed))
        for _ in range(3):
            eager.iterate()
            recorded.iterate()
        _assert_close(eager, recorded)

    @pytest.mark.parametrize("name", ["mgan", "began", "wgan, warm-up"])
    def test_train_as_eager_ones(self, name: str) -> None:
        """The runs have different optimisers, a model's state, and turns that differ between iterations."""
        make = (ZOO | WIDER)[name]
        eager, recorded = (trainer(make(), learning_rate=0.002, optimizer="rmsprop") for _ in range(2))
        compile_iterations(recorded, _silent, captured(as_traced, replayed))
        for _ in range(5):
            eager.iterate()
            recorded.iterate()
        _assert_close(eager, recorded)

    def test_state_that_is_handed_on_under_another_name(self) -> None:
        """A returned tensor may be an input of the program. The next call reads it before it overwrites it."""

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
        """The stack has draws in blocks, moving averages and a state."""
        singles, members = ([trainer(WIDER["began"](), seed=s, ema=0.9, iterations=20) for s in (0, 1)] for _ in "12")
        for one in (*singles, *members):
            one.draw_source.rows = 3
        stack = Stack(members, captured(as_traced, replayed), _silent)
        side_by_side(singles, stack, 7)
        for one, member in zip(singles, members, strict=True):
            _assert_close(one, member)


@pytest.mark.gpu
class TestOnAGPU:
    @pytest.mark.parametrize("name", ["gan", "mgan", "unrolled-gan", "wgan, warm-up", "began"])
    def test_graphs_train_as_eager_iterations(self, name: str) -> None:
        """The real recorder records a single run and a stack."""
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
