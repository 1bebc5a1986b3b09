"""Networks of ALI's and PacGAN's experiments on points (Dumoulin et al., ICLR 2017; Lin et al., NeurIPS 2018).

Generator: latent → four layers of 400, each with batch normalisation and ReLU → point, linear. Discriminator: point →
three maxout layers of 200 (the largest of 5 linear pieces; Goodfellow et al., ICML 2013) → heads. The values are those
of PacGAN's released code. With 2 latent dimensions that is 486,402 parameters for the generator and 405,201 for a
discriminator of one logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.network import BatchedLinear, Discriminator, Generators, Heads, Network, Sharing
from gan_bench.contracts.parameters import param
from gan_bench_zoo.networks._layers import by_head, count_units, linear


class MLPMaxout(Network):
    """Deep generators with batch normalisation, maxout discriminators (PacGAN's experiments on points).

    Batch normalisation uses the statistics of the batch, also in evaluation (of 10,000 samples): there are no running
    averages. The samples of each generator are normalised separately, also in layers that generators share.
    """

    name = "mlp-maxout"

    @dataclass(frozen=True)
    class Params:
        """Widths and depths."""

        generator_hidden: int = param(400, "Units in each hidden layer of a generator.", low=1)
        generator_layers: int = param(4, "Hidden layers of a generator.", low=1)
        hidden: int = param(200, "Units in each hidden layer of a discriminator.", low=1)
        layers: int = param(3, "Hidden layers of a discriminator.", low=1)
        pieces: int = param(5, "Linear pieces of a maxout unit, which returns the largest.", low=1)

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse data other than points."""
        if len(dataset.shape) == 1:
            return None
        return f"the mlp-maxout network makes points; {dataset.name} has samples of shape {dataset.shape}"

    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        """Map latents (K, b, latent size) to points (K, b, d)."""
        p = self.params
        widths = (latent_size, *[p.generator_hidden] * p.generator_layers, shape[0])
        last = p.generator_layers
        own = [shared == "nothing" or number == {"body": 0, "trunk": last}[shared] for number in range(last + 1)]
        return NormalisedGenerators(widths, count, own)

    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        """Map points (n, d) to logits; see `Discriminator`."""
        p = self.params
        return MaxoutDiscriminator((shape[0], *[p.hidden] * p.layers), p.pieces, heads, copies)


class NormalisedGenerators(Generators):
    """K generators. For each layer, `own` is True for K layers, batched, and False for one shared layer."""

    in_parts = False  # normalised over the batch in evaluation too

    def __init__(self, widths: tuple[int, ...], count: int, own: list[bool]) -> None:
        super().__init__()
        self.own = own
        sizes = list(zip(pairwise(widths), own, strict=True))
        self.layers = nn.ModuleList(BatchedLinear(count, *size) if each else nn.Linear(*size) for size, each in sizes)
        hidden = sizes[:-1]
        self.norms = nn.ModuleList(BatchNorm(count if each else 1, outputs) for (_, outputs), each in hidden)

    def forward(self, z: Tensor) -> Tensor:
        """Map (K, b, latent size) to (K, b, d)."""
        k, b, _ = z.shape
        for number, (layer, own) in enumerate(zip(self.layers, self.own, strict=True)):
            z = layer(z) if own else layer(z.flatten(0, 1)).view(k, b, -1)
            if number < len(self.norms):
                z = F.relu(self.norms[number](z))
        return z


class BatchNorm(nn.Module):
    """Batch normalisation of (K, b, units), separate for each of K batches; `copies` gains and shifts, K or 1."""

    def __init__(self, copies: int, units: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(copies, 1, units))
        self.shift = nn.Parameter(torch.zeros(copies, 1, units))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise without changing the shape. 1e-5 is added to the variance."""
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        return centred * torch.rsqrt(variance + 1e-5) * self.gain + self.shift


class MaxoutDiscriminator(Discriminator):
    """Maxout layers. All heads are one linear layer whose outputs are split."""

    def __init__(self, widths: tuple[int, ...], pieces: int, heads: Heads, copies: int | None) -> None:
        super().__init__()
        self.pieces, self.names, self.copies = pieces, dict(heads), copies
        sizes = pairwise(widths)
        self.layers = nn.ModuleList(linear(copies, inputs, outputs * pieces) for inputs, outputs in sizes)
        self.heads = linear(copies, widths[-1], count_units(heads))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (n, d), or (copies, n, d), to logits by head."""
        return by_head(self.heads(self.features(x)), self.names)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, d), or (copies, n, d), to the last hidden layer (n, hidden), or (copies, n, hidden)."""
        if self.copies is not None and x.dim() == 2:
            x = x.expand(self.copies, *x.shape)
        for layer in self.layers:
            x = layer(x).unflatten(-1, (-1, self.pieces)).amax(-1)
        return x
