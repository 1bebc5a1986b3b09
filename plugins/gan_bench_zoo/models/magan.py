"""MAGAN: Margin Adaptation for Generative Adversarial Networks (Wang et al., 2017, arXiv 1704.03817)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_bench.contracts.model import Fake, Preset, Real, Stage, Turn
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._autoencoder import AutoencoderGAN


class MAGAN(AutoencoderGAN):
    """MAGAN: an autoencoder's error as energy, with a margin that shrinks to that of real data (Wang et al., 2017).

    With E(v) = |v - AE(v)|^2, summed over coordinates, the autoencoder minimises E_x E(x) + E_z max(0, m - E(G(z))) and
    the generator E_z E(G(z)). The rule of the margin m is that of the authors' code. First, the autoencoder alone is
    trained on real data for two epochs, with m = 0, which switches the second term off. Then m is set to the mean E(x)
    of one more epoch, and the game begins. Let S_x and S_z be the sums of E(x) and E(G(z)) over the n iterations of an
    epoch. At the end of each epoch of the game but the first, m becomes S_x / n if S_z is above that of the last epoch,
    S_x < S_z and S_x / n < m. So m never grows.

    Data are drawn at random here, so an epoch is a number of iterations. Energies and margin are sums, which grow with
    the number of pixels; Adam's steps do not depend on their scale. In the epoch that measures m the gradient is 0, but
    each turn still includes an optimiser step. At beta1 = 0.5 Adam's momentum therefore moves the autoencoder once
    more, in total as far as its last step did. The authors' optimiser, Adamax, is not available in the protocol.

    On points the autoencoder has no bottleneck, so it reproduces points between the modes as well as those at the
    modes.
    """

    name = "magan"
    presets = {
        "release": Preset(
            "The authors' code: batches of 64, learning rate 5e-4, latents that are drawn again for the generator, "
            "an epoch of CIFAR-10 and its latents of size 320. The code uses Adamax; the preset keeps the "
            "protocol's optimiser.",
            params={"epoch": 782},
            protocol={
                "batch": 64,
                "fakes": 64,
                "learning_rate": 5e-4,
                "latents": "fresh",
                "latent": "normal",
                "latent_size": 320,
            },
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Length of an epoch, and length of the pretraining."""

        epoch: int = param(50, "n, the number of iterations of an epoch.", low=1)
        pretraining: int = param(
            2, "Epochs in which the autoencoder alone is trained on real data, before the game.", low=0
        )

    params: Params

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        """One stage, whose prelude trains the autoencoder alone, on draws 1, 2, …"""
        return (Stage(0, tuple(Turn(("discriminator",), real=number) for number in range(1, self._before + 1))),)

    def initial_state(self) -> Mapping[str, Tensor]:
        """State: margin, sums of this epoch, S_z of the last one, iterations of this epoch, whether AE is trained."""
        zeros = {name: torch.tensor(0.0) for name in ("margin", "of_real", "of_fake", "last_fake", "done")}
        return zeros | {"learns": torch.tensor(1.0 if self.params.pretraining else 0.0)}

    def discriminator_loss(
        self, real: Real, fake: Fake, state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """E(x) + max(0, m - E(G(z))), sample by sample; multiplied by 0 while the margin is measured."""
        of_real = self.energy(real.x).mean()
        hinge = F.relu(state["margin"] - self.energy(fake.x)).mean()
        return state["learns"] * (of_real + hinge), {"of_real": of_real}

    def generator_loss(self, fake: Fake) -> tuple[Tensor, dict[str, Tensor]]:
        """E(G(z))."""
        of_fake = self.energy(fake.x).mean()
        return of_fake, {"of_fake": of_fake}

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Add up energies; set the margin after the last turn of the prelude, and at the end of an epoch."""
        if turn.real > 0:
            return self._prepare(turn.real, state, values)
        if "generator" not in turn.players:
            return {**state, "of_real": state["of_real"] + values["of_real"]}
        return self._play(state, values)

    def energy(self, x: Tensor) -> Tensor:
        """Return the squared distances (N,) between samples and their reconstructions."""
        return self.off(x).flatten(1).square().sum(1)

    @property
    def _learning(self) -> int:
        """Number of turns that train the autoencoder on real data alone."""
        return self.params.pretraining * self.params.epoch

    @property
    def _before(self) -> int:
        """Number of turns of the prelude: training, then an epoch that measures the margin."""
        return self._learning + self.params.epoch

    def _prepare(self, number: int, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state after turn `number`, from 1, of the prelude."""
        state = dict(state)
        if number > self._learning:
            state["of_real"] = state["of_real"] + values["of_real"]
        if number == self._learning:
            state["learns"] = torch.zeros_like(state["learns"])
        if number == self._before:
            state["margin"] = state["of_real"] / self.params.epoch
            state["of_real"] = torch.zeros_like(state["of_real"])
            state["learns"] = torch.ones_like(state["learns"])
        return state

    def _play(self, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state after a turn of the generator, which ends an iteration and possibly an epoch."""
        of_real, of_fake, done = state["of_real"], state["of_fake"] + values["of_fake"], state["done"] + 1
        margin, last_fake = state["margin"], state["last_fake"]
        ends = done >= self.params.epoch
        mean = of_real / self.params.epoch
        # in the first epoch last_fake is 0, which leaves the margin as it is, as in the authors' code
        shrinks = ends & (last_fake > 0) & (of_fake > last_fake) & (of_real < of_fake) & (mean < margin)
        nothing = torch.zeros_like(margin)
        return {
            "margin": torch.where(shrinks, mean, margin),
            "of_real": torch.where(ends, nothing, of_real),
            "of_fake": torch.where(ends, nothing, of_fake),
            "last_fake": torch.where(ends, of_fake, last_fake),
            "done": torch.where(ends, nothing, done),
            "learns": state["learns"],
        }
