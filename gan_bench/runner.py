"""Running a benchmark: what is missing is carried out, what is done is kept, then the tables are rebuilt."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gan_bench.assembly import instantiate
from gan_bench.benchmark import QUICK_ITERATIONS, QUICK_SAMPLES
from gan_bench.checked_runs import CheckReport, check_report
from gan_bench.config import Benchmark, DatasetEntry, datasets_named, load_benchmark, models_named, preview, quick
from gan_bench.config_source import find_benchmark, named_plugins
from gan_bench.dataset import Dataset
from gan_bench.describing import description
from gan_bench.engine import Engine, Setup
from gan_bench.errors import DataError, StoreError, UsageError, missing_package
from gan_bench.estimate import Estimates, Forecast, estimate, longest_first
from gan_bench.files import write_atomically
from gan_bench.images import is_images, reduced
from gan_bench.interim import InterimTables
from gan_bench.job import CHECK_IMAGES, Job, Schedule, stacks
from gan_bench.machine import describe_compilation, describe_machine
from gan_bench.metric import Metric, lower_needs
from gan_bench.modes import Mode
from gan_bench.observers import Observer, Observers
from gan_bench.plan import Run, dataset_of, plan
from gan_bench.plugins import Registry, load_plugins, plugin_files, plugin_folders
from gan_bench.progress import in_words
from gan_bench.results import write_results_csv
from gan_bench.shares import write_classes_csv
from gan_bench.store import RunFolder, locked
from gan_bench.tables import write_tables

SAID_EVERY = 10.0  # seconds

MOST_STACKED = 32
"""Seeds that are stacked on a GPU, at most; where they need more memory than there is, fewer are."""

PROBE_FROM = 1_000
"""Iterations from which a run is worth measuring the speed of its model before it starts."""

PROBE_BUDGET = 20.0
"""Seconds that measuring all models may take."""

HEAVY_ITERATIONS = 2
"""Iterations of a check with a convolutional network, of which one takes seconds on a CPU."""

CHECK_SAMPLES = 32
"""Generated images that a check evaluates."""


@dataclass(frozen=True)
class Options:
    """What a command says beside the benchmark."""

    overrides: Sequence[str] = ()
    models: Sequence[str] = ()
    datasets: Sequence[str] = ()
    seeds: str | int | Sequence[int] | None = None
    device: str = "auto"
    results: str | Path = "results"
    workers: int | None = None
    quick: bool = False
    preview: bool = False
    compile: str = "auto"
    stack: str | int = "auto"
    engine: str = "local"
    plugins: Sequence[str | Path] = ()

    @property
    def mode(self) -> Mode:
        """How much of the benchmark runs. Raises UsageError for two answers."""
        if self.quick and self.preview:
            raise UsageError(
                "--preview and --quick exclude each other: --quick checks that everything works, "
                "--preview trains a quarter of one seed."
            )
        return "quick" if self.quick else "preview" if self.preview else "full"


@dataclass(frozen=True)
class Planned:
    """A benchmark made ready to run on this machine."""

    benchmark: Benchmark
    datasets: Sequence[DatasetEntry]  # those that are selected
    registry: Registry
    plugin_places: Sequence[Path]
    folder: Path
    device: str
    workers: int
    engine: type[Engine]
    jobs: Sequence[Job]  # what is selected, done or not
    status: Mapping[str, str]  # of each selected run that was started before, by key
    mode: Mode = "full"
    unprepared: Mapping[str, str] = field(default_factory=dict)  # of a check: why metrics could not be prepared

    @property
    def todo(self) -> list[Job]:
        """Jobs that are unfinished or lack a score of the benchmark. A check always starts anew."""
        return list(self.jobs) if self.mode == "quick" else [job for job in self.jobs if not self._done(job)]

    def _done(self, job: Job) -> bool:
        status = self.status.get(job.run.key)
        return status == "diverged" or (status == "finished" and not self._lacks_scores(job))

    def _lacks_scores(self, job: Job) -> bool:
        """Whether a finished run has no final score of some metric, version and number of samples."""
        rows = RunFolder(Path(job.folder)).read_curve()
        last = max((int(row["iteration"]) for row in rows), default=0)
        have = {(row["metric"], row["version"], row["n"]) for row in rows if int(row["iteration"]) == last}
        made = (self.registry.get("metrics", name) for name in job.schedule.metrics)
        wanted = (metric for metric in made if metric.needs <= job.schedule.samples)
        return any((m.name, str(m.version), str(job.schedule.samples)) not in have for m in wanted)


@dataclass
class Outcome:
    """How a call of `run` ended."""

    folder: Path
    counts: Counter[str] = field(default_factory=Counter)  # runs by status
    interrupted: bool = False
    left_out: int = 0  # models whose plugins are broken
    check: CheckReport | None = None  # what a check found

    @property
    def exit_code(self) -> int:
        """0 all finished, 1 some run did not or some model could not be loaded, 130 interrupted."""
        if self.interrupted:
            return 130
        passed = self.check is None or self.check.passed
        return 0 if self.counts.keys() <= {"finished"} and not self.left_out and passed else 1


def prepare(source: str | Path | Mapping[str, Any], options: Options) -> Planned:
    """Load plugins, validate the benchmark, plan its runs and look at what is done. Writes nothing."""
    mode = options.mode
    places = _plugin_places(source, options)
    registry = load_plugins(places)
    benchmark = load_benchmark(
        source,
        registry,
        overrides=options.overrides,
        seeds=options.seeds,
        models=options.models,
        datasets=options.datasets,
    )
    if mode == "preview":
        benchmark = preview(benchmark)
    if mode == "quick":
        benchmark = _check_of(benchmark, registry, options)
    datasets = _selected(benchmark, options)
    require_data({entry.label: dataset_of(entry.plugin, entry.params, registry) for entry in datasets})
    folder = Path(options.results) / benchmark.name
    device = choose_device(options.device)
    jobs = _jobs(replace(benchmark, datasets=datasets), registry, folder, device, options)
    status = {}
    for job in () if mode == "quick" else jobs:  # a check starts anew, whatever an earlier one left
        record = RunFolder(Path(job.folder)).read_own(job.run.key)
        if record is not None:
            status[job.run.key] = record["status"]
    workers = choose_workers(options.workers, device)
    engine = registry.get("engines", options.engine)
    return Planned(benchmark, datasets, registry, places, folder, device, workers, engine, jobs, status, mode)


def run(planned: Planned, observer: Observer) -> Outcome:
    """Carry out what is missing and rebuild results.csv, table.md and table.csv."""
    with locked(planned.folder) as lock:
        todo = planned.todo  # reads the curves, and has to trust them before anything is written
        observers = Observers(observer, list(planned.registry.all("observers").values()))
        if todo:
            planned = _made_ready(planned, observers.note)
            todo = planned.todo
        if planned.mode == "quick":  # results of an earlier check may be of other code
            _remove_runs(planned.folder / "runs")
        write_atomically(planned.folder / "benchmark.json", json.dumps(description(planned), indent=1) + "\n")
        for model in planned.benchmark.left_out:
            observers.note(f"{model.label} is left out: {model.error}")
        observers.planned([job.run for job in todo], len(planned.jobs) - len(todo))
        completed = _carry_out(planned, todo, observers, lock) if todo else True
        write_results_csv(planned.folder)
        write_classes_csv(planned.folder)
        if planned.mode != "quick":  # its values mean nothing
            write_tables(planned.folder)
    outcome = Outcome(planned.folder, _count(planned.jobs), not completed, len(planned.benchmark.left_out))
    outcome.check = check_report(planned.jobs, planned.unprepared) if planned.mode == "quick" else None
    return outcome


def _remove_runs(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(f"{folder} cannot be removed ({error.strerror}). Choose another with --results.") from error


def _carry_out(planned: Planned, todo: Sequence[Job], observers: Observers, lock: int) -> bool:
    """Hand the jobs to the engine, the longest of each seed first; False if Ctrl-C stopped them."""
    gpus = visible_gpus() if planned.device == "cuda" else []
    how = describe_compilation(todo)
    observers.note(f"{describe_machine(planned.device, planned.workers, gpus)}; {how}.")
    estimates = estimate_runs(planned, todo, observers.note)
    todo = longest_first(todo, estimates)
    groups = stacks(todo)
    forecast = Forecast(groups, estimates, planned.workers)
    done = {key: found for key, found in planned.status.items() if key not in {job.run.key for job in todo}}
    watch = InterimTables(planned.folder, planned.jobs, done, groups, forecast, observers)
    if planned.mode == "preview":
        observers.note(f"Preview: a quarter of the iterations, of seed {planned.benchmark.seeds[0]} only.")
    if planned.mode != "quick":
        _note_times(watch, groups, estimates, observers)
    watch.forecast_now()
    engine = planned.engine(Setup(planned.workers, planned.plugin_places, lock, gpus), watch)
    return engine.carry_out(todo)


def estimate_runs(planned: Planned, todo: Sequence[Job], say: Callable[[str], None]) -> Estimates:
    """Estimate runs from earlier ones; measure models without any if their runs are long enough to repay it."""
    long = any(job.run.protocol["iterations"] >= PROBE_FROM and not job.run.model["anchor"] for job in todo)
    known = partial(estimate, todo, planned.registry, results=planned.folder.parent, workers=planned.workers)
    found = known(jobs=planned.jobs, probe=False)
    if planned.mode == "quick" or planned.device != "cpu" or not long or not found.unknown:
        return found
    say(f"No earlier run shows how fast all models train here; measuring it, for at most {PROBE_BUDGET:.0f} s.")
    return known(jobs=planned.jobs, budget=PROBE_BUDGET)


def _note_times(
    watch: InterimTables, groups: Sequence[Sequence[Job]], estimates: Estimates, observers: Observers
) -> None:
    """Note when the first and the last table are expected, and the source of these times."""
    if any(len(group) > 1 for group in groups):
        observers.note("Seeds train together as one program and finish together, so the first table is the last.")
    expected = watch.expected()
    if expected is None:
        observers.note("How long it will take is known once the first runs report their speed.")
        return
    first, last = map(in_words, expected)
    source = estimates.source(compiled=any(job.likely_compiled for group in groups for job in group))
    together = f"First table in about {first}, last in about {last}" if first != last else f"Table in about {last}"
    observers.note(f"{together} ({source}).")


def _check_of(benchmark: Benchmark, registry: Registry, options: Options) -> Benchmark:
    """The check of a benchmark: few iterations and samples, and one dataset of each kind unless some are named."""
    kinds = {dataset.plugin: dataset for dataset in reversed(benchmark.datasets)}
    datasets = benchmark.datasets if options.datasets else tuple(reversed(kinds.values()))
    networks = {model.protocol.network for model in benchmark.models if not model.anchor}
    heavy = any(registry.get("networks", name).heavy for name in networks)
    images = any(is_images(dataset_of(entry.plugin, entry.params, registry)) for entry in datasets)
    return quick(
        replace(benchmark, datasets=datasets),
        HEAVY_ITERATIONS if heavy else QUICK_ITERATIONS,
        CHECK_SAMPLES if images else QUICK_SAMPLES,
        small_batches=heavy and choose_device(options.device) == "cpu",
    )


def _plugin_places(source: str | Path | Mapping[str, Any], options: Options) -> list[Path]:
    """Folders called plugins/, and the files that the benchmark and the command name."""

    def complain(number: int, message: str) -> None:
        raise UsageError(f"--plugin {message}")

    path = None if isinstance(source, Mapping) else find_benchmark(source)
    return [*plugin_folders(path), *named_plugins(source), *plugin_files(options.plugins, complain)]


def _selected(benchmark: Benchmark, options: Options) -> tuple[DatasetEntry, ...]:
    """The datasets that are to be run, in the order of the file; all where none is named."""
    named = [entry for name in options.datasets for entry in datasets_named(benchmark.datasets, name)]
    return tuple(entry for entry in benchmark.datasets if not named or entry in named)


def choose_device(wanted: str) -> str:
    """ "cpu" or "cuda": what was asked for, or with "auto" a GPU where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here. Use --device cpu, or auto.")
    if wanted not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {wanted}: it is auto, cpu or cuda.")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def choose_workers(wanted: int | None, device: str) -> int:
    """How many runs go on at the same time: one for each core this process may use, or for each GPU."""
    if wanted is not None:
        if wanted < 1:
            raise UsageError(f"--workers {wanted}: it is at least 1.")
        return wanted
    if device == "cuda":
        return max(1, len(visible_gpus()))
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def choose_stack(wanted: str | int, device: str, *, heavy: bool) -> int:
    """How many seeds of a configuration are carried out together, at most; with "auto" many on a GPU, one on a CPU."""
    if wanted == "auto":
        return MOST_STACKED if device == "cuda" and not heavy else 1
    if wanted == "never":
        return 1
    if not str(wanted).isdecimal() or int(wanted) < 1:
        raise UsageError(f"--stack {wanted}: it is auto, never, or a number of seeds.")
    return int(wanted)


def _jobs(benchmark: Benchmark, registry: Registry, folder: Path, device: str, options: Options) -> list[Job]:
    if options.compile not in ("auto", "always", "never"):
        raise UsageError(f"--compile {options.compile}: it is auto, always or never.")
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
    """A job with what its network says about how it is carried out best."""
    heavy: bool = registry.get("networks", job.run.protocol["network"]).heavy
    most = choose_stack(stack, job.device, heavy=heavy)
    together = not job.run.model["anchor"] and registry.get("models", job.run.model["plugin"]).stackable
    return replace(job, heavy=heavy, stack=most if together else 1)


def _for_run(schedule: Schedule, run: Run, registry: Registry) -> Schedule:
    """The schedule of one run: an anchor may have fewer samples than the benchmark asks for."""
    if not run.model["anchor"]:
        return schedule
    model, dataset, _ = instantiate(run, registry)
    most = None if dataset.missing() else model.most_samples(dataset)
    return schedule if most is None else replace(schedule, samples=min(most, schedule.samples))


def _made_ready(planned: Planned, say: Callable[[str], None]) -> Planned:
    """The same with data and metrics that are prepared; of a check, without the metrics that cannot be."""
    benchmark = replace(planned.benchmark, datasets=tuple(planned.datasets))
    if planned.mode != "quick":
        prepare_data(benchmark, planned.registry, planned.device, say)
        return planned
    unprepared = _prepare_check(benchmark, planned.registry, planned.device, say)
    return replace(planned, unprepared=unprepared, jobs=[_without(job, unprepared) for job in planned.jobs])


def _without(job: Job, unprepared: Collection[str]) -> Job:
    metrics = tuple(name for name in job.schedule.metrics if name not in unprepared)
    return replace(job, schedule=replace(job.schedule, metrics=metrics))


def _prepare_check(benchmark: Benchmark, registry: Registry, device: str, say: Callable[[str], None]) -> dict[str, str]:
    """Prepare what a check needs: metrics on a few images of each dataset; return why metrics could not be prepared."""
    some = [reduced(dataset, CHECK_IMAGES) for dataset in prepare_datasets(benchmark.datasets, registry, say)]
    errors: dict[str, str] = {}
    for name in benchmark.evaluation.metrics:
        try:
            _make_ready(lower_needs(registry.get("metrics", name)(), CHECK_SAMPLES), some, device, say)
        except Exception as error:  # a check lists what does not work, a plugin's errors included
            errors[name] = f"{type(error).__name__}: {error}"
    _free_gpu_memory(device)
    return errors


def prepare_data(benchmark: Benchmark, registry: Registry, device: str, say: Callable[[str], None]) -> None:
    """Make ready what datasets and metrics need, once, before any run.

    Raises:
        DataError: what is missing or wrong, of all datasets.
    """
    datasets = prepare_datasets(benchmark.datasets, registry, say)
    for name in benchmark.evaluation.metrics:
        metric = registry.get("metrics", name)()
        if metric.needs <= benchmark.evaluation.samples:
            _make_ready(metric, datasets, device, say)
    _free_gpu_memory(device)


def prepare_datasets(
    entries: Sequence[DatasetEntry], registry: Registry, say: Callable[[str], None]
) -> Sequence[Dataset]:
    """Datasets whose images are ready. Raises DataError, as `prepare_data`."""
    datasets = {entry.label: dataset_of(entry.plugin, entry.params, registry) for entry in entries}
    require_data(datasets)
    for dataset in datasets.values():
        dataset.prepare(say)
    return list(datasets.values())


def _make_ready(metric: Metric, datasets: Collection[Dataset], device: str, say: Callable[[str], None]) -> None:
    """Prepare a metric, and say every few seconds how far it is: each of many datasets may be too quick to say so."""
    told = time.monotonic()
    for done, dataset in enumerate(datasets):
        if time.monotonic() - told > SAID_EVERY:
            told = time.monotonic()
            say(f"{metric.name} is made ready: {done} of {len(datasets)} datasets")
        try:
            metric.prepare(dataset, device, say)
        except ModuleNotFoundError as error:  # the runs go on without its scores, and their records say why
            say(f"{metric.name} cannot be computed: {missing_package(error) or error}")
            return


def _free_gpu_memory(device: str) -> None:
    """Free what preparing metrics left in the cache of this process: the runs are carried out by others."""
    if device == "cuda" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def require_data(datasets: Mapping[str, Dataset]) -> None:
    """Raise DataError where files are missing, with all that are."""
    told = [f"dataset {label!r}: {missing}" for label, dataset in datasets.items() if (missing := dataset.missing())]
    if told:
        raise DataError("\n".join(told))


def _count(jobs: Sequence[Job]) -> Counter[str]:
    records = (RunFolder(Path(job.folder)).read() for job in jobs)
    return Counter(str(record["status"]) if record else "not started" for record in records)


__all__ = ["Options", "Outcome", "Planned", "Run", "prepare", "run"]
