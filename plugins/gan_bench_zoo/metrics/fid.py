"""Fréchet Inception Distance between Gaussians fitted to features of samples and of training images.

|μ1 - μ2|² + Tr(Σ1 + Σ2 - 2 (Σ1 Σ2)^½), with unbiased covariances of 2048 pool3 features (Heusel et al., NeurIPS 2017),
always to all training images. torch-fidelity computes the distance. It is finite even if Σ1 is singular, with fewer
samples than features.

The distance decreases with the number of samples, so metrics with different numbers are not comparable. The row
`real-data` has the value of held-out real images at the same number. It is not 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.metric import UNINDEXED, Samples
from gan_bench_zoo.metrics._inception import FEATURES, features
from gan_bench_zoo.metrics._inception_reference import ReferenceMetric, reference
from gan_bench_zoo.metrics._reference import PART, Moments, moments

if TYPE_CHECKING:
    from torch import Tensor

EACH = 5_000


def frechet(a: Moments, b: Moments) -> float:
    """Return the squared Fréchet distance of two Gaussians."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    one, other = ({"mu": m.mean, "sigma": m.covariance} for m in (a, b))
    return float(fid_statistics_to_metric(one, other, verbose=False)[KEY_METRIC_FID])


def fitted(found: Tensor) -> Moments:
    """Return the moments of features (n, d) with n > 1."""
    return moments(found[start : start + PART].numpy() for start in range(0, len(found), PART))


def _reference(samples: Samples) -> Moments:
    assert samples.pixels is not None  # `refuses` rejects points
    return reference(samples.dataset, str(samples.pixels.device)).moments


class FID(ReferenceMetric):
    """Fréchet Inception Distance of the first 50,000 samples from all training images, as in publications."""

    name = "fid"
    direction = "lower"
    unit = ""
    scale = "log"
    needs = 50_000
    least_real = FEATURES + 1  # with fewer, the covariance is singular

    def compute(self, samples: Samples) -> float:
        """Return a float of the first samples. A value below 0 is due to rounding."""
        return frechet(fitted(features(samples, self.needs)), _reference(samples))


class FID10k(FID):
    """Fréchet Inception Distance of the first 10,000 samples; higher than, and not comparable with, `fid`."""

    name = "fid_10k"
    needs = 10_000


class FID5k(FID):
    """Fréchet Inception Distance of the first 5,000 samples; higher than, and not comparable with, `fid`."""

    name = "fid_5k"
    needs = 5_000


class GeneratorFID5k(ReferenceMetric):
    """Fréchet Inception Distance of each generator's first 5,000 samples from all training images.

    It is NaN for a generator with fewer samples: distances of different numbers of samples are not comparable, and
    below 2,048 samples the covariance is singular. The floor is `fid_5k` of the row `real-data`. A generator that
    covers only a part of the data has a high value, which may be intended.
    """

    name = "generator_fid_5k"
    direction = "lower"
    unit = ""
    scale = "log"
    needs = EACH
    least_real = FEATURES + 1
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Return floats (K,)."""
        value = np.full(samples.generators, np.nan)
        if samples.generator is None:
            return value
        found = features(samples)
        for k in range(samples.generators):
            own = np.flatnonzero(samples.generator == k)[:EACH]
            if len(own) == EACH:
                value[k] = frechet(fitted(found[own]), _reference(samples))
        return value

    def why_undefined(self, samples: Samples) -> str:
        """Return the reason for NaN: no index, or too few samples of each generator."""
        return UNINDEXED if samples.generator is None else f"no generator has {EACH:,} samples"
