"""DFM: Improving Generative Adversarial Networks with Denoising Feature Matching (Warde-Farley, Bengio; ICLR 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Model, Noise, Preset, Real
from gan_bench.contracts.network import Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._features import count_features


class DFM(Model):
    """DFM: a generator whose features approach their denoised values (Warde-Farley and Bengio, ICLR 2017).

    The discriminator is GAN's, and h(x) is its last hidden layer, of f units. The denoiser R minimises E_x |h(x) -
    R(h(x) + s e)|^2 / f, e ~ N(0, I), on real data, with h as a constant: R(h) - h points to where features of real
    data are denser. The generator minimises lambda_adv E_z -log D(G(z)) + lambda_den E_z |h(G(z)) - R(h(G(z)))|^2 / f,
    with R(h(G(z))) as a constant target. The players are updated in the order discriminator, denoiser, generator.

    The paper was not available; three public re-implementations were read. One library has lambda_den 0.03 on a mean
    over features, lambda_adv 1 and a constant target. It reports an inception score of 7.3 on CIFAR-10, the paper 7.72.
    The code of MGAN's authors has 0.03 / 1024 on a sum over features, and 1. Both agree on the weights, which are the
    defaults. A port, whose history attributes its values to the paper's author, has the two weights exchanged, 1 and
    0.03, on a mean (preset `port`). In the port and in the code of MGAN's authors, gradients pass through R in the
    generator's turn; the latter also adds noise to the features there, which is not an option here. All three have s =
    1, constant; according to the port, s decreases in the paper.

    Their denoisers have 3 to 10 layers with batch normalisation. Here the denoiser is the benchmark network's body for
    vectors, which for points is the discriminator's body. On points the features come from layers without batch
    normalisation, unlike theirs, so they are small compared with noise of s = 1.
    """

    name = "dfm"
    players = ("discriminator", "denoiser", "generator")
    generator: Generators
    discriminator: Discriminator
    denoiser: Discriminator
    presets = {
        "port": Preset(
            "An early port (Chainer), whose history attributes its weights to the paper's author: lambda_den 1, "
            "lambda_adv 0.03, gradients through the denoiser, Adam at 1e-4, batches of 128, uniform latents of size"
            " 100.",
            params={"denoising": 1.0, "adversarial": 0.03, "detach_target": False},
            protocol={"learning_rate": 1e-4, "batch": 128, "fakes": 128, "latent": "uniform", "latent_size": 100},
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Weights of the generator's two terms, and options of the denoiser."""

        denoising: float = param(
            0.03, "lambda_den, weight of the squared distance of features from denoised ones.", low=0
        )
        adversarial: float = param(1.0, "lambda_adv, weight of -log D(G(z)).", low=0)
        noise_std: float = param(1.0, "s, standard deviation of the noise that is added to features.", above=0)
        detach_target: bool = param(
            True, "Treat denoised features as a constant target. If false, gradients pass through the denoiser as well."
        )

        def __post_init__(self) -> None:
            if self.denoising == self.adversarial == 0:
                raise ValueError("denoising = 0 and adversarial = 0 leave the generator nothing to learn from")

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each; the denoiser is a discriminator's body from features to features."""
        discriminator = networks.discriminator({"source": None})
        self.feature_count = count_features(discriminator, networks.dataset.shape)
        return {
            "discriminator": discriminator,
            "denoiser": networks.discriminator({"clean": self.feature_count}, shape=(self.feature_count,)),
            "generator": networks.generators(),
        }

    def noise(self, batch: int, fakes: int) -> Mapping[str, Noise]:
        """Noise that is added to features of real data."""
        return {"corruption": Noise((batch, self.feature_count))}

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """GAN's loss."""
        return bce_real(self.discriminator(real.x)["source"]) + bce_fake(self.discriminator(fake.x)["source"])

    def denoiser_loss(self, real: Real, noise: Mapping[str, Tensor]) -> Tensor:
        """E_x |h(x) - R(h(x) + s e)|^2 / f."""
        h = self.discriminator.features(real.x).detach()
        return (h - self.denoise(h + self.params.noise_std * noise["corruption"])).square().mean()

    def generator_loss(self, fake: Fake) -> Tensor:
        """lambda_adv E_z -log D(G(z)) + lambda_den E_z |h - R(h)|^2 / f."""
        h = self.discriminator.features(fake.x)
        target = self.denoise(h)
        off = h - (target.detach() if self.params.detach_target else target)
        adversarial = bce_real(self.discriminator(fake.x)["source"])
        return self.params.adversarial * adversarial + self.params.denoising * off.square().mean()

    def denoise(self, h: Tensor) -> Tensor:
        """Return R(h): (n, f) to (n, f)."""
        clean: Tensor = self.denoiser(h)["clean"]
        return clean
