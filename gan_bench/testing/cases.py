"""Contract kit as test cases: classes to subclass for a plugin, with a pytest test for each check.

    class TestMyGAN(ModelTestCase):
        plugin = MyGAN

pytest then collects `TestMyGAN::test_builds`, `TestMyGAN::test_own_parameters` and so on. A test of the same name in
the subclass replaces a check. pytest is not imported here: it collects the classes by their names.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.engine import Engine
from gan_bench.contracts.metric import Metric
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Network
from gan_bench.contracts.observer import Observer
from gan_bench.errors import PluginError
from gan_bench.plugins.registry import Registry
from gan_bench.testing.checks import Check
from gan_bench.testing.kit import checks


class PluginTestCase:
    """Base class of the test cases. A subclass that sets `plugin` gets a test for each check.

    Attributes:
        kind: the base class of the plugins.
        plugin: the class to check.
        registry: the datasets and networks to run it with; None for the installed plugins.
        by_test: the checks by name of their test.
    """

    kind: ClassVar[type[Any]]
    plugin: ClassVar[Any] = None
    registry: ClassVar[Registry | None] = None
    by_test: ClassVar[Mapping[str, Check]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.plugin is None:
            return
        if not (isinstance(cls.plugin, type) and issubclass(cls.plugin, cls.kind)):
            raise PluginError(f"{cls.__name__}.plugin must be a subclass of {cls.kind.__name__}, found {cls.plugin!r}.")
        cls.by_test = {f"test_{check.name.replace('-', '_')}": check for check in checks(cls.plugin, cls.registry)}
        for name, check in cls.by_test.items():
            if not hasattr(cls, name):
                setattr(cls, name, _test(name, check.promise))


def _test(name: str, promise: str) -> Callable[[PluginTestCase], None]:
    """Return a method that runs the check with its name."""

    def test(self: PluginTestCase) -> None:
        __tracebackhide__ = True
        # A subclass may inherit the tests of a plugin that has more checks.
        if name not in self.by_test:
            raise unittest.SkipTest(f"{self.plugin.__name__} has no check for {name}")
        self.by_test[name]()

    test.__name__, test.__doc__ = name, promise
    return test


class ModelTestCase(PluginTestCase):
    """Checks of a model as tests; set `plugin` to its class."""

    kind = Model


class DatasetTestCase(PluginTestCase):
    """Checks of a dataset as tests; set `plugin` to its class."""

    kind = Dataset


class MetricTestCase(PluginTestCase):
    """Checks of a metric as tests; set `plugin` to its class."""

    kind = Metric


class NetworkTestCase(PluginTestCase):
    """Checks of a network as tests; set `plugin` to its class."""

    kind = Network


class EngineTestCase(PluginTestCase):
    """Checks of an engine as tests; set `plugin` to its class."""

    kind = Engine


class ObserverTestCase(PluginTestCase):
    """Checks of an observer as tests; set `plugin` to its class."""

    kind = Observer
