"""Execution of runs from their last checkpoints to the end: a single run, or a stack of seeds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from gan_bench.contracts.events import Report
from gan_bench.contracts.run import Job
from gan_bench.evaluation.evaluate import check_finite, draw
from gan_bench.files import guarded
from gan_bench.plugins.registry import Registry
from gan_bench.running.active_run import ActiveRun
from gan_bench.running.batch import RunBatch, begin, group_by_iteration, set_up
from gan_bench.running.run_process import process_for
from gan_bench.running.stored_model import load_trainer
from gan_bench.store.attempts import fence, tokens
from gan_bench.store.records import CheckRecord
from gan_bench.store.run_folder import RunFolder


def execute(job: Job, registry: Registry, report: Report, stop: Callable[[], bool]) -> str:
    """Execute a run and record how it ended: "finished", "interrupted", "diverged" or "failed".

    Args:
        report: receives the events of the run.
        stop: called before each iteration; True checkpoints and ends the run as interrupted.
    """
    return execute_stack([job], registry, report, stop)[0]


def execute_stack(jobs: Sequence[Job], registry: Registry, report: Report, stop: Callable[[], bool]) -> list[str]:
    """Execute the seeds of one configuration together, each as by `execute`; return how each ended, in order.

    Seeds that cannot be stacked are executed one after the other.
    """
    with guarded(fence(tokens(jobs))):
        if jobs[0].check:
            return _check(jobs, registry, report, stop)
        return [member.status for member in _members(jobs, registry, report, stop)]


def _check(jobs: Sequence[Job], registry: Registry, report: Report, stop: Callable[[], bool]) -> list[str]:
    """Execute runs of a check; record whether they resumed and can be sampled."""
    half = jobs[0].run.protocol.iterations // 2
    calls = itertools.count()
    # Interrupt half way, so that the runs can finish only if they resume.
    members = _members(jobs, registry, report, lambda: next(calls) >= half or stop())
    if any(member.status == "interrupted" for member in members) and not stop():
        members = _members(jobs, registry, report, stop)
    for member in members:
        sample_error = _sample_error(member.job, registry) if member.status == "finished" else None
        if member.begun:
            member.update_record(check=CheckRecord(member.resumed_from, sample_error))
            member.folder.write(member.record)
    return [member.status for member in members]


def _sample_error(job: Job, registry: Registry) -> str:
    """Draw a few samples from the stored run; return the error, or an empty string."""
    try:
        trainer = load_trainer(RunFolder(Path(job.folder)), registry, job.device)
        check_finite(trainer, draw(trainer, 2 * trainer.model.generators, seed=0))
    except Exception as error:  # a plugin may raise anything
        return f"{type(error).__name__}: {error}"
    return ""


def _members(jobs: Sequence[Job], registry: Registry, report: Report, stop: Callable[[], bool]) -> list[ActiveRun]:
    """Execute jobs until they end or `stop` returns True."""
    with process_for(jobs[0]) as process:
        members = [ActiveRun(job, registry, report) for job in jobs]
        ready = [member for member in members if begin(member) and set_up(member)]
        for group in group_by_iteration(ready):
            RunBatch(group, stop, process).run()
    return members
