"""What models have in common that train generators one after the other and keep those of before."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.model import Stage
from gan_bench.network import Networks
from gan_bench_zoo.models.gan import GAN


class StagedGAN(GAN):
    """A GAN whose run has K equal stages, each of which leaves a generator to the mixture.

    A subclass says what happens between stages in `enter_stage`, and which players start anew. Within a stage the
    mixture holds the generators of earlier ones and the one that is training. Where the protocol's learning rate falls,
    it falls over the whole run, not in each stage.
    """

    presets = {}
    stackable = False  # what happens between stages depends on the values of one seed
    kept: Kept

    @property
    def playing(self) -> int:
        """One at a time."""
        return 1

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """One network each, as GAN, and room for the generators of before, which are no player's."""
        players = super().build(networks)
        self.kept = Kept(players["generator"], self.generators)
        return players

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        """K stages of equal length."""
        return tuple(Stage(iterations * k // self.generators) for k in range(self.generators))

    def weights(self) -> Tensor:
        """(K,), 0 for generators that are still to come."""
        return self.kept.weights

    def generate_all(self, z: Tensor) -> Tensor:
        """Samples of the generators of before and of the one that is training; of those to come, zeros."""
        return self.kept.generate(self.generator, z)


class Kept(nn.Module):
    """Generators as they were when their stages ended, as buffers: nothing trains them, checkpoints hold them.

    Attributes:
        weights: (K,) shares of the mixture.
        live: () int64, the number of the generator that is training.
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
        """Keep the generator that trained so far; the next one gets a share of `weight`, what is there the rest."""
        for number, value in enumerate(generator.state_dict().values()):
            self.get_buffer(f"value_{number}")[self.live] = value
        self.live += 1
        self.weights *= 1 - weight
        self.weights[self.live] = weight

    def generate(self, generator: nn.Module, z: Tensor) -> Tensor:
        """(K, b, latent size) to (K, b, *shape), `generator` taking the place of the one that is training."""
        now = generator.state_dict(keep_vars=True)
        made = []
        for k in range(self.count):
            own = {
                name: torch.where(self.live == k, value, self.get_buffer(f"value_{number}")[k])
                for number, (name, value) in enumerate(now.items())
            }
            made.append(functional_call(generator, own, (z[k : k + 1],)))
        return torch.cat(made)
