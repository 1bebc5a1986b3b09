"""The prior of the latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """Prior of the latents: N(0, I) or U(-1, 1), in `size` dimensions."""

    distribution: str
    size: int

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, size) float32, on the generator's device."""
        z = torch.empty(n, self.size, device=rng.device)
        return z.normal_(generator=rng) if self.distribution == "normal" else z.uniform_(-1, 1, generator=rng)
