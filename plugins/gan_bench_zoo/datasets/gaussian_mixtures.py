"""Gaussian mixtures with exact densities: the synthetic tasks of the multi-generator papers.

Every mixture has equal weights and isotropic components. The papers disagree about the same ring by a factor of seven
in relative width. Each of their tasks therefore has a separate name. Values of different names are not comparable.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset, Mixture, Real
from gan_bench.contracts.parameters import param

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class GaussianMixture(Dataset):
    """Endless stream from a mixture of M isotropic Gaussians in d dimensions, all with weight 1/M.

    A family defines its `components`. Its presets are subclasses that only change defaults. The label of a sample is
    the index of its mode.
    """

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        means, stds = self.components()
        self._mixture = Mixture(means, stds, np.full(len(means), 1 / len(means)))
        self._tensors: dict[torch.device, tuple[Tensor, Tensor]] = {}  # constants, copied once to each device

    @abstractmethod
    def components(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return means (M, d) and standard deviations (M,)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(d,)."""
        return self._mixture.means.shape[1:]

    @property
    def mixture(self) -> Mixture:
        """The exact density."""
        return self._mixture

    @property
    def classes(self) -> int:
        """M, one class for each mode."""
        return len(self._mixture.means)

    def draw(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` points x (n, d) and their modes (n,), without a synchronisation on a GPU."""
        import torch

        means, stds = self._on(rng.device)
        label = torch.randint(len(means), (n,), generator=rng, device=rng.device)
        noise = torch.randn(n, means.shape[1], generator=rng, device=rng.device)
        return Real(torch.addcmul(means.index_select(0, label), stds.index_select(0, label), noise), label)

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` new points: no two draws of a stream share any."""
        return self.draw(n, rng)

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return means (M, d) and standard deviations (M, 1), float32, on `device`."""
        import torch

        if device not in self._tensors:
            means, stds = (torch.tensor(a, dtype=torch.float32, device=device) for a in self.components())
            self._tensors[device] = means, stds[:, None]
        return self._tensors[device]


class Ring8(GaussianMixture):
    """MGAN's and D2GAN's ring: 8 modes on a circle of radius 2, variance 0.02 (standard deviation 0.1414)."""

    name = "ring8"

    @dataclass(frozen=True)
    class Params:
        """Mode m of M is at (radius sin t, radius cos t) with t = 2πm/M."""

        modes: int = param(8, "Number of modes on the circle.", low=1, high=10_000)
        radius: float = param(2.0, "Radius of the circle.", above=0, high=1e6)
        variance: float = param(0.02, "Variance of each mode along each axis.", above=0, high=1e6)

    def components(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return means (M, 2) and standard deviations (M,)."""
        p = self.params
        turn = 2 * np.pi * np.arange(p.modes) / p.modes
        means = p.radius * np.stack([np.sin(turn), np.cos(turn)], axis=1)
        return means, np.full(p.modes, math.sqrt(p.variance))


class Ring8Unrolled(Ring8):
    """The ring of the Unrolled GAN paper: radius 2, standard deviation 0.02."""

    name = "ring8-unrolled"

    @dataclass(frozen=True)
    class Params(Ring8.Params):
        """Parameters of `ring8` with other defaults."""

        variance: float = param(0.02**2, "Variance of each mode along each axis.", above=0, high=1e6)


class Ring8VEEGAN(Ring8):
    """The ring of VEEGAN's protocol, as in PacGAN's released code: radius 1, standard deviation 0.01."""

    name = "ring8-veegan"

    @dataclass(frozen=True)
    class Params(Ring8.Params):
        """Parameters of `ring8` with other defaults."""

        radius: float = param(1.0, "Radius of the circle.", above=0, high=1e6)
        variance: float = param(0.01**2, "Variance of each mode along each axis.", above=0, high=1e6)


class Grid25(GaussianMixture):
    """Grid of ALI, VEEGAN and PacGAN: 5 × 5 modes from -4 to 4 in steps of 2, standard deviation 0.05."""

    name = "grid25"

    @dataclass(frozen=True)
    class Params:
        """Grid of side × side modes, centred on the origin and numbered row by row."""

        side: int = param(5, "Number of modes along each axis.", low=1, high=100)
        spacing: float = param(2.0, "Distance between neighbouring modes.", above=0, high=1e6)
        std: float = param(0.05, "Standard deviation of each mode along each axis.", above=0, high=1e3)

    def components(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return means (side², 2) and standard deviations (side²,)."""
        p = self.params
        axis = p.spacing * (np.arange(p.side) - (p.side - 1) / 2)
        means = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        return means, np.full(len(means), p.std)


class MADGAN1D(GaussianMixture):
    """MAD-GAN's five Gaussians on a line: means 10, 20, 60, 80, 110, standard deviations 3, 3, 2, 2, 1."""

    name = "mad-gan-1d"

    @dataclass(frozen=True)
    class Params:
        """Mean and standard deviation of each mode."""

        means: tuple[float, ...] = param((10.0, 20.0, 60.0, 80.0, 110.0), "Mean of each mode.", low=-1e6, high=1e6)
        stds: tuple[float, ...] = param(
            (3.0, 3.0, 2.0, 2.0, 1.0), "Standard deviation of each mode.", above=0, high=1e6
        )

        def __post_init__(self) -> None:
            if not self.means or len(self.means) != len(self.stds):
                found = f"means has {len(self.means)} values and stds {len(self.stds)}"
                raise ValueError(f"{found}; give one of each for every mode.")

    def components(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return means (M, 1) and standard deviations (M,)."""
        return np.array(self.params.means, float)[:, None], np.array(self.params.stds, float)
