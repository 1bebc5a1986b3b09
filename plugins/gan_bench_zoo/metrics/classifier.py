"""Inception Score and Fréchet distance with a classifier of the dataset's classes instead of ImageNet's.

Both are defined as for Inception features (Salimans et al., NeurIPS 2016; Heusel et al., NeurIPS 2017), see
`inception_score` and `fid`. Values are comparable if classifier and number of samples are the same. The note below the
table identifies the classifier.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import is_images
from gan_bench.contracts.metric import Samples
from gan_bench_zoo.metrics._classified import ClassifiedMetric, classified, reference_of
from gan_bench_zoo.metrics._reference import Moments, moments

SPLITS = 10
Array = NDArray[np.float64]


class ClassifierScore(ClassifiedMetric):
    """Inception Score from the dataset's own classifier: exp E KL(p(y|x) || p(y)), mean of ten parts.

    It is at most the number of classes. If channels are classified separately, y is the tuple of their classes.
    """

    name = "classifier_score"
    direction = "higher"
    unit = "classes"
    needs = 1000

    def compute(self, samples: Samples) -> float:
        """Return a float from 1, if all samples are classified alike, to the number of classes."""
        p = np.exp(classified(samples).log_probability.astype(np.float64))
        return float(np.mean([score_of(part) for part in np.array_split(p, SPLITS)]))


def score_of(p: Array) -> float:
    """Return exp E KL(p(y|x) || p(y)) of probabilities (n, parts, classes), with independent parts given the image."""
    joint = p[:, 0]
    for part in p.swapaxes(0, 1)[1:]:
        joint = (joint[:, :, None] * part[:, None, :]).reshape(len(p), -1)
    given = -xlogy(p, p).sum(axis=(1, 2)).mean()  # the entropy of independent parts is the sum of their entropies
    overall = joint.mean(axis=0)
    return float(np.exp(max(0.0, -xlogy(overall, overall).sum() - given)))


class FrechetClassifier(ClassifiedMetric):
    """Fréchet distance to the training set on features of the dataset's own classifier, 128 per image.

    It uses all samples and the whole training set, with unbiased covariances. It is biased upwards, more with fewer
    samples, so values are comparable only for equal numbers of samples.
    """

    name = "frechet_classifier"
    direction = "lower"
    unit = "squared feature units"
    scale = "log"
    needs = 1000

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Train the classifier and compute the features of the training set, once per machine."""
        assert is_images(dataset)
        reference_of(dataset, device, say)

    def compute(self, samples: Samples) -> float:
        """Return a float, at least 0."""
        dataset, pixels = samples.dataset, samples.pixels
        assert is_images(dataset) and pixels is not None
        return frechet(moments([classified(samples).features]), reference_of(dataset, pixels.device).moments)


def frechet(a: Moments, b: Moments) -> float:
    """Return |mean difference|² + tr(A + B - 2 (AB)^½) of two normal distributions, finite also if one is a point.

    The eigenvalues of AB are those of B^½ A B^½, which is symmetric. They are real and, except for rounding, not
    negative.
    """
    values, vectors = np.linalg.eigh(b.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ a.covariance @ root).clip(min=0)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * common
    return float(np.square(a.mean - b.mean).sum() + max(0.0, spread))
