"""Validation of objects that a plugin's hooks return."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from gan_bench.contracts.metric import Scale
from gan_bench.contracts.parameters import describe, wrong_defaults
from gan_bench.contracts.unimplemented import Unimplemented
from gan_bench.errors import PluginError
from gan_bench.plugins.kinds import PUBLISHED, RESERVED, UNIMPLEMENTED


def find_problem(kind: str, item: Any) -> str | None:
    """Describe the problem of an object that a hook returned; None if it is valid."""
    if kind == UNIMPLEMENTED:
        return _problem_of_unimplemented(item)
    if kind == PUBLISHED:
        return _problem_of_file(item)
    if not isinstance(item, type):
        return f"gan_bench_{kind} returned {type(item).__name__}, not a class"
    base = _contract(kind)
    if not issubclass(item, base):
        return f"gan_bench_{kind} returned {item.__name__}, which is not a subclass of {base.__name__}"
    name = getattr(item, "name", None)
    if not _is_name(name):
        return f"{item.__name__}.name must consist of letters, digits, - and _, found {name!r}"
    missing = sorted(getattr(item, "__abstractmethods__", ()))
    if kind == "metrics":
        missing += [each for each in ("direction", "unit") if not hasattr(item, each)]
    if missing:
        return f"{item.__name__} must define {', '.join(missing)}"
    scale = getattr(item, "scale", None)
    if kind == "metrics" and scale not in get_args(Scale):
        return f"{item.__name__}.scale must be one of {', '.join(get_args(Scale))}, found {scale!r}"
    return _problem_of_params(item) if hasattr(item, "Params") else None


def _problem_of_unimplemented(item: Any) -> str | None:
    if not isinstance(item, Unimplemented):
        return f"gan_bench_{UNIMPLEMENTED} returned {type(item).__name__}, not an {Unimplemented.__name__}"
    if not _is_name(item.name):
        return f"{Unimplemented.__name__}.name must consist of letters, digits, - and _, found {item.name!r}"
    return item.complaint()


def _problem_of_file(item: Any) -> str | None:
    if isinstance(item, Path) and item.is_absolute():
        return None
    found = str(item) if isinstance(item, Path) else type(item).__name__
    return f"gan_bench_{PUBLISHED} must return absolute paths, found {found}; return [Path(__file__).with_name(…)]"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.replace("-", "").replace("_", "").isalnum()


def _problem_of_params(item: type[Any]) -> str | None:
    try:
        taken = [each.name for each in describe(item.Params) if each.name in RESERVED]
        wrong = wrong_defaults(item.Params)
    except PluginError as error:
        return str(error)
    if taken:
        return f"{item.__name__}.Params must not define {taken[0]!r}; the benchmark file reserves {', '.join(RESERVED)}"
    return next((f"{item.__name__}.Params.{name} has an invalid default: {text}" for name, text in wrong.items()), None)


def _contract(kind: str) -> type[Any]:
    """Base class of one kind, imported late because some need torch."""
    if kind == "models":
        from gan_bench.contracts.model import Model

        return Model
    if kind == "networks":
        from gan_bench.contracts.network import Network

        return Network
    if kind == "datasets":
        from gan_bench.contracts.dataset import Dataset

        return Dataset
    if kind == "engines":
        from gan_bench.contracts.engine import Engine

        return Engine
    if kind == "observers":
        from gan_bench.contracts.observer import Observer

        return Observer
    from gan_bench.contracts.metric import Metric

    return Metric
