"""Hash the source code of plugins."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_hash(*classes: type[Any]) -> str:
    """Hash of the source of the modules that define these classes, and of what those use of their own package.

    Docstrings are left out: what is said of a model after it was measured retrains nothing.
    The core is left out: `plan.TRAINING_VERSION` stands for it, so that a change of a message retrains nothing.
    """
    modules: dict[str, ModuleType] = {}
    for cls in classes:
        for base in cls.__mro__:
            _collect(sys.modules.get(base.__module__), modules)
    digest = hashlib.sha256()
    for source in sorted(map(_source, modules.values())):  # the name of a plugin file's module holds its path
        digest.update(source)
    return digest.hexdigest()


def _collect(module: ModuleType | None, found: dict[str, ModuleType]) -> None:
    """Add a plugin's module and, through its globals, the modules of the same package that it uses."""
    if module is None or module.__name__ in found or not _is_plugin(module):
        return
    found[module.__name__] = module
    package = module.__name__.split(".")[0]
    for value in list(vars(module).values()):
        name = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        if isinstance(name, str) and name.split(".")[0] == package:
            _collect(sys.modules.get(name), found)


def _is_plugin(module: ModuleType) -> bool:
    top = module.__name__.split(".")[0]
    return top not in ("gan_bench", "torch", "abc", "typing", "builtins") and hasattr(module, "__file__")


def _source(module: ModuleType) -> bytes:
    file = getattr(module, "__file__", None)
    return without_docstrings(Path(file).read_bytes()) if file and Path(file).is_file() else module.__name__.encode()


@cache
def without_docstrings(source: bytes) -> bytes:
    """Python source without the docstrings of its module, classes and functions; unchanged where it is no UTF-8."""
    try:
        source.decode("utf-8")
        with warnings.catch_warnings(action="ignore"):  # of what stands in it: it was told when it was imported
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    lines = source.splitlines(keepends=True)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            first, last = text.lineno - 1, (text.end_lineno or text.lineno) - 1
            rest = lines[first][: text.col_offset] + lines[last][text.end_col_offset :]
            lines[first : last + 1] = [rest, *[b""] * (last - first)]
    return b"".join(lines)
