"""Moving average of generator parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from gan_bench.contracts.model import Model


class Average:
    """An exponential moving average of the generating players' parameters, and of what layers remember of batches.

    Attributes:
        live: what it is an average of, by name; values: the averages, likewise.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        prefixes = tuple(f"{name}." for name in model.generating)
        changing = (*model.named_parameters(), *model.named_buffers())
        self.live = {name: p for name, p in changing if name.startswith(prefixes) and p.is_floating_point()}
        self.values = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the parameters of now."""
        torch._foreach_lerp_(list(self.values.values()), list(self.live.values()), 1 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and parameters; calling it again undoes it."""
        for name, parameter in self.live.items():
            kept = parameter.clone()
            parameter.copy_(self.values[name])
            self.values[name].copy_(kept)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Exchange average and parameters for a while."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def restart(self, prefix: str) -> None:
        """Forget what the parameters of a player were: the average is what they are now."""
        for name, parameter in self.live.items():
            if name.startswith(prefix):
                self.values[name].copy_(parameter)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take over stored averages."""
        for name, value in values.items():
            self.values[name].copy_(value)
