"""Tests of the report of stored runs that are not used: their number and the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.run import Run
from gan_bench.planning import runs, stale_runs
from gan_bench.planning.stale_runs import describe_stale_runs
from gan_bench.running.record import start_record
from gan_bench.store.records import RunRecord
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.messages import Messages


@pytest.mark.parametrize(
    "change",
    [{"training_version": 2}, {"training_version": 0}, {}, {"dataset": {"contents": "other"}}],
    ids=["version", "earlier version", "code", "data"],
)
def test_are_explained(tmp_path: Path, change: dict[str, Any], messages: Messages) -> None:
    """The reason is the version of the training code, the code or the data."""
    planned = project.plan(project.describe(seeds=2), tmp_path)
    project.run_jobs(planned)
    folder = Path(planned.jobs[0].folder)
    record = project.record(folder)
    assert record["training_version"] == runs.TRAINING_VERSION
    dataset = record["dataset"] | change.get("dataset", {})
    project.write_record(folder, record | change | {"key": "0" * 64, "dataset": dataset})
    [line] = describe_stale_runs(planned.folder, planned.jobs, planned.jobs)
    messages.check(line, "1 stored run")


def test_of_other_settings_are_not_reported(tmp_path: Path) -> None:
    """Runs with other settings may belong to another benchmark, or to rows that are not selected."""
    planned = project.plan(project.describe(), tmp_path)
    project.run_jobs(planned)
    folder = Path(planned.jobs[0].folder)
    record = project.record(folder)
    for change in (
        {"seed": 9},
        {"protocol": record["protocol"] | {"batch": 9}},
        {"model": {"plugin": "x", "params": {}}},
    ):
        project.write_record(folder, record | {"key": "0" * 64} | change)
        assert list(describe_stale_runs(planned.folder, planned.jobs, planned.jobs)) == []
    assert list(describe_stale_runs(tmp_path / "nowhere", planned.jobs, planned.jobs)) == []


def test_are_not_reported_after_they_were_trained_again(tmp_path: Path) -> None:
    """A stored run is not reported if a finished run replaces it."""
    planned = project.plan(project.describe(), tmp_path)
    project.run_jobs(planned)
    folder = Path(planned.jobs[0].folder)
    project.write_record(folder.with_name("old"), project.record(folder) | {"key": "0" * 64, "training_version": 2})
    assert list(describe_stale_runs(planned.folder, planned.jobs, [])) == []
    assert len(list(describe_stale_runs(planned.folder, planned.jobs, planned.jobs))) == 1


def test_are_compared_with_few_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored run is compared with runs of its seed, not with those of all seeds."""
    compared: list[int] = []

    def same(record: RunRecord, run: Run) -> bool:
        compared.append(run.seed)
        return False

    monkeypatch.setattr(stale_runs, "_same_settings", same)
    planned = project.plan(project.describe(seeds=20), tmp_path)
    for job in planned.jobs:
        record = replace(start_record(job, planned.registry, None), key="0" * 64)
        RunFolder(Path(job.folder)).write(record)
    assert list(describe_stale_runs(planned.folder, planned.jobs, planned.jobs)) == []
    assert sorted(compared) == list(range(20))
