"""Checks that an engine keeps the promises of `gan_bench.contracts.engine`, by tiny runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gan_bench.contracts.engine import Place, PlaceRequest, Setup
from gan_bench.contracts.events import Evaluated, Progress
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.protocol import Protocol
from gan_bench.contracts.run import DatasetRef, Job, ModelRef, Plain, Run, Schedule
from gan_bench.errors import PluginError, StoreError, UsageError
from gan_bench.files import locked
from gan_bench.planning.jobs import stacks
from gan_bench.plugins.registry import Registry
from gan_bench.store.records import RunRecord
from gan_bench.store.run_folder import RunFolder
from gan_bench.testing import common
from gan_bench.testing.checks import Absent, Check, first_line, place, refuse
from gan_bench.testing.engine_place import check_place, place_for
from gan_bench.testing.output import captured
from gan_bench.testing.settings import made, settings

WORKERS = 2
"""Number of runs at the same time."""

STEPS = 10
"""Iterations of a run, half of which are the interval of its evaluations."""

SECONDS = 0.6
"""Least duration of a run that reports progress: longer than the interval of its reports."""

LONGEST = 300.0
"""Seconds after which a call of `run` is ended, because it waits for something that does not happen."""

RESULTS, FACTS = "results", "facts"
"""Folders of a workplace."""

PROBE = '''
"""Plugins of the contract kit for runs that end in every way."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gan_bench import Dataset, Discriminator, Generators, Model, Network, Real, bce_fake, bce_real, hookimpl, param


class Points(Dataset):
    """Points of a normal distribution."""

    name = "kit-points"
    shape = (2,)

    def draw(self, n, rng):
        return Real(torch.randn(n, 2, generator=rng, device=rng.device))

    held_out = draw


class Weights(Generators):
    def __init__(self, latent_size, size, count):
        super().__init__()
        self.weight = nn.Parameter(torch.full((count, latent_size, size), 0.1))

    def forward(self, z):
        return z @ self.weight


class Score(Discriminator):
    def __init__(self, size, heads):
        super().__init__()
        self.layers = nn.ModuleDict({name: nn.Linear(size, 1) for name in heads})

    def forward(self, x):
        return {name: layer(x).squeeze(-1) for name, layer in self.layers.items()}


class Small(Network):
    """One linear layer."""

    name = "kit-network"

    def refuses(self, dataset):
        return None

    def generators(self, latent_size, shape, count, shared):
        return Weights(latent_size, shape[0], count)

    def discriminator(self, shape, heads, copies):
        return Score(shape[0], heads)


class Probe(Model):
    """GAN that ends as requested."""

    name = "kit-probe"

    @dataclass(frozen=True)
    class Params:
        ending: str = param("finished", "End: finished, failed, diverged, warned or killed.")
        pause: float = param(0.0, "Seconds of an iteration.", low=0)
        folder: str = param("", "Folder for facts about processes.")
        spared: int = param(0, "Process that is never killed.", low=0)

    def build(self, networks):
        self.note()
        return {"discriminator": networks.discriminator({"source": None}), "generator": networks.generators()}

    def turns(self, iteration):
        time.sleep(self.params.pause)
        if iteration == 3:
            self.end()
        return super().turns(iteration)

    def end(self):
        if self.params.ending == "failed":
            raise RuntimeError("no luck")
        if self.params.ending == "diverged":
            with torch.no_grad():
                next(self.generator.parameters()).fill_(float("nan"))
        if self.params.ending == "warned":
            os.environ["GAN_BENCH_KIT"] = "1"
        if self.params.ending == "killed" and os.getpid() != self.params.spared:
            with suppress(OSError):  # only once: an engine may repeat the run
                Path(self.params.folder, "killed").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)

    def note(self):
        """Write a file with the open files of the process."""
        files = []
        with suppress(OSError):
            for each in os.listdir("/proc/self/fd"):
                with suppress(OSError):
                    files.append(os.readlink(f"/proc/self/fd/{each}"))
        with suppress(OSError):  # on another machine there is no such folder
            Path(self.params.folder, f"process-{os.getpid()}").write_text("\\n".join(files))

    def discriminator_loss(self, real, fake):
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, fake):
        return bce_real(self.discriminator(fake.x)["source"])


@hookimpl
def gan_bench_datasets():
    return [Points]


@hookimpl
def gan_bench_networks():
    return [Small]


@hookimpl
def gan_bench_models():
    return [Probe]
'''
"""Plugin in a folder that the engine has to load."""

MEAN = '''
"""Metric of the contract kit."""

import numpy as np

from gan_bench import Metric, hookimpl


class Mean(Metric):
    """Mean of the samples."""

    name = "kit_mean"
    direction = "none"
    unit = ""

    def compute(self, samples):
        return float(np.mean(samples.x))


@hookimpl
def gan_bench_metrics():
    return [Mean]
'''
"""Plugin file that the engine has to load."""


def checks(cls: type[Any], registry: Registry | None) -> list[Check]:
    """Return the checks of one engine; they need no other plugins."""
    subject = _Subject(cls)
    described = Check("description", "the class has a docstring", subject.described)
    parameters = Check("parameters", "parameters have a line of explanation and valid defaults", subject.parameters)
    constructs = Check("constructs", "it keeps all allowed parameters", subject.constructs, (parameters,))
    where = Check("place", "its place fulfils or refuses each request", subject.where, (parameters,))
    returns = Check("returns", "run() returns True after the last run", subject.returns, (constructs, where))
    ends = Check("ends", "every run ends, whatever happens to others", subject.ends, (returns,))
    once = Check("once", "no run is executed twice", subject.once, (ends,))
    reports = Check("reports", "start and end of each run are reported once, as stored", subject.reports, (ends,))
    events = Check("events", "all events of the runs are reported, unchanged", subject.events, (reports,))
    workers = Check("workers", "no more runs at the same time than workers", subject.workers, (reports,))
    output = Check("output", "nothing is printed to standard output", subject.output, (returns,))
    interrupt = Check("interrupt", "Ctrl-C stops the runs after their checkpoints", subject.interrupt, (events,))
    files = Check("files", "it leaves no files of its own in the results", subject.files, (returns,))
    lock = Check("lock", "processes of this machine inherit the lock", subject.lock, (returns,))
    resumes = Check("resumes", "the next call finishes interrupted runs", subject.resumes, (interrupt,))
    lost = Check("lost", "a run whose process is killed ends, and no other one is affected", subject.lost, (events,))
    described_first = [described, parameters, constructs, where]
    return [
        *described_first,
        returns,
        ends,
        once,
        reports,
        events,
        workers,
        output,
        files,
        lock,
        interrupt,
        resumes,
        lost,
    ]


@dataclass(frozen=True)
class Reported:
    """One call of an observer: the method, the run and further arguments."""

    method: str
    run: Run
    arguments: tuple[Any, ...] = ()


class _Recorder(Observer):
    """Observer that records what an engine reports.

    Args:
        interrupted: whether to interrupt the process at the first evaluation, as Ctrl-C in a terminal does.
    """

    name = "kit-recorder"

    def __init__(self, *, interrupted: bool = False) -> None:
        super().__init__()
        self.calls: list[Reported] = []
        self.stops = 0
        self._interrupts = interrupted
        self._lock = threading.Lock()

    def of(self, run: Run) -> list[Reported]:
        """Return the calls about a run."""
        return [call for call in self.calls if call.run.key == run.key]

    def _record(self, method: str, run: Run, *arguments: Any) -> None:
        with self._lock:
            self.calls.append(Reported(method, run, arguments))

    def started(self, run: Run) -> None:
        """Record the call."""
        self._record("started", run)

    def progress(self, run: Run, event: Progress) -> None:
        """Record the call."""
        self._record("progress", run, event)

    def warning(self, run: Run, message: str) -> None:
        """Record the call."""
        self._record("warning", run, message)

    def ended(self, run: Run, status: str, error: str) -> None:
        """Record the call."""
        self._record("ended", run, status, error)

    def evaluated(self, run: Run, event: Evaluated) -> None:
        """Record the call, and interrupt the process at the first one."""
        self._record("evaluated", run, event)
        if self._interrupts:
            self._interrupts = False
            for process in _children_in_terminal():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


class _Overdue(BaseException):
    """`run` has not returned in time. No subclass of Exception, which the engine could handle."""


@dataclass
class _Execution:
    """One call of an engine's `run`.

    Attributes:
        jobs: what it was to execute.
        recorder: what it reported.
        returned: its return value.
        error: the exception that it raised, KeyboardInterrupt included.
        printed: text on standard output.
        records: run.json of each job, by key.
        scores: by key of the run, the stored scores at each evaluated iteration.
        lock: path of the results folder's lock, if the system has it.
        left: names in the results folder that neither gan-bench nor a run has created.
        processes: of the runs, with the paths of their open files; empty on another machine.
    """

    jobs: Sequence[Job]
    recorder: _Recorder
    returned: Any = None
    error: BaseException | None = None
    printed: str = ""
    records: dict[str, RunRecord | None] = field(default_factory=dict)
    scores: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    lock: str = ""
    left: Sequence[str] = ()
    processes: dict[int, Sequence[str]] = field(default_factory=dict)

    def status(self, job: Job) -> str:
        """Return the status that the folder of a job contains."""
        record = self.records[job.run.key]
        return "not started" if record is None else record.status


class _Subject:
    """Class of an engine under check, with the checks as methods."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    @cached_property
    def complete(self) -> _Execution:
        """Runs of all endings, executed to their ends."""
        with _workplace() as folder:
            jobs = [
                _job(folder, "finished", 0),
                _job(folder, "failed", 0),
                _job(folder, "diverged", 0),
                _job(folder, "warned", 0),
                _job(folder, "finished", 1, pause=SECONDS / STEPS),
                _job(folder, "finished", 0, label="stacked", stack=2),
                _job(folder, "finished", 1, label="stacked", stack=2),
            ]
            return self._execute(folder, jobs, WORKERS)

    @cached_property
    def stopped(self) -> tuple[_Execution, _Execution]:
        """Runs that are interrupted at the first evaluation, and the same runs executed again."""
        if threading.current_thread() is not threading.main_thread():
            raise Absent("signals can only be sent in the main thread")
        with _workplace() as folder:
            jobs = [_job(folder, "finished", seed, pause=SECONDS / STEPS / 2) for seed in range(3)]
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                first = self._execute(folder, jobs, 1, interrupted=True)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                return first, self._execute(folder, jobs, 1)
            finally:
                signal.signal(signal.SIGINT, before)

    @cached_property
    def bereft(self) -> _Execution:
        """Runs of which one kills its process, once."""
        if not self.complete.processes:
            raise Absent("the processes of the runs are unknown, so none is killed")
        if os.getpid() in self.complete.processes:
            raise Absent("runs are executed in the process of the command, which is not killed")
        with _workplace() as folder:
            jobs = [_job(folder, "finished", 0), _job(folder, "killed", 0), _job(folder, "finished", 1)]
            return self._execute(folder, jobs, WORKERS)

    def _execute(self, folder: Path, jobs: Sequence[Job], workers: int, *, interrupted: bool = False) -> _Execution:
        plugins, metric, results = folder / "plugins", folder / "mean.py", folder / RESULTS
        plugins.mkdir(exist_ok=True)
        (plugins / "probe.py").write_text(PROBE, encoding="utf-8")
        metric.write_text(MEAN, encoding="utf-8")
        done = _Execution(jobs, _Recorder(interrupted=interrupted))
        params, workers = made(self.cls), self._workers(workers)
        with locked(results) as lock, captured() as printed:
            before = _names(results, jobs)
            with contextlib.suppress(OSError):
                done.lock = os.readlink(f"/proc/self/fd/{lock}")
            try:
                engine = self.cls(
                    Setup(workers, [plugins, metric], lock, results=results, params=params), done.recorder
                )
                with _limited(LONGEST):
                    done.returned = engine.run(list(jobs))
            except (Exception, SystemExit, KeyboardInterrupt, _Overdue) as error:
                if isinstance(error, KeyboardInterrupt) and not interrupted:
                    raise  # Ctrl-C of the user
                done.error = error
            done.printed = printed()
            done.left = sorted(_names(results, jobs) - before)
        for job in jobs:
            store = RunFolder(Path(job.folder))
            with contextlib.suppress(StoreError):
                done.scores[job.run.key] = _scores(store.read_curve())
            done.records[job.run.key] = store.read()
        for path in (folder / FACTS).glob("process-*"):
            done.processes[int(path.name.removeprefix("process-"))] = path.read_text(encoding="utf-8").split("\n")
        return done

    def _workers(self, most: int) -> int:
        """Number of runs at the same time that the engine's place has room for."""
        found = place_for(self.cls, PlaceRequest("cpu", most))
        if isinstance(found, UsageError):
            raise Absent(f"runs cannot be executed here: {found}")
        return min(most, found.workers) if isinstance(found, Place) else most

    def described(self) -> None:
        common.check_described(self.cls)

    def parameters(self) -> None:
        common.check_parameters(self.cls)

    def constructs(self) -> None:
        with _workplace() as folder:
            for setting in settings(self.cls):
                setup = Setup(1, [], -1, results=folder / RESULTS, params=setting.params)
                try:
                    engine = self.cls(setup, _Recorder())
                except UsageError:  # parameters may be refused
                    continue
                except Exception as error:  # a plugin may raise anything
                    refuse(
                        f"__init__() raises {first_line(error)}{place(error)} with {setting}",
                        "a benchmark with these parameters could not run",
                        "raise gan_bench.UsageError for parameters that are not allowed",
                    )
                if getattr(engine, "params", None) != setting.params:
                    refuse(
                        f"the engine has other parameters than it received, with {setting}",
                        "a benchmark that sets them would have no effect",
                        "call super().__init__(setup, observer), and read self.params",
                    )

    def where(self) -> None:
        check_place(self.cls)

    def returns(self) -> None:
        done = self.complete
        _refuse_overdue(done)
        if isinstance(done.error, PluginError):
            refuse(
                f"run() raises {first_line(done.error)}",
                "runs use plugins of files as well as installed ones",
                "execute jobs with load_plugins(self.setup.plugin_places), in each process",
            )
        if done.error is not None:
            refuse(
                f"run() raises {first_line(done.error)}{place(done.error)}",
                "the command would end without its tables",
                "end a run that has failed like any other: execute() records the error in its folder",
            )
        if done.returned is not True:
            refuse(
                f"run() returns {done.returned!r} after the last run",
                "the command would report that Ctrl-C has stopped it",
                "return True",
            )

    def ends(self) -> None:
        done = self.complete
        expected = {job.run.key: _expected(job) for job in done.jobs}
        for job in done.jobs:
            if done.status(job) != expected[job.run.key]:
                record = done.records[job.run.key]
                error = f" ({record.error})" if record is not None and record.error is not None else ""
                refuse(
                    f"run {_name(job)} is {done.status(job)}{error} in its folder after run(), expected "
                    f"{expected[job.run.key]}; the jobs before it end as {_endings(done, job)}",
                    "the table would lack its seed",
                    "call execute(job, load_plugins(setup.plugin_places), report, stop) for every job, also after a "
                    "run that has failed",
                )

    def once(self) -> None:
        done = self.complete
        for job in done.jobs:
            record = done.records[job.run.key]
            times = 1 + (0 if record is None else len(record.resumed))
            if times > 1:
                refuse(
                    f"run {_name(job)} ({done.status(job)}) was executed {times} times",
                    "a finished run costs time again, and two processes in one folder damage it",
                    "remove a job from the queue when it is started; the next command repeats failed runs",
                )

    def reports(self) -> None:
        done = self.complete
        for job in done.jobs:
            calls = done.recorder.of(job.run)
            _check_calls(job, [call.method for call in calls])
            status = next(call.arguments[0] for call in calls if call.method == "ended")
            if status != done.status(job):
                refuse(
                    f"ended() of run {_name(job)} is called with {status!r}, and its run.json has {done.status(job)!r}",
                    "the folder of a run is authoritative; the display would differ from the table",
                    "report the value that execute() returns",
                )
        strangers = [call for call in done.recorder.calls if call.run.key not in done.records]
        if strangers:
            refuse(
                f"{strangers[0].method}() is called with a run of no job",
                "observers look a run up by its key",
                "report job.run",
            )

    def events(self) -> None:
        done = self.complete
        for job in done.jobs:
            calls = done.recorder.of(job.run)
            for call in calls:
                key = getattr(call.arguments[0], "key", job.run.key) if call.arguments else job.run.key
                if key != job.run.key:
                    refuse(
                        f"{call.method}() is called with the run {_name(job)} and an event of another run",
                        "the display would show it in the wrong line",
                        "report an event with the run of its job: partial(observer.receive, job.run)",
                    )
            self._check_scores(job, [call.arguments[0] for call in calls if call.method == "evaluated"])
        self._check_arrival("warning", "warned", "Warned")
        self._check_arrival("progress", "finished", "Progress", seed=1)

    def _check_scores(self, job: Job, evaluated: Sequence[Evaluated]) -> None:
        stored = self.complete.scores.get(job.run.key, {})
        received = {event.iteration: dict(event.scores) for event in evaluated}
        lost = sorted(stored.keys() - received.keys())
        if lost:
            refuse(
                f"evaluated() is not called for run {_name(job)} at iteration {lost[0]}",
                "observers would lack its scores",
                "call observer.receive(job.run, event) for every event that execute() reports",
            )
        for iteration, scores in received.items():
            if stored.get(iteration) != scores:
                refuse(
                    f"evaluated() of run {_name(job)} at iteration {iteration} has the scores {scores}, and its "
                    f"curve.csv has {stored.get(iteration)}",
                    "observers would show other values than the table",
                    "forward the events of execute() as they are",
                )

    def _check_arrival(self, method: str, ending: str, event: str, *, seed: int = 0) -> None:
        job = next(job for job in self.complete.jobs if _ending(job) == ending and job.run.seed == seed)
        if not any(call.method == method for call in self.complete.recorder.of(job.run)):
            refuse(
                f"{method}() is not called for run {_name(job)}, which reports {event}",
                "observers would lack the event",
                "call observer.receive(job.run, event) for every event that execute() reports",
            )

    def workers(self) -> None:
        active: set[str] = set()
        stack_of = {job.run.key: number for number, stack in enumerate(stacks(self.complete.jobs)) for job in stack}
        for call in self.complete.recorder.calls:
            if call.method == "started":
                active.add(call.run.key)
            if call.method == "ended":
                active.discard(call.run.key)
            together = len({stack_of.get(key, key) for key in active})
            if together > WORKERS:
                refuse(
                    f"{together} runs are started and not ended, with setup.workers = {WORKERS}",
                    "runs would share cores or memory, and forecasts would be wrong",
                    "call started() when a run begins, and begin at most setup.workers at the same time",
                )

    def output(self) -> None:
        if text := self.complete.printed:
            refuse(
                f"run() prints to standard output: {text[:60]!r}",
                "standard output is for the table of the command",
                "report to the observer: observer.note(message)",
            )

    def files(self) -> None:
        if left := self.complete.left:
            refuse(
                f"run() leaves {left[0]} in the results folder",
                "results are copied, combined and published; a later command could take the file for something else",
                "remove it at the end of run(), also after an exception, or write it into a temporary folder",
            )

    def lock(self) -> None:
        done = self.complete
        if place_for(self.cls, PlaceRequest("cpu", WORKERS)) is not None:
            raise Absent("processes of other machines cannot have the lock")
        if not done.lock or not done.processes:
            raise Absent("the open files of processes are unknown on this system")
        if any(done.lock not in files for files in done.processes.values()):
            refuse(
                "a process of a run has not inherited setup.lock",
                "if the command is killed, another one would write to the results beside this process",
                "start processes with pass_fds=[self.setup.lock]",
            )

    def lost(self) -> None:
        done = self.bereft
        _refuse_overdue(done)
        if done.error is not None or done.returned is not True:
            what = f"returns {done.returned!r}" if done.error is None else f"raises {first_line(done.error)}"
            refuse(
                f"run() {what}{place(done.error) if done.error else ''} after the process of a run was killed",
                "one run that needs too much memory would end the whole benchmark",
                "repeat the run, or end it with gan_bench.settle(job, cause), and continue with the others",
            )
        for job in done.jobs:
            if done.status(job) not in (("finished", "failed") if _ending(job) == "killed" else ("finished",)):
                refuse(
                    f"run {_name(job)} is {done.status(job)} in its folder after the process of a run was killed",
                    "tables count runs by their folders; a run that nothing executes would be shown as active",
                    "call gan_bench.settle(job, cause) after the end of each process",
                )
            calls = done.recorder.of(job.run)
            _check_calls(job, [call.method for call in calls])
            status = calls[-1].arguments[0]
            if status != done.status(job):
                refuse(
                    f"ended() of run {_name(job)} is called with {status!r} after the process of a run was killed, and "
                    f"its run.json has {done.status(job)!r}",
                    "the folder of a run is authoritative; the display would differ from the table",
                    "report the status that gan_bench.settle(job, cause) returns",
                )

    def interrupt(self) -> None:
        done, _ = self.stopped
        _refuse_overdue(done)
        if done.error is not None and not isinstance(done.error, KeyboardInterrupt):
            refuse(
                f"run() raises {first_line(done.error)}{place(done.error)} after Ctrl-C",
                "the command would report a fault",
                "return False when the runs have stopped",
            )
        if all(done.status(job) == "finished" for job in done.jobs):
            refuse(
                f"run() executes all {len(done.jobs)} runs to their ends after Ctrl-C",
                "a benchmark of days could not be stopped",
                "on KeyboardInterrupt, let the argument `stop` of execute() return True, and start no further run",
            )
        if done.error is not None:  # the command handles it; work since the last checkpoints is repeated
            return
        if done.returned is not False:
            refuse(
                f"run() returns {done.returned!r} after Ctrl-C has stopped the runs",
                "the command would exit as if all runs had ended",
                "return False",
            )
        for job in done.jobs:
            self._check_stopped(done, job)

    def _check_stopped(self, done: _Execution, job: Job) -> None:
        """Check that a run of an interrupted command is in a state from which it resumes, and reported."""
        methods = [call.method for call in done.recorder.of(job.run)]
        if done.status(job) not in ("not started", "interrupted", "finished"):
            refuse(
                f"run {_name(job)} is {done.status(job)} in its folder after Ctrl-C",
                "it has not written a checkpoint, and its work is lost",
                "let the argument `stop` of execute() return True, and wait until it returns; start processes in a "
                "session of their own, as Ctrl-C in a terminal reaches all others at once",
            )
        if methods.count("started") != methods.count("ended"):
            refuse(
                f"ended() is called {_times(methods.count('ended'))} for run {_name(job)}, which Ctrl-C has stopped",
                "the display would show it as active",
                "call ended(job.run, status, error) after execute() returns, for an interrupted run as well",
            )

    def resumes(self) -> None:
        _, done = self.stopped
        _refuse_overdue(done)
        if done.error is not None:
            refuse(
                f"run() raises {first_line(done.error)}{place(done.error)} when runs are executed again after Ctrl-C",
                "an interrupted benchmark could not be resumed",
                "keep no state between two instances of the engine",
            )
        for job in done.jobs:
            if done.status(job) != "finished":
                refuse(
                    f"run {_name(job)} is {done.status(job)} after the runs are executed again after Ctrl-C",
                    "an interrupted benchmark could not be resumed",
                    "execute every job that run() receives",
                )


def _refuse_overdue(done: _Execution) -> None:
    if isinstance(done.error, _Overdue):
        refuse(
            f"run() has not returned after {LONGEST:.0f} s",
            "the command would wait for ever",
            "watch the processes of runs: one may be killed without a message",
        )


@contextlib.contextmanager
def _workplace() -> Iterator[Path]:
    """Temporary folder for results, plugins, and facts about processes."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        for each in (RESULTS, FACTS):
            (folder / each).mkdir()
        yield folder


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _Overdue in the block after some seconds, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise _Overdue

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again each second: a destructor may have ignored it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _names(results: Path, jobs: Sequence[Job]) -> set[str]:
    """Names in a results folder, without the folders of jobs."""
    runs = results / "runs"
    inside = {f"runs/{path.name}" for path in runs.iterdir()} if runs.is_dir() else set()
    own = {"runs", *(f"runs/{Path(job.folder).name}" for job in jobs)}
    return ({path.name for path in results.iterdir()} | inside) - own


def _children_in_terminal() -> list[int]:
    """Processes below this one that Ctrl-C in a terminal would reach as well; none if the system does not list them."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            _, parent, group = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:3]
            if int(group) == os.getpgrp():
                parents[int(path.parent.name)] = int(parent)
    found = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def _check_calls(job: Job, methods: Sequence[str]) -> None:
    """Check the order and number of the calls about a run."""
    counts = Counter(methods)
    for method in ("started", "ended"):
        if counts[method] != 1:
            refuse(
                f"{method}() is called {_times(counts[method])} for run {_name(job)}",
                "the display counts runs by it, and interim tables wait for it",
                f"call it once for each job, {'before' if method == 'started' else 'after'} execute()",
            )
    if methods[0] != "started" or methods[-1] != "ended":
        early = methods[0] != "started"
        refuse(
            f"{methods[0] if early else methods[-1]}() of run {_name(job)} is called "
            f"{'before started()' if early else 'after ended()'}",
            "observers know a run from its start to its end",
            "report started(), then the events as they arrive, then ended()",
        )


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _endings(done: _Execution, job: Job) -> str:
    before = done.jobs[: [each.run.key for each in done.jobs].index(job.run.key)]
    return ", ".join(done.status(each) for each in before) or "none"


def _job(folder: Path, ending: str, seed: int, *, pause: float = 0.0, label: str = "", stack: int = 1) -> Job:
    """Return a job whose run ends in a certain way."""
    label = label or ending
    configuration = hashlib.sha256(f"{label} {pause}".encode()).hexdigest()
    params: Plain = {"ending": ending, "pause": pause, "folder": str(folder / FACTS), "spared": os.getpid()}
    run = Run(
        benchmark="kit",
        label=label,
        dataset=DatasetRef("kit-points", {}, "kit-points"),
        model=ModelRef("kit-probe", params),
        protocol=Protocol(iterations=STEPS, batch=8, latent_size=2, network="kit-network"),
        seed=seed,
        configuration=configuration,
        key=hashlib.sha256(f"{configuration} {seed}".encode()).hexdigest(),
    )
    schedule = Schedule(every=STEPS if pause else STEPS // 2, samples=20, metrics=("kit_mean",), points=1)
    path = folder / RESULTS / "runs" / f"{label}-s{seed}"
    return Job(run, str(path), schedule, "cpu", compile="never", stack=stack)


def _ending(job: Job) -> str:
    return str(job.run.model.params["ending"])


def _expected(job: Job) -> str:
    return "finished" if _ending(job) == "warned" else _ending(job)


def _name(job: Job) -> str:
    return f"{job.run.label!r}, seed {job.run.seed}"


def _scores(rows: Sequence[Mapping[str, str]]) -> dict[int, dict[str, float]]:
    """Scores of the mixture by iteration, from the rows of a curve."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        if not row["generator"]:
            found.setdefault(int(row["iteration"]), {})[row["metric"]] = float(row["value"])
    return found
