"""Reference rows of every table: real data that no model was trained on, and an untrained generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.model import Latents, Model, Turn
from gan_bench.contracts.network import Generators, Networks


class _Anchor(Model):
    """Base class of models without turns, which are never trained."""

    players: ClassVar[tuple[str, ...]] = ()
    anchor = True

    def turns(self, iteration: int) -> Sequence[Turn]:
        """No turns."""
        return ()


class RealData(_Anchor):
    """Held-out real data: the best value of each metric that this number of samples allows."""

    name = "real-data"
    generating = ()
    in_parts = False  # two draws of a finite dataset would contain the same samples
    dataset: Dataset

    def most_samples(self, dataset: Dataset) -> int | None:
        """Number of samples that the dataset holds out."""
        return dataset.held_out_size

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Store the dataset; no network is built."""
        self.dataset = networks.dataset
        return {}

    def sample(self, counts: Sequence[int], latents: Latents, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw samples of the dataset that training never uses."""
        return self.dataset.held_out(sum(counts), rng).x, None


class Untrained(_Anchor):
    """A generator at its initialisation: the value of each metric without any training."""

    name = "untrained"
    players = ("generator",)
    generator: Generators

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one generator."""
        return {"generator": networks.generators()}
