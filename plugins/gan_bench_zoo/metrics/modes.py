"""How many modes the samples cover, how well, and how evenly.

The rules of VEEGAN (Srivastava et al., NeurIPS 2017).

Each sample belongs to the mode that is the fewest standard deviations away (the nearest, where all modes are
equally wide), and is of high quality if that is less than three. Valid in any dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from gan_bench.metric import Samples
from gan_bench_zoo.metrics.histogram import MixtureMetric, mixture_of

HIGH_QUALITY = 3  # standard deviations
FAIR_PART = 0.1


@dataclass(frozen=True)
class Assignment:
    """The mode (n,) of each sample, and whether the sample is of high quality (n,)."""

    mode: NDArray[np.int64]
    high_quality: NDArray[np.bool_]


def assignment(samples: Samples) -> Assignment:
    """Assign samples to modes, once."""

    def compute() -> Assignment:
        mixture = mixture_of(samples)
        distance = cdist(samples.x, mixture.means) / mixture.stds
        mode = distance.argmin(axis=1)
        return Assignment(mode, distance[np.arange(len(mode)), mode] < HIGH_QUALITY)

    return samples.once("zoo.assignment", compute)


def _counts(samples: Samples) -> NDArray[np.int64]:
    """High-quality samples (M,) of each mode."""
    a = assignment(samples)
    return np.bincount(a.mode[a.high_quality], minlength=len(mixture_of(samples).means))


class Modes(MixtureMetric):
    """Modes with at least one high-quality sample: the published rule."""

    name = "modes"
    direction = "higher"
    unit = "modes"

    def compute(self, samples: Samples) -> float:
        """A count, 0 to M."""
        return float((_counts(samples) > 0).sum())


class Modes10Pct(MixtureMetric):
    """Modes with at least a tenth of their fair share of all samples, of high quality: no lucky points."""

    name = "modes_10pct"
    direction = "higher"
    unit = "modes"

    def compute(self, samples: Samples) -> float:
        """A count, 0 to M."""
        fair = len(samples) * mixture_of(samples).weights
        return float((_counts(samples) >= FAIR_PART * fair).sum())


class HighQuality(MixtureMetric):
    """Share of samples within three standard deviations of a mode; 0.9889 for the true mixture in 2-D."""

    name = "high_quality"
    direction = "higher"
    unit = "share"

    def compute(self, samples: Samples) -> float:
        """A share, 0 to 1."""
        return float(assignment(samples).high_quality.mean())


class ModeKL(MixtureMetric):
    """KL(shares of the modes among high-quality samples ‖ the mixture's weights): uneven coverage.

    The true mixture reads about (M-1)/(2n). NaN where no sample is of high quality.
    """

    name = "mode_kl"
    direction = "lower"
    unit = "nats"

    def compute(self, samples: Samples) -> float:
        """A float, 0 to log M with equal weights; or NaN."""
        counts = _counts(samples)
        if not counts.any():
            return float("nan")
        share = counts / counts.sum()
        seen = share > 0
        return float(share[seen] @ np.log(share[seen] / mixture_of(samples).weights[seen]))
