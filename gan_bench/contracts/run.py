"""A run as an engine receives it: its definition, folder, evaluation and execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gan_bench.contracts.protocol import Protocol

COMPILE_FROM = 5_000
"""Number of iterations from which compilation, which takes about ten seconds, saves time."""

CHECK_IMAGES = 128
"""Number of real images that samples of a check are compared with."""

JsonValue = bool | int | float | str | None | list[Any] | dict[str, Any]
"""A value of a JSON file. Not recursive: msgspec reads no such types."""

Plain = Mapping[str, JsonValue]
"""Parameters of a plugin as JSON has them: lists in place of tuples."""


@dataclass(frozen=True)
class DatasetRef:
    """Reference to a dataset by the name of its plugin.

    Attributes:
        label: the benchmark's name for it.
        contents: hash of its files; empty if it has none.
    """

    plugin: str
    params: Plain
    label: str = ""
    contents: str = ""


@dataclass(frozen=True)
class ModelRef:
    """Reference to a model by the name of its plugin; an anchor never trains."""

    plugin: str
    params: Plain
    anchor: bool = False


@dataclass(frozen=True)
class SkippedModel:
    """A model of a benchmark that cannot be loaded; the others are trained without it."""

    label: str
    plugin: str
    error: str


@dataclass(frozen=True)
class Run:
    """One training run, fully resolved, as values that any process can read.

    Attributes:
        key: hash of everything that is trained: dataset, model, protocol, seed, the code of their modules, and
        `TRAINING_VERSION`. It does not depend on label, evaluation, device or execution plan.
        configuration: the same without the seed.
    """

    benchmark: str
    label: str
    dataset: DatasetRef
    model: ModelRef
    protocol: Protocol
    seed: int
    configuration: str
    key: str

    @property
    def folder(self) -> str:
        """Name of the run's folder."""
        return f"{self.dataset.plugin}-{self.model.plugin}-s{self.seed}-{self.key[:12]}"


@dataclass(frozen=True)
class Schedule:
    """Schedule and settings of a run's evaluations.

    Attributes:
        initial: whether iteration 0 is evaluated, if it is not the last as well.
    """

    every: int
    samples: int
    metrics: tuple[str, ...]
    points: int
    initial: bool = True

    def expensive_at(self, iterations: int) -> frozenset[int]:
        """Iterations with expensive metrics and a snapshot in addition: evenly spaced, both ends included."""
        first = 0 if self.initial else 1
        return frozenset(round(iterations * i / self.points) for i in range(first, self.points + 1))

    def due(self, iteration: int, iterations: int) -> bool:
        """Whether an iteration is evaluated."""
        regular = iteration % self.every == 0 and (iteration > 0 or self.initial)
        return regular or iteration in self.expensive_at(iterations)


@dataclass(frozen=True)
class Job:
    """A run with its folder, evaluation and device: plain values that any process can read.

    Attributes:
        compile: "always", "never", or "auto": resume as the run began; compile a new run if it is long enough.
        heavy: whether the network's arithmetic dominates the time, so that compilation would not pay off.
        stack: largest number of seeds of its configuration that may be executed together.
        check: whether it only checks that everything works: it is interrupted and resumed half way, evaluated on a
            few images, and its stored generators are sampled.
        attempt: token without which its folder must not be changed, see `store.attempts`; empty if one process at a
            time has the results folder.
    """

    run: Run
    folder: str
    schedule: Schedule
    device: str
    threads: int = 1
    compile: str = "auto"
    heavy: bool = False
    stack: int = 1
    check: bool = False
    attempt: str = ""

    @property
    def likely_compiled(self) -> bool:
        """Whether a new run of this job is compiled, if it can be."""
        repaid = not self.heavy and self.run.protocol.iterations >= COMPILE_FROM
        return not self.run.model.anchor and (self.compile == "always" or (self.compile == "auto" and repaid))
