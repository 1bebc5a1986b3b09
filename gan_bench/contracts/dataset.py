"""The contract of a dataset: draws of real data, and optionally an exact density.

Only code that draws imports torch, so that samples in a file are scored without it.
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

    x: (B, *shape) float32; label: (B,) int64 if the dataset has `classes`, else None; index: (B,) int64, the
    position in a finite dataset, None for an endless stream.
    """

    x: Tensor
    label: Tensor | None = None
    index: Tensor | None = None


@dataclass(frozen=True)
class Mixture:
    """An isotropic Gaussian mixture with exact parameters, for density-based metrics.

    means: (M, d) float64; stds: (M,) float64; weights: (M,) float64, summing to 1.
    """

    means: NDArray[np.float64]
    stds: NDArray[np.float64]
    weights: NDArray[np.float64]

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw n independent samples, (n, d) float64."""
        mode = rng.choice(len(self.weights), size=n, p=self.weights)
        noise = rng.standard_normal((n, self.means.shape[1]))
        drawn: NDArray[np.float64] = self.means[mode] + self.stds[mode, None] * noise
        return drawn


class Dataset(ABC):
    """Base class of datasets. Subclasses take validated `Params` and have no state that a draw changes."""

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
        """Exact density if the dataset is a Gaussian mixture, else None."""
        return None

    @property
    def classes(self) -> int | None:
        """Number of classes in `Real.label`, numbered 0…classes-1; None if draws have no labels."""
        return None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Least and greatest possible value of a sample, (-1, 1) or (0, 1) for images; None if unbounded.

        Generators are bounded by tanh or a sigmoid.
        """
        return None

    @property
    def training_size(self) -> int | None:
        """Number of samples that `draw` draws from; None if unlimited. Known once the dataset is prepared."""
        return None

    @property
    def held_out_size(self) -> int | None:
        """Number of samples of `held_out`; None if unlimited."""
        return None

    @property
    def contents(self) -> str:
        """Hash of files that a user chose and that draws depend on, or an empty string.

        It is part of a run's key, so that other files give another run. Published files are verified and need no hash.
        """
        return ""

    def missing(self) -> str | None:
        """Missing files and the command that fetches them, as a message; None if no file is missing or needed.

        This method reads and writes no file; it only checks for existence.
        """
        return None

    def prepare(self, log: Callable[[str], None]) -> None:  # noqa: B027 - most need nothing
        """Prepare once, before any run, whatever draws need; `log` receives a message about each long step.

        Raises:
            DataError: files are missing, damaged or of another kind.
        """

    def fetch(self, log: Callable[[str], None]) -> None:
        """Download the files that `missing` lists (`gan-bench data fetch NAME`); `log` receives progress messages.

        Raises:
            DataError: there is nothing to download, there is no connection, or the download is damaged.
        """
        raise DataError(f"{self.name}: there are no files to download. {self.missing() or ''}".rstrip())

    @abstractmethod
    def draw(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` real samples for training, on the generator's device: a pure function of the generator's state."""

    def pool(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` samples for training that stay fixed for a run, for models that weight them individually.

        All are distinct if the dataset is finite. Called once a run.
        """
        return self.draw(n, rng)

    @abstractmethod
    def held_out(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` real samples that training never sees, at most `held_out_size`, for the row `real-data`."""
