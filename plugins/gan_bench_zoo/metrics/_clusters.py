"""Modes of images without labels: clusters of the training images' Inception features.

K-means (Lloyd, IEEE Transactions on Information Theory 1982) with initial centres by k-means++ (Arthur and
Vassilvitskii, SODA 2007), on the pool3 features of up to 10,000 training images. Distances use the same features
(`_inception_reference`). There are 100 clusters, or one for every ten images if there are fewer than 1,000. The mode of
an image is the cluster whose centre is nearest to its features. A cluster is not a class: it may contain a part of one,
or several.

    kept_at("cache", "clusters")/KEY.npz     centres (K, 2048) float32; weights (K,), the share of each cluster

KEY depends on the images, the layers of the network and `VERSION`. On another machine the last bits of features, and
therefore of centres, may differ. `Clusters.digest` identifies the centres. The note below the table shows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import vq

from gan_bench.contracts.images import ImageDataset, is_images
from gan_bench.contracts.metric import Samples
from gan_bench.data.downloads import cache_file
from gan_bench_zoo.metrics._inception import features, has_weights, note_of_weights
from gan_bench_zoo.metrics._inception_reference import path_of, reference
from gan_bench_zoo.metrics._reference import Arrays, kept, key_of, stored

VERSION = 1
"""Version of the clustering. Increase it if the algorithm changes."""

CLUSTERS = 100
EACH = 10  # images per cluster, at least on average
STEPS = 100  # of Lloyd's algorithm, at most
SEED = 0
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Clusters:
    """Centres (K, d), and the share (K,) of the images that are nearest to each, above 0."""

    centres: Vectors
    weights: NDArray[np.float64]

    @property
    def digest(self) -> str:
        """Hash of the centres, eight hexadecimal digits."""
        return hashlib.sha256(self.centres.tobytes()).hexdigest()[:8]


def clusters_of(dataset: ImageDataset, device: str, say: Callable[[str], None] = lambda line: None) -> Clusters:
    """Return the clusters of a dataset's training images. If they are not stored, they are computed and stored.

    Raises:
        DataError: weights or images are missing or damaged, or files cannot be written.
    """

    def compute() -> Arrays:
        found = clustered(reference(dataset, device, say).features)
        return {"centres": found.centres, "weights": found.weights}

    return kept(_path(dataset), _clusters, compute, say)


def nearest(samples: Samples) -> NDArray[np.int64]:
    """Return the cluster (n,) of each sample."""
    assert samples.pixels is not None and is_images(samples.dataset)  # `refuses` rejects points
    centres = clusters_of(samples.dataset, str(samples.pixels.device)).centres
    return nearest_of(features(samples).numpy(), centres)


def note_of(dataset: ImageDataset) -> str:
    """Return identity of weights and clusters; an empty string if the clusters are not computed yet."""
    if dataset.missing() or not has_weights():
        return ""
    found = stored(_path(dataset), _clusters)
    if found is None:
        return ""
    return f"{note_of_weights()}; modes are {len(found.centres)} clusters ({found.digest}) of training images"


def _path(dataset: ImageDataset) -> Path:
    key = key_of(path_of(dataset).stem, str(VERSION), str(CLUSTERS))
    return cache_file("clusters", f"{key}.npz")


def _clusters(arrays: Arrays) -> Clusters:
    centres, weights = arrays["centres"], arrays["weights"]
    if centres.ndim != 2 or weights.shape != (len(centres),):
        raise ValueError("arrays that are not of one clustering")
    return Clusters(centres, weights)


def clustered(x: Vectors) -> Clusters:
    """Compute the K-means clusters of vectors (m, d), deterministically. There are fewer if few vectors differ."""
    centres = lloyd(x, spread(x, max(1, min(CLUSTERS, len(x) // EACH))))
    counts = np.bincount(nearest_of(x, centres), minlength=len(centres))
    return Clusters(centres[counts > 0], counts[counts > 0] / len(x))


def nearest_of(x: Vectors, centres: Vectors) -> NDArray[np.int64]:
    """Return the index of the centre (K, d) nearest to each of the vectors (n, d)."""
    mode: NDArray[np.int64] = vq(x, centres, check_finite=False)[0].astype(np.int64)
    return mode


def spread(x: Vectors, count: int) -> Vectors:
    """Return initial centres by k-means++: vectors drawn by their squared distance to those already drawn."""
    rng = np.random.default_rng(SEED)
    centres = [x[rng.integers(len(x))]]
    distance = np.full(len(x), np.inf)
    while len(centres) < count:
        distance = np.minimum(distance, np.square(x - centres[-1]).sum(axis=1, dtype=np.float64))
        if not distance.any():  # every vector is already a centre
            break
        centres.append(x[rng.choice(len(x), p=distance / distance.sum())])
    return np.stack(centres)


def lloyd(x: Vectors, centres: Vectors) -> Vectors:
    """Move centres to the means of their nearest vectors until nothing changes. A centre without any does not move."""
    before: NDArray[np.int64] | None = None
    for _ in range(STEPS):
        mode = nearest_of(x, centres)
        if before is not None and np.array_equal(mode, before):
            break
        centres, before = _means(x, mode, centres), mode
    return centres


def _means(x: Vectors, mode: NDArray[np.int64], centres: Vectors) -> Vectors:
    members = [np.flatnonzero(mode == k) for k in range(len(centres))]
    means = [
        x[own].mean(axis=0, dtype=np.float64) if len(own) else old for own, old in zip(members, centres, strict=True)
    ]
    return np.stack(means).astype(np.float32)
