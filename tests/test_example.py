"""Promises of external packages: examples/ and the output of `gan-bench new --package` can be installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import gan_bench_example
import pytest
from gan_bench_example.stackelberg import StackelbergGAN
from gan_bench_example.swiss_roll import SwissRoll

from gan_bench.cli.scaffold import scaffold
from gan_bench.plugins.registry import Origin, Registry
from gan_bench.testing import DatasetTestCase, ModelTestCase

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "gan-bench-example"

Python = Callable[..., str]


class TestStackelbergGAN(ModelTestCase):
    """The model of the example passes the contract checks."""

    plugin = StackelbergGAN


class TestSwissRoll(DatasetTestCase):
    """The dataset of the example passes the contract checks."""

    plugin = SwissRoll


def test_the_example_brings_what_its_readme_says() -> None:
    """Its hooks return the two classes."""
    registry = Registry()
    origin = Origin("gan-bench-example", "1.2.0", "gan_bench_example")
    for item in gan_bench_example.gan_bench_models():
        registry.add("models", item, origin)
    for item in gan_bench_example.gan_bench_datasets():
        registry.add("datasets", item, origin)
    assert registry.broken == []
    assert (list(registry.all("models")), list(registry.all("datasets"))) == (["stackelberg-gan"], ["swiss-roll"])


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Return a function that runs the Python of a fresh environment on installed packages and returns its output."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    borrowed = sysconfig.get_paths()["purelib"]
    line = f"import site; site.addsitedir({borrowed!r})\n"  # processes .pth files, such as those of editable installs
    Path(paths["purelib"], "borrowed.pth").write_text(line, encoding="utf-8")
    program = Path(paths["scripts"], "python")

    def called(*arguments: str, cwd: Path) -> str:
        done = subprocess.run([str(program), *arguments], cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return called


def install(python: Python, source: Path, cwd: Path) -> None:
    """Build a wheel of a copy of a package and install it without network access."""
    shutil.copytree(source, cwd / "source", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    offline = ("--no-deps", "--no-index", "--disable-pip-version-check")
    python("-m", "pip", "wheel", *offline, "--no-build-isolation", "-w", "wheels", "./source", cwd=cwd)
    (wheel,) = cwd.glob("wheels/*.whl")
    python("-m", "pip", "install", *offline, str(wheel), cwd=cwd)
    shutil.rmtree(cwd / "source")  # later steps can only use the wheel


COMMAND = ("-c", "from gan_bench.cli import main; main()")


@pytest.mark.slow
def test_the_example_works_as_an_installed_wheel(python: Python, tmp_path: Path) -> None:
    """The wheel is listed with origin and version, checked, tested, and run to a table."""
    install(python, EXAMPLE, tmp_path)
    for kind, name in {"models": "stackelberg-gan", "datasets": "swiss-roll"}.items():
        listed = python(*COMMAND, "list", kind, cwd=tmp_path)
        assert re.search(rf"^{name} +gan-bench-example 1\.2\.0 ", listed, re.MULTILINE)
        assert "BROKEN" not in listed
        python(*COMMAND, "check", name, cwd=tmp_path)
    python("-m", "pytest", "-o", "pythonpath=", "-p", "no:cacheprovider", str(EXAMPLE), cwd=tmp_path)
    table = python(*COMMAND, "run", str(EXAMPLE / "swiss-roll.toml"), "--quick", "--device", "cpu", cwd=tmp_path)
    assert re.search(r"^Stackelberg GAN +20 iterations .* yes +yes$", table, re.MULTILINE)


@pytest.mark.slow
def test_a_package_of_ones_own_works_as_an_installed_wheel(
    python: Python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds for the output of `gan-bench new model own-gan --package`."""
    monkeypatch.chdir(tmp_path)
    scaffold("model", "own-gan", package=True).write()
    package = tmp_path / "own-gan"
    install(python, package, tmp_path)
    listed = python(*COMMAND, "list", "models", cwd=package)
    assert re.search(r"^own-gan +own-gan 0\.1\.0 ", listed, re.MULTILINE)
    python(*COMMAND, "check", "own-gan", cwd=package)
    python("-m", "pytest", "-o", "pythonpath=", cwd=package)
    table = python(*COMMAND, "run", "own-gan.toml", "--quick", "--device", "cpu", cwd=package)
    assert re.search(r"^own-gan +20 iterations .* yes +yes$", table, re.MULTILINE)
