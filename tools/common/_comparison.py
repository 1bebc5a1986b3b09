"""Comparison of nested values bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def differences(first: Any, second: Any, where: str = "") -> list[str]:
    """List the places where two nested values differ, with tensors compared bit for bit."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.keys() != second.keys():
            return [f"{where}: {sorted(map(str, first))} against {sorted(map(str, second))}"]
        return [each for key in first for each in differences(first[key], second[key], f"{where}/{key}")]
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if first.dtype == second.dtype and first.shape == second.shape and _bits(first).equal(_bits(second)):
            return []
        gap = (first.double() - second.double()).abs().max().item() if first.shape == second.shape else "their shapes"
        return [f"{where}: tensors differ by {gap}"]
    return [] if first == second else [f"{where}: {first!r} against {second!r}"[:300]]


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Bytes of a tensor: NaN equals NaN, and 0.0 differs from -0.0."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
