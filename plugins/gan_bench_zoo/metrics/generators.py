"""Division of the modes between the generators of a mixture: coverage, quality, and dead generators.

n[k, m] is the number of high-quality samples (see `_modes`) of generator k in mode m. For images m is a class, or a
cluster if there are no labels. Every value is NaN if samples have no generator index, or for a generator without
samples. These metrics are descriptive: only quality and dead generators have a better direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.metric import UNINDEXED, Samples
from gan_bench_zoo.metrics._modes import NONE_GOOD, ModeMetric, QualityMetric, assignment, weights_of

COVERED = 0.01  # of a generator's samples
DEAD = 0.05


@dataclass(frozen=True)
class Division:
    """n[k, m] as float64 (K, M), and the number of samples of each generator (K,), NaN instead of 0."""

    counts: NDArray[np.float64]
    made: NDArray[np.float64]

    @property
    def quality(self) -> NDArray[np.float64]:
        """Share (K,) of high quality among the samples of each generator."""
        share: NDArray[np.float64] = self.counts.sum(axis=1) / self.made
        return share


def division(samples: Samples) -> Division:
    """Count samples by generator and mode, once. Without an index, no generator has samples."""
    return samples.once("zoo.division", lambda: _division(samples))


def _division(samples: Samples) -> Division:
    k, m = samples.generators, len(weights_of(samples))
    if samples.generator is None:
        return Division(np.zeros((k, m)), np.full(k, np.nan))
    a = assignment(samples)
    cell = (samples.generator * m + a.mode)[a.high_quality]
    made = np.bincount(samples.generator, minlength=k).astype(np.float64)
    counts = np.bincount(cell, minlength=k * m).reshape(k, m).astype(np.float64)
    return Division(counts, np.where(made > 0, made, np.nan))


def why_undefined(samples: Samples) -> str:
    """Return the reason why shares are undefined: no index, or no high-quality sample; empty if they are defined."""
    if samples.generator is None:
        return UNINDEXED
    return "" if division(samples).counts.any() else NONE_GOOD


class GeneratorModes(ModeMetric):
    """Number of modes that contain at least 1 % of a generator's samples, of high quality."""

    name = "generator_modes"
    direction = "none"
    unit = "modes"
    scale = "count"
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Return counts (K,), 0 to M; NaN for a generator without samples."""
        d = division(samples)
        covered = (d.counts >= COVERED * d.made[:, None]).sum(axis=1)
        return np.where(np.isnan(d.made), np.nan, covered)


class Purity(ModeMetric):
    """Share of each generator's high-quality samples in its most frequent mode; 1 for a single mode."""

    name = "purity"
    direction = "none"
    unit = "share"
    scale = "share"
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Return shares (K,), 1/M to 1; NaN for a generator without a high-quality sample."""
        counts = division(samples).counts
        total = counts.sum(axis=1)
        purity: NDArray[np.float64] = counts.max(axis=1) / np.where(total > 0, total, np.nan)
        return purity

    def why_undefined(self, samples: Samples) -> str:
        """Return the reason for NaN: no index, or no high-quality sample."""
        return why_undefined(samples)


class GeneratorHighQuality(QualityMetric):
    """Share of each generator's samples within three standard deviations of a mode; for images see `high_quality`."""

    name = "generator_high_quality"
    direction = "higher"
    unit = "share"
    scale = "share"
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Return shares (K,), 0 to 1; NaN for a generator without samples."""
        return division(samples).quality


class DeadGenerators(ModeMetric):
    """Dead generators: below 5 % high quality, or a better generator has the same most frequent mode.

    A generator is better if its share of high quality is larger, or equal and its index is smaller. With more
    generators than modes, some are dead by this rule.
    """

    name = "dead_generators"
    direction = "lower"
    unit = "generators"
    scale = "count"
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Return 1 for each dead generator, else 0 (K,); NaN for a generator without samples."""
        d = division(samples)
        quality, favourite = d.quality, d.counts.argmax(axis=1)
        best_first = np.argsort(-quality, kind="stable")  # NaN last
        first_of_its_mode = np.zeros(len(quality), dtype=bool)
        first_of_its_mode[best_first[np.unique(favourite[best_first], return_index=True)[1]]] = True
        dead = (quality < DEAD) | ~first_of_its_mode
        return np.where(np.isnan(quality), np.nan, dead)

    def combine(self, values: NDArray[np.floating]) -> float:
        """Return the number of dead generators."""
        return float(np.nansum(values)) if np.isfinite(values).any() else float("nan")


class MutualInformation(ModeMetric):
    """Mutual information of generator and mode among high-quality samples; log 8 for 8 generators on 8 modes.

    For independent generator and mode it is about (K-1)(M-1)/(2n). It is NaN without an index or a high-quality sample.
    """

    name = "mutual_information"
    direction = "none"
    unit = "nats"

    def compute(self, samples: Samples) -> float:
        """Return a float, 0 to min(log K, log M); or NaN."""
        counts = division(samples).counts
        if not counts.any():
            return float("nan")
        joint = counts / counts.sum()
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        seen = joint > 0
        return max(0.0, float(joint[seen] @ np.log(joint[seen] / independent[seen])))

    def why_undefined(self, samples: Samples) -> str:
        """Return the reason for NaN: no index, or no high-quality sample."""
        return why_undefined(samples)
