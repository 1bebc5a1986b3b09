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
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from gan_bench.contracts.engine import Engine, Setup
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job
from gan_bench.errors import RunError, StoreError
from gan_bench.planning.jobs import stacks
from gan_bench.running.engines.interrupts import DeferredInterrupts, blocked
from gan_bench.running.engines.messages import Ended, Message, Ready, decode_message, encode_jobs
from gan_bench.store.records import ErrorRecord, Status
from gan_bench.store.run_folder import RunFolder

KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""For glibc: an iteration frees and allocates the same few megabytes; returning them costs page faults."""


class _Worker:
    """One worker process and its jobs, by their keys; `slot` numbers the processes that are alive."""

    def __init__(self, setup: Setup, slot: int, threads: int) -> None:
        self.slot = slot
        # With `-P`, modules are found where the command finds them, not first in the working folder.
        path = {"PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)}
        gpu = {"CUDA_VISIBLE_DEVICES": setup.gpus[slot % len(setup.gpus)]} if setup.gpus else {}
        environment = KEEP_FREED_MEMORY | os.environ | path | gpu | {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gan_bench.running.engines.worker", *map(str, setup.plugin_places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            pass_fds=(setup.lock,),  # the folder stays locked while any process that writes there is alive
            start_new_session=True,  # the terminal sends Ctrl-C to the command only, which forwards it
        )
        self.jobs: dict[str, Job] = {}
        self.loaded = False
        self._pending = b""

    def send(self, jobs: Sequence[Job]) -> None:
        """Send jobs to the worker, to be executed together."""
        assert self.process.stdin is not None
        self.jobs = {job.run.key: job for job in jobs}
        with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile; the end of its output shows that as well
            self.process.stdin.write(encode_jobs(jobs).encode())

    def shut_down(self) -> None:
        """Close the worker's input: it exits at once without a job, else after its run."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal to the worker and to its run, which survives a killed worker."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def messages(self) -> list[Message] | None:
        """Messages since the last call; None if the worker has ended."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._pending = (self._pending + data).split(b"\n")
        return [decode_message(line) for line in lines]


class LocalEngine(Engine):
    """Processes on this machine, one for each active run."""

    name = "local"

    def __init__(self, setup: Setup, observer: Observer) -> None:
        super().__init__(setup, observer)
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[list[Job]] = deque()
        self._alive: list[_Worker] = []
        self._interrupts = DeferredInterrupts()

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
            worker = _Worker(self.setup, slot, threads=1)
        self._alive.append(worker)
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _wait_for_messages(self) -> None:
        """Process messages until no worker is left. Raises KeyboardInterrupt between two messages."""
        while self._alive:
            for key, _ in self._selector.select():
                self._interrupts.deliver()
                worker: _Worker | None = key.data
                if worker is None:  # a signal without a deferred handler
                    continue
                messages = worker.messages()
                for message in messages or ():
                    self._handle(worker, message)
                if messages is None:
                    self._handle_lost_worker(worker)

    def _handle(self, worker: _Worker, message: Message) -> None:
        match message:
            case Ready():
                worker.loaded = True
                self._next(worker)
            case Ended():
                self._end(worker, message.detail)
            case _:
                self.observer.receive(worker.jobs[message.key].run, message)

    def _next(self, worker: _Worker) -> None:
        """Send a free worker its next jobs, or dismiss it."""
        if self._waiting:
            jobs = self._waiting.popleft()
            worker.send(jobs)
            for job in jobs:
                self.observer.started(job.run)
        else:
            worker.shut_down()

    def _end(self, worker: _Worker, detail: str) -> None:
        """Process the end of a worker's jobs; `detail` describes how its process was killed, if it was."""
        jobs, worker.jobs = worker.jobs, {}
        for job in jobs.values():
            self._ended(job, detail)

    def _ended(self, job: Job, detail: str) -> None:
        ending = _settle(job, detail)
        log = Path(job.folder) / "log.txt"  # output of the run's code
        if log.exists() and log.stat().st_size == 0:
            log.unlink()
        self.observer.ended(job.run, ending.status, str(ending.error or ""))

    def _handle_lost_worker(self, worker: _Worker) -> None:
        """Process the end of a worker; if it had a job or jobs are waiting, it was killed."""
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        worker.process.stdout.close()
        worker.shut_down()
        code = worker.process.wait()
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


@dataclasses.dataclass(frozen=True)
class _Ending:
    """End of a run: its status and error."""

    status: Status
    error: ErrorRecord | None


def _settle(job: Job, detail: str) -> _Ending:
    """Determine how a run ended after its process did, and write whatever the process could not.

    Args:
        detail: how the process was killed; empty if it exited normally.
    """
    folder = RunFolder(Path(job.folder))
    killed = _Ending("failed", ErrorRecord("Killed", detail or "the process of the run ended early"))
    try:
        record = folder.read_own(job.run.key)
    except StoreError as error:  # a folder that cannot be used stays as it is
        return _Ending("failed", ErrorRecord("StoreError", str(error)))
    if record is None:
        return killed
    if record.status == "running":
        folder.write(dataclasses.replace(record, status=killed.status, error=killed.error))
        return killed
    return _Ending(record.status, record.error)
