"""Settings in which a plugin is checked: its defaults, then other allowed values of one parameter at a time."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from gan_bench.contracts.parameters import TomlTable, checked, describe
from gan_bench.errors import PluginError

NEAR = 4  # largest ratio of a bound that is tried to the default: 10,000 modes are for a benchmark, not for a check


@dataclass(frozen=True)
class Setting:
    """Values of a plugin's parameters with a name, and the changes of the protocol that they imply.

    Attributes:
        branches: whether the setting may switch code: a choice, a switch, a preset, or the defaults.
        parameter: the parameter that differs from its default; empty for the defaults and presets.
    """

    label: str
    params: Any
    branches: bool = True
    protocol: TomlTable = field(default_factory=dict)
    parameter: str = ""

    def __str__(self) -> str:
        return self.label


def settings(cls: type[Any], **small: Any) -> list[Setting]:
    """Return the defaults, variations of each parameter alone, and a model's presets, if `Params` accepts them.

    Args:
        small: replacements of the defaults of parameters that the class has, so that trials are fast.
    """
    names = {each.name for each in dataclasses.fields(cls.Params)}
    taken = {name: value for name, value in small.items() if name in names}
    small = {name: value for name, value in taken.items() if allowed(cls, {name: value}) is not None}
    found = [Setting("defaults", made(cls, **small))]
    for name, value, branches in _variations(cls, small):
        params = allowed(cls, {**small, name: value})
        if params is not None:
            found.append(Setting(f"{name} = {value!r}", params, branches, parameter=name))
    for name, preset in getattr(cls, "presets", {}).items():
        params = allowed(cls, preset.params)
        if params is not None:
            found.append(Setting(f"preset {name!r}", params, True, preset.protocol))
    return found


def made(cls: type[Any], **wanted: Any) -> Any:
    """Return the parameters with the values of `wanted` that the class has and accepts.

    Parameters without a default get some value.
    """
    names = {each.name for each in dataclasses.fields(cls.Params)}
    params = allowed(cls, {name: value for name, value in wanted.items() if name in names})
    return cls.Params(**_required(cls)) if params is None else params


def allowed(cls: type[Any], values: TomlTable) -> Any | None:
    """Return `Params` with these values, or None if its ranges or its ``__post_init__`` refuse them."""
    problems: list[str] = []
    try:
        good = checked(cls.Params, values, lambda _, message: problems.append(message))
        return None if problems else cls.Params(**{**_required(cls), **good})
    except (ValueError, PluginError):  # the check `parameters` reports a PluginError
        return None


def _required(cls: type[Any]) -> TomlTable:
    """Return a value for each parameter without a default: its first choice, its lowest value, or 1."""
    hints, values = typing.get_type_hints(cls.Params), {}
    for each in dataclasses.fields(cls.Params):
        if each.init and each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            kind = next((kind for kind in (bool, int, float, str) if kind in _options(hints[each.name])), None)
            if kind is not None:
                low, choices = each.metadata.get("low"), each.metadata.get("choices")
                values[each.name] = choices[0] if choices else kind(1 if low is None else low)
    return values


def _variations(cls: type[Any], small: TomlTable) -> Iterator[tuple[str, Any, bool]]:
    """Yield variations of one parameter each: its name, the value, and whether the value may switch code."""
    try:
        names = {each.name for each in describe(cls.Params)}
    except PluginError:  # the check `parameters` reports it
        return
    hints = typing.get_type_hints(cls.Params)
    for each in dataclasses.fields(cls.Params):
        if each.name in names and each.default is not dataclasses.MISSING:
            options = _options(hints[each.name])
            others = _others(each, options, small.get(each.name, each.default))
            yield from ((each.name, value, branches) for value, branches in others)


def _others(each: dataclasses.Field[Any], options: tuple[Any, ...], default: Any) -> Iterator[tuple[Any, bool]]:
    """Yield values of a parameter other than its default, and whether each may switch code."""
    if NoneType in options and default is not None:
        yield None, True
    choices = each.metadata.get("choices")
    if choices and not isinstance(default, (tuple, list, Mapping)):
        yield from ((choice, True) for choice in choices if choice != default)
    elif isinstance(default, bool):
        yield not default, True
    elif isinstance(default, (int, float)):
        yield from ((value, False) for value in _numbers(each, default))


def others(cls: type[Any], name: str) -> list[Any]:
    """Return values of one parameter other than its default, which the class may refuse."""
    each, options = _field(cls, name)
    return [value for value, _ in _others(each, options, each.default)]


def extremes(cls: type[Any], name: str) -> list[Any]:
    """Return values of one parameter that are far from its default, which the class may refuse.

    They are for parameters with an effect that is late or small at the default, such as the length of a warm-up or a
    limit. Large whole numbers are left out, because the time of a run may grow with them.
    """
    each, options = _field(cls, name)
    default = each.default
    if isinstance(default, (bool, str)):
        return []
    if isinstance(default, int) or (default is None and int in options):
        count = default or 0
        return [*dict.fromkeys([0, 1, 2, 3, count // 2, count // 10, count + 2, min(2 * count, 100)])]
    if isinstance(default, float) or (default is None and float in options):
        size = default or 1.0
        return [0.0, 1e-6, 1e-3 * size, 0.1 * size, 0.5, 1.0, 10 * size, 1e3 * size, -1.0]
    if isinstance(default, tuple) and all(type(value) in (int, float) for value in default):
        return [tuple(2 * value for value in default), tuple(type(value)(value / 2) for value in default)]
    return []


def _field(cls: type[Any], name: str) -> tuple[dataclasses.Field[Any], tuple[Any, ...]]:
    """Return a parameter and the types of its values."""
    each = next(each for each in dataclasses.fields(cls.Params) if each.name == name)
    return each, _options(typing.get_type_hints(cls.Params)[name])


def _numbers(each: dataclasses.Field[Any], default: float) -> list[float]:
    """Return the bounds that are near the default, and a value on either side of the default."""
    bounds = [each.metadata.get(key) for key in ("low", "high")]
    near = [type(default)(bound) for bound in bounds if bound is not None and abs(bound) <= NEAR * max(abs(default), 1)]
    beside = [default - 1, default + 1] if isinstance(default, int) else [default / 2, default * 2]
    return list(dict.fromkeys(value for value in (*near, *beside) if value != default))


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)
