"""The contract of an engine: it executes jobs and reports their progress to an observer.

For every engine, on this machine or on a cluster, the folder of a run is authoritative: `gan_bench.execute` writes it
and records there how the run ended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gan_bench.contracts.observer import Observer

if TYPE_CHECKING:
    from gan_bench.contracts.run import Job


@dataclass(frozen=True)
class Setup:
    """Arguments that every engine receives.

    Attributes:
        workers: runs at the same time, at most.
        plugin_places: plugin files and folders, to be loaded by every process that executes runs.
        lock: file descriptor of the benchmark folder's lock; processes that write there inherit it.
        gpus: GPUs that runs are spread over, in the notation of `CUDA_VISIBLE_DEVICES`; empty on a CPU.
    """

    workers: int
    plugin_places: Sequence[Path]
    lock: int
    gpus: Sequence[str] = ()


class Engine(ABC):
    """Execute jobs. The first line of the docstring is shown by `gan-bench list engines`."""

    name: ClassVar[str]

    def __init__(self, setup: Setup, observer: Observer) -> None:
        self.setup, self.observer = setup, observer

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> bool:
        """Execute all jobs; return False if Ctrl-C (KeyboardInterrupt) stopped them after their checkpoints."""
