"""The contract of a metric: a number, its direction, its unit, and the samples it was computed from.

Nothing here imports torch, so that scores and tables can be read on a machine without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from gan_bench.contracts.dataset import Dataset


Direction = Literal["lower", "higher", "none"]
Scale = Literal["log", "linear", "share", "count"]
"""Scale on which values of a metric are averaged and compared over seeds, see `Metric.scale`."""

T = TypeVar("T")
UNINDEXED = "the samples have no generator index"


class Samples:
    """Samples of one model at one iteration, with a cache of results that several metrics share.

    Attributes:
        x: (n, *shape) float64, finite.
        pixels: of images, (n, C, H, W) uint8, a `torch.Tensor` on the device that drew them; else None. For
            images, `x` is computed from it on first access.
        generator: (n,) int64, the index in 0…generators-1 of the generator of each sample; None if
            samples have no such index (real data, a file without one).
        generators: K, the number of generators (1 without an index).
        dataset: the dataset that samples are compared with.
        seed: an integer for metrics that draw at random themselves; the same seed gives the same value.
    """

    _HELD_OUT = 1  # separates the stream of held-out samples from those that metrics seed by `seed` alone

    def __init__(
        self,
        x: NDArray[np.floating[Any]] | None,
        dataset: Dataset,
        *,
        pixels: Tensor | None = None,
        generator: NDArray[np.integer[Any]] | None = None,
        generators: int = 1,
        seed: int = 0,
    ) -> None:
        if (x is None) == (pixels is None):
            raise ValueError("exactly one of x and pixels must be given")
        self._x = None if x is None else np.asarray(x, dtype=np.float64)
        self.pixels = pixels
        self.generator = None if generator is None else np.asarray(generator, dtype=np.int64)
        self.generators = generators
        self.dataset = dataset
        self.seed = seed
        self._kept: dict[str, Any] = {}

    @property
    def x(self) -> NDArray[np.float64]:
        """(n, *shape) float64."""
        if self._x is None:
            assert self.pixels is not None and self.dataset.bounds is not None
            low, high = self.dataset.bounds
            self._x = self.pixels.cpu().numpy() * ((high - low) / 255) + low
        return self._x

    def __len__(self) -> int:
        return len(self.x if self.pixels is None else self.pixels)

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """Return ``compute()``, computed at most once for these samples (a histogram, an assignment)."""
        if name not in self._kept:
            self._kept[name] = compute()
        value: T = self._kept[name]
        return value

    def held_out(self, n: int) -> NDArray[np.float64]:
        """Real samples that training never uses, (n, *shape) float64, to compare with if there is no exact density.

        They depend on `seed`, the dataset and `n` only: all models of a seed are compared with the same ones. They
        are drawn once, from the mixture if the density is one, and shared by metrics. Do not change them in place. If
        the dataset holds out fewer than `n`, all of them are returned. Those of a finite dataset are also the samples
        of the row `real-data`.
        """
        most = self.dataset.held_out_size
        size = n if most is None else min(n, most)
        return self.once(f"gan_bench.held_out {size}", lambda: self._draw_held_out(size))

    def _draw_held_out(self, n: int) -> NDArray[np.float64]:
        sequence = np.random.SeedSequence([self.seed, self._HELD_OUT])
        if self.dataset.mixture is not None:  # `gan-bench score` needs no torch then
            return self.dataset.mixture.sample(n, np.random.default_rng(sequence))
        import torch

        seed = sequence.generate_state(1, np.uint64)
        rng = torch.Generator().manual_seed(int(seed[0] >> 1))
        drawn: NDArray[np.float64] = self.dataset.held_out(n, rng).x.numpy().astype(np.float64)
        return drawn


@dataclass(frozen=True)
class Fetchable:
    """Weights that `gan-bench data` lists, fetches and checks.

    fetch: downloads them if they are missing and reports progress to its argument; raises DataError.
    found: the file, or None if it is missing; does not read it.
    verify: reads the whole file if it exists; raises DataError if it is damaged or a different file.
    """

    fetch: Callable[[Callable[[str], None]], None]
    found: Callable[[], Path | None]
    verify: Callable[[], object]


class Metric(ABC):
    """Base class of metrics. Subclasses are stateless; `gan-bench list` shows the first line of their docstring."""

    name: ClassVar[str]  # snake_case
    direction: ClassVar[Direction]
    unit: ClassVar[str]  # "nats", "data units", "modes", "share"
    scale: ClassVar[Scale] = "linear"
    """Scale on which seeds are averaged and models compared.

    "log": distances that stay positive; geometric mean and ratio. "share": shares of samples, 0 to 1; log odds.
    "count": numbers of modes, classes or generators; seeds that reach all of them. "linear": all others, and
    distances that can be 0 or negative; mean and difference.
    """
    version: ClassVar[int] = 1  # increased with each change of definition: scores of older versions are then not shown
    per_generator: ClassVar[bool] = False  # whether compute() returns one value per generator
    expensive: ClassVar[bool] = False  # whether it is computed at the end and a few points only
    needs: ClassVar[int] = 1
    """Smallest number of samples. A metric that scores only the first ones has their number in its name and reads
    `self.needs`, which `gan-bench run --quick` lowers to the few samples that it draws."""
    fetchable: ClassVar[Mapping[str, Fetchable]] = {}
    """Files that `gan-bench data fetch NAME` downloads for this metric, by name."""

    def refuses(self, dataset: Dataset) -> str | None:
        """Reason why this metric is undefined for `dataset`, or None if it is valid."""
        return None

    def is_expensive(self, dataset: Dataset) -> bool:
        """Whether scores of samples of `dataset` are so slow that they are computed at a few points of a run only."""
        return self.expensive

    def prepare(  # noqa: B027 - most need nothing
        self, dataset: Dataset, device: str, log: Callable[[str], None]
    ) -> None:
        """Prepare once, before any run, whatever scores of samples of `dataset` need, and store it on disk.

        Examples: a classifier, features of the training set, weights. `log` receives a message about each long step.

        Raises:
            DataError: files are missing, damaged or of another kind.
        """

    def note(self, dataset: Dataset) -> str:
        """Note for readers on prepared files (which weights, accuracy of a classifier), or an empty string."""
        return ""

    @abstractmethod
    def compute(self, samples: Samples) -> float | NDArray[np.floating[Any]]:
        """Compute the score: a float, or (K,) floats if `per_generator` (NaN for a generator without a score)."""

    def why_undefined(self, samples: Samples) -> str:
        """Reason for a NaN of the mixture, as a phrase; empty if unknown. Only called for NaN."""
        return ""

    def classes(self, samples: Samples) -> Classes | None:
        """Class of each sample if the metric distinguishes classes (or modes), else None.

        A run stores the share of each class in each generator, from the first of its metrics that returns classes.
        """
        return None

    def combine(self, values: NDArray[np.floating[Any]]) -> float:
        """Mixture's value of a per-generator metric, from its (K,) values. Default: the mean."""
        finite = values[np.isfinite(values)]
        return float(finite.mean()) if len(finite) else float("nan")


def lower_needs(metric: Metric, samples: int) -> Metric:
    """Lower `needs` to `samples`, for a check that the metric works; its values are then meaningless."""
    vars(metric)["needs"] = min(metric.needs, samples)  # shadows the class variable
    return metric


@dataclass(frozen=True)
class Classes:
    """Class of each sample.

    Attributes:
        label: (n,) int64, index into `names`; -1 for a sample that belongs to no class.
        names: distinct names of all M classes.
        exhaustive: whether every sample belongs to a class by definition, so that no share of other samples exists.
    """

    label: NDArray[np.int64]
    names: tuple[str, ...]
    exhaustive: bool = False

    def __post_init__(self) -> None:
        low = 0 if self.exhaustive else -1
        if len(self.label) and not low <= self.label.min() <= self.label.max() < len(self.names):
            found = f"{self.label.min()} to {self.label.max()}"
            high = len(self.names) - 1
            raise ValueError(f"labels of {len(self.names)} classes must be from {low} to {high}, found {found}")
