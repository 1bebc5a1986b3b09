"""Rules on imports that `lint-imports` cannot express: torch at import time, and private names.

`lint-imports` checks the layers themselves, the contracts of `[tool.importlinter]` in pyproject.toml.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (ROOT, ROOT / "plugins", ROOT / "examples" / "gan-bench-example" / "src")
PACKAGES = ("gan_bench", "gan_bench_zoo", "gan_bench_example", "tools")

WITH_TORCH = (
    "gan_bench.acceleration",
    "gan_bench.api",
    "gan_bench.contracts.choice",
    "gan_bench.contracts.latents",
    "gan_bench.contracts.losses",
    "gan_bench.contracts.model",
    "gan_bench.contracts.network",
    "gan_bench.evaluation.evaluate",
    "gan_bench.evaluation.snapshot",
    "gan_bench.planning.prepare",
    "gan_bench.plugins.network_recorder",
    "gan_bench.running",
    "gan_bench.testing",
    "gan_bench.training",
    "gan_bench_zoo.classifiers",
    "gan_bench_zoo.models",
    "gan_bench_zoo.networks",
)
"""Modules and packages that may import torch at import time; all others import it when they need it."""

MEASURES_PARTS = "tools"
"""Package whose modules may import private modules, but no private names, to time single parts of the zoo."""

WITHOUT_TORCH = """
import importlib, importlib.abc, sys, traceback

class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is imported")

sys.meta_path.insert(0, Refusal())
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        frames = traceback.extract_tb(error.__traceback__)
        chain = [f"{each.filename}:{each.lineno}" for each in frames if "gan_bench" in each.filename]
        print(f"{name}: {error} by {' -> '.join(chain)}")
"""
"""Program that imports the modules given on its command line and prints those that need torch for it."""


def modules_of(package: str) -> dict[str, Path]:
    """Return the files of a package's modules, by the modules' names."""
    (base,) = (folder for folder in SOURCES if (folder / package).is_dir())
    found = {}
    for path in sorted((base / package).rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def all_modules() -> dict[str, Path]:
    """Return every module of the core, the zoo, the example and the tools."""
    return {name: path for package in PACKAGES for name, path in modules_of(package).items()}


def is_in(module: str, package: str) -> bool:
    """Whether a module is the package, or below it."""
    return module == package or module.startswith(f"{package}.")


# --- torch --------------------------------------------------------------------------------------------------------


def needing_torch(modules: list[str]) -> list[str]:
    """Return each module that needs torch at import time, with the imports that lead to it."""
    command = [sys.executable, "-c", WITHOUT_TORCH, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_reading_and_describing_needs_no_torch() -> None:
    """Results, tables, figures, benchmark files, metrics and datasets can be described without importing torch."""
    modules = [name for name in (*modules_of("gan_bench"), *modules_of("gan_bench_zoo")) if "__main__" not in name]
    assert needing_torch([name for name in modules if not any(is_in(name, each) for each in WITH_TORCH)]) == []


def test_a_module_that_needs_torch_is_found() -> None:
    """An indirect import of torch is found too, with the imports that lead to it."""
    (found,) = needing_torch(["gan_bench.names", "gan_bench.api"])
    assert found.startswith("gan_bench.api: torch is imported by ")
    assert found.count(" -> ") > 0


def test_only_modules_that_exist_are_excepted() -> None:
    """A removed module has no entry in the list of exceptions."""
    assert [each for each in WITH_TORCH if each not in all_modules()] == []


# --- private names ------------------------------------------------------------------------------------------------


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def private_uses(module: str, source: str) -> Iterator[str]:
    """Yield private names and modules of others that a module imports, or reads from modules that it imports.

    A private module belongs to its package: every module below the package may import it.
    """
    aliases: dict[str, str] = {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for each in node.names:
                full = f"{node.module}.{each.name}"
                if full in all_modules():
                    aliases[each.asname or each.name] = full
                elif is_private(each.name) and node.module in all_modules():
                    yield f"{module}:{node.lineno} imports {full}"
        elif isinstance(node, ast.Import):
            aliases |= {each.asname or each.name: each.name for each in node.names if each.name in all_modules()}
        for imported in _imported_modules(node):
            if not _may_import(module, imported):
                yield f"{module}:{node.lineno} imports {imported}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) in aliases:
            yield f"{module}:{node.lineno} reads {aliases[ast.unparse(node.value)]}.{node.attr}"


def _imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        modules = [f"{node.module}.{each.name}" for each in node.names]
        return [str(node.module), *(each for each in modules if each in all_modules())]
    return []


def _may_import(module: str, imported: str) -> bool:
    """Whether all private parts of an imported module's name belong to packages of the importing module."""
    parts = imported.split(".")
    if imported not in all_modules() or is_in(module, MEASURES_PARTS):
        return True
    owners = [".".join(parts[:i]) for i, part in enumerate(parts) if is_private(part)]
    return all(is_in(module, owner) for owner in owners)


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_imports_a_private_name(package: str) -> None:
    """A private name is used in its module only, and a private module in its package only."""
    found = [
        use
        for name, path in modules_of(package).items()
        for use in private_uses(name, path.read_text(encoding="utf-8"))
    ]
    assert found == []


PRIVATE_USES = {
    "from gan_bench.names import _anything": "imports gan_bench.names._anything",
    "from gan_bench import names\nnames._anything()": "reads gan_bench.names._anything",
    "import gan_bench.names\ngan_bench.names._anything()": "reads gan_bench.names._anything",
    "import gan_bench.names as n\nn._anything()": "reads gan_bench.names._anything",
    "from gan_bench_zoo.metrics import _modes": "imports gan_bench_zoo.metrics._modes",
    "from gan_bench_zoo.metrics._modes import density": "imports gan_bench_zoo.metrics._modes",
    "import gan_bench_zoo.metrics._modes": "imports gan_bench_zoo.metrics._modes",
    "def f():\n    from gan_bench.names import _anything": "imports gan_bench.names._anything",
}
"""Uses of private names, and the report of each."""


@pytest.mark.parametrize(("source", "report"), PRIVATE_USES.items())
def test_a_private_use_is_found(source: str, report: str) -> None:
    """All forms of import are found, also inside functions."""
    (found,) = private_uses("gan_bench_zoo.models.gan", source)
    assert found.endswith(report)


@pytest.mark.parametrize(
    "source",
    [
        "from gan_bench_zoo.metrics import _modes",
        "from gan_bench_zoo.metrics._modes import density",
        "from gan_bench.names import __name__",
        "from torch import _inductor",
        "import gan_bench.names\nself._own.names()",
    ],
)
def test_others_are_not(source: str) -> None:
    """A private module of the same package, dunder names, names of other projects and own attributes are allowed."""
    assert list(private_uses("gan_bench_zoo.metrics.fid", source)) == []


# --- contracts of lint-imports ------------------------------------------------------------------------------------


def test_every_layer_is_allowed_or_forbidden_to_the_zoo() -> None:
    """A new layer has to be added to one of the lists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {each["name"]: each for each in project["tool"]["importlinter"]["contracts"]}
    layers = {
        name.strip() for line in contracts["Upper layers import lower ones"]["layers"] for name in line.split(":")
    }
    zoo = contracts["The zoo imports contracts, data, errors and names only"]
    forbidden = {name.removeprefix("gan_bench.") for name in zoo["forbidden_modules"]}
    assert layers - forbidden == {"contracts", "data", "errors", "names"}


def test_no_import_is_excepted() -> None:
    """Contracts have no exceptions, and type-checking imports are checked too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = project["tool"]["importlinter"]
    assert "exclude_type_checking_imports" not in settings
    assert [each["name"] for each in settings["contracts"] if "ignore_imports" in each] == []
