"""Precision and recall of images: realism of the samples, and coverage of the data.

The radius of the ball around an image is the distance to its third nearest neighbour in the same set (Kynkäänniemi et
al., NeurIPS 2019, with k = 3). Precision is the share of samples within at least one ball of a training image. Recall
is the share of training images within at least one ball of a sample. Distances are those of Inception's pool3 features.
torch-fidelity, which computes both, uses features of VGG16 by default, and other tools use k = 5. Values are not
comparable with either.

10,000 samples are compared with always the same 10,000 training images, or with all if there are fewer. A model that
repeats one real image has precision 1 and recall near 0. Recall distinguishes mixtures that cover different shares of
the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.metric import UNINDEXED, Samples
from gan_bench_zoo.metrics._inception import features
from gan_bench_zoo.metrics._inception_reference import ReferenceMetric, reference_features

if TYPE_CHECKING:
    from torch import Tensor

NEIGHBOURS = 3
COUNT = 10_000
AT_ONCE = 1_000  # rows of a matrix of distances; a whole one of 10,000 takes gigabytes


@dataclass(frozen=True)
class PrecisionRecall:
    """Two shares, 0 to 1."""

    precision: float
    recall: float


def precision_recall(model: Tensor, real: Tensor) -> PrecisionRecall:
    """Compute both for features (n, d) of samples and (m, d) of real images, with n, m > 3."""
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    found = prc_features_to_metric(
        model, real, prc_neighborhood=NEIGHBOURS, prc_batch_size=AT_ONCE, save_cpu_ram=True, verbose=False
    )
    return PrecisionRecall(found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL])


def _real(samples: Samples) -> Tensor:
    import torch

    assert samples.pixels is not None  # `refuses` rejects points
    return torch.from_numpy(reference_features(samples.dataset, str(samples.pixels.device)))


def _both(samples: Samples) -> PrecisionRecall:
    """Return both for the first 10,000 samples, computed once."""
    return samples.once("zoo.precision_recall", lambda: precision_recall(features(samples, COUNT), _real(samples)))


class Precision(ReferenceMetric):
    """Share of 10,000 samples near a real image (k = 3, Inception pool3 features)."""

    name = "precision"
    direction = "higher"
    unit = "share"
    scale = "share"
    needs = COUNT

    def compute(self, samples: Samples) -> float:
        """Return a float, 0 to 1."""
        return _both(samples).precision


class Recall(ReferenceMetric):
    """Share of 10,000 real images near a sample (k = 3, Inception pool3 features)."""

    name = "recall"
    direction = "higher"
    unit = "share"
    scale = "share"
    needs = COUNT

    def compute(self, samples: Samples) -> float:
        """Return a float, 0 to 1."""
        return _both(samples).recall


class GeneratorPrecision(ReferenceMetric):
    """Share of each generator's samples near a real image, as in `precision`, of its samples among the first 10,000.

    The expected value does not depend on their number. It is NaN for a generator with three or fewer of these samples.
    """

    name = "generator_precision"
    direction = "higher"
    unit = "share"
    scale = "share"
    needs = 1_000  # a share of few samples is unreliable
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Return shares (K,)."""
        value = np.full(samples.generators, np.nan)
        if samples.generator is None:
            return value
        index, found = samples.generator[:COUNT], features(samples, COUNT)
        for k in range(samples.generators):
            own = found[index == k]
            if len(own) > NEIGHBOURS:
                value[k] = precision_recall(own, _real(samples)).precision
        return value

    def why_undefined(self, samples: Samples) -> str:
        """Return the reason for NaN: no index, or too few samples of each generator."""
        few = f"no generator has more than {NEIGHBOURS} of the first {COUNT:,} samples"
        return UNINDEXED if samples.generator is None else few
