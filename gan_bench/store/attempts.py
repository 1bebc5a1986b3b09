"""Attempts of a run by several processes or machines, of which only the last may write.

A process that was thought to be lost may continue: its machine was unreachable, or it was stopped for a while. Before a
run is given to another process, a new attempt begins. Its token replaces the earlier one in attempt.json, which the
process of a run reads again before it replaces or removes any file. A superseded process changes nothing any more.

    attempt.json         the current attempt: number, token, place, and the reasons why earlier ones ended
    attempt-N.json       claims attempt N: created once, by a single process, even on a network file system
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError
from gan_bench.files import read_file, write_atomically
from gan_bench.store.records import LostAttempt, RecordError, convert

CURRENT = "attempt.json"

MOST_LOSSES = 3
"""Number of times in succession that a run is repeated after a loss without a later checkpoint than before."""


class Superseded(StoreError):
    """Another attempt of the run has begun. Nothing may be written."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of a run.

    Attributes:
        number: from 1.
        token: random text, different in each attempt.
        place: where it runs, for messages: ``host, process 17``.
        lost: earlier attempts, which ended without a result.
    """

    number: int
    token: str
    place: str
    lost: tuple[LostAttempt, ...] = ()


def read_attempt(folder: Path) -> Attempt | None:
    """Read the current attempt in a run folder; return None without one. Raises StoreError if it is damaged."""
    path = folder / CURRENT
    try:
        attempt = convert(json.loads(read_file(path)), Attempt)
        if attempt.number < 1:
            raise ValueError(f"number: {attempt.number} is less than 1")
        return attempt
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError, RecordError) as error:
        raise StoreError(
            f"{path}: cannot be read ({error}). Remove it if no other process executes the run."
        ) from error


def begin_attempt(folder: Path, place: str, cause: str = "", after: int | None = None) -> Attempt | None:
    """Begin the next attempt of a run; return None if another process has just begun it.

    Args:
        folder: the run folder, created if it is missing.
        place: where the attempt runs.
        cause: why the previous attempt ended, for the ledger.
        after: the last claim that the caller has seen; of all callers that have seen it, one begins the next attempt.
            None for the last claim at this moment.

    Raises:
        StoreError: the folder cannot be written, or attempt.json is damaged.
    """
    before = read_attempt(folder)
    lost = () if before is None else (*before.lost, _lost(before, cause, folder))
    number = (last_claim(folder, before) if after is None else after) + 1
    attempt = Attempt(number, secrets.token_hex(16), place, lost)
    if not _claim(folder / f"attempt-{attempt.number}.json", attempt):
        return None
    if last_claim(folder, read_attempt(folder)) > number:  # this process was stopped for a while
        return None
    write_atomically(folder / CURRENT, _encode(attempt))
    return attempt


def tokens(jobs: Sequence[Job]) -> dict[Path, str]:
    """Token of the attempt of each run, by folder; without jobs that have none."""
    return {Path(job.folder): job.attempt for job in jobs if job.attempt}


def fence(tokens: Mapping[Path, str]) -> Callable[[Path], None]:
    """Return a guard for `gan_bench.files.guarded`: files in these run folders are changed with the token only.

    Args:
        tokens: run folder → token of its attempt.

    The guard raises `Superseded`.
    """

    def check(path: Path) -> None:
        token = tokens.get(path.parent)
        if token is None:
            return
        current = read_attempt(path.parent)
        if current is None or current.token != token:
            now = "is missing" if current is None else f"is attempt {current.number} on {current.place}"
            raise Superseded(f"{path.parent}: attempt.json {now}; this attempt has been replaced and writes nothing.")

    return check


def _lost(attempt: Attempt, cause: str, folder: Path) -> LostAttempt:
    """Describe an attempt that was lost, with the iteration that run.json has."""
    iteration = 0
    with suppress(OSError, ValueError, TypeError, KeyError):  # not written yet, or damaged
        iteration = int(json.loads(read_file(folder / "run.json"))["iteration"])
    return LostAttempt(attempt.number, attempt.place, cause, iteration)


def _encode(attempt: Attempt) -> str:
    return json.dumps(msgspec.to_builtins(attempt)) + "\n"


def _claim(path: Path, attempt: Attempt) -> bool:
    """Create a claim with its contents; return False if it exists. A link is atomic on network file systems as well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    write_atomically(temporary, _encode(attempt))
    try:
        os.link(temporary, path)
    except FileExistsError:
        # NFS repeats a request whose answer was lost, and then reports the link that the first one has created.
        return temporary.stat().st_nlink > 1
    except OSError:  # a file system without links
        return _create(path, _encode(attempt))
    finally:
        with suppress(OSError):
            temporary.unlink()
    return True


def _create(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}).") from error
    return True


def last_claim(folder: Path, current: Attempt | None) -> int:
    """Largest number of an attempt that any process has claimed; a process may end before it writes attempt.json.

    Args:
        current: the attempt in attempt.json.
    """
    found = (re.fullmatch(r"attempt-([0-9]+)\.json", path.name) for path in folder.glob("attempt-*.json"))
    return max([current.number if current else 0, *(int(match[1]) for match in found if match)])
