"""Promises of functional optimisers: they compute torch.optim's values from torch.optim's state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_bench.training.optimisers import fill_state, make_optimiser, step_of
from tests.support.tiny import protocol

KINDS = ("adam", "rmsprop", "sgd")


def _parameters() -> list[nn.Parameter]:
    rng = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(size, generator=rng, dtype=torch.float64)) for size in ((3, 4), (4,))]


def _gradients(step: int) -> list[Tensor]:
    """Return gradients of many magnitudes, some exactly zero."""
    rng = torch.Generator().manual_seed(100 + step)
    gradients = [
        torch.randn(p.shape, generator=rng, dtype=torch.float64) * 10.0 ** (step % 7 - 4) for p in _parameters()
    ]
    gradients[0][0] = 0
    return gradients


@pytest.mark.parametrize("kind", KINDS)
def test_equals_torch(kind: str) -> None:
    """Thirty steps with a changing rate give torch.optim's parameters and state up to float32 rounding."""
    settings: Any = protocol(optimizer=kind, learning_rate=0.03, betas=(0.4, 0.99))
    own, ours = _parameters(), _parameters()
    theirs = make_optimiser(settings, "generator", own)
    state = make_optimiser(settings, "generator", ours)
    step = step_of(state)
    fill_state(state)
    for t in range(30):
        rate = 0.03 * (1 - t / 40)
        theirs.param_groups[0]["lr"] = rate
        for parameter, gradient in zip(own, _gradients(t), strict=True):
            parameter.grad = gradient
        theirs.step()
        numbers = torch.tensor(step.numbers(rate, t + 1), dtype=torch.float64)
        with torch.no_grad():
            for parameter, gradient in zip(ours, _gradients(t), strict=True):
                step.apply(parameter, gradient, {name: state.state[parameter][name] for name in step.slots}, numbers)
    for a, b in zip(own, ours, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)
        for name in step.slots:
            torch.testing.assert_close(theirs.state[a][name], state.state[b][name], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_state_is_what_torch_makes(kind: str) -> None:
    """State filled in before the first step has torch's names, shapes and types, and changes no step."""
    filled, plain = ([nn.Parameter(torch.ones(2, 3))] for _ in range(2))
    first, second = (make_optimiser(protocol(optimizer=kind), "generator", own) for own in (filled, plain))
    fill_state(first)
    for optimiser, own in ((first, filled), (second, plain)):
        own[0].grad = torch.full((2, 3), 0.3)
        optimiser.step()
    assert torch.equal(filled[0], plain[0])
    ours, theirs = first.state[filled[0]], second.state[plain[0]]
    made = {name: value for name, value in theirs.items() if value is not None}  # SGD stores missing momentum as None
    assert {name: (v.shape, v.dtype) for name, v in ours.items() if v is not None} == {
        name: (v.shape, v.dtype) for name, v in made.items()
    }


def test_state_that_is_there_stays() -> None:
    """A resumed run keeps its moments."""
    own = [nn.Parameter(torch.ones(3))]
    optimiser = make_optimiser(protocol(), "generator", own)
    own[0].grad = torch.ones(3)
    optimiser.step()
    before = optimiser.state[own[0]]["exp_avg"].clone()
    fill_state(optimiser)
    assert torch.equal(optimiser.state[own[0]]["exp_avg"], before)
    assert float(optimiser.state[own[0]]["step"]) == 1
