"""Number of features of a network's discriminator, for models that read them."""

from __future__ import annotations

import copy

import torch

from gan_bench.contracts.network import Discriminator


def count_features(discriminator: Discriminator, shape: tuple[int, ...]) -> int:
    """Return the size of the flattened last hidden layer of a discriminator of samples of `shape`.

    The size is found on a copy without values (the meta device): nothing is computed, and running averages do not
    change.
    """
    without_values = copy.deepcopy(discriminator).to("meta")
    return without_values.features(torch.empty(2, *shape, device="meta")).shape[-1]
