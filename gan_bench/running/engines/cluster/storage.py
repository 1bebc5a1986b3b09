"""Storage of runs on a cluster: a results folder that all nodes see, or files that are sent.

the command        SharedStorage     proves by a nonce that a slot sees its results folder
                   ShippedStorage    sends files with the jobs, and writes those that come back, as the only writer
a slot             SharedFolder      runs write into the results folder
                   ShippedFolder     runs write into the scratch folder of the slot; changed files are sent back
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from gan_bench.contracts.events import Progress, Warned
from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError
from gan_bench.files import guarded, read_file, remove, write_atomically
from gan_bench.running.engines.cluster.scratch import Scratch, unwritable
from gan_bench.running.engines.cluster.snapshots import FolderWatch, Snapshot, read_all, write
from gan_bench.running.engines.messages import Message, Started
from gan_bench.store.attempts import CURRENT, fence
from gan_bench.store.records import RecordError, RunRecord, decode
from gan_bench.store.run_folder import RunFolder

NONCE_SECONDS = 10.0
"""Seconds after which a file that another machine has written must be visible on a shared file system."""

DISK_ERRORS = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)))
"""Reasons for which a scratch folder cannot be written, as messages contain them."""

PROBE_BYTES = 2**16
"""Number of bytes that a scratch folder must have room for."""


@dataclass(frozen=True)
class Delivery:
    """Files that are sent with jobs.

    Attributes:
        files: what earlier attempts have written.
        attempts: contents of attempt.json by key of the run.
    """

    files: Snapshot = field(default_factory=Snapshot)
    attempts: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class StorageOrder:
    """Arguments of a slot's side of the storage.

    Attributes:
        results: the results folder of the benchmark, as the slot's machine sees it; empty if files are sent.
        nonce: name of a file in it, whose text the slot reads back.
    """

    results: str = ""
    nonce: str = ""


# --- the command --------------------------------------------------------------------------------------------


class Storage(ABC):
    """The command's side of the storage."""

    order: StorageOrder

    def refusal(self, nonce: str) -> tuple[str, str] | None:
        """Return why a slot cannot be used, given its answer, and what to do; None if it can."""
        return None

    @abstractmethod
    def send(self, jobs: Sequence[Job]) -> Delivery:
        """Return the files that a slot needs for jobs, whose attempts have begun."""

    @abstractmethod
    def receive(self, snapshot: Snapshot, jobs: Sequence[Job]) -> None:
        """Write files that the slot of these jobs has sent. Raises StoreError."""

    def close(self) -> None:  # noqa: B027 - only a shared folder has something to remove
        """Remove what proves the storage."""


class SharedStorage(Storage):
    """A results folder that all nodes see.

    Args:
        results: the results folder of the benchmark.
        there: the same as the nodes see it.
    """

    def __init__(self, results: Path, there: str) -> None:
        self._nonce = results / f".nonce-{secrets.token_hex(8)}"
        self._text = secrets.token_hex(16)
        write_atomically(self._nonce, self._text)
        self.order = StorageOrder(there, self._nonce.name)

    def refusal(self, nonce: str) -> tuple[str, str] | None:
        """Refuse a slot that does not read the nonce."""
        if nonce == self._text:
            return None
        return (
            f"{self.order.results} is not the results folder of this command",
            "Choose a folder that all nodes see with --results; if its path differs there, set engine.results. Without "
            "such a folder, set engine.storage = shipped.",
        )

    def send(self, jobs: Sequence[Job]) -> Delivery:
        """Send nothing: a slot sees all files."""
        return Delivery()

    def receive(self, snapshot: Snapshot, jobs: Sequence[Job]) -> None:
        """Refuse files: no slot sends any."""
        raise StoreError("A slot has sent files although the results folder is shared.")

    def close(self) -> None:
        """Remove the nonce."""
        with suppress(StoreError, OSError):
            remove(self._nonce)


class ShippedStorage(Storage):
    """A results folder that only the command sees and writes."""

    def __init__(self) -> None:
        self.order = StorageOrder()
        self._failed = False

    def send(self, jobs: Sequence[Job]) -> Delivery:
        """Return all files of the runs but their logs. Raises StoreError if one cannot be read."""
        folders = _folders(jobs)
        try:
            return Delivery(read_all(folders), {run: read_file(folder / CURRENT) for run, folder in folders.items()})
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be read ({error.strerror}).") from error

    def receive(self, snapshot: Snapshot, jobs: Sequence[Job]) -> None:
        """Write files under the fence of the jobs' attempts.

        After a failure nothing is written any more: later files would not belong to those that are missing. Only the
        first failure is raised, so that the other runs can be stopped.
        """
        if self._failed:
            return
        folders = _folders(jobs)
        try:
            with guarded(fence({folders[job.run.key]: job.attempt for job in jobs})):
                write(snapshot, folders)
        except (StoreError, OSError):
            self._failed = True
            raise


def _folders(jobs: Sequence[Job]) -> dict[str, Path]:
    return {job.run.key: Path(job.folder) for job in jobs}


# --- a slot -------------------------------------------------------------------------------------------------


class SlotFolder(ABC):
    """A slot's side of the storage: where its runs write, and what it sends of that."""

    def nonce(self) -> str:
        """Text of the nonce; empty if the slot does not see it."""
        return ""

    @abstractmethod
    def begin(self, jobs: Sequence[Job], delivery: Delivery) -> list[Job]:
        """Prepare the folders of jobs, which are relative, and return the jobs with folders of this machine."""

    def changes(self, messages: Sequence[Message]) -> list[Snapshot]:
        """Return what has changed since the last call, given the messages since then."""
        return []

    def end(self) -> tuple[list[Snapshot], str]:
        """Return the last changes of runs whose process has ended, and why the folder could not be written, if so."""
        return [], ""


class SharedFolder(SlotFolder):
    """The results folder, which this machine sees."""

    def __init__(self, order: StorageOrder) -> None:
        self._order = order

    def nonce(self) -> str:
        """Text of the nonce file; other machines may see a new file some seconds later."""
        path = Path(self._order.results) / self._order.nonce
        until = time.monotonic() + NONCE_SECONDS
        while True:
            with suppress(OSError):
                os.listdir(path.parent)  # lets a network file system look again
                return path.read_text(encoding="utf-8")
            if time.monotonic() > until:
                return ""
            time.sleep(0.5)

    def begin(self, jobs: Sequence[Job], delivery: Delivery) -> list[Job]:
        """Return the jobs with the paths of this machine."""
        return [on_this_machine(job, self._order.results) for job in jobs]


class ShippedFolder(SlotFolder):
    """A folder in the scratch folder of a slot.

    Snapshots are sent when a run has reported something other than its progress: after each evaluation, whose
    checkpoint is written then.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._root = scratch.path / "results"
        self._folders: dict[str, Path] = {}
        self._watch = FolderWatch({})
        self._due = False
        self._warned: dict[str, str] = {}
        self._full: dict[str, str] = {}

    def begin(self, jobs: Sequence[Job], delivery: Delivery) -> list[Job]:
        """Write the files that were sent. Raises StoreError if the folder cannot be written."""
        self._remove()
        here = [on_this_machine(job, str(self._root)) for job in jobs]
        self._folders = _folders(here)
        try:
            write(delivery.files, self._folders)
            for run, data in delivery.attempts.items():
                write_atomically(self._folders[run] / CURRENT, data)
        except (StoreError, OSError) as error:
            self._remove()
            cause = error if isinstance(error, OSError) else error.__cause__
            if isinstance(cause, OSError):
                raise unwritable(self._root, cause.strerror) from error
            raise
        self._watch, self._due = FolderWatch(self._folders), True
        self._warned, self._full = {}, {}
        return here

    def changes(self, messages: Sequence[Message]) -> list[Snapshot]:
        """Return a snapshot in parts if one is due, and consistent."""
        for each in messages:
            if isinstance(each, Warned) and (reason := _disk_error(each.message)):
                self._warned[each.key] = reason
        self._due = self._due or any(not isinstance(each, (Started, Progress)) for each in messages)
        found = self._watch.snapshot() if self._due else None
        if found is None:
            return []
        self._due = False
        return list(self._without_full(found).parts())

    def end(self) -> tuple[list[Snapshot], str]:
        """Return the last snapshot, without runs that could not write their files: they are as good as lost."""
        for run, folder in self._folders.items():
            if not _has_ended(folder) and (reason := self._warned.get(run) or self._probe()):
                self._full[run] = reason
        found = self._watch.snapshot(ended=True)
        last = list(self._without_full(found).parts()) if found else []
        self._remove()
        reasons = [str(unwritable(self._root, reason)) for reason in self._full.values()]
        return last, next(iter(reasons), "")

    def _without_full(self, found: Snapshot) -> Snapshot:
        """A snapshot without runs that have failed, or ended early, because the disk is full: they will be repeated."""
        for file in found.files:
            if file.name == "run.json" and (reason := _why_failed(file.data)):
                self._full[file.run] = reason
        for run in self._full:
            self._watch.leave(run)
        return found.without(self._full.keys())

    def _probe(self) -> str:
        """Reason why nothing can be written; empty if it can."""
        probe = self._root / ".probe"
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(bytes(PROBE_BYTES))
        except OSError as error:
            return error.strerror or str(error)
        finally:
            with suppress(OSError):
                probe.unlink()
        return ""

    def _remove(self) -> None:
        """Remove the folders of the last jobs."""
        shutil.rmtree(self._root, ignore_errors=True)


def slot_folder(order: StorageOrder, scratch: Scratch) -> SlotFolder:
    """Return the folder in which the runs of a slot write."""
    return SharedFolder(order) if order.results else ShippedFolder(scratch)


def for_other_machines(job: Job, results: Path) -> Job:
    """A job with its folder relative to the results folder. Raises ValueError if it is outside."""
    return replace(job, folder=Path(job.folder).relative_to(results).as_posix())


def on_this_machine(job: Job, results: str) -> Job:
    """A job from another machine with the folder where this one sees it."""
    return replace(job, folder=str(Path(results) / job.folder))


def _has_ended(folder: Path) -> bool:
    """Whether a run has recorded its end."""
    with suppress(StoreError):
        record = RunFolder(folder).read()
        return record is not None and record.status != "running"
    return False


def _why_failed(record: bytes) -> str:
    """Reason why a run could not write its files, from run.json; empty if it did not fail because of that."""
    try:
        error = decode(record, RunRecord).error
    except RecordError:
        return ""
    return _disk_error(error.message) if error is not None and error.type in ("StoreError", "OSError") else ""


def _disk_error(message: str) -> str:
    return next((reason for reason in DISK_ERRORS if reason in message), "")
