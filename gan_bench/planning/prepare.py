"""Preparation of a benchmark: load, validate and plan it without writing anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from gan_bench.config.benchmark import QUICK_ITERATIONS, QUICK_SAMPLES
from gan_bench.config.load import Benchmark, DatasetEntry, datasets_named, load_benchmark, models_named, preview, quick
from gan_bench.config.source import Source, open_source
from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.engine import Engine, Place, PlaceRequest
from gan_bench.contracts.images import is_images
from gan_bench.contracts.run import Job, Run, Schedule
from gan_bench.errors import DataError, GanBenchError, PluginError, StoreError, UsageError, error_text
from gan_bench.planning.options import Device, Options, require_choice
from gan_bench.planning.planned import Planned, stored_jobs
from gan_bench.planning.runs import plan
from gan_bench.plugins.discovery import load_plugins, option_files
from gan_bench.plugins.instances import dataset_of, from_plain, instantiate
from gan_bench.plugins.process_state import undisturbed
from gan_bench.plugins.registry import Registry
from gan_bench.results.load import read_benchmark

MOST_STACKED = 32
"""Largest number of seeds that are stacked on a GPU; fewer if memory runs out."""

HEAVY_ITERATIONS = 2
"""Number of iterations of a check with a convolutional network, each of which takes seconds on a CPU."""

CHECK_SAMPLES = 32
"""Number of generated images that a check evaluates."""


def prepare(source: str | Path | Mapping[str, Any], options: Options, *, elsewhere: bool = False) -> Planned:
    """Load plugins, validate the benchmark, plan its runs and read their status. Writes nothing.

    Args:
        elsewhere: whether other machines execute the runs; this one may then lack the device.
    """
    opened = open_source(source)
    results = Path(options.results)
    places = [*opened.plugin_places(), *option_files(options.plugins)]
    registry = load_plugins(places)
    with undisturbed(lambda changes: registry.notes.append(f"Planning the runs {changes}")):
        return _planned(opened, registry, places, results, options, elsewhere=elsewhere)


def _planned(
    opened: Source, registry: Registry, places: Sequence[Path], results: Path, options: Options, *, elsewhere: bool
) -> Planned:
    """Validate the benchmark with the loaded plugins, plan its runs and read their status."""
    benchmark = load_benchmark(
        opened,
        registry,
        overrides=options.overrides,
        seeds=options.seeds,
        models=options.models,
        datasets=options.datasets,
        observers=options.observers,
        engine=options.engine,
        engine_settings=options.engine_settings,
    )
    engine = registry.get("engines", benchmark.engine.plugin)
    params = from_plain(engine.Params, benchmark.engine.params)
    place = None if elsewhere else _place_of(engine, params, options)
    device = _device_of(place, options.device, elsewhere=elsewhere)
    mode = options.mode
    if mode == "preview":
        benchmark = preview(benchmark)
    if mode == "quick":
        benchmark = _check_of(benchmark, registry, options, device)
    datasets = _selected(benchmark, options)
    require_data({entry.label: dataset_of(entry.plugin, entry.params, registry) for entry in datasets})
    folder = results / benchmark.name
    if mode != "quick":  # a check starts from scratch
        require_version(benchmark, folder)
    jobs = _jobs(replace(benchmark, datasets=datasets), registry, folder, device, options)
    stored = stored_jobs([] if mode == "quick" else jobs, folder)  # a check starts from scratch
    status = {key: each.status for key, each in stored.items()}
    workers = choose_workers(options.workers, device) if place is None else place.workers
    return Planned(
        benchmark,
        datasets,
        registry,
        places,
        folder,
        device,
        workers,
        engine,
        jobs,
        status,
        mode,
        engine_params=params,
        place=place,
    )


def _place_of(engine: type[Engine], params: Any, options: Options) -> Place | None:
    """Place of an engine. Raises GanBenchError; any other exception of a plugin is converted."""
    choose_workers(options.workers, "cpu")
    require_choice("--device", options.device, get_args(Device))
    try:
        return engine.place(PlaceRequest(options.device, options.workers), params)
    except GanBenchError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise PluginError(f"The place of engine {engine.name} is unknown: {error_text(error)}") from error


def _device_of(place: Place | None, requested: str, *, elsewhere: bool) -> str:
    """Device of the runs: that of the engine's place, or else one of this machine."""
    if place is not None:
        return place.device
    return "cuda" if elsewhere and requested == "cuda" else choose_device(requested)


def _check_of(benchmark: Benchmark, registry: Registry, options: Options, device: str) -> Benchmark:
    """Reduce a benchmark to a check: few iterations and samples, and one dataset of each kind unless some are named."""
    kinds = {dataset.plugin: dataset for dataset in reversed(benchmark.datasets)}
    datasets = benchmark.datasets if options.datasets else tuple(reversed(kinds.values()))
    networks = {model.protocol.network for model in benchmark.models if not model.anchor}
    heavy = any(registry.get("networks", name).heavy for name in networks)
    images = any(is_images(dataset_of(entry.plugin, entry.params, registry)) for entry in datasets)
    return quick(
        replace(benchmark, datasets=datasets),
        HEAVY_ITERATIONS if heavy else QUICK_ITERATIONS,
        CHECK_SAMPLES if images else QUICK_SAMPLES,
        small_batches=heavy and device == "cpu",
    )


def _selected(benchmark: Benchmark, options: Options) -> tuple[DatasetEntry, ...]:
    """Selected datasets in the order of the file; all datasets without a selection."""
    named = [entry for name in options.datasets for entry in datasets_named(benchmark.datasets, name)]
    return tuple(entry for entry in benchmark.datasets if not named or entry in named)


def choose_device(requested: str) -> str:
    """Device "cpu" or "cuda" as requested; "auto" is a GPU if one is available."""
    if requested == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "--device cuda: torch finds no CUDA device on this machine. Use --device cpu or --device auto."
        )
    require_choice("--device", requested, get_args(Device))
    if requested == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return requested


def choose_workers(requested: int | None, device: str) -> int:
    """Number of runs at the same time: one for each core that this process may use, or for each GPU."""
    if requested is not None:
        if requested < 1:
            raise UsageError(f"--workers must be at least 1, found {requested}.")
        return requested
    if device == "cuda":
        return max(1, len(visible_gpus()))
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """GPUs that this process may use, in the notation of `CUDA_VISIBLE_DEVICES`."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def choose_stack(requested: str | int, device: str, *, heavy: bool) -> int:
    """Largest number of seeds of a configuration in one stack; "auto" is many on a GPU, one on a CPU."""
    if requested == "auto":
        return MOST_STACKED if device == "cuda" and not heavy else 1
    if requested == "never":
        return 1
    if not str(requested).isdecimal() or int(requested) < 1:
        raise UsageError(f"--stack must be auto, never or a number of seeds >= 1, found {requested!r}.")
    return int(requested)


def _jobs(benchmark: Benchmark, registry: Registry, folder: Path, device: str, options: Options) -> list[Job]:
    evaluation = benchmark.evaluation
    check = options.mode == "quick"
    schedule = Schedule(
        evaluation.every, evaluation.samples, tuple(evaluation.metrics), evaluation.points, initial=not check
    )
    named = [model for name in options.models for model in models_named(benchmark.models, name)]
    models = tuple(model for model in benchmark.models if not named or model in named or model.anchor)
    runs = plan(replace(benchmark, models=models), registry)
    paths = [str((folder / "runs" / r.folder).resolve()) for r in runs]
    return [
        _job(
            Job(r, p, _for_run(schedule, r, registry), device, compile=options.compile, check=check),
            options.stack,
            registry,
        )
        for r, p in zip(runs, paths, strict=True)
    ]


def _job(job: Job, stack: str | int, registry: Registry) -> Job:
    """A job with the settings that its network recommends for execution."""
    heavy: bool = registry.get("networks", job.run.protocol.network).heavy
    most = choose_stack(stack, job.device, heavy=heavy)
    together = not job.run.model.anchor and registry.get("models", job.run.model.plugin).stackable
    return replace(job, heavy=heavy, stack=most if together else 1)


def _for_run(schedule: Schedule, run: Run, registry: Registry) -> Schedule:
    """The schedule of one run: an anchor may have fewer samples than the benchmark requests."""
    if not run.model.anchor:
        return schedule
    model, dataset, _ = instantiate(run, registry)
    most = None if dataset.missing() else model.most_samples(dataset)
    return schedule if most is None else replace(schedule, samples=min(most, schedule.samples))


def require_version(benchmark: Benchmark, folder: Path) -> None:
    """Raise StoreError if a folder has results of another version of the benchmark."""
    try:
        stored = read_benchmark(folder).version
    except StoreError:  # missing, or damaged and written again
        return
    if stored != benchmark.version:
        found, wanted = (f"version {each}" if each else "no version" for each in (stored, benchmark.version))
        raise StoreError(
            f"{folder}: contains results of {benchmark.name} with {found}, but the benchmark has {wanted}. Results of "
            "different versions are not combined. Choose another folder with --results, or move this one."
        )


def require_data(datasets: Mapping[str, Dataset]) -> None:
    """Raise DataError if files are missing; the message lists all of them."""
    missing_data = [
        f"dataset {label!r}: {missing}" for label, dataset in datasets.items() if (missing := dataset.missing())
    ]
    if missing_data:
        raise DataError("\n".join(missing_data))
