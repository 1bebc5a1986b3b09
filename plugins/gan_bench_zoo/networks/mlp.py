"""Network of MGAN's experiment on synthetic points (Hoang et al., ICLR 2018, Table 3).

Generator: latent → 128 ReLU (a separate layer for each generator) → 128 ReLU → point, linear.
Discriminator: point → 128 leaky ReLU → heads. No batch normalisation. With 256 latent dimensions and K = 8
generators that is 279,938 parameters for the generators, 513 for trunk and one-logit head, 1,032 for eight more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.network import BatchedLinear, Discriminator, Generators, Heads, Network, Sharing
from gan_bench.contracts.parameters import param
from gan_bench_zoo.networks._layers import by_head, count_units, linear


class MLP(Network):
    """Two hidden layers in a generator, one in a discriminator (MGAN, Table 3)."""

    name = "mlp"

    @dataclass(frozen=True)
    class Params:
        """Widths, and slope of the discriminator."""

        hidden: int = param(128, "Units in each hidden layer.", low=1)
        generator_hidden: int | None = param(
            None, "Units in each hidden layer of a generator. If none, `hidden`.", low=1
        )
        slope: float = param(0.2, "Slope of the discriminator's leaky ReLU below zero; 0 is a ReLU.", low=0, high=1)

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse data other than points."""
        if len(dataset.shape) == 1:
            return None
        found = f"the mlp network makes points; {dataset.name} has samples of shape {dataset.shape}"
        return f'{found}; for images write network = "dcgan" or "mlp-image"' if len(dataset.shape) == 3 else found

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        """Map latents (K, b, latent size) to points (K, b, d)."""
        hidden = self.params.generator_hidden or self.params.hidden
        widths = (latent_size, hidden, hidden, shape[0])
        own = {"body": (True, False, False), "trunk": (False, False, True), "nothing": (True, True, True)}
        return MLPGenerators(widths, count, own[shared])

    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        """Map points (n, d) to logits; see `Discriminator`."""
        return MLPDiscriminator(shape[0], self.params.hidden, self.params.slope, heads, copies)


class MLPGenerators(Generators):
    """K generators. For each layer, `own` is True for K layers, batched, and False for one shared layer."""

    def __init__(self, widths: tuple[int, ...], count: int, own: tuple[bool, ...]) -> None:
        super().__init__()
        self.own = own
        sizes = zip(pairwise(widths), own, strict=True)
        self.layers = nn.ModuleList(BatchedLinear(count, *size) if each else nn.Linear(*size) for size, each in sizes)

    def forward(self, z: Tensor) -> Tensor:
        """Map (K, b, latent size) to (K, b, d)."""
        k, b, _ = z.shape
        for number, (layer, own) in enumerate(zip(self.layers, self.own, strict=True)):
            # a shared layer is one product for all generators
            z = layer(z.view(k, b, -1)) if own else layer(z.reshape(k * b, -1))
            if number < len(self.layers) - 1:
                z = F.relu(z)
        return z.view(k, b, -1)


class MLPDiscriminator(Discriminator):
    """One hidden layer. All heads are one linear layer whose outputs are split."""

    def __init__(self, inputs: int, hidden: int, slope: float, heads: Heads, copies: int | None) -> None:
        super().__init__()
        self.slope, self.names, self.copies = slope, dict(heads), copies
        self.trunk = linear(copies, inputs, hidden)
        self.heads = linear(copies, hidden, count_units(heads))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (n, d), or (copies, n, d), to logits by head."""
        return by_head(self.heads(self.features(x)), self.names)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, d), or (copies, n, d), to the hidden layer (n, hidden), or (copies, n, hidden)."""
        if self.copies is not None and x.dim() == 2:
            x = x.expand(self.copies, *x.shape)
        return F.leaky_relu(self.trunk(x), self.slope)
