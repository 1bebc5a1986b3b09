"""Where a run came from: code, packages, machine and flags, so that a figure can be traced and repeated."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import inspect
import os
import platform
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_bench.plan import Run
    from gan_bench.plugins import Registry

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
PACKAGES = ("gan-bench", "torch", "numpy", "scipy", "POT", "pandas", "pluggy")


def provenance(device: str) -> dict[str, Any]:
    """Facts about this process, as plain values."""
    import torch

    facts: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": git_state(str(Path(__file__).resolve().parent)),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "matmul_precision": torch.get_float32_matmul_precision(),
    }
    if device == "cuda":
        facts["gpu"] = torch.cuda.get_device_name()
        facts["cuda"] = torch.version.cuda
    return facts


@cache
def git_state(folder: str) -> dict[str, Any] | None:
    """Commit and dirtiness of the checkout that holds `folder`; None where it is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@cache
def cpu_name() -> str:
    """The processor's model and the number of cores."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    except OSError:
        pass
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def plugin_facts(registry: Registry, run: Run) -> list[dict[str, str]]:
    """Where the code of a run's model, dataset and network came from: package and version, or file; and its hash."""
    used = {"models": run.model["plugin"], "datasets": run.dataset["plugin"], "networks": run.protocol["network"]}
    facts = []
    for kind, name in used.items():
        origin = registry.origin(kind, name)
        place = {"from": origin.name, "version": origin.version, "path": origin.path}
        facts.append({"kind": kind[:-1], "name": name, **place, "code": code_hash(registry.get(kind, name))})
    return facts


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
