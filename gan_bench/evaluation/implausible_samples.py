"""Samples that are valid and yet implausible: another range, another order of channels, indices from 1.

Such samples are scored as they are. Each finding is reported with the values found and the values expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset, Mixture
from gan_bench.contracts.images import ImageDataset, is_images

IMAGES = 1_000
"""Number of images of each kind that are compared."""

REACH = 5  # standard deviations beyond the outermost modes
DARK = 127  # the highest level of the lower half
FEW_LEVELS = 1
"""Highest level of images that were divided by 255 once too often."""

CLEAR = 5.0
"""Least improvement of the mean levels, by another order of channels, that is reported."""

Levels = NDArray[np.uint8]


def implausible_samples(
    points: NDArray[np.float64] | None, levels: Levels | None, generator: NDArray[np.int64] | None, dataset: Dataset
) -> list[str]:
    """List what is implausible about samples, a sentence each.

    Args:
        points: (n, *shape); None for images.
        levels: (n, C, H, W) of images; None for points.
        generator: (n,) the index of the generator of each sample; None if unknown.
    """
    found = []
    if generator is not None and generator.min() > 0:
        ends = f"{generator.min()} to {generator.max()}"
        found.append(f"generator has indices from {ends}, so that generator 0 has no samples. Indices begin with 0.")
    if points is not None and dataset.mixture is not None:
        found += _of_points(points, dataset.name, dataset.mixture)
    if levels is not None and is_images(dataset) and dataset.missing() is None:
        found += _of_images(_some(levels), dataset, _some(dataset.training().x))
    return found


def _some(x: Levels) -> NDArray[np.float32]:
    """Return up to `IMAGES` evenly spaced images."""
    return np.asarray(x[np.linspace(0, len(x) - 1, min(len(x), IMAGES)).astype(np.int64)], dtype=np.float32)


def _of_points(x: NDArray[np.float64], name: str, mixture: Mixture) -> Iterator[str]:
    margin = REACH * float(mixture.stds.max())
    low, high = mixture.means.min(axis=0) - margin, mixture.means.max(axis=0) + margin
    if not ((x >= low) & (x <= high)).all(axis=1).any():
        seen, expected = _range(x.min(), x.max()), _range(low.min(), high.max())
        yield f"no sample lies near a mode: coordinates are from {seen}, those of {name} from {expected}."


def _range(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}"


def _of_images(x: NDArray[np.float32], dataset: ImageDataset, real: NDArray[np.float32]) -> Iterator[str]:
    """Compare images with some of the training set, both (n, C, H, W) levels from 0 to 255."""
    low, high = float(x.min()), float(x.max())
    expected = f"those of {dataset.name} from {_range(real.min(), real.max())}"
    bounds = " and ".join(f"{bound:g}" for bound in dataset.bounds)
    remedy = f"Save images as uint8, or as numbers between {bounds}."
    if high <= FEW_LEVELS < real.max():
        yield f"all images are black: levels are from {_range(low, high)} of 255, {expected}. {remedy}"
    elif low >= DARK and (real < DARK).mean() > 0.1:
        yield f"no image has dark pixels: levels are from {_range(low, high)} of 255, {expected}. {remedy}"
    elif _is_inverted(float(x.mean()), float(real.mean())):
        found = f"the mean level is {x.mean():.0f}, that of {dataset.name} {real.mean():.0f}"
        yield f"images may be inverted: {found}."
    if x.shape[1] == 3:
        yield from _of_channels(x, dataset.name, real)


def _is_inverted(mean: float, real: float) -> bool:
    off, off_inverted = abs(mean - real), abs(255 - mean - real)
    return off > 60 and off_inverted < off / 4


def _of_channels(x: NDArray[np.float32], name: str, real: NDArray[np.float32]) -> Iterator[str]:
    if _is_smoother_interleaved(x) and not _is_smoother_interleaved(real):
        yield (
            "channels may be interleaved: as (n, H, W, C), images are smoother than as (n, C, H, W). Move channels "
            "with transpose, not with reshape."
        )
        return
    found, expected = x.mean(axis=(0, 2, 3)), real.mean(axis=(0, 2, 3))
    order = min(permutations(range(3)), key=lambda each: float(np.abs(found[list(each)] - expected).sum()))
    off, least = (float(np.abs(found[list(each)] - expected).mean()) for each in ((0, 1, 2), order))
    if least < off / 3 and off - least > CLEAR:
        means = ", ".join(f"{mean:.0f}" for mean in found)
        wanted = ", ".join(f"{mean:.0f}" for mean in expected)
        letters = "".join("RGB"[each] for each in np.argsort(order))
        yield (
            f"channels may be in the order {letters}: their mean levels are {means}, those of {name} {wanted}. "
            "Channels must be in the order RGB."
        )


def _is_smoother_interleaved(x: NDArray[np.float32]) -> bool:
    """Whether the values of images (n, 3, H, W) vary clearly less if they are read as (n, H, W, 3)."""
    other = x.reshape(len(x), *x.shape[2:], 3).transpose(0, 3, 1, 2)
    return _variation(other) < 0.8 * _variation(x)


def _variation(x: NDArray[np.float32]) -> float:
    """Mean absolute differences of neighbours along rows and columns."""
    return float(np.abs(np.diff(x, axis=3)).mean() + np.abs(np.diff(x, axis=2)).mean())
