"""Common parts of networks: linear layers, batched or not, and logits by head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_bench.contracts.network import BatchedLinear, Heads


def linear(copies: int | None, inputs: int, outputs: int) -> nn.Module:
    """Return a linear layer, or `copies` such layers as one batched product."""
    return nn.Linear(inputs, outputs) if copies is None else BatchedLinear(copies, inputs, outputs)


def count_units(heads: Heads) -> int:
    """Return the total number of logits of all heads."""
    return sum(units or 1 for units in heads.values())


def by_head(logits: Tensor, heads: Heads) -> dict[str, Tensor]:
    """Split (…, all units) into (…) for heads without units and (…, units) for other heads."""
    parts = torch.split(logits, [units or 1 for units in heads.values()], -1)
    named = zip(heads.items(), parts, strict=True)
    return {name: part.squeeze(-1) if units is None else part for (name, units), part in named}
