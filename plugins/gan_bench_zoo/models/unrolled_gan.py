"""Unrolled Generative Adversarial Networks (Metz, Poole, Pfau, Sohl-Dickstein; ICLR 2017, arXiv 1611.02163)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from gan_bench.contracts.losses import bce_fake, bce_real
from gan_bench.contracts.model import Fake, Model, Preset, Real, Turn
from gan_bench.contracts.network import Discriminator, Generators, Networks
from gan_bench.contracts.parameters import param

Parameters = dict[str, Tensor]


class UnrolledGAN(Model):
    """UnrolledGAN: a generator that anticipates m discriminator steps (Metz et al., 2017).

    theta_D^{j+1} = theta_D^j - eta grad L_D(theta_D^j, theta_G). The generator minimises -L_D(theta_D^m(theta_G),
    theta_G), differentiated through all m steps. This includes the half of L_D on real data, which depends on theta_G
    through theta_D^m. Both players are updated simultaneously. The unrolling thus starts from the discriminator before
    its step, and uses the same real data and latents. The inner steps are plain gradient descent; their default rate,
    `unroll_lr` = 0.1, is this project's choice.

    The authors' notebook unrolls Adam from the moments of D's optimiser. Here `inner = "adam"` starts from moments of
    zero: the first step is sign(g), whose derivative is 0, so that it hardly unrolls.
    """

    name = "unrolled-gan"
    generator: Generators
    discriminator: Discriminator
    presets = {
        "paper": Preset(
            "The paper's ring, with values from another project, which attributes them to the paper: Adam at 1e-4, "
            "batches of 512, orthogonal initialisation of gain 0.8. Its discriminator has points divided by 4 as "
            "inputs, here they are not divided. Not verified: its number of steps for the figure (10, from memory) "
            "and their learning rate.",
            params={"inner": "adam", "unroll_lr": 1e-4, "unroll_steps": 10},
            protocol={
                "learning_rate": 1e-4,
                "batch": 512,
                "fakes": 512,
                "latent": "normal",
                "latent_size": 256,
                "init": "orthogonal",
                "init_scale": 0.8,
                "network": {"plugin": "mlp", "slope": 0.0},
            },
        ),
        "notebook": Preset(
            "The authors' notebook: 5 inner steps of Adam at the discriminator's 1e-4, the generator's rate 1e-3, "
            "batches of 512, orthogonal initialisation of gain 1.4. Left out: its networks, which have two hidden "
            "layers of tanh each.",
            params={"inner": "adam", "unroll_lr": 1e-4, "unroll_steps": 5},
            protocol={
                "learning_rate": {"discriminator": 1e-4, "generator": 1e-3},
                "batch": 512,
                "fakes": 512,
                "latent": "normal",
                "latent_size": 256,
                "init": "orthogonal",
                "init_scale": 1.4,
            },
        ),
    }

    @dataclass(frozen=True)
    class Params:
        """Number and form of the discriminator steps that the generator anticipates."""

        unroll_steps: int = param(5, "m, the number of discriminator steps that the generator anticipates.", low=0)
        unroll_lr: float = param(0.1, "Learning rate of these steps.", above=0)
        inner: str = param("sgd", "Optimiser of these steps.", choices=("sgd", "adam"))
        second_order: bool = param(True, "Differentiate through the steps. If false, they count as constants.")

    params: Params

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build one network each."""
        return {"discriminator": networks.discriminator({"source": None}), "generator": networks.generators()}

    def turns(self, iteration: int) -> tuple[Turn, ...]:
        """One turn of both players."""
        return (Turn(("discriminator", "generator")),)

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        """GAN's loss."""
        return self._objective(dict(self.discriminator.named_parameters()), real.x, fake.x)

    def generator_loss(self, real: Real, fake: Fake) -> Tensor:
        """-L_D at the unrolled discriminator (saturating, with the real half)."""
        ahead = self._unroll(dict(self.discriminator.named_parameters()), real.x, fake.x)
        return -self._objective(ahead, real.x, fake.x)

    def _objective(self, parameters: Parameters, real: Tensor, fake: Tensor) -> Tensor:
        """Return L_D of a discriminator with these parameters."""
        on_real = functional_call(self.discriminator, parameters, (real,))["source"]
        on_fake = functional_call(self.discriminator, parameters, (fake,))["source"]
        return bce_real(on_real) + bce_fake(on_fake)

    def _unroll(self, parameters: Parameters, real: Tensor, fake: Tensor) -> Parameters:
        """Return the discriminator's parameters after m steps, as a function of the generator's samples."""
        step = _Adam(self.params.unroll_lr) if self.params.inner == "adam" else _Descent(self.params.unroll_lr)
        for _ in range(self.params.unroll_steps):
            gradient = grad(self._objective)(parameters, real, fake)
            if not self.params.second_order:
                gradient = {name: value.detach() for name, value in gradient.items()}
            parameters = step(parameters, gradient)
        return parameters


class _Descent:
    """Plain gradient descent as a function."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, parameters: Parameters, gradient: Parameters) -> Parameters:
        return {name: value - self.rate * gradient[name] for name, value in parameters.items()}


class _Adam:
    """Adam as a function; its moments start from zero and are part of the graph; betas 0.5 and 0.999."""

    def __init__(self, rate: float) -> None:
        self.rate, self.steps = rate, 0
        self.first: Parameters = {}
        self.second: Parameters = {}

    def __call__(self, parameters: Parameters, gradient: Parameters) -> Parameters:
        self.steps += 1
        moved = {}
        for name, g in gradient.items():
            self.first[name] = 0.5 * self.first.get(name, torch.zeros_like(g)) + 0.5 * g
            self.second[name] = 0.999 * self.second.get(name, torch.zeros_like(g)) + 0.001 * g * g
            first = self.first[name] / (1 - 0.5**self.steps)
            # epsilon inside the root: the square root has no finite derivative at 0
            root = (self.second[name] / (1 - 0.999**self.steps) + 1e-16).sqrt()
            moved[name] = parameters[name] - self.rate * first / (root + 1e-8)
        return moved
