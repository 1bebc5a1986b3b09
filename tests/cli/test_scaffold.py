"""Tests of the files that `gan-bench new` creates: they work, fulfil their contracts and overwrite nothing."""

from __future__ import annotations

import errno
import importlib.metadata
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gan_bench
from gan_bench.cli.scaffold import KINDS, LONGEST, scaffold
from gan_bench.errors import UsageError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.engines import local
from gan_bench.testing import examine
from tests.support import project
from tests.support.messages import Messages

ROOT = Path(__file__).resolve().parents[2]
NAMES = {(kind, package): f"own-{kind}{'-package' * package}" for kind in KINDS for package in (False, True)}
"""Names of the plugins in the folder `written`."""

QUICK = ("model", "dataset")
"""Kinds whose checks start no processes."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder with a model, a dataset, and a package of each."""
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for (kind, package), name in NAMES.items():
            scaffold(kind, name, package=package).write()
    yield folder


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    """Text of every file below a folder, and an empty text for folders."""
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else "" for p in folder.rglob("*")}


def output_of(*command: str, cwd: Path, **environment: str) -> str:
    """Output of a Python program that fails; empty if it succeeds."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


class TestWritten:
    @pytest.mark.parametrize("kind", QUICK)
    def test_passes_the_kit(self, written: Path, kind: str) -> None:
        """`gan-bench check` has no findings, and the file provides the plugin of its name."""
        name = NAMES[kind, False]
        registry = load_plugins([written / "plugins" / f"{name.replace('-', '_')}.py"])
        assert registry.broken == []
        assert examine(registry.get(f"{kind}s", name)) == []

    @pytest.mark.parametrize("tests", ["tests", *(NAMES[kind, True] for kind in QUICK)])
    def test_passes_its_own_tests(self, written: Path, tests: str) -> None:
        """The tests of files and packages pass with warnings as errors."""
        engine = f"tests/test_{NAMES['engine', False].replace('-', '_')}.py"
        assert not output_of("pytest", tests, f"--ignore={engine}", "-W", "error", cwd=written)

    @pytest.mark.slow
    def test_of_an_engine_passes_its_own_tests(self, written: Path) -> None:
        """A file passes all of its tests, the kit's among them."""
        name = NAMES["engine", False].replace("-", "_")
        assert not output_of("pytest", f"tests/test_{name}.py", "-W", "error", cwd=written)

    @pytest.mark.slow
    def test_is_typed(self, written: Path) -> None:
        """mypy --strict has no findings."""
        packages = [NAMES[kind, True] for kind in KINDS]
        arguments = ["plugins", "tests", *itertools.chain(*((f"{p}/src", f"{p}/tests") for p in packages))]
        path = os.pathsep.join(f"{package}/src" for package in packages)
        assert not output_of("mypy", "--strict", "--cache-dir", ".cache", *arguments, cwd=written, MYPYPATH=path)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["a", "own", "z" * LONGEST])
    def test_is_formatted_for_any_name(self, empty: Path, kind: str, name: str) -> None:
        """ruff with the rules of this repository has no findings, for short and for long names."""
        scaffold(kind, name, package=True).write()
        scaffold(kind, name).write()
        for folder, paths in {empty: ("plugins", "tests"), empty / name: ("src", "tests")}.items():
            for action in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
                assert not output_of("ruff", *action, "--config", str(ROOT / "pyproject.toml"), *paths, cwd=folder)

    @pytest.mark.parametrize("kind", [*QUICK, pytest.param("engine", marks=pytest.mark.slow)])
    def test_runs(self, written: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The benchmark trains GAN, MGAN and, for a model, the new one."""
        name = NAMES[kind, False]
        monkeypatch.chdir(written)
        monkeypatch.setattr(local, "LocalEngine", project.InProcess)
        found = gan_bench.run(f"{name}.toml", quick=True, device="cpu", workers=1, progress=False)
        finished = found[(found["metric"] == "finished") & (found["value"] == 1)]["label"]
        assert finished.tolist() == ["GAN", "MGAN", *([name] if kind == "model" else []), "real-data", "untrained"]

    @pytest.mark.parametrize("kind", KINDS)
    def test_of_a_package_is_the_same_plugin(self, written: Path, kind: str) -> None:
        """The two forms of a plugin differ only in its name."""
        alone, package = NAMES[kind, False], NAMES[kind, True]
        inside = written / package / "src" / package.replace("-", "_") / f"{kind}.py"
        outside = written / "plugins" / f"{alone.replace('-', '_')}.py"
        assert inside.read_text().replace(package, alone).replace("Package", "") == outside.read_text()


class TestRefusal:
    @pytest.mark.parametrize("taken", ["plugins/my_gan.py", "tests/test_my_gan.py", "my-gan.toml"])
    def test_of_a_file_that_exists(self, empty: Path, taken: str, messages: Messages) -> None:
        """The file is reported and not changed, and nothing else is written."""
        (empty / taken).parent.mkdir(exist_ok=True)
        (empty / taken).write_text("mine")
        before = files(empty)
        with messages.raises(UsageError, taken):
            scaffold("model", "my-gan").write()
        assert files(empty) == before

    def test_of_a_folder_that_exists(self, empty: Path) -> None:
        """A package is created in a new folder, and never in an existing one, even if it is empty."""
        (empty / "my-gan").mkdir()
        with pytest.raises(UsageError, match=r"^my-gan "):
            scaffold("model", "my-gan", package=True).write()
        assert files(empty) == {"my-gan": ""}

    def test_of_a_dangling_link(self, empty: Path) -> None:
        """A dangling link exists, and no file is written at its target."""
        (empty / "my-gan.toml").symlink_to("elsewhere.toml")
        with pytest.raises(UsageError, match=r"^my-gan\.toml "):
            scaffold("model", "my-gan").write()
        assert [path.name for path in empty.iterdir()] == ["my-gan.toml"]

    def test_halfway_leaves_nothing_behind(self, empty: Path, messages: Messages) -> None:
        """If a file cannot be written, earlier files and their folders are removed."""
        (empty / "tests").write_text("a file where a folder should be")
        with messages.raises(UsageError, "tests/test_my_gan.py", hide={os.strerror(errno.EEXIST): "REASON"}):
            scaffold("model", "my-gan").write()
        assert files(empty) == {"tests": "a file where a folder should be"}

    @pytest.mark.parametrize(
        "name",
        ["", "my gan", "my/gan", "..", "../gan", "C:\\gan", "my.gan", "1gan", "-gan", "gan-", "_gan", "<b>gan</b>",
         "{gan}", "$name", "gän", "gan\n", "\x1b[31mgan", "a" * (LONGEST + 1)],
    )  # fmt: skip
    def test_of_an_invalid_name(self, empty: Path, name: str) -> None:
        """An invalid name raises an error of one line that begins with the name."""
        with pytest.raises(UsageError) as e:
            scaffold("model", name)
        assert str(e.value).startswith(f"{name!r} ") and str(e.value).isprintable()

    def test_describes_valid_names(self, empty: Path, messages: Messages) -> None:
        with messages.raises(UsageError, "'my gan'", "my-gan"):
            scaffold("model", "my gan")

    @pytest.mark.parametrize(
        ("kind", "name", "owner"),
        [
            ("model", "class", "class"),
            ("dataset", "none", "None"),
            ("model", "my-quick", "--quick"),
            ("dataset", "my-preview", "--preview"),
            ("model", "mgan", "'mgan'"),
            ("model", "MGAN", "'mgan'"),
            ("model", "mad_gan", "'mad-gan'"),
            ("dataset", "ring8", "'ring8'"),
            ("model", "synthetic8", "'synthetic8'"),
            ("model", "model", "Model"),
            ("dataset", "mixture", "Mixture"),
            ("model", "value-error", "ValueError"),
            ("model", "torch", "'torch'"),
            ("model", "random", "'random'"),
            ("dataset", "torch-fidelity", "'torch-fidelity'"),
            ("dataset", "gan_bench", "'gan_bench'"),
        ],
    )
    def test_of_a_name_that_is_taken_has_its_owner(
        self, empty: Path, kind: str, name: str, owner: str, messages: Messages
    ) -> None:
        """A new plugin hides no name of Python, gan-bench or an installed package."""
        hide = {f"gan-bench {importlib.metadata.version('gan-bench')}": "gan-bench VERSION"}
        with messages.raises(UsageError, owner, hide=hide):
            scaffold(kind, name)

    def test_of_a_name_from_a_plugin_file(self, empty: Path, messages: Messages) -> None:
        """A name is also taken by a model in plugins/ whose file has another name."""
        scaffold("model", "my-gan").write()
        (empty / "plugins" / "my_gan.py").rename(empty / "plugins" / "ideas.py")
        (empty / "tests" / "test_my_gan.py").unlink()
        (empty / "my-gan.toml").unlink()
        with messages.raises(UsageError, "'my-gan'", "ideas.py"):
            scaffold("model", "my-gan")


@pytest.mark.parametrize(
    ("name", "title"),
    [("my-gan", "MyGAN"), ("twoMoons", "TwoMoons"), ("a_b--c", "ABC"), ("qgan", "Qgan"), ("x2", "X2")],
)
def test_a_class_has_a_name_in_capitals(empty: Path, name: str, title: str) -> None:
    """Each word begins with a capital, and gan becomes GAN."""
    planned = scaffold("model", name)
    plugin = planned.files[Path("plugins", f"{name.replace('-', '_')}.py")]
    assert f"class {title}(Model):" in plugin


def test_a_folder_is_not_a_module(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder on Python's path, such as one of results, does not reserve its name."""
    (empty / "mine").mkdir()
    monkeypatch.syspath_prepend(empty)
    assert scaffold("model", "mine").files
