"""What models share whose discriminator judges samples together with their latents: ALI and VEEGAN."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gan_bench.dataset import Dataset
from gan_bench.model import Model, Noise, Turn
from gan_bench.network import Discriminator, Networks


class JointGAN(Model):
    """Pairs of a sample and a latent: (G(z), z), and (x, E(x)) by an encoder E that has noise of its own.

    For points, the encoder is a body of the benchmark's discriminator with other heads, and the discriminator one
    whose input is sample and latent side by side.

    That makes both as wide as the latents: on the mlp with 256 of them, encoder and discriminator need more arithmetic
    than the generator, and an iteration took 2.5 to 3 times as long as GAN's (eager, on a busy CPU).
    """

    discriminator: Discriminator

    @property
    @abstractmethod
    def encoder(self) -> Encoder:
        """What makes latents of real samples."""

    def refuses(self, dataset: Dataset) -> str | None:
        """Points only."""
        if len(dataset.shape) == 1:
            return None
        return f"{self.name} judges samples beside their latents; for shape {dataset.shape} no network offers that yet"

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """Everybody at once."""
        return (Turn(self.players),)

    def noise(self, batch: int, fakes: int) -> Mapping[str, Noise]:
        """The encoder's, for each real sample."""
        return {"encoder": Noise((batch, self.encoder.noise_size))}

    def judge(self, x: Tensor, z: Tensor) -> Tensor:
        """(n,) logits of n pairs."""
        logits: Tensor = self.discriminator(torch.cat([x, z], 1))["source"]
        return logits


def joint_discriminator(networks: Networks) -> Discriminator:
    """A discriminator of a point and a latent side by side."""
    (size,) = networks.dataset.shape
    return networks.discriminator({"source": None}, shape=(size + networks.latent_size,))


class Encoder(nn.Module):
    """Points (n, d) and noise (n, noise_size) to latents (n, latent size)."""

    def __init__(self, body: nn.Module, noise_size: int) -> None:
        super().__init__()
        self.body, self.noise_size = body, noise_size
