"""Scores that a run has computed are never lost, cut off or changed without a message."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gan_bench.planning.planned import Planned
from gan_bench.results.load import StoredResults, read_results
from gan_bench.results.stored_run import Unreadable, read_classes, read_snapshots
from gan_bench.running.execute import execute
from gan_bench.running.observers import Observer
from gan_bench.running.run_benchmark import run
from gan_bench.store.run_folder import RunFolder
from tests.support import project

Damage = Callable[[Path], None]


def plan(results: Path) -> tuple[Planned, RunFolder]:
    """Plan of one run of GAN, and the run's folder."""
    planned = project.plan(project.describe(), results)
    return planned, RunFolder(Path(planned.jobs[0].folder))


def finish(planned: Planned) -> list[str]:
    """Execute the run and return its warnings."""
    warnings: list[str] = []

    def report(event: object) -> None:
        warnings.extend([event.message] if hasattr(event, "message") else [])

    assert execute(planned.jobs[0], planned.registry, report, project.never) == "finished"
    return warnings


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder of a finished run, which tests copy."""
    results = tmp_path_factory.mktemp("whole")
    run(project.plan(project.describe(), results), Observer())
    return results


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> tuple[Planned, RunFolder]:
    """A finished run that a test may damage."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return plan(tmp_path)


@pytest.fixture
def interrupted(tmp_path: Path) -> tuple[Planned, RunFolder]:
    """A run that was interrupted after 25 of 30 iterations."""
    planned, folder = plan(tmp_path)
    assert project.run_jobs(planned, stop=project.stop_at(25)) == "interrupted"
    return planned, folder


def _remove(file: Path) -> None:
    file.unlink()


def _empty(file: Path) -> None:
    file.write_text("")


def _cut_lines(file: Path) -> None:
    """Cut at the end of a line: what is left is a valid file."""
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[: len(lines) // 2]))


def _keep_header(file: Path) -> None:
    file.write_text(file.read_text().splitlines(keepends=True)[0])


def _cut_bytes(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def _drop_row(file: Path) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], *lines[3:]]))


def _edit(file: Path) -> None:
    """Change the first digit of the first number after the header."""
    head, first, *rest = file.read_text().splitlines(keepends=True)
    cells = first.split(",")
    cells[3] = "0.123"
    file.write_text("".join([head, ",".join(cells), *rest]))


DAMAGES: list[Damage] = [_remove, _empty, _cut_lines, _keep_header, _cut_bytes, _drop_row, _edit]


def ignored(results: Path) -> StoredResults:
    """Results whose only run is ignored."""
    found = read_results(results / "tiny")
    assert found.frame.empty and len(found.ignored) == 1
    return found


class TestCurve:
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_of_a_finished_run_is_restored(
        self, finished: tuple[Planned, RunFolder], whole: Path, damage: Damage, tmp_path: Path
    ) -> None:
        """The table ignores the run with the reason; `run` restores its scores from the checkpoint, and says so."""
        planned, folder = finished
        damage(folder.path / "curve.csv")
        assert "curve.csv" in ignored(tmp_path).ignored[0].reason
        assert len(planned.todo) == 1
        warnings = finish(planned)
        assert any("curve.csv" in line or "scores" in line for line in warnings)
        assert planned.todo == []
        (other,) = project.run_folders(whole)
        assert project.difference(project.outcome(folder.path), project.outcome(other)) is None

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_of_an_interrupted_run_is_restored(
        self, interrupted: tuple[Planned, RunFolder], whole: Path, damage: Damage
    ) -> None:
        planned, folder = interrupted
        damage(folder.path / "curve.csv")
        assert finish(planned)
        (other,) = project.run_folders(whole)
        assert project.difference(project.outcome(folder.path), project.outcome(other)) is None

    def test_of_a_whole_run_needs_no_message(self, interrupted: tuple[Planned, RunFolder]) -> None:
        assert finish(interrupted[0]) == []

    def test_keeps_scores_that_no_checkpoint_has(self, finished: tuple[Planned, RunFolder]) -> None:
        """A metric that is added to a finished run is not dropped when another one follows."""
        _, folder = finished
        more = {"evaluation": {"metrics": [*project.METRICS, "high_quality"]}}
        planned = project.plan(project.describe(**more), folder.path.parents[2])
        assert finish(planned) == []
        last = {row["metric"] for row in folder.read_curve() if row["iteration"] == "30"}
        assert {"high_quality", *project.METRICS} <= last


class TestRecord:
    def test_that_finished_too_early_is_refused(self, finished: tuple[Planned, RunFolder], tmp_path: Path) -> None:
        """A run that is "finished" before its last iteration is not shown."""
        _, folder = finished
        project.write_record(folder.path, project.record(folder.path) | {"iteration": 20})
        assert "at iteration 20 of 30" in ignored(tmp_path).ignored[0].reason

    def test_without_digests_is_read(self, finished: tuple[Planned, RunFolder], tmp_path: Path) -> None:
        """Records of earlier versions have none."""
        _, folder = finished
        record = project.record(folder.path)
        del record["files"]
        project.write_record(folder.path, record)
        assert read_results(tmp_path / "tiny").ignored == ()


class TestClasses:
    def test_that_were_changed_are_refused(self, finished: tuple[Planned, RunFolder], tmp_path: Path) -> None:
        _, folder = finished
        (placed,) = read_results(tmp_path / "tiny").runs
        assert read_classes(placed.run) is not None
        _edit(folder.path / "classes.csv")
        with pytest.raises(Unreadable, match=r"classes\.csv"):
            read_classes(placed.run)

    def test_of_a_run_are_restored(self, finished: tuple[Planned, RunFolder]) -> None:
        planned, folder = finished
        before = (folder.path / "classes.csv").read_text()
        _edit(folder.path / "classes.csv")
        project.write_record(folder.path, project.record(folder.path) | {"status": "interrupted"})
        assert finish(planned)
        assert (folder.path / "classes.csv").read_text() == before


class TestSnapshots:
    def test_that_were_changed_are_refused(self, finished: tuple[Planned, RunFolder], tmp_path: Path) -> None:
        _, folder = finished
        (placed,) = read_results(tmp_path / "tiny").runs
        assert read_snapshots(placed.run) is not None
        with np.load(folder.path / "samples.npz") as stored:
            arrays = dict(stored)
        np.savez(folder.path / "samples.npz", **(arrays | {"x": arrays["x"] + 1}))
        with pytest.raises(Unreadable, match=r"samples\.npz"):
            read_snapshots(placed.run)


class TestForeignFiles:
    @pytest.mark.parametrize("name", ["run.json", "curve.csv"])
    @pytest.mark.parametrize("kind", ["link", "pipe", "folder", "device"])
    def test_of_special_kinds_are_refused(
        self, finished: tuple[Planned, RunFolder], tmp_path: Path, name: str, kind: str
    ) -> None:
        """A link, a pipe or a device in place of a file is named at once, and never followed or waited for."""
        file = finished[1].path / name
        outside = tmp_path / "outside"
        shutil.copy(file, outside)
        file.unlink()
        if kind == "link":
            file.symlink_to(outside)
        elif kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "folder":
            file.mkdir()
        else:
            os.mkfifo(file)
        assert name in ignored(tmp_path).ignored[0].reason

    def test_a_run_folder_that_is_a_link_elsewhere_is_ignored(
        self, finished: tuple[Planned, RunFolder], tmp_path: Path
    ) -> None:
        path = finished[1].path
        shutil.move(path, tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        assert "link" in ignored(tmp_path).ignored[0].reason

    def test_a_file_is_replaced_not_followed(self, interrupted: tuple[Planned, RunFolder], tmp_path: Path) -> None:
        """Writing never changes the target of a link that lies in the folder."""
        planned, folder = interrupted
        precious = tmp_path / "precious"
        precious.write_text("mine")
        for name in ("error.txt", "samples.npz"):
            (folder.path / name).unlink(missing_ok=True)
            (folder.path / name).symlink_to(precious)
        assert execute(planned.jobs[0], planned.registry, lambda _: None, project.never) == "failed"
        assert precious.read_text() == "mine"
        assert "samples.npz" in project.record(folder.path)["error"]["message"]
