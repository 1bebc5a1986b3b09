"""Tests of systems that plugins list without an implementation."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from gan_bench_zoo.unimplemented import SYSTEMS

from gan_bench.contracts.unimplemented import Unimplemented
from gan_bench.errors import BrokenPluginError, PluginError
from gan_bench.names import listed
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.kinds import UNIMPLEMENTED
from gan_bench.plugins.registry import Origin, Registry
from tests.support import project
from tests.support.messages import Messages

SYSTEM = Unimplemented(
    name="far-gan",
    title="Far GAN",
    source="Somebody (2026).",
    what="A game on the moon.",
    why="It needs the moon.",
    needs="a rocket.",
)

FILE = f"""
from gan_bench import hookimpl
from gan_bench.contracts.unimplemented import Unimplemented

@hookimpl
def gan_bench_unimplemented():
    return [{SYSTEM!r}]
"""

MODEL = """
from gan_bench import hookimpl
from gan_bench_zoo.models.gan import GAN

class Mine(GAN):
    name = "far-gan"

@hookimpl
def gan_bench_models():
    return [Mine]
"""

REFUSAL = SYSTEM.refusal()


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench` in this process, in a folder with a plugin that lists a system."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "plugins", named=FILE)
    return project.caller(monkeypatch, capfd)


def write(folder: Path, **files: str) -> Path:
    """Write plugin files, by stem."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def registry_of(*items: object) -> Registry:
    """Registry of these items."""
    registry = Registry()
    for item in items:
        registry.add(UNIMPLEMENTED, item, Origin("here", "", ""))
    return registry


class TestRegistry:
    def test_rejects_the_model_with_the_reason(self, tmp_path: Path) -> None:
        """A request for the model raises an error with the reason. For other kinds the name is unknown."""
        registry = load_plugins([write(tmp_path, named=FILE)])
        assert registry.unimplemented()["far-gan"] == SYSTEM
        assert registry.origin(UNIMPLEMENTED, "far-gan") == Origin("named.py", "", str(tmp_path / "named.py"))
        assert "far-gan" not in registry.all("models") and not any(
            each.is_called("far-gan") for each in registry.broken
        )
        with pytest.raises(PluginError) as caught:
            registry.get("models", "far-gan")
        assert str(caught.value) == REFUSAL
        with pytest.raises(PluginError, match=r"dataset .*'far-gan'"):
            registry.get("datasets", "far-gan")

    def test_is_loaded_with_models_only(self, tmp_path: Path) -> None:
        """A registry of other kinds contains no such systems."""
        write(tmp_path, named=FILE)
        assert load_plugins([tmp_path], kinds=("datasets", "metrics")).unimplemented() == {}
        assert "far-gan" in load_plugins([tmp_path], kinds=("models",)).unimplemented()

    @pytest.mark.parametrize("order", [("named", "z_model"), ("z_named", "model")])
    def test_a_model_replaces_it(self, tmp_path: Path, order: tuple[str, str]) -> None:
        """A plugin that implements the system takes precedence, in any order of loading."""
        registry = load_plugins([write(tmp_path, **dict(zip(order, (FILE, MODEL), strict=True)))])
        assert registry.get("models", "far-gan").__name__ == "Mine"
        assert "far-gan" not in registry.unimplemented()
        assert not any(each.is_called("far-gan") for each in registry.broken)

    def test_an_invalid_entry_does_not_hide_a_valid_one(self, tmp_path: Path) -> None:
        """A plugin that returns a name instead of an entry is broken. The entry of another plugin is still used."""
        rubbish = FILE.replace(repr(SYSTEM), repr("far-gan"))
        registry = load_plugins([write(tmp_path, a_rubbish=rubbish, named=FILE)])
        with pytest.raises(PluginError, match="It needs the moon"):
            registry.get("models", "far-gan")
        assert [broken.name for broken in registry.broken] == ["gan_bench_unimplemented"]

    @pytest.mark.parametrize("requested", ["Far-GAN", "FAR-GAN", "fargan"])
    def test_other_spellings_are_suggested(self, tmp_path: Path, requested: str, messages: Messages) -> None:
        """Capitals or a missing hyphen, as in a paper, lead to a suggestion of the name."""
        registry = load_plugins([write(tmp_path, named=FILE)])
        hide = {listed([*registry.all("models"), *registry.unimplemented()]): "AVAILABLE"}
        with messages.raises(PluginError, f"'{requested}'", "'far-gan'", hide=hide):
            registry.get("models", requested)

    def test_a_broken_model_is_reported_as_broken(self, tmp_path: Path, messages: Messages) -> None:
        """The error of a broken file of that name takes precedence over the reason of the listed system."""
        registry = load_plugins([write(tmp_path, named=FILE, far_gan="import no_such_module")])
        with messages.raises(BrokenPluginError, "'far-gan'", "ModuleNotFoundError"):
            registry.get("models", "far-gan")

    def test_the_first_entry_is_kept(self) -> None:
        """Two plugins may list one system, and neither is broken."""
        registry = registry_of(SYSTEM, replace(SYSTEM, why="Another reason."))
        assert registry.unimplemented() == {"far-gan": SYSTEM} and registry.broken == []

    def test_names_are_sorted(self) -> None:
        registry = registry_of(*(replace(SYSTEM, name=name) for name in ("b", "c", "a")))
        assert list(registry.unimplemented()) == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("item", "part"),
        [
            (7, "int"),
            (Unimplemented, "type"),
            (replace(SYSTEM, name="far gan"), "'far gan'"),
            (replace(SYSTEM, name=""), "''"),
            (replace(SYSTEM, name=7), "7"),  # type: ignore[arg-type]
            (replace(SYSTEM, why=" ", needs=""), "why, needs"),
            (replace(SYSTEM, what=None), "what"),  # type: ignore[arg-type]
        ],
        ids=["number", "class", "name with a space", "no name", "number as name", "empty texts", "no text"],
    )
    def test_an_invalid_item_is_broken_and_affects_no_other(self, item: object, part: str, messages: Messages) -> None:
        """The problem is listed, and the other items of the same hook are registered."""
        registry = registry_of(item, replace(SYSTEM, name="other"))
        (broken,) = registry.broken
        messages.check(broken.error, "nimplemented", part)
        assert list(registry.unimplemented()) == ["other"]

    def test_a_failing_hook_affects_no_other(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hooks that raise or cannot be imported are listed, also those of the zoo. All models are registered."""
        monkeypatch.setitem(sys.modules, "gan_bench_zoo.unimplemented", None)
        raising = FILE.replace("return", "raise ValueError('not today')  #")
        registry = load_plugins([write(tmp_path, named=FILE, raising=raising)])
        found = {broken.name: broken.error for broken in registry.broken if UNIMPLEMENTED in broken.name}
        assert set(found) == {"gan-bench:gan_bench_unimplemented", "raising.py:gan_bench_unimplemented"}
        assert "ValueError: not today" in found["raising.py:gan_bench_unimplemented"]
        assert list(registry.unimplemented()) == ["far-gan"] and "mgan" in registry.all("models")


class TestSystem:
    def test_is_immutable(self) -> None:
        with pytest.raises(FrozenInstanceError):
            SYSTEM.why = "no"  # type: ignore[misc]

    def test_refusal(self, messages: Messages) -> None:
        """The message has the title, the reason, the requirements and the command that describes the system."""
        messages.check(
            SYSTEM.refusal(), "'far-gan'", SYSTEM.title, SYSTEM.why, SYSTEM.needs, "`gan-bench show far-gan`"
        )


class TestCommands:
    def test_list_has_a_separate_table_at_the_end(self, call: project.Call) -> None:
        """The list of models ends with a table of names, origins and titles. Other lists have no such table."""
        result = call("list", "models")
        models, _, others = result.out.partition("\nNot implemented")
        assert result.code == 0 and "\nmgan " in models
        (line,) = (line for line in others.splitlines() if line.startswith("far-gan"))
        assert line.split(None, 2) == ["far-gan", "named.py", "Far GAN"]
        assert "far-gan" not in models
        assert "Not implemented" not in call("list", "datasets").out

    def test_list_has_no_empty_table(self, call: project.Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Registry, "unimplemented", lambda self: {})
        assert "Not implemented" not in call("list", "models").out

    def test_check_rejects_its_name(self, call: project.Call) -> None:
        result = call("check", "far-gan")
        assert result.code == 2 and REFUSAL in result.err

    def test_check_accepts_its_file(self, call: project.Call, messages: Messages) -> None:
        """A plugin that only lists such systems has no findings."""
        result = call("check", "plugins/named.py")
        assert result.code == 0
        messages.check(result.out, "plugins/named.py")


class TestZoo:
    def test_each_is_registered(self) -> None:
        """Every entry of the file is registered under a distinct name."""
        registry = load_plugins()
        assert [broken for broken in registry.broken if UNIMPLEMENTED in broken.name] == []
        assert registry.unimplemented() == {
            system.name: system for system in sorted(SYSTEMS, key=lambda each: each.name)
        }
        assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)

    @pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
    def test_each_has_its_source(self, system: Unimplemented) -> None:
        """The source is a section or table of one of the two papers. Every text but the title ends with a full stop."""
        assert "amed by" in system.source and ("Hoang" in system.source or "Barsim" in system.source)
        assert "section" in system.source or "table" in system.source
        assert all(text.endswith(".") for text in (system.source, system.what, system.why, system.needs))
