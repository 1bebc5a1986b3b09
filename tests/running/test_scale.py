"""Steps of commands with many runs read a number of files that is proportional to the number of runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gan_bench import files
from gan_bench.planning.planned import Planned
from gan_bench.running.enqueue import enqueue
from gan_bench.running.estimate import estimate
from gan_bench.running.record import start_record
from gan_bench.store.job_queue import read_queue
from gan_bench.store.leases import Leases
from gan_bench.store.run_folder import RunFolder
from tests.support import project

MODELS = [{"plugin": "mgan", "label": f"mgan {number}", "generators": number} for number in (2, 3)]


def stored(folder: Path, seeds: int) -> Planned:
    """Plan of a benchmark whose runs are all interrupted."""
    planned = project.plan(project.describe(MODELS, seeds=seeds), folder)
    for job in planned.jobs:
        RunFolder(Path(job.folder)).write(replace(start_record(job, planned.registry, None), status="interrupted"))
    return planned


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that returns the number of files that were opened since its last call."""
    opened = [0]
    whole = files.open_file

    def count(path: str | os.PathLike[str]) -> object:
        opened[0] += 1
        return whole(path)

    def since() -> int:
        found, opened[0] = opened[0], 0
        return found

    monkeypatch.setattr(files, "open_file", count)
    return since


def steps(folder: Path, seeds: int, reads: Callable[[], int]) -> list[int]:
    """Files that are read by a plan, by estimates, by the queue, and by a worker that looks at all of its runs."""
    planned, found = stored(folder, seeds), []
    reads()
    planned = project.plan(project.describe(MODELS, seeds=seeds), folder)
    found.append(reads())
    estimate(planned.jobs, planned.registry, results=folder, workers=1, probe=False, jobs=planned.jobs)
    found.append(reads())
    enqueue(planned, lambda line: None)
    found.append(reads())
    leases = Leases("here", 60.0)
    for unit in read_queue(planned.folder).units(planned.folder):
        leases.look(unit)
    return [*found, reads()]


def test_files_are_read_in_proportion(tmp_path: Path, reads: Callable[[], int]) -> None:
    """Four times as many seeds need at most four times as many files."""
    few, many = (steps(tmp_path / str(seeds), seeds, reads) for seeds in (3, 12))
    assert all(before > 0 and after <= 4 * before for before, after in zip(few, many, strict=True)), (few, many)
