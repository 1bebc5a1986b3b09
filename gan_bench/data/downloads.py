"""Where data, weights and what is computed from them once are kept: one folder for all benchmarks of a machine.

Of a folder that is read-only, what is made of its files lies in the user's own cache; see `kept_at`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from gan_bench.errors import DataError
from gan_bench.files import hold_lock

ROOT_VARIABLE = "GAN_BENCH_DATA"
ELSEWHERE = f"Choose another folder with --data-root or the environment variable {ROOT_VARIABLE}."
PIECE = 1 << 20  # bytes
EVERY = 10.0  # seconds between two words of a download
PATIENCE = 60.0  # seconds without an answer
REFUSED_RANGE = 416  # HTTP: what is there is as long as the file, or longer


def data_root() -> Path:
    """The folder of the environment variable `GAN_BENCH_DATA`, else gan-bench in the user's cache folder.

    Data sets lie in it as torchvision lays them out, `prepared/` and `cache/` are gan-bench's own.
    """
    named = os.environ.get(ROOT_VARIABLE)
    return Path(named).expanduser().resolve() if named else own_root()


def own_root() -> Path:
    """gan-bench in the user's cache folder: where is written what a read-only `data_root()` has no place for."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-bench"


def kept_at(*parts: str, is_usable: Callable[[Path], bool] = Path.exists) -> Path:
    """Where something that gan-bench makes itself lies, or is to be made: ``kept_at("cache", "inception", name)``.

    Below `data_root()`; where nothing can be written there and what is there is not usable, below `own_root()`, so that
    many users can share a folder of data that is read-only. Nothing is made.
    """
    place = data_root().joinpath(*parts)
    return place if is_writable(place) or is_usable(place) else own_root().joinpath(*parts)


def folders_of(kind: str) -> list[Path]:
    """Where things that gan-bench makes of one kind lie: in `data_root()`, and in `own_root()` if that is read-only."""
    shared, own = data_root() / kind, own_root() / kind
    return [shared] if shared == own or is_writable(shared / "any") else [shared, own]


def is_writable(path: Path) -> bool:
    """Whether a file of this path could be written, its folder being made if need be."""
    above = next((folder for folder in path.parents if folder.exists()), path.parent)
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def cache_file(kind: str, name: str) -> Path:
    """The place of a file below `cache/` that is computed once: features, classifiers; see `kept_at`."""
    return kept_at("cache", kind, name)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents_of(files: Mapping[str, Path]) -> str:
    """A hash of files by name and bytes; it is kept, so that files whose size and time did not change are read once."""
    seen = hashlib.sha256()
    for name, path in sorted(files.items()):
        stat = path.stat()
        seen.update(f"{name}\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    kept = cache_file("contents", seen.hexdigest())
    with suppress(OSError):
        return kept.read_text(encoding="ascii")
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0{sha256_of(path)}\n".encode())
    with suppress(DataError), exclusive(kept), whole(kept) as file:  # where nothing can be written, it is read again
        file.write(digest.hexdigest().encode())
    return digest.hexdigest()


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file has a checksum: MD5 where it has 32 digits, else a SHA-256 or at least its first eight."""
    with path.open("rb") as file:
        if len(checksum) == 32:  # what older data sets publish
            return hashlib.file_digest(file, _md5).hexdigest() == checksum
        return len(checksum) >= 8 and hashlib.file_digest(file, "sha256").hexdigest().startswith(checksum)


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def aloud(line: str) -> None:
    """To standard error: for whoever has nobody to tell."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def exclusive(path: Path, say: Callable[[str], None] = aloud) -> Iterator[None]:
    """Wait until no other process makes `path`, and keep others waiting; ends with the process that holds it.

    `say` is told who is waited for, where that takes longer than two seconds; and, once a process, that `path` lies
    elsewhere because nothing can be written in the data folder.

    Raises:
        DataError: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        _say_where(path, say)
        hold_lock(descriptor, path, say)
        yield
    finally:
        os.close(descriptor)


_told: set[Path] = set()


def _say_where(path: Path, say: Callable[[str], None]) -> None:
    """Say once that what is made does not go into the data folder."""
    root, own = data_root(), own_root()
    if root != own and root not in _told and path.is_relative_to(own):
        _told.add(root)
        say(f"{root} cannot be written: what is made of its files is kept in {own}")


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that becomes `path` when all is written; nothing is left of one that was not.

    To be held `exclusive`: what a killed process left under the temporary name is written over.

    Raises:
        DataError: the disk is full, or nothing can be written there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> DataError:
    """What to say of a file that cannot be written."""
    if error.errno == errno.ENOSPC:
        return DataError(f"{path} cannot be written: the disk is full. Make room for it. {ELSEWHERE}")
    return DataError(f"{path} cannot be written ({error.strerror or error}). {ELSEWHERE}")


def download(url: str, path: Path, checksum: str, say: Callable[[str], None]) -> None:
    """Fetch a file, unless it is there already; what was interrupted goes on where it was.

    Args:
        url: where it is.
        path: where it goes, whole or not at all.
        checksum: hexadecimal: a SHA-256, at least its first eight digits, or an MD5 where nothing else is published.
        say: told of the progress.

    Raises:
        DataError: there is no connection, the disk is full, or what came has another checksum; that is removed.
    """
    with exclusive(path, say):
        if path.is_file():
            if has_checksum(path, checksum):
                return
            raise DataError(f"{path} has another checksum than {checksum}: it is damaged or another file. Remove it.")
        part = path.with_name(f".{path.name}.part")
        _fetch(url, part, path, say)
        if not has_checksum(part, checksum):
            part.unlink()
            raise DataError(f"{url} has another checksum than {checksum}: it was damaged on the way, or is changed.")
        os.replace(part, path)


def _fetch(url: str, part: Path, path: Path, say: Callable[[str], None]) -> None:
    """All of a file into `part`, after what of it is there."""
    have = part.stat().st_size if part.is_file() else 0
    try:
        with _opened(url, have) as answer:
            resumed = answer.status == 206
            say(f"fetching {url}" + (f", from {have / 1e6:.0f} MB on" if resumed else ""))
            with part.open("ab" if resumed else "wb") as file:
                _copy(answer, file, have if resumed else 0, path.name, say)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == REFUSED_RANGE:
            return  # all of it is there, as its checksum will tell
        raise _interrupted(url, path, error) from error


def _interrupted(url: str, path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS):
        return unwritable(path, error)
    reason = getattr(error, "reason", None) or error
    return DataError(
        f"{url} cannot be fetched ({reason}). The same command goes on where it was; without a connection, "
        f"put the file at {path}, or name a folder that has it with --data-root or {ROOT_VARIABLE}."
    )


def _opened(url: str, have: int) -> Any:
    """The answer of a server, asked for what follows the first `have` bytes."""
    headers = {"User-Agent": "gan-bench"} | ({"Range": f"bytes={have}-"} if have else {})
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)


def _copy(answer: Any, file: IO[bytes], have: int, name: str, say: Callable[[str], None]) -> None:
    """Append what a server sends, and say how far it is every few seconds."""
    size = re.fullmatch(r"\d+", answer.headers.get("Content-Length") or "")
    total = have + int(size[0]) if size else None
    told = time.monotonic()
    while piece := answer.read(PIECE):
        file.write(piece)
        have += len(piece)
        if time.monotonic() - told > EVERY:
            told = time.monotonic()
            say(f"{name}: {have / 1e6:.0f} MB" + (f" of {total / 1e6:.0f} MB" if total else ""))
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")
