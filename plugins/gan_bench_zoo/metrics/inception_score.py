"""Inception Score: certainty and diversity of the classification of samples (Salimans et al., NeurIPS 2016).

The score of a tenth of the samples is exp E KL(p(y|x) || p(y)), where p(y) is the mean of p(y|x) over that tenth. The
metric is the mean of the ten scores. p(y|x) is the softmax of 1008 logits without bias, as in the original program.
Samples are first shuffled, in an order that depends only on n: a tenth from a single generator would have a lower
score. torch-fidelity computes the score of a tenth.

The score increases with the number of samples, so metrics with different numbers are not comparable. Papers use 50,000.
No real data are used: the score of a model may exceed that of real images.
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
"""Seed of torch-fidelity's command, so that both return the same value for the same images."""


def of_logits(logits: Tensor) -> float:
    """Return the Inception Score of logits (n, classes) of one part; 1 if all samples are classified alike."""
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    return float(isc_features_to_metric(logits, splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN])


def of_parts(features: Tensor, logits: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
    """Return the scores (10,) of tenths of samples from features. Logits are computed a tenth at a time."""
    import torch

    order = torch.from_numpy(np.random.RandomState(ORDER).permutation(len(features)))
    ends = [i * len(features) // SPLITS for i in range(SPLITS + 1)]
    return np.array([of_logits(logits(features[order[a:b]])) for a, b in pairwise(ends)])


def _scores(samples: Samples, first: int) -> NDArray[np.float64]:
    """Return the scores of tenths of the `first` samples, computed once."""
    found = features(samples, first)
    return samples.once(f"zoo.inception_score.{first}", lambda: of_parts(found, _classifying(inception()).logits))


def _classifying(network: Inception) -> Inception:
    """Return the network. Raises DataError if it lacks the last layer."""
    if network.classifies:
        return network
    raise DataError(
        f"{network.file} lacks the last layer, which Inception Score needs (all weights of the layer are equal). "
        f"Run `gan-bench data fetch inception` to download {WHOLE}, which contains it, or leave out this metric. "
        "FID, KID, precision and recall do not need the last layer."
    )


class InceptionScore(InceptionMetric):
    """Inception Score of the first 50,000 samples, mean of ten parts; higher is more certain and more diverse."""

    name = "inception_score"
    direction: ClassVar[Direction] = "higher"
    unit = ""
    needs = 50_000

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Read the weights. Raises DataError if the last layer is missing."""
        _classifying(inception())

    def compute(self, samples: Samples) -> float:
        """Return a float, 1 to 1008, of the first samples."""
        return float(_scores(samples, self.needs).mean())


class InceptionScore10k(InceptionScore):
    """Inception Score of the first 10,000 samples; lower than, and not comparable with, `inception_score`."""

    name = "inception_score_10k"
    needs = 10_000


class InceptionScore5k(InceptionScore):
    """Inception Score of the first 5,000 samples; lower than, and not comparable with, `inception_score`."""

    name = "inception_score_5k"
    needs = 5_000


class InceptionScoreSD(InceptionScore):
    """Standard deviation of `inception_score` over its ten parts of 5,000: the value after ± in papers.

    It is the population standard deviation, as in torch-fidelity. It measures the variation between sets of 5,000
    samples of one model, not between seeds.
    """

    name = "inception_score_sd"
    direction = "none"

    def compute(self, samples: Samples) -> float:
        """Return a float, at least 0."""
        return float(_scores(samples, self.needs).std())
