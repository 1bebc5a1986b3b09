"""A worker process and the channel to it, for engines that own workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gan_bench.contracts.run import Job
from gan_bench.running.engines.identity import Question
from gan_bench.running.engines.is_alive import is_alive
from gan_bench.running.engines.messages import encode_jobs, encode_question
from gan_bench.running.provenance import command_for_workers

KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""For glibc: an iteration frees and allocates the same few megabytes; returning them costs page faults."""

LONGEST_LINE = 2**24
"""Largest number of bytes of a message."""


class WorkerProcess:
    """One worker process and its jobs, by their keys.

    Args:
        places: plugin files and folders.
        slot: number among the processes that are alive.
        lock: file descriptor of the results folder's lock, which the process inherits; None without one.
        gpu: the GPU that it may use, in the notation of `CUDA_VISIBLE_DEVICES`; None for all.

    Attributes:
        run: process of its jobs, if there is one.
    """

    def __init__(
        self,
        places: Sequence[Path],
        slot: int = 0,
        *,
        lock: int | None = None,
        gpu: str | None = None,
        threads: int = 1,
    ) -> None:
        self.slot = slot
        # With `-P`, modules are found where the command finds them, not first in the working folder.
        path = {"PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)}
        gpus = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        environment = KEEP_FREED_MEMORY | os.environ | path | gpus | {"OMP_NUM_THREADS": str(threads)}
        environment |= command_for_workers()
        locks = [] if lock is None else [lock]
        self.process = subprocess.Popen(
            [
                sys.executable,
                *("-P", "-m", "gan_bench.running.engines.worker"),
                *(f"--lock={each}" for each in locks),
                *map(str, places),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            pass_fds=locks,  # the folder stays locked while any process that writes there is alive
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

    def ask(self, question: Question) -> None:
        """Send a question to a worker without jobs; it answers with an `Identity`."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(encode_question(question).encode())

    def shut_down(self) -> None:
        """Close the worker's input: it exits at once without a job, else after its run."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal to the worker, its run, which survives a killed worker, and processes that a run has left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def discard(self) -> int:
        """Kill the process and what it has left, close its channels, and return its exit code."""
        assert self.process.stdout is not None
        self.shut_down()
        self.signal(signal.SIGKILL)
        self.process.stdout.close()
        return self.process.wait()

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
        return self.process.poll() is not None and (self.closed or self.run is None or not is_alive(self.run))
