"""What `gan-bench new` writes works at once, keeps every rule, and overwrites nothing."""

from __future__ import annotations

import itertools
import os
import re
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

ROOT = Path(__file__).resolve().parents[2]
NAMES = {(kind, package): f"own-{kind}{'-package' * package}" for kind in KINDS for package in (False, True)}
"""What the folder `written` holds."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model, a dataset, and a package of each."""
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for (kind, package), name in NAMES.items():
            scaffold(kind, name, package=package).write()
    yield folder


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder, with its text; folders with an empty one."""
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else "" for p in folder.rglob("*")}


def says(*command: str, cwd: Path, **environment: str) -> str:
    """What a Python program says; empty where it finds nothing wrong."""
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
    @pytest.mark.parametrize("kind", KINDS)
    def test_passes_the_kit(self, written: Path, kind: str) -> None:
        """`gan-bench check` finds nothing, and the file brings what its name says."""
        name = NAMES[kind, False]
        registry = load_plugins([written / "plugins" / f"{name.replace('-', '_')}.py"])
        assert registry.broken == []
        assert examine(registry.get(f"{kind}s", name)) == []

    @pytest.mark.parametrize("tests", ["tests", *(NAMES[kind, True] for kind in KINDS)])
    def test_passes_its_own_tests(self, written: Path, tests: str) -> None:
        """Those of files and those of each package, with every warning an error."""
        assert not says("pytest", tests, "-W", "error", cwd=written)

    @pytest.mark.slow
    def test_is_typed(self, written: Path) -> None:
        """mypy --strict finds nothing."""
        packages = [NAMES[kind, True] for kind in KINDS]
        arguments = ["plugins", "tests", *itertools.chain(*((f"{p}/src", f"{p}/tests") for p in packages))]
        path = os.pathsep.join(f"{package}/src" for package in packages)
        assert not says("mypy", "--strict", "--cache-dir", ".cache", *arguments, cwd=written, MYPYPATH=path)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["a", "own", "z" * LONGEST])
    def test_is_formatted_whatever_its_name(self, empty: Path, kind: str, name: str) -> None:
        """ruff with this repository's rules finds nothing to mend, for short names and for long ones."""
        scaffold(kind, name, package=True).write()
        scaffold(kind, name).write()
        for folder, paths in {empty: ("plugins", "tests"), empty / name: ("src", "tests")}.items():
            for action in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
                assert not says("ruff", *action, "--config", str(ROOT / "pyproject.toml"), *paths, cwd=folder)

    @pytest.mark.parametrize("kind", KINDS)
    def test_runs(self, written: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its benchmark trains GAN, MGAN and, for a model, the new one."""
        name = NAMES[kind, False]
        monkeypatch.chdir(written)
        monkeypatch.setattr(local, "LocalEngine", project.InProcess)
        found = gan_bench.run(f"{name}.toml", quick=True, device="cpu", workers=1, progress=False)
        finished = found[(found["metric"] == "finished") & (found["value"] == 1)]["label"]
        assert finished.tolist() == ["GAN", "MGAN", *([name] if kind == "model" else []), "real-data", "untrained"]

    @pytest.mark.parametrize("kind", KINDS)
    def test_of_a_package_is_the_same_plugin(self, written: Path, kind: str) -> None:
        """The two forms differ in the name alone."""
        alone, package = NAMES[kind, False], NAMES[kind, True]
        inside = written / package / "src" / package.replace("-", "_") / f"{kind}.py"
        outside = written / "plugins" / f"{alone.replace('-', '_')}.py"
        assert inside.read_text().replace(package, alone).replace("Package", "") == outside.read_text()


class TestRefusal:
    @pytest.mark.parametrize("taken", ["plugins/my_gan.py", "tests/test_my_gan.py", "my-gan.toml"])
    def test_of_a_file_that_exists(self, empty: Path, taken: str) -> None:
        """It is named, keeps its text, and nothing else is written."""
        (empty / taken).parent.mkdir(exist_ok=True)
        (empty / taken).write_text("mine")
        before = files(empty)
        with pytest.raises(UsageError, match=f"^{re.escape(taken)} exists already, so nothing was written"):
            scaffold("model", "my-gan").write()
        assert files(empty) == before

    def test_of_a_folder_that_exists(self, empty: Path) -> None:
        """A package goes into a folder of its own, not into one that happens to be there, not even an empty one."""
        (empty / "my-gan").mkdir()
        with pytest.raises(UsageError, match=r"^my-gan exists already"):
            scaffold("model", "my-gan", package=True).write()
        assert files(empty) == {"my-gan": ""}

    def test_of_a_link_that_leads_nowhere(self, empty: Path) -> None:
        """A dangling link is something that exists: nothing is written through it."""
        (empty / "my-gan.toml").symlink_to("elsewhere.toml")
        with pytest.raises(UsageError, match=r"^my-gan\.toml exists already"):
            scaffold("model", "my-gan").write()
        assert [path.name for path in empty.iterdir()] == ["my-gan.toml"]

    def test_halfway_leaves_nothing_behind(self, empty: Path) -> None:
        """Where a later file cannot be written, the earlier ones and their folders are gone again."""
        (empty / "tests").write_text("a file where a folder should be")
        with pytest.raises(UsageError, match=r"^tests.test_my_gan\.py cannot be written \(.+\), so nothing was\.$"):
            scaffold("model", "my-gan").write()
        assert files(empty) == {"tests": "a file where a folder should be"}

    @pytest.mark.parametrize(
        "name",
        ["", "my gan", "my/gan", "..", "../gan", "C:\\gan", "my.gan", "1gan", "-gan", "gan-", "_gan", "<b>gan</b>",
         "{gan}", "$name", "gän", "gan\n", "\x1b[31mgan", "a" * (LONGEST + 1)],
    )  # fmt: skip
    def test_of_a_name_says_what_is_allowed(self, empty: Path, name: str) -> None:
        """Spaces, separators, markup and whatever else is no name: one line that says what is one."""
        with pytest.raises(
            UsageError, match="cannot be the name of a plugin: a name has letters, digits, - and _"
        ) as e:
            scaffold("model", name)
        assert str(e.value).isprintable()

    @pytest.mark.parametrize(
        ("kind", "name", "reason"),
        [
            ("model", "class", "class is a keyword of Python"),
            ("dataset", "none", "None is a keyword of Python"),
            ("model", "my-quick", "names that end in -quick are reserved for --quick"),
            ("dataset", "my-preview", "names that end in -preview are reserved for --preview"),
            ("model", "mgan", "A model is called 'mgan' already, from gan-bench"),
            ("model", "MGAN", "A model is called 'mgan' already"),
            ("model", "mad_gan", "A model is called 'mad-gan' already"),
            ("dataset", "ring8", "A dataset is called 'ring8' already, from gan-bench"),
            ("model", "synthetic8", "is a benchmark that comes with gan-bench"),
            ("model", "model", "would be a class called Model, which Python or gan-bench has"),
            ("dataset", "mixture", "would be a class called Mixture"),
            ("model", "value-error", "would be a class called ValueError"),
            ("model", "torch", "is installed here or is Python's own"),
            ("model", "random", "is installed here or is Python's own"),
            ("dataset", "torch-fidelity", "is installed here or is Python's own"),
            ("dataset", "gan_bench", "is installed here or is Python's own"),
        ],
    )
    def test_of_a_name_that_is_taken_says_by_whom(self, empty: Path, kind: str, name: str, reason: str) -> None:
        """Nothing that Python, gan-bench or an installed package has is hidden by what is written."""
        with pytest.raises(UsageError, match=reason):
            scaffold(kind, name)

    def test_of_a_name_from_a_plugin_file(self, empty: Path) -> None:
        """A model in plugins/ under another file's name counts as well."""
        scaffold("model", "my-gan").write()
        (empty / "plugins" / "my_gan.py").rename(empty / "plugins" / "ideas.py")
        (empty / "tests" / "test_my_gan.py").unlink()
        (empty / "my-gan.toml").unlink()
        with pytest.raises(UsageError, match=r"A model is called 'my-gan' already, from ideas\.py"):
            scaffold("model", "my-gan")


@pytest.mark.parametrize(
    ("name", "title"),
    [("my-gan", "MyGAN"), ("twoMoons", "TwoMoons"), ("a_b--c", "ABC"), ("qgan", "Qgan"), ("x2", "X2")],
)
def test_a_class_is_called_as_python_does(empty: Path, name: str, title: str) -> None:
    """Words begin with a capital, and GAN stays GAN."""
    planned = scaffold("model", name)
    plugin = planned.files[Path("plugins", f"{name.replace('-', '_')}.py")]
    assert f"class {title}(Model):" in plugin


def test_a_mere_folder_is_no_module(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes any folder on its path for a package; a folder of results named so forbids nothing."""
    (empty / "mine").mkdir()
    monkeypatch.syspath_prepend(empty)
    assert scaffold("model", "mine").files
