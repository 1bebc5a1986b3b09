"""Two concentric rings, a dataset without an exact density."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from gan_bench import Dataset, Real, hookimpl, param


class TwoRings(Dataset):
    """Two concentric rings in the plane, without an exact density (after scikit-learn's `make_circles`).

    A point is at an angle that is uniform and at a distance from the origin of one of the two radii plus Gaussian
    noise. Its label is the ring: 0 for the inner one, 1 for the outer one.
    """

    name = "two-rings"
    shape = (2,)
    classes = 2

    @dataclass(frozen=True)
    class Params:
        """Radii of the rings, their width, and the share of points on the inner one."""

        inner: float = param(1.0, "Radius of the inner ring.", above=0, high=1e6)
        outer: float = param(2.0, "Radius of the outer ring.", above=0, high=1e6)
        std: float = param(0.05, "Standard deviation of the distance from the origin.", above=0, high=1e6)
        share: float = param(0.5, "Share of points on the inner ring.", low=0, high=1)

        def __post_init__(self) -> None:
            if self.inner >= self.outer:
                raise ValueError("inner must be smaller than outer.")

    params: Params

    def draw(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` points x (n, 2) with their rings (n,)."""
        ring = (torch.rand(n, generator=rng, device=rng.device) >= self.params.share).long()
        angle = 2 * math.pi * torch.rand(n, generator=rng, device=rng.device)
        noise = self.params.std * torch.randn(n, generator=rng, device=rng.device)
        radius = self.params.inner + (self.params.outer - self.params.inner) * ring + noise
        return Real(torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), ring)

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` further points, since there is no end of them."""
        return self.draw(n, rng)


@hookimpl
def gan_bench_datasets() -> list[type[Dataset]]:
    """List the datasets of this file for gan-bench."""
    return [TwoRings]
