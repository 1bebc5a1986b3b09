"""Preparation of datasets and metrics, once before any run starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import torch

from gan_bench.config.load import Benchmark, DatasetEntry
from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import reduced
from gan_bench.contracts.metric import Metric, lower_needs
from gan_bench.contracts.run import CHECK_IMAGES, Job
from gan_bench.errors import missing_package
from gan_bench.planning.planned import Planned
from gan_bench.planning.prepare import CHECK_SAMPLES, choose_device, require_data
from gan_bench.plugins.instances import dataset_of
from gan_bench.plugins.registry import Registry

LOG_SECONDS = 10.0  # seconds


def prepare_run(planned: Planned, log: Callable[[str], None]) -> Planned:
    """The benchmark with prepared data and metrics; a check omits metrics that cannot be prepared."""
    benchmark = replace(planned.benchmark, datasets=tuple(planned.datasets))
    device = planned.device if planned.place is None else choose_device("auto")  # of this machine
    if planned.mode != "quick":
        prepare_data(benchmark, planned.registry, device, log)
        return planned
    unprepared = _prepare_check(benchmark, planned.registry, device, log)
    return replace(planned, unprepared=unprepared, jobs=[_without(job, unprepared) for job in planned.jobs])


def _without(job: Job, unprepared: Collection[str]) -> Job:
    metrics = tuple(name for name in job.schedule.metrics if name not in unprepared)
    return replace(job, schedule=replace(job.schedule, metrics=metrics))


def _prepare_check(benchmark: Benchmark, registry: Registry, device: str, log: Callable[[str], None]) -> dict[str, str]:
    """Prepare metrics for a check on a few images of each dataset; return the errors of those that failed."""
    some = [reduced(dataset, CHECK_IMAGES) for dataset in prepare_datasets(benchmark.datasets, registry, log)]
    errors: dict[str, str] = {}
    for name in benchmark.evaluation.metrics:
        try:
            _prepare_metric(lower_needs(registry.get("metrics", name)(), CHECK_SAMPLES), some, device, log)
        except Exception as error:  # a check lists what does not work, a plugin's errors included
            errors[name] = f"{type(error).__name__}: {error}"
    _free_gpu_memory(device)
    return errors


def prepare_data(benchmark: Benchmark, registry: Registry, device: str, log: Callable[[str], None]) -> None:
    """Prepare the files of datasets and metrics once, before any run.

    Raises:
        DataError: files are missing or wrong; the message covers all datasets.
    """
    datasets = prepare_datasets(benchmark.datasets, registry, log)
    prepare_metrics(benchmark.evaluation.metrics, benchmark.evaluation.samples, datasets, registry, device, log)


def prepare_metrics(
    names: Sequence[str],
    samples: int,
    datasets: Collection[Dataset],
    registry: Registry,
    device: str,
    log: Callable[[str], None],
) -> None:
    """Prepare the files of metrics that need no more samples than there are."""
    for name in names:
        metric = registry.get("metrics", name)()
        if metric.needs <= samples:
            _prepare_metric(metric, datasets, device, log)
    _free_gpu_memory(device)


def prepare_datasets(
    entries: Sequence[DatasetEntry], registry: Registry, log: Callable[[str], None]
) -> Sequence[Dataset]:
    """Datasets whose images are prepared. Raises DataError, as `prepare_data`."""
    datasets = {entry.label: dataset_of(entry.plugin, entry.params, registry) for entry in entries}
    require_data(datasets)
    for dataset in datasets.values():
        dataset.prepare(log)
    return list(datasets.values())


def _prepare_metric(metric: Metric, datasets: Collection[Dataset], device: str, log: Callable[[str], None]) -> None:
    """Prepare a metric; report progress every few seconds, because datasets that are prepared quickly report none."""
    last_log = time.monotonic()
    for done, dataset in enumerate(datasets):
        if time.monotonic() - last_log > LOG_SECONDS:
            last_log = time.monotonic()
            log(f"Preparing {metric.name}: {done} of {len(datasets)} datasets")
        try:
            metric.prepare(dataset, device, log)
        except ModuleNotFoundError as error:  # the runs continue without its scores, and their records give the reason
            log(f"{metric.name} cannot be computed: {missing_package(error) or error}")
            return


def _free_gpu_memory(device: str) -> None:
    """Free the cache of this process after preparing metrics: the runs are executed by other processes."""
    if device == "cuda" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
