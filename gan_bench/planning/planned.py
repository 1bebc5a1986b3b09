"""The plan of a benchmark on this machine: settings, jobs and their status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gan_bench.config.load import Benchmark, DatasetEntry
from gan_bench.contracts.engine import Engine
from gan_bench.contracts.modes import Mode
from gan_bench.contracts.run import Job
from gan_bench.plugins.registry import Registry
from gan_bench.store.run_folder import RunFolder


@dataclass(frozen=True)
class Planned:
    """A benchmark prepared to run on this machine."""

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

    @property
    def todo(self) -> list[Job]:
        """Jobs that are unfinished or lack a score of the benchmark. A check always starts from scratch."""
        return list(self.jobs) if self.mode == "quick" else [job for job in self.jobs if not self._done(job)]

    def _done(self, job: Job) -> bool:
        status = self.status.get(job.run.key)
        return status == "diverged" or (status == "finished" and not self._lacks_scores(job))

    def _lacks_scores(self, job: Job) -> bool:
        """Whether a finished run lacks the final score of a metric with the right version and number of samples."""
        rows = RunFolder(Path(job.folder)).read_curve()
        last = max((int(row["iteration"]) for row in rows), default=0)
        have = {(row["metric"], row["version"], row["n"]) for row in rows if int(row["iteration"]) == last}
        made = (self.registry.get("metrics", name) for name in job.schedule.metrics)
        wanted = (metric for metric in made if metric.needs <= job.schedule.samples)
        return any((m.name, str(m.version), str(job.schedule.samples)) not in have for m in wanted)
