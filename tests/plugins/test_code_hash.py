"""Tests of the hash of a plugin's code: which edits change it, and which do not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.networks.mlp import MLP

from gan_bench.plugins.code_hash import code_hash, former_code, record_former_code
from gan_bench.plugins.discovery import load_plugins

MODEL = """\
import beside_it
from gan_bench import Model, hookimpl

class Mine(Model):
    name = "mine"
    value = beside_it.VALUE

    def build(self, networks):
        return {}

@hookimpl
def gan_bench_models():
    return [Mine]
"""
PACKAGE = {
    "__init__.py": "",
    "helper.py": "SCALE = 2\n",
    "other.py": "UNUSED = 1\n",
    "model.py": "from own_plugin.helper import SCALE\nfrom own_plugin import helper\nclass Own:\n    scale = SCALE\n",
}


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: str) -> type[Any]:
    """Class of a plugin package of several modules, which are imported again."""
    (folder / "own_plugin").mkdir(exist_ok=True)
    for name, text in (PACKAGE | {f"{name}.py": text for name, text in changes.items()}).items():
        (folder / "own_plugin" / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.startswith("own_plugin")]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    found: type[Any] = importlib.import_module("own_plugin.model").Own
    return found


class TestCodeHash:
    def test_depends_on_the_modules(self) -> None:
        """The same classes in any order have the same hash, and other classes another."""
        assert code_hash(GAN, MLP, Ring8) == code_hash(Ring8, GAN, MLP)
        assert code_hash(GAN, MLP, Ring8) != code_hash(MGAN, MLP, Ring8)
        assert len(code_hash(GAN)) == 64

    def test_follows_imports_of_the_same_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The hash depends on helper modules that a module imports, and on no other module of the package."""
        before = code_hash(package(tmp_path, monkeypatch))
        assert code_hash(package(tmp_path, monkeypatch, other="UNUSED = 2\n")) == before
        assert code_hash(package(tmp_path, monkeypatch, helper="SCALE = 3\n")) != before

    def test_leaves_docstrings_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Edited docstrings do not change the hash. Other strings do."""
        text = '"""{0}"""\nclass Own:\n    """{0}"""\n    name = "{1}"\n    def f(self):\n        """{0}"""; return 1\n'
        result = [text.format(words, "own") for words in ("One.", "Two\n    lines, é.", "Three.")]
        hashes = {code_hash(package(tmp_path, monkeypatch, model=each)) for each in result}
        assert len(hashes) == 1
        assert code_hash(package(tmp_path, monkeypatch, model=text.format("One.", "other"))) not in hashes

    def test_leaves_the_core_out(self) -> None:
        """A class of the core alone has the hash of no code: TRAINING_VERSION represents the core."""
        from gan_bench.contracts.model import Model

        assert code_hash(Model) == code_hash()

    def test_leaves_comments_and_formatting_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only the syntax tree counts, which includes operators."""
        texts = [
            "class Own:\n    x = 1 + 2\n",
            "# why\n\n\nclass Own:\n    x = (1 +\n         2)  # three\n",
            "class Own:\n  x = 1+2\n",
        ]
        assert len({code_hash(package(tmp_path, monkeypatch, model=each)) for each in texts}) == 1
        changed = code_hash(package(tmp_path, monkeypatch, model=texts[0].replace("+", "-")))
        assert changed != code_hash(package(tmp_path, monkeypatch, model=texts[0]))

    def test_leaves_explanations_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Docstrings of attributes and texts of parameters and presets do not count. Their values do."""
        text = (
            'from gan_bench import Preset, param\nX = 1\n"""{0}"""\n'
            "class Own:\n    rate: float = param({1}, '{0}', low=0)\n    presets = dict(a=Preset('{0}', dict(k={1})))\n"
        )
        hashes = [
            code_hash(package(tmp_path, monkeypatch, model=text.format(words, value)))
            for words, value in (("One.", 1), ("Two.", 1), ("One.", 2))
        ]
        assert hashes[0] == hashes[1] != hashes[2]

    @pytest.mark.parametrize(
        "text",
        [
            "class Own:\n    def f(self):\n        from own_plugin.helper import SCALE\n        return SCALE\n",
            "from . import helper\nclass Own: pass\n",
            "from .helper import SCALE\nclass Own: pass\n",
            "import own_plugin.helper as h\nclass Own: pass\n",
        ],
    )
    def test_follows_every_form_of_import(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        """The helper counts if it is imported in a function, by a relative import, or as a module or a name of it."""
        before = code_hash(package(tmp_path, monkeypatch, model=text))
        assert code_hash(package(tmp_path, monkeypatch, model=text, helper="SCALE = 3\n")) != before

    def test_follows_helpers_of_helpers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Imports are followed transitively, circular ones included."""
        helper = "from own_plugin import other\nSCALE = 2\n"
        other = "import own_plugin.model\nUSED = {}\n"
        hashes = {
            code_hash(package(tmp_path, monkeypatch, helper=helper, other=other.format(value))) for value in (1, 2)
        }
        assert len(hashes) == 2

    def test_follows_helpers_beside_a_plugin_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file in the folder of a plugin file counts if the plugin imports it."""
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "mine.py").write_text(MODEL, encoding="utf-8")
        hashes = []
        for value in (1, 1, 2):
            (tmp_path / "beside_it.py").write_text(f"VALUE = {value}\n", encoding="utf-8")
            monkeypatch.delitem(sys.modules, "beside_it", raising=False)
            importlib.invalidate_caches()
            hashes.append(code_hash(load_plugins([tmp_path / "mine.py"]).get("models", "mine")))
        assert hashes[0] == hashes[1] != hashes[2]

    def test_counts_names_of_the_core_without_their_modules(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A contract may move to another module. A different function under the same alias changes the hash."""
        text = "from {0} import {1} as loss\nclass Own: pass\n"
        hashes = [
            code_hash(package(tmp_path, monkeypatch, model=text.format(*each)))
            for each in (
                ("gan_bench", "bce_real"),
                ("gan_bench.contracts.losses", "bce_real"),
                ("gan_bench", "bce_fake"),
            )
        ]
        assert hashes[0] == hashes[1] != hashes[2]

    @pytest.mark.parametrize(
        "text",
        [
            "def param(a, b):\n    return b\nclass Own:\n    x = param(2, {0})\n",
            "from gan_bench import param\nD = ()\nclass Own:\n    x = param(*D, {0}, 'doc')\n",
            "from gan_bench import param\nclass Own:\n    def f(self, param):\n        return param(1, {0})\n",
            "from gan_bench import param\nclass Own:\n    x = param({0}, 'doc')\n",
            "import own_plugin.helper\nclass Own:\n    x = own_plugin.K\n# {0}",
        ],
    )
    def test_counts_arguments_that_are_not_explanations(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        """Functions called `param`, unpacked arguments, values, and packages of dotted imports are all hashed."""
        hashes = {
            code_hash(package(tmp_path, monkeypatch, model=text.format(value), __init__=f"K = {value}\n"))
            for value in (3, 4)
        }
        assert len(hashes) == 2

    def test_distinguishes_modules(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The hash changes if two helpers exchange their contents."""
        model = "from own_plugin import helper, other\nclass Own:\n    v = (helper.V, other.V)\n"
        hashes = {
            code_hash(package(tmp_path, monkeypatch, model=model, helper=f"V = {a}\n", other=f"V = {b}\n"))
            for a, b in ((1, 2), (2, 1))
        }
        assert len(hashes) == 2

    def test_does_not_depend_on_the_folder(self, tmp_path: Path) -> None:
        """The same files in another folder have the same hash."""
        text = "from gan_bench import Model, hookimpl\nclass {0}(Model):\n    name = '{0}'\n" \
            "@hookimpl\ndef gan_bench_models():\n    return [{0}]\n"  # fmt: skip
        hashes = set()
        for number in range(8):
            folder = tmp_path / str(number)
            folder.mkdir()
            for name in ("One", "Two", "Three"):
                (folder / f"{name}.py").write_text(text.format(name), encoding="utf-8")
            registry = load_plugins([folder])
            hashes.add(code_hash(*(registry.get("models", name) for name in ("One", "Two", "Three"))))
        assert len(hashes) == 1

    def test_a_recorded_change_keeps_the_hash(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A change that is recorded as without effect counts as the former code, also twice; a later one counts."""
        first, second, third = (f"SCALE = 2\n{check}" for check in ("", "assert SCALE\n", "assert SCALE > 1\n"))
        before = code_hash(package(tmp_path, monkeypatch, helper=first))
        for former, changed in ((first, second), (second, third)):
            cls = package(tmp_path, monkeypatch, helper=changed)
            former_code.cache_clear()
            assert code_hash(cls) != before
            record_former_code(tmp_path / "own_plugin" / "helper.py", former.encode())
            former_code.cache_clear()
            assert code_hash(cls) == before
        assert code_hash(package(tmp_path, monkeypatch, helper="SCALE = 3\n")) != before
