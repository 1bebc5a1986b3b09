"""Time and memory of plans, queues and results of thousands of runs.

    python tools/speed/scale.py                      1,000, 3,000 and 10,000 runs: several minutes
    python tools/speed/scale.py --runs 200 1000      other numbers, in hundreds

A benchmark of 18 models and two anchors on ten datasets has as many seeds as the number of runs requires. Nothing is
trained; stored runs are fabricated. Each number of runs has a process of its own. Printed are milliseconds of
processor time per run, and their ratio to those of the smallest number: about 1 for a step whose time is linear.

    plan          `prepare` with an empty results folder, which all commands begin with
    dry run       the plan as `gan-bench run --dry-run` prints it, without probes of models
    lists         estimates, order and interim tables before the first run
    take          a slot takes all runs; every tenth is lost once
    forecast      the end of every run is reported, without tables
    enqueue       `gan-bench run --enqueue`
    queue         a worker reads the queue
    next          a worker looks for its next run; others have all runs but the last
    stored plan   `prepare` with a results folder in which nine of ten runs are finished
    stored dry    the same for the dry run
    table         results.csv and the tables of these runs
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gan_bench.cli.run import print_plan
from gan_bench.contracts.observer import Observer
from gan_bench.planning.jobs import stacks
from gan_bench.planning.planned import Planned
from gan_bench.report.tables.build import write_tables
from gan_bench.results.load import write_results_csv
from gan_bench.running import estimate
from gan_bench.running.benchmark_json import describe
from gan_bench.running.engines.cluster.groups import Groups
from gan_bench.running.enqueue import enqueue
from gan_bench.running.interim_tables import InterimTables
from gan_bench.running.record import start_record
from gan_bench.store.job_queue import read_queue
from gan_bench.store.layout import CURVE_COLUMNS
from gan_bench.store.leases import Lease, Leases, write_lease
from gan_bench.store.records import Ledger, encode
from tests.support import project

GENERATORS = range(2, 20)
MODES = range(4, 14)
RUNS_OF_A_SEED = (len(GENERATORS) + 2) * len(MODES)
LOST = 10
"""One of so many runs is lost once, or not stored."""


@dataclass
class Times:
    """Seconds of processor time of each step in the main thread, and the memory of the process in MB."""

    seconds: dict[str, float] = field(default_factory=dict)
    memory: float = 0.0

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Measure a step."""
        started = time.thread_time()
        yield
        self.seconds[step] = time.thread_time() - started
        self.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a table with a column for each number of runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 3000, 10_000], metavar="N")
    given = parser.parse_args()
    found = {}
    for runs in given.runs:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[runs] = pool.apply(measure, (max(1, runs // RUNS_OF_A_SEED),))
        print(f"{runs} runs: {found[runs].memory:.0f} MB at most", flush=True)
    least = min(found)
    print("\n" + "step".ljust(12) + "".join(f"{runs:>12} runs   ratio" for runs in found))
    for step in found[least].seconds:
        each = {runs: 1000 * times.seconds[step] / runs for runs, times in found.items()}
        cells = (f"{value:14.3f} ms {value / (each[least] or 1e-9):7.2f}" for value in each.values())
        print(step.ljust(12) + "".join(cells))


def measure(seeds: int) -> Times:
    """Measure all steps with this number of seeds."""
    times = Times()
    estimate.PROBE_BUDGET = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        described = benchmark(seeds)
        _plan(described, folder, times, "")
        planned = project.plan(described, folder)
        _engine(planned, times)
        _queue(planned, times)
        store(planned)
        _plan(described, folder, times, "stored ")
        with times.of("table"):
            write_results_csv(planned.folder)
            write_tables(planned.folder)
    return times


def benchmark(seeds: int) -> dict[str, Any]:
    """Describe the benchmark."""
    return project.describe(
        [{"plugin": "mgan", "label": f"mgan {each}", "generators": each} for each in GENERATORS],
        name="scale",
        seeds=seeds,
        dataset=[{"plugin": "ring8", "label": f"ring {each}", "modes": each} for each in MODES],
        evaluation={"anchors": True},
    )


def _plan(described: Mapping[str, Any], folder: Path, times: Times, prefix: str) -> None:
    with times.of(f"{prefix}plan"):
        planned = project.plan(described, folder)
    with times.of(f"{prefix}dry run".strip()), contextlib.redirect_stdout(io.StringIO()):
        print_plan(planned)


def _engine(planned: Planned, times: Times) -> None:
    """Measure what a command does for each run, without the run."""
    jobs = planned.todo
    with times.of("lists"):
        found = estimate.estimate(jobs, planned.registry, results=planned.folder.parent, workers=4, probe=False)
        groups = stacks(estimate.longest_first(jobs, found))
        forecast = estimate.Forecast(groups, found, 4)
        watch = InterimTables(planned.folder, planned.jobs, {}, groups, forecast, Observer())
    with times.of("take"):
        take_all(planned)
    watch._write = lambda complete: None  # type: ignore[method-assign]  # is measured below
    with times.of("forecast"):
        for job in jobs:
            watch.started(job.run)
            watch.ended(job.run, "finished", "")


def take_all(planned: Planned) -> None:
    """Take all groups of a planned benchmark as one slot; every tenth is lost once and waits."""
    now = 0.0
    waiting, taken = Groups(planned.jobs, clock=lambda: now), 0
    while waiting:
        group = waiting.take("a", {"a"})
        if group is None:
            now += 1.0
            continue
        taken += 1
        if taken % LOST == 0 and not group.losses:
            waiting.repeat(group, group.jobs, 0, "a", "lost")
        now += 0.01


def _queue(planned: Planned, times: Times) -> None:
    with times.of("enqueue"):
        enqueue(planned, lambda line: None)
    with times.of("queue"):
        units = read_queue(planned.folder).units(planned.folder)
    leases = Leases("here", 60.0)
    for unit in units[:-1]:
        write = unit.lease
        write.parent.mkdir(parents=True, exist_ok=True)
        write_lease(write, Lease("another", ended=()))
    with times.of("next"):
        for unit in units:
            leases.look(unit)


def store(planned: Planned) -> None:
    """Write a finished run in place of nine of ten jobs."""
    (planned.folder / "benchmark.json").write_text(encode(describe(planned)), encoding="utf-8")
    lines = [",".join(CURVE_COLUMNS)]
    lines += [f"{t},,{metric},{1 + t},200,1" for t in (0, 10, 20, 30) for metric in project.METRICS]
    ledger = Ledger(parameters={"generator": 100}, updates={"generator": 30}, train_seconds=2.0, evaluation_seconds=1.0)
    records: dict[str, Any] = {}
    for number, job in enumerate(planned.jobs):
        if number % LOST == 0:
            continue
        name = job.run.configuration
        if name not in records:
            records[name] = start_record(job, planned.registry, None)
        record = replace(
            records[name],
            key=job.run.key,
            seed=job.run.seed,
            status="finished",
            iteration=records[name].iterations,
            ledger=ledger,
        )
        folder = Path(job.folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(encode(record), encoding="utf-8")
        (folder / "curve.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
