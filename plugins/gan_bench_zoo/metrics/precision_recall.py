"""Precision and recall of images: realism of the samples, and coverage of the data.

The ball around each image reaches to its third nearest neighbour of the same kind (Kynkäänniemi et al., NeurIPS 2019,
with k = 3). Precision is the share of samples within some ball of a training image; recall is the share of training
images within some ball of a sample. Neighbours are searched among Inception's pool3 features. torch-fidelity, which
computes both, has VGG16's by default, and other tools have k = 5; values compare with neither.

10,000 samples are compared with 10,000 training images, always the same ones (or all, if there are fewer). A model that
repeats one real image has precision 1 and recall near 0. Recall separates mixtures that cover different shares of the
data.
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
AT_ONCE = 1_000  # rows of a table of distances; whole ones of 10,000 take gigabytes


@dataclass(frozen=True)
class PrecisionRecall:
    """Two shares, 0 to 1."""

    precision: float
    recall: float


def precision_recall(model: Tensor, real: Tensor) -> PrecisionRecall:
    """Compute both for features (n, d) of samples and (m, d) of real images, more than three of each."""
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    found = prc_features_to_metric(
        model, real, prc_neighborhood=NEIGHBOURS, prc_batch_size=AT_ONCE, save_cpu_ram=True, verbose=False
    )
    return PrecisionRecall(found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL])


def _real(samples: Samples) -> Tensor:
    import torch

    assert samples.pixels is not None  # points are refused
    return torch.from_numpy(reference_features(samples.dataset, str(samples.pixels.device)))


def _both(samples: Samples) -> PrecisionRecall:
    """Return both for the first samples, computed once."""
    return samples.once("zoo.precision_recall", lambda: precision_recall(features(samples, COUNT), _real(samples)))


class Precision(ReferenceMetric):
    """Share of 10,000 samples among real images (k = 3, Inception pool3 features)."""

    name = "precision"
    direction = "higher"
    unit = "share"
    needs = COUNT

    def compute(self, samples: Samples) -> float:
        """A float, 0 to 1."""
        return _both(samples).precision


class Recall(ReferenceMetric):
    """Share of 10,000 real images among the samples (k = 3, Inception pool3 features)."""

    name = "recall"
    direction = "higher"
    unit = "share"
    needs = COUNT

    def compute(self, samples: Samples) -> float:
        """A float, 0 to 1."""
        return _both(samples).recall


class GeneratorPrecision(ReferenceMetric):
    """Share of each generator's samples among real images: as `precision`, of its own among the first 10,000.

    It does not depend on their number. It is NaN for a generator with three or fewer of them.
    """

    name = "generator_precision"
    direction = "higher"
    unit = "share"
    needs = 1_000  # a generator's share of few samples is unreliable
    per_generator = True

    def compute(self, samples: Samples) -> NDArray[np.float64]:
        """Shares (K,)."""
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
        """Return the reason for NaN: no index, or few samples of each."""
        few = f"no generator made more than {NEIGHBOURS} of the first {COUNT:,} samples"
        return UNINDEXED if samples.generator is None else few
