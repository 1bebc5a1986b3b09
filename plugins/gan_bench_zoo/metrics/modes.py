"""How many modes the samples cover, how well, and how evenly.

`_modes` says which mode a sample belongs to, and whether it is of high quality: by the rules of VEEGAN (Srivastava et
al., NeurIPS 2017) for points. Of images a mode is a class, or where there are no labels a cluster of features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.metric import Samples
from gan_bench_zoo.metrics._modes import NONE_GOOD, ModeMetric, QualityMetric, assignment, weights_of

FAIR_PART = 0.1


def _counts(samples: Samples) -> NDArray[np.int64]:
    """High-quality samples (M,) of each mode."""
    a = assignment(samples)
    return np.bincount(a.mode[a.high_quality], minlength=len(weights_of(samples)))


class Modes(ModeMetric):
    """Modes with at least one high-quality sample: the published rule."""

    name = "modes"
    direction = "higher"
    unit = "modes"

    def compute(self, samples: Samples) -> float:
        """A count, 0 to M."""
        return float((_counts(samples) > 0).sum())


class Modes10Pct(ModeMetric):
    """Modes with at least a tenth of their fair share of all samples, of high quality: no lucky points."""

    name = "modes_10pct"
    direction = "higher"
    unit = "modes"

    def compute(self, samples: Samples) -> float:
        """A count, 0 to M."""
        fair = len(samples) * weights_of(samples)
        return float((_counts(samples) >= FAIR_PART * fair).sum())


class HighQuality(QualityMetric):
    """Share of samples within three standard deviations of a mode; 0.9889 for the true mixture in 2-D.

    Of images: the share that is of one of the dataset's classes, as good as a real one where the dataset can tell.
    """

    name = "high_quality"
    direction = "higher"
    unit = "share"

    def compute(self, samples: Samples) -> float:
        """A share, 0 to 1."""
        return float(assignment(samples).high_quality.mean())


class ModeKL(ModeMetric):
    """KL(shares of the modes among high-quality samples ‖ the true weights): uneven coverage.

    The true distribution reads about (M-1)/(2n), 0.0192 for 26,000 samples of 1000 modes. Of stacked MNIST it is the
    divergence of PacGAN (Lin et al., NeurIPS 2018). NaN where no sample is of high quality.
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
        return float(share[seen] @ np.log(share[seen] / weights_of(samples)[seen]))

    def why_undefined(self, samples: Samples) -> str:
        """No sample is of high quality."""
        return NONE_GOOD
