"""jobs.json: the runs of a benchmark for workers on other machines, with what must be equal on each machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError
from gan_bench.files import read_file, require_inside, write_atomically
from gan_bench.store.leases import LEASES, Unit
from gan_bench.store.records import PluginFacts, RecordError, convert

QUEUE = "jobs.json"
LEASE_SECONDS = 60.0
"""Duration of a lease."""

SHORTEST_LEASE, LONGEST_LEASE = 1.0, 86_400.0
"""Limits of its duration."""

FORMAT = 1


@dataclass(frozen=True)
class JobQueue:
    """Contents of jobs.json.

    Attributes:
        stacks: jobs that one worker takes together; their folders are relative to the results folder.
        metrics: of the benchmark, in its order.
        versions: of gan-bench and torch.
        training_version: of the core that trains, see `planning.runs.TRAINING_VERSION`.
        plugins: origin and hash of the code of each model, dataset, network and metric that the runs use.
        host: the machine that has written the file.
        inode: number of the results folder; a copy of the folder has another one.
        lease_seconds: after this time without a renewal a lease has expired.
    """

    benchmark: str
    stacks: tuple[tuple[Job, ...], ...]
    metrics: tuple[str, ...]
    versions: Mapping[str, str]
    training_version: int
    plugins: tuple[PluginFacts, ...]
    host: str
    inode: int
    lease_seconds: float = LEASE_SECONDS
    format: int = FORMAT

    def units(self, results: Path) -> list[Unit]:
        """The jobs with their folders below a results folder. Raises StoreError for a folder outside of it."""
        results, units = results.resolve(), []
        require_inside(results / LEASES, results)
        for stack in self.stacks:
            jobs = []
            for job in stack:
                if job.folder != f"runs/{Path(job.run.folder).name}":
                    raise StoreError(f"{results / QUEUE}: {job.folder!r} is not the folder of its run. {AGAIN}")
                folder = results / job.folder
                require_inside(folder, results)
                jobs.append(replace(job, folder=str(folder)))
            units.append(Unit.of(jobs, results))
        return units


AGAIN = "Write it again with `gan-bench run FILE --enqueue`."


def write_queue(results: Path, queue: JobQueue) -> Path:
    """Write jobs.json in a results folder."""
    stacks = tuple(
        tuple(replace(job, folder=f"runs/{Path(job.folder).name}", attempt="") for job in jobs) for jobs in queue.stacks
    )
    values = msgspec.to_builtins(replace(queue, stacks=stacks))
    return write_atomically(results / QUEUE, json.dumps(values, indent=1) + "\n")


def read_queue(results: Path) -> JobQueue:
    """Read jobs.json of a results folder. Raises StoreError."""
    path = results / QUEUE
    try:
        queue = convert(json.loads(read_file(path)), JobQueue)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            f"{path}: does not exist on this machine. Write it with `gan-bench run FILE --enqueue`. If another machine "
            "has written it, this one does not see the same folder: use a folder on storage that all machines share."
        ) from error
    except (OSError, ValueError, RecursionError, RecordError) as error:
        raise StoreError(f"{path}: cannot be read ({error}). {AGAIN}") from error
    if queue.format != FORMAT:
        raise StoreError(f"{path}: format {queue.format!r:.40} is not supported. {AGAIN}")
    if problem := _problem(queue):
        raise StoreError(f"{path}: {problem}. {AGAIN}")
    return queue


def _problem(queue: JobQueue) -> str:
    """Describe a value that `write_queue` does not write; empty if all are allowed."""
    if not SHORTEST_LEASE <= queue.lease_seconds <= LONGEST_LEASE:  # false for nan
        found = f"{queue.lease_seconds:g}"
        return f"lease_seconds must be a number from {SHORTEST_LEASE:g} to {LONGEST_LEASE:,.0f}, found {found}"
    if not all(queue.stacks):
        return "stacks: one of them has no run"
    keys: set[str] = set()
    for stack in queue.stacks:
        if len({job.run.configuration for job in stack}) > 1:
            return "stacks: one of them has runs of several configurations"
        for job in stack:
            name = f"{job.run.label} on {job.run.dataset.label}, seed {job.run.seed}"
            if job.run.key in keys:
                return f"{name} is queued twice"
            keys.add(job.run.key)
            if job.device not in ("cpu", "cuda") or job.check or job.attempt:
                return f"{name}: device, check or attempt is not that of a queued run"
            if min(job.schedule.every, job.schedule.samples, job.schedule.points, job.stack, job.threads) < 1:
                return f"{name}: every, samples, points, stack and threads must be at least 1"
    return ""
