"""A worker that takes runs by lease from a results folder, which workers on other machines share.

It executes one run, or one stack of seeds, at a time, in a worker process as the local engine has them. What becomes
of a run depends on how it ended:

    finished, diverged, an exception     it has ended, no worker repeats it
    its process was killed               the lease is given back; the run fails after `MOST_LOSSES` repetitions
    its worker or machine was lost       the lease expires, which counts in the same way
    Ctrl-C or SIGTERM                    the checkpoint is written, and the lease is given back
"""

from __future__ import annotations

import select
import selectors
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job
from gan_bench.errors import RunError, StoreError
from gan_bench.files import guarded, locks_work, shared_lock
from gan_bench.planning.planned import is_done, stored_jobs
from gan_bench.plugins.discovery import load_plugins, option_files, plugin_folders
from gan_bench.plugins.process_state import undisturbed
from gan_bench.plugins.registry import Registry
from gan_bench.running.engines.identity import Identity
from gan_bench.running.engines.interrupts import DeferredInterrupts, blocked
from gan_bench.running.engines.local import Ending, remove_empty_log, settle
from gan_bench.running.engines.messages import Ended, Message, Ready, Started, decode_message
from gan_bench.running.engines.worker_process import WorkerProcess
from gan_bench.running.enqueue import (
    NO_LOCKS,
    prepare_machine,
    require_device,
    require_same_code,
    require_same_folder,
    require_same_versions,
)
from gan_bench.running.provenance import this_process
from gan_bench.running.record import start_record
from gan_bench.running.run_benchmark import write_outputs
from gan_bench.store.attempts import MOST_LOSSES, fence, tokens
from gan_bench.store.job_queue import read_queue
from gan_bench.store.leases import STOPPED, HeldLease, Leases, Seen, Unit
from gan_bench.store.records import ErrorRecord
from gan_bench.store.run_folder import RunFolder

LOOK_SECONDS = 1.0
"""Longest time between two looks at the worker process, or at the leases of others."""

END_SECONDS = 0.01
"""The same if the worker process has closed its output, which it does when it ends."""

FINAL = ("finished", "diverged", "failed")


@dataclass
class WorkerOutcome:
    """Result of a worker.

    Attributes:
        status: of its runs, by key, after the last attempt of this worker.
        interrupted: whether it was stopped by Ctrl-C or a signal.
        held: runs that other workers have, with their places.
        all_ended: whether every run of the queue has ended.
    """

    status: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    held: list[str] = field(default_factory=list)
    all_ended: bool = False

    @property
    def counts(self) -> Counter[str]:
        """Number of its runs by status."""
        return Counter(self.status.values())

    @property
    def exit_code(self) -> int:
        """0 done, 1 a run of this worker failed or diverged, 130 interrupted."""
        if self.interrupted:
            return 130
        return 1 if self.counts["failed"] or self.counts["diverged"] else 0


@dataclass(frozen=True)
class End:
    """End of the jobs of the worker process.

    Attributes:
        detail: how their process was killed, or its exit code; empty if it exited normally.
        lost: whether the jobs can be repeated.
    """

    detail: str = ""
    lost: bool = False


class LeaseWorker:
    """Execute runs of a results folder until none is left to take.

    Args:
        units: those that have not ended.
        places: plugin files and folders.
        lock: file descriptor of the results folder's lock.
        most: largest number of units to execute; None for all.
        wait: whether to wait for runs of other workers, and to take over those that are lost.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        leases: Leases,
        registry: Registry,
        places: Sequence[Path],
        lock: int,
        observer: Observer,
        *,
        most: int | None = None,
        wait: bool = False,
    ) -> None:
        self._units, self._leases, self._registry = list(units), leases, registry
        self._places, self._lock, self.observer = places, lock, observer
        self._left, self._wait = most, wait
        self._process: WorkerProcess | None = None
        self._held: HeldLease | None = None
        self._lost: set[Path] = set()  # leases of units whose process was lost here: others may have more success
        self._served: set[WorkerProcess] = set()  # the last one that was ready
        self._selector = selectors.DefaultSelector()
        self._interrupts = DeferredInterrupts()
        self._noted: set[str] = set()
        self.outcome = WorkerOutcome()

    def run(self) -> WorkerOutcome:
        """Execute runs; after Ctrl-C or a signal that raises KeyboardInterrupt, stop and give the lease back."""
        with DeferredInterrupts() as self._interrupts:
            if self._interrupts.descriptor is not None:
                self._selector.register(self._interrupts.descriptor, selectors.EVENT_READ)
            try:
                while self._left != 0 and self._next():
                    self._settle(self._wait_for_end())
                    self._left = self._left and self._left - 1
                self._interrupts.deliver()
            except KeyboardInterrupt:
                self.outcome.interrupted = True
                self._stop()
            finally:
                self._close()
        self.outcome.all_ended = not self._units
        return self.outcome

    # --- leases ---------------------------------------------------------------------------------------------

    def _next(self) -> bool:
        """Take a unit and send it to the worker process; return False if no unit is left to take."""
        while True:
            others: list[tuple[Unit, Seen]] = []
            for unit in sorted(self._units, key=lambda unit: unit.lease in self._lost):
                self._interrupts.deliver()
                seen = self._look(unit)
                if seen.state == "ended":
                    self._units.remove(unit)
                elif seen.state == "held":
                    others.append((unit, seen))
                elif self._take(unit, seen):
                    return True
                elif unit in self._units:  # another worker was faster
                    others.append((unit, replace(seen, state="held")))
            self.outcome.held = [f"{_name(unit)} ({seen.place or 'another worker'})" for unit, seen in others]
            if not others or (not self._wait and all(seen.alive for _, seen in others)):
                return False
            self._note_once("Other workers have the rest of the runs. Waiting for a renewal of their leases.")
            self._pause(min(LOOK_SECONDS, self._leases.seconds / 4))

    def _look(self, unit: Unit) -> Seen:
        try:
            return self._leases.look(unit)
        except StoreError as error:
            self._note_once(str(error))
            self.outcome.status |= dict.fromkeys((job.run.key for job in unit.jobs), "failed")
            return Seen("ended")

    def _take(self, unit: Unit, seen: Seen) -> bool:
        """Take a unit and send it to the worker process; return False if it is not to be executed here."""
        if self._process is None or not self._process.loaded:
            self._ready_process()  # first: its start takes seconds, in which a lease would not be renewed
            seen = self._look(unit)  # its holder may have renewed it meanwhile
            if seen.state not in ("free", "expired"):
                return False
        worker = self._ready_process()
        try:
            held = self._leases.take(unit, seen)
        except StoreError as error:
            self._note_once(f"{_name(unit)} cannot be taken: {error}")
            self.outcome.status |= dict.fromkeys((job.run.key for job in unit.jobs), "failed")
            self._units.remove(unit)
            return False
        if held is None:
            return False
        if seen.state == "expired":
            self.observer.note(f"{_name(unit)} is taken over from {seen.place or 'a lost worker'}: {seen.cause}.")
        if held.losses > MOST_LOSSES:
            self._give_up(held)
            return False
        self._held = held
        worker.send(held.jobs)
        for job in held.jobs:
            self.observer.started(job.run)
        return True

    def _renew(self) -> bool:
        """Renew the lease if it is due; return False if another worker has taken the unit over."""
        assert self._held is not None
        if self._held.seconds_left > 0:
            return True
        try:
            return self._held.renew()
        except StoreError as error:  # full or not reachable for a while; the next beat tries again
            self._note_once(f"The lease cannot be renewed: {error}")
            return True

    def _give_up(self, held: HeldLease) -> None:
        """Record that the runs of a unit have failed because they were lost too often."""
        lost = held.attempt.lost[-held.losses :]
        history = "; ".join(f"{each.place}: {each.cause}" for each in lost)
        error = ErrorRecord("Lost", f"lost {held.losses} times, which is more than {MOST_LOSSES} retries: {history}")
        with guarded(fence(tokens(held.jobs))):
            for job in held.jobs:
                self.observer.started(job.run)
                folder = RunFolder(Path(job.folder))
                try:
                    record = folder.read_own(job.run.key) or start_record(job, self._registry, None)
                    folder.write(replace(record, status="failed", error=error, attempts=held.attempt.lost))
                except StoreError as problem:
                    self.observer.warning(job.run, str(problem))
                self._count(job, "failed", str(error))
        self._units.remove(held.unit)
        self._give_back(held, [job.run.key for job in held.jobs], "")

    def _give_back(self, held: HeldLease, ended: Sequence[str], cause: str) -> None:
        try:
            held.give_back(ended, cause)
        except StoreError as error:
            self.observer.note(f"The lease of {_name(held.unit)} cannot be given back: {error} It will expire.")

    # --- the worker process ---------------------------------------------------------------------------------

    def _ready_process(self) -> WorkerProcess:
        """The worker process, started if necessary, once it waits for jobs."""
        while True:
            if self._process is None:
                self._process = self._start()
            worker = self._process
            if worker.loaded:
                return worker
            self._receive()
            if worker.ended:  # one that has executed runs may have been killed since
                code = self._discard_process()
                if worker not in self._served:
                    raise RunError(f"The worker exits before its first run (exit code {code}). See the messages above.")

    def _start(self) -> WorkerProcess:
        with blocked():
            worker = WorkerProcess(self._places, lock=self._lock)
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ)
        return worker

    def _wait_for_end(self) -> End:
        """Wait until the jobs of the worker process have ended, and renew the lease meanwhile."""
        assert self._process is not None and self._held is not None
        while True:
            end = self._receive()
            if end is not None:
                return end
            if self._process.ended:
                code = self._discard_process()
                return End(f"the worker process ended with exit code {code}", lost=True)
            if not self._renew():
                self._discard_process()
                return End()

    def _receive(self) -> End | None:
        """Handle what the worker process sends; return its end of the jobs. Raises KeyboardInterrupt."""
        worker = self._process
        assert worker is not None and worker.process.stdout is not None
        wait = min(LOOK_SECONDS, max(0.0, self._held.seconds_left) if self._held else LOOK_SECONDS)
        events = self._selector.select(END_SECONDS if worker.closed else wait)
        self._interrupts.deliver()
        if worker.closed or not any(key.fileobj is worker.process.stdout for key, _ in events):
            return None
        end = None
        for line in worker.lines():
            message = decode_message(line)
            if isinstance(message, Ended) and worker.jobs:
                worker.jobs, worker.run, worker.loaded = {}, None, False
                end = End(message.detail, message.killed)
            elif message is None or not self._handle(worker, message):
                self._note_once("Ignored lines from a run that are not messages.")
        if worker.closed:
            self._selector.unregister(worker.process.stdout)
        return end

    def _handle(self, worker: WorkerProcess, message: Message) -> bool:
        """Handle a message; return False if it cannot be one of this worker process or its jobs."""
        match message:
            case Ready():
                worker.loaded = True
                self._served = {worker}
            case Started():
                worker.run = message.pid
            case Ended() | Identity():
                return False
            case _:
                if message.key not in worker.jobs:
                    return False
                self.observer.receive(worker.jobs[message.key].run, message)
        return True

    def _discard_process(self) -> int:
        """Kill the worker process and what it has left, and return its exit code."""
        worker, self._process = self._process, None
        assert worker is not None and worker.process.stdout is not None
        if not worker.closed:
            self._selector.unregister(worker.process.stdout)
        return worker.discard()

    # --- ends -----------------------------------------------------------------------------------------------

    def _settle(self, end: End, *, stopped: bool = False) -> None:
        """Record how the jobs ended, and give the lease back.

        Args:
            stopped: whether this worker has stopped them.
        """
        held, self._held = self._held, None
        assert held is not None
        try:
            current = held.is_current()
        except StoreError as error:
            self.observer.note(str(error))
            current = False
        if not current:
            for job in held.jobs:
                self.observer.ended(job.run, "interrupted", "another worker has taken it over")
            return
        ended, causes = [], []
        with guarded(fence(tokens(held.jobs))):
            for job in held.jobs:
                ending, cause = self._ending(held, job, end, stopped=stopped)
                self._count(job, ending.status, str(ending.error or ""))
                remove_empty_log(job)
                ended += [] if cause else [job.run.key]
                causes += [cause] if cause else []
        if not causes:
            self._units.remove(held.unit)
        elif STOPPED not in causes:
            self._lost.add(held.unit.lease)
        self._give_back(held, ended, causes[0] if causes else "")

    def _ending(self, held: HeldLease, job: Job, end: End, *, stopped: bool) -> tuple[Ending, str]:
        """Status and error of a job that has ended, and the cause if it has to be repeated."""
        try:
            if not held.has(job):
                return Ending("interrupted", None), "another process has begun an attempt"
            record = RunFolder(Path(job.folder)).read_own(job.run.key)
        except StoreError as error:
            return Ending("failed", ErrorRecord(type(error).__name__, str(error))), ""
        if record is not None and record.status in FINAL:
            return Ending(record.status, record.error), ""
        if stopped:
            return Ending("interrupted", None), STOPPED
        if end.lost or (record is not None and record.status == "interrupted"):
            cause = end.detail or "its process was stopped by a signal"
            return Ending("interrupted", ErrorRecord("Lost", cause)), cause
        return settle(job, end.detail), ""

    def _count(self, job: Job, status: str, error: str) -> None:
        self.outcome.status[job.run.key] = status
        self.observer.ended(job.run, status, error)

    def _stop(self) -> None:
        """Stop the run after a checkpoint and give its lease back; a second Ctrl-C kills the run."""
        if self._process is None:
            return
        self._process.shut_down()  # a worker process that waits for a job receives no signal
        self._process.signal(signal.SIGTERM)
        if self._held is None:
            return
        self.observer.stopping()
        try:
            end = self._wait_for_end()
        except KeyboardInterrupt:
            self._discard_process()
            end = End()
        self._settle(end, stopped=True)

    def _close(self) -> None:
        if self._process is not None:
            if self._held is None and not self._process.jobs:
                self._process.shut_down()  # it exits at once
            self._discard_process()
        self._selector.close()

    def _pause(self, seconds: float) -> None:
        """Wait; return early with KeyboardInterrupt after a signal. The worker process waits meanwhile."""
        descriptor = self._interrupts.descriptor
        select.select([] if descriptor is None else [descriptor], [], [], seconds)
        self._interrupts.deliver()

    def _note_once(self, message: str) -> None:
        if message not in self._noted:
            self._noted.add(message)
            self.observer.note(message)


def work(
    results: Path,
    plugins: Sequence[str | Path],
    observer: Observer,
    *,
    most: int | None = None,
    wait: bool = False,
) -> WorkerOutcome:
    """Execute runs of a queue on this machine beside other workers; write the tables once all runs have ended.

    Args:
        plugins: plugin files, in addition to those in ``plugins/`` of the working folder.
        most, wait: as for `LeaseWorker`.

    Raises:
        UsageError, PluginError, DataError: this machine differs from the one that has written the queue.
        StoreError: the folder cannot be written, is a copy, or is in use by another command.
    """
    read_queue(results)  # first: the lock would create a missing folder
    with shared_lock(results, this_process()) as lock:
        queue = read_queue(results)
        require_same_folder(queue, results)
        require_same_versions(queue)
        require_device(queue)
        places = [*plugin_folders(results=results), *option_files(plugins)]
        registry = load_plugins(places)
        for line in registry.notes:
            observer.note(line)
        require_same_code(queue, registry)
        if not locks_work(results):
            observer.note(NO_LOCKS)
        with undisturbed(lambda changes: observer.note(f"Preparation of datasets and metrics {changes}")):
            prepare_machine(queue, registry, observer.note)
        units = queue.units(results)
        open_units = _open(units, results, registry)
        runs = [job.run for unit in open_units for job in unit.jobs]
        observer.planned(runs, sum(len(unit.jobs) for unit in units) - len(runs))
        leases = Leases(this_process(), queue.lease_seconds)
        outcome = LeaseWorker(open_units, leases, registry, places, lock, observer, most=most, wait=wait).run()
        if outcome.all_ended and not outcome.interrupted:
            write_outputs(results, "full", observer)
    return outcome


def _open(units: Sequence[Unit], results: Path, registry: Registry) -> list[Unit]:
    """Units that are not done; `gan-bench run` may have finished some since they were queued."""
    jobs = [job for unit in units for job in unit.jobs]
    stored = stored_jobs(jobs, results)
    done = {job.run.key for job in jobs if is_done(job, stored.get(job.run.key), registry)}
    return [unit for unit in units if not {job.run.key for job in unit.jobs} <= done]


def _name(unit: Unit) -> str:
    run = unit.jobs[0].run
    seeds = ", ".join(str(job.run.seed) for job in unit.jobs)
    return f"{run.label} on {run.dataset.label}, seed{'s' if len(unit.jobs) > 1 else ''} {seeds}"
