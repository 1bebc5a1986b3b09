"""Events of runs: what `execute` reports, engines forward and observers receive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Compiling:
    """A run's first iteration is being compiled, which takes about ten seconds."""

    key: str


@dataclass(frozen=True)
class Progress:
    """Progress of a run in training.

    Attributes:
        iteration: the number of completed iterations.
        iterations: the number of iterations of the run.
        rate: iterations per second.
    """

    key: str
    iteration: int
    iterations: int
    rate: float


@dataclass(frozen=True)
class Evaluated:
    """A run was evaluated and has written its checkpoint.

    Attributes:
        scores: metric → value of the mixture at this iteration.
    """

    key: str
    iteration: int
    iterations: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Warned:
    """A run continues under conditions that its owner should be aware of."""

    key: str
    message: str


Event = Compiling | Progress | Evaluated | Warned
Report = Callable[[Event], None]
