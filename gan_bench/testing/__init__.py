"""The contract kit: whether a plugin keeps the promises that the built-in ones keep, in seconds, on a CPU.

As a test of one's own:

    @pytest.mark.parametrize("check", checks(MyGAN), ids=str)
    def test_contract(check): check()

Each check passes silently or raises `Fault`, which says what was found, why it matters and what to do. One that
builds upon another that has failed raises `unittest.SkipTest`, so that one mistake is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.metric import Metric
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Network
from gan_bench.errors import PluginError
from gan_bench.plugins.registry import Registry
from gan_bench.testing.checks import Check, Fault, Finding
from gan_bench.testing.datasets import checks as _of_dataset
from gan_bench.testing.metrics import checks as _of_metric
from gan_bench.testing.models import checks as _of_model
from gan_bench.testing.networks import checks as _of_network
from gan_bench.testing.tiny import protocol, trainer

__all__ = ["Check", "Fault", "Finding", "checks", "examine", "protocol", "trainer"]

_KINDS: Mapping[type[Any], Callable[[type[Any], Registry | None], list[Check]]] = {
    Model: _of_model,
    Dataset: _of_dataset,
    Metric: _of_metric,
    Network: _of_network,
}


def checks(cls: type[Any], registry: Registry | None = None) -> list[Check]:
    """The checks of a model, dataset, metric or network, in an order in which each builds upon earlier ones.

    Args:
        cls: the plugin's class.
        registry: where datasets and networks to try it with come from; the installed plugins where it is None.

    Raises:
        PluginError: it is none of the four.
    """
    for base, of in _KINDS.items():
        if isinstance(cls, type) and issubclass(cls, base):
            return of(cls, registry)
    raise PluginError(f"{cls!r} is no subclass of Model, Dataset, Metric or Network.")


def examine(cls: type[Any], registry: Registry | None = None) -> list[Finding]:
    """Carry out all checks of a plugin; what any of them found, an exception of the plugin's own included."""
    reports = [check.report() for check in checks(cls, registry)]
    return [report.finding for report in reports if report.finding is not None]
