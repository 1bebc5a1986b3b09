"""Python attributes of a model's modules, which tracing would turn into constants.

Parameters and buffers are inputs of a traced iteration. Everything else that a loss changes on the model, a counter or
an average, would keep the value that it had while the iteration was traced.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Set
from typing import Any

from torch import Tensor, nn

_OF_MODULES = frozenset(vars(nn.Module()))
"""Attributes of every module: its parameters, buffers, submodules, hooks and mode."""

_CONTAINERS = (list, dict, set)


class ModelAttributes:
    """Attributes of all modules of a model at one moment."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = dict(model.named_modules())
        self._kept = {
            (path, name): (value, _copy(value), _version(value))
            for path, module in self._modules.items()
            for name, value in _attributes(module).items()
        }

    def changed(self) -> dict[str, Any]:
        """Attributes that were added or changed since then, by their path, with their present values.

        A container counts as changed if one of its own elements is another object; deeper levels are not compared.
        """
        found = {}
        for path, module in self._modules.items():
            for name, value in _attributes(module).items():
                if not self._is_same((path, name), value):
                    found[f"{path}.{name}".lstrip(".")] = value
        return found

    def restore(self) -> None:
        """Set all attributes to their former values, and delete those that were added."""
        for path, module in self._modules.items():
            for name in _attributes(module):
                if (path, name) not in self._kept:
                    delattr(module, name)
        for (path, name), (value, contents, _) in self._kept.items():
            if isinstance(value, _CONTAINERS) and not _equal(value, contents):
                value.clear()
                value.extend(contents) if isinstance(value, list) else value.update(contents)
            if vars(self._modules[path]).get(name) is not value:
                setattr(self._modules[path], name, value)

    def _is_same(self, place: tuple[str, str], value: Any) -> bool:
        if place not in self._kept:
            return False
        before, contents, version = self._kept[place]
        return _equal(value, contents) and _version(value) == version if value is before else _equal(value, before)


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor, or a container with tensors."""
    if isinstance(value, Mapping):
        return any(map(is_tensor, value.values()))
    return isinstance(value, Tensor) or (isinstance(value, list | tuple | Set) and any(map(is_tensor, value)))


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_MODULES}


def _copy(value: Any) -> Any:
    return copy.copy(value) if isinstance(value, _CONTAINERS) else value


def _version(value: Any) -> int:
    return value._version if isinstance(value, Tensor) and not value.is_inference() else 0


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are one object or equal numbers, texts or shapes; containers element by element."""
    if one is other:
        return True
    if type(one) is not type(other) or isinstance(one, Tensor):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, int | float | complex | str | bytes | frozenset | set):
        return bool(one == other)
    return False
