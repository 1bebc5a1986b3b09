"""Hash of the code of plugins by its syntax tree, so that a run's key changes if and only if the code does.

Comments, formatting and docstrings are not part of a syntax tree, so explanations can be added after a run.
The core is left out: `planning.runs.TRAINING_VERSION` represents it. Of imports from the core only the names count,
not the modules.

A change that cannot change a trained value, such as a stricter check of a damaged file, keeps the keys if it is
recorded in `former_code.json` beside the module (`tools/former_code.py`). The present code then counts as the former
one. Without a new record the next change counts again.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib
import importlib.util
import json
import sys
import warnings
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from gan_bench.plugins.entry_points import installed_plugins

CORE = "gan_bench"
FORMER_CODE = "former_code.json"
FILE_PREFIX = "gan_bench_plugin_"
"""Prefix of the names under which plugin files are imported."""

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_EXPLANATIONS = {"param": 1, "Preset": 0}
"""Functions of the core with an argument `doc`, and its position."""

_IGNORED = ("type_comment", "kind")  # fields of nodes without effect on execution


def code_hash(*classes: type[Any]) -> str:
    """Hash of the modules that define these classes and their bases, and of the helper modules that those import.

    A helper is a module of the same top-level package, of the same distribution or in the same folder. Imports are
    followed transitively, those inside functions included. Bases of other libraries are left out.
    """
    files: dict[Path, None] = {}
    for cls in classes:
        for base in cls.__mro__:
            if base is cls or _is_plugin(base.__module__) or _is_helper(base.__module__, cls.__module__):
                _collect(base.__module__, files)
    digest = hashlib.sha256()
    # Files count with their names, but not with their folders, which may differ between machines.
    for name, code in sorted((_name_of(file), _counted(file)) for file in files):
        digest.update(f"{name}\n{len(code)}\n".encode() + code)
    return digest.hexdigest()


def _counted(file: Path) -> bytes:
    """Code of a file, or the former code that it counts as."""
    code = _code(_source(file))
    record = former_code(file.parent).get(file.stem)
    if record is None or record["code"] != hashlib.sha256(code).hexdigest():
        return code
    return zlib.decompress(base64.b64decode(record["former"]))


@cache
def former_code(folder: Path) -> dict[str, dict[str, str]]:
    """Records of `former_code.json` in a folder by module: hash of the present code, and the former code, packed."""
    try:
        found: dict[str, dict[str, str]] = json.loads((folder / FORMER_CODE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def record_former_code(file: Path, former: bytes) -> None:
    """Record that the code of a file counts as that of the source `former`, or as what that counts as."""
    records = former_code.__wrapped__(file.parent)
    earlier, code = records.get(file.stem), _code(former)
    if earlier is not None and earlier["code"] == hashlib.sha256(code).hexdigest():
        code = zlib.decompress(base64.b64decode(earlier["former"]))
    packed = base64.b64encode(zlib.compress(code, 9)).decode()
    records[file.stem] = {"code": hashlib.sha256(_code(_source(file))).hexdigest(), "former": packed}
    text = json.dumps(dict(sorted(records.items())), indent=1) + "\n"
    (file.parent / FORMER_CODE).write_text(text, encoding="utf-8")


def _name_of(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}" if file.stem == "__init__" else file.stem


def _collect(name: str, found: dict[Path, None]) -> None:
    """Add the file of a plugin's module, and the files of its helpers."""
    module = None if _is_library(name) else _module(name)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return
    path = Path(file).resolve()
    if path in found:
        return
    found[path] = None
    for imported in _imports(_source(path), module.__package__ or ""):
        if _is_helper(imported, name):
            _collect(imported, found)


def _top(name: str) -> str:
    return name.split(".")[0]


def _is_library(name: str) -> bool:
    """Whether a module is part of the core, which has a version, or of Python itself."""
    return _top(name) == CORE or _top(name) in sys.stdlib_module_names


def _is_plugin(name: str) -> bool:
    """Whether a module is a plugin file, or part of a package that is installed as a plugin."""
    return not _is_library(name) and (_top(name).startswith(FILE_PREFIX) or _top(name) in _installed_plugins())


def _is_helper(name: str, importer: str) -> bool:
    """Whether a module belongs to the same package, distribution or folder as the module that imports it."""
    top, own = _top(name), _top(importer)
    if _is_library(name):
        return False
    if top == own or top in _siblings(own):
        return True
    file, place = _file_of(top), _file_of(importer)
    if file is None or place is None:
        return False
    return file in (place.parent / f"{top}.py", place.parent / top / "__init__.py")


def _file_of(name: str) -> Path | None:
    """File of a loaded module, or of a top-level one that can be loaded."""
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        file = spec.origin if spec else None
    return Path(file).resolve() if file else None


@cache
def _installed_plugins() -> frozenset[str]:
    return frozenset(_top(entry.value) for entry in installed_plugins()[0])


@cache
def _siblings(own: str) -> frozenset[str]:
    """Top-level packages and modules of the distribution that installs a plugin package."""
    for entry in installed_plugins()[0]:
        if _top(entry.value) == own and entry.dist is not None:
            # Only this distribution is read: to look through all that are installed takes a quarter of a second.
            listed = (entry.dist.read_text("top_level.txt") or "").split()
            return frozenset(listed or {Path(file.parts[0]).stem for file in entry.dist.files or ()})
    return frozenset()


def _module(name: str) -> ModuleType | None:
    """Module of this name, imported if necessary: imports inside functions may not have run yet."""
    if name in sys.modules:
        return sys.modules[name]
    try:
        return importlib.import_module(name) if importlib.util.find_spec(name) else None
    except Exception:  # if a helper fails or is optional, only the importing code is hashed
        return None


def _source(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else str(path.name).encode()


@cache
def _tree(source: bytes) -> ast.Module | None:
    """The syntax tree without docstrings; None for sources without one, such as an extension module."""
    try:
        with warnings.catch_warnings(action="ignore"):  # they were shown when the module was imported
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return tree


@cache
def _imports(source: bytes, package: str) -> tuple[str, ...]:
    """Absolute names that a source imports: modules, and names that may be modules."""
    tree = _tree(source)
    return () if tree is None else tuple(dict.fromkeys(_imported(tree, package)))


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:  # `import a.b` binds a, so that attributes of both can be used
                parts = alias.name.split(".")
                yield from (".".join(parts[: i + 1]) for i in range(len(parts)))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            there = [name for name in submodules if _is_module(name)]
            yield from there
            if len(there) < len(submodules):
                yield base
        elif isinstance(node, ast.Call):
            yield from _imported_by_name(node, package)


def _imported_by_name(call: ast.Call, package: str) -> Iterator[str]:
    """Name in a call of `importlib.import_module`, if it is a literal."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0] if call.args else None
    if function != "import_module" or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return
    try:
        yield importlib.util.resolve_name(first.value, package)
    except ImportError:  # a relative name outside of a package
        return


def _is_module(name: str) -> bool:
    """Whether a name is a module's; only for plugins, since the look-up may import parent packages."""
    if name in sys.modules:
        return True
    parent = name.rpartition(".")[0]
    if _is_library(name) or parent not in sys.modules or not hasattr(sys.modules[parent], "__path__"):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


@cache
def _code(source: bytes) -> bytes:
    """Encode the behaviour of a source as bytes that are equal in all versions of Python; fall back to the source."""
    tree = _tree(source)
    if tree is None:
        return source
    return _dumped(tree, _explained(tree)).encode()


def _explained(tree: ast.Module) -> frozenset[str]:
    """Names of functions with explanations that a source imports from the core and binds nowhere else."""
    aliases = [alias for node in ast.walk(tree) if _is_core_import(node) for alias in node.names]
    imported = {alias.name for alias in aliases if alias.name in _EXPLANATIONS and alias.asname in (None, alias.name)}
    nodes = list(ast.walk(tree))
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.name for node in nodes if isinstance(node, _DOCUMENTED[1:])}
    return frozenset(imported - bound)


def _is_core_import(node: object) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == CORE


def _dumped(node: object, explained: frozenset[str]) -> str:
    """Format a node as text, like `ast.dump`, whose omissions differ between versions of Python."""
    if isinstance(node, ast.Constant):
        return f"{type(node.value).__name__} {node.value!r}"
    if isinstance(node, list):
        # Of imports from the core only the names count: contracts may move, and formatters sort and merge imports.
        imports = {f"{a.name} as {a.asname or a.name}" for each in node if _is_core_import(each) for a in each.names}
        others = [each for each in node if not (_is_core_import(each) or _is_text(each))]
        return f"[{', '.join([*sorted(imports), *(_dumped(each, explained) for each in others)])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in explained:
        node = _without_explanation(node, _EXPLANATIONS[node.func.id])
    fields = ((name, value) for name, value in ast.iter_fields(node) if name not in _IGNORED)
    shown = [f"{name}={_dumped(value, explained)}" for name, value in fields if value is not None and value != []]
    return f"{type(node).__name__}({', '.join(shown)})"


def _is_text(node: object) -> bool:
    """Whether a statement is a string alone, such as the docstring of an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _without_explanation(call: ast.Call, position: int) -> ast.Call:
    """The call without the text that explains a parameter or a preset, which changes nothing that is trained."""
    if any(isinstance(each, ast.Starred) for each in call.args):
        return call
    arguments = [each for i, each in enumerate(call.args) if i != position]
    keywords = [each for each in call.keywords if each.arg != "doc"]
    return ast.Call(call.func, arguments, keywords)
