"""Built-in models, networks, datasets and metrics, registered through the same hooks as any plugin.

Modules are imported separately: if one fails, it is listed as broken and the others are still loaded.
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
    """Yield every class with a `name` that a module of one kind defines. Modules with a leading `_` are helpers."""
    package = importlib.import_module(f"{__name__}.{kind}")
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_"):
            continue
        try:
            module = importlib.import_module(f"{package.__name__}.{info.name}")
        except Exception as error:  # listed as broken; the other modules are still loaded
            yield Unloaded(info.name.replace("_", "-"), error)
            continue
        for _, item in inspect.getmembers(module, inspect.isclass):
            if item.__module__ == module.__name__ and isinstance(getattr(item, "name", None), str):
                yield item


@hookimpl
def gan_bench_models() -> Iterator[Any]:
    """Return the models in `models/`, one module per paper."""
    return _classes("models")


@hookimpl
def gan_bench_networks() -> Iterator[Any]:
    """Return the networks in `networks/`, one module per architecture."""
    return _classes("networks")


@hookimpl
def gan_bench_datasets() -> Iterator[Any]:
    """Return the datasets in `datasets/`, one module per family of data."""
    return _classes("datasets")


@hookimpl
def gan_bench_metrics() -> Iterator[Any]:
    """Return the metrics in `metrics/`, one module per definition."""
    return _classes("metrics")


@hookimpl
def gan_bench_unimplemented() -> Iterable[Unimplemented]:
    """Return the models in `unimplemented.py`, which the papers name and the zoo does not implement."""
    from gan_bench_zoo.unimplemented import SYSTEMS

    return SYSTEMS


@hookimpl
def gan_bench_published() -> Iterator[Path]:
    """Yield the path of `published.csv`, with values reported in papers and in later work on the same models."""
    yield Path(__file__).with_name("published.csv")
