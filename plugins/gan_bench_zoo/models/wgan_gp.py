"""Improved Training of Wasserstein GANs (Gulrajani et al.; NeurIPS 2017, arXiv 1704.00028)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from gan_bench.contracts.model import Fake, Noise, Preset, Real
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._wasserstein import Wasserstein


class WGANGP(Wasserstein):
    """WGAN-GP: a critic whose slope is drawn to 1 between real and generated samples (Gulrajani et al., 2017).

    The critic minimises E_z f(G(z)) - E_x f(x) + lambda E (||grad f(y)||_2 - 1)^2 (eq. 3), y = e x + (1 - e) G(z) with
    a separate e ~ U(0, 1) for each pair. The penalty is two-sided, and its norm is over a whole sample, all pixels of
    an image. A critic that couples the samples of a batch has no such slope, so its network is requested without batch
    normalisation, as in the paper (section 4).

    Pairs only determine the points at which the slope is evaluated. If a draw has B real and N generated samples, the
    i-th real one is paired with the i-th generated one for i < min(B, N). Both are independent draws, so the penalty's
    expectation is the same. Both means of f are over the whole draws. Paper and release disagree about lambda on 2D
    points: the paper has 10 in all its experiments, toy tasks included (section 4), the release's gan_toy.py 0.1.
    """

    name = "wgan-gp"
    batch_statistics = False
    presets = {
        "paper": Preset(
            "Algorithm 1: Adam at 1e-4 with betas 0 and 0.9, latents that are drawn again for the generator's turn.",
            protocol={"learning_rate": 1e-4, "betas": (0.0, 0.9), "latents": "fresh"},
        ),
        "release": Preset(
            "The authors' 2D code (gan_toy.py): lambda 0.1, Adam at 1e-4 with betas 0.5 and 0.9, batches of 256, "
            "latents of size 2. Left out: its networks, three hidden layers of 512 with He's initialisation.",
            params={"penalty": 0.1},
            protocol={
                "learning_rate": 1e-4,
                "betas": (0.5, 0.9),
                "batch": 256,
                "fakes": 256,
                "latent": "normal",
                "latent_size": 2,
                "latents": "fresh",
            },
        ),
        "cifar10": Preset(
            "The authors' CIFAR-10 code with DCGAN's networks (gan_cifar.py): lambda 10, Adam at 1e-4 with betas "
            "0.5 and 0.9, batches of 64, latents of size 128. The code trains for 200,000 iterations. Left out: its"
            " initialisation.",
            params={"penalty": 10.0},
            protocol={
                "learning_rate": 1e-4,
                "betas": (0.5, 0.9),
                "batch": 64,
                "fakes": 64,
                "latent": "normal",
                "latent_size": 128,
                "latents": "fresh",
                "network": {"plugin": "dcgan"},
            },
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Weight of the penalty, and number of critic steps."""

        penalty: float = param(10.0, "lambda, weight of the gradient penalty.", above=0)
        critic_steps: int = param(5, "Critic steps before each generator step.", low=1)

    params: Params

    def critic_steps(self, iteration: int) -> int:
        """Number of critic steps, the same in every iteration."""
        return self.params.critic_steps

    def noise(self, batch: int, fakes: int) -> Mapping[str, Noise]:
        """Position of the penalty's point between the two samples of each pair."""
        return {"mix": Noise((min(batch, fakes),), "uniform")}

    def critic_loss(self, real: Real, fake: Fake, noise: Mapping[str, Tensor]) -> Tensor:
        """E_z f(G(z)) - E_x f(x) + lambda E (||grad f||_2 - 1)^2."""
        mix = noise["mix"]
        x, made = real.x[: len(mix)], fake.x[: len(mix)]
        between = made + mix.view(-1, *[1] * (x.dim() - 1)) * (x - made)
        return self.gap(real, fake) + self.params.penalty * (self._slope(between) - 1).square().mean()

    def _slope(self, x: Tensor) -> Tensor:
        """Return ||grad f||_2 at each sample, (n,); its derivative by the critic is taken as 0 if the slope is 0."""
        gradient: Tensor = grad(lambda at: self.score(at).sum())(x)
        slope: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
        return slope
