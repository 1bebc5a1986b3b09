"""Set the precision of matrix products."""

from __future__ import annotations

import torch


def set_precision(precision: str) -> None:
    """What a run's plan says of float32 on a GPU, and convolutions that add up in the same order each time."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
