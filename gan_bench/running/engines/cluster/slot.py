"""A slot: executes runs in a worker process on any machine, for engines with several machines.

An engine creates a slot where the runs are to be executed, and calls its methods there:

    hello       starts the worker process, and returns where it is and what it runs with
    carry_out   executes jobs; yields the messages of the worker, several at a time, and files if they are sent
    stop        lets the runs write their checkpoints and end; called from another thread
    close       ends the worker process and removes its files

A slot keeps no state of a run. If its process ends, the input of the worker process ends as well, and its runs write
their checkpoints.
"""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gan_bench.contracts.run import Job
from gan_bench.data.downloads import ROOT_VARIABLE
from gan_bench.errors import RunError, StoreError
from gan_bench.running.engines.cluster.held_messages import HeldMessages
from gan_bench.running.engines.cluster.scratch import Scratch, unwritable
from gan_bench.running.engines.cluster.shipped_plugins import Shipment, unpack
from gan_bench.running.engines.cluster.snapshots import Snapshot
from gan_bench.running.engines.cluster.storage import Delivery, SlotFolder, StorageOrder, slot_folder
from gan_bench.running.engines.identity import Identity, Question
from gan_bench.running.engines.interrupts import blocked
from gan_bench.running.engines.messages import Ended, Message, Started, decode_message
from gan_bench.running.engines.worker_process import WorkerProcess
from gan_bench.running.provenance import COMMAND_VARIABLE, SHARE_VARIABLE

LOOK_SECONDS = 1.0
"""Seconds between two looks whether the worker has ended, if nothing is received."""


@dataclass(frozen=True)
class SlotOrder:
    """Arguments of a slot.

    Attributes:
        storage: where runs write.
        plugins: plugin files.
        question: what the worker has to identify.
        command: command line that started the benchmark, for the records of runs.
        data: root of data files on the slot's machine; empty for its own.
        gpu_share: largest share of the GPU's memory that a run may allocate.
        scratch: folder for files of the slot; empty for the system's folder of temporary files.
    """

    storage: StorageOrder
    plugins: Shipment
    question: Question
    command: Sequence[str]
    data: str = ""
    gpu_share: float = 1.0
    scratch: str = ""


@dataclass(frozen=True)
class Hello:
    """Answer of a slot that is ready for jobs.

    Attributes:
        host: name of its machine.
        process: its process.
        nonce: text of the file; empty if the slot does not see it.
        identity: versions and hashes of the worker process.
        node: identifier of its machine in the cluster; empty if unknown.
    """

    host: str
    process: int
    nonce: str
    identity: Identity
    node: str = ""


@dataclass(frozen=True)
class Lost:
    """The worker process of a slot has ended before its jobs did."""

    detail: str


SlotMessage = Message | Lost | Snapshot
"""Message of a slot about its jobs."""


class Slot:
    """One worker process and its scratch folder."""

    def __init__(self, order: SlotOrder) -> None:
        self._order = order
        self._worker: WorkerProcess | None = None
        self._scratch: Scratch | None = None
        os.environ[COMMAND_VARIABLE] = json.dumps(list(order.command))
        if order.data:
            os.environ[ROOT_VARIABLE] = order.data
        if order.gpu_share < 1:  # Ray only counts shares
            os.environ[SHARE_VARIABLE] = str(order.gpu_share)

    def hello(self) -> Hello:
        """Start the worker process and describe it.

        Raises:
            RunError: the process ends.
            StoreError: the scratch folder cannot be written.
        """
        worker, folder = self._require_worker()
        worker.ask(self._order.question)
        for messages in self._messages(worker):
            for message in messages:
                if isinstance(message, Identity):
                    return Hello(platform.node(), os.getpid(), folder.nonce(), message)
        raise RunError(f"the worker process ended with exit code {self._discard(worker)} before its first run")

    def carry_out(self, jobs: Sequence[Job], delivery: Delivery) -> Iterator[list[SlotMessage]]:
        """Execute jobs together, whose folders are relative to the results folder, and yield messages.

        The last one is `Ended` or `Lost`.

        Args:
            delivery: files that the jobs need, if the slot does not see them.
        """
        worker, folder = self._require_worker()
        try:
            worker.send(folder.begin(jobs, delivery))
        except StoreError as error:
            yield [Lost(str(error))]
            return
        held = HeldMessages()
        for messages in self._messages(worker, lambda: held.seconds_left):
            held.add(messages)
            for part in folder.changes(messages):
                yield [part]
            if held.ended:
                yield from self._last_messages(folder, held.take())
                return
            if held.due:
                yield list(held.take())
        lost = Lost(f"the worker process ended with exit code {self._discard(worker)}")
        yield from self._last_messages(folder, [*held.take(), lost])

    def _last_messages(self, folder: SlotFolder, messages: Sequence[Message | Lost]) -> Iterator[list[SlotMessage]]:
        """Yield the last files, then the last messages; jobs are lost if their files could not be written."""
        parts, problem = folder.end()
        for part in parts:
            yield [part]
        *others, end = messages
        yield [*others, Lost(problem) if problem else end]

    def stop(self) -> None:
        """Let the runs write their checkpoints and end."""
        if self._worker is not None:
            self._worker.shut_down()
            self._worker.signal(signal.SIGTERM)

    def close(self) -> None:
        """End the worker process and remove its files."""
        if self._worker is not None:
            self._discard(self._worker)
        if self._scratch is not None:
            self._scratch.close()

    def _require_worker(self) -> tuple[WorkerProcess, SlotFolder]:
        """Return the worker process and the folder of its runs; start another process if it has ended."""
        if self._scratch is None:
            self._scratch = Scratch(self._order.scratch)
            self._folder = slot_folder(self._order.storage, self._scratch)
        if self._worker is None:
            try:
                places = unpack(self._order.plugins, self._scratch.path / "plugins")
            except OSError as error:
                raise unwritable(self._scratch.path, error.strerror) from error
            with blocked():
                self._worker = WorkerProcess(places, lock=self._scratch.lock)
        return self._worker, self._folder

    def _messages(
        self, worker: WorkerProcess, patience: Callable[[], float] = lambda: LOOK_SECONDS
    ) -> Iterator[list[Message]]:
        """Yield the messages of a worker until it and its run have ended. Other lines are ignored.

        Args:
            patience: returns the seconds after which no messages are yielded, if nothing is received.
        """
        assert worker.process.stdout is not None
        while not worker.closed:
            ended = worker.ended
            # A process that a plugin has left behind may keep the output open: then only what is there is read.
            wait = 0 if ended else min(LOOK_SECONDS, patience())
            if select.select([worker.process.stdout], [], [], wait)[0]:
                found = [decode_message(line) for line in worker.lines()]
                messages = [message for message in found if message is not None]
                _follow(worker, messages)
                yield messages
            elif ended:
                return
            else:
                yield []
        while not worker.ended:
            time.sleep(0.01)

    def _discard(self, worker: WorkerProcess) -> int:
        """Forget a worker that has ended, or that is killed now, and return its exit code."""
        self._worker = None
        return worker.discard()


def _follow(worker: WorkerProcess, messages: Sequence[Message]) -> None:
    """Keep the process of the worker's run, which may outlive it."""
    for message in messages:
        if isinstance(message, Started):
            worker.run = message.pid
        elif isinstance(message, Ended):
            worker.run = None
