"""The contract of a dataset: draws of real data, and an exact density where there is one.

torch is imported only by the code that draws, so that scoring a file needs none of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.parameters import NoParams
from gan_bench.errors import DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Real:
    """One draw of real data.

    x: (B, *shape) float32; label: (B,) int64 where the dataset has `classes`, else None; index: (B,) int64, the
    position in a finite dataset, None for an endless stream.
    """

    x: Tensor
    label: Tensor | None = None
    index: Tensor | None = None


@dataclass(frozen=True)
class Mixture:
    """An isotropic Gaussian mixture, exactly: what density-based metrics compare with.

    means: (M, d) float64; stds: (M,) float64; weights: (M,) float64, summing to 1.
    """

    means: NDArray[np.float64]
    stds: NDArray[np.float64]
    weights: NDArray[np.float64]


class Dataset(ABC):
    """Real data. Subclasses take a validated `Params` and hold nothing that a draw changes."""

    name: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams

    def __init__(self, params: Any) -> None:
        self.params = params

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: (2,) for points in the plane."""

    @property
    def mixture(self) -> Mixture | None:
        """The exact density, where the dataset is a Gaussian mixture."""
        return None

    @property
    def classes(self) -> int | None:
        """How many classes `Real.label` names, as 0…classes-1; None where draws carry no labels."""
        return None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The least and the greatest value that a sample can have, (-1, 1) or (0, 1) for images; None for no bounds.

        Generators are kept in them by tanh or a sigmoid.
        """
        return None

    @property
    def training_size(self) -> int | None:
        """How many samples `draw` draws from; None where they never run out. Known once the dataset is prepared."""
        return None

    @property
    def held_out_size(self) -> int | None:
        """How many samples `held_out` has; None where it never runs out."""
        return None

    @property
    def contents(self) -> str:
        """What draws depend on beside name and parameters: a hash of files that a user chose; empty for nothing.

        It is part of a run's key, so that other files are another run. Published files need none: they are verified.
        """
        return ""

    def missing(self) -> str | None:
        """What has to be fetched before anything can be drawn, and how; None where it is there, or nothing is needed.

        It looks, and reads and writes nothing.
        """
        return None

    def prepare(self, say: Callable[[str], None]) -> None:  # noqa: B027 - most need nothing
        """Make ready what draws need, once, before any run; `say` is told of what takes long.

        Raises:
            DataError: files are missing, damaged or of another kind.
        """

    def fetch(self, say: Callable[[str], None]) -> None:
        """Download what `missing` misses: `gan-bench data fetch NAME`; `say` is told of the progress.

        Raises:
            DataError: there is nothing to download, no connection, or what came is damaged.
        """
        raise DataError(f"{self.name}: there is nothing to fetch. {self.missing() or ''}".rstrip())

    @abstractmethod
    def draw(self, n: int, rng: torch.Generator) -> Real:
        """`n` real samples for training, on the generator's device, a pure function of the generator's state."""

    def pool(self, n: int, rng: torch.Generator) -> Real:
        """`n` samples for training that stay the same for a run, for models that weigh them one by one.

        Different ones, where the dataset is finite. Called once a run.
        """
        return self.draw(n, rng)

    @abstractmethod
    def held_out(self, n: int, rng: torch.Generator) -> Real:
        """`n` real samples that training never sees, at most `held_out_size`: what the row `real-data` is scored on."""
