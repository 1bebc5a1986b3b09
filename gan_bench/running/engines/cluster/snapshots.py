"""Snapshots: the changed files of run folders as bytes, which travel between a slot and the command.

Files are written in an order in which each is useful without the next ones. A command that is killed between two files
leaves a state from which the run is resumed with the same values:

    scores, samples and other files     rows and samples after the checkpoint are dropped at resumption
    checkpoints, by iteration           everything up to their iteration is there by now
    run.json                            marks a run as ended
    removals                            of older checkpoints

The order of modification would not do: a slot may miss the states between two snapshots, and samples.npz may then be
newer than the older of two checkpoints, which lacks it.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.errors import StoreError
from gan_bench.files import link_atomically, open_file, remove, write_atomically
from gan_bench.store.checkpoints import iteration_of

LOG = "log.txt"
"""Output of a run's code, which grows at any time."""

LONGEST_LOG = 2**20
"""Number of bytes of the log that are sent: the last ones."""

LARGEST_PART = 2**26
"""Number of bytes after which the rest of a snapshot follows in another message."""

READS = 20
"""Number of times that files are read until none has changed meanwhile."""

PAUSE_SECONDS = 0.05
"""Seconds between two reads."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
ATTEMPT = re.compile(r"attempt.*\.json", re.IGNORECASE)


@dataclass(frozen=True)
class SentFile:
    """One file of a run.

    Attributes:
        run: key of the run.
        name: in its folder.
        data: contents.
        same_as: key of another run whose file of this name, sent before, has the same contents; `data` is then empty.
    """

    run: str
    name: str
    data: bytes
    same_as: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Changes of run folders.

    Attributes:
        files: in the order in which they have to be written.
        removed: by run and name.
    """

    files: tuple[SentFile, ...] = ()
    removed: tuple[tuple[str, str], ...] = ()

    def parts(self, most: int = LARGEST_PART) -> Iterator[Snapshot]:
        """Yield the snapshot in parts of at least one file; nothing if it is empty."""
        part: list[SentFile] = []
        for file in self.files:
            if part and sum(len(each.data) for each in part) + len(file.data) > most:
                yield Snapshot(tuple(part))
                part = []
            part.append(file)
        if part or self.removed:
            yield Snapshot(tuple(part), self.removed)

    def without(self, runs: Set[str]) -> Snapshot:
        """Return the snapshot without the files of some runs."""
        files: list[SentFile] = []
        dropped: dict[tuple[str, str], bytes] = {}
        moved: dict[tuple[str, str], str] = {}
        for file in self.files:
            source = (file.same_as, file.name)
            if file.run in runs:
                dropped[file.run, file.name] = file.data
            elif source in moved:
                files.append(replace(file, same_as=moved[source]))
            elif source in dropped:
                moved[source] = file.run
                files.append(replace(file, data=dropped[source], same_as=""))
            else:
                files.append(file)
        return Snapshot(tuple(files), tuple(each for each in self.removed if each[0] not in runs))


FileState = tuple[int, int, int, int]
"""Device, inode, time of modification and size. Every write of a run replaces the file, so that the inode changes."""

States = Mapping[tuple[str, str], FileState]
"""State of each file by run and name."""


def read_all(folders: Mapping[str, Path]) -> Snapshot:
    """Read the files of run folders, by key of the run, that nothing writes at the same time; the log is left out."""
    return _read(folders, {each: state for each, state in _states(folders).items() if each[1] != LOG})


class FolderWatch:
    """Changes of run folders while runs are executed.

    Args:
        folders: by key of the run, with the files that the receiver has.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)
        self._sent: States = _states(folders)

    def leave(self, run: str) -> None:
        """Send nothing of a run any more."""
        self._folders.pop(run, None)
        self._sent = {each: state for each, state in self._sent.items() if each[0] != run}

    def snapshot(self, *, ended: bool = False) -> Snapshot | None:
        """Return what has changed since the last snapshot; None if files change so often that none is consistent.

        Args:
            ended: whether the process of the runs has ended. Then a snapshot is returned in any case.
        """
        for last in [False] * (READS - 1) + [True]:
            before = _states(self._folders)
            changed = {each: state for each, state in before.items() if self._sent.get(each) != state}
            with suppress(FileNotFoundError):
                found = _read(self._folders, changed)
                if _same(before, _states(self._folders)) or (ended and last):
                    removed = tuple(sorted(each for each in self._sent.keys() - before.keys()))
                    self._sent = before
                    return Snapshot(found.files, removed)
            time.sleep(PAUSE_SECONDS)
        return None


def write(snapshot: Snapshot, folders: Mapping[str, Path]) -> None:
    """Write and remove files in run folders, by key of the run, each atomically and in order.

    Raises:
        StoreError: a file cannot be written, or does not belong into a run's folder; then nothing is written.
    """
    sources = ((file.same_as, file.name) for file in snapshot.files if file.same_as)
    for run, name in [*((file.run, file.name) for file in snapshot.files), *sources, *snapshot.removed]:
        if run not in folders or not is_sent(name):
            raise StoreError(f"{name!r} of run {run[:12]!r}: not a file that a slot may send. Nothing is written.")
    for file in snapshot.files:
        path = folders[file.run] / file.name
        if file.same_as:
            link_atomically(folders[file.same_as] / file.name, path)
        else:
            write_atomically(path, file.data)
    for run, name in snapshot.removed:
        remove(folders[run] / name)


def is_sent(name: str) -> bool:
    """Whether a file of this name is sent: no path, no hidden file, and no record of attempts."""
    return bool(NAME.fullmatch(name)) and not ATTEMPT.fullmatch(name)


def _states(folders: Mapping[str, Path]) -> dict[tuple[str, str], FileState]:
    """State of each file that is sent; links and special files are left out."""
    found = {}
    for run, folder in folders.items():
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    state = entry.stat(follow_symlinks=False)
                    if is_sent(entry.name) and stat.S_ISREG(state.st_mode):
                        found[run, entry.name] = (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
    return found


def _same(before: States, after: States) -> bool:
    return {each: state for each, state in before.items() if each[1] != LOG} == {
        each: state for each, state in after.items() if each[1] != LOG
    }


def _read(folders: Mapping[str, Path], states: States) -> Snapshot:
    """Read files in the order in which they have to be written. Hard links of one file are read once."""
    files: list[SentFile] = []
    read: dict[tuple[str, int, int], str] = {}
    for run, name in sorted(states, key=lambda each: (*_rank(each[1]), *each)):
        device, inode, *_ = states[run, name]
        first = read.setdefault((name, device, inode), run)
        data = b"" if first != run else _contents(folders[run] / name)
        files.append(SentFile(run, name, data, first if first != run else ""))
    return Snapshot(tuple(files))


def _rank(name: str) -> tuple[int, int]:
    """Place of a file in the order of writes."""
    if name == "run.json":
        return 2, 0
    return (1, iteration_of(Path(name))) if re.fullmatch(r"checkpoint-[0-9]+\.pt", name) else (0, 0)


def _contents(path: Path) -> bytes:
    """Contents of a file, which must not be a link; of the log, the last part."""
    with open_file(path) as file:
        if path.name == LOG:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LONGEST_LOG))
            return file.read(LONGEST_LOG)
        return file.read()
