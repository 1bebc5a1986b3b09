"""Base classes of models that train generators one after the other and keep the earlier ones."""

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
"""Images of a pool, at most, that a network is given at once; points are given all together."""


class StagedGAN(GAN):
    """A GAN whose run has K equal stages, each of which leaves a generator to the mixture.

    A subclass defines in `enter_stage` what happens between stages, and which players start anew. Within a stage the
    mixture holds the generators of earlier stages and the one in training. If the protocol's learning rate falls, it
    falls over the whole run, not in each stage.
    """

    presets = {}
    kept: Kept

    @property
    def playing(self) -> int:
        """One at a time."""
        return 1

    @property
    def sharing(self) -> str:
        """Each kept generator has all of its layers to itself."""
        return f"generators: {SHARED['nothing']}"

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Footnote on the parameters: kept generators belong to no player, so the ledger does not count them."""
        return (f"parameters are of one generator; the mixture holds {self.generators}",)

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each, as GAN, and room for kept generators, which belong to no player."""
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
        """Sample the kept generators and the one in training; generators of later stages have weight 0."""
        return self.kept.generate(self.generator, z)


class PooledGAN(StagedGAN):
    """A staged GAN that draws real data from a pool by weights, and starts every stage with new players.

    The pool is kept on the device as float32: 20,000 images of 3 x 32 x 32 take 246 MB.
    """

    _most: int | None = None  # number of samples of the dataset

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """The size of the pool."""

        pool: int = param(20_000, "Real samples in the pool; all of a dataset that has fewer.", low=1)

    params: Params

    @property
    def pool_size(self) -> int:
        """Size of the pool: the parameter, or the size of a smaller dataset."""
        return self.params.pool if self._most is None else min(self.params.pool, self._most)

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build as every staged GAN, with a pool of the dataset."""
        self._most = networks.dataset.training_size
        return super().build(networks)

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        """Stages of the run; each but the first renews every player."""
        first, *later = super().stages(iterations)
        return (first, *(replace(stage, renewed=self.players) for stage in later))


def judged(judge: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the verdicts (n,) on the n samples of a pool, images in equal parts of at most `JUDGED_AT_ONCE`.

    If a network normalises over the batch, the batch is the part.
    """
    parts = -(-len(x) // JUDGED_AT_ONCE) if x.dim() > 2 else 1
    return torch.cat([judge(part) for part in x.tensor_split(parts)])


class Kept(nn.Module):
    """Generators in the state in which their stages ended, as buffers: they are not trained, but kept in checkpoints.

    The running averages of their normalisation layers are kept with their parameters.

    Attributes:
        weights: (K,) shares of the mixture.
        live: () int64, the number of the generator in training.
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
        """Keep the generator in training; its successor gets the share `weight`, the kept ones the rest."""
        for number, value in enumerate(generator.state_dict().values()):
            self.get_buffer(f"value_{number}")[self.live] = value
        self.live += 1
        self.weights *= 1 - weight
        self.weights[self.live] = weight

    def generate(self, generator: nn.Module, z: Tensor) -> Tensor:
        """Map (K, b, latent size) to (K, b, *shape), with `generator` as the one in training.

        All of them are in evaluation mode: batches are normalised by running averages, which do not change.
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
