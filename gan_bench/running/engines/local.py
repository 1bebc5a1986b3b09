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
from gan_bench.running.engines.messages import Ended, Message, Ready, Started, decode_message, encode_jobs
from gan_bench.running.provenance import command_for_workers
from gan_bench.store.records import ErrorRecord, Status
from gan_bench.store.run_folder import RunFolder

KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""For glibc: an iteration frees and allocates the same few megabytes; returning them costs page faults."""

LOOK_SECONDS = 1.0
"""Seconds between two looks whether workers have ended, if nothing is received."""

END_SECONDS = 0.01
"""The same if a worker has closed its output, which it does when it ends."""

LONGEST_LINE = 2**24
"""Largest number of bytes of a message."""

FOREIGN_BYTES = 80
"""Bytes that are shown of a line that is not a message."""


class _Worker:
    """One worker process and its jobs, by their keys.

    Attributes:
        slot: number among the processes that are alive.
        run: process of its jobs, if there is one.
    """

    def __init__(self, setup: Setup, slot: int, threads: int) -> None:
        self.slot = slot
        # With `-P`, modules are found where the command finds them, not first in the working folder.
        path = {"PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)}
        gpu = {"CUDA_VISIBLE_DEVICES": setup.gpus[slot % len(setup.gpus)]} if setup.gpus else {}
        environment = KEEP_FREED_MEMORY | os.environ | path | gpu | {"OMP_NUM_THREADS": str(threads)}
        environment |= command_for_workers()
        self.process = subprocess.Popen(
            [
                sys.executable,
                *("-P", "-m", "gan_bench.running.engines.worker"),
                f"--lock={setup.lock}",
                *map(str, setup.plugin_places),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            pass_fds=(setup.lock,),  # the folder stays locked while any process that writes there is alive
            start_new_session=True,  # the terminal sends Ctrl-C to the command only, which forwards it
        )
        self.jobs: dict[str, Job] = {}
        self.loaded = False
        self.closed = False  # the end of its output was read
        self.run: int | None = None
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
        """Send a signal to the worker, its run, which survives a killed worker, and processes that a run has left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def lines(self) -> list[bytes]:
        """Lines since the last call; `closed` is then set if there will be no more."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        self.closed = not data
        *lines, pending = (self._pending + data).split(b"\n")
        self._pending = pending if len(pending) <= LONGEST_LINE else b""  # no message, but output of a plugin
        return [line for line in lines if line]

    @property
    def ended(self) -> bool:
        """Whether the process and its run have ended.

        A process that a plugin has left behind may have the output open, so its end alone does not show it.
        """
        return self.process.poll() is not None and (self.closed or self.run is None or not _is_alive(self.run))


def _is_alive(process: int) -> bool:
    """Whether a process, which need not be a child of this one, runs."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[0] not in "ZX"  # an orphan may remain as a zombie
    except OSError:
        pass
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return not Path("/proc/self").exists()


class LocalEngine(Engine):
    """Processes on this machine, one for each active run."""

    name = "local"

    def __init__(self, setup: Setup, observer: Observer) -> None:
        super().__init__(setup, observer)
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[list[Job]] = deque()
        self._alive: list[_Worker] = []
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
            worker = _Worker(self.setup, slot, threads=1)
        self._alive.append(worker)
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _wait_for_messages(self) -> None:
        """Process messages until no worker is left. Raises KeyboardInterrupt between two messages."""
        while self._alive:
            waits_for_end = any(worker.closed for worker in self._alive)
            for key, _ in self._selector.select(END_SECONDS if waits_for_end else LOOK_SECONDS):
                self._interrupts.deliver()
                worker: _Worker | None = key.data
                if worker is not None:  # else a signal without a deferred handler
                    self._receive(worker)
            for worker in [worker for worker in self._alive if worker.ended]:
                self._handle_lost_worker(worker)

    def _receive(self, worker: _Worker) -> None:
        """Handle what a worker has sent since the last call."""
        for line in worker.lines():
            message = decode_message(line)
            if message is None or not self._handle(worker, message):
                self._note_foreign(line)
        if worker.closed:
            assert worker.process.stdout is not None
            self._selector.unregister(worker.process.stdout)
            worker.shut_down()

    def _handle(self, worker: _Worker, message: Message) -> bool:
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
        ending = settle(job, detail)
        log = Path(job.folder) / "log.txt"  # output of the run's code
        with contextlib.suppress(OSError):
            if log.stat().st_size == 0:
                log.unlink()
        self.observer.ended(job.run, ending.status, str(ending.error or ""))

    def _handle_lost_worker(self, worker: _Worker) -> None:
        """Process the end of a worker; if it had a job or jobs are waiting, it was killed."""
        assert worker.process.stdout is not None
        os.set_blocking(worker.process.stdout.fileno(), False)
        with contextlib.suppress(BlockingIOError):  # another process has the other end of the pipe open
            while not worker.closed:
                self._receive(worker)
        if not worker.closed:
            self._selector.unregister(worker.process.stdout)
        worker.process.stdout.close()
        worker.shut_down()
        worker.signal(signal.SIGKILL)
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
