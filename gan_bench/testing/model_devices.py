"""Checks of iterations on a device without values, and of several seeds in one program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gan_bench.acceleration.compilation import as_traced
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.contracts.dataset import Real
from gan_bench.testing.checks import Fault, first_line, place, refuse
from gan_bench.testing.settings import Setting
from gan_bench.testing.tiny import contents
from gan_bench.training.iteration import Draws, play
from gan_bench.training.trainer import Trainer

ITERATIONS = 3  # of two seeds, together and alone
META = torch.device("meta")
CLOSE = {"rtol": 1e-3, "atol": 1e-5}  # float32: a stacked product is summed in another order


def check_devices(t: Trainer, setting: Setting) -> None:
    """Run an iteration on the device `meta`, which fails at any tensor that is on another device.

    Raises:
        Fault: a tensor was created on, or copied to, another device.
    """
    turns = tuple(t.model.turns(0))
    draws = _moved(t.draw(turns))
    state = {name: value.to(META) for name, value in t.state.items()}
    try:
        model = t.model.to(META)
        own = {player: dict(model.get_submodule(player).named_parameters()) for player in t.parameters}
        context = replace(t.context, index=t.context.index.to(META))
        play(context, turns, draws, own, state, lambda player, gradients: None)
    except Exception as error:
        raise Fault(
            f"with {setting}, an iteration fails on another device{place(error)}: {first_line(error)}",
            "the model would not run on a GPU: a tensor is created on the CPU, stays there or is copied there",
            "create tensors with device=x.device or from other tensors (x.new_ones), register constants as buffers, "
            "and remove .cpu(), .numpy() and .cuda()",
        ) from error


def _moved(draws: Draws) -> Draws:
    """Return the same draws on the device `meta`, without values."""
    return Draws(
        {number: Real(**_without_values(vars(real))) for number, real in draws.real.items()},
        {number: z.to(META) for number, z in draws.latents.items()},
        {position: _without_values(noise) for position, noise in draws.noise.items()},
        {number: gumbel.to(META) for number, gumbel in draws.gumbel.items()},
    )


def _without_values(tensors: Mapping[str, Tensor | None]) -> dict[str, Any]:
    return {name: None if value is None else value.to(META) for name, value in tensors.items()}


def check_stacks(make: Callable[[int], Trainer], setting: Setting) -> None:
    """Check that seeds trained as one program have the same results as seeds trained separately.

    Args:
        make: returns the trainer of a seed. It uses gradient descent, which does not amplify rounding errors of
            gradients.

    Raises:
        Fault: the seeds cannot be stacked, or their results differ.
    """
    singles, members = [make(0), make(1)], [make(0), make(1)]
    for trainer in (*singles, *members):
        trainer.draw_source.rows = 2  # several iterations per draw, as on a GPU
    try:
        stack = Stack(members, as_traced, lambda message: None)
        for _ in range(ITERATIONS):
            stack.iterate()
    except NotCompilableError as error:
        raise Fault(
            f"with {setting}, seeds cannot be stacked{place(error.__cause__ or error)}: {error}",
            "on a GPU, several seeds train as one program, which is traced from the code for one seed",
            "register tensors and numbers that depend on the seed as buffers, or declare `stackable = False`",
        ) from error
    stack.settle()
    for single, member in zip(singles, members, strict=True):
        for _ in range(ITERATIONS):
            single.iterate()
        expected, found = contents(single), contents(member)
        for name, value in expected.items():
            if not torch.allclose(found[name].to(value.dtype), value, equal_nan=True, **CLOSE):
                refuse(
                    f"with {setting}, a stacked seed differs from a single one in {name}",
                    "seeds that train together would have other results than seeds that train alone",
                    "compute losses from their arguments and networks only, or declare `stackable = False`",
                )
