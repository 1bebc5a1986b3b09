"""Metrics, datasets and networks that break one promise each in the ways in which authors do by mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.networks.mlp import MLP, MLPDiscriminator, MLPGenerators
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.contracts.network import Autoencoder, Discriminator, Generators, Heads, JointDiscriminator, Sharing
from gan_bench.contracts.parameters import NoParams, param
from tests.support.tiny_images import Greys

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
    first: float | None = None

    def compute(self, samples: Samples) -> float:
        if self.first is None:
            self.first = float(np.abs(samples.x).mean())
        return super().compute(samples) / self.first


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


# Datasets


class FiniteRing(Ring8):
    """Finite sets of points of the ring: a valid dataset."""

    name = "finite-ring"
    count = 3000

    def sets(self) -> tuple[Real, Real]:
        """Training and held-out set."""
        first, second = (Ring8.draw(self, self.count, torch.Generator().manual_seed(seed)) for seed in (10, 11))
        return first, second

    @property
    def training_size(self) -> int:
        return self.count

    @property
    def held_out_size(self) -> int:
        return self.count

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return taken(self.sets()[0], torch.randint(self.count, (n,), generator=rng))

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return taken(self.sets()[1], torch.randperm(self.count, generator=rng)[:n])

    def pool(self, n: int, rng: torch.Generator) -> Real:
        return taken(self.sets()[0], torch.randperm(self.count, generator=rng)[:n])


def taken(real: Real, index: Tensor) -> Real:
    """Return some samples of a set."""
    assert real.label is not None
    return Real(real.x[index], real.label[index], index)


def sorted_by(real: Real, order: Tensor) -> Real:
    """Return the samples of a draw in another order."""
    assert real.label is not None
    return Real(real.x[order], real.label[order])


class Rounded(Dataset):
    """Points with integer coordinates, which repeat often: a valid dataset."""

    name = "rounded"
    Params = NoParams
    shape = (2,)

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return Real((5 * torch.randn(n, 2, generator=rng)).round())

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return self.draw(n, rng)


class Unevenly(Ring8):
    """The first modes are less likely in draws and in held-out data: a valid dataset."""

    name = "unevenly"
    mixture = None  # type: ignore[assignment]

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(20 * n, rng)
        assert real.label is not None
        kept = torch.rand(20 * n, generator=rng) < (real.label + 1) / self.classes
        return sorted_by(real, kept.nonzero().flatten()[:n])


class ShiftedHeldOut(Ring8):
    """Held-out points with another centre."""

    name = "shifted-held-out"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real = self.draw(n, rng)
        return replace(real, x=real.x + torch.tensor([0.6, 0.0]))


class WideHeldOut(Ring8):
    """Held-out points with a standard deviation where a variance belongs."""

    name = "wide-held-out"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real = self.draw(n, rng)
        return replace(real, x=real.x + 0.3 * torch.randn(n, 2, generator=rng))


class NoiselessHeldOut(Ring8):
    """Held-out points with less noise."""

    name = "noiseless-held-out"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        label = torch.randint(self.classes, (n,), generator=rng)
        means = torch.tensor(self.mixture.means, dtype=torch.float32)
        return Real(means[label] + 0.05 * torch.randn(n, 2, generator=rng), label)


class LacksMode(Ring8):
    """Held-out points without the last mode, by an upper limit that is one too low."""

    name = "lacks-mode"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real = self.draw(2 * n, rng)
        assert real.label is not None
        return sorted_by(real, (real.label < 7).nonzero().flatten()[:n])


class Standardised(Ring8):
    """Held-out points standardised by their own deviation."""

    name = "standardised"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real = self.draw(n, rng)
        return replace(real, x=real.x / real.x.square().mean(0).sqrt())


class SwappedAxes(Unevenly):
    """Held-out points whose coordinates are exchanged."""

    name = "swapped-axes"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real = self.draw(n, rng)
        return replace(real, x=real.x.flip(1))


class BalancedHeldOut(Unevenly):
    """Held-out points with equal numbers in all modes."""

    name = "balanced-held-out"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class PoolOfOneClass(FiniteRing):
    """A pool of the first half of the classes."""

    name = "pool-of-one-class"

    def pool(self, n: int, rng: torch.Generator) -> Real:
        real = self.sets()[0]
        assert real.label is not None
        half = (real.label < 4).nonzero().flatten()
        return taken(real, half[torch.randperm(len(half), generator=rng)[:n]])


class ScaledPool(FiniteRing):
    """A pool of points that are not scaled as in draws."""

    name = "scaled-pool"

    def pool(self, n: int, rng: torch.Generator) -> Real:
        real = super().pool(n, rng)
        return replace(real, x=real.x / 2)


class PoolOfHeldOut(FiniteRing):
    """A pool of held-out points."""

    name = "pool-of-held-out"

    def pool(self, n: int, rng: torch.Generator) -> Real:
        return self.held_out(n, rng)


class HeldOutOfTraining(FiniteRing):
    """Held-out points of the training set."""

    name = "held-out-of-training"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return self.pool(n, rng)


class Unindexed(FiniteRing):
    """Training points without an index, of which a few are held out."""

    name = "unindexed"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return replace(super().draw(n, rng), index=None)

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real, other = super().pool(n, rng), super().held_out(n, rng)
        some = torch.arange(len(real.x)) % 4 == 0
        return Real(torch.where(some[:, None], real.x, other.x), torch.where(some, real.label, other.label))


class OtherDivision(FiniteRing):
    """A division into training and held-out points that depends on the random generator."""

    name = "other-division"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        whole = self.sets()[0]
        return taken(whole, torch.randperm(self.count, generator=rng)[-n:])


class SortedByLabel(Ring8):
    """Draws sorted by label."""

    name = "sorted-by-label"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        assert real.label is not None
        return sorted_by(real, real.label.argsort())

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class SortedByCoordinate(Ring8):
    """Draws sorted along the first coordinate, without labels."""

    name = "sorted-by-coordinate"
    classes = None  # type: ignore[assignment]

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        return Real(real.x[real.x[:, 0].argsort()])

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Real(Ring8.draw(self, n, rng).x)


class SortedByIndex(FiniteRing):
    """Draws sorted by their index."""

    name = "sorted-by-index"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return taken(self.sets()[0], torch.randint(self.count, (n,), generator=rng).sort().values)


class Consecutive(FiniteRing):
    """Draws of consecutive points from a random start."""

    name = "consecutive"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        start = torch.randint(self.count, (1,), generator=rng)
        return taken(self.sets()[0], (start + torch.arange(n)) % self.count)


class SortedHeldOut(Ring8):
    """Held-out points sorted by label."""

    name = "sorted-held-out"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real = self.draw(n, rng)
        assert real.label is not None
        return sorted_by(real, real.label.argsort())


class HalfOfOneMode(Ring8):
    """Draws whose first half has the even modes and whose second half has the odd ones."""

    name = "half-of-one-mode"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        assert real.label is not None
        return sorted_by(real, (real.label % 2).argsort(stable=True))

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class BlocksOfModes(Ring8):
    """Draws in blocks of a mode each, in random order of the modes."""

    name = "blocks-of-modes"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        assert real.label is not None
        return sorted_by(real, torch.randperm(self.classes, generator=rng)[real.label].argsort())

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class Chain(Ring8):
    """Draws of a Markov chain, whose neighbours are similar."""

    name = "chain"
    classes = None  # type: ignore[assignment]
    mixture = None  # type: ignore[assignment]

    def draw(self, n: int, rng: torch.Generator) -> Real:
        steps = torch.randn(n, 2, generator=rng)
        x = steps.clone()
        for i in range(1, n):
            x[i] = 0.6 * x[i - 1] + 0.8 * steps[i]
        return Real(x)

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Real(torch.randn(n, 2, generator=rng))


class Doubling(Ring8):
    """Draws of half the points, each twice."""

    name = "doubling"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw((n + 1) // 2, rng)
        assert real.label is not None
        return sorted_by(real, (torch.arange(2 * len(real.x)) % len(real.x))[torch.randperm(n, generator=rng)])

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class Buffered(Ring8):
    """Draws from a buffer of 64 new points, with replacement."""

    name = "buffered"
    mixture = None  # type: ignore[assignment]

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(64, rng)
        return replace(taken(real, torch.randint(64, (n,), generator=rng)), index=None)

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class InitialSeed(Ring8):
    """Draws from the initial seed of the random generator."""

    name = "initial-seed"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return super().draw(n, torch.Generator().manual_seed(rng.initial_seed()))

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class CopiedStream(Ring8):
    """Draws from a copy of the random generator."""

    name = "copied-stream"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        copy = torch.Generator()
        copy.set_state(rng.get_state())
        return super().draw(n, copy)

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class SameStart(Ring8):
    """Draws that begin with the same points."""

    name = "same-start"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        start, rest = super().draw(20, torch.Generator().manual_seed(0)), super().draw(n, rng)
        return Real(*(torch.cat([a, b])[:n] for a, b in ((start.x, rest.x), (start.label, rest.label))))  # type: ignore[misc]

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class SameLabels(Ring8):
    """Draws of new points in modes that are always the same."""

    name = "same-labels"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        label = torch.randint(self.classes, (n,), generator=torch.Generator().manual_seed(0))
        means = torch.tensor(self.mixture.means, dtype=torch.float32)
        return Real(means[label] + 0.02**0.5 * torch.randn(n, 2, generator=rng), label)

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return Ring8.draw(self, n, rng)


class ShuffledLabels(Ring8):
    """Points that are permuted without their labels."""

    name = "shuffled-labels"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        return replace(real, x=real.x[torch.randperm(n, generator=rng)])


class RolledLabels(Ring8):
    """Labels of the next point."""

    name = "rolled-labels"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        assert real.label is not None
        return replace(real, label=real.label.roll(1))


class ReversedHeldOutLabels(Ring8):
    """Held-out labels that are numbered in the opposite order."""

    name = "reversed-held-out-labels"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real = self.draw(n, rng)
        assert real.label is not None
        return replace(real, label=self.classes - 1 - real.label)


class RandomHeldOutLabels(Ring8):
    """Held-out points with labels of other points."""

    name = "random-held-out-labels"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return replace(self.draw(n, rng), label=self.draw(n, rng).label)


class Images(Greys):
    """Finite sets of images: a valid dataset."""

    name = "images"

    @dataclass(frozen=True)
    class Params(Greys.Params):
        """As of the base class, with more images."""

        count: int = param(900, "Images for training; half as many are held out.", low=30)

    def __init__(self, params: Any) -> None:
        super().__init__(params)


class ImagesOfTraining(Images):
    """Held-out images of the training set, although there is a test set."""

    name = "images-of-training"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        return self.pool(min(n, self.held_out_size or n), rng)


class Inverted(Images):
    """Held-out images with black and white exchanged."""

    name = "inverted"

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        real = super().held_out(n, rng)
        return replace(real, x=sum(self.bounds) - real.x)


class SortedImages(Images):
    """Draws of images sorted by label."""

    name = "sorted-images"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        assert real.label is not None
        return sorted_by(real, real.label.argsort())


class MixedImages(Images):
    """Draws of images that are permuted without their labels."""

    name = "mixed-images"

    def draw(self, n: int, rng: torch.Generator) -> Real:
        real = super().draw(n, rng)
        return replace(real, x=real.x[torch.randperm(n, generator=rng)], index=None)


# Networks


class SameLatents(MLP):
    """Generators of which the last one ignores its latents."""

    name = "same-latents"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        return Reading(super().generators(latent_size, shape, count, shared), lambda z: blank(z, -1))


class HalfOfLatents(MLP):
    """Generators of which the second one reads the first half of its latents only."""

    name = "half-of-latents"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        def read(z: Tensor) -> Tensor:
            z = z.clone()
            z[1:2, :, latent_size // 2 :] = 0
            return z

        return Reading(super().generators(latent_size, shape, count, shared), read)


class CommonLatents(MLP):
    """Generators that share nothing and all add the mean of all latents."""

    name = "common-latents"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        made = super().generators(latent_size, shape, count, shared)
        if shared != "nothing":
            return made
        return Reading(made, lambda z: z - z[-1:].mean((0, 1), keepdim=True) if made.training else z)


class Reading(Generators):
    """Generators of latents that a function changes."""

    def __init__(self, body: Generators, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.read = body, read

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.body(self.read(z))
        return x


def blank(x: Tensor, part: int) -> Tensor:
    """Return a copy in which one part is 1."""
    x = x.clone()
    x[part] = 1
    return x


class FirstRow(MLP):
    """Generators that share nothing and all use the first output layer of a fused one."""

    name = "first-row"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        made = super().generators(latent_size, shape, count, shared)
        assert isinstance(made, MLPGenerators)
        last = made.layers[-1]
        if shared == "nothing":
            last.forward = lambda x: x @ last.weight[:1] + last.bias[:1]  # type: ignore[method-assign, assignment]
        return made


class SharedNorm(MLP):
    """Generators that share nothing and multiply their samples by the first one's bias."""

    name = "shared-norm"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        made = super().generators(latent_size, shape, count, shared)
        assert isinstance(made, MLPGenerators)
        if shared == "nothing":
            first = made.layers[0]
            made.register_forward_hook(lambda module, inputs, x: x * (1 + first.bias[0].sum()))  # type: ignore[union-attr, index, operator]
        return made


class NoGradient(MLP):
    """Generators of which the second one is detached."""

    name = "no-gradient"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        made = super().generators(latent_size, shape, count, shared)

        def detach(module: nn.Module, inputs: object, x: Tensor) -> Tensor:
            return torch.stack([each.detach() if k == 1 else each for k, each in enumerate(x)])

        made.register_forward_hook(detach)
        return made


class EqualWithTrunk(MLP):
    """Generators with "trunk" whose output layers begin with equal weights."""

    name = "equal-with-trunk"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        made = super().generators(latent_size, shape, count, shared)
        assert isinstance(made, MLPGenerators)
        if shared == "trunk":
            made.layers[-1].initialise = partial(equal, made.layers[-1])  # type: ignore[assignment]
        return made


def equal(layer: Any, init: Any, rng: torch.Generator) -> None:
    """Initialise all layers of a fused one alike."""
    init.weight(layer.weight[0].t(), rng)
    layer.weight.copy_(layer.weight[:1].expand_as(layer.weight).clone())


class ClampsLatents(MLP):
    """Generators that clamp their latents in place."""

    name = "clamps-latents"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        return Reading(
            super().generators(latent_size, shape, count, shared),
            lambda z: z.clamp_(-2, 2) if not z.requires_grad else z,
        )


class FaultyDiscriminator(MLPDiscriminator):
    """A discriminator whose samples or logits a function changes."""

    def read(self, x: Tensor) -> Tensor:
        """Samples as the first layer reads them."""
        return x

    def logits(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits as the discriminator returns them."""
        return found

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.logits(super().forward(x))

    def features(self, x: Tensor) -> Tensor:
        return super().features(self.read(x))


class Judging(MLP):
    """A network with a discriminator of another class."""

    judge: type[FaultyDiscriminator] = FaultyDiscriminator

    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        if "three" not in heads or len(shape) != 1 or shape[0] != 2:
            return super().discriminator(shape, heads, copies)
        return self.judge(shape[0], self.params.hidden, self.params.slope, heads, copies)


class OneCoordinate(Judging):
    """A discriminator of the first coordinate."""

    name = "one-coordinate"

    class judge(FaultyDiscriminator):
        """Reads the first coordinate."""

        def read(self, x: Tensor) -> Tensor:
            return x * torch.tensor([1.0, 0.0], device=x.device)


class BlindCopy(Judging):
    """Copies of a discriminator of which the last one ignores its samples."""

    name = "blind-copy"

    class judge(FaultyDiscriminator):
        """Blanks the samples of the last copy."""

        def read(self, x: Tensor) -> Tensor:
            return x if self.copies is None or x.dim() == 2 else torch.cat([x[:-1], torch.zeros_like(x[-1:])])


class FirstTrunk(Judging):
    """Copies of a discriminator that use the weights of the first one's body."""

    name = "first-trunk"

    class judge(FaultyDiscriminator):
        """Uses the first body."""

        def features(self, x: Tensor) -> Tensor:
            if self.copies is None:
                return super().features(x)
            x = x.expand(self.copies, *x.shape) if x.dim() == 2 else x
            weight, bias = self.trunk.weight[:1], self.trunk.bias[:1]  # type: ignore[index]
            return F.leaky_relu(x @ weight + bias, self.slope)


class EqualCopies(Judging):
    """Copies of a discriminator that begin with equal weights."""

    name = "equal-copies"

    class judge(FaultyDiscriminator):
        """Initialises all copies alike."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            if self.copies is not None:
                for layer in (self.trunk, self.heads):
                    layer.initialise = partial(equal, layer)  # type: ignore[assignment]


class ConstantHead(Judging):
    """A head that returns its bias."""

    name = "constant-head"

    class judge(FaultyDiscriminator):
        """Replaces one head."""

        def logits(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
            return found | {"one": found["one"] * 0}


class ConstantLogit(Judging):
    """A head of three logits whose last one is always 0."""

    name = "constant-logit"

    class judge(FaultyDiscriminator):
        """Sets the last logit to 0."""

        def logits(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
            three = found["three"]
            return found | {"three": torch.cat([three[..., :2], torch.zeros_like(three[..., 2:])], -1)}


class RepeatedHead(Judging):
    """A head of one logit that is the first logit of another head."""

    name = "repeated-head"

    class judge(FaultyDiscriminator):
        """Splits the logits from the same start."""

        def logits(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
            return found | {"one": found["three"][..., 0]}


class ExpandedLogit(Judging):
    """A head of three logits that is one logit three times."""

    name = "expanded-logit"

    class judge(FaultyDiscriminator):
        """Repeats a logit."""

        def logits(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
            return found | {"three": found["one"][..., None].expand_as(found["three"])}


class BlindFeatures(Judging):
    """Features that do not depend on the samples."""

    name = "blind-features"

    class judge(FaultyDiscriminator):
        """Returns the features of the origin, but for its own heads."""

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            self.inside = True
            try:
                return super().forward(x)
            finally:
                self.inside = False

        def read(self, x: Tensor) -> Tensor:
            return x if getattr(self, "inside", False) else torch.zeros_like(x)


class ShiftsSamples(Judging):
    """A discriminator that normalises samples in place."""

    name = "shifts-samples"

    class judge(FaultyDiscriminator):
        """Divides in place."""

        def read(self, x: Tensor) -> Tensor:
            return x if x.requires_grad else x.div_(2)


class IgnoresVectors(MLP):
    """A joint discriminator that ignores the vectors."""

    name = "ignores-vectors"

    def joint_discriminator(self, shape: tuple[int, ...], size: int, heads: Heads) -> JointDiscriminator:
        return SamplesOnly(self.discriminator(shape, heads, None))


class SamplesOnly(JointDiscriminator):
    """A discriminator of the samples of pairs."""

    def __init__(self, body: Discriminator) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        logits: dict[str, Tensor] = self.body(x)
        return logits


class ConstantCopy(MLP):
    """An autoencoder that returns its biases."""

    name = "constant-copy"

    def autoencoder(self, shape: tuple[int, ...]) -> Autoencoder:
        made = super().autoencoder(shape)
        made.register_forward_pre_hook(lambda module, inputs: (torch.zeros_like(inputs[0]),))
        return made
