"""Base classes of models that train generators in sequence and keep the earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.contracts.model import Stage
from gan_bench.contracts.network import SHARED, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models.gan import GAN

JUDGED_AT_ONCE = 1_024
"""Largest number of images of a pool in one forward pass; points are passed all at once."""


class StagedGAN(GAN):
    """A GAN whose run has K stages of equal length, each of which adds a generator to the mixture.

    A subclass defines the change between stages in `enter_stage`, and the players that are re-initialised in `stages`.
    Within a stage the mixture consists of the generators of earlier stages and the one in training. A learning rate
    that decays over time does so over the whole run, not within each stage.
    """

    presets = {}
    kept: Kept

    @property
    def playing(self) -> int:
        """Number of generators in training: one."""
        return 1

    @property
    def sharing(self) -> str:
        """Parts that the generators share: nothing."""
        return f"generators: {SHARED['nothing']}"

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Footnote on the number of parameters, which excludes stored generators: they belong to no player."""
        return (f"parameters are of one generator; the mixture holds {self.generators}",)

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build the two networks of GAN, and buffers for stored generators, which belong to no player."""
        players = super().build(networks)
        self.kept = Kept(players["generator"], self.generators)
        return players

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        """K stages of equal length."""
        return tuple(Stage(iterations * k // self.generators) for k in range(self.generators))

    def weights(self) -> Tensor:
        """Weights (K,) of the mixture, 0 for generators of later stages."""
        return self.kept.weights

    def generate_all(self, z: Tensor) -> Tensor:
        """Sample the stored generators and the one in training; generators of later stages have weight 0."""
        return self.kept.generate(self.generator, z)


class PooledGAN(StagedGAN):
    """A staged GAN that draws real data from a weighted pool and re-initialises all players in each stage.

    The pool is stored on the device as float32: 20,000 images of 3 x 32 x 32 take 246 MB.
    """

    _most: int | None = None  # number of samples of the dataset

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """Size of the pool."""

        pool: int = param(20_000, "Number of real samples in the pool; a smaller dataset is used completely.", low=1)

    params: Params

    @property
    def pool_size(self) -> int:
        """Size of the pool: the parameter, or the size of a smaller dataset."""
        return self.params.pool if self._most is None else min(self.params.pool, self._most)

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build the networks of a staged GAN, and limit the pool to the size of the dataset."""
        self._most = networks.dataset.training_size
        return super().build(networks)

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        """Stages of the run; each but the first re-initialises every player."""
        first, *later = super().stages(iterations)
        return (first, *(replace(stage, renewed=self.players) for stage in later))


def judged(judge: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the outputs (n,) of `judge` for a pool of n samples, images in equal parts of at most `JUDGED_AT_ONCE`.

    A network that normalises over the batch uses the statistics of one part.
    """
    parts = -(-len(x) // JUDGED_AT_ONCE) if x.dim() > 2 else 1
    return torch.cat([judge(part) for part in x.tensor_split(parts)])


class Kept(nn.Module):
    """Generators at the end of their stages, as buffers: they are not trained, but are stored in checkpoints.

    The running averages of their normalisation layers are stored with their parameters.

    Attributes:
            weights: (K,) shares of the mixture.
            live: () int64, the index of the generator in training.
    """

    weights: Tensor
    live: Tensor

    def __init__(self, generator: nn.Module, count: int) -> None:
        super().__init__()
        self.count = count
        for number, value in enumerate(generator.state_dict().values()):
            self.register_buffer(f"value_{number}", value.new_zeros((count, *value.shape)))
        self.register_buffer("weights", torch.eye(count)[0])
        self.register_buffer("live", torch.tensor(0))

    def keep(self, generator: nn.Module, weight: float) -> None:
        """Store the generator in training; the next one has the share `weight` of the mixture, stored ones the rest."""
        for number, value in enumerate(generator.state_dict().values()):
            self.get_buffer(f"value_{number}")[self.live] = value
        self.live += 1
        self.weights *= 1 - weight
        self.weights[self.live] = weight

    def generate(self, generator: nn.Module, z: Tensor) -> Tensor:
        """Map (K, b, latent size) to (K, b, *shape), with `generator` as the one in training.

        All generators are in evaluation mode: batches are normalised by running averages, which do not change.
        """
        now = generator.state_dict(keep_vars=True)
        made = []
        with _evaluating(generator):
            for k in range(self.count):
                own = {
                    name: torch.where(self.live == k, value, self.get_buffer(f"value_{number}")[k])
                    for number, (name, value) in enumerate(now.items())
                }
                made.append(functional_call(generator, own, (z[k : k + 1],)))
        return torch.cat(made)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode, and restore its mode afterwards."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
