"""BEGAN: Boundary Equilibrium Generative Adversarial Networks (Berthelot, Schumm, Metz; 2017, arXiv 1703.10717)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_bench.contracts.model import Fake, Preset, Real, Turn
from gan_bench.contracts.parameters import param
from gan_bench_zoo.models._autoencoder import AutoencoderGAN


class BEGAN(AutoencoderGAN):
    """BEGAN: an autoencoder's error as energy, and a state k that balances real and generated (Berthelot et al., 2017).

    With E(v) = mean |v - AE(v)| over coordinates and samples, the autoencoder minimises E(x) - k E(G(z)) and the
    generator E(G(z)). Then lambda_k (gamma E(x) - E(G(z))) is added to k, and k is clipped to [0, 1]. It starts at 0.
    Both players are updated simultaneously, and the update of k uses the energies in their losses, from before their
    steps. A re-implementation for points differs: it squares the error, draws other latents for k and does not clip k.
    It is not followed.

    In the paper the learning rate decays (the rule is not verified); here it is the protocol's. On points the
    autoencoder has no bottleneck.
    """

    name = "began"
    presets = {
        "port": Preset(
            "A widely used TensorFlow port: Adam at 8e-5 (constant here; the port halves it every 100,000 steps), "
            "batches of 16, uniform latents of size 64.",
            protocol={"learning_rate": 8e-5, "batch": 16, "fakes": 16, "latent": "uniform", "latent_size": 64},
        )
    }

    @dataclass(frozen=True)
    class Params:
        """Balance of the two energies."""

        gamma: float = param(0.5, "Target ratio of the energies of generated and real samples.", low=0, high=1)
        rate: float = param(0.001, "lambda_k, step size of the update of k.", above=0)

    params: Params

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """One turn of both players."""
        return (Turn(self.players),)

    def initial_state(self) -> Mapping[str, Tensor]:
        """State: k, the weight of generated samples in the autoencoder's loss."""
        return {"k": torch.tensor(0.0)}

    def discriminator_loss(
        self, real: Real, fake: Fake, state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """E(x) - k E(G(z)), with k as a constant."""
        of_real = self.energy(real.x)
        return of_real - state["k"] * self.energy(fake.x), {"of_real": of_real}

    def generator_loss(self, fake: Fake) -> tuple[Tensor, dict[str, Tensor]]:
        """E(G(z))."""
        of_fake = self.energy(fake.x)
        return of_fake, {"of_fake": of_fake}

    def after_turn(self, turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Update k."""
        step = self.params.rate * (self.params.gamma * values["of_real"] - values["of_fake"])
        return {"k": (state["k"] + step).clamp(0, 1)}

    def energy(self, x: Tensor) -> Tensor:
        """Return the mean |v - AE(v)| over coordinates and samples."""
        return self.off(x).abs().mean()
