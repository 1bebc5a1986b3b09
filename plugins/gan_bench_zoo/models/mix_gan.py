"""MIX+GAN: Generalization and Equilibrium in GANs (Arora, Ge, Liang, Ma, Zhang; ICML 2017, arXiv 1703.00573)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.contracts.model import Fake, Model, Preset, Real, Turn
from gan_bench.contracts.network import Networks
from gan_bench.contracts.parameters import param


class MixGAN(Model):
    """MIX+GAN: mixtures of generators and of discriminators with learned weights (Arora et al., ICML 2017).

    min_{G,w} max_{D,u}  sum_ij w_i u_j phi(G_i, D_j) + rho R(w) - rho R(u), w and u softmaxes of logits. R(w) = -1/K
    sum_i log w_i keeps weights away from 0. Generators share nothing, and neither do discriminators. The payoff phi of
    a pair is GAN's, E log D_j(x) + E log(1 - D_j(G_i(z))), or WGAN's, E D_j(x) - E D_j(G_i(z)) with clipped D_j
    (MIX+WGAN). Logits of weights are never clipped.

    For GAN's payoff the generators' default is the non-saturating form, as in the zoo's other models. The authors' code
    minimises E log(1 - D), and halves the discriminators' loss, but not R. That code is a classifier of labelled images
    with further terms. The discriminators' loss sets its number of generator steps, and steps of discriminators that
    are ahead are skipped. None of this is part of the paper's game, and it is left out.
    """

    name = "mix-gan"
    players = ("discriminators", "generator")
    generator: Weighted
    discriminators: Weighted
    presets = {
        "release": Preset(
            "Settings of the authors' code that apply to this game: five of each, the saturating loss, the same "
            "latents for all generators, drawn in each turn (in the code uniform on (0, 1)), batches of 49, "
            "learning rate 1e-4.",
            params={"generators": 5, "discriminators": 5, "saturating": True, "shared_noise": True},
            protocol={"learning_rate": 1e-4, "latents": "fresh", "batch": 49, "fakes_per_generator": 49},
        ),
        "wgan": Preset(
            "MIX+WGAN, with the critic steps, clipping and optimiser of WGAN's paper; the settings of MIX+WGAN's "
            "experiment are not verified.",
            params={"payoff": "wgan", "discriminator_steps": 5, "clip": 0.01},
            protocol={"optimizer": "rmsprop", "learning_rate": 5e-5},
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Sizes of the two mixtures, and the payoff of a pair of their members."""

        generators: int = param(8, "K, the number of generators.", low=1)
        discriminators: int = param(8, "M, the number of discriminators.", low=1)
        entropy: float = param(0.1, "rho, weight of the term that keeps mixture weights away from 0.", low=0)
        payoff: str = param(
            "gan", "Payoff of a generator and a discriminator: GAN's or WGAN's.", choices=("gan", "wgan")
        )
        saturating: bool = param(False, "Generators minimise log(1 - D) instead of -log D; payoff gan only.")
        clip: float = param(
            0.01, "Largest absolute value of each parameter of the discriminators; payoff wgan only.", above=0
        )
        discriminator_steps: int = param(1, "Discriminator steps before each generator step.", low=1)
        shared_noise: bool = param(False, "Give every generator the same latents, as in the authors' code.")

        def __post_init__(self) -> None:
            if self.saturating and self.payoff == "wgan":
                raise ValueError("saturating is about log D; with payoff = 'wgan' there is none, leave it out.")

    params: Params

    @property
    def sharing(self) -> str:
        """Parts that the networks of a mixture share: nothing."""
        return "generators and discriminators: nothing"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build K generators and M discriminators, batched, each group with the logits of its weights."""
        k, m = self.generators, self.params.discriminators
        return {
            "discriminators": Weighted(networks.discriminator({"score": None}, copies=m), m),
            "generator": Weighted(networks.generators(k, shared="nothing"), k),
        }

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """Turns of the discriminators, each on new draws, then one of the generators on the last draw of latents."""
        steps = self.params.discriminator_steps
        of_discriminators = (Turn(("discriminators",), real=i, latents=i) for i in range(steps))
        return (*of_discriminators, Turn(("generator",), latents=steps - 1))

    def weights(self) -> Tensor:
        """Learned weights w (K,) of the generators."""
        return self.generator.weights()

    def discriminators_loss(self, real: Real, fake: Fake) -> Tensor:
        """-sum_ij w_i u_j phi(G_i, D_j) + rho R(u); real data have weight sum_i w_i = 1 for each discriminator."""
        on_real, on_fake = self._judge(real.x), self._judge(fake.x)
        if self.params.payoff == "wgan":
            on_real, on_fake = -on_real, on_fake
        else:
            on_real, on_fake = F.softplus(-on_real), F.softplus(on_fake)
        of_real = self.discriminators.weights() @ on_real.mean(1)
        return of_real + self._of_mixtures(on_fake, fake) + self.params.entropy * self.discriminators.evenness()

    def generator_loss(self, fake: Fake) -> Tensor:
        """Mean over both mixtures of -log D_j(G_i), log(1 - D_j(G_i)) or -D_j(G_i), plus rho R(w)."""
        on_fake = self._judge(fake.x)
        if self.params.payoff == "wgan":
            loss = -on_fake
        else:
            loss = -F.softplus(on_fake) if self.params.saturating else F.softplus(-on_fake)
        return self._of_mixtures(loss, fake) + self.params.entropy * self.generator.evenness()

    def constrain(self, player: str, parameters: Mapping[str, Tensor]) -> None:
        """Clip the discriminators, not the logits of their weights, if the payoff is WGAN's."""
        if player == "discriminators" and self.params.payoff == "wgan":
            for name, parameter in parameters.items():
                if name != "logits":
                    parameter.clamp_(-self.params.clip, self.params.clip)

    def _judge(self, x: Tensor) -> Tensor:
        """Map (n, *shape) to logits (M, n)."""
        logits: Tensor = self.discriminators(x)["score"]
        return logits

    def _of_mixtures(self, values: Tensor, fake: Fake) -> Tensor:
        """Return sum_ij u_j w_i of the mean of (M, N) values over generator i's samples."""
        by_pair = values.reshape(len(values), fake.generators, -1).mean(2)
        return self.discriminators.weights() @ by_pair @ self.generator.weights()


class Weighted(nn.Module):
    """Several networks as one batched module, with the logits of their weights, which are equal at the start."""

    def __init__(self, bodies: nn.Module, count: int) -> None:
        super().__init__()
        self.bodies = bodies
        self.logits = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """Evaluate all networks at x."""
        made: Tensor | dict[str, Tensor] = self.bodies(x)
        return made

    def weights(self) -> Tensor:
        """Return the weights of the networks in the mixture, summing to 1."""
        return self.logits.softmax(0)

    def evenness(self) -> Tensor:
        """Return R = -mean log weight: the log of the number of networks if weights are equal, larger otherwise."""
        return -self.logits.log_softmax(0).mean()
