"""A Ray of one process, without cores to compute: actors occupy GPUs, and runs have a memory but train nothing.

It has what the engine ray uses. Each call of `wait` places actors that wait for a GPU, and sends one message of each
run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gan_bench.contracts.events import Evaluated
from gan_bench.contracts.run import Job
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Registry
from gan_bench.running.engines.cluster.slot import Hello, SlotOrder
from gan_bench.running.engines.cluster.storage import Delivery, on_this_machine
from gan_bench.running.engines.identity import identify
from gan_bench.running.engines.messages import Ended
from gan_bench.running.provenance import OUTSIDE_MB
from gan_bench.running.record import start_record
from gan_bench.store.records import ErrorRecord, ExecutionPlan, GpuMemory, Ledger, RunRecord
from gan_bench.store.run_folder import RunFolder

TOTAL_MB = 80_000.0
"""Memory of each GPU."""


@cache
def registry() -> Registry:
    """Installed plugins."""
    return load_plugins([])


class RayError(Exception):
    """Base class of errors."""


class RayTaskError(RayError):
    """Error of a call."""


@dataclass(frozen=True)
class Execution:
    """One execution of a group of runs: its label, seeds, share of a GPU, and how it ended."""

    label: str
    seeds: tuple[int, ...]
    share: float
    status: str


@dataclass(eq=False)
class Actor:
    """An actor and its resources; `gpu` is None while it waits."""

    ray: FakeRay
    number: int
    share: float
    order: SlotOrder
    gpu: int | None = None
    alive: bool = True
    executed: int = 0

    def __post_init__(self) -> None:
        self.hello = SimpleNamespace(remote=lambda: Answer(self, self._hello))
        self.close = SimpleNamespace(remote=lambda: Answer(self, lambda: None))
        self.carry_out = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._carry_out))

    def _hello(self) -> Hello:
        nonce = (Path(self.order.storage.results) / self.order.storage.nonce).read_text(encoding="utf-8")
        return Hello("host", 1, nonce, identify(registry(), self.order.question), f"node-{self.gpu}")

    def _carry_out(self, jobs: Sequence[Job], delivery: Delivery) -> Stream:
        self.executed += 1
        return Stream(self, [on_this_machine(job, self.order.storage.results) for job in jobs])


@dataclass(eq=False)
class Answer:
    """Reference to the value of a call, which is there once the actor is placed."""

    actor: Actor
    value: Callable[[], Any]


@dataclass(eq=False)
class Stream:
    """Messages of runs that are executed."""

    actor: Actor
    jobs: Sequence[Job]
    steps: int = 0

    def __next__(self) -> Answer:
        self.steps += 1
        if self.steps == 1 and any(job.run.seed in self.actor.ray.broken for job in self.jobs):
            self.steps = 4
            self.write("failed", 0, ErrorRecord("RuntimeError", "no luck"))
            return Answer(self.actor, lambda: [Ended("")])
        if self.steps <= 4:
            iteration = (0, 10, 20)[min(self.steps, 3) - 1]
            messages: list[Any] = [Evaluated(job.run.key, iteration, 20, {}) for job in self.jobs]
            if self.steps == 4:
                self.end()
                messages = [Ended("")]
            else:
                self.write("running", iteration)
            return Answer(self.actor, lambda: messages)
        raise StopIteration

    def end(self) -> None:
        """Write how the runs ended; the share, less what CUDA needs, limits their memory."""
        share = self.actor.order.gpu_share
        limit = TOTAL_MB * min(1.0, share) - (OUTSIDE_MB if share < 1 else 0)
        status = "finished" if self.memory() <= limit else "failed"
        error = ErrorRecord("OutOfMemoryError", "CUDA out of memory") if status == "failed" else None
        self.write(status, 20, error)
        run = self.jobs[0].run
        seeds = tuple(job.run.seed for job in self.jobs)
        self.actor.ray.executions.append(Execution(run.label, seeds, share, status))

    def memory(self) -> float:
        """MiB that the runs reserve together."""
        return sum(self.actor.ray.memory(job) for job in self.jobs)

    def write(self, status: Any, iteration: int, error: ErrorRecord | None = None) -> None:
        """Write records of the runs."""
        used = self.memory() * (0.1 if iteration == 0 else 1.0)  # before the first iteration nothing is trained
        ledger = Ledger(plan=ExecutionPlan(stack=len(self.jobs)), gpu_memory=GpuMemory(used, TOTAL_MB))
        for job in self.jobs:
            record: RunRecord = start_record(replace(job, device="cpu"), registry(), None)
            RunFolder(Path(job.folder)).write(
                replace(record, status=status, iteration=iteration, error=error, ledger=ledger)
            )


@dataclass
class FakeRay:
    """The module `ray`, connected to a cluster.

    Attributes:
        memory: MiB that a run reserves.
        gpus: number of nodes, each with one GPU.
        broken: seeds of runs that raise an exception before their first iteration.
        actors: all that were created.
        executions: in the order of their ends.
        waited: numbers of actors that had no GPU at first.
        most: largest number of actors at the same time.
        notes, ends: what the engine has reported, for the test that sets them.
    """

    memory: Callable[[Job], float]
    gpus: int = 1
    broken: Sequence[int] = ()
    actors: list[Actor] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    waited: set[int] = field(default_factory=set)
    most: int = 0
    notes: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError))

    def get_runtime_context(self) -> SimpleNamespace:
        """Describe the connection."""
        return SimpleNamespace(gcs_address="127.0.0.1:1")

    def nodes(self) -> list[dict[str, Any]]:
        """Describe the nodes."""
        resources = {"CPU": 64.0, "GPU": 1.0}
        return [{"NodeID": f"node-{i}", "Alive": True, "Resources": resources} for i in range(self.gpus)]

    def remote(self, *, num_gpus: float, **options: Any) -> Callable[[type[Any]], Any]:
        """Return a decorator of classes of actors."""

        def create(order: SlotOrder) -> Actor:
            self.actors.append(Actor(self, len(self.actors), num_gpus, order))
            return self.actors[-1]

        return lambda cls: SimpleNamespace(remote=create)

    def wait(self, refs: Sequence[Any], *, num_returns: int = 1, timeout: float = 0) -> tuple[list[Any], list[Any]]:
        """Place actors, and return references that are ready and others."""
        self._place()
        ready = [ref for ref in refs if ref.actor.gpu is not None][:num_returns]
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref: Answer) -> Any:
        """Return the value of a reference."""
        return ref.value()

    def kill(self, actor: Actor) -> None:
        """End an actor."""
        actor.alive, actor.gpu = False, None

    def _place(self) -> None:
        for actor in self.actors:
            if actor.alive and actor.gpu is None:
                free = (gpu for gpu in range(self.gpus) if self._occupied(gpu) + actor.share <= 1 + 1e-9)
                actor.gpu = next(free, None)
                if actor.gpu is None:
                    self.waited.add(actor.number)
        self.most = max(self.most, sum(actor.gpu is not None for actor in self.actors))

    def _occupied(self, gpu: int) -> float:
        return sum(actor.share for actor in self.actors if actor.gpu == gpu)
