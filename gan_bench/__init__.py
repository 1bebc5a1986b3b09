"""Compare GANs that hold several generators: one file in, one honest table out.

The functions here are for scripts and notebooks; `gan-bench --help` is for the terminal. Everything is imported
when it is first used, so that reading results needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers, which do not follow `__getattr__`
    from gan_bench.api import evaluate as evaluate
    from gan_bench.api import load_run as load_run
    from gan_bench.api import run as run
    from gan_bench.contracts.dataset import Dataset as Dataset
    from gan_bench.contracts.dataset import Real as Real
    from gan_bench.contracts.hooks import hookimpl as hookimpl
    from gan_bench.contracts.metric import Metric as Metric
    from gan_bench.contracts.metric import Samples as Samples
    from gan_bench.contracts.model import Fake as Fake
    from gan_bench.contracts.model import Model as Model
    from gan_bench.contracts.model import Stage as Stage
    from gan_bench.contracts.model import Turn as Turn
    from gan_bench.contracts.network import Network as Network
    from gan_bench.contracts.network import Networks as Networks
    from gan_bench.contracts.parameters import param as param
    from gan_bench.report.published.load import published as published
    from gan_bench.report.tables.build import table as table
    from gan_bench.results.class_shares import load_classes as load_classes
    from gan_bench.results.load import load_results as load_results
    from gan_bench.running.stored_model import StoredModel as StoredModel

_HOMES = {
    "run": "gan_bench.api",
    "evaluate": "gan_bench.api",
    "load_run": "gan_bench.api",
    "StoredModel": "gan_bench.api",
    "load_results": "gan_bench.results.load",
    "load_classes": "gan_bench.results.class_shares",
    "published": "gan_bench.report.published.load",
    "table": "gan_bench.report.tables.build",
    "Dataset": "gan_bench.contracts.dataset",
    "Fake": "gan_bench.contracts.model",
    "Metric": "gan_bench.contracts.metric",
    "Model": "gan_bench.contracts.model",
    "Network": "gan_bench.contracts.network",
    "Networks": "gan_bench.contracts.network",
    "Real": "gan_bench.contracts.dataset",
    "Samples": "gan_bench.contracts.metric",
    "Stage": "gan_bench.contracts.model",
    "Turn": "gan_bench.contracts.model",
    "hookimpl": "gan_bench.contracts.hooks",
    "param": "gan_bench.contracts.parameters",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gan_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
