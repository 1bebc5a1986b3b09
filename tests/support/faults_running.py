"""Engines and observers that break one promise each, which the contract kit has to find."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gan_bench.contracts.engine import Engine, Place, PlaceRequest, Setup
from gan_bench.contracts.events import Compiling, Evaluated, Event, Progress, Warned
from gan_bench.contracts.observer import BenchmarkInfo, Observer
from gan_bench.contracts.parameters import param
from gan_bench.contracts.run import Job, Run
from gan_bench.contracts.table import Table
from gan_bench.errors import UsageError
from gan_bench.planning.jobs import stacks
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.engines.local import settle
from gan_bench.running.execute import execute, execute_stack

# --- engines ---------------------------------------------------------------------------------------------------------


class Plain(Engine):
    """Engine that executes jobs one by one, in this process."""

    name = "plain"

    def run(self, jobs: Sequence[Job]) -> bool:
        self.registry = load_plugins(self.setup.plugin_places)
        try:
            for job in self.chosen(jobs):
                self.started(job)
                status = execute(job, self.registry, partial(self.report, job), self.stop)
                self.ended(job, status)
        except KeyboardInterrupt:
            return self.interrupted()
        return True

    def chosen(self, jobs: Sequence[Job]) -> Sequence[Job]:
        return jobs

    def started(self, job: Job) -> None:
        self.observer.started(job.run)

    def report(self, job: Job, event: Event) -> None:
        self.observer.receive(job.run, event)

    def ended(self, job: Job, status: str) -> None:
        self.observer.ended(job.run, status, "")

    def stop(self) -> bool:
        return False

    def interrupted(self) -> bool:
        raise KeyboardInterrupt


class Graceful(Plain):
    """Engine that stops its run at the next iteration after Ctrl-C, and returns False."""

    name = "graceful"
    asked = False

    def run(self, jobs: Sequence[Job]) -> bool:
        before = signal.signal(signal.SIGINT, lambda *_: setattr(self, "asked", True))
        try:
            super().run(jobs)
        finally:
            signal.signal(signal.SIGINT, before)
        return not self.asked

    def chosen(self, jobs: Sequence[Job]) -> Any:
        return (job for job in jobs if not self.asked)

    def stop(self) -> bool:
        return self.asked


class Raising(Plain):
    """Engine that raises the error of a run."""

    name = "raising"

    def ended(self, job: Job, status: str) -> None:
        super().ended(job, status)
        if status == "failed":
            raise RuntimeError("a run has failed")


class Wordless(Plain):
    """Engine whose run() has no return value."""

    name = "wordless"

    def run(self, jobs: Sequence[Job]) -> bool:
        super().run(jobs)
        return None  # type: ignore[return-value]


class Negative(Plain):
    """Engine that returns False because a run has failed."""

    name = "negative"
    failed = False

    def run(self, jobs: Sequence[Job]) -> bool:
        return super().run(jobs) and not self.failed

    def ended(self, job: Job, status: str) -> None:
        super().ended(job, status)
        self.failed = self.failed or status != "finished"


class Losing(Plain):
    """Engine that loses the last job."""

    name = "losing"

    def chosen(self, jobs: Sequence[Job]) -> Sequence[Job]:
        return jobs[:-1]


class Merging(Plain):
    """Engine that executes one seed of each configuration."""

    name = "merging"

    def chosen(self, jobs: Sequence[Job]) -> Sequence[Job]:
        return list({job.run.label: job for job in reversed(jobs)}.values())


class GivingUp(Plain):
    """Engine that starts no further run after one has failed."""

    name = "giving-up"
    failed = False

    def chosen(self, jobs: Sequence[Job]) -> Any:
        return (job for job in jobs if not self.failed)

    def ended(self, job: Job, status: str) -> None:
        super().ended(job, status)
        self.failed = self.failed or status == "failed"


class Rigid(Plain):
    """Engine that loads the installed plugins only."""

    name = "rigid"

    def run(self, jobs: Sequence[Job]) -> bool:
        self.setup = replace(self.setup, plugin_places=())
        return super().run(jobs)


class Twice(Plain):
    """Engine that executes every job twice."""

    name = "twice"

    def ended(self, job: Job, status: str) -> None:
        execute(job, self.registry, lambda event: None, lambda: False)
        super().ended(job, status)


class Retrying(Plain):
    """Engine that repeats a failed run."""

    name = "retrying"

    def ended(self, job: Job, status: str) -> None:
        if status == "failed":
            status = execute(job, self.registry, lambda event: None, lambda: False)
        super().ended(job, status)


class EndingTwice(Plain):
    """Engine that reports the end of a run twice."""

    name = "ending-twice"

    def ended(self, job: Job, status: str) -> None:
        super().ended(job, status)
        super().ended(job, status)


class Endless(Plain):
    """Engine that never reports the end of a run."""

    name = "endless"

    def ended(self, job: Job, status: str) -> None:
        return


class Discreet(Plain):
    """Engine that does not report the end of a run that has failed."""

    name = "discreet"

    def ended(self, job: Job, status: str) -> None:
        if status != "failed":
            super().ended(job, status)


class Unannounced(Plain):
    """Engine that does not report the start of a run."""

    name = "unannounced"

    def started(self, job: Job) -> None:
        return


class Hindsight(Plain):
    """Engine that reports the start of a run at its end."""

    name = "hindsight"

    def started(self, job: Job) -> None:
        return

    def ended(self, job: Job, status: str) -> None:
        super().started(job)
        super().ended(job, status)


class Optimistic(Plain):
    """Engine that reports every run as finished."""

    name = "optimistic"

    def ended(self, job: Job, status: str) -> None:
        super().ended(job, "finished")


class Coarse(Plain):
    """Engine that reports a diverged run as failed."""

    name = "coarse"

    def ended(self, job: Job, status: str) -> None:
        super().ended(job, "failed" if status == "diverged" else status)


class Silent(Plain):
    """Engine that reports no events."""

    name = "silent"

    def report(self, job: Job, event: Event) -> None:
        if isinstance(event, Compiling):
            super().report(job, event)


class Sparse(Plain):
    """Engine that reports the last evaluation of a run only."""

    name = "sparse"

    def report(self, job: Job, event: Event) -> None:
        if not isinstance(event, Evaluated) or event.iteration == event.iterations:
            super().report(job, event)


class Calm(Plain):
    """Engine that reports no warnings."""

    name = "calm"

    def report(self, job: Job, event: Event) -> None:
        if not isinstance(event, Warned):
            super().report(job, event)


class Still(Plain):
    """Engine that reports no progress."""

    name = "still"

    def report(self, job: Job, event: Event) -> None:
        if not isinstance(event, Progress):
            super().report(job, event)


class Late(Plain):
    """Engine that reports the events of a run after its end."""

    name = "late"

    def started(self, job: Job) -> None:
        super().started(job)
        self.kept: list[Event] = []

    def report(self, job: Job, event: Event) -> None:
        self.kept.append(event)

    def ended(self, job: Job, status: str) -> None:
        super().ended(job, status)
        for event in self.kept:
            super().report(job, event)


class Confused(Plain):
    """Engine that reports evaluations with the run of the first job."""

    name = "confused"

    def chosen(self, jobs: Sequence[Job]) -> Sequence[Job]:
        self.jobs = list(jobs)
        return jobs

    def report(self, job: Job, event: Event) -> None:
        confused = isinstance(event, Evaluated) and event.iteration > 0
        super().report(self.jobs[0] if confused else job, event)

    def ended(self, job: Job, status: str) -> None:
        if job is not self.jobs[0]:
            super().ended(job, status)
        if job is self.jobs[-1]:
            super().ended(self.jobs[0], "finished")


class Rounding(Plain):
    """Engine that rounds scores."""

    name = "rounding"

    def report(self, job: Job, event: Event) -> None:
        if isinstance(event, Evaluated):
            event = replace(event, scores={name: round(value, 1) for name, value in event.scores.items()})
        super().report(job, event)


class Crowded(Plain):
    """Engine that reports the starts of all runs at once."""

    name = "crowded"

    def chosen(self, jobs: Sequence[Job]) -> Sequence[Job]:
        for job in jobs:
            self.observer.started(job.run)
        return jobs

    def started(self, job: Job) -> None:
        return


class Chatty(Plain):
    """Engine that prints."""

    name = "chatty"

    def started(self, job: Job) -> None:
        super().started(job)
        print("started", job.run.label)


class Shouting(Plain):
    """Engine that writes to the descriptor of standard output, as a process of it would."""

    name = "shouting"

    def started(self, job: Job) -> None:
        super().started(job)
        os.write(1, b"started\n")


class Deaf(Plain):
    """Engine that ignores Ctrl-C."""

    name = "deaf"

    def run(self, jobs: Sequence[Job]) -> bool:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return super().run(jobs)
        finally:
            signal.signal(signal.SIGINT, before)


class Stubborn(Graceful):
    """Engine that notices Ctrl-C, and returns False after all runs."""

    name = "stubborn"

    def chosen(self, jobs: Sequence[Job]) -> Any:
        return jobs

    def stop(self) -> bool:
        return False


class Cheerful(Graceful):
    """Engine that stops after Ctrl-C, and returns True."""

    name = "cheerful"

    def run(self, jobs: Sequence[Job]) -> bool:
        super().run(jobs)
        return True


class Content(Plain):
    """Engine that takes KeyboardInterrupt for the end of all runs."""

    name = "content"

    def interrupted(self) -> bool:
        return True


class Abrupt(Plain):
    """Engine that leaves its run without a checkpoint, and returns False."""

    name = "abrupt"

    def interrupted(self) -> bool:
        return False


class Vanishing(Graceful):
    """Engine that does not report the end of an interrupted run."""

    name = "vanishing"

    def ended(self, job: Job, status: str) -> None:
        if status != "interrupted":
            super().ended(job, status)


class Crashing(Plain):
    """Engine that raises another exception after Ctrl-C."""

    name = "crashing"

    def interrupted(self) -> bool:
        raise RuntimeError("interrupted")


class Remembering(Graceful):
    """Engine that never executes a job that an instance of it has started."""

    name = "remembering"
    seen: set[str] = set()

    def run(self, jobs: Sequence[Job]) -> bool:
        if len({job.run.label for job in jobs}) > 1:
            self.seen.clear()
        return super().run(jobs)

    def chosen(self, jobs: Sequence[Job]) -> Any:
        return (job for job in super().chosen(jobs) if job.folder not in self.seen)

    def started(self, job: Job) -> None:
        self.seen.add(job.folder)
        super().started(job)


class Undescribed(Plain):
    name = "undescribed"


class Loose(Plain):
    """Engine with a parameter without an explanation."""

    name = "loose"

    @dataclass(frozen=True)
    class Params:
        """Parameters."""

        nodes: int = 1


class Adjustable(Plain):
    """Engine with parameters."""

    name = "adjustable"

    @dataclass(frozen=True)
    class Params:
        """Parameters."""

        nodes: int = param(1, "Number of nodes.", low=1)


class Forgetful(Adjustable):
    """Engine that uses the defaults of its parameters."""

    name = "forgetful"

    def __init__(self, setup: Setup, observer: Observer) -> None:
        super().__init__(replace(setup, params=None), observer)


class Fussy(Adjustable):
    """Engine that raises for a parameter that it allows."""

    name = "fussy"

    def __init__(self, setup: Setup, observer: Observer) -> None:
        super().__init__(setup, observer)
        if self.params.nodes > 1:
            raise ValueError("one node only")


class Littering(Plain):
    """Engine that leaves a file in the results."""

    name = "littering"

    def run(self, jobs: Sequence[Job]) -> bool:
        (self.setup.results / "engine.log").write_text("")
        return super().run(jobs)


# Engines with another place.


class Placed(Plain):
    """Engine that states a place."""

    name = "placed"

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place | None:
        if request.device == "cuda":
            raise UsageError("--device cuda: there is no GPU. Use --device cpu.")
        return Place("cpu", min(4, request.workers or 4), 0, "machines elsewhere")


class Unreachable(Placed):
    """Engine whose machines do not answer: nothing can be executed, which is allowed."""

    name = "unreachable"

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place | None:
        raise UsageError("no machine answers")


class Boundless(Placed):
    """Engine whose place has more workers than requested."""

    name = "boundless"

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place | None:
        return super().place(replace(request, workers=None), params)


class Eager(Placed):
    """Engine that uses a GPU for --device cpu."""

    name = "eager"

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place | None:
        return Place("cuda", 1, 1, "a machine with a GPU")


class Countless(Placed):
    """Engine that counts GPUs on a CPU."""

    name = "countless"

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place | None:
        found = super().place(request, params)
        return found and replace(found, gpus=1)


class Speechless(Placed):
    """Engine without a description of its machines."""

    name = "speechless"

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place | None:
        found = super().place(request, params)
        return found and replace(found, description="")


class Tupled(Placed):
    """Engine whose place is a tuple."""

    name = "tupled"

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Any:
        return ("cpu", 4)


class Disconnected(Placed):
    """Engine that lets the error of its cluster pass."""

    name = "disconnected"

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place | None:
        raise ConnectionError("connection refused")


class Bound(Placed):
    """Engine whose place is a method of an instance."""

    name = "bound"

    def place(self, request: PlaceRequest, params: Any) -> Place | None:  # type: ignore[override]
        return None


# Engines that execute stacks.


class Stacked(Plain):
    """Engine that executes stacks."""

    name = "stacked"

    def run(self, jobs: Sequence[Job]) -> bool:
        self.registry = load_plugins(self.setup.plugin_places)
        for stack in stacks(jobs):
            self.stack(stack)
        return True

    def stack(self, jobs: Sequence[Job]) -> None:
        by_key = {job.run.key: job for job in jobs}
        for job in jobs:
            self.started(job)
        found = execute_stack(jobs, self.registry, lambda event: self.report(by_key[event.key], event), self.stop)
        for job, status in zip(jobs, found, strict=True):
            self.ended(job, status)


class Solitary(Stacked):
    """Engine that executes the first seed of each stack."""

    name = "solitary"

    def stack(self, jobs: Sequence[Job]) -> None:
        super().stack(jobs[:1])


class Blurred(Stacked):
    """Engine that reports the events of a stack with its first run."""

    name = "blurred"

    def stack(self, jobs: Sequence[Job]) -> None:
        self.first = jobs[0]
        super().stack(jobs)

    def report(self, job: Job, event: Event) -> None:
        super().report(self.first, event)


# Engines that execute each job in a process.


class Apart(Plain):
    """Engine that executes each job in a process."""

    name = "apart"
    asked = False

    def run(self, jobs: Sequence[Job]) -> bool:
        self.registry = load_plugins(self.setup.plugin_places)
        before = signal.signal(signal.SIGINT, lambda *_: setattr(self, "asked", True))
        try:
            for job in self.chosen(jobs):
                if not self.asked:
                    self.started(job)
                    self.after(job, self.apart(job))
        finally:
            signal.signal(signal.SIGINT, before)
        return not self.asked

    def apart(self, job: Job) -> int:
        """Execute a job in a process, and return its exit status."""
        received, sent = multiprocessing.Pipe(duplex=False)
        child = os.fork()
        if child == 0:
            try:
                self.prepare()
                signal.signal(signal.SIGTERM, lambda *_: setattr(self, "asked", True))
                execute(job, self.registry, sent.send, lambda: self.asked)
            finally:
                os._exit(0)
        sent.close()
        with suppress(EOFError):
            while True:
                if self.asked:
                    os.kill(child, signal.SIGTERM)
                if received.poll(0.05):
                    self.report(job, received.recv())
        return os.waitpid(child, 0)[1]

    def prepare(self) -> None:
        """Prepare the process."""
        os.setsid()

    def after(self, job: Job, code: int) -> None:
        """Report the end of a job."""
        self.ended(job, settle(job, "it was killed").status)


class Jointly(Apart):
    """Engine whose processes end at Ctrl-C in the terminal."""

    name = "jointly"

    def prepare(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Unlocked(Apart):
    """Engine whose processes do not inherit the lock."""

    name = "unlocked"

    def prepare(self) -> None:
        super().prepare()
        os.close(self.setup.lock)


class Unsettling(Apart):
    """Engine that does not write the end of a run whose process was killed."""

    name = "unsettling"

    def after(self, job: Job, code: int) -> None:
        if code:
            self.ended(job, "failed")
        else:
            super().after(job, code)


class Believing(Apart):
    """Engine that reports a killed run as finished."""

    name = "believing"

    def after(self, job: Job, code: int) -> None:
        status = settle(job, "it was killed").status
        self.ended(job, "finished" if code else status)


class Concealing(Apart):
    """Engine that does not report the end of a killed run."""

    name = "concealing"

    def ended(self, job: Job, status: str) -> None:
        if job.run.label != "killed":
            super().ended(job, status)


class Panicking(Apart):
    """Engine that raises if the process of a run was killed."""

    name = "panicking"

    def after(self, job: Job, code: int) -> None:
        super().after(job, code)
        if code:
            raise RuntimeError(f"a process ended with {code}")


class Resigning(Apart):
    """Engine that executes no further job if the process of a run was killed."""

    name = "resigning"

    def after(self, job: Job, code: int) -> None:
        super().after(job, code)
        self.gone = self.gone or bool(code)

    gone = False

    def chosen(self, jobs: Sequence[Job]) -> Any:
        return (job for job in jobs if not self.gone)


class Patient(Apart):
    """Engine that waits for the result of a killed process."""

    name = "patient"

    def after(self, job: Job, code: int) -> None:
        if code:
            signal.setitimer(signal.ITIMER_REAL, 0.1)  # the limit of the kit is minutes
        while code:
            time.sleep(1)
        super().after(job, code)


# --- observers -------------------------------------------------------------------------------------------------------


class Watching(Observer):
    """Observer that counts the runs that have ended."""

    name = "watching"

    @dataclass(frozen=True)
    class Params:
        """Begin of the count."""

        first: int = param(0, "Begin of the count.")

    def __init__(self, benchmark: BenchmarkInfo, params: Any) -> None:
        super().__init__(benchmark, params)
        self.count = self.params.first

    def ended(self, run: Run, status: str, error: str) -> None:
        self.count += 1

    def start(self) -> None:
        """A helper with a name like an event's, which `planned` calls."""

    def planned(self, runs: Sequence[Run], done: int) -> None:
        self.start()


class Short(Observer):
    """Observer whose method lacks an argument."""

    name = "short"

    def ended(self, run: Run, status: str) -> None:  # type: ignore[override]
        return


class Long(Observer):
    """Observer whose method has a further argument."""

    name = "long"

    def progress(self, run: Run, event: Progress, table: Table) -> None:  # type: ignore[override]
        return


class Bare(Observer):
    """Observer whose constructor has no arguments."""

    name = "bare"

    def __init__(self) -> None:
        self.count = 0

    def stopping(self) -> None:
        self.count += 1


class Asynchronous(Observer):
    """Observer with a coroutine."""

    name = "asynchronous"

    async def ended(self, run: Run, status: str, error: str) -> None:  # type: ignore[override]
        raise RuntimeError


class Generating(Observer):
    """Observer with a generator."""

    name = "generating"

    def ended(self, run: Run, status: str, error: str) -> Any:
        yield status


class Listing(Observer):
    """Observer with an attribute in place of a method."""

    name = "listing"
    ended: list[str] = []  # type: ignore[assignment]


class Misspelt(Observer):
    """Observer with a misspelt method."""

    name = "misspelt"

    def evaluate(self, run: Run, event: Evaluated) -> None:
        return


class Prefixed(Observer):
    """Observer with names as in other frameworks."""

    name = "prefixed"

    def planned(self, runs: Sequence[Run], done: int) -> None:
        return

    def on_ended(self, run: Run, status: str, error: str) -> None:
        return


class Receiving(Observer):
    """Observer that overrides the method of engines."""

    name = "receiving"

    def receive(self, run: Run, event: Event) -> None:
        return


class Empty(Observer):
    """Observer without methods."""

    name = "empty"


class Unexplained(Observer):
    """Observer with a parameter without an explanation."""

    name = "unexplained"

    @dataclass(frozen=True)
    class Params:
        """Name of the file."""

        file: str = param("diary.txt", "")

    def stopping(self) -> None:
        return


class Unbuildable(Observer):
    """Observer that cannot be created with a value of its parameter."""

    name = "unbuildable"

    @dataclass(frozen=True)
    class Params:
        """Number of lines."""

        lines: int = param(1, "Number of lines.", low=0)

    def __init__(self, benchmark: BenchmarkInfo, params: Any) -> None:
        super().__init__(benchmark, params)
        self.share = 1 / self.params.lines

    def stopping(self) -> None:
        return


class Undocumented(Observer):
    name = "undocumented"

    def stopping(self) -> None:
        return


class Keyed(Observer):
    """Observer that expects scores of every run."""

    name = "keyed"

    def planned(self, runs: Sequence[Run], done: int) -> None:
        self.scores: dict[str, float] = {}

    def evaluated(self, run: Run, event: Evaluated) -> None:
        self.scores[run.key] = next(iter(event.scores.values()), 0.0)

    def ended(self, run: Run, status: str, error: str) -> None:
        self.scores.pop(run.key)


class Dividing(Observer):
    """Observer that expects iterations of every run."""

    name = "dividing"

    def evaluated(self, run: Run, event: Evaluated) -> None:
        self.share = event.iteration / event.iterations


class Formatting(Observer):
    """Observer that expects an interval in every cell of a table."""

    name = "formatting"

    def final_table(self, table: Table) -> None:
        for row in table.rows:
            for cell in row.cells.values():
                self.last = f"{cell.low:.2f} to {cell.high:.2f}"  # type: ignore[union-attr]


class Leaving(Observer):
    """Observer that ends the process."""

    name = "leaving"

    def ended(self, run: Run, status: str, error: str) -> None:
        if status == "failed":
            sys.exit(1)


class FromFile(Observer):
    """Observer that expects a benchmark file."""

    name = "from-file"

    def planned(self, runs: Sequence[Run], done: int) -> None:
        self.title = self.benchmark.file.name  # type: ignore[union-attr]


class Exclusive(Observer):
    """Observer that expects a new results folder."""

    name = "exclusive"

    def planned(self, runs: Sequence[Run], done: int) -> None:
        (self.benchmark.results / "diary.txt").open("x").close()


class First(Observer):
    """Observer that expects runs to do."""

    name = "first"

    def planned(self, runs: Sequence[Run], done: int) -> None:
        self.label = runs[0].label


class Unsettled(Observer):
    """Observer for some statuses only."""

    name = "unsettled"

    def ended(self, run: Run, status: str, error: str) -> None:
        self.sign = {"finished": "+", "failed": "-", "diverged": "~"}[status]


class Emptying(Observer):
    """Observer that empties the scores of an event."""

    name = "emptying"

    def evaluated(self, run: Run, event: Evaluated) -> None:
        event.scores.clear()  # type: ignore[attr-defined]


class Sorting(Observer):
    """Observer that sorts the list of runs."""

    name = "sorting"

    def planned(self, runs: Sequence[Run], done: int) -> None:
        runs.sort(key=lambda run: (run.label, run.seed))  # type: ignore[attr-defined]


class Editing(Observer):
    """Observer that removes cells of the table."""

    name = "editing"

    def final_table(self, table: Table) -> None:
        for row in table.rows:
            row.cells.pop("modes")  # type: ignore[attr-defined]


class Renaming(Observer):
    """Observer that changes a frozen run."""

    name = "renaming"

    def started(self, run: Run) -> None:
        object.__setattr__(run, "label", run.label.lower())


class Printing(Observer):
    """Observer that prints."""

    name = "printing"

    def ended(self, run: Run, status: str, error: str) -> None:
        print(run.label, status)


class Writing(Observer):
    """Observer that writes to the descriptor of standard output."""

    name = "writing"

    def final_table(self, table: Table) -> None:
        os.write(1, b"done\n")


class Sleeping(Observer):
    """Observer that waits at each report of progress."""

    name = "sleeping"

    def progress(self, run: Run, event: Progress) -> None:
        time.sleep(0.3)


class Hanging(Observer):
    """Observer that waits for something that never happens."""

    name = "hanging"

    def ended(self, run: Run, status: str, error: str) -> None:
        threading.Event().wait()


class Wandering(Observer):
    """Observer that changes the working folder."""

    name = "wandering"

    def planned(self, runs: Sequence[Run], done: int) -> None:
        os.chdir(self.benchmark.results)


class Configuring(Observer):
    """Observer that changes environment variables."""

    name = "configuring"

    def planned(self, runs: Sequence[Run], done: int) -> None:
        os.environ["GAN_BENCH_DIARY"] = str(Path.cwd())


ENGINES: tuple[type[Engine], ...] = (Plain, Graceful, Adjustable, Placed, Unreachable, Stacked, Apart)
"""Engines without a fault."""

OBSERVERS: tuple[type[Observer], ...] = (Watching,)
"""Observers without a fault."""
