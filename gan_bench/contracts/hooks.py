"""Hooks of gan-bench, by which plugins provide classes. A plugin implements those it needs with `@hookimpl`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from gan_bench.contracts.unimplemented import Unimplemented

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset
    from gan_bench.contracts.engine import Engine
    from gan_bench.contracts.metric import Metric
    from gan_bench.contracts.model import Model
    from gan_bench.contracts.network import Network
    from gan_bench.contracts.observer import Observer

PROJECT = "gan_bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def gan_bench_models() -> Iterable[type[Model]]:  # type: ignore[empty-body]
    """Return the models of this plugin."""


@hookspec
def gan_bench_networks() -> Iterable[type[Network]]:  # type: ignore[empty-body]
    """Return the networks of this plugin."""


@hookspec
def gan_bench_datasets() -> Iterable[type[Dataset]]:  # type: ignore[empty-body]
    """Return the datasets of this plugin."""


@hookspec
def gan_bench_metrics() -> Iterable[type[Metric]]:  # type: ignore[empty-body]
    """Return the metrics of this plugin."""


@hookspec
def gan_bench_unimplemented() -> Iterable[Unimplemented]:  # type: ignore[empty-body]
    """Return systems that this plugin lists without implementing them, each with a description and a reason."""


@hookspec
def gan_bench_engines() -> Iterable[type[Engine]]:  # type: ignore[empty-body]
    """Return the engines of this plugin. An engine executes runs; `--engine` selects it."""


@hookspec
def gan_bench_observers() -> Iterable[type[Observer]]:  # type: ignore[empty-body]
    """Return the observers of this plugin. Those that a benchmark or command names receive its events."""


@hookspec
def gan_bench_published() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return the files of published figures of this plugin, for `gan-bench table --published`."""


@dataclass(frozen=True)
class Unloaded:
    """Replacement for a class whose module failed to import; the other classes of the hook still load."""

    name: str
    error: BaseException
