"""Spectral normalisation as a function: weights divided by their largest singular value, by power iteration.

A weight W is a matrix (out, in · kernel), one for each copy of a batched layer. A vector u approximates its first left
singular vector. With v = W^T u / |W^T u|, W is divided by sigma = u^T W v; u and v are constants of the gradient. The
vectors are a dict of tensors by the names of their weights, which can be part of a model's state.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.network import BatchedLinear
from gan_bench.errors import PluginError

Vectors = Mapping[str, Tensor]

NORMALISED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, BatchedLinear)


def start(module: nn.Module) -> dict[str, Tensor]:
    """Return a u for each weight: a fixed direction after one power iteration."""
    weights = _matrices(module)
    others = {name for name, value in module.named_parameters() if name.endswith("weight") and value.dim() > 1}
    if others := others - set(weights):
        raise PluginError(f"spectral normalisation knows linear layers and convolutions; {min(others)} is neither's")
    rng = torch.Generator().manual_seed(0)  # a separate stream: u is the same in every run
    fixed = {name: torch.randn(matrix.shape[:-1], generator=rng) for name, matrix in weights.items()}
    return follow(module, {name: F.normalize(u.to(weights[name]), dim=-1) for name, u in fixed.items()})


def follow(module: nn.Module, vectors: Vectors) -> dict[str, Tensor]:
    """Apply one power iteration with the current value of each weight."""
    weights = {name: matrix.detach() for name, matrix in _matrices(module).items()}
    return {name: _direction(weights[name], _direction(weights[name].mT, u)) for name, u in vectors.items()}


def normalised(module: nn.Module, vectors: Vectors) -> dict[str, Tensor]:
    """Return the weights divided by their sigma, by name, for `torch.func.functional_call`."""
    weights, shapes = _matrices(module), {name: value.shape for name, value in module.named_parameters()}
    return {name: (weights[name] / _sigma(weights[name], u)).reshape(shapes[name]) for name, u in vectors.items()}


def _matrices(module: nn.Module) -> dict[str, Tensor]:
    """Return weights as (…, rows, columns), by name; those of a batched layer are transposed, with the same sigma."""
    weights = dict(module.named_parameters())
    layers = {f"{name}.weight": layer for name, layer in module.named_modules() if isinstance(layer, NORMALISED)}
    return {
        name: weights[name] if isinstance(layer, BatchedLinear) else weights[name].flatten(1)
        for name, layer in layers.items()
    }


def _sigma(matrix: Tensor, u: Tensor) -> Tensor:
    """Return u^T W v, (…, 1, 1), with u and v as constants."""
    v = _direction(matrix.detach().mT, u)
    return u.unsqueeze(-2) @ matrix @ v.unsqueeze(-1)


def _direction(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return W x / |W x|, (…, rows)."""
    return F.normalize((matrix @ vector.unsqueeze(-1)).squeeze(-1), dim=-1)
