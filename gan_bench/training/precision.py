"""Precision of matrix products."""

from __future__ import annotations

import torch


def set_precision(precision: str) -> None:
    """Set the float32 arithmetic of a GPU as the plan of a run specifies, and make convolutions deterministic."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
