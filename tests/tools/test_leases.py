"""The campaign that kills workers finds writes of superseded processes, lost runs and different values."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gan_bench import files
from gan_bench.store.attempts import begin_attempt, fence
from tests.support import project

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "campaigns"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "common"))

import leases


def test_a_double_write_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal has a change that the fence has not prevented, and none that is allowed."""
    monkeypatch.setattr(files, "os", files.os)  # the plugin replaces it
    monkeypatch.setenv(leases.JOURNAL, str(tmp_path / "journal"))
    exec(leases.PLUGIN, {})
    run = tmp_path / "run"
    first = begin_attempt(run, "first")
    assert first is not None
    with files.guarded(fence({run: first.token})):
        files.write_atomically(run / "run.json", "{}")
        assert not (tmp_path / "journal").exists()
        (run / "late").touch()
        (run / "attempt.json").write_text((run / "attempt.json").read_text().replace(first.token, "other"))
        files.os.replace(run / "late", run / "run.json")
    assert str(run / "run.json") in (tmp_path / "journal").read_text()


def test_lost_and_different_runs_are_found(tmp_path: Path) -> None:
    """Attempts and times do not count."""
    for name in ("local", "round"):
        planned = project.plan(project.describe(name="leases"), tmp_path / name / "results")
        assert project.run_jobs(planned) == "finished"
    count, expected = leases.Count(), leases.runs_in(tmp_path / "local")
    (folder,) = project.run_folders(tmp_path / "round" / "results")
    begin_attempt(folder, "node")
    leases.compare(tmp_path / "round", expected, count)
    assert expected and leases.report(count) == 0
    curve = folder / "curve.csv"
    curve.write_text(curve.read_text().replace("1", "2"))
    project.write_record(folder, project.record(folder) | {"status": "failed"})
    leases.compare(tmp_path / "round", expected, count)
    assert count.faults["lost"] == 1 and count.faults["differs"] >= 2 and leases.report(count) == 1
    assert json.loads((folder / "attempt.json").read_text())["number"] == 1
