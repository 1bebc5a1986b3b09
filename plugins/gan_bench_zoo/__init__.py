"""The built-in models, networks, datasets and metrics: one paper, one file, through the same hooks as any plugin.

Each module is imported on its own: if one fails, it is listed as broken and the others still load.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gan_bench.contracts.hooks import Unloaded, hookimpl
from gan_bench.contracts.unimplemented import Unimplemented


def _classes(kind: str) -> Iterator[type[Any] | Unloaded]:
    """Return every class with a `name` that a module of one kind defines; modules with a leading `_` are helpers."""
    package = importlib.import_module(f"{__name__}.{kind}")
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_"):
            continue
        try:
            module = importlib.import_module(f"{package.__name__}.{info.name}")
        except Exception as error:  # listed as broken; the rest goes on
            yield Unloaded(info.name.replace("_", "-"), error)
            continue
        for _, item in inspect.getmembers(module, inspect.isclass):
            if item.__module__ == module.__name__ and isinstance(getattr(item, "name", None), str):
                yield item


@hookimpl
def gan_bench_models() -> Iterator[Any]:
    """One file a paper, in `models/`."""
    return _classes("models")


@hookimpl
def gan_bench_networks() -> Iterator[Any]:
    """One file an architecture, in `networks/`."""
    return _classes("networks")


@hookimpl
def gan_bench_datasets() -> Iterator[Any]:
    """One file a family of data, in `datasets/`."""
    return _classes("datasets")


@hookimpl
def gan_bench_metrics() -> Iterator[Any]:
    """One file an idea, in `metrics/`."""
    return _classes("metrics")


@hookimpl
def gan_bench_unimplemented() -> Iterable[Unimplemented]:
    """Models that the papers name and that are not implemented, in `unimplemented.py`."""
    from gan_bench_zoo.unimplemented import SYSTEMS

    return SYSTEMS


@hookimpl
def gan_bench_published() -> Iterator[Path]:
    """Figures that papers report, and those of others who trained the same models, in `published.csv`."""
    yield Path(__file__).with_name("published.csv")
