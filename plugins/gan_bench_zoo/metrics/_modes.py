"""Mode and quality of each sample, for mixtures and for images.

**Points.** The mode of a sample is the mode of the Gaussian mixture that is the fewest standard deviations away (the
nearest, if all modes have the same width). A sample is of high quality if this number is below three. These are the
rules of VEEGAN (Srivastava et al., NeurIPS 2017), valid in any dimension.

**Labelled images.** Modes are the classes of the dataset. If the dataset determines exactly the class of an image and
whether it is as good as a real one (`ImageDataset.exact_classes`), these values are used. Otherwise a classifier is
used: the mode is the likeliest of the dataset's classes, and an image is of high quality if no other class is likelier.
For two of MNIST's digits, it must be none of the other eight. If the classifier has no other class, every image is of
high quality, noise included. If each channel is a separate image, a mode is a tuple of classes, such as the 1000
triples of stacked MNIST (PacGAN, Lin et al., NeurIPS 2018).

**Other images.** Modes are clusters of the Inception features of the training images (`_clusters`), usually a hundred.
The mode of an image is the nearest cluster, and every image is of high quality. These metrics are as slow as other
metrics on Inception features.

Weights of the modes are those of the mixture, or the shares of the classes or clusters in the training set. Weights of
tuples are equal, as in the papers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import ImageDataset, is_images
from gan_bench.contracts.metric import Classes, Metric, Samples
from gan_bench_zoo.metrics import _clusters
from gan_bench_zoo.metrics._classified import classified, classifier_for, labelled_of, note_of
from gan_bench_zoo.metrics._features import by_inception, unseen
from gan_bench_zoo.metrics.histogram import MixtureMetric, mixture_of

HIGH_QUALITY = 3  # standard deviations
DISTANCES = 2**22  # computed together
NONE_GOOD = "no sample is of high quality"


@dataclass(frozen=True)
class Assignment:
    """The mode (n,) of each sample, and whether the sample is of high quality (n,)."""

    mode: NDArray[np.int64]
    high_quality: NDArray[np.bool_]


def assignment(samples: Samples) -> Assignment:
    """Assign samples to modes. The result is computed once."""
    by = _by_class if is_images(samples.dataset) else _by_distance
    return samples.once("zoo.assignment", lambda: by(samples))


def weights_of(samples: Samples) -> NDArray[np.float64]:
    """Return the share (M,) of each mode in the true distribution."""
    dataset = samples.dataset
    if not is_images(dataset):
        return mixture_of(samples).weights
    if in_clusters(dataset):
        assert samples.pixels is not None
        return _clusters.clusters_of(dataset, str(samples.pixels.device)).weights
    return samples.once("zoo.class_weights", lambda: _class_weights(dataset))


def cells_of(samples: Samples) -> NDArray[np.int64]:
    """Return the mode (n,) of each sample of high quality, and M for other samples."""
    a = assignment(samples)
    return np.where(a.high_quality, a.mode, len(weights_of(samples)))


def _by_distance(samples: Samples) -> Assignment:
    mixture = mixture_of(samples)
    mode = np.empty(len(samples), dtype=np.int64)
    good = np.empty(len(samples), dtype=np.bool_)
    rows = max(1, DISTANCES // len(mixture.means))
    for start in range(0, len(samples), rows):  # distances of 10^6 samples to many modes would not fit in memory
        part = slice(start, start + rows)
        distance = cdist(samples.x[part], mixture.means) / mixture.stds
        mode[part] = distance.argmin(axis=1)
        good[part] = distance.min(axis=1) < HIGH_QUALITY
    return Assignment(mode, good)


def _by_class(samples: Samples) -> Assignment:
    dataset, pixels = samples.dataset, samples.pixels
    assert is_images(dataset) and pixels is not None
    exact = dataset.exact_classes(pixels)
    if exact is not None:
        label, good = exact
        return Assignment(label.cpu().numpy(), good.cpu().numpy())
    if in_clusters(dataset):
        return Assignment(_clusters.nearest(samples), np.ones(len(samples), dtype=np.bool_))
    found = classified(samples).log_probability
    return _of_channels(found) if dataset.by_channel else _among(found[:, 0], _columns(dataset))


def _of_channels(logs: NDArray[np.float32]) -> Assignment:
    """Return tuples of classes as numbers whose digits are the classes: 100 a + 10 b + c."""
    n, channels, classes = logs.shape
    places = classes ** np.arange(channels)[::-1]
    return Assignment(logs.argmax(axis=2) @ places, np.ones(n, dtype=np.bool_))


def _among(logs: NDArray[np.float32], columns: NDArray[np.int64]) -> Assignment:
    """Return the likeliest of some classes, and whether it is the likeliest of all classes."""
    mode = logs[:, columns].argmax(axis=1)
    return Assignment(mode, columns[mode] == logs.argmax(axis=1))


def _columns(dataset: ImageDataset) -> NDArray[np.int64]:
    """Return the indices of the dataset's classes among those of the classifier, matched by name."""
    known = labelled_of(dataset).class_names
    return np.array([known.index(name) for name in dataset.class_names])


def _class_weights(dataset: ImageDataset) -> NDArray[np.float64]:
    from gan_bench_zoo.classifiers import labels_of

    classes = len(dataset.class_names)
    if dataset.by_channel:
        return np.full(classes, 1 / classes)
    counts = np.bincount(labels_of(dataset, dataset.training()), minlength=classes)
    weights: NDArray[np.float64] = counts / counts.sum()
    return weights


def in_clusters(dataset: ImageDataset) -> bool:
    """Whether the modes of images are clusters, because there are no classes."""
    return by_inception(dataset) and not dataset.knows_classes


def _always_good(dataset: ImageDataset) -> bool:
    """Whether every image is of high quality by definition."""
    if dataset.knows_classes:
        return False
    if in_clusters(dataset):
        return True
    return dataset.by_channel or set(labelled_of(dataset).class_names) <= set(dataset.class_names)


def without_modes(name: str, dataset: ImageDataset) -> str | None:
    """Return the reason why a metric cannot determine the modes of images; None if it can."""
    if dataset.knows_classes:
        return None
    reason = unseen(name, dataset)
    if reason or in_clusters(dataset):
        return reason
    known, wanted = labelled_of(dataset).class_names, dataset.class_names
    fits = len(wanted) == len(known) ** dataset.shape[0] if dataset.by_channel else set(wanted) <= set(known)
    if wanted and fits:
        return None
    return f"{name} needs the classes of {dataset.name} to be labels of {labelled_of(dataset).name}"


def without_bad_ones(name: str, dataset: ImageDataset) -> str | None:
    """Return the reason why a metric cannot distinguish good images from others; None if it can."""
    if in_clusters(dataset):
        return f"{name} needs to recognise images of no class, and {dataset.name} has no labels"
    reason = without_modes(name, dataset)
    if reason is None and _always_good(dataset):
        return f"{name} needs to recognise images of no class, and the classifier of {dataset.name} has no other class"
    return reason


class ByMode(Metric):
    """Mixin for metrics on modes: of points, of classes of images, or of clusters."""

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse images without modes, and points that the metric refuses."""
        return without_modes(self.name, dataset) if is_images(dataset) else super().refuses(dataset)

    def is_expensive(self, dataset: Dataset) -> bool:
        """Whether modes are clusters, which need the Inception network."""
        return is_images(dataset) and in_clusters(dataset)

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """For images without exact classes, once per machine: train the classifier, or compute the clusters."""
        if not is_images(dataset) or dataset.knows_classes:
            return
        if in_clusters(dataset):
            _clusters.clusters_of(dataset, device, say)
        else:
            classifier_for(dataset, device, say)

    def note(self, dataset: Dataset) -> str:
        """Return identity and accuracy of the classifier, or the identity of the clusters."""
        if not is_images(dataset) or dataset.knows_classes:
            return ""
        return _clusters.note_of(dataset) if in_clusters(dataset) else note_of(dataset)


class ModeMetric(ByMode, MixtureMetric):
    """Base class of metrics on modes: of a Gaussian mixture in any dimension, or classes or clusters of images."""

    def classes(self, samples: Samples) -> Classes:
        """Return the mode of each sample of high quality, named by class for images with classes, else by number."""
        a, dataset = assignment(samples), samples.dataset
        label, exhaustive = np.where(a.high_quality, a.mode, -1), is_images(dataset) and _always_good(dataset)
        if is_images(dataset) and not in_clusters(dataset):
            return Classes(label, dataset.class_names, exhaustive)
        return Classes(label, tuple(map(str, range(len(weights_of(samples))))), exhaustive)


class QualityMetric(ModeMetric):
    """Base class of metrics on samples of high quality, for data with samples of low quality."""

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse also images that are all of high quality by definition."""
        return without_bad_ones(self.name, dataset) if is_images(dataset) else super().refuses(dataset)
