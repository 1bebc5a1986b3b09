"""Compare GANs that hold several generators: one file in, one honest table out.

The functions here are for scripts and notebooks; `gan-bench --help` is for the terminal. Everything is imported
when it is first used, so that reading results needs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "run": "gan_bench.api",
    "evaluate": "gan_bench.api",
    "load_run": "gan_bench.api",
    "StoredModel": "gan_bench.api",
    "load_results": "gan_bench.results",
    "table": "gan_bench.tables",
    "Dataset": "gan_bench.dataset",
    "Fake": "gan_bench.model",
    "Metric": "gan_bench.metric",
    "Model": "gan_bench.model",
    "Network": "gan_bench.network",
    "Networks": "gan_bench.network",
    "Real": "gan_bench.dataset",
    "Samples": "gan_bench.metric",
    "Turn": "gan_bench.model",
    "hookimpl": "gan_bench.hookspecs",
    "param": "gan_bench.parameters",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gan_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
