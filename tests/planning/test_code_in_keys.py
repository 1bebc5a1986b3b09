"""Keys of runs after edits of a plugin: they change with code that is executed, and with nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_bench.plugins import code_hash
from tests.support import project

MODEL = '''\
"""A model with a helper (Nobody, 2026)."""

import sys
from pathlib import Path
{path}
from gan_bench import hookimpl
from gan_bench_zoo.models.gan import GAN
from {package}losses import scaled  # the weight


class Mine(GAN):
    """A GAN."""

    name = "mine"
    presets = {{}}

    def generator_loss(self, fake):
        """Return the loss."""
        from {package}late import WEIGHT

        return WEIGHT * scaled(super().generator_loss(fake))


@hookimpl
def gan_bench_models():
    return [Mine]
'''
HELPERS = {
    "losses": '"""Losses."""\n\nfrom {package}scales import SCALE\n\n\ndef scaled(loss):\n'
    '    """Return a loss."""\n    # of any size\n    return SCALE * loss\n',
    "scales": "SCALE = 2\n",
    "late": "WEIGHT = 3\n",
    "unused": "SCALE = 4\n",
}
"""Modules that the model imports at once, in turn, in a function, and never."""

EDITS = {
    "the code of a helper": ("losses", "SCALE * loss", "SCALE + loss", True),
    "the code of a helper of a helper": ("scales", "2", "5", True),
    "the code of a module that a function imports": ("late", "3", "5", True),
    "the code of a module that is not imported": ("unused", "4", "5", False),
    "the code of the model": ("model", "WEIGHT *", "WEIGHT +", True),
    "a comment of a helper": ("losses", "of any size", "of any kind", False),
    "a comment of the model": ("model", "# the weight", "# a weight", False),
    "the docstring of a helper's module": ("losses", "Losses.", "All losses.", False),
    "the docstring of a helper's function": ("losses", "Return a loss.", "Return the loss.", False),
    "the docstring of the model": ("model", "A GAN.", "The GAN.", False),
    "the format of a helper": ("losses", "SCALE * loss", "(SCALE\n            * loss)", False),
    "an import of a module in a helper": ("losses", "\n\ndef", "import math\n\n\ndef", True),
    "an import of a module in the model": ("model", "import sys\n", "import sys\nimport math\n", True),
    "an import of a name of the core": ("model", "import hookimpl", "import bce_real, hookimpl", True),
    "an import of another helper": ("losses", "\n\ndef", "import {package_name}unused\n\n\ndef", True),
}
"""File, text, its replacement, and whether keys change."""


class Files:
    """A plugin: a file with helpers beside it, or an installed package."""

    def __init__(self, folder: Path, installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.installed, self.monkeypatch = folder, installed, monkeypatch
        self.code = folder / ("site/own_package" if installed else "plugins")
        self.code.mkdir(parents=True)
        package = "own_package." if installed else ""
        path = "" if installed else "sys.path.insert(0, str(Path(__file__).parent))"
        self.write("model", MODEL.format(package=package, path=path))
        for name, text in HELPERS.items():
            self.write(name, text.replace("{package}", package))
        if installed:
            self.write("__init__", "")
            information = folder / "site" / "own_package-1.0.dist-info"
            information.mkdir()
            (information / "METADATA").write_text("Metadata-Version: 2.1\nName: own_package\nVersion: 1.0\n")
            (information / "entry_points.txt").write_text("[gan_bench]\nown = own_package.model\n")
            monkeypatch.syspath_prepend(str(folder / "site"))

    def write(self, name: str, text: str) -> None:
        """Write a module."""
        (self.code / f"{name}.py").write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text of a module."""
        text = (self.code / f"{name}.py").read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new.replace("{package_name}", "own_package." if self.installed else ""), 1))

    def key(self) -> str:
        """Key of the run of the model, as a new process computes it."""
        for name in [name for name in sys.modules if name.partition(".")[0] in ("own_package", *HELPERS)]:
            self.monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        code_hash._installed_plugins.cache_clear()
        planned = project.plan(project.describe([{"plugin": "mine"}]), self.folder / "results")
        (job,) = planned.jobs
        return job.run.key


@pytest.fixture(params=[False, True], ids=["file", "package"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """The files of a plugin in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield Files(tmp_path, request.param, monkeypatch)
    code_hash._installed_plugins.cache_clear()


@pytest.mark.parametrize("edit", EDITS)
def test_change_with_the_code_that_is_executed(files: Files, edit: str) -> None:
    """A key changes with code of the plugin and of its helpers, not with comments, docstrings and other modules."""
    name, old, new, changes = EDITS[edit]
    before = files.key()
    assert files.key() == before
    files.edit(name, old, new)
    assert (files.key() != before) == changes


def test_change_with_a_module_that_is_imported_by_its_name(files: Files) -> None:
    """`importlib.import_module` with the name as a literal is an import as any other."""
    package = "own_package." if files.installed else ""
    imported = f'import importlib\nSCALE = importlib.import_module("{package}unused").SCALE\n'
    files.write("scales", imported)
    before = files.key()
    files.edit("unused", "4", "5")
    assert files.key() != before
