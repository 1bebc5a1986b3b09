"""The hooks of gan-bench: what a plugin may provide. A plugin implements those it needs with `@hookimpl`."""

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
    """Return the models this plugin brings."""


@hookspec
def gan_bench_networks() -> Iterable[type[Network]]:  # type: ignore[empty-body]
    """Return the networks this plugin brings."""


@hookspec
def gan_bench_datasets() -> Iterable[type[Dataset]]:  # type: ignore[empty-body]
    """Return the datasets this plugin brings."""


@hookspec
def gan_bench_metrics() -> Iterable[type[Metric]]:  # type: ignore[empty-body]
    """Return the metrics this plugin brings."""


@hookspec
def gan_bench_unimplemented() -> Iterable[Unimplemented]:  # type: ignore[empty-body]
    """Return the systems this plugin names without implementing them: what each is, and why it cannot be compared."""


@hookspec
def gan_bench_engines() -> Iterable[type[Engine]]:  # type: ignore[empty-body]
    """Return the engines this plugin brings: where runs are carried out, chosen with `--engine`."""


@hookspec
def gan_bench_observers() -> Iterable[type[Observer]]:  # type: ignore[empty-body]
    """Return the observers this plugin brings: one of each hears of every benchmark that runs."""


@hookspec
def gan_bench_published() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return the files of published figures this plugin brings, for `gan-bench table --published`."""


@dataclass(frozen=True)
class Unloaded:
    """What a hook returns in place of a class whose module failed to import, so that the rest still loads."""

    name: str
    error: BaseException
