"""Stored runs that are not counted: `run` reports how many, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gan_bench.planning import runs
from gan_bench.planning.stale_runs import describe_stale_runs
from tests.support import project


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"training_version": 2}, "trained by version 2 of gan-bench's training code, now version 3"),
        ({"training_version": 0}, "trained by an earlier version of gan-bench's training code, now version 3"),
        ({}, "the code of its model, dataset or network has changed since"),
        ({"dataset": {"contents": "other"}}, "the data files have changed since"),
    ],
)
def test_are_explained(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """By the version of training, the data or the code."""
    planned = project.plan(project.describe(seeds=2), tmp_path)
    project.run_jobs(planned)
    folder = Path(planned.jobs[0].folder)
    record = project.record(folder)
    assert record["training_version"] == runs.TRAINING_VERSION
    dataset = record["dataset"] | change.get("dataset", {})
    project.write_record(folder, record | change | {"key": "0" * 64, "dataset": dataset})
    [line] = describe_stale_runs(planned.folder, planned.jobs, planned.jobs)
    assert line == f"1 stored run not counted, and trained again: {reason}."


def test_of_other_settings_are_not(tmp_path: Path) -> None:
    """They may be another benchmark's, or rows that are not selected now."""
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


def test_of_which_another_is_finished_are_not(tmp_path: Path) -> None:
    """The message ends once the run is trained again."""
    planned = project.plan(project.describe(), tmp_path)
    project.run_jobs(planned)
    folder = Path(planned.jobs[0].folder)
    project.write_record(folder.with_name("old"), project.record(folder) | {"key": "0" * 64, "training_version": 2})
    assert list(describe_stale_runs(planned.folder, planned.jobs, [])) == []
    assert len(list(describe_stale_runs(planned.folder, planned.jobs, planned.jobs))) == 1
