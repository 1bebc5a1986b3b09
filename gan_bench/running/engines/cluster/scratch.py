"""Scratch folders of slots: removed when the slot closes, or by the next slot on the machine if it was killed."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from gan_bench.errors import StoreError

PREFIX = "gan-bench-slot-"
"""Beginning of the names of scratch folders."""

LOCK = ".lock"
"""File in a scratch folder that the slot and its processes have locked while one of them is alive."""

REMEDY = "Free space there, or choose another folder with engine.scratch."


class Scratch:
    """A new folder of one slot.

    Args:
        base: folder in which it is created; empty for the system's folder of temporary files.

    Attributes:
        path: the folder.
        lock: file descriptor of its lock, which processes that use the folder inherit.

    Raises:
        StoreError: it cannot be created.
    """

    def __init__(self, base: str = "") -> None:
        above = Path(base or tempfile.gettempdir())
        try:
            above.mkdir(parents=True, exist_ok=True)
            remove_unused(above)
            self.path, self.lock = _create(above)
        except OSError as error:
            raise unwritable(above, error.strerror) from error

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def remove_unused(above: Path) -> None:
    """Remove the scratch folders of this user that no process has locked: their slots were killed."""
    for path in above.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another slot removes it at the same time
            state = os.lstat(path)
            if stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid():
                _remove_if_unused(path)


def unwritable(folder: Path, reason: str | None) -> StoreError:
    """Return the error for a scratch folder that cannot be written."""
    return StoreError(f"Scratch folder {folder} on {platform.node()}: cannot be written ({reason}). {REMEDY}")


def _create(above: Path) -> tuple[Path, int]:
    """Create a locked folder. One that another slot takes for unused, before it is locked, is given up."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
        try:
            descriptor = _open_lock(path)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return path, descriptor


def _remove_if_unused(path: Path) -> None:
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    return os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
