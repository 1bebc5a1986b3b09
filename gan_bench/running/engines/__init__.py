"""Engines execute jobs and report their events. This package is the plugin that provides the built-in one."""

from __future__ import annotations

from collections.abc import Iterator

from gan_bench.contracts.engine import Engine
from gan_bench.contracts.hooks import hookimpl


@hookimpl
def gan_bench_engines() -> Iterator[type[Engine]]:
    """Yield the engine that uses this machine."""
    from gan_bench.running.engines.local import LocalEngine

    yield LocalEngine
