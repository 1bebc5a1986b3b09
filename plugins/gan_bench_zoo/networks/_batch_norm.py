"""Batch normalisation (Ioffe and Szegedy, ICML 2015) whose forward pass can be traced, stacked and differentiated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOMENTUM = 0.1
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-5) · gain + shift, over all but the channels of (n, channels, …).

    Training uses mean and variance of the batch. Evaluation uses the running averages if there are any, else also the
    batch. In running averages each batch has weight 0.1, and the estimate of the variance is unbiased. Values equal
    those of torch's layers. Unlike these, it accepts a batch of one number per channel: the output is
    0 · gain + shift, and the variance counts as 0.
    """

    shift: nn.Parameter | None
    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, centred: bool, remembered: bool) -> None:
        super().__init__()
        self.remembered = remembered
        self.gain = nn.Parameter(torch.ones(channels))
        self.register_parameter("shift", nn.Parameter(torch.zeros(channels)) if centred else None)
        if remembered:
            self.register_buffer("mean", torch.zeros(channels))
            self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise without changing the shape. In training the running averages are updated in place."""
        if self.remembered and not self.training:
            return torch.batch_norm(x, self.gain, self.shift, self.mean, self.variance, False, 0.0, EPSILON, True)
        if self.remembered:
            self._remember(x.detach())
        return torch.batch_norm(x, self.gain, self.shift, None, None, True, 0.0, EPSILON, True)

    @torch.no_grad()
    def _remember(self, x: Tensor) -> None:
        variance, mean = torch.var_mean(x, [d for d in range(x.dim()) if d != 1], correction=0)
        n = x.numel() // x.shape[1]
        for average, value in ((self.mean, mean), (self.variance, variance * (n / max(n - 1, 1)))):
            average.mul_(1 - MOMENTUM).add_(value, alpha=MOMENTUM)  # lerp_ has no rule for vmap
