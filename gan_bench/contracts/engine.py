"""The contract of an engine: it carries out jobs somewhere, and tells an observer how they go.

Whatever an engine is (processes here, a cluster elsewhere), a run's folder is the truth: `gan_bench.execute` writes
it, and how a run ended stands there.
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
    """What an engine is given.

    Attributes:
        workers: runs at the same time, at most.
        plugin_places: plugin files and folders, to be loaded wherever runs are carried out.
        lock: file descriptor of the benchmark folder's lock; processes that write there inherit it.
        gpus: what runs are spread over, as `CUDA_VISIBLE_DEVICES` names them; empty on a CPU.
    """

    workers: int
    plugin_places: Sequence[Path]
    lock: int
    gpus: Sequence[str] = ()


class Engine(ABC):
    """Carries out jobs. The docstring's first line is what `gan-bench list engines` shows."""

    name: ClassVar[str]

    def __init__(self, setup: Setup, observer: Observer) -> None:
        self.setup, self.observer = setup, observer

    @abstractmethod
    def carry_out(self, jobs: Sequence[Job]) -> bool:
        """Carry out all jobs; False where Ctrl-C (KeyboardInterrupt) stopped them after their checkpoints."""
