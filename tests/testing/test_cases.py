"""Test cases of the contract kit: subclasses have a pytest test for each check."""

from __future__ import annotations

import ast
import unittest
from pathlib import Path
from typing import Any

import pytest
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.metrics.modes import Modes
from gan_bench_zoo.models.anchors import RealData
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.networks.mlp import MLP

import gan_bench.testing
from gan_bench.errors import PluginError
from gan_bench.testing import DatasetTestCase, Fault, MetricTestCase, ModelTestCase, NetworkTestCase, checks
from gan_bench.testing.cases import PluginTestCase
from tests.support import faults
from tests.support.messages import Messages

pytest_plugins = ["pytester"]

CASES: dict[type[PluginTestCase], type[Any]] = {
    ModelTestCase: GAN,
    DatasetTestCase: Ring8,
    MetricTestCase: Modes,
    NetworkTestCase: MLP,
}


def names(case: type[PluginTestCase]) -> list[str]:
    """Names of the tests of a class, in their order."""
    return [name for name in vars(case) if name.startswith("test_")]


class TestRing(DatasetTestCase):
    """The checks of a dataset and a test that its author added."""

    plugin = Ring8

    def test_of_the_author(self) -> None:
        """A test case may contain further tests."""
        assert self.plugin.name == "ring8"


@pytest.mark.parametrize(("base", "plugin"), CASES.items())
def test_every_check_is_a_test(base: type[PluginTestCase], plugin: type[Any]) -> None:
    """Tests are in the order of the checks. The docstring of a test is the promise of its check."""
    case = type("TestPlugin", (base,), {"plugin": plugin})
    assert names(case) == [f"test_{check}".replace("-", "_") for check in checks(plugin)]
    assert [getattr(case, name).__doc__ for name in names(case)] == [check.promise for check in checks(plugin)]


def test_pytest_collects_them(pytester: pytest.Pytester) -> None:
    """pytest collects readable names, from the subclass only."""
    pytester.makepyfile(
        """
        from gan_bench.testing import MetricTestCase
        from gan_bench_zoo.metrics.modes import Modes

        class TestModes(MetricTestCase):
            plugin = Modes
        """
    )
    items, _ = pytester.inline_genitems()
    found = [item.nodeid.partition("::")[2] for item in items]
    assert found[:3] == ["TestModes::test_declared", "TestModes::test_description", "TestModes::test_prepared"]
    assert len(found) == len(checks(Modes))


def test_a_fault_is_raised_once(messages: Messages) -> None:
    """The test of its check raises a fault. Tests of checks that need that one are skipped with the reason."""

    class Case(ModelTestCase):
        plugin = faults.Undone

    with messages.raises(Fault, "Undone"):
        Case().test_builds()
    with messages.raises(unittest.SkipTest, "builds"):
        Case().test_resumes()


def test_a_method_replaces_the_check_of_its_name() -> None:
    """The method may be in a base class without a plugin, which subclasses share."""

    class Base(ModelTestCase):
        def test_citation(self) -> None:
            """Replaces the check."""

    class Case(Base):
        plugin = faults.Uncited

    Case().test_citation()
    assert "test_citation" not in names(Case) and "test_builds" in names(Case)


def test_a_subclass_may_set_another_plugin(messages: Messages) -> None:
    """Inherited tests check the new plugin. Tests of checks that it does not have are skipped."""

    class Case(ModelTestCase):
        plugin = GAN

    class Anchor(Case):
        plugin = RealData

    assert Anchor.by_test.keys() == {"test_parameters", "test_builds", "test_answers", "test_index"}
    Anchor().test_builds()
    with messages.raises(unittest.SkipTest, "RealData", "test_losses"):
        Anchor().test_losses()


def test_the_registry_of_the_class_is_used() -> None:
    """Datasets and networks to run a plugin with are those of `registry`."""
    empty = gan_bench.load_plugins(kinds=())

    class Case(ModelTestCase):
        plugin = GAN
        registry = empty

    with pytest.raises(Fault, match="No network is called 'dcgan'"):
        Case().test_builds()


@pytest.mark.parametrize(
    ("base", "plugin"), [(ModelTestCase, Ring8), (DatasetTestCase, GAN), (MetricTestCase, "modes")]
)
def test_a_plugin_of_another_kind_is_refused(base: type[PluginTestCase], plugin: object, messages: Messages) -> None:
    """The definition of the class raises the error, so that pytest shows it as an error of the module."""
    with messages.raises(PluginError, "TestIt.plugin", base.kind.__name__, repr(plugin)):
        type("TestIt", (base,), {"plugin": plugin})


def test_pytest_is_not_needed() -> None:
    """`gan-bench check` uses the kit without pytest."""
    folder = Path(gan_bench.testing.__file__).parent
    nodes = [node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    assert modules and not any(str(name).split(".")[0] in ("pytest", "_pytest") for name in modules)
