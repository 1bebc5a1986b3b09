"""Compare GANs that hold several generators: one file in, one honest table out.

The functions here are for scripts and notebooks; `gan-bench --help` is for the terminal. Everything is imported
when it is first used, so that reading results needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers, which do not follow `__getattr__`
    from gan_bench.api import StoredModel as StoredModel
    from gan_bench.api import evaluate as evaluate
    from gan_bench.api import load_run as load_run
    from gan_bench.api import run as run
    from gan_bench.dataset import Dataset as Dataset
    from gan_bench.dataset import Real as Real
    from gan_bench.hookspecs import hookimpl as hookimpl
    from gan_bench.literature import published as published
    from gan_bench.metric import Metric as Metric
    from gan_bench.metric import Samples as Samples
    from gan_bench.model import Fake as Fake
    from gan_bench.model import Model as Model
    from gan_bench.model import Stage as Stage
    from gan_bench.model import Turn as Turn
    from gan_bench.network import Network as Network
    from gan_bench.network import Networks as Networks
    from gan_bench.parameters import param as param
    from gan_bench.results import load_results as load_results
    from gan_bench.shares import load_classes as load_classes
    from gan_bench.tables import table as table

_HOMES = {
    "run": "gan_bench.api",
    "evaluate": "gan_bench.api",
    "load_run": "gan_bench.api",
    "StoredModel": "gan_bench.api",
    "load_results": "gan_bench.results",
    "load_classes": "gan_bench.shares",
    "published": "gan_bench.literature",
    "table": "gan_bench.tables",
    "Dataset": "gan_bench.dataset",
    "Fake": "gan_bench.model",
    "Metric": "gan_bench.metric",
    "Model": "gan_bench.model",
    "Network": "gan_bench.network",
    "Networks": "gan_bench.network",
    "Real": "gan_bench.dataset",
    "Samples": "gan_bench.metric",
    "Stage": "gan_bench.model",
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
