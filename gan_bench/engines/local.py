"""The local engine: as many worker processes as there are slots, each with one run at a time.

On a CPU a slot is a core and its process has one thread: for networks this small that is faster than threads.
"""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_bench.errors import RunError
from gan_bench.execution import Job
from gan_bench.observers import Observer
from gan_bench.store import RunFolder

GRACE_SECONDS = 60.0  # for workers to write their checkpoints after Ctrl-C

KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""For glibc: an iteration frees and asks for the same few megabytes; handing them back costs page faults."""


class _Worker:
    """One worker process and the job it has."""

    def __init__(self, plugin_folders: Sequence[Path], threads: int, inherited: int) -> None:
        environment = KEEP_FREED_MEMORY | os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gan_bench.engines.worker", *map(str, plugin_folders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            pass_fds=(inherited,),  # the folder's lock lives as long as any process that writes there
            start_new_session=True,  # the terminal's Ctrl-C reaches the command alone, which passes it on
        )
        self.job: Job | None = None
        self._pending = b""

    def give(self, job: Job) -> None:
        """Hand a job over."""
        assert self.process.stdin is not None
        self.job = job
        self.process.stdin.write(json.dumps({"job": dataclasses.asdict(job)}).encode() + b"\n")
        self.process.stdin.flush()

    def events(self) -> list[dict[str, Any]] | None:
        """What the worker has told since; None when it is gone."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._pending = (self._pending + data).split(b"\n")
        return [json.loads(line) for line in lines]


class LocalEngine:
    """Carries out jobs on this machine."""

    def __init__(self, workers: int, plugin_folders: Sequence[Path], lock: int, observer: Observer) -> None:
        self.slots, self.plugin_folders, self.lock, self.observer = workers, plugin_folders, lock, observer
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[Job] = deque()
        self._alive: list[_Worker] = []

    def carry_out(self, jobs: Sequence[Job]) -> bool:
        """Carry out all jobs; False where Ctrl-C stopped them, after their checkpoints are written."""
        self._waiting.extend(jobs)
        try:
            for _ in range(min(self.slots, len(jobs))):
                self._start()
            self._attend()
            return True
        except KeyboardInterrupt:
            self._stop()
            return False
        finally:
            self._close()

    def _start(self) -> None:
        worker = _Worker(self.plugin_folders, threads=1, inherited=self.lock)
        self._alive.append(worker)
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _attend(self) -> None:
        """Listen until no worker is left."""
        while self._alive:
            for key, _ in self._selector.select():
                worker: _Worker = key.data
                events = worker.events()
                for event in events or ():
                    self._handle(worker, event)
                if events is None:
                    self._bury(worker)

    def _handle(self, worker: _Worker, event: dict[str, Any]) -> None:
        if event["event"] == "ready":
            self._next(worker)
            return
        job = worker.job
        assert job is not None
        if event["event"] == "progress":
            self.observer.progress(job.run, event)
        elif event["event"] == "evaluated":
            self.observer.evaluated(job.run, event)
        else:
            worker.job = None
            self._ended(job, event["status"], event.get("detail", ""))
            self._next(worker)

    def _next(self, worker: _Worker) -> None:
        """Give a free worker its next job, or let it end."""
        assert worker.process.stdin is not None
        if self._waiting:
            job = self._waiting.popleft()
            worker.give(job)
            self.observer.started(job.run)
        else:
            worker.process.stdin.close()

    def _ended(self, job: Job, status: str, detail: str) -> None:
        if status == "killed":
            _record_killed(job, detail)
            status = "failed"
        log = Path(job.folder) / "log.txt"  # what the run's code printed
        if log.exists() and log.stat().st_size == 0:
            log.unlink()
        self.observer.ended(job.run, status)

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended; where it still had a job or jobs wait, something killed it."""
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        worker.process.stdout.close()
        code = worker.process.wait()
        self._alive.remove(worker)
        if worker.job is not None:
            self._ended(worker.job, "killed", f"its worker process ended ({code})")
            if self._waiting:
                self._start()
        elif self._waiting and not self._alive:
            raise RunError(f"Workers end before taking a run (exit code {code}); see the messages above.")

    def _stop(self) -> None:
        """Ask every run to checkpoint and end, and hear them out; a second Ctrl-C kills them."""
        self._waiting.clear()
        self.observer.stopping()
        for worker in self._alive:
            worker.process.send_signal(signal.SIGTERM)
        try:
            self._attend()
        except KeyboardInterrupt:
            for worker in self._alive:
                os.killpg(worker.process.pid, signal.SIGKILL)

    def _close(self) -> None:
        for worker in self._alive:
            if worker.process.poll() is None:
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
        self._selector.close()


def _record_killed(job: Job, detail: str) -> None:
    """Write into a run's folder what its own process could not."""
    folder = RunFolder(Path(job.folder))
    record = folder.read()
    if record is not None:
        folder.write(record | {"status": "failed", "error": {"type": "Killed", "message": detail}})
