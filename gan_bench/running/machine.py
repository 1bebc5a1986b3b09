"""Description of the hardware and of compilation for the start-up line."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

import torch

from gan_bench.contracts.engine import Place
from gan_bench.contracts.run import COMPILE_FROM, Job
from gan_bench.running.provenance import cpu_name


def describe_machine(device: str, workers: int, gpus: Sequence[str]) -> str:
    """Describe slots and hardware: ``2 runs at a time on a CPU (AMD EPYC, 2 cores), one thread each``."""
    at_once = _at_once(workers)
    if device == "cpu":
        return f"{at_once} on a CPU ({cpu_name()}), one thread each"
    several = f"{len(gpus)} GPUs" if len(gpus) > 1 else "a GPU"
    return f"{at_once} on {several} ({gpu_name()})"


def describe_place(place: Place) -> str:
    """Describe slots and hardware of an engine with other machines."""
    return f"{_at_once(place.workers)} on {place.description}"


def _at_once(workers: int) -> str:
    return "1 run at a time" if workers == 1 else f"{workers} runs at a time"


@cache
def gpu_name() -> str:
    """Name of the first visible GPU, as torch reports it.

    nvidia-smi is tried first: torch would allocate GPU memory in this process, which computes nothing on the GPU.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    command = ["nvidia-smi", "-i", visible, "--query-gpu=name", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.splitlines()[0].strip()
    return torch.cuda.get_device_name()


def describe_compilation(jobs: Sequence[Job]) -> str:
    """Describe whether the iterations of these jobs are compiled; if they are not, why."""
    trained = [job for job in jobs if not job.run.model.anchor]
    likely = [job for job in trained if job.likely_compiled]
    if not trained:
        return "nothing to train"
    if likely and trained[0].device == "cpu" and cpp_compiler() is None:
        return "iterations uncompiled: no C++ compiler found (install g++ or set CXX)"
    if len(likely) == len(trained):
        return "iterations compiled"
    if likely:
        return "iterations of long runs compiled"
    if trained[0].compile == "never":
        return "iterations uncompiled: --compile never"
    if all(job.heavy for job in trained):
        return "iterations uncompiled: compilation does not speed up convolutional networks"
    return f"iterations uncompiled: compilation saves time only from {COMPILE_FROM:,} iterations"


def cpp_compiler() -> str | None:
    """C++ compiler that torch would use; None if it is not installed."""
    return shutil.which(os.environ.get("CXX", "g++"))
