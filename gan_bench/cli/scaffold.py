"""Files written by `gan-bench new`: a working plugin, its test and its benchmark, from `templates/`.

A template is the file with ``$name`` (my-gan), ``$module`` (my_gan), ``$title`` (MyGAN), ``$kind`` and ``$year`` in
it. A line that begins with ``%file|`` or ``%package|`` is only written in that form of the plugin.
"""

from __future__ import annotations

import ast
import builtins
import importlib.metadata
import importlib.util
import keyword
import os
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from gan_bench.config.source import shipped_benchmarks
from gan_bench.contracts.modes import reserved_for
from gan_bench.errors import UsageError
from gan_bench.plugins.discovery import load_plugins, plugin_folders

KINDS = ("model", "dataset", "engine")
LONGEST = 40  # characters of a name, so that lines of the templates fit their length limit
ALLOWED = (
    f"a name consists of at most {LONGEST} letters, digits, - and _, begins with a letter and ends with a letter or "
    "digit, for example my-gan"
)


@dataclass(frozen=True)
class Scaffold:
    """Files to write, and next steps for the user.

    Attributes:
        files: text by path, relative to the working folder.
        commands: the user's next commands, each with its purpose.
        root: a folder that must not exist yet, or None.
    """

    files: Mapping[Path, str]
    commands: tuple[tuple[str, str], ...]
    root: Path | None = None

    def refuse_to_overwrite(self) -> None:
        """Raise UsageError if a file exists already."""
        for path in (*self.files, *([self.root] if self.root else [])):
            if os.path.lexists(path):
                advice = "Nothing was written. Choose another name, or move it away."
                raise UsageError(f"{path} already exists. {advice}")

    def write(self) -> list[Path]:
        """Write every file, or none.

        Raises:
            UsageError: a file exists already, or cannot be written; the folder is unchanged.
        """
        self.refuse_to_overwrite()
        made: list[Path] = []
        try:
            for path, text in self.files.items():
                _make_folder(path.parent, made)
                with open(path, "x", encoding="utf-8", newline="\n") as file:
                    made.append(path)
                    file.write(text)
        except OSError as error:
            for each in reversed(made):
                each.rmdir() if each.is_dir() else each.unlink()
            raise UsageError(f"{path}: cannot be written ({error.strerror}). Nothing was written.") from error
        return list(self.files)


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Create a folder and its parents, and record each that did not exist."""
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            each.mkdir()
            made.append(each)


def scaffold(kind: str, name: str, *, package: bool = False) -> Scaffold:
    """Build a new plugin, ready to be written.

    Args:
        kind: "model", "dataset" or "engine".
        name: the name of the plugin in a benchmark.
        package: build an installable package in a new folder instead of files for the working folder.

    Raises:
        UsageError: the name is not allowed, or taken, or a file of it exists.
    """
    _check_form(name)
    words = {"name": name, "module": _module(name), "title": _title(name), "kind": kind, "year": f"{date.today().year}"}
    plugin = _rendered(f"{kind}/plugin.py", words, package)
    test, benchmark = (_rendered(f"{kind}/{each}", words, package) for each in ("test.py", "benchmark.toml"))
    texts = _Texts(plugin, test, benchmark)
    planned = _package(kind, words, texts) if package else _single_files(kind, words, texts)
    planned.refuse_to_overwrite()  # before the look-up of the name, because the user recognises the file
    _check_free(kind, name, plugin)
    return planned


class _Texts(NamedTuple):
    """Texts that both forms have."""

    plugin: str
    test: str
    benchmark: str


def _single_files(kind: str, words: Mapping[str, str], texts: _Texts) -> Scaffold:
    """Build files for the working folder."""
    plugin = Path("plugins", f"{words['module']}.py")
    test = Path("tests", f"test_{words['module']}.py")
    benchmark = Path(f"{words['name']}.toml")
    written = dict(zip((plugin, test, benchmark), texts, strict=True))
    return Scaffold(written, _next(kind, plugin, benchmark, test))


def _package(kind: str, words: Mapping[str, str], texts: _Texts) -> Scaffold:
    """Build an installable package in a new folder."""
    root = Path(words["name"])
    source = root / "src" / words["module"]
    benchmark = root / f"{words['name']}.toml"
    written = {
        root / "pyproject.toml": _rendered("package/pyproject.toml", words),
        root / "README.md": _rendered("package/README.md", words),
        source / "__init__.py": _rendered("package/init.py", words),
        source / "py.typed": "",
        source / f"{kind}.py": texts.plugin,
        root / "tests" / f"test_{words['module']}.py": texts.test,
        benchmark: texts.benchmark,
    }
    install = (f"cd {root} && pip install -e .", "install the plugin, for use in any folder")
    return Scaffold(written, (install, *_next(kind, words["name"], benchmark.name, "tests")), root)


def _next(kind: str, plugin: Path | str, benchmark: Path | str, tests: Path | str) -> tuple[tuple[str, str], ...]:
    own_test = "of the values of the engine local" if kind == "engine" else "of its closed form"
    return (
        (f"gan-bench check {plugin}", "check that it fulfils the contract"),
        (f"gan-bench run {benchmark}", "train and print the table in a minute or two; try --quick first"),
        (f"pytest {tests}", f"run the same checks, and a test {own_test}"),
    )


def _rendered(template: str, words: Mapping[str, str], package: bool = False) -> str:
    """Fill in a template of this package and drop the lines of the other form."""
    text = files("gan_bench.cli").joinpath("templates", f"{template}.template").read_text(encoding="utf-8")
    wanted, other = ("%package|", "%file|") if package else ("%file|", "%package|")
    lines = [line.removeprefix(wanted) for line in text.splitlines(keepends=True) if not line.startswith(other)]
    return string.Template("".join(lines)).substitute(words)


def _module(name: str) -> str:
    return name.replace("-", "_")


def _title(name: str) -> str:
    """Name of the class: my-gan is MyGAN."""
    parts = [part for part in re.split(r"[-_]", name) if part]
    return "".join("GAN" if part.lower() == "gan" else part[0].upper() + part[1:] for part in parts)


def _check_form(name: str) -> None:
    """Reject a name that cannot name a plugin, a Python module and a package at once."""
    if len(name) > LONGEST or not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?", name):
        shown = name if len(name) <= 60 else f"{name[:57]}..."
        raise UsageError(f"{shown!r} cannot be the name of a plugin: {ALLOWED}.")
    for word in (_module(name), _title(name)):
        if keyword.iskeyword(word):
            raise UsageError(f"{name!r} cannot be the name of a plugin: {word} is a keyword of Python.")
    if (option := reserved_for(name)) is not None:
        raise UsageError(
            f"{name!r} cannot be the name of a benchmark: the ending {option[1:]} is reserved for {option}."
        )


def _check_free(kind: str, name: str, plugin: str) -> None:
    """Reject a name that another plugin or module has."""
    advice = "Choose another name."
    if _title(name) in _names_used_by(plugin):
        raise UsageError(f"{name!r} gives a class called {_title(name)}, a name of Python or gan-bench. {advice}")
    if name in shipped_benchmarks():
        raise UsageError(f"{name!r} is the name of a shipped benchmark. {advice}")
    registry = load_plugins(plugin_folders(), kinds=(f"{kind}s",))
    taken = {_folded(each): each for each in registry.all(f"{kind}s")}
    if _folded(name) in taken:
        found = taken[_folded(name)]
        raise UsageError(
            f"A {kind} called {found!r} already exists, from {registry.origin(f'{kind}s', found)}. {advice}"
        )
    if _shadows(_module(name)) or _is_installed(name):
        raise UsageError(f"{name!r} would hide an installed package or a module of Python. {advice}")


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")


def _names_used_by(plugin: str) -> set[str]:
    """Names that the class of a plugin must not have: builtins, and names that the file imports or defines."""
    body = ast.parse(plugin).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {*dir(builtins), "Params", *(alias.asname or alias.name for node in imports for alias in node.names)}


def _shadows(module: str) -> bool:
    """Whether a module of this name can be imported; a mere folder does not count."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
