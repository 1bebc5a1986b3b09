"""Base classes of models whose K generators are one network with the index of the generator as an input."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.model import Model, Real
from gan_bench.contracts.network import Generators, Networks
from gan_bench.errors import PluginError


class Indexed(Model):
    """K generators as one network: G_k(z) = G(z, e_k), with e_k the k-th of K unit vectors, appended to the latent.

    The generators share everything except the K columns of the first layer that belong to the index.
    """

    generator: Generators

    @property
    def sharing(self) -> str:
        """Parts that the generators share: all but K inputs of the first layer."""
        return "generators: all, the index is an input"

    def one_generator(self, networks: Networks) -> Generators:
        """Build one generator whose input is the latent and K further numbers."""
        return replace(networks, latent_size=networks.latent_size + self.generators).generators()

    def generate(self, z: Tensor) -> Tensor:
        """Map latents (K, b, latent size) to samples (K, b, *shape); the index is appended to each latent."""
        k, each, _ = z.shape
        index = torch.eye(k, dtype=z.dtype, device=z.device)[:, None].expand(k, each, k)
        together: Tensor = self.generator(torch.cat((z, index), 2).flatten(0, 1)[None])
        return together.view(k, each, *together.shape[2:])


class Labelled(Indexed):
    """Base class with a generator for each class of the data: generator k is the network with class k as an input."""

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Footnote on the labels, which other models do not use."""
        return ("uses the labels of the data: one generator for each class",)

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse data without labels, or with a number of classes that differs from the number of generators."""
        if dataset.classes is None:
            return f"it learns from labels, and {dataset.name} has none"
        if dataset.classes != self.generators:
            return f"it has a generator for each class; give generators = {dataset.classes}, found {self.generators}"
        return None


def labels(real: Real) -> Tensor:
    """Return the labels (B,) of a draw."""
    if real.label is None:
        raise PluginError("A draw of the data has no labels, though the dataset says that there are classes.")
    return real.label


def units(index: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Map indices (n,) below `count` to unit vectors (n, count)."""
    return (index[:, None] == torch.arange(count, device=index.device)).to(dtype)
