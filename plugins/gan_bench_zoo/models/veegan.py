"""VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning (Srivastava et al., arXiv 1705.07761)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Preset, Real
from gan_bench.contracts.network import Generators, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._joint import Encoder, JointGAN, judge_of_pairs


class VEEGAN(JointGAN):
    """VEEGAN: a reconstructor maps samples back to their latents and data to noise (Srivastava et al., 2017).

    D minimises E_z sp(-d(G(z), z)) + E_x sp(d(x, F(x) + sigma eps)), sp(a) = log(1 + exp(a)). The generator's side is
    the class "real", and the optimal logit d is log q(x|z) p(z) / (p(z|x) p(x)). The generator minimises E d(G(z), z) +
    lambda E |z - F(G(z))|^2, with the logit itself, so that its first term is the KL of the two joint distributions.
    The reconstructor F minimises lambda E |z - F(G(z))|^2 and nothing else: no gradient reaches it through D. The
    square is summed over coordinates. All three are updated simultaneously (algorithm 1 on the project's page).

    Sources: algorithm and objective on the page; the paper's text was not available. There lambda is 1, and F denotes a
    distribution p(z|x) without a deviation. Public copies of the authors' 2D notebook agree on sigma = 1 and on a
    reconstruction of lambda = 1/2, which is -log N(z; F(G(z)), 1). In a Julia notebook on the page, by another author,
    F also has D as an adversary; that is not followed.
    """

    name = "veegan"
    players = ("discriminator", "reconstructor", "generator")
    generator: Generators
    reconstructor: Reconstructor
    presets = {
        "release": Preset(
            "The authors' 2D notebook (grid of 25, 100,000 iterations), read in public copies: lambda 1/2, sigma 1,"
            " Adam at 1e-3, batches of 500, latents of size 254, Glorot's initialisation, ReLU. Left out: one more "
            "input of the generator, noise that is no input of F and D, and the second hidden layer of F.",
            params={"reconstruction": 0.5, "std": 1.0},
            protocol={
                "learning_rate": 1e-3,
                "betas": [0.5, 0.999],
                "batch": 500,
                "fakes": 500,
                "latent": "normal",
                "latent_size": 254,
                "init": "xavier",
                "init_scale": 1.0,
                "network": {"plugin": "mlp", "slope": 0.0},
            },
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Weight of the reconstruction, and the reconstructor's noise."""

        reconstruction: float = param(1.0, "lambda, weight of |z - F(G(z))|^2.", above=0)
        std: float = param(
            1.0, "sigma, standard deviation of the latents of real samples that D is trained on; 0 is no noise.", low=0
        )

    params: Params

    @property
    def encoder(self) -> Encoder:
        """Encoder: the reconstructor."""
        return self.reconstructor

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build a discriminator of pairs, a generator and a reconstructor."""
        return {
            "discriminator": judge_of_pairs(networks),
            "generator": networks.generators(),
            "reconstructor": Reconstructor(networks, self.params.std),
        }

    def discriminator_loss(self, real: Real, fake: Fake, noise: Mapping[str, Tensor]) -> Tensor:
        """E_z sp(-d(G(z), z)) + E_x sp(d(x, F(x) + sigma eps))."""
        codes = self.reconstructor(real.x, noise["encoder"]).detach()
        return bce_real(self.judge(fake.x, fake.z)) + bce_fake(self.judge(real.x, codes))

    def generator_loss(self, fake: Fake) -> Tensor:
        """E d(G(z), z) + lambda E |z - F(G(z))|^2."""
        return self.judge(fake.x, fake.z).mean() + self._missed(fake)

    def reconstructor_loss(self, fake: Fake) -> Tensor:
        """Lambda E |z - F(G(z))|^2."""
        return self._missed(fake)

    def _missed(self, fake: Fake) -> Tensor:
        """Return the reconstruction term: lambda times the sum over coordinates, averaged over samples."""
        distance = (fake.z - self.reconstructor.mean(fake.x)).square().sum(1)
        return self.params.reconstruction * distance.mean()


class Reconstructor(Encoder):
    """Reconstructor with noise: F(x) + sigma eps."""

    def __init__(self, networks: Networks, std: float) -> None:
        super().__init__(networks.discriminator({"latent": networks.latent_size}), (networks.latent_size,))
        self.std = std

    def mean(self, x: Tensor) -> Tensor:
        """Map samples (n, *shape) to latents F(x) (n, size)."""
        latents: Tensor = self.body(x)["latent"]
        return latents

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map samples (n, *shape) and noise (n, size) to latents (n, size)."""
        return self.mean(x) + self.std * noise
