"""Folder of data, weights and the files computed from them, shared by all benchmarks of a machine.

If the folder is read-only, files computed from its contents are written to the user's own cache; see `kept_at`.
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
from stat import S_ISREG
from typing import IO, Any

from gan_bench.errors import DataError
from gan_bench.files import hold_lock

ROOT_VARIABLE = "GAN_BENCH_DATA"
ELSEWHERE = f"To use another folder, set --data-root or the environment variable {ROOT_VARIABLE}."
PIECE = 1 << 20  # bytes
LARGEST = 1 << 32  # bytes of a file that a user chose; no image or batch has more
EVERY = 10.0  # seconds between two progress messages of a download
PATIENCE = 60.0  # seconds without a response after which a download fails
REFUSED_RANGE = 416  # HTTP status: the partial file is at least as long as the file on the server


def data_root() -> Path:
    """Return the folder in the environment variable `GAN_BENCH_DATA`, or gan-bench in the user's cache folder.

    Datasets have the layout of torchvision. The subfolders `prepared/` and `cache/` belong to gan-bench.
    """
    named = os.environ.get(ROOT_VARIABLE)
    root = absolute(named) if named else own_root()
    if root is None:
        raise DataError(f"There is no home directory for a cache of data. {ELSEWHERE.replace('another', 'a')}")
    return root


def absolute(path: str | Path) -> Path:
    """Return the absolute path of a path that may begin with ~.

    Raises:
        DataError: there is no home directory, or no working directory.
    """
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError as error:
        raise DataError(f"{path}: there is no home directory. Write the path without ~.") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: the working directory does not exist. Write an absolute path.") from error


def own_root() -> Path | None:
    """Return the folder gan-bench in the user's cache, which receives computed files if `data_root()` is read-only.

    None if there is no home directory, as in a container with a user that it does not know.
    """
    cache = os.environ.get("XDG_CACHE_HOME")
    if not cache:
        try:
            cache = str(Path.home() / ".cache")
        except RuntimeError:
            return None
    return Path(cache) / "gan-bench"


def kept_at(*parts: str, is_usable: Callable[[Path], bool] = Path.exists) -> Path:
    """Return the path of a file or folder that gan-bench computes, such as ``kept_at("cache", "inception", name)``.

    The path is below `data_root()` if it can be written there, or if `is_usable` accepts what is there. Otherwise it is
    below `own_root()`. Many users can thus share a read-only folder of data. Nothing is created.
    """
    place, own = data_root().joinpath(*parts), own_root()
    return place if own is None or is_writable(place) or is_usable(place) else own.joinpath(*parts)


def folders_of(kind: str) -> list[Path]:
    """Return the folders of one kind of computed files.

    The first is below `data_root()`. If that is read-only, the second is below `own_root()`.
    """
    shared, own = data_root() / kind, own_root()
    return [shared] if own is None or shared == own / kind or is_writable(shared / "any") else [shared, own / kind]


def is_writable(path: Path) -> bool:
    """Whether a file could be written at this path, in a folder that is created if necessary."""
    above = next((folder for folder in path.parents if folder.exists()), path.parent)
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def cache_file(kind: str, name: str) -> Path:
    """Return the path of a file below `cache/` that is computed once (features, classifiers); see `kept_at`."""
    return kept_at("cache", kind, name)


def sha256_of(path: Path) -> str:
    """Compute the hexadecimal SHA-256 of a file, which is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents_of(files: Mapping[str, Path]) -> str:
    """Hash files by name and contents.

    The hash is cached. Files whose sizes and modification times have not changed are therefore read only once.
    """
    seen = hashlib.sha256()
    for name, path in sorted(files.items()):
        stat = path.stat()
        if not S_ISREG(stat.st_mode):  # to open a pipe would wait for a writer
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if stat.st_size > LARGEST:
            raise OSError(errno.EFBIG, f"it is larger than {LARGEST:,} bytes", str(path))
        seen.update(os.fsencode(f"{name}\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n"))
    kept = cache_file("contents", seen.hexdigest())
    with suppress(OSError):
        return kept.read_text(encoding="ascii")
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(os.fsencode(f"{name}\0{sha256_of(path)}\n"))
    with suppress(DataError), exclusive(kept), whole(kept) as file:  # without a cache, files are read again
        file.write(digest.hexdigest().encode())
    return digest.hexdigest()


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file has a checksum.

    A checksum of 32 digits is an MD5. Any other is a SHA-256 or its beginning, of at least eight digits.
    """
    with path.open("rb") as file:
        if len(checksum) == 32:  # an MD5, as published with older datasets
            return hashlib.file_digest(file, _md5).hexdigest() == checksum
        return len(checksum) >= 8 and hashlib.file_digest(file, "sha256").hexdigest().startswith(checksum)


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def print_stderr(line: str) -> None:
    """Print a line to standard error. This is the default destination of messages."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def exclusive(path: Path, log: Callable[[str], None] = print_stderr) -> Iterator[None]:
    """Lock `path` while the block creates it, after waiting for any other process that holds the lock.

    The lock ends with the process that holds it.

    Args:
        path: the file or folder to create.
        say: receives a message about the holder of the lock after two seconds of waiting. It also receives, once per
            process, a message that `path` is outside the data folder because that cannot be written.

    Raises:
        DataError: the folder of `path` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        _log_location(path, log)
        hold_lock(descriptor, path, log)
        yield
    finally:
        os.close(descriptor)


_shortened: set[Path] = set()


def _log_location(path: Path, log: Callable[[str], None]) -> None:
    """Report, once per process, that computed files are not written to the data folder."""
    root, own = data_root(), own_root()
    if own is not None and root != own and root not in _shortened and path.is_relative_to(own):
        _shortened.add(root)
        log(f"{root} cannot be written; files computed from its contents are stored in {own}")


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that is renamed to `path` at the end of the block, or removed after an error.

    The caller holds the lock of `exclusive`. A temporary file left by a killed process is overwritten.

    Raises:
        DataError: the disk is full, or the file cannot be written.
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
    """Return the error for a file that cannot be written."""
    if error.errno == errno.ENOSPC:
        return DataError(f"{path} cannot be written: the disk is full. Free space on it. {ELSEWHERE}")
    return DataError(f"{path} cannot be written ({error.strerror or error}). {ELSEWHERE}")


def download(url: str, path: Path, checksum: str, log: Callable[[str], None]) -> None:
    """Download a file unless it exists. An interrupted download is resumed.

    Args:
        url: address of the file.
        path: destination, which is either complete or absent.
        checksum: hexadecimal SHA-256, or at least its first eight digits; an MD5 if nothing else is published.
        say: receives messages about the progress.

    Raises:
        DataError: there is no connection, the disk is full, or the file has another checksum. A download with another
            checksum is removed; a file that already existed is not.
    """
    with exclusive(path, log):
        if path.is_file():
            if has_checksum(path, checksum):
                return
            raise DataError(f"{path} does not have the checksum {checksum}. It is damaged or another file; remove it.")
        part = path.with_name(f".{path.name}.part")
        _fetch(url, part, path, log)
        if not has_checksum(part, checksum):
            part.unlink()
            raise DataError(
                f"{url} does not have the checksum {checksum}. The download is damaged, or the file changed."
            )
        os.replace(part, path)


def _fetch(url: str, part: Path, path: Path, log: Callable[[str], None]) -> None:
    """Download a file into `part`, after the bytes that `part` already contains."""
    have = part.stat().st_size if part.is_file() else 0
    try:
        with _opened(url, have) as answer:
            resumed = answer.status == 206
            log(f"downloading {url}" + (f", resuming after {have / 1e6:.0f} MB" if resumed else ""))
            with part.open("ab" if resumed else "wb") as file:
                _copy(answer, file, have if resumed else 0, path.name, log)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == REFUSED_RANGE:
            return  # `part` is complete; its checksum is compared next
        raise _interrupted(url, path, error) from error


def _interrupted(url: str, path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS):
        return unwritable(path, error)
    reason = getattr(error, "reason", None) or error
    return DataError(
        f"{url} cannot be downloaded ({reason}). Repeat the command to resume the download. Without a connection, "
        f"put the file at {path}, or set --data-root or {ROOT_VARIABLE} to a folder that contains it."
    )


def _opened(url: str, have: int) -> Any:
    """Request the part of a file after its first `have` bytes, and return the response."""
    headers = {"User-Agent": "gan-bench"} | ({"Range": f"bytes={have}-"} if have else {})
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)


def _copy(answer: Any, file: IO[bytes], have: int, name: str, log: Callable[[str], None]) -> None:
    """Append the body of a response to a file, and report the progress every few seconds."""
    size = re.fullmatch(r"\d+", answer.headers.get("Content-Length") or "")
    total = have + int(size[0]) if size else None
    last_log = time.monotonic()
    while piece := answer.read(PIECE):
        file.write(piece)
        have += len(piece)
        if time.monotonic() - last_log > EVERY:
            last_log = time.monotonic()
            log(f"{name}: {have / 1e6:.0f} MB" + (f" of {total / 1e6:.0f} MB" if total else ""))
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")
