"""Base class of models whose discriminator classifies pairs of a sample and a latent: ALI and VEEGAN."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from gan_bench.contracts.model import Model, Noise, Turn
from gan_bench.contracts.network import JointDiscriminator, Networks


class JointGAN(Model):
    """Base class of models with a discriminator of pairs: (G(z), z), and (x, E(x)) with a stochastic encoder E.

    The encoder is the body of the benchmark's discriminator with other heads. The network defines the discriminator of
    pairs; for points, its input is the sample and the latent, concatenated.

    For points, the encoder's output and the discriminator's input are therefore at least as wide as the latent. On the
    mlp with latents of size 256, each of them needs more arithmetic than the generator.
    """

    discriminator: JointDiscriminator

    @property
    @abstractmethod
    def encoder(self) -> Encoder:
        """Network that maps real samples to latents."""

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """One turn of all players."""
        return (Turn(self.players),)

    def noise(self, batch: int, fakes: int) -> Mapping[str, Noise]:
        """Noise of the encoder, for each real sample."""
        return {"encoder": Noise((batch, *self.encoder.noise_shape))}

    def judge(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the logits (n,) of n pairs."""
        logits: Tensor = self.discriminator(x, z)["source"]
        return logits


def judge_of_pairs(networks: Networks) -> JointDiscriminator:
    """Build a discriminator of pairs of a sample and a latent."""
    return networks.joint_discriminator(networks.latent_size, {"source": None})


class Encoder(nn.Module):
    """Base class of encoders: samples (n, *shape) and noise (n, *noise_shape) to latents (n, latent size)."""

    def __init__(self, body: nn.Module, noise_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.noise_shape = body, noise_shape
