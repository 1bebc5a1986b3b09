"""Engines execute jobs and report their events. This package is the plugin that provides the built-in ones."""

from __future__ import annotations

from collections.abc import Iterator

from gan_bench.contracts.engine import Engine
from gan_bench.contracts.hooks import hookimpl


@hookimpl
def gan_bench_engines() -> Iterator[type[Engine]]:
    """Yield the engine that uses this machine, and the one that uses a Ray cluster."""
    from gan_bench.running.engines.cluster.ray import RayEngine
    from gan_bench.running.engines.local import LocalEngine

    yield LocalEngine
    yield RayEngine
