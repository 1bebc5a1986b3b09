"""Attempts of runs that a command gives to slots: begun before each, and settled after it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError, error_text
from gan_bench.files import guarded
from gan_bench.running.engines.local import remove_empty_log, settle
from gan_bench.store.attempts import begin_attempt, fence, read_attempt
from gan_bench.store.records import RunRecord
from gan_bench.store.run_folder import RunFolder


class RunAttempts:
    """Attempts that one command has begun.

    Args:
        observer: receives the start and the end of each run, once.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._tokens: dict[str, str] = {}
        self._started: set[str] = set()

    def begin(self, job: Job, place: str, cause: str) -> Job | None:
        """Begin an attempt of a run; return the job with its token, or None if its folder cannot be written.

        Args:
            place: where it runs.
            cause: why the previous attempt ended.

        Raises:
            StoreError: another command executes the run.
        """
        if job.run.key not in self._started:
            self._started.add(job.run.key)
            self._observer.started(job.run)
        try:
            attempt = begin_attempt(Path(job.folder), place, cause)
        except StoreError as error:
            self._observer.ended(job.run, "failed", error_text(error))
            return None
        if attempt is None:
            raise _two_commands(job, "another process has just begun it")
        self._tokens[job.run.key] = attempt.token
        return replace(job, attempt=attempt.token)

    def read(self, job: Job) -> RunRecord | None:
        """Read the record of a run. Raises StoreError if another command has begun an attempt of it."""
        folder, attempt, record = Path(job.folder), None, None
        with suppress(StoreError):  # a damaged file is settled like a lost run, and reported by the next attempt
            attempt = read_attempt(folder)
            record = RunFolder(folder).read_own(job.run.key)
        if attempt is not None and attempt.token != self._tokens.get(job.run.key):
            raise _two_commands(job, f"attempt {attempt.number} is on {attempt.place}")
        return record

    def give_up(self, job: Job, cause: str) -> None:
        """End a run that is not repeated; no process that was lost with it may write any more."""
        with suppress(StoreError):
            attempt = begin_attempt(Path(job.folder), "the command", cause)
            folder = RunFolder(Path(job.folder))
            record = folder.read_own(job.run.key)
            if attempt is not None and record is not None:
                self._tokens[job.run.key] = attempt.token
                folder.write(replace(record, attempts=attempt.lost))
        self.end(job, cause)

    def report(self, job: Job, record: RunRecord) -> None:
        """Report the end of a run that has recorded it."""
        remove_empty_log(job)
        self._observer.ended(job.run, record.status, str(record.error or ""))

    def end(self, job: Job, cause: str) -> None:
        """Report the end of a run.

        Args:
            cause: how it ended, if it could not record that itself.
        """
        with guarded(fence({Path(job.folder): self._tokens[job.run.key]})):  # nothing of another command's run changes
            ending = settle(job, cause)
        remove_empty_log(job)
        self._observer.ended(job.run, ending.status, str(ending.error or ""))


def _two_commands(job: Job, what: str) -> StoreError:
    return StoreError(
        f"{job.folder}: {what}, which this command has not begun. Two commands write these results. Let one of them "
        "end, or choose another folder with --results."
    )
