"""Moving average of generator parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from gan_bench.contracts.model import Model


class Average:
    """Exponential moving average of the generating players' parameters and of running statistics of their layers.

    Attributes:
        live: the averaged tensors by name; values: their averages by name.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        prefixes = tuple(f"{name}." for name in model.generating)
        changing = (*model.named_parameters(), *model.named_buffers())
        self.live = {name: p for name, p in changing if name.startswith(prefixes) and p.is_floating_point()}
        self.values = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Update the averages with the present parameters."""
        torch._foreach_lerp_(list(self.values.values()), list(self.live.values()), 1 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Swap averages and parameters; a second call swaps them back."""
        for name, parameter in self.live.items():
            kept = parameter.clone()
            parameter.copy_(self.values[name])
            self.values[name].copy_(kept)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Swap averages and parameters within a context."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def restart(self, prefix: str) -> None:
        """Restart the averages of a player from its present parameters."""
        for name, parameter in self.live.items():
            if name.startswith(prefix):
                self.values[name].copy_(parameter)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Load stored averages."""
        for name, value in values.items():
            self.values[name].copy_(value)
