"""Writing files so that a reader, or a machine that dies meanwhile, never sees half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from gan_bench.errors import StoreError


def write_atomically(path: str | os.PathLike[str], data: str | bytes) -> Path:
    """Write `data` (text as UTF-8) to `path`, whole or not at all, and return the path.

    The bytes go to a hidden temporary name in the same folder, reach the disk, and are renamed; missing
    folders are made. Raises StoreError where the file cannot be written; what stood there before stays.
    """
    path = Path(path)
    # Not tempfile: its files are private to the owner, and results are shared between people.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_to_disk(temporary, data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        _remove(temporary)
    return path


def link_atomically(source: Path, path: Path) -> None:
    """Give a file a second name, in place of what stood there; a copy where the file system has no links.

    Raises StoreError where it cannot be done.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        os.link(source, temporary)
        os.replace(temporary, path)  # which does nothing where both are names of one file already
    except OSError:
        write_atomically(path, source.read_bytes())
    finally:
        _remove(temporary)


def _write_to_disk(path: Path, data: bytes) -> None:
    """Write `data` to a file that must not exist yet, and wait until the disk has it."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _remove(temporary: Path) -> None:
    """Remove what a failed write left; after a successful one there is nothing."""
    with contextlib.suppress(OSError):  # the error that matters is already on its way
        temporary.unlink(missing_ok=True)
