"""Feature count of a discriminator, for models that use its last hidden layer."""

from __future__ import annotations

import copy

import torch

from gan_bench.contracts.network import Discriminator


def count_features(discriminator: Discriminator, shape: tuple[int, ...]) -> int:
    """Return the size of the flattened last hidden layer of a discriminator of samples of `shape`.

    The size is computed on a copy without values (the meta device), so no arithmetic is done and running averages do
    not change.
    """
    without_values = copy.deepcopy(discriminator).to("meta")
    return without_values.features(torch.empty(2, *shape, device="meta")).shape[-1]
