"""Tests of tools/campaigns/files.py: hostile files end in a result or a message, and faults are counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.campaigns.files import MEMORY, Outcome, batches, call, images, prepared, samples

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_hostile_files_cause_no_fault() -> None:
    """In the small campaign there are no tracebacks, hangs, other exit codes, or commands with too much memory."""
    command = [sys.executable, str(ROOT / "tools" / "campaigns" / "files.py"), "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("faults: traceback 0, hang 0, exit code 0, memory 0\n")


def test_there_are_two_hundred_files() -> None:
    """The campaign has at least 200 files, each with another name."""
    names = [case.name for case in (*samples(), *batches(), *images(), *prepared())]
    assert len(names) == len(set(names)) >= 200


@pytest.mark.parametrize(
    ("outcome", "faults"),
    [
        (Outcome(0, "", 1), []),
        (Outcome(2, "Error: x", 1), []),
        (Outcome(1, "Traceback (most recent call last):", 1), ["traceback", "exit code"]),
        (Outcome(None, "", MEMORY + 1), ["hang", "memory"]),
        (Outcome(-11, "", 1), ["exit code"]),
    ],
)
def test_faults_are_counted(outcome: Outcome, faults: list[str]) -> None:
    """Each kind of fault is recognised, a segmentation fault by its exit code."""
    assert outcome.faults == faults


def test_a_command_is_executed(tmp_path: Path) -> None:
    """A command in a fork has its own output and exit code."""
    outcome = call(["list", "nonsense"], tmp_path / "log")
    assert outcome.code == 2
    assert "nonsense" in outcome.output
