"""Base class of models whose discriminator judges samples together with their latents: ALI and VEEGAN."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from gan_bench.contracts.model import Model, Noise, Turn
from gan_bench.contracts.network import JointDiscriminator, Networks


class JointGAN(Model):
    """Pairs of a sample and a latent: (G(z), z), and (x, E(x)) by an encoder E that has noise of its own.

    The encoder is a body of the benchmark's discriminator with other heads. The discriminator is the one that the
    network defines for pairs; for points, its input is sample and latent side by side.

    For points both are therefore as wide as the latents: on the mlp with 256 of them, encoder and discriminator need
    more arithmetic than the generator.
    """

    discriminator: JointDiscriminator

    @property
    @abstractmethod
    def encoder(self) -> Encoder:
        """Network that maps real samples to latents."""

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """All players at once."""
        return (Turn(self.players),)

    def noise(self, batch: int, fakes: int) -> Mapping[str, Noise]:
        """The encoder's noise, for each real sample."""
        return {"encoder": Noise((batch, *self.encoder.noise_shape))}

    def judge(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the logits (n,) of n pairs."""
        logits: Tensor = self.discriminator(x, z)["source"]
        return logits


def judge_of_pairs(networks: Networks) -> JointDiscriminator:
    """Build a discriminator of samples, each with a latent."""
    return networks.joint_discriminator(networks.latent_size, {"source": None})


class Encoder(nn.Module):
    """Map samples (n, *shape) and noise (n, *noise_shape) to latents (n, latent size)."""

    def __init__(self, body: nn.Module, noise_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.noise_shape = body, noise_shape
