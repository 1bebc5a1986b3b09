"""Typed, documented parameters: `Params` dataclasses of plugins, and the validation of values.

The same rules serve the parameters of plugins, the protocol and the evaluation settings.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar

from gan_bench.errors import PluginError
from gan_bench.names import allowed, suggestion

KeyPath = tuple[str | int, ...]
"""Keys from the top of a document to a value; an int is a position in an array."""

Report = Callable[[KeyPath, str], None]
"""Callback for a problem: the path of the value below the table that is checked, and a sentence."""

TomlValue = bool | int | float | str | date | time | None | Sequence["TomlValue"] | Mapping[str, "TomlValue"]
"""A value as a TOML file or a mapping from Python has it, before it is checked."""

TomlTable = Mapping[str, TomlValue]
"""Values by name: a table of a file, or the parameters of a plugin."""

Annotation = type[Any] | types.UnionType | types.GenericAlias
"""The type of a field, as `typing.get_type_hints` returns it."""

P = TypeVar("P")


def param(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """Declare one parameter of a plugin: its default, one line of explanation, and its range.

    ``low <= value <= high``, ``value > above``, or one of ``choices``; for a list or table, of each value.
    The type is the field's annotation: ``int``, ``float``, ``bool``, ``str``, ``tuple[float, ...]`` or
    ``Mapping[str, float]`` (of any of these), or a union of them with each other or with ``None``.
    """
    metadata = {"doc": doc, "low": low, "high": high, "above": above, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class NoParams:
    """Parameters of a plugin without any."""


class Description(NamedTuple):
    """Description of one parameter, as printed by `gan-bench list` and `show`."""

    name: str
    type: str  # "float", "int or none", "list of float"
    default: str  # in TOML notation, or "required"
    range: str  # ">= 0", "one of shared, fresh", or empty
    doc: str


def describe(params_class: type[Any]) -> list[Description]:
    """Return every parameter of a `Params` dataclass, in the order of its declaration.

    Raises:
        PluginError: the class is not a dataclass, or a field has a type that cannot be read from a file.
    """
    return [_description(field) for field in _settable(params_class).values()]


def wrong_defaults(params_class: type[Any]) -> dict[str, str]:
    """Return the defaults that a file could not contain, with the reason: wrong type, or outside their range.

    Raises:
        PluginError: as `describe`.
    """
    found: dict[str, str] = {}

    def note(path: KeyPath, message: str) -> None:
        found.setdefault(str(path[0]), message)

    for name, field in _settable(params_class).items():
        if field.default is not dataclasses.MISSING:
            field.check((name,), field.default, note)
    return found


def resolve(params_class: type[P], given: TomlTable, report: Report, *, reserved: Iterable[str] = ()) -> P | None:
    """Make an instance of a `Params` dataclass from the values of a file, or report all that is wrong.

    Args:
        params_class: a dataclass; fields with a default *factory* are derived, never read.
        given: values by name, as parsed from TOML.
        report: called once for each problem.
        reserved: keys of `given` that belong to the caller.

    Raises:
        PluginError: as for `describe`.
    """
    reported: list[str] = []

    def note(path: KeyPath, message: str) -> None:
        reported.append(message)
        report(path, message)

    values = checked(params_class, given, note, reserved=reserved)
    for name, field in _settable(params_class).items():
        if field.default is dataclasses.MISSING and name not in given:
            note((), f"{name} is missing. It must be {field.expected()}.")
    if reported:
        return None
    try:
        return params_class(**values)
    except ValueError as error:  # a __post_init__ may reject values that are valid only separately
        report((), f"{error}")
        return None


def checked(
    params_class: type[Any], given: TomlTable, report: Report, *, reserved: Iterable[str] = ()
) -> dict[str, Any]:
    """Valid values of `given`, converted to the types of `params_class`; all others are reported."""
    fields = _settable(params_class)
    values = {}
    for name, value in given.items():
        if name in fields:
            value = fields[name].check((name,), value, report)
            if value is not _BAD:
                values[name] = value
        elif name not in reserved:
            report((name,), f"unknown key {name!r}. {allowed(str(name), {*fields, *reserved}, limit=25)}")
    return values


def shown(value: object) -> str:
    """Format a value in TOML notation, shortened: ``"text"``, ``true``, ``[0.5, 0.999]``, ``a table``."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif value is None or isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(shown, value[:20]))}]"
    elif isinstance(value, Mapping):
        text = "a table"
    else:
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Kind(NamedTuple):
    """Type of a single value: its name, its singular and plural in messages, and its test."""

    name: str
    one: str
    several: str
    accepts: Callable[[Any], bool]


def _is_number(value: TomlValue, kind: type[Any]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


_SCALARS: dict[Any, _Kind] = {
    int: _Kind("int", "a whole number", "whole numbers", lambda value: _is_number(value, Integral)),
    float: _Kind("float", "a finite number", "finite numbers", lambda value: _is_number(value, Real)),
    bool: _Kind("bool", "true or false", "true or false", lambda value: isinstance(value, bool)),
    str: _Kind("str", "a string", "strings", lambda value: isinstance(value, str)),
    types.NoneType: _Kind("none", "none", "none", lambda value: value is None),
}

_BAD = object()


@dataclasses.dataclass(frozen=True)
class _Metadata:
    """The arguments of `param` that a field keeps."""

    doc: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: Sequence[Any] | None = None

    @classmethod
    def of(cls, field: dataclasses.Field[Any]) -> _Metadata:
        """Those of a field; what others keep in its metadata is ignored."""
        names = {each.name for each in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in field.metadata.items() if name in names})


@dataclasses.dataclass(frozen=True)
class _Field:
    """One parameter, with the types and bounds that values are checked against."""

    name: str
    annotation: Annotation
    default: Any
    limits: _Metadata

    def check(self, path: KeyPath, value: TomlValue, report: Report) -> Any:
        """Convert `value`; return `_BAD` after reporting at least one problem."""
        return self._check(path, value, self.annotation, report)

    def expected(self) -> str:
        """Description of a valid value, for a message."""
        options = [option for option in _options(self.annotation) if option is not types.NoneType]
        return " or ".join(_phrase(option, self.range()) for option in options)

    def range(self) -> str:
        """Bounds in symbols; empty without bounds."""
        bounds = [(">=", self.limits.low), (">", self.limits.above), ("<=", self.limits.high)]
        return " and ".join(f"{sign} {bound}" for sign, bound in bounds if bound is not None)

    def _check(self, path: KeyPath, value: TomlValue, annotation: Annotation, report: Report) -> Any:
        option = next((option for option in _options(annotation) if _fits(value, option)), None)
        if option is None:
            report(path, f"{dotted(path)} must be {self.expected()}, found {shown(value)}.")
            return _BAD
        if isinstance(value, Mapping):
            return self._check_mapping(path, value, typing.get_args(option)[1], report)
        if isinstance(value, (list, tuple)):
            element = typing.get_args(option)[0]
            values = [self._check((*path, i), each, element, report) for i, each in enumerate(value)]
            return _BAD if any(each is _BAD for each in values) else tuple(values)
        return self._check_scalar(path, value, option, report)

    def _check_mapping(self, path: KeyPath, value: TomlTable, element: Annotation, report: Report) -> Any:
        values = {key: self._check((*path, key), each, element, report) for key, each in value.items()}
        return _BAD if any(each is _BAD for each in values.values()) else values

    def _check_scalar(self, path: KeyPath, value: TomlValue, option: Annotation, report: Report) -> Any:
        if value is None:
            return None
        converted = _converted(value, option)
        choices = self.limits.choices
        if converted is None or not self._within(converted):
            report(path, f"{dotted(path)} must be {_phrase(option, self.range())}, found {shown(value)}.")
        elif choices is not None and converted not in choices:
            names = [str(choice) for choice in choices]
            hint = suggestion(str(value), names).rstrip()
            report(path, f"{dotted(path)} must be one of {', '.join(names)}, found {shown(value)}. {hint}".rstrip())
        else:
            return converted
        return _BAD

    def _within(self, value: Any) -> bool:
        low, high, above = self.limits.low, self.limits.high, self.limits.above
        return (low is None or value >= low) and (high is None or value <= high) and (above is None or value > above)


def _settable(params_class: type[Any]) -> dict[str, _Field]:
    """Fields that a file may set, by name."""
    if not dataclasses.is_dataclass(params_class):
        raise PluginError(f"{params_class.__qualname__} must be a dataclass.")
    try:
        hints = typing.get_type_hints(params_class)
    except Exception as error:  # evaluating annotations runs code of a plugin
        raise PluginError(
            f"The type annotations of {params_class.__qualname__} cannot be evaluated: {error}."
        ) from error
    fields = {}
    for field in dataclasses.fields(params_class):
        if field.default_factory is dataclasses.MISSING and field.init:
            _require_known_type(params_class, field.name, hints[field.name])
            fields[field.name] = _Field(field.name, hints[field.name], field.default, _Metadata.of(field))
    return fields


def _require_known_type(params_class: type[Any], name: str, annotation: Annotation) -> None:
    for option in _options(annotation):
        if option not in _SCALARS and _element(option) not in _SCALARS and not _is_table_of_lists(option):
            raise PluginError(
                f"{params_class.__qualname__}.{name} must be of type int, float, bool, str, tuple[T, ...], "
                f"Mapping[str, T] or a union of these, found {annotation}. For a choice, use param(choices=…)."
            )


def _is_table_of_lists(option: Annotation) -> bool:
    inner = _element(option)
    return typing.get_origin(option) is not tuple and inner is not None and _element(inner) in _SCALARS


def _element(option: Annotation) -> Any:
    """Type of the elements of ``tuple[T, ...]`` or ``Mapping[str, T]``; None for other types."""
    arguments = typing.get_args(option)
    if typing.get_origin(option) is tuple and arguments[1:] == (...,):
        return arguments[0]
    return arguments[1] if typing.get_origin(option) in (dict, Mapping) else None


def _options(annotation: Annotation) -> tuple[Annotation, ...]:
    """Members of a union, or the annotation alone."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return typing.get_args(annotation)
    return (annotation,)


def _fits(value: TomlValue, option: Annotation) -> bool:
    """Whether a value is of a type's kind; elements of lists and tables are checked later."""
    if option in _SCALARS:
        return _SCALARS[option].accepts(value)
    return isinstance(value, (list, tuple) if typing.get_origin(option) is tuple else Mapping)


def _converted(value: Any, kind: Any) -> Any:
    """Convert the value to `kind`; return None if it is not finite or too large."""
    if kind is not float:
        return kind(value)
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _phrase(option: Annotation, bounds: str) -> str:
    """Description of a type, for a message: ``a list of finite numbers >= 0``."""
    suffix = f" {bounds}" if bounds else ""
    if option in _SCALARS:
        return _SCALARS[option].one + suffix
    if typing.get_origin(option) is tuple:
        return f"a list of {_SCALARS[_element(option)].several}{suffix}"
    return "a table of such values"


def _type_text(annotation: Annotation) -> str:
    return " or ".join(map(_option_text, _options(annotation)))


def _option_text(option: Annotation) -> str:
    if option in _SCALARS:
        return _SCALARS[option].name
    outer = "list" if typing.get_origin(option) is tuple else "table"
    return f"{outer} of {_option_text(_element(option))}"


def _description(field: _Field) -> Description:
    choices = field.limits.choices
    limits = f"one of {', '.join(map(str, choices))}" if choices else field.range()
    default = "required" if field.default is dataclasses.MISSING else shown(field.default)
    return Description(field.name, _type_text(field.annotation), default, limits, field.limits.doc)


def dotted(path: Iterable[str | int]) -> str:
    """Format a path in TOML notation: ``learning_rate.discriminator``, ``betas[1]``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
