"""Class probabilities and features of images from a classifier, for samples and for the training set.

The classifier is that of `labelled()`, see `gan_bench_zoo.classifiers`. If each channel is a separate image, as in
stacked MNIST, channels are classified separately and their features are concatenated.

    kept_at("cache", "classifiers")/features-KEY.npz    features of the training set; see `_reference`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import ImageDataset, is_images
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.data.downloads import cache_file
from gan_bench_zoo.metrics._reference import Progress, Reference, key_of, reference_at

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gan_bench_zoo.classifiers import Classifier


@dataclass(frozen=True)
class Classified:
    """Classifier output for n images of P parts: the channels if they are classified separately, else the image.

    Attributes:
        log_probability: (n, P, classes) float32.
        features: (n, P · 128) float32.
    """

    log_probability: NDArray[np.float32]
    features: NDArray[np.float32]


def unlabelled(name: str, dataset: ImageDataset) -> str | None:
    """Return the reason why a metric cannot classify the images of a dataset; None if it can."""
    labelled = dataset.labelled()
    if labelled is None:
        return f"{name} needs images with labels, and {dataset.name} has no labels"
    parts = _parts(dataset)
    if labelled.shape != (dataset.shape[0] // parts, *dataset.shape[1:]):
        return f"{name} needs a classifier for the shape of {dataset.name}; {labelled.name} has shape {labelled.shape}"
    return None


def labelled_of(dataset: ImageDataset) -> ImageDataset:
    """Return the dataset that trains the classifier. `unlabelled` has checked that there is one."""
    labelled = dataset.labelled()
    assert labelled is not None
    return labelled


def _parts(dataset: ImageDataset) -> int:
    return dataset.shape[0] if dataset.by_channel else 1


def classifier_for(
    dataset: ImageDataset, device: torch.device | str, say: Callable[[str], None] = lambda line: None
) -> Classifier:
    """Return the classifier of a dataset's images; see `gan_bench_zoo.classifiers.classifier_of`."""
    from gan_bench_zoo.classifiers import classifier_of

    return classifier_of(labelled_of(dataset), device, say)


def note_of(dataset: ImageDataset) -> str:
    """Return identity and accuracy of the classifier; an empty string if it is not trained yet."""
    from gan_bench_zoo.classifiers import record_of

    if dataset.missing():
        return ""
    record = record_of(labelled_of(dataset))
    return str(record) if record else ""


def classified(samples: Samples) -> Classified:
    """Classify samples. The result is computed once."""

    def compute() -> Classified:
        assert samples.pixels is not None and is_images(samples.dataset)  # `refuses` rejects points
        return _seen(classifier_for(samples.dataset, samples.pixels.device), samples.dataset, samples.pixels)

    return samples.once("zoo.classified", compute)


def _seen(classifier: Classifier, dataset: ImageDataset, pixels: Tensor) -> Classified:
    n, parts = len(pixels), _parts(dataset)
    logs, features = classifier(pixels.reshape(n * parts, -1, *pixels.shape[2:]))
    return Classified(logs.reshape(n, parts, -1), features.reshape(n, -1))


def reference_of(
    dataset: ImageDataset, device: torch.device | str = "cpu", say: Callable[[str], None] = lambda line: None
) -> Reference:
    """Return the features of the training set. If they are not stored, they are computed on `device` and stored.

    Raises:
        DataError: images are missing or damaged, or files cannot be written.
    """
    import torch

    classifier, pictures = classifier_for(dataset, device, say), dataset.training()
    key = key_of(classifier.record.sha256, pictures.fingerprint, str(_parts(dataset)))
    path = cache_file("classifiers", f"features-{key}.npz")

    def features(x: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _seen(classifier, dataset, torch.from_numpy(x).to(device)).features

    progress = Progress(f"features of {len(pictures):,} training images of {dataset.name}", len(pictures), say)
    return reference_at(path, pictures, features, progress)


class ClassifiedMetric(Metric):
    """Base class of metrics of images on the output of a classifier."""

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse points, and images without labels to train a classifier."""
        if not is_images(dataset):
            return f"{self.name} needs images, and {dataset.name} has none"
        return unlabelled(self.name, dataset)

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Train the classifier, once per machine."""
        assert is_images(dataset)
        classifier_for(dataset, device, say)

    def note(self, dataset: Dataset) -> str:
        """Return identity and accuracy of the classifier."""
        return note_of(dataset) if is_images(dataset) else ""
