"""Where a run came from, and the hash of the code that made it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.networks.mlp import MLP

from gan_bench.plugins.code_hash import code_hash
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.provenance import git_state, provenance

PACKAGE = {
    "__init__.py": "",
    "helper.py": "SCALE = 2\n",
    "other.py": "UNUSED = 1\n",
    "model.py": "from own_plugin.helper import SCALE\nfrom own_plugin import helper\nclass Own:\n    scale = SCALE\n",
}


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: str) -> type[Any]:
    """A class of a plugin package of several modules, imported afresh."""
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
    def test_is_that_of_the_modules(self) -> None:
        """The same classes, in whatever order, have the same hash; others have another."""
        assert code_hash(GAN, MLP, Ring8) == code_hash(Ring8, GAN, MLP)
        assert code_hash(GAN, MLP, Ring8) != code_hash(MGAN, MLP, Ring8)
        assert len(code_hash(GAN)) == 64

    def test_follows_what_a_module_uses_of_its_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A helper's change is a change of the model; that of a module it does not use is none."""
        before = code_hash(package(tmp_path, monkeypatch))
        assert code_hash(package(tmp_path, monkeypatch, other="UNUSED = 2\n")) == before
        assert code_hash(package(tmp_path, monkeypatch, helper="SCALE = 3\n")) != before

    def test_leaves_docstrings_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is said of a model is no change of it, a string that is no docstring is."""
        text = '"""{0}"""\nclass Own:\n    """{0}"""\n    name = "{1}"\n    def f(self):\n        """{0}"""; return 1\n'
        said = [text.format(words, "own") for words in ("One.", "Two\n    lines, é.", "Three.")]
        hashes = {code_hash(package(tmp_path, monkeypatch, model=each)) for each in said}
        assert len(hashes) == 1
        assert code_hash(package(tmp_path, monkeypatch, model=text.format("One.", "other"))) not in hashes

    def test_leaves_the_core_out(self) -> None:
        """A class of the core alone has the hash of nothing: TRAINING_VERSION stands for the core."""
        from gan_bench.contracts.model import Model

        assert code_hash(Model) == code_hash()

    def test_does_not_depend_on_the_folder(self, tmp_path: Path) -> None:
        """The same files elsewhere, on another machine, are the same code."""
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


class TestProvenance:
    def test_is_plain_and_says_what_made_a_run(self) -> None:
        """Everything fits into JSON: packages with version, machine, command and flags."""
        facts = json.loads(json.dumps(provenance("cpu")))
        assert facts["packages"]["torch"] == importlib.metadata.version("torch")
        assert {"started", "command", "python", "platform", "cpu", "git", "deterministic"} <= facts.keys()
        assert "gpu" not in facts

    def test_names_packages_that_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An absent package is said to be absent, not left out."""
        monkeypatch.setattr("gan_bench.running.provenance.PACKAGES", ("no-such-package",))
        assert provenance("cpu")["packages"] == {"no-such-package": "not installed"}

    def test_knows_commit_and_dirtiness(self, tmp_path: Path) -> None:
        """A changed tracked file makes a checkout dirty, a new file does not; no checkout is None."""
        (tmp_path / "repo").mkdir()
        git("init", "-q", cwd=tmp_path / "repo")
        (tmp_path / "repo" / "file").write_text("1")
        git("add", "file", cwd=tmp_path / "repo")
        git("-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", "m", cwd=tmp_path / "repo")
        (tmp_path / "repo" / "new").write_text("")
        commit = git("rev-parse", "HEAD", cwd=tmp_path / "repo")
        assert git_state.__wrapped__(str(tmp_path / "repo")) == {"commit": commit, "dirty": False}
        (tmp_path / "repo" / "file").write_text("2")
        assert git_state.__wrapped__(str(tmp_path / "repo")) == {"commit": commit, "dirty": True}
        assert git_state.__wrapped__(str(tmp_path)) is None

    def test_does_without_git(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where there is no git, there is no commit, and no error."""
        monkeypatch.setenv("PATH", str(tmp_path))
        assert git_state.__wrapped__(str(tmp_path)) is None

    @pytest.mark.gpu
    def test_names_the_gpu(self) -> None:
        """On a GPU its name and CUDA's version are kept as well."""
        assert provenance("cuda")["gpu"] == torch.cuda.get_device_name()


def git(*arguments: str, cwd: Path) -> str:
    """Run git."""
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
