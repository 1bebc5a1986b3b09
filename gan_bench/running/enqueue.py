"""Queues of runs for workers on other machines: written by one command, compared by each worker with its machine."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.run import DatasetRef, Job, Run
from gan_bench.errors import DataError, GanBenchError, PluginError, StoreError, UsageError, error_text
from gan_bench.files import locked, locks_work, remove, require_inside, write_atomically
from gan_bench.planning.jobs import stacks
from gan_bench.planning.planned import Planned
from gan_bench.planning.runs import TRAINING_VERSION, configuration_here, key_of
from gan_bench.planning.stale_runs import describe_stale_runs
from gan_bench.plugins.code_hash import code_hash
from gan_bench.plugins.instances import dataset_of
from gan_bench.plugins.process_state import undisturbed
from gan_bench.plugins.registry import Registry
from gan_bench.running.benchmark_json import describe
from gan_bench.running.engines.local import LocalEngine
from gan_bench.running.estimate import estimate, longest_first
from gan_bench.running.prepare_data import prepare_metrics, prepare_run
from gan_bench.running.provenance import package_version, this_process
from gan_bench.store.job_queue import AGAIN, QUEUE, JobQueue, write_queue
from gan_bench.store.leases import LEASES, Unit, queue_again
from gan_bench.store.records import PluginFacts, encode

VERSIONED = ("gan-bench", "torch")
"""Packages whose versions must be equal on all machines."""

NO_LOCKS = (
    "The file system of this folder ignores file locks (flock). Nothing prevents `gan-bench run` beside workers, so "
    "start it only when no worker is active."
)

SHORT_HASH = 12


@dataclass(frozen=True)
class Enqueued:
    """Result of `enqueue`: numbers of runs and of stacks that workers take, and the file with them."""

    runs: int
    stacks: int
    file: Path


def enqueue(planned: Planned, log: Callable[[str], None]) -> Enqueued:
    """Prepare data and write the missing runs to jobs.json, for workers. Nothing is trained.

    Raises:
        UsageError: the benchmark is a check.
        StoreError: the folder cannot be written, is in use, or has links out of it.
    """
    if planned.mode == "quick":
        raise UsageError("--enqueue: a check (--quick) is executed by one command. Omit one of the two options.")
    folder = planned.folder
    with locked(folder):
        for name in (LEASES, "runs"):  # of a results folder from elsewhere
            require_inside(folder / name, folder)
        for line in [*planned.registry.notes, *_unused(planned)]:
            log(line)
        if not locks_work(folder):
            log(NO_LOCKS)
        if planned.todo:
            with undisturbed(lambda changes: log(f"Preparation of datasets and metrics {changes}")):
                prepare_run(replace(planned, device=_device_here(planned.device)), log)
        todo = planned.todo
        write_atomically(folder / "benchmark.json", encode(describe(planned)))
        for model in planned.benchmark.left_out:
            log(f"{model.label} is left out: {model.error}")
        for line in describe_stale_runs(folder, planned.jobs, todo):
            log(line)
        known = estimate(todo, planned.registry, results=folder.parent, workers=1, probe=False, jobs=planned.jobs)
        groups = stacks(longest_first(todo, known))
        units = [Unit.of(group, folder) for group in groups]
        for unit in units:
            queue_again(unit, this_process())
        for old in {*(folder / LEASES).glob("*.json")} - {unit.lease for unit in units}:
            remove(old)
        file = write_queue(folder, _queue(planned, groups))
    return Enqueued(len(todo), len(groups), file)


def _unused(planned: Planned) -> Iterator[str]:
    """Describe parts of the benchmark that workers do not use."""
    names = [entry.plugin for entry in planned.benchmark.observers]
    if names:
        yield f"Workers call no observers: {', '.join(names)}. Observers receive events of `gan-bench run` only."
    engine = planned.benchmark.engine.plugin
    if engine != LocalEngine.name:
        yield f"Workers execute the runs, and not the engine {engine} of the benchmark."


def _device_here(device: str) -> str:
    """Device that prepares metrics on this machine, which may have no GPU."""
    return device if device == "cpu" or torch.cuda.is_available() else "cpu"


def _queue(planned: Planned, groups: Sequence[Sequence[Job]]) -> JobQueue:
    metrics = planned.benchmark.evaluation.metrics
    runs = [job.run for group in groups for job in group]
    return JobQueue(
        benchmark=planned.benchmark.name,
        stacks=tuple(tuple(group) for group in groups),
        metrics=tuple(metrics),
        versions=versions(),
        training_version=TRAINING_VERSION,
        plugins=tuple(_facts(runs, metrics, planned.registry)),
        host=platform.node(),
        inode=planned.folder.stat().st_ino,
    )


def versions() -> dict[str, str]:
    """Versions of the packages that must be equal; builds of torch for other devices have the same version."""
    return {name: package_version(name).partition("+")[0] for name in VERSIONED}


def _facts(runs: Sequence[Run], metrics: Sequence[str], registry: Registry) -> Iterator[PluginFacts]:
    """Origin and hash of the code of each plugin that runs use."""
    used = dict.fromkeys(("models", run.model.plugin) for run in runs)
    used |= dict.fromkeys(("datasets", run.dataset.plugin) for run in runs)
    used |= dict.fromkeys(("networks", run.protocol.network) for run in runs)
    used |= dict.fromkeys(("metrics", name) for name in metrics)
    for kind, name in used:
        origin, code = registry.origin(kind, name), code_hash(registry.get(kind, name))
        yield PluginFacts(kind[:-1], name, origin.name, origin.version, origin.path, code)


# --- comparison with another machine --------------------------------------------------------------------------------


def require_same_folder(queue: JobQueue, results: Path) -> None:
    """Raise StoreError if a folder is a copy of the one that the queue was written for."""
    if results.stat().st_ino != queue.inode:
        raise StoreError(
            f"{results}: is a copy of the folder that {QUEUE} was written for on {queue.host}; its workers would not "
            "see those of other machines. Use a folder on storage that all machines share. For this machine alone, "
            "write the queue again with `gan-bench run FILE --enqueue`; `gan-bench table` combines several folders."
        )


def require_same_versions(queue: JobQueue) -> None:
    """Raise UsageError if this machine has another version of gan-bench or torch."""
    here = versions() | {"training": str(TRAINING_VERSION)}
    expected = dict(queue.versions) | {"training": str(queue.training_version)}
    problems = [
        f"{name} {here.get(name, 'unknown')} on this machine ({platform.node()}), {found} on {queue.host}"
        for name, found in expected.items()
        if here.get(name) != found
    ]
    if problems:
        raise UsageError(
            f"Versions differ from those in {QUEUE}: {'; '.join(problems)}. Install the same versions on all machines, "
            "then start the worker again."
        )


def require_same_code(queue: JobQueue, registry: Registry) -> None:
    """Raise PluginError if a plugin of the runs is missing on this machine, or has other code."""
    problems = [problem for facts in queue.plugins if (problem := _problem(facts, queue, registry))]
    if problems:
        raise PluginError("\n".join(problems))


def _problem(facts: PluginFacts, queue: JobQueue, registry: Registry) -> str:
    """Describe how a plugin on this machine differs from that of the queue; empty if it does not."""
    kind = f"{facts.kind}s"
    title = f"{facts.kind.capitalize()} {facts.name!r}"
    there = f"{facts.origin} {facts.version}".strip()
    is_file = facts.path.endswith(".py")
    remedy = (
        f"Copy {facts.path} from {queue.host} into plugins/ of the working folder, or name it with --plugin FILE."
        if is_file
        else f"Install the same code of {there} on this machine."
    )
    try:
        code = code_hash(registry.get(kind, facts.name))
    except PluginError as error:
        places = ", ".join(["installed packages", *map(str, registry.places)])
        return f"{title}: {error} It is from {there} on {queue.host}. Searched: {places}. {remedy}"
    if code == facts.code:
        return ""
    origin = registry.origin(kind, facts.name)
    place = origin.path if origin.path.endswith(".py") else str(origin)
    return (
        f"{title}: the code differs: {code[:SHORT_HASH]} on this machine ({place}), {facts.code[:SHORT_HASH]} on "
        f"{queue.host} ({facts.path if is_file else there}). {remedy}"
    )


def require_device(queue: JobQueue) -> None:
    """Raise UsageError if the runs need a GPU and this machine has none."""
    if any(job.device == "cuda" for stack in queue.stacks for job in stack) and not torch.cuda.is_available():
        raise UsageError(
            f"The runs in {QUEUE} need a GPU, and torch finds no CUDA device on this machine. Start the worker on a "
            "machine with a GPU, or write the queue again with `gan-bench run FILE --enqueue --device cpu`."
        )


def prepare_machine(queue: JobQueue, registry: Registry, log: Callable[[str], None]) -> None:
    """Prepare data and metrics of the runs on this machine; nothing is done for files that are prepared.

    Raises:
        DataError: files are missing or differ from those of the machine that has written the queue.
    """
    jobs = [job for stack in queue.stacks for job in stack]
    refs = {_identity(job.run.dataset): job.run.dataset for job in jobs}
    datasets = {name: _dataset(ref, registry) for name, ref in refs.items()}
    missing = [f"dataset {refs[name].label!r}: {text}" for name, each in datasets.items() if (text := each.missing())]
    if missing:
        raise DataError("\n".join([*missing, f"Needed on each machine that executes runs of {QUEUE}."]))
    _require_same_runs(queue, jobs, refs, datasets, registry)
    for dataset in datasets.values():
        dataset.prepare(log)
    if jobs:
        samples = max(job.schedule.samples for job in jobs)
        prepare_metrics(queue.metrics, samples, list(datasets.values()), registry, jobs[0].device, log)


def _dataset(ref: DatasetRef, registry: Registry) -> Dataset:
    """Create a dataset of the queue. Raises GanBenchError."""
    try:
        return dataset_of(ref.plugin, ref.params, registry)
    except GanBenchError:
        raise
    except Exception as error:  # parameters that the plugin does not have, or its own error
        raise StoreError(f"{QUEUE}: dataset {ref.label!r} cannot be created ({error_text(error)}). {AGAIN}") from error


def _require_same_runs(
    queue: JobQueue,
    jobs: Sequence[Job],
    refs: Mapping[str, DatasetRef],
    datasets: Mapping[str, Dataset],
    registry: Registry,
) -> None:
    """Raise DataError or PluginError unless this machine gives every run the same key."""
    contents = {name: dataset.contents for name, dataset in datasets.items()}
    for name, ref in refs.items():
        if contents[name] != ref.contents:
            raise DataError(
                f"dataset {ref.label!r}: its files differ: {contents[name][:SHORT_HASH] or 'none'} on this machine, "
                f"{ref.contents[:SHORT_HASH] or 'none'} on {queue.host}. Compare them with `gan-bench data verify`."
            )
    one_of = {job.run.configuration: job.run for job in reversed(jobs)}
    here = {name: configuration_here(run, contents[_identity(run.dataset)], registry) for name, run in one_of.items()}
    for job in jobs:
        key = key_of(here[job.run.configuration], job.run.seed)
        if key != job.run.key:
            raise PluginError(
                f"{job.run.label} on {job.run.dataset.label}, seed {job.run.seed}: its key is {key[:SHORT_HASH]} on "
                f"this machine, {job.run.key[:SHORT_HASH]} in {QUEUE}. {AGAIN}"
            )


def _identity(dataset: DatasetRef) -> str:
    return json.dumps([dataset.plugin, dataset.params], sort_keys=True)
