"""Leases: workers on several machines take runs from one results folder, and each run has one of them at a time.

A worker that takes a run begins an attempt of it (`store.attempts`) and renews a counter in a file every few seconds.
Other workers measure by their own clocks how long they have seen the same value, so that no clocks need to agree. A
value that does not change for the duration of the lease has expired: another worker may begin the next attempt. The
lease saves work. It does not protect files: a worker that was stopped for a while and continues is superseded, and the
fence of attempts keeps it from writing.

    leases/RUN.json      of a run, or of the first run of a stack: token, counter, whether it is held, runs that ended
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError
from gan_bench.files import read_file, remove, write_atomically
from gan_bench.store.attempts import Attempt, begin_attempt, last_claim, read_attempt
from gan_bench.store.records import LostAttempt, RecordError, convert

LEASES = "leases"
"""Folder of the leases in a results folder."""

BEATS = 6
"""Number of times that a lease is renewed in its duration."""

STOPPED = "stopped by Ctrl-C or a signal"
"""Cause of an attempt's end: its worker was stopped and gave the lease back."""

CONTINUED = "continued by gan-bench run"
"""Cause of an attempt's end: a command that has the folder alone executes the run."""

QUEUED = "queued again"
"""Cause of an attempt's end: `gan-bench run --enqueue`. Losses are counted from there."""


LEFT = "left by another command"
"""Cause of the end of an attempt that has no lease, as those of `gan-bench run`. Losses are counted from there."""


@dataclass(frozen=True)
class Lease:
    """Contents of the file of a lease.

    Attributes:
        token: of the attempt that it belongs to.
        count: increases while the lease is held.
        held: whether a worker has it.
        cause: why it was given back; empty if all runs have ended.
        ended: keys of runs that have ended; workers do not repeat them.
    """

    token: str
    count: int = 0
    held: bool = True
    cause: str = ""
    ended: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    """Jobs that one worker takes together: a run, or the seeds of a stack.

    Attributes:
        lease: file of the lease.
    """

    jobs: tuple[Job, ...]
    lease: Path

    @classmethod
    def of(cls, jobs: Sequence[Job], results: Path) -> Unit:
        """The unit of these jobs in a results folder."""
        return cls(tuple(jobs), results / LEASES / f"{Path(jobs[0].folder).name}.json")

    @property
    def folder(self) -> Path:
        """Run folder whose attempt the lease belongs to."""
        return Path(self.jobs[0].folder)

    def has_ended(self, lease: Lease | None) -> bool:
        """Whether all of its runs have ended."""
        return lease is not None and {job.run.key for job in self.jobs} <= set(lease.ended)


@dataclass(frozen=True)
class Seen:
    """State of a unit, as a worker has seen it.

    Attributes:
        state: "expired" may be taken as well as "free".
        place: of the worker that has it.
        alive: whether its worker has renewed the lease within the last duration of a lease.
        claims: the last claim of an attempt of each run, if the unit may be taken.
        cause: why the last attempt ended.
        ended: keys of runs that have ended.
    """

    state: Literal["free", "held", "expired", "ended"]
    place: str = ""
    alive: bool = False
    claims: tuple[int, ...] = ()
    cause: str = ""
    ended: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Watched:
    """Value that a worker has seen in several looks.

    Attributes:
        looked: time of the last look.
        age: seconds since the first look.
        changed: whether there was another value before.
    """

    value: object
    looked: float
    age: float
    changed: bool


class Leases:
    """Leases of a results folder, as one worker sees them.

    Args:
        place: of this worker, for the ledger and for messages.
        seconds: duration of a lease, the same for all workers.
        clock: seconds on any scale that does not jump.
    """

    def __init__(self, place: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.place, self.seconds, self.clock = place, seconds, clock
        self._watched: dict[Path, _Watched] = {}

    def look(self, unit: Unit) -> Seen:
        """Read the state of a unit. Raises StoreError if a file is damaged."""
        lease = read_lease(unit.lease)
        if unit.has_ended(lease):
            return Seen("ended")
        attempt = read_attempt(unit.folder)
        claim = last_claim(unit.folder, attempt)
        ended = lease.ended if lease is not None else ()
        if claim == 0:
            return Seen("free", claims=_claims(unit, claim), ended=ended)
        own = lease is not None and attempt is not None and lease.token == attempt.token
        if lease is not None and attempt is not None and own and not lease.held and claim == attempt.number:
            return Seen("free", claims=_claims(unit, claim), cause=lease.cause, ended=ended)
        watched = self._watch(unit.lease, (claim, attempt and attempt.token, lease))
        place = attempt.place if attempt is not None else ""
        if watched.age > self.seconds:
            cause = f"no renewal for {self.seconds:g} s" if own else LEFT
            return Seen("expired", place, claims=_claims(unit, claim), cause=cause, ended=ended)
        return Seen("held", place, watched.changed, ended=ended)

    def take(self, unit: Unit, seen: Seen) -> HeldLease | None:
        """Begin an attempt of a unit that is free or has expired; return None if another worker was faster.

        Raises:
            StoreError: a folder cannot be written.
        """
        attempt = begin_attempt(unit.folder, self.place, seen.cause, after=seen.claims[0])
        if attempt is None or not _is_current(unit.folder, attempt):
            return None
        lease = Lease(attempt.token, ended=seen.ended)
        write_lease(unit.lease, lease)
        jobs = []
        for job, claim in zip(unit.jobs, seen.claims, strict=True):
            if job.run.key in seen.ended:
                continue
            folder = Path(job.folder)
            own = attempt if folder == unit.folder else begin_attempt(folder, self.place, seen.cause, after=claim)
            if own is None or not _is_current(unit.folder, attempt):  # a worker that was stopped for a while continues
                return None
            jobs.append(dataclasses.replace(job, attempt=own.token))
        return HeldLease(unit, tuple(jobs), attempt, lease, self)

    def _watch(self, lease: Path, value: object) -> _Watched:
        """Compare a value with that of the last look.

        Of the time between two looks, at most half the duration of a lease counts: this worker may have been stopped
        together with the holder, which must have time to renew its lease.
        """
        now, earlier = self.clock(), self._watched.get(lease)
        if earlier is None or earlier.value != value:
            found = _Watched(value, now, 0.0, earlier is not None)
        else:
            passed = min(max(0.0, now - earlier.looked), self.seconds / 2)
            found = dataclasses.replace(earlier, looked=now, age=earlier.age + passed)
        self._watched[lease] = found
        return found


class HeldLease:
    """The lease of a unit that this worker has.

    Attributes:
        jobs: those that have not ended, with the tokens of their attempts.
        attempt: of the first run.
        renewed: time of the last renewal, by the clock of the leases.
    """

    def __init__(self, unit: Unit, jobs: tuple[Job, ...], attempt: Attempt, lease: Lease, leases: Leases) -> None:
        self.unit, self.jobs, self.attempt, self._lease, self._leases = unit, jobs, attempt, lease, leases
        self.renewed = leases.clock()

    @property
    def losses(self) -> int:
        """Number of attempts that were lost without a later checkpoint, see `count_losses`."""
        return count_losses(self.attempt.lost)

    @property
    def seconds_left(self) -> float:
        """Seconds until the lease should be renewed."""
        return self.renewed + self._leases.seconds / BEATS - self._leases.clock()

    def is_current(self) -> bool:
        """Whether no other worker has taken the unit over. Raises StoreError if a file cannot be read."""
        return _is_current(self.unit.folder, self.attempt)

    def has(self, job: Job) -> bool:
        """Whether no other process has begun an attempt of a run. Raises StoreError if a file cannot be read."""
        current = read_attempt(Path(job.folder))
        return current is not None and current.token == job.attempt

    def renew(self) -> bool:
        """Renew the lease; return False if another worker has taken the unit over. Raises StoreError."""
        self.renewed = self._leases.clock()  # after an error the next try is at the next beat
        if not self.is_current():
            return False
        self._write(dataclasses.replace(self._lease, count=self._lease.count + 1))
        return True

    def give_back(self, ended: Sequence[str], cause: str) -> None:
        """Let other workers take the unit at once.

        Args:
            ended: keys of the runs that have ended.
            cause: why the others have not ended.
        """
        if self.is_current():
            done = tuple(dict.fromkeys([*self._lease.ended, *ended]))
            self._write(dataclasses.replace(self._lease, held=False, cause=cause, ended=done))

    def _write(self, lease: Lease) -> None:
        write_lease(self.unit.lease, lease)
        self._lease = lease


def read_lease(path: Path) -> Lease | None:
    """Read the file of a lease; return None without one. Raises StoreError if it is damaged."""
    try:
        return convert(json.loads(read_file(path)), Lease)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError, RecordError) as error:
        raise StoreError(f"{path}: cannot be read ({error}). Remove it if no worker is active.") from error


def write_lease(path: Path, lease: Lease) -> None:
    """Replace the file of a lease. Raises StoreError."""
    write_atomically(path, json.dumps(msgspec.to_builtins(lease)) + "\n")


def queue_again(unit: Unit, place: str) -> None:
    """Let workers take a unit, whatever happened to earlier attempts. The caller has the results folder alone."""
    lease = None
    with suppress(StoreError):  # it is replaced
        lease = read_lease(unit.lease)
    cause = (lease.cause if lease is not None and not lease.held else "") or QUEUED
    remove(unit.lease)
    for job in unit.jobs:
        folder = Path(job.folder)
        attempt = begin_attempt(folder, place, cause) if _was_begun(folder) else None
        if attempt is not None and folder == unit.folder:
            write_lease(unit.lease, Lease(attempt.token, held=False, cause=QUEUED))


def supersede(jobs: Sequence[Job], place: str) -> list[Job]:
    """Begin attempts of runs that workers have had, for a command that has the results folder alone.

    A worker on a machine that was not reachable may continue although it has lost the lock of the folder.

    Raises:
        StoreError: a folder cannot be written, or another process has just begun an attempt in spite of the lock.
    """
    found = []
    for job in jobs:
        folder = Path(job.folder)
        if not _was_begun(folder):
            found.append(job)
            continue
        attempt = begin_attempt(folder, place, CONTINUED)
        if attempt is None:
            raise StoreError(
                f"{folder}: another process has just begun an attempt of this run. Wait until no worker is active, or "
                "choose another folder with --results."
            )
        found.append(dataclasses.replace(job, attempt=attempt.token))
    return found


def _was_begun(folder: Path) -> bool:
    """Whether any process has claimed an attempt; one that was killed then has left no attempt.json."""
    return last_claim(folder, read_attempt(folder)) > 0


def _claims(unit: Unit, first: int) -> tuple[int, ...]:
    """Last claim of each run of a unit, of which that of the first is known."""
    others = (Path(job.folder) for job in unit.jobs[1:])
    return (first, *(last_claim(folder, read_attempt(folder)) for folder in others))


def count_losses(attempts: Sequence[LostAttempt]) -> int:
    """Number of attempts that were lost since the run was queued or left, or has written a later checkpoint.

    Those that were stopped do not count. A run that advances between losses is repeated as often as it takes; one that
    ends its process again and again is not.
    """
    losses, iteration = 0, 0
    for each in attempts:
        if each.cause in (QUEUED, LEFT):
            losses = 0
        elif each.cause not in (STOPPED, CONTINUED):
            losses = 1 if each.iteration > iteration else losses + 1
        iteration = max(iteration, each.iteration)
    return losses


def _is_current(folder: Path, attempt: Attempt) -> bool:
    current = read_attempt(folder)
    return current is not None and current.token == attempt.token
