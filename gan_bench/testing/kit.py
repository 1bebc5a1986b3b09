"""All checks of a plugin, and their findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.engine import Engine
from gan_bench.contracts.metric import Metric
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Network
from gan_bench.contracts.observer import Observer
from gan_bench.errors import PluginError
from gan_bench.plugins.registry import Registry
from gan_bench.testing import datasets, engines, metrics, models, networks, observers
from gan_bench.testing.checks import Check, Finding

KINDS: Mapping[type[Any], Callable[[type[Any], Registry | None], list[Check]]] = {
    Model: models.checks,
    Dataset: datasets.checks,
    Metric: metrics.checks,
    Network: networks.checks,
    Engine: engines.checks,
    Observer: observers.checks,
}
"""Function that returns the checks of a plugin, by base class."""


def checks(cls: type[Any], registry: Registry | None = None) -> list[Check]:
    """Return the checks of a plugin, ordered so that each needs only earlier ones.

    Args:
        cls: the plugin's class.
        registry: the datasets and networks to run it with; None for the installed plugins. Engines and observers
            need none.

    Raises:
        PluginError: the class is not a subclass of any contract.
    """
    for base, checks_of in KINDS.items():
        if isinstance(cls, type) and issubclass(cls, base):
            return checks_of(cls, registry)
    raise PluginError(f"{cls!r} is not a subclass of Model, Dataset, Metric, Network, Engine or Observer.")


def examine(cls: type[Any], registry: Registry | None = None) -> list[Finding]:
    """Run all checks of a plugin and return their findings, including exceptions of the plugin."""
    reports = [check.report() for check in checks(cls, registry)]
    return [report.finding for report in reports if report.finding is not None]
