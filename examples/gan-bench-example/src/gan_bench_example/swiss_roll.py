"""Swiss roll in two dimensions, as a Gaussian mixture with an exact density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gan_bench import Dataset, Mixture, Real, param

if TYPE_CHECKING:
    import torch

START, END = 1.5 * math.pi, 4.5 * math.pi  # range of the angle: one and a half turns


class SwissRoll(Dataset):
    """Swiss roll in two dimensions, a string of Gaussians, after Tenenbaum et al. (Science 290, 2000).

    Mode m of M is at radius / 4.5π · (t cos t, t sin t) with t = 1.5π + 3π (m + ½)/M, the spiral of scikit-learn's
    `make_swiss_roll`. With equal weights the density along the roll falls outwards. With weights in proportion to
    length it is constant.
    """

    name = "swiss-roll"
    shape = (2,)

    @dataclass(frozen=True)
    class Params:
        """Size of the roll, and spacing of the modes along it."""

        modes: int = param(40, "Modes along the roll.", low=1, high=10_000)
        radius: float = param(2.0, "Distance of the roll's end from the centre.", above=0, high=1e6)
        std: float = param(0.1, "Standard deviation of each mode along each axis.", above=0, high=1e6)
        even_by: str = param(
            "angle",
            "Give every mode the same weight, as scikit-learn does, or a weight in proportion to the length of the "
            "roll that it stands for.",
            choices=("angle", "length"),
        )

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        t = START + (END - START) * (np.arange(params.modes) + 0.5) / params.modes
        means = params.radius / END * t[:, None] * np.stack([np.cos(t), np.sin(t)], axis=1)
        weights = np.sqrt(1 + t**2) if params.even_by == "length" else np.ones(params.modes)  # |d/dt t (cos t, sin t)|
        self._mixture = Mixture(means, np.full(params.modes, params.std), weights / weights.sum())

    @property
    def mixture(self) -> Mixture:
        """Exact density."""
        return self._mixture

    @property
    def classes(self) -> int:
        """Number of classes, one for each mode."""
        return len(self._mixture.means)

    def draw(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` points x (n, 2) and their modes (n,)."""
        import torch

        means, weights = (
            torch.tensor(values, dtype=torch.float32, device=rng.device)
            for values in (self._mixture.means, self._mixture.weights)
        )
        label = torch.multinomial(weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, 2, generator=rng, device=rng.device)
        return Real(means[label] + self.params.std * noise, label)

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` new points, since the dataset is unlimited."""
        return self.draw(n, rng)
