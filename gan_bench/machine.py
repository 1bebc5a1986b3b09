"""What a benchmark runs on, and whether its iterations are compiled, in words for the start-up line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import torch

from gan_bench.job import COMPILE_FROM, Job
from gan_bench.provenance import cpu_name


def describe_machine(device: str, workers: int, gpus: Sequence[str]) -> str:
    """``2 runs at a time on a CPU (AMD EPYC, 2 cores)``."""
    at_once = "1 run at a time" if workers == 1 else f"{workers} runs at a time"
    if device == "cpu":
        return f"{at_once} on a CPU ({cpu_name()}), one thread each"
    several = f"{len(gpus)} GPUs" if len(gpus) > 1 else "a GPU"
    return f"{at_once} on {several} ({torch.cuda.get_device_name()})"


def describe_compilation(jobs: Sequence[Job]) -> str:
    """Whether the iterations of these jobs are compiled; if they are not, why."""
    trained = [job for job in jobs if not job.run.model["anchor"]]
    likely = [job for job in trained if job.likely_compiled]
    if not trained:
        return "nothing to train"
    if likely and trained[0].device == "cpu" and cpp_compiler() is None:
        return "iterations uncompiled: there is no C++ compiler (install g++, or set CXX)"
    if len(likely) == len(trained):
        return "iterations compiled"
    if likely:
        return "iterations of long runs compiled"
    if trained[0].compile == "never":
        return "iterations uncompiled: --compile never"
    if all(job.heavy for job in trained):
        return "iterations uncompiled: convolutional networks gain nothing by it"
    return f"iterations uncompiled: it pays from {COMPILE_FROM:,} iterations on"


def cpp_compiler() -> str | None:
    """The C++ compiler that torch would use; None if it is not installed."""
    return shutil.which(os.environ.get("CXX", "g++"))
