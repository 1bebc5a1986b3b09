"""Wasserstein Generative Adversarial Networks (Arjovsky, Chintala, Bottou; ICML 2017, arXiv 1701.07875)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gan_bench.contracts.model import Fake, Preset, Real
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._wasserstein import Wasserstein

RMSPROP = {"optimizer": "rmsprop", "learning_rate": 5e-5, "batch": 64, "fakes": 64, "latents": "fresh"}


class WGAN(Wasserstein):
    """WGAN: a critic with clipped weights, trained ahead of the generator (Arjovsky et al., 2017).

    min_G max_f  E_x f(x) - E_z f(G(z)), every parameter of f in [-c, c]. It would be a multiple of the Wasserstein-1
    distance if f could be any function of a bounded slope. Parameters are clipped after each critic step (algorithm 1).
    The release clips before it instead, so that the critic of its generator step is one step outside of the box.

    If the benchmark's network has batch normalisation, the critic keeps it, as in the release. Its gains, which start
    at 1, are clipped like every parameter.

    The algorithm has no warm-up. The release takes 100 critic steps in each of the first 25 iterations and in every
    500th; such iterations are too long to be compiled. The paper reports that momentum on the critic (Adam with beta_1
    > 0, which the common protocol may have) and high learning rates make training unstable at times.
    """

    name = "wgan"
    presets = {
        "paper": Preset(
            "Algorithm 1: RMSprop at 5e-5, batches of 64, latents that are drawn again for the generator's turn.",
            protocol=RMSPROP,
        ),
        "release": Preset(
            "The authors' code: as the paper, with 100 critic steps in each of the first 25 iterations and in every"
            " 500th, latents of size 100, initialisation of 0.02, and DCGAN's networks with half the width (in the "
            "code for images of 64 x 64), the critic with batch normalisation.",
            params={"warm_up": 25, "long_every": 500},
            protocol={
                **RMSPROP,
                "latent": "normal",
                "latent_size": 100,
                "init": "normal",
                "init_scale": 0.02,
                "network": {"plugin": "dcgan", "width": 64},
            },
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Bound of the critic's parameters, and numbers of critic steps."""

        clip: float = param(0.01, "c, largest absolute value of each of the critic's parameters.", above=0)
        critic_steps: int = param(5, "Critic steps before each generator step.", low=1)
        long_steps: int = param(100, "Critic steps in the iterations that warm_up and long_every select.", low=1)
        warm_up: int = param(0, "Iterations at the start with long_steps critic steps.", low=0)
        long_every: int = param(
            0, "Distance of iterations that have long_steps critic steps, beginning with the first; 0 is never.", low=0
        )

        def __post_init__(self) -> None:
            if (self.warm_up or self.long_every) and self.long_steps < self.critic_steps:
                raise ValueError(
                    f"long_steps = {self.long_steps} is below critic_steps = {self.critic_steps}: "
                    "a warm-up with fewer critic steps than usual"
                )

    params: Params

    def critic_steps(self, iteration: int) -> int:
        """Number of critic steps: the usual one, or `long_steps` in a long iteration."""
        every = self.params.long_every
        long = iteration < self.params.warm_up or (every > 0 and iteration % every == 0)
        return self.params.long_steps if long else self.params.critic_steps

    def constrain(self, player: str, parameters: Mapping[str, Tensor]) -> None:
        """Clip the critic's parameters, biases too."""
        if player == "critic":
            for parameter in parameters.values():
                parameter.clamp_(-self.params.clip, self.params.clip)

    def critic_loss(self, real: Real, fake: Fake) -> Tensor:
        """E_z f(G(z)) - E_x f(x)."""
        return self.gap(real, fake)
