"""Optimisers of a protocol: classes of torch.optim, and their steps as functions for compiled iterations.

The functions keep torch.optim's state, so that a run can resume either way from the same checkpoint. Tests compare
their results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

from gan_bench.contracts.protocol import Protocol


def make_optimiser(protocol: Protocol, player: str, parameters: list[nn.Parameter]) -> Optimizer:
    """Build a player's optimiser; Adam and SGD are fused, in one pass over the parameters instead of several."""
    kind, rate = protocol.of(player, "optimizer"), float(protocol.of(player, "learning_rate"))
    if kind == "adam":
        first, second = protocol.of(player, "betas")
        return Adam(parameters, lr=rate, betas=(first, second), fused=True)
    return RMSprop(parameters, lr=rate) if kind == "rmsprop" else SGD(parameters, lr=rate, fused=True)


class Step(ABC):
    """One step of an optimiser on one parameter.

    Attributes:
        slots: the tensors of its state that have the parameter's shape.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(self, optimiser: Optimizer) -> None:
        self.settings = dict(optimiser.param_groups[0])

    def numbers(self, rate: float, step: int) -> tuple[float, float]:
        """Two numbers that change at each step (from 1), computed once for all parameters."""
        return rate, 1.0

    @abstractmethod
    def apply(self, parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], numbers: Tensor) -> None:
        """Update a parameter and its slots in place; `numbers` has the two values, float32."""


class AdamStep(Step):
    """Adam (Kingma and Ba, 2015): its numbers are rate / (1 - beta_1^t) and sqrt(1 - beta_2^t)."""

    slots = ("exp_avg", "exp_avg_sq")

    def numbers(self, rate: float, step: int) -> tuple[float, float]:
        """Rate and root of the second moment's correction."""
        first, second = self.settings["betas"]
        return rate / (1 - first**step), (1 - second**step) ** 0.5

    def apply(self, parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], numbers: Tensor) -> None:
        """Update both moments, then the parameter."""
        first, second = self.settings["betas"]
        mean = slots["exp_avg"].lerp_(gradient, 1 - first)
        square = slots["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        parameter.sub_(numbers[0] * mean / (square.sqrt() / numbers[1] + self.settings["eps"]))


class RMSpropStep(Step):
    """RMSprop (Tieleman and Hinton, 2012) as in torch: epsilon outside the root."""

    slots = ("square_avg",)

    def apply(self, parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], numbers: Tensor) -> None:
        """Update the running square, then the parameter."""
        alpha = self.settings["alpha"]
        square = slots["square_avg"].mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
        parameter.sub_(numbers[0] * gradient / (square.sqrt() + self.settings["eps"]))


class SGDStep(Step):
    """Gradient descent without momentum."""

    def apply(self, parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], numbers: Tensor) -> None:
        """Update the parameter."""
        parameter.sub_(numbers[0] * gradient)


def step_of(optimiser: Optimizer) -> Step:
    """Step function that matches an optimiser of `make_optimiser`."""
    kinds: Mapping[type[Optimizer], type[Step]] = {Adam: AdamStep, RMSprop: RMSpropStep, SGD: SGDStep}
    return kinds[type(optimiser)](optimiser)


def fill_state(optimiser: Optimizer) -> None:
    """Initialise the state of every parameter that has none, as torch.optim would at its first step."""
    step = step_of(optimiser)
    for parameter in optimiser.param_groups[0]["params"]:
        if step.slots and not optimiser.state[parameter]:
            slots = {name: torch.zeros_like(parameter) for name in step.slots}
            beside = parameter.device if optimiser.defaults.get("fused") else None  # the device that torch would choose
            optimiser.state[parameter] = {"step": torch.zeros((), device=beside), **slots}


def match_state_strides(optimizer: Optimizer) -> None:
    """Give the state of an optimiser the strides of its parameters, and separate memory; see `match_strides`.

    A checkpoint written on another kind of device may have other strides, or its tensors may be part of a stack.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                own = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
                state[name] = own.detach().to(value.dtype).copy_(value)


def match_strides(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """A gradient with the strides of its parameter: fused optimisers traverse both in memory order.

    torch ensures this for accumulated gradients, but not for those of `autograd.grad`; second derivatives of
    convolutions have other strides.
    """
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
