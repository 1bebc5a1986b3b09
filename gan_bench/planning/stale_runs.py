"""Stored runs that match the settings of a benchmark but have other keys."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from gan_bench.contracts.run import Job, Run
from gan_bench.errors import StoreError
from gan_bench.planning.runs import TRAINING_VERSION
from gan_bench.store.records import RunRecord
from gan_bench.store.run_folder import RunFolder


def describe_stale_runs(folder: Path, jobs: Sequence[Job], todo: Sequence[Job]) -> Iterator[str]:
    """Explain why stored runs with the settings of a job have another key, one sentence for each reason.

    Args:
        folder: a results folder.
        jobs: the runs of its benchmark.
        todo: those that will be executed; a stored run in place of which another one is finished is not mentioned.
    """
    keys = {job.run.key for job in jobs}
    waiting: dict[tuple[str, str, int], list[Run]] = defaultdict(list)
    for job in todo:
        waiting[job.run.dataset.plugin, job.run.model.plugin, job.run.seed].append(job.run)
    reasons: Counter[str] = Counter()
    for path in (folder / "runs").glob("*/run.json"):
        with suppress(StoreError):  # the table lists folders that cannot be read
            record = RunFolder(path.parent).read()
            if record is not None and record.key not in keys:
                similar = waiting[record.dataset.plugin, record.model.plugin, record.seed]
                same = next((run for run in similar if _same_settings(record, run)), None)
                if same is not None:
                    reasons[_reason(record, same)] += 1
    for reason, count in reasons.items():
        subject = f"{count} stored runs are" if count > 1 else "1 stored run is"
        yield f"{subject} not used and will be trained again: {reason}."


def _same_settings(record: RunRecord, run: Run) -> bool:
    return (
        (record.dataset.plugin, record.dataset.params) == (run.dataset.plugin, run.dataset.params)
        and (record.model.plugin, record.model.params) == (run.model.plugin, run.model.params)
        and (record.seed, record.protocol) == (run.seed, run.protocol)
    )


def _reason(record: RunRecord, run: Run) -> str:
    if record.training_version != TRAINING_VERSION:
        before = f"version {record.training_version}" if record.training_version else "an earlier version"
        return f"the training code of gan-bench has changed from {before} to version {TRAINING_VERSION}"
    if record.dataset.contents != run.dataset.contents:
        return "the data files have changed"
    return "the code of the model, dataset or network has changed"
