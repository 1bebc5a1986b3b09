"""Shares of GPUs: their sizes, measured runs, and the slots that the engine ray creates for them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_bench.contracts.engine import PlaceRequest, Setup
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.parameters import resolve
from gan_bench.contracts.run import Job, Run
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.engines.cluster import ray as engine_module
from gan_bench.running.engines.cluster.ray import RayEngine
from gan_bench.running.engines.cluster.ray_cluster import RayParams, capacity
from gan_bench.running.engines.cluster.shares import PARTS, SHARES, Shares, in_words, next_share, share_for
from gan_bench.running.provenance import OUTSIDE_MB, SHARE_VARIABLE
from gan_bench.running.record import Usage, ledger, start_record
from gan_bench.running.run_process import RunProcess
from gan_bench.store.checkpoints import CheckpointState
from gan_bench.store.records import ErrorRecord, ExecutionPlan, GpuMemory, Ledger, RunRecord, decode, encode
from gan_bench.training.assembly import make_trainer
from tests.support import project
from tests.support.fake_ray import TOTAL_MB, FakeRay

GPU = GpuMemory(8_000.0, TOTAL_MB)
"""Memory whose share is a sixth: 8,000 times 1.3 + 600 of 80,000 MiB are 0.1375."""


def stored(tmp_path: Path, memory: GpuMemory | None, *, stack: int = 1, status: Any = "finished") -> RunRecord:
    """Record of a run of a configuration `c`."""
    job = project.plan(project.describe(), tmp_path).jobs[0]
    plan = ExecutionPlan(stack=stack)
    found = replace(start_record(job, load_plugins(), None), configuration="c", status=status)
    return replace(found, ledger=Ledger(plan=plan, gpu_memory=memory))


class TestSizes:
    def test_fill_a_gpu(self) -> None:
        """As many slots as parts fit on a GPU in units of Ray; one more does not."""
        for parts, share in zip(PARTS, SHARES, strict=True):
            units = round(share * 10_000)
            assert share * 10_000 == pytest.approx(units)
            assert parts * units <= 10_000 < (parts + 1) * units

    @pytest.mark.parametrize(
        ("reserved", "parts"), [(8_000, 6), (100, 16), (3_384, 16), (3_385, 12), (30_307, 2), (30_308, 1), (90_000, 1)]
    )
    def test_contain_the_memory_with_its_margin(self, reserved: float, parts: int) -> None:
        """The share is the smallest for 1.3 times the memory and CUDA's context; it is never more than a GPU."""
        assert share_for(reserved, TOTAL_MB) == SHARES[PARTS.index(parts)]

    def test_limit_what_a_process_allocates(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All slots of a GPU together allocate less than its memory, by CUDA's context of each."""
        limits: list[float] = []
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties())
        job = project.plan(project.describe(), tmp_path).jobs[0]
        for share in ("0.25", "0.005"):
            monkeypatch.setenv(SHARE_VARIABLE, share)
            for device in ("cpu", "cuda"):
                RunProcess(replace(job, device=device))
        assert limits == [pytest.approx(0.25 - OUTSIDE_MB / TOTAL_MB), 0.0025]

    def test_in_words(self) -> None:
        assert [in_words(share) for share in (1.0, 0.3333, 0.0625)] == ["a whole GPU", "1/3 of a GPU", "1/16 of a GPU"]

    def test_that_are_not_allowed(self) -> None:
        """A share is a number above 0, or "auto"."""
        problems: list[str] = []
        for value in ("auto", 0.5, 2, 0, -1.0, "half"):
            resolve(RayParams, {"gpus_per_run": value}, lambda path, message: problems.append(message))
        assert len(problems) == 3 and all("auto" in each for each in problems)

    def test_have_room_for_the_smallest(self) -> None:
        """With measured shares, as many runs are planned as the smallest shares and the cores have room for."""
        nodes = [{"Alive": True, "Resources": {"CPU": 24.0, "GPU": 1.0}}, {"Alive": True, "Resources": {"CPU": 4.0}}]
        params = RayParams(gpus_per_run="auto")
        place = capacity(nodes, params, PlaceRequest())
        assert (place.device, place.workers, place.gpus) == ("cuda", 16, 1) and "measured" in place.description
        assert capacity(nodes, params, PlaceRequest(workers=3)).workers == 3
        assert "measured" not in capacity(nodes, RayParams(gpus_per_run=0.5), PlaceRequest()).description
        assert "measured" not in capacity(nodes, params, PlaceRequest("cpu")).description

    @pytest.mark.parametrize("value", ["auto", "0.25", 0.25])
    def test_in_options(self, tmp_path: Path, value: str | float) -> None:
        """The flag has a number or "auto"."""
        from gan_bench.planning.options import Options

        expected = "auto" if value == "auto" else 0.25
        assert Options(gpus_per_run=value).engine_settings["gpus_per_run"] == expected


class Properties:
    """Properties of a GPU."""

    total_memory = TOTAL_MB * 2**20


class TestRecords:
    def test_have_the_memory_of_the_gpu(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The ledger of a run on a GPU has the highest reserved memory of all its processes, and the GPU's memory."""
        job = project.plan(project.describe(), tmp_path).jobs[0]
        trainer = make_trainer(job.run, load_plugins(), "cpu")
        for name, value in {
            "max_memory_reserved": lambda: 3_000 * 2**20,
            "max_memory_allocated": lambda: 2_000 * 2**20,
            "current_device": lambda: 0,
            "get_device_name": lambda: "a GPU",
            "get_device_properties": lambda device: Properties(),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        first = Usage().measured("cuda")
        assert ledger(trainer, "cuda", None, first).gpu_memory == GpuMemory(3_000.0, TOTAL_MB)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 1_000 * 2**20)
        state: Any = {**first.to_checkpoint(), **first.gpu_to_checkpoint()}
        again = Usage.of_checkpoint(state).measured("cuda")
        assert ledger(trainer, "cuda", None, again).gpu_memory == GpuMemory(3_000.0, TOTAL_MB)
        assert ledger(trainer, "cpu", None, Usage().measured("cpu")).gpu_memory is None
        assert "gpu_reserved_mb" not in Usage().measured("cpu").gpu_to_checkpoint()
        assert "gpu_reserved_mb" not in CheckpointState.__required_keys__

    def test_are_read_as_they_were_written(self, tmp_path: Path) -> None:
        """Also those without memory, as of earlier versions."""
        for memory in (GPU, None):
            record = stored(tmp_path, memory)
            assert decode(encode(record), RunRecord) == record
        earlier = encode(stored(tmp_path, None)).replace(',\n  "gpu_memory": null', "")
        assert "gpu_memory" not in earlier


class TestMeasured:
    def test_a_configuration_is_unknown_at_first(self) -> None:
        """It needs a whole GPU until its memory is measured; others stay unknown."""
        shares = Shares(None)
        assert shares.of("c", 1) == 1.0 and not shares.is_known("c", 1)
        assert shares.measure("c", 1, GPU)
        assert shares.of("c", 1) == SHARES[5] and shares.is_known("c", 1)
        assert shares.of("d", 1) == 1.0

    def test_more_memory_later_counts(self) -> None:
        """The most that runs with a whole GPU reserve counts."""
        shares = Shares(None)
        shares.measure("c", 1, GPU)
        assert not shares.measure("c", 1, GpuMemory(16_000.0, TOTAL_MB))
        assert not shares.measure("c", 1, GPU)
        assert shares.of("c", 1) == SHARES[2]

    def test_a_stack_has_the_share_of_a_measured_one(self) -> None:
        """A smaller stack has the share of the next larger one; a larger one has to be measured."""
        shares = Shares(None)
        shares.measure("c", 8, GpuMemory(30_000.0, TOTAL_MB))
        shares.measure("c", 4, GPU)
        assert [shares.of("c", seeds) for seeds in (3, 4, 5, 8, 9)] == [SHARES[5], SHARES[5], 0.5, 0.5, 1.0]

    def test_finished_runs_of_earlier_commands_count(self, tmp_path: Path) -> None:
        """Of several the least; runs without a measurement, and those that have not finished, do not count."""
        shares = Shares(None)
        much = GpuMemory(30_000.0, TOTAL_MB)
        shares.add_stored([stored(tmp_path, None), stored(tmp_path, GPU, status="interrupted")])
        assert not shares.is_known("c", 1)
        shares.add_stored([stored(tmp_path, much), stored(tmp_path, GPU), stored(tmp_path, much)])
        assert shares.of("c", 1) == SHARES[5] and not shares.is_known("c", 2)
        shares.add_stored([stored(tmp_path, much, stack=4)])
        assert shares.of("c", 2) == 0.5

    def test_the_smallest_gpu_counts(self) -> None:
        """On GPUs of different sizes, a share fits on the smallest that has measured."""
        shares = Shares(None)
        shares.measure("c", 1, GPU)
        shares.measure("d", 1, GpuMemory(1_000.0, TOTAL_MB / 2))
        assert shares.of("c", 1) == SHARES[2]

    def test_a_share_that_was_too_small_is_enlarged(self) -> None:
        """By one step for all runs that had it; a whole GPU is the most."""
        shares = Shares(None)
        shares.measure("c", 1, GPU)
        for _ in range(2):
            shares.enlarge("c", 1, SHARES[5])
        assert shares.of("c", 1) == SHARES[4]
        shares.enlarge("c", 1, 0.5)
        assert shares.of("c", 1) == 1.0

    def test_a_fixed_share_stays(self) -> None:
        shares = Shares(0.25)
        assert not shares.measure("c", 1, GPU)
        shares.enlarge("c", 1, 0.25)
        assert shares.of("c", 1) == 0.25 and shares.is_known("c", 1)


class TestNextShare:
    @pytest.mark.parametrize(
        ("waiting", "slots", "free", "gpus", "expected"),
        [
            ({1.0: 5}, {}, {}, 1, 1.0),
            ({1.0: 5}, {1.0: 1}, {}, 1, None),  # a second one would have no room
            ({1.0: 5}, {1.0: 1}, {}, 2, 1.0),
            ({0.25: 5}, {1.0: 1}, {}, 1, 0.25),  # the first of its share waits in Ray
            ({0.25: 5}, {1.0: 1, 0.25: 1}, {0.25: 1}, 1, None),
            ({0.25: 5}, {0.25: 3}, {}, 1, 0.25),
            ({0.25: 5}, {0.25: 4}, {}, 1, None),
            ({0.25: 1}, {0.25: 1}, {0.25: 1}, 1, None),  # the free one takes it
            ({0.25: 2}, {0.25: 1}, {0.25: 1}, 1, 0.25),
            ({0.1: 9}, {0.2: 1, 0.1: 7}, {}, 1, 0.1),  # in spite of rounding
            ({1.0: 1, 0.5: 1}, {1.0: 1}, {1.0: 1}, 1, 0.5),
            ({1.0: 100}, {1.0: 7}, {}, math.inf, 1.0),
            ({2.0: 9}, {2.0: 1}, {}, 3, None),
        ],
    )
    def test_is(
        self, waiting: dict[float, int], slots: dict[float, int], free: dict[float, int], gpus: float, expected: Any
    ) -> None:
        """The first share that more groups wait for than slots are free, and that has room or no slot at all."""
        assert next_share(waiting, Counter(slots), Counter(free), gpus) == expected


class Notes(Observer):
    """Observer that keeps messages and ends."""

    name = "notes"

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.ends: list[str] = []

    def note(self, message: str) -> None:
        """Keep the message."""
        self.notes.append(message)

    def ended(self, run: Run, status: str, error: str) -> None:
        """Keep the end."""
        self.ends.append(status)


Execute = Callable[..., FakeRay]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """Execute jobs on GPUs of a Ray without GPUs; all slots that are replaced have no group of their share."""
    retire = RayEngine._retire

    def checked(engine: RayEngine, member: Any) -> None:
        assert member.group is None and member.share not in engine._waiting.by_share()
        retire(engine, member)

    monkeypatch.setattr(RayEngine, "_retire", checked)
    monkeypatch.setattr(engine_module, "disconnect", lambda: None)
    monkeypatch.setattr(engine_module, "GPU_SECONDS", 0.0)

    def run(
        jobs: Sequence[Job],
        memory: Any,
        *,
        gpus: int = 1,
        share: float | str = "auto",
        workers: int = 16,
        broken: Sequence[int] = (),
    ) -> FakeRay:
        ray = FakeRay(memory if callable(memory) else lambda job: memory[job.run.label], gpus, broken)
        monkeypatch.setattr(engine_module, "connect", lambda address: ray)
        notes = Notes()
        setup = Setup(workers, [], 0, results=tmp_path / "tiny", params=RayParams(gpus_per_run=share))
        assert RayEngine(setup, notes).run(jobs)
        assert len(notes.ends) == len(jobs)
        ray.notes, ray.ends = notes.notes, notes.ends
        assert not any(actor.alive for actor in ray.actors)
        return ray

    return run


def planned(tmp_path: Path, models: Sequence[str] = ("a",), *, seeds: int = 6, stack: int = 1) -> list[Job]:
    """Jobs on a GPU, seed by seed."""
    entries = [{**project.ZOO["gan"], "label": name} for name in models]
    for number, entry in enumerate(entries):
        entry["protocol"] = {"batch": 8 + number}
    jobs = project.plan(project.describe(entries, seeds=seeds), tmp_path).jobs
    return [replace(job, device="cuda", stack=stack) for job in sorted(jobs, key=lambda job: job.run.seed)]


def shares_of(ray: FakeRay, label: str = "a") -> list[float]:
    """Shares with which runs were executed, in order."""
    return [each.share for each in ray.executions if each.label == label]


class TestSlots:
    def test_of_a_measured_configuration(self, tmp_path: Path, execute: Execute) -> None:
        """The first run has the whole GPU; as soon as it is measured, a slot waits in Ray, and six share the GPU."""
        ray = execute(planned(tmp_path, seeds=13), {"a": 8_000.0})
        assert shares_of(ray) == [1.0] + [SHARES[5]] * 12
        assert ray.most == 6 and len(ray.actors) == 7
        assert ray.waited >= {1}
        assert {each.status for each in ray.executions} == {"finished"}
        assert sum("8,000 of 80,000 MiB" in note and "1/6" in note for note in ray.notes) == 1

    def test_measure_different_configurations_first(self, tmp_path: Path, execute: Execute) -> None:
        """Two GPUs measure two models at the same time, not two seeds of one, although these are the first."""
        jobs = sorted(planned(tmp_path, ("a", "b"), seeds=4), key=lambda job: job.run.label)
        ray = execute(jobs, {"a": 8_000.0, "b": 16_000.0}, gpus=2)
        assert shares_of(ray, "a") == [1.0] + [SHARES[5]] * 3
        assert shares_of(ray, "b") == [1.0] + [SHARES[2]] * 3

    def test_use_all_gpus_while_one_configuration_is_measured(self, tmp_path: Path, execute: Execute) -> None:
        """No GPU is idle: each has a run of the same model, until its memory is known."""
        ray = execute(planned(tmp_path, seeds=6), {"a": 8_000.0}, gpus=3)
        assert shares_of(ray)[:3] == [1.0] * 3 and shares_of(ray)[3:] == [SHARES[5]] * 3

    def test_after_an_earlier_command(self, tmp_path: Path, execute: Execute) -> None:
        """Finished runs are measurements: a continued benchmark needs no whole GPU."""
        jobs = planned(tmp_path, seeds=6)
        execute(jobs[:2], {"a": 8_000.0})
        ray = execute(jobs[2:], {"a": 8_000.0})
        assert shares_of(ray) == [SHARES[5]] * 4
        assert any("4 of 4" in note for note in ray.notes)

    def test_of_stacks(self, tmp_path: Path, execute: Execute) -> None:
        """A stack is one job with the share of a measured stack; the last, smaller one has the same share."""
        ray = execute(planned(tmp_path, seeds=10, stack=4), {"a": 4_000.0})
        assert [(each.seeds, each.share) for each in ray.executions] == [
            ((0, 1, 2, 3), 1.0),
            ((4, 5, 6, 7), SHARES[2]),
            ((8, 9), SHARES[2]),
        ]

    def test_are_not_replaced_while_groups_of_their_share_wait(self, tmp_path: Path, execute: Execute) -> None:
        """Two models with different shares and many seeds: a slot for each place of a share, after the measurements."""
        ray = execute(planned(tmp_path, ("a", "b"), seeds=12), {"a": 16_000.0, "b": 30_000.0})
        assert sorted(set(shares_of(ray, "a"))) == [SHARES[2], 1.0]
        assert sorted(set(shares_of(ray, "b"))) == [0.5, 1.0]
        assert Counter(shares_of(ray, "a"))[1.0] == Counter(shares_of(ray, "b"))[1.0] == 1
        assert len(ray.actors) <= 1 + 3 + 2 + 2
        assert all(actor.executed for actor in ray.actors if actor.share < 0.5)

    def test_are_not_measured_by_a_run_that_has_failed(self, tmp_path: Path, execute: Execute) -> None:
        """A run that raises before its first iteration has reserved little; the next one has a whole GPU as well."""
        ray = execute(planned(tmp_path, seeds=4), {"a": 8_000.0}, broken=(0,))
        assert shares_of(ray) == [1.0] + [SHARES[5]] * 2
        assert Counter(ray.ends) == {"finished": 3, "failed": 1}

    def test_respect_the_number_of_workers(self, tmp_path: Path, execute: Execute) -> None:
        """With --workers 2, two runs share a GPU at most."""
        ray = execute(planned(tmp_path, seeds=8), {"a": 2_000.0}, workers=2)
        assert ray.most == 2 and shares_of(ray) == [1.0] + [SHARES[9]] * 7


class TestShortMemory:
    def test_of_a_share_gives_a_whole_gpu(self, tmp_path: Path, execute: Execute) -> None:
        """A run that needs more than its share is repeated with a whole GPU, and later ones have a larger share."""
        memory = lambda job: 8_000.0 if job.run.seed == 0 else 13_500.0  # noqa: E731
        ray = execute(planned(tmp_path, seeds=8), memory, workers=2)
        failed = [each for each in ray.executions if each.status == "failed"]
        assert {each.share for each in failed} == {SHARES[5]} and len(failed) <= 2
        again = {each.seeds for each in ray.executions if each.share == 1.0}
        assert again == {(0,), *(each.seeds for each in failed)}
        assert max(Counter(each.seeds for each in ray.executions).values()) == 2
        assert Counter(ray.ends) == {"finished": 8}
        last = max(place for place, each in enumerate(ray.executions) if each.status == "failed")
        later = [each.share for each in ray.executions[last + 1 :]]
        assert min(later) > SHARES[5] and set(later) != {1.0}

    def test_of_a_fixed_share_gives_a_whole_gpu(self, tmp_path: Path, execute: Execute) -> None:
        """The others keep the share that the command has requested."""
        memory = lambda job: 8_000.0 if job.run.seed else 30_000.0  # noqa: E731
        ray = execute(planned(tmp_path, seeds=6), memory, share=0.25, workers=4)
        assert {(each.seeds, each.share) for each in ray.executions if each.share == 1.0} == {((0,), 1.0)}
        assert Counter(ray.ends) == {"finished": 6}

    def test_of_a_stack_halves_it(self, tmp_path: Path, execute: Execute) -> None:
        """A stack that is too large for a whole GPU is executed in halves."""
        ray = execute(planned(tmp_path, seeds=4, stack=4), {"a": 30_000.0})
        assert [(len(each.seeds), each.status) for each in ray.executions][:2] == [(4, "failed"), (2, "finished")]
        assert Counter(ray.ends) == {"finished": 4}

    def test_of_a_whole_gpu_is_final(self, tmp_path: Path, execute: Execute) -> None:
        """A single run that a whole GPU has no room for has failed, after one attempt."""
        ray = execute(planned(tmp_path, seeds=1), {"a": 90_000.0})
        assert len(ray.executions) == 1 and ray.ends == ["failed"]

    @pytest.mark.parametrize(
        ("name", "message", "repeated"),
        [
            ("OutOfMemoryError", "anything", True),
            ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", True),
            ("AcceleratorError", "CUDA error: out of memory", True),
            ("RuntimeError", "no luck", False),
        ],
    )
    def test_is_an_error_of_any_library(self, tmp_path: Path, name: str, message: str, repeated: bool) -> None:
        """Libraries that PyTorch's limit does not count report it in messages."""
        from gan_bench.running.engines.cluster.groups import Group, Groups

        job = project.plan(project.describe(), tmp_path).jobs[0]
        record = replace(stored(tmp_path, GPU, status="failed"), error=ErrorRecord(name, message))
        assert Groups([]).can_have_more_memory(Group((job,)), record, 0.25) == repeated
