"""Mode-seeking GAN without a condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gan_bench import (
    Discriminator,
    Fake,
    Generators,
    Model,
    Networks,
    Preset,
    Real,
    bce_fake,
    bce_real,
    hookimpl,
    param,
)

EPSILON = 1e-5  # in the release's denominator


class MSGAN(Model):
    """MSGAN: a generator whose samples differ as much as their latents (Mao et al., CVPR 2019, arXiv 1903.05628).

    The discriminator minimises -E_x log D(x) - E_z log(1 - D(G(z))). The generator minimises -E_z log D(G(z)) plus
    weight / (r + 1e-5), where r = E |G(z) - G(z')| / E |z - z'| is the ratio of eq. 1, for pairs of independent latents
    and mean absolute differences. The paper maximises r; the inverse, and the means before the ratio, are of the
    release (DCGAN-Mode-Seeking/model.py). Here the condition is empty.

    A pair is two samples of one generator: the first and the second half of its samples in a draw.
    """

    name = "msgan"
    discriminator: Discriminator
    generator: Generators
    presets = {
        "release": Preset(
            "The release's CIFAR-10 model: weight 1, Adam at 2e-4 with betas 0.5 and 0.9. Left out: its weight decay.",
            params={"weight": 1.0},
            protocol={"learning_rate": 2e-4, "betas": (0.5, 0.9)},
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Weight of the regulariser, and number of generators."""

        weight: float = param(1.0, "lambda_ms, weight of the mode-seeking term.", low=0)
        generators: int = param(1, "K, the number of generators; the paper has one.", low=1)

    params: Params

    @property
    def sharing(self) -> str:
        """Layers that several generators share, for the table's footnotes."""
        return "generators: all but the input layer" if self.generators > 1 else ""

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        """Refuse draws with fewer than two samples of each generator."""
        return None if fakes >= 2 * self.generators else "each generator needs two samples in a draw, for a pair"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build GAN's discriminator, and the generators."""
        return {
            "discriminator": networks.discriminator({"source": None}),
            "generator": networks.generators(self.generators, shared="body"),
        }

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-E_x log D(x) - E_z log(1 - D(G(z)))."""
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def generator_loss(self, fake: Fake) -> Tensor:
        """-E_z log D(G(z)) + weight / (r + 1e-5)."""
        adversarial = bce_real(self.discriminator(fake.x)["source"])
        return adversarial + self.params.weight / (self.ratio(fake) + EPSILON)

    def ratio(self, fake: Fake) -> Tensor:
        """Return r, the mean distance of samples over the mean distance of their latents."""
        return self._distance(fake, fake.x) / self._distance(fake, fake.z)

    def _distance(self, fake: Fake, values: Tensor) -> Tensor:
        """Return the mean absolute difference between the two values (N, …) of each pair."""
        each = fake.by_generator(values)  # (K, N/K, …)
        pairs = each.shape[1] // 2
        return (each[:, :pairs] - each[:, pairs : 2 * pairs]).abs().mean()


@hookimpl
def gan_bench_models() -> list[type[Model]]:
    """List the models of this file for gan-bench."""
    return [MSGAN]
