"""Inception Score: certainty and diversity of the classification of samples (Salimans et al., NeurIPS 2016).

exp E KL(p(y|x) || p(y)), with p(y) the mean of p(y|x) over a tenth of the samples; the mean of the ten scores. p(y|x)
is the softmax of 1008 logits without bias, as in the original program. Samples are first shuffled, in an order that
depends on n alone: a tenth from a single generator would have a lower score. torch-fidelity computes the score of a
tenth.

The score grows with the number of samples: values of metrics with other numbers are not comparable, and papers use
50,000. It compares with no real data: a model may exceed real images.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.metric import Direction, Samples
from gan_bench.errors import DataError
from gan_bench_zoo.metrics._inception import WHOLE, Inception, InceptionMetric, features, inception

if TYPE_CHECKING:
    from torch import Tensor

SPLITS = 10
ORDER = 2020
"""The seed of torch-fidelity's command, so that it gives the same value for the same images."""


def of_logits(logits: Tensor) -> float:
    """Inception Score of the logits (n, classes) of one part of the samples; 1 if all are classified alike."""
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    return float(isc_features_to_metric(logits, splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN])


def of_parts(features: Tensor, logits: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
    """Return the scores (10,) of tenths of samples, from their features; logits are computed a tenth at a time."""
    import torch

    order = torch.from_numpy(np.random.RandomState(ORDER).permutation(len(features)))
    ends = [i * len(features) // SPLITS for i in range(SPLITS + 1)]
    return np.array([of_logits(logits(features[order[a:b]])) for a, b in pairwise(ends)])


def _scores(samples: Samples, first: int) -> NDArray[np.float64]:
    """Return the scores of tenths of the first samples, computed once."""
    found = features(samples, first)
    return samples.once(f"zoo.inception_score.{first}", lambda: of_parts(found, _classifying(inception()).logits))


def _classifying(network: Inception) -> Inception:
    """Return the network, if it has its last layer."""
    if network.classifies:
        return network
    raise DataError(
        f"Inception Score needs the last layer of the network, which {network.file} lacks (its weights are all equal). "
        f"`gan-bench data fetch inception` downloads {WHOLE}, which has it; or leave this metric out. "
        "FID, KID, precision and recall need no last layer."
    )


class InceptionScore(InceptionMetric):
    """Inception Score of 50,000 samples: mean of ten parts of 5,000; higher is more certain and more diverse."""

    name = "inception_score"
    direction: ClassVar[Direction] = "higher"
    unit = ""
    needs = 50_000

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Read the weights, with the last layer. Raises DataError if there is none."""
        _classifying(inception())

    def compute(self, samples: Samples) -> float:
        """Return a float, 1 to 1008, of the first samples."""
        return float(_scores(samples, self.needs).mean())


class InceptionScore10k(InceptionScore):
    """Inception Score of the first 10,000 samples: ten parts of 1,000. Lower than of 50,000; never compare them."""

    name = "inception_score_10k"
    needs = 10_000


class InceptionScore5k(InceptionScore):
    """Inception Score of the first 5,000 samples: ten parts of 500. Lower than of 50,000; never compare them."""

    name = "inception_score_5k"
    needs = 5_000


class InceptionScoreSD(InceptionScore):
    """Standard deviation of `inception_score` over its ten parts of 5,000: the value that papers print after ±.

    It is the population's, as torch-fidelity's. It measures the variation of 5,000 samples of one model, not of seeds.
    """

    name = "inception_score_sd"
    direction = "none"

    def compute(self, samples: Samples) -> float:
        """Return a float, at least 0."""
        return float(_scores(samples, self.needs).std())
