"""The start-up line: description of the machine and of compilation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.run import Job
from gan_bench.running import machine
from gan_bench.running.machine import describe_compilation, describe_machine
from tests.support import project
from tests.support.messages import Messages


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Job of a run that is long enough to be compiled, on a machine with a compiler."""
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    return project.plan(project.describe(protocol={"iterations": 6000}), tmp_path).jobs[0]


def test_names_the_processor(monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """The line has the name of the processor or GPU, and the number of simultaneous runs."""
    monkeypatch.setattr(machine, "cpu_name", lambda: "AMD EPYC, 2 cores")
    monkeypatch.setattr(machine, "gpu_name", lambda: "NVIDIA H200")
    messages.check(describe_machine("cpu", 2, []), 2, "AMD EPYC, 2 cores")
    messages.check(describe_machine("cuda", 1, ["0"]), 1, "NVIDIA H200")
    messages.check(describe_machine("cuda", 2, ["0", "1"]), 2, "NVIDIA H200")


def test_names_a_gpu_without_allocating_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nvidia-smi gives the name of the visible GPU; torch gives it only without this program."""
    monkeypatch.setattr(machine.torch.cuda, "get_device_name", lambda: "by torch")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "NVIDIA H200 of $2"\n')
    program.chmod(0o755)
    for path, expected in ((str(tmp_path), "NVIDIA H200 of 3"), (str(tmp_path / "none"), "by torch")):
        monkeypatch.setenv("PATH", f"{path}:/bin:/usr/bin" if path == str(tmp_path) else path)
        machine.gpu_name.cache_clear()
        assert machine.gpu_name() == expected
    machine.gpu_name.cache_clear()


@pytest.mark.parametrize(
    ("changes", "part"), [({}, ""), ({"compile": "never"}, "--compile never"), ({"heavy": True}, "")]
)
def test_reports_whether_iterations_are_compiled(
    job: Job, changes: dict[str, Any], part: str, messages: Messages
) -> None:
    """The line gives the reason if iterations are not compiled."""
    messages.check(describe_compilation([replace(job, **changes)]), part)


def test_reports_that_short_runs_are_not_compiled(tmp_path: Path, messages: Messages) -> None:
    """The line gives the number of iterations from which runs are compiled."""
    jobs = project.plan(project.describe(), tmp_path).jobs
    messages.check(describe_compilation(jobs), "5,000")


def test_reports_a_missing_compiler(job: Job, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """The line gives the remedy. On a GPU no C++ compiler is needed."""
    compiled = describe_compilation([job])
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    messages.check(describe_compilation([job]), "g++", "CXX")
    assert describe_compilation([replace(job, device="cuda")]) == compiled
