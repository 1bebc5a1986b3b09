"""Kernel Inception Distance: squared maximum mean discrepancy of Inception features (Bińkowski et al., ICLR 2018).

It is the unbiased estimate with the kernel (x·y / 2048 + 1)³, mean over 100 pairs of subsets of 1,000, computed by
torch-fidelity with the seed of its command. Its expectation does not depend on the number of samples. A value
slightly below 0 is equivalent to 0. The training images are always the same 10,000, or all if there are fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_bench.contracts.metric import Samples
from gan_bench_zoo.metrics._inception import features
from gan_bench_zoo.metrics._inception_reference import ReferenceMetric, reference_features

if TYPE_CHECKING:
    from torch import Tensor

SUBSETS, SUBSET = 100, 1_000
SEED = 2020


def kernel_distance(model: Tensor, real: Tensor, subset: int = SUBSET) -> float:
    """Return the KID of features (n, d) from features (m, d), with subsets of at most `subset`, n and m."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    size = min(subset, len(model), len(real))
    found = kid_features_to_metric(model, real, kid_subsets=SUBSETS, kid_subset_size=size, rng_seed=SEED, verbose=False)
    return float(found[KEY_METRIC_KID_MEAN])


class KID(ReferenceMetric):
    """Kernel Inception Distance of the samples from training images: mean over 100 subsets of 1,000; 0 is equal."""

    name = "kid"
    direction = "lower"
    unit = ""
    needs = SUBSET

    def compute(self, samples: Samples) -> float:
        """Return a float of all samples. Subsets are smaller with fewer than 1,000 training images."""
        import torch

        assert samples.pixels is not None  # `refuses` rejects points
        real = torch.from_numpy(reference_features(samples.dataset, str(samples.pixels.device)))
        return kernel_distance(features(samples), real)
