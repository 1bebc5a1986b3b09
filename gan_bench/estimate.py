"""How long a benchmark will take here: from runs that are done, else from a probe of a few iterations."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from gan_bench.assembly import make_trainer
from gan_bench.job import Job
from gan_bench.plugins import Registry
from gan_bench.store import RunFolder
from gan_bench.training import Trainer

PROBE_WARMUP = 3
PROBE_ITERATIONS = 12


def seconds_of(jobs: Sequence[Job], todo: Sequence[Job], registry: Registry) -> dict[str, float]:
    """Estimated training seconds of each run to do, by key; NaN where a model fails to tell.

    A run that has begun counts what is left of it.
    """
    torch.set_num_threads(1)
    rates: dict[str, float] = {}
    for job in [*jobs, *todo]:
        rate = _stored(job)
        if rate is not None:
            rates[job.run.configuration] = rate
    estimates = {}
    for job in todo:
        if job.run.configuration not in rates:
            rates[job.run.configuration] = _probe(job, registry)
        estimates[job.run.key] = rates[job.run.configuration] * _left(job)
    return estimates


def _stored(job: Job) -> float | None:
    """Seconds an iteration of a run that has trained, on the same kind of device."""
    record = RunFolder(Path(job.folder)).read() or {}
    ledger = record.get("ledger") or {}
    if not record.get("iteration") or (ledger.get("device") == "cpu") != (job.device == "cpu"):
        return None
    return float(ledger["train_seconds"]) / int(record["iteration"])


def _left(job: Job) -> int:
    if job.run.model["anchor"]:
        return 0
    record = RunFolder(Path(job.folder)).read() or {}
    return int(job.run.protocol["iterations"]) - int(record.get("iteration") or 0)


def _probe(job: Job, registry: Registry) -> float:
    if job.run.model["anchor"]:
        return 0.0
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is not part of the answer
            return _timed(make_trainer(job.run, registry, job.device))
    except Exception:  # a plugin may raise anything; its run will tell
        return math.nan


def _timed(trainer: Trainer) -> float:
    for _ in range(PROBE_WARMUP):
        trainer.iterate()
    started = time.perf_counter()
    for _ in range(PROBE_ITERATIONS):
        trainer.iterate()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / PROBE_ITERATIONS
