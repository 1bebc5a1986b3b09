"""The engine ray: runs on the nodes of a Ray cluster.

Each place for a run is an actor with a `Slot`, which owns a worker process. Ray chooses the nodes. This engine decides
which run a slot receives, and what happens to the runs of a slot that is lost.

- A slot receives a run only after it has answered `hello`, with the same storage, versions, code and data as the
  command's. One that differs is refused. How files of runs come into the results folder is in `storage`.
- Before a run is given to a slot, a new attempt of it begins. A slot that was thought to be lost writes nothing more.
- Which lost runs are repeated, and where, is in `groups`; which share of a GPU a slot has, in `shares`.
- Ray restarts no actor (`max_restarts=0`): the engine creates another one after a pause, so that each retry is counted.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gan_bench.contracts.engine import Engine, Place, PlaceRequest, Setup
from gan_bench.contracts.events import Evaluated
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job
from gan_bench.errors import GanBenchError, RunError, UsageError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.engines.cluster.groups import Group, Groups, pause
from gan_bench.running.engines.cluster.members import Member
from gan_bench.running.engines.cluster.ray_cluster import (
    HeadNode,
    RayParams,
    capacity,
    connect,
    disconnect,
    gpus_of,
    needs,
)
from gan_bench.running.engines.cluster.ray_errors import cause_of, host_of, last_line
from gan_bench.running.engines.cluster.run_attempts import RunAttempts
from gan_bench.running.engines.cluster.shares import WHOLE, Shares, in_words, next_share, stored_records
from gan_bench.running.engines.cluster.shipped_plugins import pack
from gan_bench.running.engines.cluster.slot import Hello, Lost, Slot, SlotMessage, SlotOrder
from gan_bench.running.engines.cluster.snapshots import Snapshot
from gan_bench.running.engines.cluster.storage import (
    Delivery,
    SharedStorage,
    ShippedStorage,
    Storage,
    for_other_machines,
)
from gan_bench.running.engines.identity import Identity, differences, identify, question_about, remedy_for
from gan_bench.running.engines.interrupts import DeferredInterrupts
from gan_bench.running.engines.messages import Ended, Ready, Started
from gan_bench.running.provenance import command
from gan_bench.store.records import RunRecord

MOST_FAILURES = 6
"""Number of times in succession that a slot is lost without having completed a run, before it is given up."""

LOOK_SECONDS = 0.5
"""Seconds between two looks whether Ctrl-C was pressed or a pause is over, if nothing is received."""

WAIT_SECONDS = 30.0
"""Seconds without any slot after which a message is shown."""

GPU_SECONDS = 10.0
"""Seconds between two looks at the number of GPUs."""

CLOSE_SECONDS = 5.0
"""Seconds that slots have to remove their files."""

GRACE_SECONDS = 30.0
"""Seconds that runs have for their checkpoints after Ctrl-C."""


class RaySlot(Slot):
    """A slot in an actor of Ray."""

    def hello(self) -> Hello:
        """Describe the worker process and the node."""
        import ray

        return replace(super().hello(), node=ray.get_runtime_context().get_node_id())


class RayEngine(Engine):
    """Nodes of a Ray cluster, with a process for each active run."""

    name = "ray"
    Params = RayParams

    @classmethod
    def place(cls, request: PlaceRequest, params: RayParams) -> Place:
        """Return the room on the cluster's nodes."""
        return capacity(connect(params.address).nodes(), params, request)

    def __init__(self, setup: Setup, observer: Observer) -> None:
        super().__init__(setup, observer)
        self._shares = Shares()
        self._waiting = Groups([])
        self._gpus, self._gpus_since = math.inf, -math.inf
        self._attempts = RunAttempts(observer)
        self._storage: Storage = ShippedStorage()
        self._members: list[Member] = []
        self._interrupts = DeferredInterrupts()
        self._stopping = False
        self._device = "cpu"
        self._lonely_since = time.monotonic()
        self._noted: set[str] = set()

    def run(self, jobs: Sequence[Job]) -> bool:
        """Execute all jobs; return False if Ctrl-C stopped them after their checkpoints were written."""
        self._ray = connect(self.params.address)
        self._head = HeadNode(self._ray.get_runtime_context().gcs_address)
        self._device = jobs[0].device if jobs else "cpu"
        self._shares = self._shares_of(jobs)
        self._waiting = Groups(jobs, shares=self._shares)
        with DeferredInterrupts() as self._interrupts:
            try:
                self._prepare(jobs)
                self._members = [Member(number) for number in range(min(self.setup.workers, len(self._waiting)))]
                while self._waiting or self._busy():
                    self._step()
                self._interrupts.deliver()
                return True
            except KeyboardInterrupt:
                self._stop()
                return False
            except Exception:
                self._stop()
                raise
            finally:
                self._close()

    def _shares_of(self, jobs: Sequence[Job]) -> Shares:
        """Shares of a GPU; measured ones begin with the finished runs of earlier commands."""
        if self._device != "cuda":
            return Shares()
        shares = Shares(self.params.fixed_share)
        if shares.automatic:
            wanted = {job.run.configuration for job in jobs}
            shares.add_stored(stored_records(self.setup.results, wanted))
            groups = Groups(jobs)
            known = sum(shares.is_known(group.jobs[0].run.configuration, len(group.jobs)) for group in groups)
            self.observer.note(f"GPU shares are measured: known for {known} of {len(groups)} groups of runs.")
        return shares

    def _open_storage(self) -> Storage:
        """Return where runs write: the folder that the nodes see, or files that they send."""
        results = self.setup.results
        if self.params.storage == "shipped":
            return ShippedStorage()
        there = str(Path(self.params.results) / results.name) if self.params.results else str(results)
        return SharedStorage(results, there)

    def _prepare(self, jobs: Sequence[Job]) -> None:
        """Open the storage, and determine what slots are created with and have to answer."""
        self._storage = self._open_storage()
        shipment, question = pack(self.setup.plugin_places), question_about(jobs, fetch=self.params.fetch)
        for path in shipment.left_out:
            self.observer.note(f"{path} is too large to be sent to the nodes.")
        self._expected = identify(load_plugins(self.setup.plugin_places), question)
        self._order = SlotOrder(
            self._storage.order, shipment, question, command(), self.params.data, scratch=self.params.scratch
        )

    # --- the loop -------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Wait for what slots send, and handle it. Raises KeyboardInterrupt between two messages."""
        self._interrupts.deliver()
        now = time.monotonic()
        if not self._stopping:
            self._head.require()
            for member in self._members:
                if member.idle:
                    self._give(member)
            self._adjust_slots(now)
        self._require_members(now)
        waits = {member.waits: member for member in self._members if member.waits is not None}
        if not waits:
            time.sleep(LOOK_SECONDS / 5)
            return
        ready, rest = self._ray.wait(list(waits), num_returns=1, timeout=LOOK_SECONDS)
        if ready and rest:
            ready += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        for each in ready:
            self._interrupts.deliver()
            self._receive(waits[each])

    def _busy(self) -> list[Member]:
        return [member for member in self._members if member.group is not None]

    def _require_members(self, now: float) -> None:
        """Report that no slot has answered for a while. Raises RunError if none is left."""
        if any(member.node for member in self._members):
            self._lonely_since = now
        elif now > self._lonely_since + WAIT_SECONDS:
            self._note(f"No slot of the Ray cluster has answered for {WAIT_SECONDS:.0f} s. Waiting for free nodes.")
        if self._waiting and not self._members:
            raise RunError(
                "No slot of the Ray cluster is left: all were lost repeatedly or refused. The same command continues "
                "from the last checkpoints."
            )

    def _adjust_slots(self, now: float) -> None:
        """Retire slots that no waiting group fits, and create those that waiting groups need."""
        if not self._waiting or all(member.group is not None for member in self._members):
            return
        waiting = self._waiting.by_share()
        for member in self._members:
            if member.actor is not None and member.group is None and member.share not in waiting:
                self._retire(member)
        slots = Counter(member.share for member in self._members if member.actor is not None)
        free = Counter(m.share for m in self._members if m.actor is not None and m.group is None)
        for member in self._members:
            if member.actor is None and member.due <= now:
                share = next_share(waiting, slots, free, self._number_of_gpus(now))
                if share is None:
                    return
                member.share = share
                self._create(member)
                slots[share] += 1
                free[share] += 1

    def _number_of_gpus(self, now: float) -> float:
        """GPUs of the cluster if they limit the number of slots; else it follows from the number of workers."""
        if self._shares.automatic and now > self._gpus_since + GPU_SECONDS:
            self._gpus, self._gpus_since = gpus_of(self._ray.nodes()), now
        return self._gpus

    def _create(self, member: Member) -> None:
        """Create the actor of a place and ask it to describe itself."""
        need = needs(self.params, self._device, member.share)
        order = replace(self._order, gpu_share=member.share)
        options = {
            "num_cpus": need["CPU"],
            "num_gpus": need.get("GPU", 0),
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": self._strategy(member),
            "concurrency_groups": {"control": 1},
        }
        member.actor = self._ray.remote(**options)(RaySlot).remote(order)
        member.waits = member.actor.hello.remote()

    def _strategy(self, member: Member) -> Any:
        """Strategy by which Ray places an actor: spread over the nodes, and after a loss on another node."""
        need = needs(self.params, self._device, member.share)
        others = [
            node["NodeID"]
            for node in (self._ray.nodes() if member.lost_on else ())
            if node["Alive"] and node["NodeID"] != member.lost_on
            if all(node["Resources"].get(name, 0) >= value for name, value in need.items())
        ]
        if not others:
            return "SPREAD"
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = others[member.number % len(others)]
        return NodeAffinitySchedulingStrategy(node, soft=True, _spill_on_unavailable=True)

    def _receive(self, member: Member) -> None:
        """Handle the answer to `hello`, or the next messages of the stream, of one slot."""
        if member.group is None:
            self._greet(member)
            return
        try:
            messages = self._ray.get(next(member.waits))
        except StopIteration:
            self._end_of_stream(member)
        except self._ray.exceptions.RayError as error:
            self._lose(member, cause_of(error))
        else:
            for message in messages:
                self._handle(member, message)
            if member.ended is not None:  # without a wait for the end of the stream, which follows
                self._end_of_stream(member)

    def _greet(self, member: Member) -> None:
        """Accept or refuse a slot that has answered `hello`, or could not."""
        answer, member.waits = member.waits, None
        try:
            hello: Hello = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, GanBenchError):  # with a remedy
                self._refuse(member, f"a slot cannot start: {error.cause}", "")
            else:
                self._refuse(member, f"a slot cannot start: {cause_of(error)}", "See the messages of Ray on its node.")
            return
        except self._ray.exceptions.RayError as error:
            if getattr(error, "actor_init_failed", False):
                member.host = host_of(error)
                reason = f"a slot cannot be created there ({last_line(error)})"
                self._refuse(member, reason, "Install the same version of gan-bench on all nodes.")
            else:
                self._lose(member, cause_of(error))
            return
        member.host, member.node = hello.host, hello.node
        if refusal := self._storage.refusal(hello.nonce):
            self._refuse(member, *refusal)
        elif found := differences(self._expected, hello.identity):
            self._refuse(member, "; ".join(found), remedy_for(found))
        else:
            member.refusable = False
            self._give(member)

    def _refuse(self, member: Member, reason: str, remedy: str) -> None:
        """Do without a slot. Raises UsageError if it is one of the first."""
        text = f"Slot {member.number} on {member}: {reason.rstrip('.')}. {remedy}".rstrip()
        self._kill(member)
        self._members.remove(member)
        if member.refusable:
            raise UsageError(text)
        self.observer.note(f"{text} It is not used.")

    # --- runs -----------------------------------------------------------------------------------------------

    def _give(self, member: Member) -> None:
        """Give a free slot the next jobs, if there are any for it."""
        nodes = {each.node for each in self._members if each.node and each.share == member.share}
        measuring = {
            each.group.jobs[0].run.configuration for each in self._members if each.group and self._measures(each)
        }
        while (group := self._waiting.take(member.node, nodes, share=member.share, measuring=measuring)) is not None:
            begun = [self._attempts.begin(job, str(member), group.cause) for job in group.jobs]
            jobs = [job for job in begun if job is not None]
            if jobs:
                member.group, member.ended = replace(group, jobs=tuple(jobs)), None
                sent, files = self._sent(jobs)
                member.waits = member.actor.carry_out.options(num_returns="streaming").remote(sent, files)
                return

    def _sent(self, jobs: Sequence[Job]) -> tuple[list[Job], Delivery]:
        """Jobs, and the files that they need, as a slot receives them."""
        return [for_other_machines(job, self.setup.results) for job in jobs], self._storage.send(jobs)

    def _measures(self, member: Member) -> bool:
        """Whether the memory of the group of a slot is measured."""
        return self._shares.automatic and member.share == WHOLE

    def _measure(self, member: Member, group: Group, record: RunRecord | None) -> None:
        """Take over the memory in the record of a run; its configuration may then have a share."""
        memory = record.ledger.gpu_memory if record is not None and record.ledger is not None else None
        if record is None or memory is None or record.status == "failed" or not self._measures(member):
            return  # a run that has failed may have ended before it needed its memory
        seeds = len(group.jobs)
        if self._shares.measure(record.configuration, seeds, memory):
            share = in_words(self._shares.of(record.configuration, seeds))
            name = group.jobs[0].run.label + (f" with {seeds} seeds" if seeds > 1 else "")
            used = f"{memory.reserved_mb:,.0f} of {memory.total_mb:,.0f} MiB of a GPU"
            self.observer.note(f"{name} has reserved {used}. Further runs reserve {share}.")

    def _handle(self, member: Member, message: SlotMessage) -> None:
        assert member.group is not None
        match message:
            case Ended() | Lost():
                member.ended = message.detail or ""
                if isinstance(message, Lost):
                    member.failures += 1
                    self._note(f"Slot {member.number} on {member}: {message.detail.rstrip('.')}.")
            case Snapshot():
                self._storage.receive(message, member.group.jobs)
            case Ready() | Started() | Identity():
                pass
            case _:
                run = next((job.run for job in member.group.jobs if job.run.key == message.key), None)
                if run is not None:  # else code of a plugin has written it
                    self.observer.receive(run, message)
                    if isinstance(message, Evaluated) and message.iteration and self._measures(member):
                        job = next(job for job in member.group.jobs if job.run is run)
                        self._measure(member, member.group, self._attempts.read(job))

    def _end_of_stream(self, member: Member) -> None:
        """Settle the jobs of a slot that has sent its last message, and give it the next ones."""
        group, member.group, member.waits = member.group, None, None
        assert group is not None
        lost = member.ended if member.ended is not None else "the slot ended its messages early"
        if self._settle(group, member, lost or "the process of the run ended early"):
            member.failures = 0
        if not self._stopping:
            self._give(member)

    def _lose(self, member: Member, cause: str) -> None:
        """Replace the actor of a place after a pause; its jobs are settled."""
        group, member.group = member.group, None
        self._kill(member)
        member.failures += 1
        member.due = time.monotonic() + pause(member.failures)
        if group is not None:
            self._settle(group, member, cause)
            self.observer.note(f"Slot {member.number} on {member} was lost: {cause}.")
        member.lost_on, member.host, member.node = member.node, "", ""
        if member.failures > MOST_FAILURES:
            self._members.remove(member)
            self.observer.note(f"Slot {member.number} is given up after {member.failures} losses: {cause}.")

    def _settle(self, group: Group, member: Member, cause: str) -> bool:
        """Report the jobs that have ended, and let others wait for another attempt; return whether all have ended."""
        lost, short, iterations = [], [], [0]
        for job in group.jobs:
            record = None if self._stopping else self._attempts.read(job)
            self._measure(member, group, record)
            if self._stopping:
                self._attempts.end(job, cause)
            elif record is not None and self._waiting.can_have_more_memory(group, record, member.share):
                short.append(job)
            elif record is not None and record.status in ("finished", "diverged", "failed"):
                self._attempts.report(job, record)
            else:
                lost.append(job)
                iterations.append(record.iteration if record is not None else 0)
        if lost and not self._waiting.repeat(group, lost, max(iterations), member.node, cause):
            for job in lost:
                self._attempts.give_up(job, cause)
        if short:
            self._waiting.give_more_memory(group, short, member.share)
        return not lost

    # --- ends -----------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Stop every run after a checkpoint and handle the last messages; a second Ctrl-C kills the runs."""
        self._stopping = True
        self._waiting.clear()
        if self._busy():
            self.observer.stopping()
        for member in self._members:
            if member.group is None:
                self._kill(member)
            else:
                with suppress(Exception):  # a slot that is lost by now
                    member.actor.stop.options(concurrency_group="control").remote()
        until = time.monotonic() + GRACE_SECONDS
        with suppress(KeyboardInterrupt):
            while self._busy() and time.monotonic() < until:
                self._step()
        for member in self._busy():
            group, member.group = member.group, None
            self._kill(member)
            for job in group.jobs if group is not None else ():
                self._attempts.end(job, "stopped by the command before it had written its checkpoint")

    def _kill(self, member: Member) -> None:
        """End the actor of a place, whatever it does; its worker process ends with it."""
        actor, member.actor, member.waits = member.actor, None, None
        if actor is not None:
            with suppress(Exception):  # it is lost already
                self._ray.kill(actor)

    def _retire(self, member: Member) -> None:
        """End the actor of a place that executes nothing, so that another one can have its resources."""
        if member.idle:
            with suppress(Exception):  # it is lost by now
                self._ray.wait([member.actor.close.remote()], timeout=CLOSE_SECONDS)
        self._kill(member)
        member.host, member.node = "", ""

    def _close(self) -> None:
        self._storage.close()
        closing = [member for member in self._members if member.idle]
        with suppress(Exception):  # the cluster may have ended
            refs = [member.actor.close.remote() for member in closing]
            self._ray.wait(refs, num_returns=len(refs), timeout=CLOSE_SECONDS) if refs else None
        for member in self._members:
            self._kill(member)
        disconnect()

    def _note(self, text: str) -> None:
        """Report something once."""
        if text not in self._noted:
            self._noted.add(text)
            self.observer.note(text)
