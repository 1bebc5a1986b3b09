"""Kullback-Leibler divergences between histograms of samples (Q) and the true distribution (P), in nats.

The histogram of points is that of `histogram`. The histogram of images has a cell for each mode: for each class, or for
each cluster if there are no labels. One more cell, "outside", contains samples of no mode (see `_modes`).

Both histograms are mixed with the same small uniform part, P' = (1-ε)P + ε/n with ε = 1e-4, over all n cells including
"outside". Every value is therefore finite, at most log(n/ε). `symmetric_kl` is the average in MGAN's Figure 2 (Hoang et
al., ICLR 2018, section 5.1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.images import is_images
from gan_bench.contracts.metric import Samples
from gan_bench_zoo.metrics._modes import ByMode, cells_of, weights_of
from gan_bench_zoo.metrics.histogram import HistogramMetric, histogram

EPSILON = 1e-4


def _smooth(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return (1 - EPSILON) * p + EPSILON / len(p)


def _divergences(samples: Samples) -> tuple[float, float]:
    """Return KL(P'‖Q') and KL(Q'‖P'), computed once."""

    def compute() -> tuple[float, float]:
        p, q = map(_smooth, _histograms(samples))
        log_ratio = np.log(p / q)
        return float(p @ log_ratio), float(-(q @ log_ratio))

    return samples.once("zoo.divergences", compute)


def _histograms(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return P and Q. The cell "outside" is the last."""
    if not is_images(samples.dataset):
        h = histogram(samples)
        return h.true, h.model
    true = np.append(weights_of(samples), 0.0)
    return true, np.bincount(cells_of(samples), minlength=len(true)) / len(samples)


class DivergenceMetric(ByMode, HistogramMetric):
    """Base class of metrics on histograms of points in one or two dimensions, or of modes of images."""


class ForwardKL(DivergenceMetric):
    """KL(true ‖ model) of the histograms; large if modes are missing."""

    name = "forward_kl"
    direction = "lower"
    unit = "nats"

    def compute(self, samples: Samples) -> float:
        """Return a float, 0 to log(cells / ε)."""
        return _divergences(samples)[0]


class ReverseKL(DivergenceMetric):
    """KL(model ‖ true) of the histograms; large if mass is outside the modes; log(M/m) for m of M perfect modes."""

    name = "reverse_kl"
    direction = "lower"
    unit = "nats"

    def compute(self, samples: Samples) -> float:
        """Return a float, 0 to log(cells / ε)."""
        return _divergences(samples)[1]


class SymmetricKL(DivergenceMetric):
    """Mean of forward and reverse KL of the histograms, as in MGAN's Figure 2."""

    name = "symmetric_kl"
    direction = "lower"
    unit = "nats"
    scale = "log"

    def compute(self, samples: Samples) -> float:
        """Return a float, 0 to log(cells / ε)."""
        forward, reverse = _divergences(samples)
        return (forward + reverse) / 2
