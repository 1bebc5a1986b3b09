"""The contract of a network: the bodies of all models, so that models differ by objective only.

A model calls `Networks` for a generator or a discriminator; the protocol selects the `Network` plugin that builds it.
The model decides which parts generators share. Numbers of parameters are counted from the modules.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gan_bench.contracts.latents import Latents
from gan_bench.contracts.parameters import NoParams
from gan_bench.errors import PluginError

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset


Sharing = Literal["body", "trunk", "nothing"]
"""Parts that several generators share: all but their input layers, all but their output layers, or nothing."""

SHARED: Mapping[str, str] = {
    "body": "all but the input layer",
    "trunk": "all but the output layer",
    "nothing": "nothing",
}
"""The values of `Sharing` in words, for tables."""

Heads = Mapping[str, int | None]
"""Output heads by name: None for one logit per sample, an int for that many."""


class Generators(nn.Module):
    """K generators as one module: latents (K, b, latent size) to samples (K, b, *shape).

    For bounded data, a network builds generators with linear output, and `Networks.generators` adds the bounds.

    Attributes:
        in_parts: whether a sample in evaluation mode depends on its latents alone; False if a layer normalises over the
            batch in evaluation too.
    """

    in_parts: ClassVar[bool] = True

    def with_features(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (K, b, *shape) and hidden features (K, b, f), from one pass.

        The features are the input of each generator's last layer with a weight matrix, flat. They are recorded by hooks
        in the order in which layers are called, so that networks need not define this method.

        Raises:
            PluginError: no such layer was called with K * b samples.
        """
        found: list[Tensor] = []
        with ExitStack() as hooks:
            for part in _innermost(self):
                for hook in _record_features(part, found):
                    hooks.callback(hook.remove)
            x: Tensor = self(z)
        if sum(map(len, found)) != len(z):
            raise PluginError(
                f"{type(self).__name__}: the input of the last layer was not found. Define with_features() to return "
                "samples and features."
            )
        return x, torch.cat(found)

    def feature_size(self, count: int, latent_size: int) -> int:
        """Number f of hidden features of each of `count` generators, computed without values."""
        without_values = copy.deepcopy(self).to("meta")
        return without_values.with_features(torch.empty(count, 2, latent_size, device="meta"))[1].shape[-1]


def _innermost(generators: Generators) -> list[Generators]:
    """Generators that contain no others, in the order of their modules."""
    every = [module for module in generators.modules() if isinstance(module, Generators)]
    return [each for each in every if sum(isinstance(module, Generators) for module in each.modules()) == 1]


def _record_features(part: Generators, found: list[Tensor]) -> list[Any]:
    """Hooks that append the features of each call of `part` to `found`."""
    inputs: list[Tensor] = []

    def begin(module: nn.Module, arguments: Any) -> None:
        inputs.clear()

    def add(module: nn.Module, arguments: Any) -> None:
        inputs.append(arguments[0])

    def end(module: nn.Module, arguments: Any, samples: Tensor) -> None:
        found.extend(_last_features(inputs, *samples.shape[:2]))

    layers = [m for m in part.modules() if m is not part and any(p.dim() > 1 for p in m.parameters(recurse=False))]
    recorders: list[Callable[..., Any]] = [layer.register_forward_pre_hook for layer in layers]
    return [part.register_forward_pre_hook(begin), part.register_forward_hook(end), *(each(add) for each in recorders)]


def _last_features(inputs: Sequence[Tensor], k: int, b: int) -> list[Tensor]:
    """Input of the last layer as (k, b, f), or of a last layer for each generator; empty if it was not found."""
    for count in range(1, len(inputs) + 1):
        last = inputs[-count:]
        leading = 2 if last[0].dim() == 3 else 1
        rows = sum(prod(each.shape[:leading]) for each in last)
        if rows == k * b and all(each.shape == last[0].shape for each in last):
            return [torch.cat(list(last)).reshape(k, b, -1)]
        if rows > k * b:
            break
    return []


class Bounded(Generators):
    """Generators with outputs between two bounds, by tanh for (-1, 1), else by a sigmoid."""

    def __init__(self, body: Generators, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.body, self.bounds = body, bounds

    def forward(self, z: Tensor) -> Tensor:
        """(K, b, latent size) to (K, b, *shape)."""
        low, high = self.bounds
        if (low, high) == (-1, 1):
            return torch.tanh(self.body(z))
        return low + (high - low) * torch.sigmoid(self.body(z))


class Discriminator(nn.Module):
    """A body with named heads: samples (n, *shape) to logits (n,) or (n, units) for each head.

    With `copies` = M it is M discriminators without shared parameters: every output gains a leading dimension M,
    and the input is (n, *shape), seen by all, or (M, n, *shape), one batch for each.
    """

    def features(self, x: Tensor) -> Tensor:
        """Features that heads read: the last hidden layer, flat, (n, f) or (M, n, f). Few models need it."""
        raise NotImplementedError(f"{type(self).__name__} must define features() for models that match features")

    def feature_size(self, shape: tuple[int, ...]) -> int:
        """Number f of features of samples of `shape`, computed without values."""
        without_values = copy.deepcopy(self).to("meta")
        return without_values.features(torch.empty(2, *shape, device="meta")).shape[-1]


class JointDiscriminator(nn.Module):
    """Discriminator of samples (n, *shape) paired with vectors (n, v): logits by head, as for `Discriminator`."""


class Beside(JointDiscriminator):
    """Discriminator of the concatenation of points and vectors."""

    def __init__(self, body: Discriminator) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        """(n, d) points and (n, v) vectors to logits by head."""
        logits: dict[str, Tensor] = self.body(torch.cat((x, v), 1))
        return logits


class Autoencoder(nn.Module):
    """Reconstruction of samples through a bottleneck: (n, *shape) to (n, *shape), unbounded."""


class Copying(Autoencoder):
    """Discriminator's body with a head as large as a point; there is no bottleneck if the body is wider."""

    def __init__(self, body: Discriminator) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to (n, d)."""
        copy: Tensor = self.body(x)["copy"]
        return copy


class Network(ABC):
    """A family of bodies for one kind of data.

    Attributes:
        heavy: whether an iteration spends its time on a few large operations, convolutions above all,
            rather than on many small ones; compiling or stacking would then gain nothing.
    """

    name: ClassVar[str]
    Params: ClassVar[type[Any]] = NoParams
    heavy: ClassVar[bool] = False

    def __init__(self, params: Any = None) -> None:
        self.params = self.Params() if params is None else params

    def refuses(self, dataset: Dataset) -> str | None:
        """Reason why this network does not fit `dataset`, or None."""
        return None

    @abstractmethod
    def generators(self, latent_size: int, shape: tuple[int, ...], count: int, shared: Sharing) -> Generators:
        """Build `count` generators of samples of `shape`."""

    @abstractmethod
    def discriminator(self, shape: tuple[int, ...], heads: Heads, copies: int | None) -> Discriminator:
        """Build one discriminator, or `copies` of it as one batched module."""

    def without_batch_statistics(self) -> Network:
        """The same network with discriminators that judge each sample independently, without batch normalisation.

        Returns this network unless its discriminators normalise over the batch. Penalties on gradients at single
        samples need it.
        """
        return self

    def joint_discriminator(self, shape: tuple[int, ...], size: int, heads: Heads) -> JointDiscriminator:
        """Build a discriminator of samples paired with vectors of `size`. Default: one for points."""
        if len(shape) != 1:
            raise PluginError(f"network {self.name!r} has no joint discriminator for samples of shape {shape}.")
        return Beside(self.discriminator((shape[0] + size,), heads, None))

    def autoencoder(self, shape: tuple[int, ...]) -> Autoencoder:
        """Build an autoencoder of samples of `shape`. Default: one for points."""
        if len(shape) != 1:
            raise PluginError(f"network {self.name!r} has no autoencoder for samples of shape {shape}.")
        return Copying(self.discriminator(shape, {"copy": shape[0]}, None))


@dataclass(frozen=True)
class Networks:
    """Argument of `Model.build`: a network plugin bound to the dataset and the latents of this run."""

    network: Network
    dataset: Dataset
    latent_size: int
    latent: str = "normal"

    @property
    def latents(self) -> Latents:
        """Prior of the latents: its distribution and size."""
        return Latents(self.latent, self.latent_size)

    def generators(self, count: int = 1, *, shared: Sharing = "body") -> Generators:
        """Build `count` generators within the data's bounds that share the parts named by `shared`."""
        made = self.network.generators(self.latent_size, self.dataset.shape, count, shared)
        return made if self.dataset.bounds is None else Bounded(made, self.dataset.bounds)

    def discriminator(
        self,
        heads: Heads,
        *,
        copies: int | None = None,
        shape: tuple[int, ...] | None = None,
        batch_statistics: bool = True,
    ) -> Discriminator:
        """Build a discriminator with named heads, or a batch of `copies` of it.

        It judges samples of the dataset, or tensors of `shape`; without `batch_statistics`, each independently.
        """
        network = self.network if batch_statistics else self.network.without_batch_statistics()
        return network.discriminator(self.dataset.shape if shape is None else shape, heads, copies)

    def joint_discriminator(self, size: int, heads: Heads) -> JointDiscriminator:
        """Build a discriminator of samples of the dataset paired with vectors of `size`."""
        return self.network.joint_discriminator(self.dataset.shape, size, heads)

    def autoencoder(self) -> Autoencoder:
        """Build an autoencoder of samples of the dataset."""
        return self.network.autoencoder(self.dataset.shape)


@dataclass(frozen=True)
class Initialisation:
    """Initialisation of weights: normal (std = scale), orthogonal or xavier-uniform (gain = scale); biases are 0."""

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
        """Initialise each layer like a separate linear layer."""
        for weight in self.weight:
            init.weight(weight.t(), rng)
        nn.init.zeros_(self.bias)


def initialise(module: nn.Module, init: Initialisation, rng: torch.Generator) -> None:
    """Initialise every layer of `module` depth first, in the order of its children, with the caller's generator.

    A module with a method ``initialise(init, rng)`` initialises itself and its children with it; normalisation layers
    keep gain 1, shift 0.
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
