"""Base classes of models whose K generators are one network that takes the index of the generator as an input."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.model import Model, Real
from gan_bench.contracts.network import Generators, Networks
from gan_bench.errors import PluginError


class Indexed(Model):
    """G_k(z) = G(z, e_k), e_k the k-th of K unit vectors beside the latent: all is shared but K inputs of a layer."""

    generator: Generators

    @property
    def sharing(self) -> str:
        """All but K inputs of the first layer."""
        return "generators: all, the index is an input"

    def one_generator(self, networks: Networks) -> Generators:
        """Build a generator whose latents are longer by K."""
        return replace(networks, latent_size=networks.latent_size + self.generators).generators()

    def generate(self, z: Tensor) -> Tensor:
        """Map (K, b, latent size) to (K, b, *shape), with the unit vector of its generator beside each latent."""
        k, each, _ = z.shape
        index = torch.eye(k, dtype=z.dtype, device=z.device)[:, None].expand(k, each, k)
        together: Tensor = self.generator(torch.cat((z, index), 2).flatten(0, 1)[None])
        return together.view(k, each, *together.shape[2:])


class Labelled(Indexed):
    """One generator for each class of the data: generator k is the network with class k as its input."""

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Footnote on the labels, which other models do not use."""
        return ("uses the labels of the data: one generator for each class",)

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse data without labels, or with another number of classes than there are generators."""
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
    """Map indices (n,) below `count` to their unit vectors (n, count)."""
    return (index[:, None] == torch.arange(count, device=index.device)).to(dtype)
