"""Checks that an iteration never waits for a tensor's value, by watching operations and by tracing without values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gan_bench.acceleration.tracing import ReadsValuesError
from gan_bench.testing.checks import Fault, place
from gan_bench.testing.model_compiled import Compiled
from gan_bench.testing.settings import Setting
from gan_bench.training.iteration import play
from gan_bench.training.trainer import Trainer


def check_reads(t: Trainer, setting: Setting) -> None:
    """Run an iteration in which every operation that needs a value is an error, without updating any player.

    Raises:
        Fault: an operation needs the value of a tensor.
    """
    turns = tuple(t.model.turns(t.iteration))
    draws = t.draw(turns)
    try:
        # printing a tensor bypasses every dispatch mode, so it is replaced separately
        with _Unread(), mock.patch.object(Tensor, "__repr__", _refuse_to_print):  # type: ignore[no-untyped-call]
            play(t.context, turns, draws, t.parameters, t.state, lambda player, gradients: None)
    except _ReadError as error:
        raise _fault(error, setting) from error


def check_traced(t: Trainer, setting: Setting, compiled: Compiled) -> None:
    """Trace an iteration with tensors that have no values. Other obstacles to compilation do not count as faults.

    Raises:
        Fault: an operation needs the value of a tensor.
    """
    try:
        compiled.trace(t)
    except ReadsValuesError as error:
        raise _fault(error, setting) from error


def _fault(error: Exception, setting: Setting) -> Fault:
    return Fault(
        f"with {setting}, an iteration reads a tensor's value{place(error)}",
        "the GPU would wait in every iteration, and the iteration could be neither compiled nor stacked",
        "remove .item(), float(), print(), masks and `if` on tensors; use torch.where for decisions, and return values "
        "to be logged with the loss",
    )


class _ReadError(Exception):
    """An operation needs the value of a tensor."""


def _refuse_to_print(tensor: Tensor, **options: object) -> str:
    raise _ReadError("print")


class _Unread(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Dispatch mode that refuses operations for which the host has to wait for values of tensors.

    These are operations whose result on the host, or the shape of whose result, depends on values.
    """

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if self._reads(func, args):
            raise _ReadError(str(func))
        return func(*args, **(kwargs or {}))

    def _reads(self, func: Any, args: tuple[Any, ...]) -> bool:
        if func is torch.ops.aten.index.Tensor:
            return any(isinstance(index, Tensor) and index.dtype is torch.bool for index in args[1])
        return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags
