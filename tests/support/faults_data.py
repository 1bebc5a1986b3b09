"""Metrics, datasets and networks that break one promise each in the ways in which authors do by mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.networks.mlp import MLP, MLPDiscriminator, MLPGenerators
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.contracts.network import Autoencoder, Discriminator, Generators, Heads, JointDiscriminator, Sharing
from gan_bench.contracts.parameters import NoParams

# Metrics


class Width(Metric):
    """Mean distance of the samples from their centre: a valid metric."""

    name = "width"
    direction = "none"
    unit = "data units"

    def compute(self, samples: Samples) -> float:
        return width(samples.x)


def width(x: NDArray[np.float64]) -> float:
    """Mean distance of points from their mean."""
    return float(np.linalg.norm(x - x.mean(axis=0), axis=1).mean())


class Position(Metric):
    """Mean distance of the samples from the origin: a valid metric."""

    name = "position"
    direction = "none"
    unit = "data units"

    def compute(self, samples: Samples) -> float:
        return float(np.linalg.norm(samples.x, axis=1).mean())


class RunningMean(Position):
    """A mean over all calls of the object."""

    name = "running_mean"

    def __init__(self) -> None:
        self.values: list[float] = []

    def compute(self, samples: Samples) -> float:
        self.values.append(super().compute(samples))
        return float(np.mean(self.values))


class SmoothedOfClass(Position):
    """A moving average that the class keeps."""

    name = "smoothed_of_class"
    value: ClassVar[float | None] = None

    def compute(self, samples: Samples) -> float:
        new = super().compute(samples)
        old = type(self).value
        type(self).value = new if old is None else 0.9 * old + 0.1 * new
        return float(type(self).value or 0.0)


HISTORY: list[float] = []


class BestSoFar(Position):
    """The smallest value of all calls, in a list of the module."""

    name = "best_so_far"

    def compute(self, samples: Samples) -> float:
        HISTORY.append(super().compute(samples))
        return max(HISTORY)


class FirstScale(Position):
    """Samples divided by the scale of those of the first call."""

    name = "first_scale"
    scale: float | None = None

    def compute(self, samples: Samples) -> float:
        if self.scale is None:
            self.scale = float(np.abs(samples.x).mean())
        return super().compute(samples) / self.scale


SCALES: dict[str, float] = {}


class ScaleByDataset(Position):
    """Samples divided by a scale that the module keeps by the name of the dataset."""

    name = "scale_by_dataset"

    def compute(self, samples: Samples) -> float:
        scale = SCALES.setdefault(samples.dataset.name, float(np.abs(samples.x).mean()))
        return super().compute(samples) / scale


VALUES: dict[Any, float] = {}


class CachedBySeed(Position):
    """A value that the module keeps by seed and number of samples."""

    name = "cached_by_seed"

    def compute(self, samples: Samples) -> float:
        key = samples.seed, len(samples)
        if key not in VALUES:
            VALUES[key] = super().compute(samples)
        return VALUES[key]


class CachedByAddress(Position):
    """A value that the object keeps by the address of the samples."""

    name = "cached_by_address"

    def __init__(self) -> None:
        self.values: dict[int, float] = {}

    def compute(self, samples: Samples) -> float:
        return self.values.setdefault(id(samples), super().compute(samples))


@lru_cache(maxsize=1)
def _centre(name: str, n: int) -> list[NDArray[np.float64]]:
    return []


class CachedCentre(Metric):
    """Distance from a centre that a cached function keeps from the first call."""

    name = "cached_centre"
    direction = "none"
    unit = "data units"

    def compute(self, samples: Samples) -> float:
        kept = _centre(samples.dataset.name, len(samples))
        if not kept:
            kept.append(samples.x.mean(axis=0))
        return float(np.linalg.norm(samples.x - kept[0], axis=1).mean())


class SpoiledResult(Position):
    """A shared result that is changed in place."""

    name = "spoiled_result"

    def compute(self, samples: Samples) -> float:
        distance = samples.once("spoiled", lambda: np.linalg.norm(samples.x, axis=1))
        distance *= 2
        return float(distance.mean())


class Unresponsive(Position):
    """A value of the data instead of the samples."""

    name = "unresponsive"

    def compute(self, samples: Samples) -> float:
        x = samples.dataset.held_out(len(samples), torch.Generator().manual_seed(samples.seed)).x
        return float(x.norm(dim=1).mean())


class Summed(Position):
    """A sum of distances instead of their mean."""

    name = "summed"

    def compute(self, samples: Samples) -> float:
        return float(np.linalg.norm(samples.x, axis=1).sum())


class Norm(Position):
    """The norm of all samples as one matrix."""

    name = "norm"

    def compute(self, samples: Samples) -> float:
        return float(np.linalg.norm(samples.x))


class SummedPairs(Position):
    """A sum over all pairs."""

    name = "summed_pairs"

    def compute(self, samples: Samples) -> float:
        x = samples.x[:, :1]
        return float(np.abs(x - x.T).sum())


class FixedNumber(Position):
    """A sum divided by the usual number of samples."""

    name = "fixed_number"

    def compute(self, samples: Samples) -> float:
        return float(np.linalg.norm(samples.x, axis=1).sum() / 10_000)


class DividedTwice(Position):
    """A mean divided by the number of samples again."""

    name = "divided_twice"

    def compute(self, samples: Samples) -> float:
        return super().compute(samples) / len(samples)


class Counted(Metric):
    """The number of samples outside a circle."""

    name = "counted"
    direction = "lower"
    unit = "samples"

    def compute(self, samples: Samples) -> float:
        return float((np.linalg.norm(samples.x, axis=1) > 2.2).sum())


class SummedByGenerator(Metric):
    """A sum over the samples of each generator."""

    name = "summed_by_generator"
    direction = "none"
    unit = "data units"
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        if samples.generator is None:
            return np.full(samples.generators, np.nan)
        return np.bincount(samples.generator, np.linalg.norm(samples.x, axis=1), samples.generators)


class Halves(Metric):
    """Distance of the centres of both halves of the samples."""

    name = "halves"
    direction = "none"
    unit = "data units"

    def compute(self, samples: Samples) -> float:
        half = len(samples) // 2
        return float(np.linalg.norm(samples.x[:half].mean(axis=0) - samples.x[half:].mean(axis=0)))


class Steps(Metric):
    """Mean distance of neighbouring samples."""

    name = "steps"
    direction = "none"
    unit = "data units"

    def compute(self, samples: Samples) -> float:
        return float(np.linalg.norm(np.diff(samples.x, axis=0), axis=1).mean())


class FirstFew(Metric):
    """Width of the first samples only."""

    name = "first_few"
    direction = "none"
    unit = "data units"

    def compute(self, samples: Samples) -> float:
        return width(samples.x[:50])


class Blocks(Metric):
    """Width of each generator, whose samples are taken for a block."""

    name = "blocks"
    direction = "none"
    unit = "data units"
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        return np.array([width(part) for part in np.array_split(samples.x, samples.generators)])


class Unselected(Metric):
    """Width of all samples as the value of each generator."""

    name = "unselected"
    direction = "none"
    unit = "data units"
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        return np.full(samples.generators, width(samples.x))


class SortingInPlace(Position):
    """A median after sorting in place."""

    name = "sorting_in_place"

    def compute(self, samples: Samples) -> float:
        samples.x.sort(axis=0)
        return float(samples.x[len(samples) // 2, 0])


class ClippingInPlace(Position):
    """A mean after clipping in place."""

    name = "clipping_in_place"

    def compute(self, samples: Samples) -> float:
        return float(np.linalg.norm(np.clip(samples.x, -1, 1, out=samples.x), axis=1).mean() + len(samples.x) * 0)


class Renumbering(Position):
    """An index that is counted from 1 in place."""

    name = "renumbering"

    def compute(self, samples: Samples) -> float:
        if samples.generator is not None:
            index = samples.generator
            index += 1
        return super().compute(samples)


class ReseedingStream(Position):
    """A value of a subset that is drawn after seeding the global stream."""

    name = "reseeding_stream"

    def compute(self, samples: Samples) -> float:
        np.random.seed(samples.seed)
        return float(np.linalg.norm(samples.x[np.random.permutation(len(samples))[:500]], axis=1).mean())


class TorchStream(Position):
    """Directions from torch's global stream."""

    name = "torch_stream"

    def compute(self, samples: Samples) -> float:
        direction = torch.randn(samples.x.shape[1]).double().numpy()
        return float(np.abs(samples.x @ direction).mean())
