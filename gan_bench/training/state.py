"""A model's state between turns: every mode of execution accepts the same values and keeps them in the same form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_bench.contracts.choice import one_hot
from gan_bench.contracts.model import Model, Turn
from gan_bench.errors import PluginError

State = Mapping[str, Tensor]

USAGE = "samples of each generator"
"""Name of the tensor (K,) int64 that the harness adds to the state of a model that chooses generators.

It counts the samples of each generator in the draws so far. The model does not see it.
"""


def initial_state(model: Model, device: torch.device) -> dict[str, Tensor]:
    """State of a model before the first iteration, on a device. Raises PluginError if it has another type."""
    state = model.initial_state()
    if not isinstance(state, Mapping):
        raise PluginError(f"{model.name}: initial_state() must return tensors by name, found {type(state).__name__}.")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            found = type(value).__name__
            raise PluginError(f"{model.name}: initial_state()[{name!r}] must be a tensor, found {found}.")
    if USAGE in state:
        raise PluginError(f"{model.name}: initial_state() must not use the name {USAGE!r}. Rename the tensor.")
    own = {name: _own(value.to(device)) for name, value in state.items()}
    counts = {USAGE: torch.zeros(model.generators, dtype=torch.int64, device=device)} if model.chooses else {}
    return own | counts


def without_usage(state: State) -> State:
    """The state as the model sees it."""
    return {name: value for name, value in state.items() if name != USAGE} if USAGE in state else state


def with_usage(state: State, before: State) -> State:
    """The state with the usage of `before`, if that has one."""
    return {**state, USAGE: before[USAGE]} if USAGE in before else state


def used(state: State, index: Tensor) -> Tensor:
    """Usage after a draw of samples from the generators `index` (N,)."""
    return state[USAGE] + one_hot(index, len(state[USAGE])).sum(0)


def versions(state: State) -> dict[str, int]:
    """Number of changes in place of each tensor."""
    return {name: value._version for name, value in state.items()}


def next_state(
    model: Model, turn: Turn, state: State, values: Mapping[str, Tensor], before: Mapping[str, int]
) -> State:
    """State after a turn.

    Args:
        before: `versions` of the state at the beginning of the turn.

    Raises:
        PluginError: names, shapes, types or devices differ from those of `state`, or a tensor of `state` was changed in
            place.
    """
    changed = model.after_turn(turn, state, values)
    for name, version in versions(state).items():
        if before[name] != version:
            problem = f"the turn of {' and '.join(turn.players)} changes state[{name!r}] in place"
            raise PluginError(f"{model.name}: {problem}. Return a new tensor from after_turn().")
    return accept(model, "after_turn", state, changed)


def accept(model: Model, hook: str, state: State, changed: State) -> State:
    """Return the state that a hook of a model returned, without memory that it shares with other tensors.

    A tensor of another type or shape would be promoted or broadcast where operations are executed one by one. Compiled,
    recorded and stacked iterations would read its memory as if it had the original form.

    Raises:
        PluginError: names, shapes, types or devices differ from those of `state`.
    """
    if changed is state:
        return state
    if not isinstance(changed, Mapping) or changed.keys() != state.keys():
        found = sorted(changed) if isinstance(changed, Mapping) else type(changed).__name__
        raise PluginError(f"{model.name}: {hook}() must return the state {sorted(state)}, found {found}.")
    for name, value in changed.items():
        if _form(value) != _form(state[name]):
            problem = f"{hook}() returns {name!r} as {_text(value)}, and initial_state() as {_text(state[name])}"
            raise PluginError(f"{model.name}: {problem}. Keep its type, shape and device.")
    return {name: value if value is state[name] else _own(value) for name, value in changed.items()}


def _own(value: Tensor) -> Tensor:
    """Copy of a tensor: a view of a parameter would follow the parameter's updates in some modes and not in others."""
    return value.detach().clone(memory_format=torch.contiguous_format)


def _form(value: Any) -> tuple[Any, ...]:
    return (value.shape, value.dtype, value.device) if isinstance(value, Tensor) else (type(value),)


def _text(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"{type(value).__name__}, not a tensor"
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)} on {value.device}"
