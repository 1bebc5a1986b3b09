"""Estimates of the duration of runs: from earlier runs on this machine, or from a probe of a few iterations."""

from __future__ import annotations

import contextlib
import heapq
import math
import multiprocessing
import multiprocessing.connection
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path

import torch

from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError
from gan_bench.planning.planned import Planned
from gan_bench.plugins.registry import Registry
from gan_bench.running.machine import gpu_name
from gan_bench.running.provenance import cpu_name
from gan_bench.store.records import Ledger, RunRecord
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.assembly import make_trainer
from gan_bench.training.trainer import Trainer

PROBE_WARMUP = 3  # iterations
PROBE_ITERATIONS = 12
PROBE_SECONDS = 1.0  # limit for the warm-up and for the measurement, each
BAD_FORK = "in combination with fork-based multiprocessing"
"""Part of the message of torch's autograd in a fork that cannot use it."""

PATIENCE = 60.0  # longest time of a probe

LEAST_SECONDS = 1.0
"""Training seconds from which an earlier run's speed is used: first iterations are slower than later ones."""


@dataclass(frozen=True)
class Estimates:
    """Expected seconds of runs.

    Attributes:
        seconds: by key, expected for the rest of each run; NaN if unknown.
        measured: configurations whose speed comes from earlier runs, evaluation included.
        probed: configurations whose speed comes from a few uncompiled iterations, without evaluation.
        failed: configurations whose first iterations failed.
    """

    seconds: Mapping[str, float]
    measured: frozenset[str] = frozenset()
    probed: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()

    @property
    def unknown(self) -> bool:
        """Whether any run's time is unknown."""
        return any(map(math.isnan, self.seconds.values()))

    def source(self, *, compiled: bool) -> str:
        """Describe the sources of the estimates and the time that they omit.

        Args:
            compiled: whether any iterations will be compiled.
        """
        if not self.probed:
            return "from earlier runs on this machine" + ("; unknown for other models" if self.unknown else "")
        left_out = "excluding evaluation" + (" and the speed-up by compilation" if compiled else "")
        some = "from a few iterations of models without an earlier run" if self.measured else "from a few iterations"
        return f"{some}, {left_out}" + ("; unknown for some models" if self.unknown else "")


def estimate(
    todo: Sequence[Job],
    registry: Registry,
    *,
    results: Path,
    workers: int,
    probe: bool = True,
    budget: float = math.inf,
    jobs: Sequence[Job] = (),
) -> Estimates:
    """Estimate the seconds that each run takes.

    Args:
        todo: the runs.
        results: the folder of all results; runs of other benchmarks on the same data are used as well.
        workers: probes at the same time.
        probe: whether to measure models without an earlier run.
        budget: seconds for all probes together; configurations beyond the budget stay unknown.
        jobs: more runs of the benchmark, done or not, whose speed is preferred.
    """
    one_of = {job.run.configuration: job for job in reversed(todo)}
    earlier = _EarlierRuns([*jobs, *todo], results)
    rates = {name: found for name, job in one_of.items() if (found := earlier.rate(job))}
    unknown = [job for name, job in one_of.items() if name not in rates and not job.run.model.anchor]
    probes = _probe(unknown, registry, workers, budget) if probe else {}
    seconds = {}
    for job in todo:
        rate = rates.get(job.run.configuration) or _Rate(probes.get(job.run.configuration, math.nan))
        seconds[job.run.key] = 0.0 if job.run.model.anchor and rate.unknown else rate.seconds(_left(job))
    return Estimates(
        seconds,
        frozenset(rates),
        frozenset(name for name, found in probes.items() if not math.isnan(found)),
        frozenset(name for name, found in probes.items() if math.isnan(found)),
    )


@dataclass(frozen=True)
class _Rate:
    """Seconds of one iteration, and fixed seconds of a run."""

    iteration: float
    once: float = 0.0

    @property
    def unknown(self) -> bool:
        return math.isnan(self.iteration)

    def seconds(self, iterations: int) -> float:
        return self.iteration * iterations + self.once


def _left(job: Job) -> int:
    if job.run.model.anchor:
        return 0
    record = _record(Path(job.folder))
    return job.run.protocol.iterations - (record.iteration if record else 0)


# --- earlier runs ---------------------------------------------------------------------------------------------


class _EarlierRuns:
    """Stored runs of this and of other benchmarks. Each folder is read once, whatever the number of jobs."""

    def __init__(self, jobs: Sequence[Job], results: Path) -> None:
        self._results = results
        self._folders: dict[str, set[Path]] = defaultdict(set)
        for job in jobs:
            self._folders[job.run.configuration].add(Path(job.folder))
        self._records = cache(_record)
        self._others = cache(lambda name: tuple(results.glob(f"*/runs/{name}")))

    def rate(self, job: Job) -> _Rate | None:
        """Speed of the longest earlier run of the same work on this machine."""
        own = self._folders[job.run.configuration]
        others = self._others(f"{job.run.dataset.plugin}-{job.run.model.plugin}-s*")
        for folders, least in ((own, 0.0), (others, LEAST_SECONDS)):
            records = [record for folder in folders if (record := self._records(folder)) and _same_work(record, job)]
            fitting = [record for record in records if record.ledger and record.ledger.train_seconds >= least]
            if fitting:
                return _rate(
                    max(fitting, key=lambda record: (_compiled(record) == job.likely_compiled, record.iteration))
                )
        return None


def _record(folder: Path) -> RunRecord | None:
    with contextlib.suppress(StoreError):  # a damaged run of another benchmark must not stop this one
        return RunFolder(folder).read()
    return None


def _same_work(record: RunRecord, job: Job) -> bool:
    """Whether a stored run equals the job, up to the number of iterations, on a machine like this one.

    If other machines execute the job, because it needs a GPU and this machine has none, a run on any GPU is equal.
    """
    run, ledger = job.run, record.ledger
    if ledger is None or record.check is not None or not (record.iteration or run.model.anchor):
        return False
    if _lacks_gpu(job):
        here = ledger.device != "cpu"
    else:
        device = gpu_name() if job.device == "cuda" else "cpu"
        places = (record.provenance, *record.resumed)
        here = ledger.device == device and all(place.cpu == cpu_name() for place in places)
    data = (record.dataset.plugin, record.dataset.params) == (run.dataset.plugin, run.dataset.params)
    model = (record.model.plugin, record.model.params) == (run.model.plugin, run.model.params)
    return here and data and model and replace(record.protocol, iterations=run.protocol.iterations) == run.protocol


def _lacks_gpu(job: Job) -> bool:
    """Whether a job needs a GPU and this machine has none."""
    return job.device == "cuda" and not torch.cuda.is_available()


def _compiled(record: RunRecord) -> bool:
    return record.ledger is not None and record.ledger.plan is not None and record.ledger.plan.compiled


def _rate(record: RunRecord) -> _Rate:
    ledger = record.ledger or Ledger()
    if not record.iteration:  # an anchor only evaluates
        return _Rate(0.0, ledger.evaluation_seconds)
    return _Rate((ledger.train_seconds + ledger.evaluation_seconds) / record.iteration, ledger.compile_seconds)


# --- probes ---------------------------------------------------------------------------------------------------


def _probe(jobs: Sequence[Job], registry: Registry, workers: int, budget: float) -> dict[str, float]:
    """Seconds an iteration by configuration; NaN for a model that fails. Those beyond the budget are missing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _probe_in_groups(jobs, registry, workers, budget)
    finally:
        torch.set_num_threads(threads)


def _probe_in_groups(jobs: Sequence[Job], registry: Registry, workers: int, budget: float) -> dict[str, float]:
    if any(_lacks_gpu(job) for job in jobs):
        return {}
    deadline = time.monotonic() + budget
    found: dict[str, float] = {}
    forked = jobs and jobs[0].device == "cpu" and "fork" in multiprocessing.get_all_start_methods()
    at_once = workers if forked else 1
    for some in (jobs[start : start + at_once] for start in range(0, len(jobs), at_once)):
        left = min(PATIENCE, deadline - time.monotonic())
        if left <= 0:
            break
        if forked:
            found |= _in_children(some, registry, left)
        else:  # CUDA does not survive a fork
            times = {job.run.configuration: _timed_or_nan(job, registry) for job in some}
            found |= {name: seconds for name, seconds in times.items() if seconds is not None}
    return found


def _in_children(jobs: Sequence[Job], registry: Registry, patience: float) -> dict[str, float]:
    """Probe each job in a separate process: a plugin that crashes must not end the command."""
    context = multiprocessing.get_context("fork")
    deadline, found, children = time.monotonic() + patience, {}, []
    try:
        for job in jobs:
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(target=_send_time, args=(job, registry, theirs), daemon=True)
            child.start()
            theirs.close()
            children.append((child, ours))
        for job, (_, pipe) in zip(jobs, children, strict=True):
            try:
                if pipe.poll(max(0.0, deadline - time.monotonic())) and (seconds := pipe.recv()) is not None:
                    found[job.run.configuration] = seconds
            except EOFError:  # the process crashed
                found[job.run.configuration] = math.nan
        return found
    finally:
        for child, pipe in children:
            child.kill()
            child.join()
            pipe.close()


def _send_time(job: Job, registry: Registry, pipe: multiprocessing.connection.Connection) -> None:
    # The command handles Ctrl-C and then kills this process; its other handlers must not run here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    pipe.send(_timed_or_nan(job, registry))


def _timed_or_nan(job: Job, registry: Registry) -> float | None:
    """Seconds an iteration; NaN if the model fails, None if it cannot be measured in this process."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the results of the command
            return _timed(make_trainer(job.run, registry, job.device))
    except Exception as error:  # a plugin may raise anything; its run reports it
        # Autograd raises in a fork of a process that compiled something; that is not an error of the model.
        return None if BAD_FORK in str(error) else math.nan


def _timed(trainer: Trainer) -> float:
    started = time.perf_counter()
    for _ in range(PROBE_WARMUP):
        trainer.iterate()
        if time.perf_counter() - started > PROBE_SECONDS:
            break
    started, done = time.perf_counter(), 0
    while done < PROBE_ITERATIONS and time.perf_counter() - started < PROBE_SECONDS:
        trainer.iterate()
        done += 1
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / done


# --- forecast -------------------------------------------------------------------------------------------------


class Forecast:
    """Expected end of each run, corrected by the progress that runs report."""

    def __init__(self, groups: Sequence[Sequence[Job]], estimates: Estimates, workers: int) -> None:
        """`groups` are in the order in which they start; the runs of a group train together."""
        self._groups = {number: [job.run.key for job in group] for number, group in enumerate(groups)}
        self._number = {key: number for number, group in self._groups.items() for key in group}
        self._size = {key: len(group) for group in self._groups.values() for key in group}
        self._configuration = {job.run.key: job.run.configuration for job in chain.from_iterable(groups)}
        self._same: dict[str, list[str]] = defaultdict(list)
        for key, name in self._configuration.items():
            self._same[name].append(key)
        self._seconds = dict(estimates.seconds)
        self._workers = workers
        self._known: dict[str, tuple[float, float]] = {}  # seconds left of runs, and when they reported them
        self._started: dict[str, float] = {}

    def start(self, key: str) -> None:
        """Record that a run has started."""
        self._started[key] = time.monotonic()

    def report(self, key: str, seconds_left: float) -> None:
        """Record the remaining time that a run reports."""
        self._known[key] = (seconds_left, time.monotonic())

    def end(self, key: str, *, finished: bool) -> None:
        """Record that a run has ended; scale the estimates of its configuration's other seeds by the observed ratio."""
        started, ended = self._started.pop(key, None), time.monotonic()
        number = self._number[key]
        self._groups[number] = [each for each in self._groups.get(number, ()) if each != key]
        if not self._groups[number]:
            del self._groups[number]
        if finished and started is not None:
            share, expected = (ended - started) / self._size[key], self._seconds[key]
            for each in self._same[self._configuration[key]]:
                if math.isnan(expected):
                    self._seconds[each] = share
                elif expected > 0:
                    self._seconds[each] *= share / expected

    def ends(self) -> dict[str, float]:
        """Seconds from now until each run ends; empty if all runs are unknown."""
        typical = self._typical()
        if typical is None:
            return {}
        now = time.monotonic()
        free = [0.0] * self._workers
        ends: dict[str, float] = {}
        # A started group already occupies its worker, so it comes before any other.
        for group in sorted(self._groups.values(), key=lambda group: group[0] not in self._started):
            start = heapq.heappop(free)
            end = start + max(0.0, self._of_group(group, typical, now))
            heapq.heappush(free, end)
            ends |= dict.fromkeys(group, end)
        return ends

    def _typical(self) -> float | None:
        """Mean duration of the runs with known durations, else of those that report theirs: expected for the others."""
        known = [value for value in self._seconds.values() if not math.isnan(value)]
        if not any(known):
            found = ((key, *self._known[key]) for key in self._started if key in self._known)
            known = [(when - self._started[key] + seconds) / self._size[key] for key, seconds, when in found]
        return sum(known) / len(known) if any(known) else None

    def _of_group(self, group: Sequence[str], typical: float, now: float) -> float:
        reported = [self._known[key] for key in group if key in self._known]
        if reported:
            return max(seconds - (now - when) for seconds, when in reported)
        expected = sum(typical if math.isnan(self._seconds[key]) else self._seconds[key] for key in group)
        began = self._started.get(group[0])
        return expected if began is None else expected - (now - began)


def longest_first(jobs: Sequence[Job], estimates: Estimates) -> list[Job]:
    """Order jobs seed by seed, and within a seed the longest first, so that runs of a seed end together."""
    seeds: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        seeds[job.run.seed].append(job)

    def seconds(job: Job) -> float:
        found = estimates.seconds.get(job.run.key, math.nan)
        return math.inf if math.isnan(found) else found  # an unknown run may be the longest

    return [job for each in seeds.values() for job in sorted(each, key=seconds, reverse=True)]


PROBE_FROM = 1_000
"""Number of iterations from which a probe of a model before its run is worth the time."""

PROBE_BUDGET = 20.0
"""Time limit for all probes together, in seconds."""


def estimate_runs(planned: Planned, todo: Sequence[Job], log: Callable[[str], None]) -> Estimates:
    """Estimate runs from earlier ones; probe models without any if their runs are long enough."""
    long = any(job.run.protocol.iterations >= PROBE_FROM and not job.run.model.anchor for job in todo)
    known = partial(estimate, todo, planned.registry, results=planned.folder.parent, workers=planned.workers)
    found = known(jobs=planned.jobs, probe=False)
    if planned.mode == "quick" or planned.device != "cpu" or not long or not found.unknown:
        return found
    log(f"Timing models that have no earlier run on this machine, for at most {PROBE_BUDGET:.0f} s.")
    return known(jobs=planned.jobs, budget=PROBE_BUDGET)
