"""Atomic writes: no reader sees half a file, even after a crash of the machine."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gan_bench.errors import StoreError

LARGEST = 1 << 30
"""Default limit of `read_file`, in bytes."""

STALE_READS = 5
"""Number of times that a file is read again if another machine has replaced it on NFS meanwhile."""


_guards: list[Callable[[Path], None]] = []


@contextmanager
def guarded(guard: Callable[[Path], None]) -> Iterator[None]:
    """Call `guard` with each path before it is replaced or removed. It raises to prevent the change."""
    _guards.append(guard)
    try:
        yield
    finally:
        _guards.remove(guard)


def check_guards(path: Path) -> None:
    """Call the guards of a path. A caller that changes files in other ways than below calls it first."""
    for guard in _guards:
        guard(path)


def remove(path: Path) -> None:
    """Remove a file, if it exists."""
    check_guards(path)
    path.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike[str], data: str | bytes) -> Path:
    """Write `data` (text as UTF-8) to `path`, completely or not at all, and return the path.

    The bytes go to a hidden temporary name in the same folder, reach the disk, and are renamed; missing
    folders are created. Raises StoreError if the file cannot be written; a previous file is then unchanged.
    """
    path = Path(path)
    # Not tempfile: its files are private to the owner, and results are shared between people.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_replaceable(path)
        _write_to_disk(temporary, data.encode() if isinstance(data, str) else data)
        check_guards(path)
        os.replace(temporary, path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        _remove(temporary)
    return path


def _require_replaceable(path: Path) -> None:
    """Raise OSError if a pipe, socket or device has this name: a rename would replace it, /dev/null for example."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is not a regular file")


def read_file(path: str | os.PathLike[str], limit: int = LARGEST) -> bytes:
    """Read a regular file, but no link.

    Results may come from elsewhere: a link could lead to a private file, and a pipe or device would never end.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read, is a link or a special file, or is larger than `limit` bytes.
    """
    for _ in range(STALE_READS):
        try:
            return _read(path, limit)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return _read(path, limit)


def _read(path: str | os.PathLike[str], limit: int) -> bytes:
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"{size:,} bytes; at most {limit:,} are read")
        return file.read(limit)


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, but no link, for reading. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def require_inside(folder: Path, root: Path) -> None:
    """Raise StoreError if a folder is, or lies behind, a link that leads out of `root`."""
    if not os.path.realpath(folder).startswith(os.path.join(os.path.realpath(root), "")):
        raise StoreError(f"{folder}: leads out of {root} by a link. Replace the link by the folder itself.")


def link_atomically(source: Path, path: Path) -> None:
    """Create a hard link to a file, replacing any file of that name; copy it if the file system has no links.

    Raises StoreError on failure.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        os.link(source, temporary)
        check_guards(path)
        os.replace(temporary, path)  # does nothing if both are names of the same file
    except OSError:
        write_atomically(path, source.read_bytes())
    finally:
        _remove(temporary)


def _write_to_disk(path: Path, data: bytes) -> None:
    """Write `data` to a new file and wait until it is on disk."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _remove(temporary: Path) -> None:
    """Remove the temporary file of a failed write; after a successful write it no longer exists."""
    with contextlib.suppress(OSError):  # the error that matters is already being raised
        temporary.unlink(missing_ok=True)


SILENT = 2.0  # seconds of waiting for another process before a message is printed
LOOKS = 0.05  # seconds between two attempts


def hold_lock(descriptor: int, path: Path, log: Callable[[str], None]) -> None:
    """Lock a file, and write the process that holds the lock into it."""
    until = time.monotonic() + SILENT
    while not _is_free(descriptor):
        if time.monotonic() > until:
            log(f"Waiting for {_holder(descriptor)}, which is writing {path}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            break
        time.sleep(LOOKS)
    with suppress(OSError):  # on a full disk the lock works without a name
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}".encode(), 0)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Lock a benchmark's folder for one command, and yield the descriptor for processes that outlive it briefly.

    The lock is the kernel's (flock) and ends with the last process that has the descriptor. A killed command therefore
    leaves no lock, and its workers cannot write next to those of a new command.
    """
    with _folder_lock(folder, fcntl.LOCK_EX, "Choose another folder with --results.") as descriptor:
        yield descriptor


@contextmanager
def shared_lock(folder: Path, name: str) -> Iterator[int]:
    """Lock a benchmark's folder together with other workers, and yield the descriptor as `locked` does.

    Args:
        name: of this process, for the message to a command that needs the folder alone.
    """
    remedy = "Workers need a folder on storage that this machine can write, with file locks."
    with _folder_lock(folder, fcntl.LOCK_SH, remedy) as descriptor, _registered(folder / WORKERS, name):
        yield descriptor


def locks_work(folder: Path) -> bool:
    """Whether flock excludes a second holder of a file in this folder. Some network file systems ignore it.

    Raises:
        StoreError: the folder cannot be written.
    """
    probe = folder / f".lock-probe.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        with probe.open("x") as first, probe.open() as second:
            fcntl.flock(first.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(second.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}).") from error
    finally:
        _remove(probe)
    return False


WORKERS = ".workers"
"""Folder of a results folder with a file for each worker, which the worker has locked while it is alive."""

_WORKER_FILE = re.compile(r"worker-.*-[0-9a-f]{8}")

MOST_NAMES = 5
"""Largest number of workers that a message names."""


@contextmanager
def _folder_lock(folder: Path, kind: int, remedy: str) -> Iterator[int]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}). {remedy}") from error
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{folder}: in use by {_users(folder)}") from None
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be locked ({error.strerror}): its file system has no file locks (flock). {remedy}"
            ) from error
        yield descriptor
    finally:
        os.close(descriptor)


def _users(folder: Path) -> str:
    """Describe who has locked a folder, and what to do."""
    names = _live_workers(folder / WORKERS)
    if not names:
        return "another gan-bench command. Wait until it ends, or choose another folder with `gan-bench run --results`."
    shown = "; ".join(names[:MOST_NAMES]) + (f"; … ({len(names)})" if len(names) > MOST_NAMES else "")
    return f"`gan-bench worker`: {shown}. Wait until they end, or stop them with Ctrl-C or SIGTERM."


@contextmanager
def _registered(folder: Path, name: str) -> Iterator[None]:
    """Register a worker by a locked file; the lock shows that the worker is alive, on other machines as well."""
    path = folder / f"worker-{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        folder.mkdir(exist_ok=True)
        require_inside(folder, folder.parent)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}).") from error
    try:
        with suppress(OSError):  # without its name, the worker is still counted by the lock of the folder
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, name.encode())
        with suppress(OSError):
            os.rename(temporary, path)  # a file that is not locked yet would be taken for that of a killed worker
        yield
    finally:
        _remove(temporary)
        _remove(path)
        os.close(descriptor)


def _live_workers(folder: Path) -> list[str]:
    """Names of the workers that are alive; files of killed ones are removed."""
    if folder.is_symlink():  # results from elsewhere; nothing outside of them is removed
        return []
    names = []
    for path in sorted(each for each in folder.glob("worker-*") if _WORKER_FILE.fullmatch(each.name)):
        with suppress(OSError), open_file(path) as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                names.append(file.read(200).decode(errors="replace"))
            else:
                _remove(path)
    return names
