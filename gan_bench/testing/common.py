"""Checks of plugins of all kinds: explained parameters, a docstring, and no use of random streams of others."""

from __future__ import annotations

import inspect
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from gan_bench.contracts.parameters import NoParams, TomlTable, checked, describe, wrong_defaults
from gan_bench.errors import PluginError
from gan_bench.testing.checks import refuse
from gan_bench.training.randomness import global_streams

YEAR = re.compile(r"\([^()]*\b(19|20)\d\d\b[^()]*\)")
UNUSUAL = 840_215_973  # a seed
IDENTIFIER = re.compile(r"\b\d{4}\.\d{4,5}\b|\b10\.\d{4,}/\S+")


def check_parameters(cls: type[Any]) -> None:
    """Check that every parameter has a type, a line of explanation and a default that its own rules allow."""
    loose = list(_untyped(cls.Params))
    if loose:
        refuse(
            f"{cls.__name__}.Params.{loose[0]} has no type annotation",
            "a dataclass ignores a value without an annotation, so no benchmark can set it",
            f'write {loose[0]}: {_type_of(cls.Params, loose[0])} = param(…, "its meaning")',
        )
    try:
        described = describe(cls.Params)
    except PluginError as error:
        refuse(
            str(error),
            "a benchmark file cannot contain a value of this type",
            "annotate the parameter with one of these types",
        )
    for each in described:
        if not str(each.doc).strip():
            refuse(
                f"{cls.__name__}.Params.{each.name} has no explanation",
                "`gan-bench show` prints one line for each parameter",
                f'write {each.name}: … = param({each.default}, "its meaning")',
            )
    _check_defaults(cls)


def _check_defaults(cls: type[Any]) -> None:
    for name, problem in wrong_defaults(cls.Params).items():
        refuse(
            f"the default of {cls.__name__}.Params.{name} is not allowed: {problem}",
            "a benchmark file that states the default would be rejected",
            "correct the default, the type or the range",
        )


def complaints(params: type[Any], values: TomlTable) -> list[str]:
    """Return the problems that a benchmark file with these values of parameters would have."""
    found: list[str] = []
    with suppress(PluginError):  # a type that no file can contain: `check_parameters` reports it
        checked(params, values, lambda _, message: found.append(message))
    return found


def _untyped(params: type[Any]) -> Iterator[str]:
    """Yield the names of values in a `Params` class that are not fields."""
    typed = {name for each in params.__mro__ for name in inspect.get_annotations(each)}
    fields = set(getattr(params, "__dataclass_fields__", {}))
    if params is NoParams:
        return
    for cls in params.__mro__[:-1]:
        for name, value in vars(cls).items():
            is_value = isinstance(value, (bool, int, float, str, tuple, list, dict)) or value is None
            if is_value and not name.startswith("_") and name not in fields | typed:
                yield name


def _type_of(params: type[Any], name: str) -> str:
    return type(getattr(params, name)).__name__


def check_described(cls: type[Any]) -> None:
    """Check that a class has its own docstring, whose first line `gan-bench list` shows."""
    if not (cls.__doc__ or "").strip() or _is_generated(cls):
        refuse(
            f"{cls.__name__} has no docstring",
            "`gan-bench list` shows its first line",
            "write one line that describes the plugin, and its source below",
        )


def check_cited(cls: type[Any]) -> None:
    """Check for a year in parentheses, an arXiv number or a DOI in the docstring of the class or its file."""
    check_described(cls)
    text = f"{cls.__doc__}\n{getattr(sys.modules.get(cls.__module__), '__doc__', None) or ''}"
    if not YEAR.search(text) and not IDENTIFIER.search(text):
        refuse(
            f"the docstring of {cls.__name__} contains no reference",
            "readers of a table must be able to look up each model",
            "add the year in parentheses, an arXiv number or a DOI; for your own idea: (Your Name, unpublished, 2026)",
        )


def _is_generated(cls: type[Any]) -> bool:
    """Whether a docstring is the signature that a dataclass without a docstring gets."""
    return bool((cls.__doc__ or "").startswith(f"{cls.__name__}("))


def check_streams(what: str, run: Callable[[], Any]) -> None:
    """Check that `run` does not draw from a random stream that all code shares."""
    with streams_from(UNUSUAL):  # not the state after the same seed as that of an earlier call
        before = global_streams()
        run()
        after = global_streams()
    for name, state in after.items():
        if state != before[name]:
            refuse(
                f"{what} draws from the global random stream of {name}",
                "a run would depend on earlier code, and a resumed run would differ from an uninterrupted one",
                "draw from the random generator in the arguments; for a loss, declare the tensor in noise()",
            )


@contextmanager
def streams_from(seed: int) -> Iterator[None]:
    """Seed the global random streams for the block, and restore their states afterwards."""
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])
        random.setstate(kept[2])
