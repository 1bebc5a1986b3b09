"""The GAN is dead; long live the GAN! A Modern GAN Baseline (Huang et al.; NeurIPS 2024, arXiv 2501.05441)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.func import grad

from gan_bench.contracts.losses import bce_real
from gan_bench.contracts.model import Fake, Model, Preset, Real, Turn
from gan_bench.contracts.network import Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param


class R3GAN(Model):
    """R3GAN: logits compared in pairs, and penalties R1 and R2 on their slope (Huang et al., NeurIPS 2024).

    D minimises E sp(-(d(x) - d(G(z)))) + (gamma / 2) (E_x ||grad d(x)||^2 + E_z ||grad d(G(z))||^2), the generator E
    sp(-(d(G(z)) - d(x))), sp(a) = log(1 + exp(a)). Both penalties apply in every step (the release's Trainer.py) and
    are sums over the coordinates of a sample. Only differences of logits matter, so D's bias has no gradient. A slope
    at a sample is defined only if d(x) does not depend on the other samples. D's network is therefore requested without
    batch normalisation; the release's networks have none either. The release's generator has none; here the benchmark's
    network decides.

    The loss is a mean over pairs. If a draw has B real and N generated samples, sample i of the larger batch is paired
    with sample i mod min(B, N) of the other. So all samples count, and the mean over pairs of independent draws has the
    expectation of the definition. Each penalty is a mean over a whole draw. With B = N this is the release's loss.
    """

    name = "r3gan"
    generator: Generators
    discriminator: Discriminator
    presets = {
        "release": Preset(
            "The release's CIFAR-10 settings at the start of training: gamma 0.05, Adam at 2e-4 with betas 0 and "
            "0.9, batches of 512, latents of size 64, both drawn again for the generator's turn. Left out: the "
            "schedules (gamma to 0.005, rate to 5e-5, second beta to 0.99), the moving average of weights, "
            "augmentation, its networks.",
            params={"gamma": 0.05, "fresh_real": True},
            protocol={
                "learning_rate": 2e-4,
                "betas": (0.0, 0.9),
                "batch": 512,
                "fakes": 512,
                "latent": "normal",
                "latent_size": 64,
                "latents": "fresh",
            },
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Weight of the penalties, and the data of the generator's turn."""

        gamma: float = param(1.0, "Weight of both penalties, which are multiplied by gamma / 2.", low=0)
        fresh_real: bool = param(
            False, "Draw separate real data for the generator's turn, as the release does, instead of D's."
        )

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each."""
        discriminator = networks.discriminator({"score": None}, batch_statistics=False)
        return {"discriminator": discriminator, "generator": networks.generators()}

    def turns(self, iteration: int) -> Sequence[Turn]:
        """Turns of the discriminator and of the generator, which uses real data too."""
        return (Turn(("discriminator",)), Turn(("generator",), real=int(self.params.fresh_real)))

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """E sp(-(d(x) - d(G(z)))) + (gamma / 2) (R1 + R2)."""
        on_real, r1 = self._with_slope(real.x)
        on_fake, r2 = self._with_slope(fake.x)
        return bce_real(_differences(on_real, on_fake)) + self.params.gamma / 2 * (r1 + r2)

    def generator_loss(self, real: Real, fake: Fake) -> Tensor:
        """E sp(-(d(G(z)) - d(x)))."""
        on_real, on_fake = self.discriminator(real.x)["score"], self.discriminator(fake.x)["score"]
        return bce_real(-_differences(on_real, on_fake))

    def _with_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n,), and the mean over samples of the squared norm of their gradients by the sample."""

        def judge(x: Tensor) -> tuple[Tensor, Tensor]:
            logits: Tensor = self.discriminator(x)["score"]
            return logits.sum(), logits

        gradient, logits = grad(judge, has_aux=True)(x)
        return logits, gradient.square().flatten(1).sum(1).mean()


def _differences(first: Tensor, second: Tensor) -> Tensor:
    """Return first minus second, pair by pair; the shorter one is repeated from its start."""
    pairs = max(len(first), len(second))
    return _repeated(first, pairs) - _repeated(second, pairs)


def _repeated(values: Tensor, count: int) -> Tensor:
    """Repeat the values from the start until there are `count`."""
    return values.repeat(-(-count // len(values)))[:count]
