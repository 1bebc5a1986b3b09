"""The contract of a network: the bodies that models are built of, so that models differ by objective only.

A model asks `Networks` for a generator or a discriminator; the protocol says which `Network` plugin builds it.
What is shared between generators is the model's choice; how many parameters that costs is counted from the
modules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gan_bench.parameters import NoParams

if TYPE_CHECKING:
    from gan_bench.dataset import Dataset

Sharing = Literal["body", "trunk", "nothing"]
"""What several generators share: all but their input layers, all but their output layers, or nothing."""

SHARED: Mapping[str, str] = {
    "body": "all but the input layer",
    "trunk": "all but the output layer",
    "nothing": "nothing",
}
"""The same in words, for tables."""

Heads = Mapping[str, int | None]
"""Output heads by name: None for one logit a sample, an int for that many."""


class Generators(nn.Module):
    """K generators as one module: latents (K, b, latent size) to samples (K, b, *shape)."""


class Discriminator(nn.Module):
    """A body with named heads: samples (n, *shape) to logits (n,) or (n, units) for each head.

    With `copies` = M it is M discriminators without a common parameter: every output gains a leading dimension M,
    and the input may be (n, *shape), seen by all, or (M, n, *shape), each its own.
    """

    def features(self, x: Tensor) -> Tensor:
        """What the heads read of samples: the last hidden layer, flat, (n, f) or (M, n, f); few models need it."""
        raise NotImplementedError(f"{type(self).__name__} offers no features(); a model that matches them needs it")


class Network(ABC):
    """A family of bodies for one kind of data."""

    name: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams

    def __init__(self, params: Any = None) -> None:
        self.params = self.Params() if params is None else params

    def refuses(self, dataset: Dataset) -> str | None:
        """Why this network cannot serve `dataset`, or None."""
        return None

    @abstractmethod
    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        """`count` generators of samples of `shape`."""

    @abstractmethod
    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        """One discriminator, or `copies` of it as one batched module."""


@dataclass(frozen=True)
class Networks:
    """What `Model.build` asks: a network plugin bound to the dataset and the latents of this run."""

    network: Network
    dataset: Dataset
    latent_size: int

    def generators(self, count: int = 1, *, shared: Sharing = "body") -> Generators:
        """`count` generators; `shared` says what they have in common."""
        return self.network.generators(self.latent_size, self.dataset.shape, count, shared)

    def discriminator(
        self, heads: Heads, *, copies: int | None = None, shape: tuple[int, ...] | None = None
    ) -> Discriminator:
        """A discriminator with named heads; `copies` of it, batched, where an int is given.

        It judges samples of the dataset, or whatever has `shape`.
        """
        return self.network.discriminator(self.dataset.shape if shape is None else shape, heads, copies)


@dataclass(frozen=True)
class Initialisation:
    """How weights start: normal (std = scale), orthogonal or xavier-uniform (gain = scale); biases at zero."""

    kind: str
    scale: float

    def weight(self, weight: Tensor, rng: torch.Generator) -> None:
        """Fill one (out, in, …) weight in place."""
        if self.kind == "normal":
            nn.init.normal_(weight, 0.0, self.scale, generator=rng)
        elif self.kind == "orthogonal":
            nn.init.orthogonal_(weight, self.scale, generator=rng)
        else:
            nn.init.xavier_uniform_(weight, self.scale, generator=rng)


class BatchedLinear(nn.Module):
    """`copies` linear layers as one batched product: (copies, n, in) to (copies, n, out)."""

    def __init__(self, copies: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(copies, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(copies, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(copies, n, in) to (copies, n, out)."""
        return torch.baddbmm(self.bias, x, self.weight)

    def initialise(self, init: Initialisation, rng: torch.Generator) -> None:
        """Start each layer as a linear layer of its own would."""
        for weight in self.weight:
            init.weight(weight.t(), rng)
        nn.init.zeros_(self.bias)


def initialise(module: nn.Module, init: Initialisation, rng: torch.Generator) -> None:
    """Initialise every layer of `module` depth first, in the order of its children; the stream is the caller's.

    A module with a method ``initialise(init, rng)`` does it itself, its children included; normalisation layers keep
    gain 1, shift 0.
    """
    own = getattr(module, "initialise", None)
    with torch.no_grad():
        if callable(own):
            own(init, rng)
            return
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            init.weight(module.weight, rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for child in module.children():
        initialise(child, init, rng)
