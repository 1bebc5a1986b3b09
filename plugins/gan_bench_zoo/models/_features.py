"""How many features a network's discriminator has, for models that read them."""

from __future__ import annotations

import copy

import torch

from gan_bench.contracts.network import Discriminator


def count_features(discriminator: Discriminator, shape: tuple[int, ...]) -> int:
    """Size of the last hidden layer, flat, of a discriminator of samples of `shape`.

    Asked of a copy without values: nothing is computed, and what layers remember of batches stays as it is.
    """
    without_values = copy.deepcopy(discriminator).to("meta")
    return without_values.features(torch.empty(2, *shape, device="meta")).shape[-1]
