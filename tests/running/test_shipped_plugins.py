"""Plugin files that are sent to other machines, and properties that have to be equal there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gan_bench.errors import PluginError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.engines.cluster.shipped_plugins import LARGEST, pack, unpack
from gan_bench.running.engines.identity import Identity, Question, differences, identify, question_about
from tests.support import project
from tests.support.messages import Messages


def write(folder: Path) -> tuple[Path, Path]:
    """Write a folder of plugins and a single file; return both."""
    file = project.write(folder, project.describe(), bad=project.BAD)
    places = file.parent / "plugins", folder / "own.py"
    (places[0] / "helpers").mkdir()
    (places[0] / "helpers" / "__init__.py").write_text("", encoding="utf-8")
    (places[0] / ".hidden.py").write_text("", encoding="utf-8")
    (places[0] / "table.bin").write_bytes(bytes(LARGEST + 1))
    places[1].write_text(project.plugin("own"), encoding="utf-8")
    return places


class TestFiles:
    def test_arrive_unchanged(self, tmp_path: Path) -> None:
        """All files of a folder, but hidden and large ones, and single files arrive with their names and contents."""
        places = write(tmp_path / "here")
        shipment = pack([*places, tmp_path / "missing"])
        there = unpack(shipment, tmp_path / "there")
        assert [place.name for place in there] == ["plugins", "own.py"]
        assert {path.relative_to(there[0]).as_posix() for path in there[0].rglob("*") if path.is_file()} == {
            "bad.py",
            "helpers/__init__.py",
        }
        assert (there[0] / "bad.py").read_text(encoding="utf-8") == project.BAD
        assert there[1].read_bytes() == places[1].read_bytes()
        assert shipment.left_out == (str(places[0] / "table.bin"),)

    def test_that_changed_on_their_way_are_refused(self, tmp_path: Path, messages: Messages) -> None:
        """Other contents than those that were sent, and paths that lead elsewhere, are errors; nothing is written."""
        shipment = pack([write(tmp_path / "here")[1]])
        (file,) = shipment.files
        with messages.raises(PluginError, "own.py"):
            unpack(replace(shipment, files=(replace(file, data=b"pass"),)), tmp_path / "there")
        with messages.raises(PluginError, "../../own.py"):
            unpack(replace(shipment, files=(replace(file, path="../../own.py"),)), tmp_path / "there")
        assert not (tmp_path / "there").exists() and not (tmp_path / "own.py").exists()

    def test_that_are_too_large_are_refused(self, tmp_path: Path, messages: Messages) -> None:
        """A Python file that is too large to be sent is an error: a node would lack it."""
        large = tmp_path / "large.py"
        large.write_text("#" * (LARGEST + 1), encoding="utf-8")
        with messages.raises(PluginError, large):
            pack([large])


class TestIdentity:
    def test_is_that_of_shipped_plugins(self, tmp_path: Path) -> None:
        """Plugins that were sent have the identity of the command's; without them, each is named."""
        places = write(tmp_path / "here")
        planned = project.plan(project.describe([{"plugin": "failing"}]), tmp_path, plugins=[places[0] / "bad.py"])
        question = question_about(planned.jobs)
        expected = identify(planned.registry, question)
        there = load_plugins(unpack(pack(places), tmp_path / "there"))
        assert differences(expected, identify(there, question)) == []
        (phrase,) = differences(expected, identify(load_plugins(), question))
        assert phrase.startswith("model failing cannot be loaded (PluginError")

    @pytest.mark.parametrize(
        ("found", "phrase"),
        [
            (Identity({"torch": "2.0"}, {"model a": "1"}, {"d": "x"}), "torch is 2.0 in place of 2.1"),
            (Identity({}, {"model a": "1"}, {"d": "x"}), "torch is unknown in place of 2.1"),
            (Identity({"torch": "2.1"}, {"model a": "2"}, {"d": "x"}), "the code of model a differs"),
            (Identity({"torch": "2.1"}, {}, {"d": "x"}), "the code of model a differs"),
            (Identity({"torch": "2.1"}, {"model a": "1"}, {"d": "y"}), "the files of dataset 'd' differ"),
            (
                Identity({"torch": "2.1"}, {"model a": "1"}, {"d": "missing: no file"}),
                "dataset 'd' is not available (no file)",
            ),
        ],
    )
    def test_that_differs_is_described(self, found: Identity, phrase: str) -> None:
        """Each difference of versions, code and data is a phrase that names it."""
        expected = Identity({"torch": "2.1"}, {"model a": "1"}, {"d": "x"})
        assert differences(expected, found) == [phrase]
        assert differences(expected, expected) == []

    def test_has_an_answer_for_each_plugin(self) -> None:
        """A question about nothing is answered with the versions and the code of gan-bench."""
        found = identify(load_plugins(), Question((), ()))
        assert found.code.keys() == {"gan-bench"} and {"Python", "torch", "gan-bench"} <= found.versions.keys()
