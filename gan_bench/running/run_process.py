"""The process that executes runs: its state is set before a run, and restored after code of plugins."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from gan_bench.contracts.run import Job
from gan_bench.plugins.process_state import ProcessState, changes_text, end_fork
from gan_bench.running.provenance import OUTSIDE_MB, SHARE_VARIABLE
from gan_bench.training.precision import set_precision

TORCH_SEED = 67280421310721
"""Seed of torch's default random stream in a new process."""


class RunProcess:
    """State of this process while it executes runs of one configuration."""

    def __init__(self, job: Job) -> None:
        self._id = os.getpid()
        share = os.environ.get(SHARE_VARIABLE)
        if share and job.device == "cuda":
            limit_gpu_memory(float(share))
        torch.set_num_threads(job.threads)
        set_precision(job.run.protocol.precision)
        seed_default_streams()
        self._state = ProcessState()

    def require_own(self) -> None:
        """End this process if code of a plugin has forked it from the one that executes the runs."""
        end_fork(self._id)

    def restore(self) -> str | None:
        """Restore all but the random streams; describe what code of a plugin has changed since."""
        self.require_own()
        changed = self._state.restore(in_run=True)
        return changes_text(changed) if changed else None


def limit_gpu_memory(share: float) -> None:
    """Limit what this process allocates on its GPU, so that with CUDA's context it fits into a share."""
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 2**20
    torch.cuda.set_per_process_memory_fraction(max(share / 2, share - OUTSIDE_MB / total))


def seed_default_streams() -> None:
    """Set the default random streams as in a new process. No draw of a run depends on them, unless a plugin's does."""
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(TORCH_SEED)


@contextmanager
def process_for(job: Job) -> Iterator[RunProcess]:
    """Set the state of this process for runs, and restore the earlier state after them."""
    before = ProcessState()
    try:
        yield RunProcess(job)
    finally:
        before.restore()
