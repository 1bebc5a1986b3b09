"""Tests of the discovery of plugins, installed or in files. A broken plugin affects no other."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import gan_bench_zoo
import pytest
from gan_bench_zoo.models.gan import GAN

from gan_bench import hookimpl
from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.engine import Engine
from gan_bench.contracts.hooks import Unloaded
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Network
from gan_bench.contracts.observer import Observer
from gan_bench.errors import BrokenPluginError, PluginError
from gan_bench.names import listed
from gan_bench.plugins.discovery import load_plugins, plugin_files, plugin_folders
from gan_bench.plugins.kinds import KINDS
from gan_bench.plugins.registry import Origin, Registry
from tests.support.messages import Messages

MODEL = """
from gan_bench import Model, hookimpl

class Mine(Model):
    name = "{name}"

@hookimpl
def gan_bench_models():
    return [Mine]
"""

CONTRACTS = (Model, Network, Dataset, Metric, Engine, Observer)

BROKEN = {
    "syntax": ("def f(:", r"SyntaxError: .*syntax\.py, line 1"),
    "importing": (
        "import no_such_module",
        r"ModuleNotFoundError: No module named 'no_such_module' \(importing\.py:1\)",
    ),
    "leaving": ("import sys\nsys.exit(3)", r"SystemExit: 3 \(leaving\.py:2\)"),
    "raising": (
        "from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_models():\n    raise ValueError('one\\ntwo')",
        r"ValueError: one \(raising\.py:4\)",
    ),
    "lazily": (
        "from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_models():\n    yield 1/0",
        r"ZeroDivisionError.*\(lazily\.py:4\)",
    ),
    "instance": (
        "from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_models():\n    return [7]",
        "int, ",
    ),
    "foreign": (
        "from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_models():\n    return [dict]",
        "dict, .*Model",
    ),
    "number": ("from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_models():\n    return 7", "TypeError"),
    "misspelt": (
        "from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_modles():\n    return []",
        "gan_bench_modles",
    ),
    "unnamed": (MODEL.format(name="no name"), r"Mine\.name .*'no name'"),
}
"""Broken plugin files, and the error that is reported for each."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder for plugin files."""
    return tmp_path


def write(folder: Path, **files: str) -> Path:
    """Write plugin files, by stem."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def available(registry: Registry, kind: str) -> str:
    """List of all names of a kind, as in messages."""
    return listed([*registry.all(kind), *(registry.unimplemented() if kind == "models" else ())])


class TestBuiltIn:
    def test_are_found_by_the_entry_point(self) -> None:
        """The core contains no list of plugins: the zoo is an installed plugin, and no part of it is broken."""
        registry = load_plugins()
        assert registry.broken == []
        assert {"gan", "unrolled-gan", "d2gan", "mgan", "mad-gan", "multi-discriminator"} <= set(registry.all("models"))
        assert {"real-data", "untrained"} <= set(registry.all("models"))
        assert "mlp" in registry.all("networks")
        assert str(registry.origin("models", "mgan")).startswith("gan-bench ")

    @pytest.mark.parametrize(("kind", "base"), list(zip(KINDS, CONTRACTS, strict=True)))
    def test_have_their_base_class_and_a_docstring(self, kind: str, base: type[Any]) -> None:
        """`list` shows the first line of each docstring."""
        for name, item in load_plugins().all(kind).items():
            assert issubclass(item, base), name
            assert (item.__doc__ or "").strip(), name

    def test_a_failed_import_affects_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A module of the zoo that cannot be imported is listed as broken, and all others are registered."""
        monkeypatch.setitem(sys.modules, "gan_bench_zoo.models.mad_gan", None)
        registry = load_plugins()
        assert [broken.name for broken in registry.broken] == ["mad-gan"]
        assert "mgan" in registry.all("models")
        with pytest.raises(BrokenPluginError, match=r"'mad-gan' .* ModuleNotFoundError"):
            registry.get("models", "mad-gan")

    def test_an_installed_plugin_that_cannot_be_loaded_is_listed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry point without a module is broken, and the others are loaded."""
        entries = importlib.metadata.entry_points(group="gan_bench")
        nowhere = importlib.metadata.EntryPoint("nowhere", "no_such_package", "gan_bench")
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [nowhere, *entries])
        registry = load_plugins()
        assert [(each.name, each.origin.path) for each in registry.broken] == [("nowhere", "no_such_package")]
        assert "mgan" in registry.all("models")


class TestFiles:
    def test_are_plugins(self, folder: Path) -> None:
        """A file in the folder provides its model, whose origin is the file."""
        registry = load_plugins([write(folder, mine=MODEL.format(name="my-gan"))])
        assert registry.get("models", "my-gan").__name__ == "Mine"
        assert registry.origin("models", "my-gan") == Origin("mine.py", "", str(folder / "mine.py"))

    @pytest.mark.parametrize("name", BROKEN)
    def test_that_are_broken_are_listed_and_affect_no_other(self, folder: Path, name: str) -> None:
        """A file that fails in any way is listed with its error in one line, and other plugins are registered."""
        text, message = BROKEN[name]
        registry = load_plugins([write(folder, **{name: text}, mine=MODEL.format(name="my-gan"))])
        (broken,) = registry.broken
        assert re.search(message, broken.error)
        assert "\n" not in broken.error
        assert broken.origin.path == str(folder / f"{name}.py")
        assert {"my-gan", "mgan"} <= set(registry.all("models"))

    def test_that_are_broken_are_in_the_message_about_an_unknown_name(self, folder: Path, messages: Messages) -> None:
        """A broken file may be the one that provides the requested model."""
        registry = load_plugins([write(folder, my_gan="import no_such_module")])
        with messages.raises(
            PluginError, "'other'", "my_gan.py: ModuleNotFoundError", hide={available(registry, "models"): "AVAILABLE"}
        ):
            registry.get("models", "other")

    @pytest.mark.parametrize("name", ["my-gan", "my_gan"])
    def test_that_are_broken_are_reported_by_name(self, folder: Path, name: str, messages: Messages) -> None:
        """A model with the name of a broken file is broken, not unknown."""
        registry = load_plugins([write(folder, my_gan="import no_such_module")])
        with messages.raises(BrokenPluginError, f"'{name}'", "ModuleNotFoundError"):
            registry.get("models", name)

    def test_can_be_interrupted(self, folder: Path) -> None:
        """Ctrl-C during the import of a plugin is not reported as its error."""
        with pytest.raises(KeyboardInterrupt):
            load_plugins([write(folder, slow="raise KeyboardInterrupt")])

    def test_shadow_nothing(self, folder: Path) -> None:
        """A file with the name of a module of the standard library does not replace it."""
        import json

        load_plugins([write(folder, json=MODEL.format(name="my-gan"))])
        assert sys.modules["json"] is json

    def test_of_one_name_in_two_folders_are_two_plugins(self, tmp_path: Path) -> None:
        """Files are distinguished by their path."""
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            write(tmp_path / name, mine=MODEL.format(name=f"{name}-gan"))
        registry = load_plugins([tmp_path / "one", tmp_path / "two"])
        assert {"one-gan", "two-gan"} <= set(registry.all("models"))

    def test_that_changed_are_loaded_again(self, folder: Path) -> None:
        """An edited file is imported again in the same session."""
        load_plugins([write(folder, mine=MODEL.format(name="first"))])
        registry = load_plugins([write(folder, mine=MODEL.format(name="second"))])
        assert "second" in registry.all("models")
        assert "first" not in registry.all("models")

    def test_are_not_searched_in_subfolders(self, folder: Path) -> None:
        """Packages in the folder are left out, and missing folders are skipped."""
        (folder / "package").mkdir()
        write(folder / "package", inner=MODEL.format(name="inner"))
        registry = load_plugins([folder, folder / "missing"])
        assert "inner" not in registry.all("models")

    def test_are_next_to_the_benchmark_or_in_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The folder of the benchmark comes first. If both are the same, it is listed once."""
        here, there = tmp_path / "here", tmp_path / "there"
        for place in (here, there):
            place.mkdir()
            (place / "b.toml").touch()
        monkeypatch.chdir(here)
        assert plugin_folders(there / "b.toml") == [there / "plugins", here / "plugins"]
        assert plugin_folders("b.toml") == [here / "plugins"]
        assert plugin_folders() == [here / "plugins"]


class TestNamedFiles:
    def test_are_plugins(self, folder: Path) -> None:
        """A named file in any folder is loaded once, even if its folder is searched as well."""
        write(folder, mine=MODEL.format(name="my-gan"))
        registry = load_plugins([folder / "mine.py", folder])
        assert registry.get("models", "my-gan").__name__ == "Mine"
        assert registry.broken == []

    def test_that_are_not_plugin_files(self, folder: Path, messages: Messages) -> None:
        """Folders, other files and missing files are reported with separate messages, and the other files are found."""
        write(folder, mine="")
        (folder / "data.bin").write_bytes(bytes(range(256)))
        result: list[tuple[int, str]] = []
        names = [folder, folder / "data.bin", folder / "missing.py", folder / "mine.py"]
        found = plugin_files(names, lambda number, message: result.append((number, message)))
        assert found == [folder / "mine.py"]
        assert [number for number, _ in result] == [0, 1, 2]
        for (_, message), name in zip(result, names, strict=False):
            messages.check(message, name)

    def test_that_contain_no_python(self, folder: Path) -> None:
        """A binary file with the suffix .py is listed as broken. An empty file provides no plugins."""
        write(folder, empty="")
        (folder / "binary.py").write_bytes(bytes(range(256)))
        registry = load_plugins([folder / "empty.py", folder / "binary.py"])
        assert [broken.name for broken in registry.broken] == ["binary"]
        assert "SyntaxError" in registry.broken[0].error


class TestRegistry:
    def test_suggests_the_closest_name(self, messages: Messages) -> None:
        """An unknown name raises an error with the closest name and a list."""
        registry = load_plugins()
        with messages.raises(PluginError, "'mgna'", "'mgan'", hide={available(registry, "models"): "AVAILABLE"}):
            registry.get("models", "mgna")

    @pytest.mark.parametrize(
        ("kind", "near", "name"),
        [("datasets", "ring-8", "ring8"), ("metrics", "mode", "modes"), ("networks", "mpl", "mlp")],
    )
    def test_suggests_the_closest_name_of_every_kind(self, kind: str, near: str, name: str, messages: Messages) -> None:
        """The message has the kind, the unknown name and the closest one."""
        registry = load_plugins()
        hide = {available(registry, kind): "AVAILABLE"}
        with messages.raises(PluginError, kind[:-1], f"'{near}'", f"'{name}'", hide=hide):
            registry.get(kind, near)

    def test_rejects_a_name_that_two_plugins_define(self, folder: Path, messages: Messages) -> None:
        """The error has both origins, and other names are unaffected."""
        registry = load_plugins([write(folder, mine=MODEL.format(name="gan"))])
        hide = {str(registry.origins[0]): "gan-bench VERSION"}
        with messages.raises(PluginError, "'gan'", "gan-bench ", folder / "mine.py", hide=hide):
            registry.get("models", "gan")
        assert [broken.name for broken in registry.broken] == ["gan"]
        assert registry.get("models", "mgan").name == "mgan"

    def test_allows_one_name_in_two_kinds(self, folder: Path) -> None:
        """A model and a dataset may have the same name."""
        registry = load_plugins([write(folder, mine=MODEL.format(name="ring8"))])
        assert registry.get("models", "ring8").__name__ == "Mine"
        assert registry.get("datasets", "ring8").__name__ == "Ring8"

    @pytest.mark.parametrize("name", ["plugin", "label", "preset", "protocol"])
    def test_rejects_parameters_with_reserved_names(self, folder: Path, name: str, messages: Messages) -> None:
        """A parameter of a model must not have the name of a key of every entry."""
        text = "from dataclasses import dataclass\n" + MODEL.format(name="mine").replace(
            "@hookimpl", f"    @dataclass(frozen=True)\n    class Params:\n        {name}: str = 'x'\n\n@hookimpl"
        )
        (broken,) = load_plugins([write(folder, mine=text)]).broken
        messages.check(broken.error, "Mine.Params", f"'{name}'")

    def test_rejects_parameters_that_are_not_a_dataclass(self, messages: Messages) -> None:
        """The error of the plugin is found when it is loaded."""

        class Wrong(GAN):
            name = "wrong"

            class Params:  # type: ignore[assignment]
                beta = 1

        registry = Registry()
        registry.add("models", Wrong, Origin("here", "", ""))
        messages.check(registry.broken[0].error, "Wrong.Params")

    @pytest.mark.parametrize("default", ['"much"', "-1.0"])
    def test_rejects_an_invalid_default(self, folder: Path, default: str, messages: Messages) -> None:
        """A default of the wrong type or outside its range is found when the plugin is loaded."""
        params = (
            f"    @dataclass(frozen=True)\n    class Params:\n        beta: float = param({default}, 'b', low=0)\n\n"
        )
        head = "from dataclasses import dataclass\nfrom gan_bench import param\n"
        text = head + MODEL.format(name="mine").replace("@hookimpl", params + "@hookimpl")
        (broken,) = load_plugins([write(folder, mine=text)]).broken
        messages.check(broken.error, "Mine.Params.beta")

    def test_rejects_an_incomplete_metric(self, messages: Messages) -> None:
        """Required attributes and methods are checked before anything runs."""

        class Half(Metric):
            name = "half"

        registry = Registry()
        registry.add("metrics", Half, Origin("here", "", ""))
        messages.check(registry.broken[0].error, "Half", "compute, direction, unit")

    def test_rejects_an_unknown_scale(self, messages: Messages) -> None:
        """A metric's scale decides how it is averaged and compared, so that a wrong one must not be stored."""

        class Cubic(Metric):
            name, direction, unit = "cubic", "lower", ""
            scale = "cubic"  # type: ignore[assignment]

            def compute(self, samples: Samples) -> float:
                return 0.0

        registry = Registry()
        registry.add("metrics", Cubic, Origin("here", "", ""))
        messages.check(registry.broken[0].error, "Cubic.scale", "log, linear, share, count", "'cubic'")

    def test_keeps_the_error_of_a_failed_import(self, messages: Messages) -> None:
        """A hook that returns an error instead of a class breaks only that name."""
        registry = Registry()
        registry.add("models", Unloaded("lost", ImportError("no luck")), Origin("zoo", "1", ""))
        with messages.raises(PluginError, "'lost'", "ImportError: no luck", "zoo 1"):
            registry.get("models", "lost")

    def test_calls_only_the_hooks_of_the_requested_kinds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A registry of datasets and metrics contains nothing else."""
        registry = load_plugins(kinds=("datasets", "metrics"))
        assert registry.all("datasets")
        assert registry.all("models") == registry.all("networks") == {}

    def test_a_failing_hook_does_not_affect_other_hooks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other hooks of a plugin are called after one has failed."""
        module = ModuleType("partly")

        @hookimpl
        def gan_bench_models() -> Any:
            raise RuntimeError("models are out")

        module.gan_bench_models = gan_bench_models  # type: ignore[attr-defined]
        module.gan_bench_metrics = gan_bench_zoo.gan_bench_metrics  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "partly", module)
        entry = importlib.metadata.EntryPoint("partly", "partly", "gan_bench")
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
        registry = load_plugins()
        assert [broken.name for broken in registry.broken] == ["partly:gan_bench_models"]
        assert "modes" in registry.all("metrics")
