"""Image datasets: finite sets of uint8 images, drawn as numbers between two bounds.

On a GPU the whole set is on the device; on a CPU it may be a memory-mapped file. Only code that draws imports torch.
"""

from __future__ import annotations

import copy
import hashlib
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset, Real

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BOUNDS = {"signed": (-1.0, 1.0), "unit": (0.0, 1.0)}
"""Bounds of the pixels for each value of the parameter `values` of an image dataset."""


@dataclass(frozen=True)
class Pictures:
    """A finite set of images.

    x: (N, C, H, W) uint8, possibly memory-mapped; label: (N,) int64 if the dataset has `classes`, else None.
    """

    x: NDArray[np.uint8]
    label: NDArray[np.int64] | None = None
    _there: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the images and their shape, without labels: the cache key of results computed from them."""
        digest = hashlib.sha256(repr(self.x.shape).encode())
        for start in range(0, len(self), 1_000):  # in pieces: the array may be larger than the memory
            digest.update(np.ascontiguousarray(self.x[start : start + 1_000]).data)
        return digest.hexdigest()

    def on(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Images and labels on a device, copied there once."""
        import torch

        if device not in self._there:
            label = None if self.label is None else torch.from_numpy(self.label).to(device)
            self._there[device] = torch.from_numpy(self.x).to(device), label
        found: tuple[Tensor, Tensor | None] = self._there[device]
        return found


class ImageDataset(Dataset):
    """A finite set of images, drawn with replacement. Its `Params` have `values`, a key of `BOUNDS`.

    A subclass defines its `shape` (channels, height, width) and returns the same `Pictures` at each call.
    """

    by_channel: ClassVar[bool] = False  # whether each channel alone is an image of `labelled` (stacked MNIST)
    is_reduced: bool = False
    """Whether it is cut to a few images for a check; preparation may then favour speed over quality."""

    @abstractmethod
    def training(self) -> Pictures:
        """Images that models are trained on, and that Fréchet distances compare with."""

    @abstractmethod
    def testing(self) -> Pictures:
        """Images that training never sees."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in `Real.label`; empty if images have no labels."""
        return ()

    @property
    def classes(self) -> int | None:
        """Number of classes; None if images have no labels."""
        return len(self.class_names) or None

    @property
    def bounds(self) -> tuple[float, float]:
        """Bounds of the pixels."""
        return BOUNDS[self.params.values]

    def labelled(self) -> ImageDataset | None:
        """Labelled images that train a classifier of this dataset's samples; the dataset itself if it has classes.

        A subset returns the full dataset, so that the classifier also recognises the digits that the subset lacks.
        """
        return self if self.classes else None

    def exact_classes(self, pixels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Classes computed without a trained classifier, if the dataset defines them.

        Args:
            pixels: (n, C, H, W) uint8, on any device.

        Returns:
            the class (n,) int64 of each image, and a mask (n,) bool of images as good as real ones; None if a
            classifier has to be trained.
        """
        return None

    @property
    def knows_classes(self) -> bool:
        """Whether `exact_classes` returns classes, so that no classifier is needed."""
        return type(self).exact_classes is not ImageDataset.exact_classes

    def draw(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` images of the training set with replacement."""
        import torch

        pictures = self.training()
        return self._real(pictures, torch.randint(len(pictures), (n,), generator=rng, device=rng.device))

    def pool(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` distinct images of the training set; all if it has fewer."""
        return self._some(self.training(), n, rng)

    @property
    def training_size(self) -> int | None:
        """Size of the training set; None until the dataset is prepared."""
        return len(self.training())

    @property
    def held_out_size(self) -> int | None:
        """Size of the test set; None until the dataset is prepared."""
        return len(self.testing())

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` distinct images of the test set; all if it has fewer."""
        return self._some(self.testing(), n, rng)

    def _some(self, pictures: Pictures, n: int, rng: torch.Generator) -> Real:
        import torch

        return self._real(pictures, torch.randperm(len(pictures), generator=rng, device=rng.device)[:n])

    def _real(self, pictures: Pictures, index: Tensor) -> Real:
        x, label = pictures.on(index.device)
        return Real(to_floats(x[index], self.bounds), None if label is None else label[index], index)


def is_images(dataset: Dataset) -> TypeGuard[ImageDataset]:
    """Whether samples of a dataset are images, which are evaluated as uint8."""
    return isinstance(dataset, ImageDataset)


def reduced(dataset: Dataset, count: int) -> Dataset:
    """Reduce an image dataset to `count` evenly spaced training images and test images; return others unchanged.

    Metrics prepare a reduced dataset (a classifier, features of the training images) within seconds. The results are
    cached under another key, since the images have another fingerprint.
    """
    if not is_images(dataset):
        return dataset
    whole, smaller = dataset, copy.copy(dataset)

    def some(pictures: Pictures) -> Pictures:
        index = np.unique(np.linspace(0, len(pictures) - 1, count).astype(np.int64))
        return Pictures(pictures.x[index], None if pictures.label is None else pictures.label[index])

    def labelled() -> ImageDataset | None:
        found = whole.labelled()
        return smaller if found is whole else reduced(found, count) if found is not None else None  # type: ignore[return-value]

    smaller.is_reduced = True
    # As attributes of this instance: every subclass reads its images through these three.
    vars(smaller)["training"] = cache(lambda: some(whole.training()))
    vars(smaller)["testing"] = cache(lambda: some(whole.testing()))
    vars(smaller)["labelled"] = cache(labelled)
    return smaller


def to_floats(pixels: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Convert uint8 to float32 between `bounds`."""
    low, high = bounds
    return pixels.float() * ((high - low) / 255) + low


def to_pixels(x: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Convert numbers to the nearest of 256 levels between `bounds`, as uint8, on which image metrics are defined."""
    import torch

    low, high = bounds
    return ((x - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8)
