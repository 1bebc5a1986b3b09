"""Carrying out runs, from wherever their folders say they got to, to their ends: one, or the seeds of one stacked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from gan_bench.contracts.events import Report
from gan_bench.contracts.run import Job
from gan_bench.evaluation.evaluate import check_finite, draw
from gan_bench.plugins.registry import Registry
from gan_bench.running.active_run import ActiveRun
from gan_bench.running.batch import RunBatch, group_by_iteration, set_up
from gan_bench.running.stored_model import load_trainer
from gan_bench.store.records import CheckRecord
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.precision import set_precision


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


def _members(jobs: Sequence[Job], registry: Registry, report: Report, stop: Callable[[], bool]) -> list[ActiveRun]:
    """Carry out jobs to the end or until asked to stop."""
    torch.set_num_threads(jobs[0].threads)
    set_precision(jobs[0].run.protocol.precision)
    members = [ActiveRun(job, registry, report) for job in jobs]
    for member in members:
        member.begin()
    ready = [member for member in members if set_up(member)]
    for group in group_by_iteration(ready):
        RunBatch(group, stop).carry_out()
    return members
