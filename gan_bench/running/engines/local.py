"""The local engine: one worker process per slot, each with one run, or one stack of seeds, at a time.

On a CPU a slot is a core and its process has one thread: for small networks that is faster than threads. With
several GPUs each has a slot, whose process sees no other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from gan_bench.contracts.engine import Engine, Setup
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job
from gan_bench.errors import RunError, StoreError
from gan_bench.planning.jobs import stacks
from gan_bench.running.engines.identity import Identity
from gan_bench.running.engines.interrupts import DeferredInterrupts, blocked
from gan_bench.running.engines.messages import Ended, Message, Ready, Started, decode_message
from gan_bench.running.engines.worker_process import WorkerProcess
from gan_bench.store.records import ErrorRecord, Status
from gan_bench.store.run_folder import RunFolder

LOOK_SECONDS = 1.0
"""Seconds between two looks whether workers have ended, if nothing is received."""

END_SECONDS = 0.01
"""The same if a worker has closed its output, which it does when it ends."""

FOREIGN_BYTES = 80
"""Bytes that are shown of a line that is not a message."""


class LocalEngine(Engine):
    """Processes on this machine, one for each active run."""

    name = "local"

    def __init__(self, setup: Setup, observer: Observer) -> None:
        super().__init__(setup, observer)
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[list[Job]] = deque()
        self._alive: list[WorkerProcess] = []
        self._interrupts = DeferredInterrupts()
        self._noted_foreign = False

    def run(self, jobs: Sequence[Job]) -> bool:
        """Execute all jobs; return False if Ctrl-C stopped them after their checkpoints were written."""
        self._waiting.extend(stacks(jobs))
        with DeferredInterrupts() as self._interrupts:
            if self._interrupts.descriptor is not None:
                self._selector.register(self._interrupts.descriptor, selectors.EVENT_READ)
            try:
                for _ in range(min(self.setup.workers, len(self._waiting))):
                    self._start()
                self._wait_for_messages()
                self._interrupts.deliver()  # one that arrived while the last worker ended
                return True
            except KeyboardInterrupt:
                self._stop()
                return False
            finally:
                self._close()

    def _start(self) -> None:
        taken = {worker.slot for worker in self._alive}
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        with blocked():
            gpus = self.setup.gpus
            gpu = gpus[slot % len(gpus)] if gpus else None
            worker = WorkerProcess(self.setup.plugin_places, slot, lock=self.setup.lock, gpu=gpu)
        self._alive.append(worker)
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _wait_for_messages(self) -> None:
        """Process messages until no worker is left. Raises KeyboardInterrupt between two messages."""
        while self._alive:
            waits_for_end = any(worker.closed for worker in self._alive)
            for key, _ in self._selector.select(END_SECONDS if waits_for_end else LOOK_SECONDS):
                self._interrupts.deliver()
                worker: WorkerProcess | None = key.data
                if worker is not None:  # else a signal without a deferred handler
                    self._receive(worker)
            for worker in [worker for worker in self._alive if worker.ended]:
                self._handle_lost_worker(worker)

    def _receive(self, worker: WorkerProcess) -> None:
        """Handle what a worker has sent since the last call."""
        for line in worker.lines():
            message = decode_message(line)
            if message is None or not self._handle(worker, message):
                self._note_foreign(line)
        if worker.closed:
            assert worker.process.stdout is not None
            self._selector.unregister(worker.process.stdout)
            worker.shut_down()

    def _handle(self, worker: WorkerProcess, message: Message) -> bool:
        """Handle a message; return False if it cannot be one of this worker or its jobs."""
        match message:
            case Ready():
                if worker.jobs:
                    return False
                worker.loaded = True
                self._next(worker)
            case Started():
                worker.run = message.pid
            case Ended():
                worker.run = None
                self._end(worker, message.detail)
            case Identity():
                return False
            case _:
                if message.key not in worker.jobs:
                    return False
                self.observer.receive(worker.jobs[message.key].run, message)
        return True

    def _note_foreign(self, line: bytes) -> None:
        """Report a line that is not a message, once: code of a plugin writes to descriptors that are not its own."""
        if not self._noted_foreign:
            self._noted_foreign = True
            shown = line[:FOREIGN_BYTES].decode("ascii", errors="backslashreplace")
            self.observer.note(f"Ignored lines from a run that are not messages, such as {shown!r}.")

    def _next(self, worker: WorkerProcess) -> None:
        """Send a free worker its next jobs, or dismiss it."""
        if self._waiting:
            jobs = self._waiting.popleft()
            worker.send(jobs)
            for job in jobs:
                self.observer.started(job.run)
        else:
            worker.shut_down()

    def _end(self, worker: WorkerProcess, detail: str) -> None:
        """Process the end of a worker's jobs; `detail` describes how its process was killed, if it was."""
        jobs, worker.jobs = worker.jobs, {}
        for job in jobs.values():
            self._ended(job, detail)

    def _ended(self, job: Job, detail: str) -> None:
        ending = settle(job, detail)
        remove_empty_log(job)
        self.observer.ended(job.run, ending.status, str(ending.error or ""))

    def _handle_lost_worker(self, worker: WorkerProcess) -> None:
        """Process the end of a worker; if it had a job or jobs are waiting, it was killed."""
        assert worker.process.stdout is not None
        os.set_blocking(worker.process.stdout.fileno(), False)
        with contextlib.suppress(BlockingIOError):  # another process has the other end of the pipe open
            while not worker.closed:
                self._receive(worker)
        if not worker.closed:
            self._selector.unregister(worker.process.stdout)
        code = worker.discard()
        self._alive.remove(worker)
        self._end(worker, f"the worker process ended with exit code {code}")
        if self._waiting and worker.loaded:
            self._start()
        elif self._waiting and not self._alive:
            raise RunError(f"Workers exit before their first run (exit code {code}). See the messages above.")

    def _stop(self) -> None:
        """Stop every run after a checkpoint and read its last messages; a second Ctrl-C kills the runs."""
        self._waiting.clear()
        self.observer.stopping()
        for worker in self._alive:
            worker.shut_down()  # a worker that waits for a job receives no signal
            worker.signal(signal.SIGTERM)
        try:
            self._wait_for_messages()
        except KeyboardInterrupt:
            for worker in self._alive:
                worker.signal(signal.SIGKILL)

    def _close(self) -> None:
        for worker in self._alive:
            worker.signal(signal.SIGKILL)
            worker.shut_down()
            worker.process.wait()
        self._selector.close()


def remove_empty_log(job: Job) -> None:
    """Remove the file with the output of a run's code if there was none."""
    log = Path(job.folder) / "log.txt"
    with contextlib.suppress(OSError):
        if log.stat().st_size == 0:
            log.unlink()


@dataclasses.dataclass(frozen=True)
class Ending:
    """End of a run: its status and error."""

    status: Status
    error: ErrorRecord | None


def settle(job: Job, detail: str) -> Ending:
    """Determine how a run ended after its process did, and write whatever the process could not.

    Args:
        detail: how the process was killed; empty if it exited normally.
    """
    folder = RunFolder(Path(job.folder))
    killed = Ending("failed", ErrorRecord("Killed", detail or "the process of the run ended early"))
    try:
        record = folder.read_own(job.run.key)
        if record is None:
            return killed
        if record.status == "running":
            folder.write(dataclasses.replace(record, status=killed.status, error=killed.error))
            return killed
    except StoreError as error:  # the folder of this run only; the other runs continue
        return Ending("failed", ErrorRecord(type(error).__name__, str(error)))
    return Ending(record.status, record.error)
