"""Systems that are named and not implemented: said to whoever asks, in the way of nobody else."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from gan_bench_zoo.unimplemented import SYSTEMS

from gan_bench.contracts.unimplemented import Unimplemented
from gan_bench.errors import BrokenPluginError, PluginError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.kinds import UNIMPLEMENTED
from gan_bench.plugins.registry import Origin, Registry
from tests.support import project

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

REFUSAL = (
    "Model 'far-gan' (Far GAN) is named, not implemented. It needs the moon. Needed: a rocket. "
    "`gan-bench show far-gan` says more."
)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench` in this process, in a folder with a plugin that names a system."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "plugins", named=FILE)
    return project.caller(monkeypatch, capfd)


def write(folder: Path, **files: str) -> Path:
    """Plugin files by stem."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def registry_of(*items: object) -> Registry:
    """A registry that was told of these."""
    registry = Registry()
    for item in items:
        registry.add(UNIMPLEMENTED, item, Origin("here", "", ""))
    return registry


class TestRegistry:
    def test_is_asked_for_the_model(self, tmp_path: Path) -> None:
        """Whoever wants the model learns why there is none; of other kinds the name is merely unknown."""
        registry = load_plugins([write(tmp_path, named=FILE)])
        assert registry.unimplemented()["far-gan"] == SYSTEM
        assert registry.origin(UNIMPLEMENTED, "far-gan") == Origin("named.py", "", str(tmp_path / "named.py"))
        assert "far-gan" not in registry.all("models") and not any(
            each.is_called("far-gan") for each in registry.broken
        )
        with pytest.raises(PluginError) as caught:
            registry.get("models", "far-gan")
        assert str(caught.value) == REFUSAL
        with pytest.raises(PluginError, match="No dataset is called 'far-gan'"):
            registry.get("datasets", "far-gan")

    def test_comes_with_the_models_only(self, tmp_path: Path) -> None:
        """Who asks for datasets and metrics does not hear of it."""
        write(tmp_path, named=FILE)
        assert load_plugins([tmp_path], kinds=("datasets", "metrics")).unimplemented() == {}
        assert "far-gan" in load_plugins([tmp_path], kinds=("models",)).unimplemented()

    @pytest.mark.parametrize("order", [("named", "z_model"), ("z_named", "model")])
    def test_a_model_takes_its_place(self, tmp_path: Path, order: tuple[str, str]) -> None:
        """A plugin that implements a system is not hindered by another that does not, whichever loads first."""
        registry = load_plugins([write(tmp_path, **dict(zip(order, (FILE, MODEL), strict=True)))])
        assert registry.get("models", "far-gan").__name__ == "Mine"
        assert "far-gan" not in registry.unimplemented()
        assert not any(each.is_called("far-gan") for each in registry.broken)

    def test_a_bad_entry_hides_no_good_one(self, tmp_path: Path) -> None:
        """A plugin that returns a name instead of an entry is broken; the reason of another one is still heard."""
        rubbish = FILE.replace(repr(SYSTEM), repr("far-gan"))
        registry = load_plugins([write(tmp_path, a_rubbish=rubbish, named=FILE)])
        with pytest.raises(PluginError, match="It needs the moon"):
            registry.get("models", "far-gan")
        assert [broken.name for broken in registry.broken] == ["gan_bench_unimplemented"]

    @pytest.mark.parametrize("asked", ["Far-GAN", "FAR-GAN", "fargan"])
    def test_a_papers_own_spelling(self, tmp_path: Path, asked: str) -> None:
        """Capitals, or a missing hyphen, lead to the system that is named."""
        registry = load_plugins([write(tmp_path, named=FILE)])
        with pytest.raises(PluginError, match="did you mean 'far-gan'"):
            registry.get("models", asked)

    def test_a_model_that_is_broken_is_broken(self, tmp_path: Path) -> None:
        """The plugin that should bring it is to be mended, which the refusal would hide."""
        registry = load_plugins([write(tmp_path, named=FILE, far_gan="import no_such_module")])
        with pytest.raises(BrokenPluginError, match=r"'far-gan' is broken: ModuleNotFoundError"):
            registry.get("models", "far-gan")

    def test_the_first_to_name_it_is_heard(self) -> None:
        """Two plugins may know of one system, and nothing breaks."""
        registry = registry_of(SYSTEM, replace(SYSTEM, why="Another reason."))
        assert registry.unimplemented() == {"far-gan": SYSTEM} and registry.broken == []

    def test_names_are_sorted(self) -> None:
        """As those of models are."""
        registry = registry_of(*(replace(SYSTEM, name=name) for name in ("b", "c", "a")))
        assert list(registry.unimplemented()) == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("item", "error"),
        [
            (7, "gan_bench_unimplemented returned int, not an Unimplemented"),
            (Unimplemented, "gan_bench_unimplemented returned type, not an Unimplemented"),
            (replace(SYSTEM, name="far gan"), "Unimplemented 'far gan': a name is made of letters, digits, - and _"),
            (replace(SYSTEM, name=""), "Unimplemented '': a name is made of letters, digits, - and _"),
            (replace(SYSTEM, name=7), "Unimplemented 7: a name is made of letters, digits, - and _"),  # type: ignore[arg-type]
            (replace(SYSTEM, why=" ", needs=""), "Unimplemented 'far-gan' must say why, needs"),
            (replace(SYSTEM, what=None), "Unimplemented 'far-gan' must say what"),  # type: ignore[arg-type]
        ],
        ids=str,
    )
    def test_what_is_none_is_broken_and_hurts_nobody(self, item: object, error: str) -> None:
        """It is listed with what is wrong; the others of the same hook are there."""
        registry = registry_of(item, replace(SYSTEM, name="other"))
        assert [broken.error for broken in registry.broken] == [error]
        assert list(registry.unimplemented()) == ["other"]

    def test_a_hook_that_fails_hurts_nobody(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that raises, and the zoo's own that cannot be imported, are listed; models are all there."""
        monkeypatch.setitem(sys.modules, "gan_bench_zoo.unimplemented", None)
        raising = FILE.replace("return", "raise ValueError('not today')  #")
        registry = load_plugins([write(tmp_path, named=FILE, raising=raising)])
        found = {broken.name: broken.error for broken in registry.broken if UNIMPLEMENTED in broken.name}
        assert set(found) == {"gan-bench:gan_bench_unimplemented", "raising.py:gan_bench_unimplemented"}
        assert "ValueError: not today" in found["raising.py:gan_bench_unimplemented"]
        assert list(registry.unimplemented()) == ["far-gan"] and "mgan" in registry.all("models")


class TestSystem:
    def test_is_a_statement(self) -> None:
        """Nothing changes it."""
        with pytest.raises(FrozenInstanceError):
            SYSTEM.why = "no"  # type: ignore[misc]

    def test_refusal(self) -> None:
        """What it is called in the literature, why, what would be needed, and where more is said."""
        assert SYSTEM.refusal() == REFUSAL


class TestCommands:
    def test_list_has_them_apart_at_the_end(self, call: project.Call) -> None:
        """After the models, with origin and title; other lists have none."""
        said = call("list", "models")
        models, _, others = said.out.partition("\nNamed, not implemented; `gan-bench show NAME` says why.\n")
        assert said.code == 0 and "\nmgan " in models
        (line,) = (line for line in others.splitlines() if line.startswith("far-gan"))
        assert line.split(None, 2) == ["far-gan", "named.py", "Far GAN"]
        assert "far-gan" not in models
        assert "Named" not in call("list", "datasets").out

    def test_list_says_nothing_where_none_is(self, call: project.Call, monkeypatch: pytest.MonkeyPatch) -> None:
        """No heading over nothing."""
        monkeypatch.setattr(Registry, "unimplemented", lambda self: {})
        assert "Named" not in call("list", "models").out

    def test_check_refuses_it_by_name(self, call: project.Call) -> None:
        """There is nothing to check, and it says why."""
        said = call("check", "far-gan")
        assert said.code == 2 and REFUSAL in said.err

    def test_check_finds_nothing_wrong_with_its_file(self, call: project.Call) -> None:
        """A plugin that names systems and brings nothing else is whole."""
        said = call("check", "plugins/named.py")
        assert said.code == 0
        assert "loads; there is nothing to check of systems that are not implemented" in said.out


class TestZoo:
    def test_each_is_complete_and_heard(self) -> None:
        """Every entry is registered as it stands in the file, under a name of its own."""
        registry = load_plugins()
        assert [broken for broken in registry.broken if UNIMPLEMENTED in broken.name] == []
        assert registry.unimplemented() == {
            system.name: system for system in sorted(SYSTEMS, key=lambda each: each.name)
        }
        assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)

    @pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
    def test_each_says_who_names_it(self, system: Unimplemented) -> None:
        """One of the two papers, and where in it; every text but the title ends as a sentence does."""
        assert "amed by" in system.source and ("Hoang" in system.source or "Barsim" in system.source)
        assert "section" in system.source or "table" in system.source
        assert all(text.endswith(".") for text in (system.source, system.what, system.why, system.needs))
