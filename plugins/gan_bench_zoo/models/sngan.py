"""Spectral Normalization for Generative Adversarial Networks (Miyato et al.; ICLR 2018, arXiv 1802.05957)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.contracts.model import Fake, Model, Preset, Real, Turn
from gan_bench.contracts.network import Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models import _spectral

State = Mapping[str, Tensor]


class SNGAN(Model):
    """SNGAN: a discriminator whose every weight has spectral norm 1, with the hinge loss (Miyato et al., 2018).

    D minimises E_x max(0, 1 - d(x)) + E_z max(0, 1 + d(G(z))) (eq. 16), the generator -E_z d(G(z)) (eq. 17). d is the
    network with W / sigma(W) for each weight W; biases are not changed. Its slope is at most 1 if the slopes of the
    activations are. Gradients pass through sigma(W) = u^T W v, with u and v as constants (eq. 22). A convolution's W is
    its kernel as a matrix (out, in * height * width). The network is requested without batch normalisation, which would
    divide by deviations afterwards; the paper's discriminators have none.

    The state contains a u for each weight. A power iteration after each turn (algorithm 1: one per update) uses the
    weights after the turn, so the next turn's v and sigma include one more half of an iteration. The release iterates
    in each pass through D, and its first u is random, here it is fixed.

    The paper's six settings have 1 or 5 discriminator steps (Table 1). One is the default: the paper's setting C is
    this benchmark's default protocol (Adam at 2e-4, betas 0.5 and 0.999), and one step was best on STL-10 (footnote 4).
    The paper's results without the hinge have GAN's loss.
    """

    name = "sngan"
    generator: Generators
    discriminator: Discriminator
    presets = {
        "paper": Preset(
            "CIFAR-10 with residual networks (appendix B.2, and the release's configuration): 5 discriminator "
            "steps, Adam at 2e-4 with betas 0 and 0.9, a rate that decays linearly to 0, batches of 64, latents of "
            "size 128 that are drawn in each turn. Left out: 128 samples in the generator's turn, which comes "
            "before D's first step.",
            params={"discriminator_steps": 5},
            protocol={
                "learning_rate": 2e-4,
                "betas": (0.0, 0.9),
                "batch": 64,
                "fakes": 64,
                "latent": "normal",
                "latent_size": 128,
                "latents": "fresh",
                "decay": "linear",
            },
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Number of discriminator steps."""

        discriminator_steps: int = param(1, "n_dis, discriminator steps before each generator step.", low=1)

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each."""
        discriminator = networks.discriminator({"score": None}, batch_statistics=False)
        return {"discriminator": discriminator, "generator": networks.generators()}

    def turns(self, iteration: int) -> Sequence[Turn]:
        """Turns of the discriminator, each on new draws, then one of the generator."""
        steps = self.params.discriminator_steps
        of_discriminator = (Turn(("discriminator",), real=i, latents=i) for i in range(steps))
        return (*of_discriminator, Turn(("generator",), latents=steps - 1))

    def initial_state(self) -> State:
        """State: a u for each weight."""
        return _spectral.start(self.discriminator)

    def discriminator_loss(self, real: Real, fake: Fake, state: State) -> Tensor:
        """E_x max(0, 1 - d(x)) + E_z max(0, 1 + d(G(z)))."""
        weights = _spectral.normalised(self.discriminator, state)
        return F.relu(1 - self._score(weights, real.x)).mean() + F.relu(1 + self._score(weights, fake.x)).mean()

    def generator_loss(self, fake: Fake, state: State) -> Tensor:
        """-E_z d(G(z))."""
        return -self._score(_spectral.normalised(self.discriminator, state), fake.x).mean()

    def after_turn(self, turn: Turn, state: State, values: Mapping[str, Tensor]) -> State:
        """Apply one power iteration to each weight."""
        return _spectral.follow(self.discriminator, state)

    def _score(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return d(x), (n,), of the discriminator with these weights."""
        score: Tensor = functional_call(self.discriminator, dict(weights), (x,))["score"]
        return score
