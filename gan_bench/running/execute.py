"""Carrying out runs, from wherever their folders say they got to, to their ends: one, or the seeds of one stacked."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch

from gan_bench.acceleration import compilation
from gan_bench.acceleration.compilation import Compiler, as_traced, compile_iterations
from gan_bench.acceleration.cuda_graphs import captured, free_memory
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError, out_of_memory
from gan_bench.contracts.events import Report
from gan_bench.contracts.run import Job
from gan_bench.errors import Diverged
from gan_bench.evaluation.evaluate import check_finite, draw
from gan_bench.plugins.registry import Registry
from gan_bench.running.active_run import Member
from gan_bench.running.stored_model import load_trainer
from gan_bench.store.checkpoints import save_checkpoints
from gan_bench.store.records import CheckRecord
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.precision import set_precision

REPORT_SECONDS = 0.5


def execute(job: Job, registry: Registry, report: Report, stop: Callable[[], bool]) -> str:
    """Carry out a run and record how it ended: "finished", "interrupted", "diverged" or "failed".

    Args:
        report: told of progress and evaluations, as plain dictionaries with the `key` of the run.
        stop: asked before each iteration; True checkpoints and ends the run as interrupted.
    """
    return execute_stack([job], registry, report, stop)[0]


def execute_stack(jobs: Sequence[Job], registry: Registry, report: Report, stop: Callable[[], bool]) -> list[str]:
    """Carry out the seeds of one configuration together, each as `execute` would; how each ended, in their order.

    Where they cannot be stacked they are carried out one after the other.
    """
    if jobs[0].check:
        return _check(jobs, registry, report, stop)
    return [member.status for member in _members(jobs, registry, report, stop)]


def _check(jobs: Sequence[Job], registry: Registry, report: Report, stop: Callable[[], bool]) -> list[str]:
    """Carry out runs that only check that everything works; record whether they resumed and can be sampled."""
    half = jobs[0].run.protocol.iterations // 2
    asked = itertools.count()
    # An interruption half way, so that the runs can finish only if they resume.
    members = _members(jobs, registry, report, lambda: next(asked) >= half or stop())
    if any(member.status == "interrupted" for member in members) and not stop():
        members = _members(jobs, registry, report, stop)
    for member in members:
        sample_error = _sample_error(member.job, registry) if member.status == "finished" else None
        member.update_record(check=CheckRecord(member.resumed_from, sample_error))
        member.folder.write(member.record)
    return [member.status for member in members]


def _sample_error(job: Job, registry: Registry) -> str:
    """Draw a few samples from the stored run; return why that failed, or an empty string."""
    try:
        trainer = load_trainer(RunFolder(Path(job.folder)), registry, job.device)
        check_finite(trainer, draw(trainer, 2 * trainer.model.generators, seed=0))
    except Exception as error:  # a plugin may raise anything
        return f"{type(error).__name__}: {error}"
    return ""


def _members(jobs: Sequence[Job], registry: Registry, report: Report, stop: Callable[[], bool]) -> list[Member]:
    """Carry out jobs to the end or until asked to stop."""
    torch.set_num_threads(jobs[0].threads)
    set_precision(jobs[0].run.protocol.precision)
    members = [Member(job, registry, report) for job in jobs]
    for member in members:
        member.begin()
    ready = [member for member in members if _set_up(member)]
    for group in _together(ready):
        _Course(group, stop).carry_out()
    return members


def _set_up(member: Member, at: int | None = None) -> bool:
    """Whether the member is ready to go on; what a plugin raises ends it."""
    try:
        member.set_up(at)
    except Exception as error:
        _end(member, error)
        return False
    return True


def _end(member: Member, error: Exception) -> None:
    """A run that did not get to its end; the other runs go on."""
    member.end("diverged" if isinstance(error, Diverged) else "failed", error)


def _together(members: Sequence[Member]) -> Iterator[list[Member]]:
    """Members at the same iteration: those ahead go back by a checkpoint where that is enough.

    Checkpoints of a stack reach its folders one after the other, so that a kill may leave some a checkpoint behind.
    """
    first = min((member.trainer.iteration for member in members), default=0)
    for member in members:
        ahead = first < member.trainer.iteration < member.last  # a finished run is not trained again
        if ahead and first in member.folder.iterations():
            _set_up(member, at=first)
            if member.status == "running" and member.trainer.iteration != first:  # it was damaged
                _set_up(member)

    def reached(member: Member) -> int:
        return member.trainer.iteration

    for _, group in groupby(sorted((m for m in members if m.status == "running"), key=reached), reached):
        yield list(group)


@dataclass(frozen=True)
class _Way:
    """A way to carry out iterations; without a compiler they are not even traced."""

    compiler: Compiler | None
    compiled: bool = False
    graph: bool = False

    @property
    def failed(self) -> str:
        """What a run is that could not be carried out so."""
        return "uncompiled" if self.compiled else "without a CUDA graph"


EAGER = _Way(None)
TRACED = _Way(as_traced)


class _Course:
    """Members at the same iteration on their way to the end.

    Attributes:
        members: those that have not ended.
    """

    def __init__(self, members: Sequence[Member], stop: Callable[[], bool]) -> None:
        self.members, self.stop = list(members), stop
        self.precision = members[0].job.run.protocol.precision
        self.stack: Stack | None = None

    def carry_out(self) -> None:
        """To the end of each, whatever it is."""
        if not self._fits():
            self._halve()

    def _fits(self) -> bool:
        """Carry out; False where several members together need more memory than there is."""
        try:
            self._go()
        except Exception as error:  # recorded; the other runs go on
            if out_of_memory(error) and len(self.members) > 1:
                return False
            for member in self.members:
                _end(member, error)
        return True

    def _go(self) -> None:
        if len(self.members) > 1 and not self._stacked():
            self._one_by_one([[member] for member in self.members])
            return
        if len(self.members) == 1:
            self._alone(self.members[0])
        while True:
            self._evaluate()
            for member in [m for m in self.members if m.trainer.iteration >= m.last]:
                self._leave(member).end("finished")
            if not self.members:
                return
            if not self._train_until_due():
                self._checkpoint()
                for member in self.members:
                    member.end("interrupted")
                return

    def _one_by_one(self, groups: Sequence[Sequence[Member]]) -> None:
        for group in groups:
            _Course(group, self.stop).carry_out()
            free_memory()

    def _halve(self) -> None:
        """Two stacks of half the size, one after the other, from the last checkpoint."""
        members, self.stack = self.members, None
        half = (len(members) + 1) // 2
        for member in members:
            member.warn(f"{len(members)} seeds at once need more memory than there is: {half} at a time from here on.")
            member.forget()
        free_memory()
        ready = [member for member in members if _set_up(member)]
        groups = list(_together(ready))
        self._one_by_one([part for group in groups for part in (group[:half], group[half:]) if part])

    # --- how iterations are carried out ---------------------------------------------------------------------

    def _alone(self, member: Member) -> None:
        """Settle how one run is carried out; one that is at its end is not."""
        if member.trainer.iteration >= member.last and member.record.plans:
            return
        way = self._choose(lambda compiler: compile_iterations(member.trainer, member.warn, compiler), EAGER)
        if way is not None:
            member.settle_plan(compiled=way.compiled, graph=way.graph, stack=1)

    def _stacked(self) -> bool:
        """Stack the members; False where they have to go on one by one, which is told."""
        first, trainers = self.members[0], [member.trainer for member in self.members]
        if first.trainer.iteration >= first.last:
            return False

        def make(compiler: Compiler) -> None:
            self.stack = Stack(trainers, compiler, first.warn)

        try:
            way = self._choose(make, TRACED)
        except NotCompilableError as error:
            first.warn(f"Its seeds run one by one: {error}.")
            return False
        if way is not None:
            for member in self.members:
                member.settle_plan(compiled=way.compiled, graph=way.graph, stack=len(self.members))
        return True

    def _choose(self, make: Callable[[Compiler], None], last: _Way) -> _Way | None:
        """The first way in which iterations can be carried out; None where asked to stop.

        Raises:
            NotCompilableError: not even in the last one.
        """
        started = time.perf_counter()
        try:
            for way in self._ways():
                try:
                    self._try(make, way)
                    return way
                except NotCompilableError as error:
                    if self.stop():  # the signal ends the C++ compiler as well: nothing is settled
                        return None
                    self.members[0].warn(f"It runs {way.failed}: {error}.")
            if last.compiler is not None:
                make(last.compiler)
            return last
        finally:
            spent = (time.perf_counter() - started) / len(self.members)
            for member in self.members:
                member.progress.compile_seconds += spent

    def _try(self, make: Callable[[Compiler], None], way: _Way) -> None:
        assert way.compiler is not None
        if way.compiled:
            for member in self.members:
                member.report_compiling()
        make(way.compiler)

    def _ways(self) -> Iterator[_Way]:
        """From the fastest on."""
        member = self.members[0]
        recorded = member.job.device == "cuda" and member.trainer.trains
        if member.wants_compiled():
            compiler = compilation.compiled
            yield _Way(captured(compiler) if recorded else compiler, compiled=True, graph=recorded)
        if recorded:
            yield _Way(captured(as_traced), compiled=False, graph=True)

    def _advance(self) -> None:
        """One iteration of every member."""
        if self.stack is None:
            self.members[0].trainer.iterate()
            return
        self.stack.iterate()
        for member in [m for m in self.members if m.trainer in self.stack.diverged]:
            _end(self._leave(member), self.stack.diverged[member.trainer])

    def _leave(self, member: Member) -> Member:
        """A member that goes no further; the others do."""
        self.members.remove(member)
        if self.stack is not None:
            self.stack.leave(member.trainer)
        return member

    # --- what happens on the way ----------------------------------------------------------------------------

    def _train_until_due(self) -> bool:
        """Iterate up to the next evaluation; False where asked to stop before it."""
        started = said = time.perf_counter()
        everybody, leader = tuple(self.members), self.members[0]
        schedule, first = leader.job.schedule, leader.trainer.iteration
        special = schedule.expensive_at(leader.last)
        stopped = False
        while self.members:
            if self.stop():
                stopped = True
                break
            self._advance()
            if not self.members:
                break
            now, t = time.perf_counter(), self.members[0].trainer.iteration
            if now - said > REPORT_SECONDS:
                self._say((t - first) / (now - started))
                said = now
            if t % schedule.every == 0 or t in special:
                break
        if self.stack is not None and self.members:
            self.stack.settle()
        if leader.job.device == "cuda":
            torch.cuda.synchronize()
        for member in everybody:
            member.progress.train_seconds += (time.perf_counter() - started) / len(everybody)
        return not stopped

    def _say(self, rate: float) -> None:
        for member in self.members:
            member.report_progress(self.members[0].trainer.iteration, rate)

    def _evaluate(self) -> None:
        """Score the members where they are due, then write a checkpoint of them."""
        due = [member for member in self.members if member.due]
        set_precision("float32")
        try:
            for member in due:
                self._score(member)
        finally:
            set_precision(self.precision)
        scored = [member for member in due if member in self.members]
        if scored:
            self._checkpoint()
        for member in scored:
            member.evaluated()

    def _score(self, member: Member) -> None:
        try:
            member.evaluate()
        except Exception as error:
            if out_of_memory(error) and len(self.members) > 1:
                raise  # fewer members leave more room
            _end(self._leave(member), error)

    def _checkpoint(self) -> None:
        """Of all members that go on, in one file."""
        save_checkpoints({member.folder.path: member.checkpoint() for member in self.members})
        for member in self.members:
            member.checkpointed()
