"""The plan of a benchmark: settings, place, jobs and their status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_bench.config.load import Benchmark, DatasetEntry
from gan_bench.contracts.engine import Engine, Place
from gan_bench.contracts.modes import Mode
from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError
from gan_bench.plugins.registry import Registry
from gan_bench.results.stored_run import read_folders


@dataclass(frozen=True)
class Planned:
    """A benchmark prepared to run."""

    benchmark: Benchmark
    datasets: Sequence[DatasetEntry]  # those that are selected
    registry: Registry
    plugin_places: Sequence[Path]
    folder: Path
    device: str
    workers: int
    engine: type[Engine]
    jobs: Sequence[Job]  # of the selected runs, done or not
    status: Mapping[str, str]  # of each selected run that was started before, by key
    mode: Mode = "full"
    unprepared: Mapping[str, str] = field(default_factory=dict)  # of a check: metric → reason that it is missing
    engine_params: Any = None
    place: Place | None = None  # of the engine; None for this machine

    @property
    def todo(self) -> list[Job]:
        """Jobs that are unfinished or lack a score of the benchmark. A check always starts from scratch.

        Read from disk at each call: another command may have finished some of them.
        """
        if self.mode == "quick":
            return list(self.jobs)
        stored = stored_jobs(self.jobs, self.folder)
        return [job for job in self.jobs if not is_done(job, stored.get(job.run.key), self.registry)]


@dataclass(frozen=True)
class StoredJob:
    """Contents of the folder of a job.

    Attributes:
        status: of its run; "damaged" if the folder cannot be used as it is.
        scores: metric, version and number of samples of each score at the last evaluated iteration.
    """

    status: str
    scores: Collection[tuple[str, int, int]] = ()


def is_done(job: Job, stored: StoredJob | None, registry: Registry) -> bool:
    """Whether a run has diverged, or has finished and has all scores that its job requests."""
    if stored is None or stored.status != "finished":
        return stored is not None and stored.status == "diverged"
    made = (registry.get("metrics", name) for name in job.schedule.metrics)
    expected = (metric for metric in made if metric.needs <= job.schedule.samples)
    return all((m.name, m.version, job.schedule.samples) in stored.scores for m in expected)


def stored_jobs(jobs: Sequence[Job], results: Path) -> dict[str, StoredJob]:
    """Read the folders of jobs, by key of the run; jobs that were never started are left out.

    Raises:
        StoreError: a folder holds another run.
    """
    started = {Path(job.folder): job for job in jobs if (Path(job.folder) / "run.json").exists()}
    stored = read_folders(list(started), results)
    last = stored.curves.groupby("run")["iteration"].transform("max")
    final = stored.curves[(stored.curves["iteration"] == last) & stored.curves["version"].notna()]
    scores: dict[int, set[tuple[str, int, int]]] = defaultdict(set)
    for run, metric, version, n in final[["run", "metric", "version", "n"]].itertuples(index=False):
        scores[run].add((metric, version, n))
    found = {job.run.key: StoredJob("damaged") for job in started.values()}
    for number, run in enumerate(stored.runs):
        key = started[run.folder].run.key
        if run.key != key:
            raise StoreError(f"{run.folder} holds another run. Move it away, or use --results.")
        found[key] = StoredJob(run.status, scores[number])
    return found
