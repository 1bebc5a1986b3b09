"""Histogram on which divergences and transport distances to a Gaussian mixture are defined.

No paper of the field publishes its grid, so this is our own definition, the same for every mixture in one or two
dimensions (P: the true mixture, Q: the samples).

**Box.** A cube around the midpoint of the bounding box of the means. Its half-width L is the smallest of {1, 1.2, 1.5,
2, 2.4, 3, 4, 5, 6, 8, 10}·10^k that extends at least five times the largest standard deviation beyond the farthest mean
along any axis.

**Bins.** B equal bins along each axis. B is the smallest multiple of 10 for which the width of a bin, 2L/B, is at most
the smallest standard deviation. Bins are half-open, so that every point is in one cell. There are at most 160,000 cells
(400 × 400 in the plane). If the rule requires more, bins are wider than a mode: the histogram then shows the shares of
the modes but not their shape, so that a mode collapsed onto its centre is not detected. This is the case if the box is
wider than about 400 standard deviations.

L and B are 3 and 50 for ring8, 2.4 and 240 for ring8-unrolled, 1.2 and 240 for ring8-veegan, 5 and 200 for grid25, 80
and 160 for mad-gan-1d.

**Cells.** One more cell, "outside", contains all points outside the box: none is clipped or dropped. The masses of P
are exact, from the normal distribution function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gan_bench.contracts.dataset import Dataset, Mixture
from gan_bench.contracts.metric import Metric, Samples

HALF_WIDTHS = (1, 1.2, 1.5, 2, 2.4, 3, 4, 5, 6, 8, 10)
REACH = 5  # standard deviations beyond the farthest mean
CELLS = 160_000
ROUNDING = 1e-9  # relative: 2·2.4 / 0.02 is 240 bins, despite floating point


@dataclass(frozen=True)
class Box:
    """Cube of bins^d equal cells around `centre` (d,). The rest of space is one more cell."""

    centre: NDArray[np.float64]
    half_width: float
    bins: int

    @property
    def outside(self) -> int:
        """Index of the cell "outside", which is the last."""
        return int(self.bins ** len(self.centre))

    def cells(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the cell (n,) of each point of x (n, d). Cells are numbered row by row."""
        place = x - self.centre
        inside = ((place >= -self.half_width) & (place < self.half_width)).all(axis=1)
        scaled = (place[inside] + self.half_width) * (self.bins / (2 * self.half_width))
        index = np.minimum(scaled.astype(np.int64), self.bins - 1)  # points just below the edge may be rounded up to it
        cells = np.full(len(x), self.outside, dtype=np.int64)
        cells[inside] = index @ self._strides
        return cells

    def centres(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the centres (n, d) of cells inside the box."""
        index = cells[:, None] // self._strides % self.bins
        return self.centre - self.half_width + (index + 0.5) * (2 * self.half_width / self.bins)

    def masses(self, mixture: Mixture) -> NDArray[np.float64]:
        """Return the exact probabilities (bins^d + 1,) of the cells under `mixture`."""
        edges = self.centre[:, None] + self.half_width * np.linspace(-1, 1, self.bins + 1)  # (d, bins + 1)
        scaled = (edges[:, None, :] - mixture.means.T[:, :, None]) / mixture.stds[:, None]  # (d, M, bins + 1)
        along = np.diff(ndtr(scaled), axis=-1)
        weighted = mixture.weights[:, None] * along[0]
        inside = weighted.sum(axis=0) if len(along) == 1 else (weighted.T @ along[1]).ravel()
        return np.append(inside, max(0.0, 1 - inside.sum()))

    @property
    def _strides(self) -> NDArray[np.int64]:
        return self.bins ** np.arange(len(self.centre))[::-1]


@dataclass(frozen=True)
class Histogram:
    """Probabilities (cells + 1,) under the true mixture and of the samples. The cell "outside" is the last."""

    box: Box
    true: NDArray[np.float64]
    model: NDArray[np.float64]
    cells: NDArray[np.int64]  # (n,) the cell of each sample


def box_of(mixture: Mixture) -> Box:
    """Return the box and bins of a mixture in one or two dimensions, by the rule above."""
    low, high = mixture.means.min(axis=0), mixture.means.max(axis=0)
    half_width = _round_up(float((high - low).max()) / 2 + REACH * float(mixture.stds.max()))
    wanted = 2 * half_width / float(mixture.stds.min())
    most = round(CELLS ** (1 / mixture.means.shape[1]))
    bins = min(10 * max(1, math.ceil(wanted / 10 * (1 - ROUNDING))), most)
    return Box((low + high) / 2, half_width, bins)


def _round_up(length: float) -> float:
    """Return the smallest of HALF_WIDTHS·10^k that is at least `length`."""
    exponent = math.floor(math.log10(length))
    sizes = (size * 10.0**k for k in (exponent - 1, exponent) for size in HALF_WIDTHS)
    return next(size for size in sizes if size >= length * (1 - ROUNDING))


def mixture_of(samples: Samples) -> Mixture:
    """Return the density that samples are compared with. `refuses` has checked that there is one."""
    mixture = samples.dataset.mixture
    assert mixture is not None
    return mixture


def histogram(samples: Samples) -> Histogram:
    """Return the histogram of samples and of the true mixture, computed once."""
    return samples.once("zoo.histogram", lambda: _histogram(samples))


def _histogram(samples: Samples) -> Histogram:
    mixture = mixture_of(samples)
    box = box_of(mixture)
    cells = box.cells(samples.x)
    counts = np.bincount(cells, minlength=box.outside + 1)
    return Histogram(box, box.masses(mixture), counts / len(samples), cells)


class MixtureMetric(Metric):
    """Base class of metrics that need the exact density of a Gaussian mixture, in any dimension."""

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse data without an exact density."""
        if dataset.mixture is None:
            return f"{self.name} needs a Gaussian mixture, and {dataset.name} is not one"
        return None


class HistogramMetric(MixtureMetric):
    """Base class of metrics on the histogram, for mixtures in one or two dimensions."""

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse data without an exact density, or in more than two dimensions."""
        if dataset.mixture is not None and dataset.mixture.means.shape[1] > 2:
            return f"{self.name} needs points in 1 or 2 dimensions; {dataset.name} has shape {dataset.shape}"
        return super().refuses(dataset)
