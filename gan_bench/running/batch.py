"""Runs at the same iteration, executed together until they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch

from gan_bench.acceleration.cuda_graphs import free_memory
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import out_of_memory
from gan_bench.errors import Diverged
from gan_bench.running.active_run import ActiveRun
from gan_bench.running.execution_modes import settle_single, stack_seeds
from gan_bench.store.checkpoints import save_checkpoints
from gan_bench.training.precision import set_precision

REPORT_SECONDS = 0.5


def set_up(member: ActiveRun, at: int | None = None) -> bool:
    """Set a member up and return True; if a plugin raises, record the error, end the member and return False."""
    try:
        member.set_up(at)
    except Exception as error:
        end_with(member, error)
        return False
    return True


def end_with(member: ActiveRun, error: Exception) -> None:
    """Record the error that ended a run; the other runs continue."""
    member.end("diverged" if isinstance(error, Diverged) else "failed", error)


def group_by_iteration(members: Sequence[ActiveRun]) -> Iterator[list[ActiveRun]]:
    """Yield members at the same iteration; members that are ahead load an earlier checkpoint if that suffices.

    Checkpoints of a stack are written to its folders one after the other. After a kill, some may lack the newest one.
    """
    first = min((member.trainer.iteration for member in members), default=0)
    for member in members:
        ahead = first < member.trainer.iteration < member.last  # a finished run is not trained again
        if ahead and first in member.folder.iterations():
            set_up(member, at=first)
            if member.status == "running" and member.trainer.iteration != first:  # the checkpoint was damaged
                set_up(member)

    def reached(member: ActiveRun) -> int:
        return member.trainer.iteration

    for _, group in groupby(sorted((m for m in members if m.status == "running"), key=reached), reached):
        yield list(group)


class RunBatch:
    """Members at the same iteration, executed together.

    Attributes:
        members: those that have not ended.
    """

    def __init__(self, members: Sequence[ActiveRun], stop: Callable[[], bool]) -> None:
        self.members, self.stop = list(members), stop
        self.precision = members[0].job.run.protocol.precision
        self.stack: Stack | None = None

    def run(self) -> None:
        """Execute the members until each has ended, with any status."""
        if not self._fits():
            self._halve()

    def _fits(self) -> bool:
        """Run the batch; return False if several members together do not fit in memory."""
        try:
            self._run_to_end()
        except Exception as error:  # recorded; the other runs continue
            if out_of_memory(error) and len(self.members) > 1:
                return False
            for member in self.members:
                end_with(member, error)
        return True

    def _run_to_end(self) -> None:
        if len(self.members) == 1:
            settle_single(self.members[0], self.stop)
        else:
            self.stack, stackable = stack_seeds(self.members, self.stop)
            if not stackable:
                self._one_by_one([[member] for member in self.members])
                return
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

    def _one_by_one(self, groups: Sequence[Sequence[ActiveRun]]) -> None:
        for group in groups:
            RunBatch(group, self.stop).run()
            free_memory()

    def _halve(self) -> None:
        """Split into two stacks of half the size, executed one after the other from the last checkpoint."""
        members, self.stack = self.members, None
        half = (len(members) + 1) // 2
        for member in members:
            member.reporter.warn(
                f"Out of memory with {len(members)} seeds in one stack. Continuing with at most {half} at a time."
            )
            member.forget()
        free_memory()
        ready = [member for member in members if set_up(member)]
        groups = list(group_by_iteration(ready))
        self._one_by_one([part for group in groups for part in (group[:half], group[half:]) if part])

    # --- iterations -----------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Execute one iteration of every member."""
        if self.stack is None:
            self.members[0].trainer.iterate()
            return
        self.stack.iterate()
        for member in [m for m in self.members if m.trainer in self.stack.diverged]:
            end_with(self._leave(member), self.stack.diverged[member.trainer])

    def _leave(self, member: ActiveRun) -> ActiveRun:
        """End a member; the others continue."""
        self.members.remove(member)
        if self.stack is not None:
            self.stack.leave(member.trainer)
        return member

    # --- evaluations and checkpoints ------------------------------------------------------------------------

    def _train_until_due(self) -> bool:
        """Iterate up to the next evaluation; return False if stopped before it."""
        started = last_report = time.perf_counter()
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
            if now - last_report > REPORT_SECONDS:
                self._report_progress((t - first) / (now - started))
                last_report = now
            if t % schedule.every == 0 or t in special:
                break
        if self.stack is not None and self.members:
            self.stack.settle()
        if leader.job.device == "cuda":
            torch.cuda.synchronize()
        for member in everybody:
            member.usage.train_seconds += (time.perf_counter() - started) / len(everybody)
        return not stopped

    def _report_progress(self, rate: float) -> None:
        for member in self.members:
            member.reporter.progress(self.members[0].trainer.iteration, member.last, rate)

    def _evaluate(self) -> None:
        """Evaluate the members that are due, then write a checkpoint of all."""
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
            t = member.trainer.iteration
            member.reporter.evaluated(t, member.last, member.evaluations.latest(t))

    def _score(self, member: ActiveRun) -> None:
        try:
            member.evaluate()
        except Exception as error:
            if out_of_memory(error) and len(self.members) > 1:
                raise  # fewer members need less memory
            end_with(self._leave(member), error)

    def _checkpoint(self) -> None:
        """Write the checkpoints of all active members, in one file."""
        save_checkpoints({member.folder.path: member.checkpoint() for member in self.members})
        for member in self.members:
            member.checkpointed()
