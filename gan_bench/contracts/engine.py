"""The contract of an engine: it executes jobs and reports their progress to an observer.

For every engine, on this machine or on a cluster, the folder of a run is authoritative: `gan_bench.execute` writes it
and records there how the run ended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gan_bench.contracts.observer import Observer
from gan_bench.contracts.parameters import NoParams

if TYPE_CHECKING:
    from gan_bench.contracts.run import Job


@dataclass(frozen=True)
class Setup:
    """Arguments that every engine receives.

    Attributes:
        workers: runs at the same time, at most.
        plugin_places: plugin files and folders, to be loaded by every process that executes runs.
        lock: file descriptor of the benchmark folder's lock; processes that write there inherit it.
        gpus: GPUs that runs are spread over, in the notation of `CUDA_VISIBLE_DEVICES`; empty on a CPU, and if the
            engine has another place than this machine.
        results: the benchmark's folder, which contains the folders of all jobs.
        params: an instance of the engine's `Params`; None for the defaults.
    """

    workers: int
    plugin_places: Sequence[Path]
    lock: int
    gpus: Sequence[str] = ()
    results: Path = Path()
    params: Any = None


@dataclass(frozen=True)
class PlaceRequest:
    """Options of a command that an engine's place has to fulfil.

    Attributes:
        device: "auto", "cpu" or "cuda".
        workers: largest number of runs at the same time; None for as many as there is room for.
    """

    device: str = "auto"
    workers: int | None = None


@dataclass(frozen=True)
class Place:
    """Machines that execute runs, if they are others than the command's.

    Attributes:
        device: "cpu" or "cuda".
        workers: number of runs at the same time.
        gpus: number of GPUs; 0 on a CPU.
        description: hardware in words, for the start-up line.
    """

    device: str
    workers: int
    gpus: int
    description: str


class Engine(ABC):
    """Execute jobs. The first line of the docstring is shown by `gan-bench list engines`."""

    name: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams

    def __init__(self, setup: Setup, observer: Observer) -> None:
        self.setup, self.observer = setup, observer
        self.params = self.Params() if setup.params is None else setup.params

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place | None:
        """Return where runs are executed, before they are planned; None for the command's machine.

        Raises UsageError if the request cannot be fulfilled.
        """
        return None

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> bool:
        """Execute all jobs; return False if Ctrl-C (KeyboardInterrupt) stopped them after their checkpoints."""
