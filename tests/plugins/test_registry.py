"""Plugins are found through two doors, and a broken one hurts nobody else."""

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
from gan_bench.contracts.metric import Metric
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Network
from gan_bench.contracts.observer import Observer
from gan_bench.errors import BrokenPluginError, PluginError
from gan_bench.plugins.discovery import load_plugins, plugin_files, plugin_folders
from gan_bench.plugins.kinds import KINDS
from gan_bench.plugins.registry import Origin, Registry

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
        "int, not a class",
    ),
    "foreign": (
        "from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_models():\n    return [dict]",
        "returned dict, which is no subclass of Model",
    ),
    "number": ("from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_models():\n    return 7", "TypeError"),
    "misspelt": (
        "from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_modles():\n    return []",
        "gan_bench_modles",
    ),
    "unnamed": (MODEL.format(name="no name"), "Mine.name is 'no name'; a name is made of letters"),
}
"""Files that are broken, each in its own way, and what is said of them."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for plugin files."""
    return tmp_path


def write(folder: Path, **files: str) -> Path:
    """Plugin files by stem."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


class TestBuiltIn:
    def test_come_through_the_entry_point(self) -> None:
        """The core has no list of its own: the zoo is one installed plugin, and nothing of it is broken."""
        registry = load_plugins()
        assert registry.broken == []
        assert {"gan", "unrolled-gan", "d2gan", "mgan", "mad-gan", "multi-discriminator"} <= set(registry.all("models"))
        assert {"real-data", "untrained"} <= set(registry.all("models"))
        assert "mlp" in registry.all("networks")
        assert str(registry.origin("models", "mgan")).startswith("gan-bench ")

    @pytest.mark.parametrize(("kind", "base"), list(zip(KINDS, CONTRACTS, strict=True)))
    def test_every_one_is_of_its_kind_and_documented(self, kind: str, base: type[Any]) -> None:
        """What `list` shows of each is its own first line."""
        for name, item in load_plugins().all(kind).items():
            assert issubclass(item, base), name
            assert (item.__doc__ or "").strip(), name

    def test_one_that_fails_to_import_hurts_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A zoo module that cannot be imported is listed as broken; everything else is there."""
        monkeypatch.setitem(sys.modules, "gan_bench_zoo.models.mad_gan", None)
        registry = load_plugins()
        assert [broken.name for broken in registry.broken] == ["mad-gan"]
        assert "mgan" in registry.all("models")
        with pytest.raises(PluginError, match=r"model 'mad-gan' is broken: ModuleNotFoundError"):
            registry.get("models", "mad-gan")

    def test_an_installed_plugin_that_cannot_be_loaded_is_listed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry point that leads nowhere is broken; the others load."""
        entries = importlib.metadata.entry_points(group="gan_bench")
        nowhere = importlib.metadata.EntryPoint("nowhere", "no_such_package", "gan_bench")
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [nowhere, *entries])
        registry = load_plugins()
        assert [(each.name, each.origin.path) for each in registry.broken] == [("nowhere", "no_such_package")]
        assert "mgan" in registry.all("models")


class TestFiles:
    def test_are_plugins(self, folder: Path) -> None:
        """A file directly in the folder brings its model, and says where it came from."""
        registry = load_plugins([write(folder, mine=MODEL.format(name="my-gan"))])
        assert registry.get("models", "my-gan").__name__ == "Mine"
        assert registry.origin("models", "my-gan") == Origin("mine.py", "", str(folder / "mine.py"))

    @pytest.mark.parametrize("name", BROKEN)
    def test_that_are_broken_are_listed_and_hurt_nobody(self, folder: Path, name: str) -> None:
        """Whatever a file does when it is loaded, it is listed with its error in one line, and the rest works."""
        text, message = BROKEN[name]
        registry = load_plugins([write(folder, **{name: text}, mine=MODEL.format(name="my-gan"))])
        (broken,) = registry.broken
        assert re.search(message, broken.error)
        assert "\n" not in broken.error
        assert broken.origin.path == str(folder / f"{name}.py")
        assert {"my-gan", "mgan"} <= set(registry.all("models"))

    def test_that_are_broken_stand_in_the_answer_to_an_unknown_name(self, folder: Path) -> None:
        """Whoever asks for a model that a broken file should bring learns of the file."""
        registry = load_plugins([write(folder, my_gan="import no_such_module")])
        with pytest.raises(PluginError, match=r"No model is called 'other'.*Not loaded: my_gan\.py: ModuleNotFound"):
            registry.get("models", "other")

    @pytest.mark.parametrize("name", ["my-gan", "my_gan"])
    def test_that_are_broken_are_told_from_unknown_names(self, folder: Path, name: str) -> None:
        """A model that is called like a broken file is broken, not unknown."""
        registry = load_plugins([write(folder, my_gan="import no_such_module")])
        with pytest.raises(BrokenPluginError, match=rf"model '{name}' is broken: ModuleNotFoundError"):
            registry.get("models", name)

    def test_may_be_interrupted(self, folder: Path) -> None:
        """Ctrl-C while a plugin loads is not the plugin's error."""
        with pytest.raises(KeyboardInterrupt):
            load_plugins([write(folder, slow="raise KeyboardInterrupt")])

    def test_shadow_nothing(self, folder: Path) -> None:
        """A file called as a module of the standard library is not taken for it."""
        import json

        load_plugins([write(folder, json=MODEL.format(name="my-gan"))])
        assert sys.modules["json"] is json

    def test_of_one_name_in_two_folders_are_two_plugins(self, tmp_path: Path) -> None:
        """Files are told apart by their path."""
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            write(tmp_path / name, mine=MODEL.format(name=f"{name}-gan"))
        registry = load_plugins([tmp_path / "one", tmp_path / "two"])
        assert {"one-gan", "two-gan"} <= set(registry.all("models"))

    def test_that_changed_are_loaded_again(self, folder: Path) -> None:
        """In a session that goes on, an edited file is what it says now."""
        load_plugins([write(folder, mine=MODEL.format(name="first"))])
        registry = load_plugins([write(folder, mine=MODEL.format(name="second"))])
        assert "second" in registry.all("models")
        assert "first" not in registry.all("models")

    def test_are_not_looked_for_deeper(self, folder: Path) -> None:
        """Packages in the folder have an entry point of their own; missing folders are none."""
        (folder / "package").mkdir()
        write(folder / "package", inner=MODEL.format(name="inner"))
        registry = load_plugins([folder, folder / "missing"])
        assert "inner" not in registry.all("models")

    def test_stand_beside_the_benchmark_or_in_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The benchmark's neighbours first; one folder that is both is named once."""
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
        """A file that somebody names is loaded wherever it lies, once, also where its folder is searched as well."""
        write(folder, mine=MODEL.format(name="my-gan"))
        registry = load_plugins([folder / "mine.py", folder])
        assert registry.get("models", "my-gan").__name__ == "Mine"
        assert registry.broken == []

    def test_that_are_none(self, folder: Path) -> None:
        """A folder, another kind of file and a missing one are told apart; the others are found."""
        write(folder, mine="")
        (folder / "data.bin").write_bytes(bytes(range(256)))
        said: list[tuple[int, str]] = []
        names = [folder, folder / "data.bin", folder / "missing.py", folder / "mine.py"]
        found = plugin_files(names, lambda number, message: said.append((number, message)))
        assert found == [folder / "mine.py"]
        assert [number for number, _ in said] == [0, 1, 2]
        assert "is a folder. Name its .py files" in said[0][1]
        assert "is no .py file" in said[1][1]
        assert "there is no such file" in said[2][1]

    def test_that_hold_no_python(self, folder: Path) -> None:
        """A binary file with a Python name is listed as broken; an empty one brings nothing and breaks nothing."""
        write(folder, empty="")
        (folder / "binary.py").write_bytes(bytes(range(256)))
        registry = load_plugins([folder / "empty.py", folder / "binary.py"])
        assert [broken.name for broken in registry.broken] == ["binary"]
        assert "SyntaxError" in registry.broken[0].error


class TestRegistry:
    def test_names_the_closest(self) -> None:
        """A name that is nearly right gets the right one first."""
        with pytest.raises(PluginError, match=r"No model is called 'mgna'; did you mean 'mgan'\? Known: "):
            load_plugins().get("models", "mgna")

    @pytest.mark.parametrize(
        ("kind", "near", "name"),
        [("datasets", "ring-8", "ring8"), ("metrics", "mode", "modes"), ("networks", "mpl", "mlp")],
    )
    def test_names_the_closest_of_every_kind(self, kind: str, near: str, name: str) -> None:
        """The message says what kind of thing is unknown."""
        with pytest.raises(PluginError, match=f"No {kind[:-1]} is called '{near}'; did you mean '{name}'"):
            load_plugins().get(kind, near)

    def test_refuses_a_name_that_two_plugins_claim(self, folder: Path) -> None:
        """Neither wins: whoever names it learns of both origins; other names work."""
        registry = load_plugins([write(folder, mine=MODEL.format(name="gan"))])
        with pytest.raises(PluginError, match=r"model 'gan' exists twice, from gan-bench .* and from mine\.py"):
            registry.get("models", "gan")
        assert [broken.name for broken in registry.broken] == ["gan"]
        assert registry.get("models", "mgan").name == "mgan"

    def test_allows_one_name_in_two_kinds(self, folder: Path) -> None:
        """A model may be called like a dataset."""
        registry = load_plugins([write(folder, mine=MODEL.format(name="ring8"))])
        assert registry.get("models", "ring8").__name__ == "Mine"
        assert registry.get("datasets", "ring8").__name__ == "Ring8"

    @pytest.mark.parametrize("name", ["plugin", "label", "preset", "protocol"])
    def test_refuses_parameters_that_a_benchmark_could_not_set(self, folder: Path, name: str) -> None:
        """A model's parameter with the name of a key of every entry is refused by name."""
        text = "from dataclasses import dataclass\n" + MODEL.format(name="mine").replace(
            "@hookimpl", f"    @dataclass(frozen=True)\n    class Params:\n        {name}: str = 'x'\n\n@hookimpl"
        )
        (broken,) = load_plugins([write(folder, mine=text)]).broken
        assert broken.error == f"Mine.Params has {name!r}; plugin, label, preset, protocol belong to the benchmark"

    def test_refuses_parameters_that_cannot_be_read(self) -> None:
        """Params that are no dataclass are the plugin's mistake, found when it is loaded."""

        class Wrong(GAN):
            name = "wrong"

            class Params:  # type: ignore[assignment]
                beta = 1

        registry = Registry()
        registry.add("models", Wrong, Origin("here", "", ""))
        assert "no dataclass" in registry.broken[0].error

    @pytest.mark.parametrize("default", ['"much"', "-1.0"])
    def test_refuses_a_default_that_no_benchmark_could_say(self, folder: Path, default: str) -> None:
        """A default of the wrong type, or out of its own range, is the plugin's mistake, found when it is loaded."""
        params = (
            f"    @dataclass(frozen=True)\n    class Params:\n        beta: float = param({default}, 'b', low=0)\n\n"
        )
        head = "from dataclasses import dataclass\nfrom gan_bench import param\n"
        text = head + MODEL.format(name="mine").replace("@hookimpl", params + "@hookimpl")
        (broken,) = load_plugins([write(folder, mine=text)]).broken
        said = "Mine.Params.beta has a wrong default: beta must be a finite number >= 0"
        assert broken.error.startswith(said)

    def test_refuses_a_metric_that_is_not_complete(self) -> None:
        """What a contract leaves open has to be defined before anything runs."""

        class Half(Metric):
            name = "half"

        registry = Registry()
        registry.add("metrics", Half, Origin("here", "", ""))
        assert registry.broken[0].error == "Half must define compute, direction, unit"

    def test_keeps_what_a_hook_could_not_import(self) -> None:
        """A hook that hands over an error in place of a class breaks that name alone."""
        registry = Registry()
        registry.add("models", Unloaded("lost", ImportError("no luck")), Origin("zoo", "1", ""))
        with pytest.raises(PluginError, match=r"model 'lost' is broken: ImportError: no luck \(from zoo 1\)"):
            registry.get("models", "lost")

    def test_asks_only_for_the_kinds_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scoring a file asks for datasets and metrics, and gets nothing else."""
        registry = load_plugins(kinds=("datasets", "metrics"))
        assert registry.all("datasets")
        assert registry.all("models") == registry.all("networks") == {}

    def test_a_hook_that_fails_leaves_the_plugins_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One plugin's broken hook does not take its other hooks along."""
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
