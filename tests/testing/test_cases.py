"""The contract kit as classes to subclass: a pytest test for each check."""

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

pytest_plugins = ["pytester"]

CASES: dict[type[PluginTestCase], type[Any]] = {
    ModelTestCase: GAN,
    DatasetTestCase: Ring8,
    MetricTestCase: Modes,
    NetworkTestCase: MLP,
}


def names(case: type[PluginTestCase]) -> list[str]:
    """The names of the tests of a class, in their order."""
    return [name for name in vars(case) if name.startswith("test_")]


class TestRing(DatasetTestCase):
    """The checks of a dataset, carried out by pytest beside a test of the author's own."""

    plugin = Ring8

    def test_of_the_author(self) -> None:
        """Other tests belong in the class as well."""
        assert self.plugin.name == "ring8"


@pytest.mark.parametrize(("base", "plugin"), CASES.items())
def test_every_check_is_a_test(base: type[PluginTestCase], plugin: type[Any]) -> None:
    """In the order of the checks; the docstring of a test is the promise of its check."""
    case = type("TestPlugin", (base,), {"plugin": plugin})
    assert names(case) == [f"test_{check}".replace("-", "_") for check in checks(plugin)]
    assert [getattr(case, name).__doc__ for name in names(case)] == [check.promise for check in checks(plugin)]


def test_pytest_collects_them(pytester: pytest.Pytester) -> None:
    """By readable names, from the subclass only."""
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


def test_a_fault_is_raised_once() -> None:
    """By the test of its check; those of checks that build upon it are skipped with the reason."""

    class Case(ModelTestCase):
        plugin = faults.Undone

    with pytest.raises(Fault, match="Undone must define build"):
        Case().test_builds()
    with pytest.raises(unittest.SkipTest, match="since builds failed"):
        Case().test_resumes()


def test_a_method_replaces_the_check_of_its_name() -> None:
    """Also one of a base class without a plugin, which its subclasses share."""

    class Base(ModelTestCase):
        def test_citation(self) -> None:
            """It is our own."""

    class Case(Base):
        plugin = faults.Uncited

    Case().test_citation()
    assert "test_citation" not in names(Case) and "test_builds" in names(Case)


def test_a_subclass_may_name_another_plugin() -> None:
    """Inherited tests are of the new plugin; those of checks that it does not have are skipped."""

    class Case(ModelTestCase):
        plugin = GAN

    class Anchor(Case):
        plugin = RealData

    assert Anchor.by_test.keys() == {"test_parameters", "test_builds", "test_answers", "test_index"}
    Anchor().test_builds()
    with pytest.raises(unittest.SkipTest, match="RealData has no such check"):
        Anchor().test_losses()


def test_the_registry_is_that_of_the_class() -> None:
    """Datasets and networks to try a plugin with may be given."""
    empty = gan_bench.load_plugins(kinds=())

    class Case(ModelTestCase):
        plugin = GAN
        registry = empty

    with pytest.raises(Fault, match="No network is called 'dcgan'"):
        Case().test_builds()


@pytest.mark.parametrize(
    ("base", "plugin"), [(ModelTestCase, Ring8), (DatasetTestCase, GAN), (MetricTestCase, "modes")]
)
def test_a_plugin_of_another_kind_is_refused(base: type[PluginTestCase], plugin: object) -> None:
    """When the class is defined, so that pytest shows it as an error of the module."""
    with pytest.raises(PluginError, match=rf"TestIt\.plugin is .*, which is no {base.kind.__name__}\."):
        type("TestIt", (base,), {"plugin": plugin})


def test_pytest_is_not_needed() -> None:
    """`gan-bench check` uses the kit where pytest is not installed."""
    folder = Path(gan_bench.testing.__file__).parent
    nodes = [node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    assert modules and not any(str(name).split(".")[0] in ("pytest", "_pytest") for name in modules)
