"""Inception Score and Fréchet distance by the classifier of the data's own classes: digits instead of ImageNet.

Both are defined as on Inception features (Salimans et al., NeurIPS 2016; Heusel et al., NeurIPS 2017), see
`inception_score` and `fid`. Values are comparable if classifier and number of samples are the same; the note below the
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
    """Inception Score by the data's own classifier: exp E KL(p(y|x) || p(y)), mean of ten parts.

    It is at most the number of classes. If channels are classified by themselves, y is the tuple of their classes.
    """

    name = "classifier_score"
    direction = "higher"
    unit = "classes"
    needs = 1000

    def compute(self, samples: Samples) -> float:
        """Return a float, 1 to the number of classes; 1 if all samples are classified alike."""
        p = np.exp(classified(samples).log_probability.astype(np.float64))
        return float(np.mean([score_of(part) for part in np.array_split(p, SPLITS)]))


def score_of(p: Array) -> float:
    """exp E KL(p(y|x) || p(y)) of probabilities (n, parts, classes), the parts of an image independent given it."""
    joint = p[:, 0]
    for part in p.swapaxes(0, 1)[1:]:
        joint = (joint[:, :, None] * part[:, None, :]).reshape(len(p), -1)
    given = -xlogy(p, p).sum(axis=(1, 2)).mean()  # the entropy of independent parts is the sum of theirs
    overall = joint.mean(axis=0)
    return float(np.exp(max(0.0, -xlogy(overall, overall).sum() - given)))


class FrechetClassifier(ClassifiedMetric):
    """Fréchet distance to the training set on the features of the data's own classifier, 128 for an image.

    It uses all samples and the whole training set, with unbiased covariances. It is biased upwards, more so with fewer
    samples: values are comparable if their numbers of samples are equal.
    """

    name = "frechet_classifier"
    direction = "lower"
    unit = "squared feature units"
    needs = 1000

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Train the classifier and compute the features of the training set, once per machine."""
        assert is_images(dataset)
        reference_of(dataset, device, say)

    def compute(self, samples: Samples) -> float:
        """A float, at least 0."""
        dataset, pixels = samples.dataset, samples.pixels
        assert is_images(dataset) and pixels is not None
        return frechet(moments([classified(samples).features]), reference_of(dataset, pixels.device).moments)


def frechet(a: Moments, b: Moments) -> float:
    """|mean difference|² + tr(A + B - 2 (AB)^½) of two normal distributions, finite also if one is a point.

    The eigenvalues of AB are those of B^½ A B^½, which is symmetric: none is complex or, but for rounding, below 0.
    """
    values, vectors = np.linalg.eigh(b.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ a.covariance @ root).clip(min=0)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * common
    return float(np.square(a.mean - b.mean).sum() + max(0.0, spread))
