"""Number of modes that the samples cover, quality of the samples, and evenness of coverage.

`_modes` assigns samples to modes and determines their quality, for points by the rules of VEEGAN (Srivastava et al.,
NeurIPS 2017). A mode of images is a class, or a cluster of features if there are no labels. The number of modes alone
does not show coverage: noise over the whole box reaches all modes, but `high_quality` is then low and divergences are
large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.metric import Samples
from gan_bench_zoo.metrics._modes import NONE_GOOD, ModeMetric, QualityMetric, assignment, weights_of

FAIR_PART = 0.1


def _counts(samples: Samples) -> NDArray[np.int64]:
    """Return the number (M,) of high-quality samples of each mode."""
    a = assignment(samples)
    return np.bincount(a.mode[a.high_quality], minlength=len(weights_of(samples)))


class Modes(ModeMetric):
    """Number of modes with at least one high-quality sample: the published rule."""

    name = "modes"
    direction = "higher"
    unit = "modes"
    scale = "count"

    def compute(self, samples: Samples) -> float:
        """Return a count, 0 to M."""
        return float((_counts(samples) > 0).sum())


class Modes10Pct(ModeMetric):
    """Number of modes with at least a tenth of their true share of all samples, of high quality."""

    name = "modes_10pct"
    direction = "higher"
    unit = "modes"
    scale = "count"

    def compute(self, samples: Samples) -> float:
        """Return a count, 0 to M."""
        fair = len(samples) * weights_of(samples)
        return float((_counts(samples) >= FAIR_PART * fair).sum())


class HighQuality(QualityMetric):
    """Share of samples within three standard deviations of a mode; 0.9889 for the true mixture in 2-D.

    For images: the share in one of the dataset's classes, and as good as a real one if the dataset determines that.
    """

    name = "high_quality"
    direction = "higher"
    unit = "share"
    scale = "share"

    def compute(self, samples: Samples) -> float:
        """Return a share, 0 to 1."""
        return float(assignment(samples).high_quality.mean())


class ModeKL(ModeMetric):
    """KL(shares of the modes among high-quality samples ‖ true weights); large for uneven coverage.

    For the true distribution it is about (M-1)/(2n), 0.0192 for 26,000 samples of 1000 modes. For stacked MNIST it is
    the divergence of PacGAN (Lin et al., NeurIPS 2018). It is NaN if no sample is of high quality.
    """

    name = "mode_kl"
    direction = "lower"
    unit = "nats"

    def compute(self, samples: Samples) -> float:
        """Return a float, 0 to log M with equal weights; or NaN."""
        counts = _counts(samples)
        if not counts.any():
            return float("nan")
        share = counts / counts.sum()
        seen = share > 0
        return float(share[seen] @ np.log(share[seen] / weights_of(samples)[seen]))

    def why_undefined(self, samples: Samples) -> str:
        """Return the reason for NaN: no sample is of high quality."""
        return NONE_GOOD
