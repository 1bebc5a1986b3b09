"""The start-up line: what a benchmark runs on, and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.run import Job
from gan_bench.running import machine
from gan_bench.running.machine import describe_compilation, describe_machine
from tests.support import project


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A run long enough to be compiled, on a machine with a compiler."""
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    return project.plan(project.describe(protocol={"iterations": 6000}), tmp_path).jobs[0]


def test_names_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how many runs go on at a time; of a GPU its name."""
    monkeypatch.setattr(machine, "cpu_name", lambda: "AMD EPYC, 2 cores")
    monkeypatch.setattr(machine, "gpu_name", lambda: "NVIDIA H200")
    assert describe_machine("cpu", 2, []) == "2 runs at a time on a CPU (AMD EPYC, 2 cores), one thread each"
    assert describe_machine("cuda", 1, ["0"]) == "1 run at a time on a GPU (NVIDIA H200)"
    assert describe_machine("cuda", 2, ["0", "1"]) == "2 runs at a time on 2 GPUs (NVIDIA H200)"


def test_names_a_gpu_without_taking_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By nvidia-smi, of the GPU that is visible; by torch if there is no such program."""
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
    ("changes", "expected"),
    [
        ({}, "iterations compiled"),
        ({"compile": "never"}, "iterations uncompiled: --compile never"),
        ({"heavy": True}, "iterations uncompiled: convolutional networks gain nothing by it"),
    ],
)
def test_says_whether_iterations_are_compiled(job: Job, changes: dict[str, Any], expected: str) -> None:
    """If not, why."""
    assert describe_compilation([replace(job, **changes)]) == expected


def test_says_that_short_runs_are_not_compiled(tmp_path: Path) -> None:
    """Compiling takes longer than they do."""
    jobs = project.plan(project.describe(), tmp_path).jobs
    assert describe_compilation(jobs) == "iterations uncompiled: it pays from 5,000 iterations on"


def test_says_that_there_is_no_compiler(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to do; on a GPU none is needed."""
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert describe_compilation([job]) == ("iterations uncompiled: there is no C++ compiler (install g++, or set CXX)")
    assert describe_compilation([replace(job, device="cuda")]) == "iterations compiled"
