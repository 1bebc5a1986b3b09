"""PacGAN: The power of two samples in generative adversarial networks (Lin et al., NeurIPS 2018, arXiv 1712.04086)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gan_bench.contracts.model import Preset
from gan_bench.contracts.network import Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models.gan import GAN


class PacGAN(GAN):
    """PacGAN: a discriminator that classifies several samples at once (Lin et al., NeurIPS 2018).

    min_G max_D  E log D(x_1, …, x_m) + E log(1 - D(G(z_1), …, G(z_m))), all x_i and all z_i independent. Losses,
    generator and optimiser are GAN's. Only the discriminator's input grows: m samples are concatenated along their
    first axis, coordinates of points or channels of images. With m = 1 it is GAN.

    A pack consists of m neighbours of a draw, so a draw of n samples has n / m packs, and m has to divide n. All models
    thus use the same number of samples, but this discriminator has fewer outputs. The authors draw m batches instead
    (preset `release`: 100 packs).
    """

    name = "pacgan"
    presets = {
        "release": Preset(
            "The authors' 2D code: both players updated simultaneously, 100 packs of two, learning rate 1e-4, "
            "Adam's first beta 0.8, latents of size 2. Left out: its networks, deeper than the mlp (generator of "
            "four layers of 400 with batch normalisation, discriminator of three maxout layers of 200).",
            params={"pack": 2, "simultaneous": True},
            protocol={
                "batch": 200,
                "fakes": 200,
                "learning_rate": 1e-4,
                "betas": [0.8, 0.999],
                "latent": "normal",
                "latent_size": 2,
            },
        ),
        "stacked-mnist": Preset(
            "The authors' code for stacked MNIST: 64 packs of two, Adam at 2e-4 with a first beta of 0.5, uniform "
            "latents of size 100 that both turns use. The code trains for 50 epochs of 128,000 images. Left out: a "
            "second generator step on the same latents, and its networks, which have one layer more.",
            params={"pack": 2},
            protocol={
                "batch": 128,
                "fakes": 128,
                "learning_rate": 2e-4,
                "betas": [0.5, 0.999],
                "latent": "uniform",
                "latent_size": 100,
                "latents": "shared",
                "network": {"plugin": "dcgan", "width": 64},
            },
        ),
    }

    @dataclass(frozen=True)
    class Params(GAN.Params):
        """Number of samples in a pack."""

        pack: int = param(2, "m, the number of samples that are classified together.", low=1)

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build a discriminator of m concatenated samples, and one generator."""
        first, *rest = networks.dataset.shape
        body = networks.discriminator({"source": None}, shape=(self.params.pack * first, *rest))
        return {"discriminator": Packed(body, self.params.pack), "generator": networks.generators()}

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        """Refuse draws that are not a whole number of packs, so that every sample of a draw is used."""
        m = self.params.pack
        if batch % m == 0 and fakes % m == 0:
            return None
        return f"pack = {m} does not divide draws of {batch} real and {fakes} generated samples"


class Packed(nn.Module):
    """Discriminator of packs, with samples as its input: (n, *shape) to logits (n // m,) of m neighbours each."""

    def __init__(self, body: nn.Module, pack: int) -> None:
        super().__init__()
        self.body, self.pack = body, pack

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the body's logits for each pack."""
        judged: dict[str, Tensor] = self.body(x.reshape(-1, self.pack * x.shape[1], *x.shape[2:]))
        return judged
