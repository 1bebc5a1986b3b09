"""Generative determinantal point process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench import Discriminator, Fake, Generators, Model, Networks, Real, bce_fake, bce_real, hookimpl, param

MAGNITUDE = 1e-4
"""Weight of the eigenvalues in the authors' code, which gives both terms comparable ranges."""


class GDPP(Model):
    """GDPP: samples whose features are as diverse as those of real data (Elfeki et al., ICML 2019, arXiv 1812.00068).

    The discriminator minimises -E_x log D(x) - E_z log(1 - D(G(z))). The generator minimises -E_z log D(G(z)) plus
    weight times a diversity loss. The kernel of n samples is the product of their normalised features (n, f) in the
    discriminator with its transpose. With the eigenvalues l and eigenvectors v of the kernels of real and of generated
    samples, the loss is 1e-4 mean_i (l_i real - l_i fake)² - sum_i w_i cos(v_i real, v_i fake), w the real eigenvalues
    scaled to 0…1, as in the authors' code (M-Elfeki/GDPP).

    The authors use whole batches. Here n is a parameter: a kernel of more samples than features has equal eigenvalues,
    at which eigenvectors have no derivative. With several generators the samples are spread over all of them.
    """

    name = "gdpp"
    discriminator: Discriminator
    generator: Generators

    @dataclass(frozen=True)
    class Params:
        """Weight of the diversity loss, number of samples in its kernels, and number of generators."""

        weight: float = param(1.0, "Weight of the diversity loss.", low=0)
        samples: int = param(16, "n, the number of real and of generated samples in the kernels.", low=2)
        generators: int = param(1, "K, the number of generators; the paper has one.", low=1)

    params: Params

    @property
    def sharing(self) -> str:
        """Layers that several generators share, for the table's footnotes."""
        return "generators: all but the input layer" if self.generators > 1 else ""

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Footnote on the samples that the diversity loss sees."""
        return (f"its diversity loss compares {self.params.samples} samples of a draw, evenly over the generators",)

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        """Refuse draws that are smaller than a kernel."""
        n = self.params.samples
        return None if min(batch, fakes) >= n else f"its kernels need {n} real and {n} generated samples in a draw"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build GAN's discriminator, and the generators."""
        return {
            "discriminator": networks.discriminator({"source": None}),
            "generator": networks.generators(self.generators, shared="body"),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log D(x) - E_z log(1 - D(G(z)))."""
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_z log D(G(z)) + weight times the diversity loss."""
        n = self.params.samples
        adversarial = bce_real(self.discriminator(fake.x)["source"])
        some = fake.x[fake.spread(n)]
        diversity = diversity_loss(self.discriminator.features(real.x[:n]), self.discriminator.features(some))
        return adversarial + self.params.weight * diversity


def diversity_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the distance between the spectra of the kernels of features (n, f) of real and of generated samples."""
    real_values, real_vectors = spectrum(real.detach())
    fake_values, fake_vectors = spectrum(fake)
    low, high = real_values.min(), real_values.max()
    weights = (real_values - low) / (high - low)
    return MAGNITUDE * F.mse_loss(fake_values, real_values) - (weights * (real_vectors * fake_vectors).sum(0)).sum()


def spectrum(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (n,), ascending, and eigenvectors (n, n), one a column, of the kernel of features (n, f)."""
    unit = F.normalize(features, dim=1)
    return torch.linalg.eigh(unit @ unit.T)


@hookimpl
def gan_bench_models() -> list[type[Model]]:
    """List the models of this file for gan-bench."""
    return [GDPP]
