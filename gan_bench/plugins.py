"""Finding plugins, and keeping a broken one from hurting anybody else.

Three doors lead in, all equal: an installed package with an entry point in the group ``gan_bench``; a file that
``--plugin`` or the benchmark's ``plugins`` names; and a ``*.py`` file directly in a folder ``plugins/`` beside the
benchmark or in the working folder. Every module is loaded and every hook is called behind a guard of its own; what
fails is kept as a `Broken` and shown by ``gan-bench list`` and by whoever asks for the name.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from gan_bench import hookspecs
from gan_bench.errors import BrokenPluginError, PluginError, allowed
from gan_bench.parameters import describe, wrong_defaults
from gan_bench.unimplemented import Unimplemented

KINDS = ("models", "networks", "datasets", "metrics", "engines", "observers")
UNIMPLEMENTED = "unimplemented"  # what is asked for with the models: systems that are none
PUBLISHED = "published"  # what is asked for beside the kinds of classes: files of published figures
NO_CLASSES = (f"gan_bench_{UNIMPLEMENTED}", f"gan_bench_{PUBLISHED}")
"""Hooks that bring nothing which somebody asks for by name: what is broken in one stands in nobody's way."""

RESERVED = ("plugin", "label", "preset", "protocol")  # keys of a benchmark's entries, so no names of parameters


@dataclass(frozen=True)
class Origin:
    """Where a plugin came from, as `list` shows it and a run's provenance keeps it."""

    name: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True)
class Broken:
    """A plugin, or one part of it, that could not be loaded."""

    name: str
    origin: Origin
    error: str  # one line
    trace: str = ""

    def brings(self, name: str) -> bool:
        """Whether this is what should bring `name`: it is called so, or is a file that names it."""
        if self.name in NO_CLASSES:
            return False
        if name in (self.name, self.name.replace("_", "-")):
            return True
        path = Path(self.origin.path)
        if path.suffix != ".py" or not path.is_file():
            return False
        text = path.read_text(encoding="utf-8", errors="replace")
        return f'"{name}"' in text or f"'{name}'" in text


@dataclass(frozen=True)
class Unloaded:
    """What a hook returns in place of a class whose module failed to import, so that the rest still loads."""

    name: str
    error: BaseException


@dataclass
class Registry:
    """Everything the loaded plugins provide, by kind and name."""

    origins: list[Origin] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    published: list[tuple[Path, Origin]] = field(default_factory=list)
    _classes: dict[str, dict[str, type[Any]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    _unimplemented: dict[str, Unimplemented] = field(default_factory=dict)
    _origin_of: dict[tuple[str, str], Origin] = field(default_factory=dict)
    _clashes: dict[tuple[str, str], str] = field(default_factory=dict)

    def all(self, kind: str) -> dict[str, type[Any]]:
        """Every class of one kind, by name, sorted."""
        return dict(sorted(self._classes[kind].items()))

    def unimplemented(self) -> dict[str, Unimplemented]:
        """The systems that plugins name and none implements, by name, sorted."""
        return {name: each for name, each in sorted(self._unimplemented.items()) if name not in self._classes["models"]}

    def get(self, kind: str, name: str) -> type[Any]:
        """The class called `name`.

        Raises:
            BrokenPluginError: what should bring it cannot be loaded; says why.
            PluginError: it is unknown, with the closest name; two plugins claim it; or it is a model that is named and
                not implemented.
        """
        if (kind, name) in self._clashes:
            raise PluginError(f"{self._clashes[kind, name]}. Remove or rename one of them.")
        found = self._classes[kind].get(name)
        if found is not None:
            return found
        for broken in self.broken:
            if broken.brings(name):
                raise BrokenPluginError(f"{kind[:-1]} {name!r} is broken: {broken.error} (from {broken.origin}).")
        if kind == "models" and name in self._unimplemented:
            raise PluginError(self._unimplemented[name].refusal())
        files = "; ".join(f"{broken.origin}: {broken.error}" for broken in self.broken)
        hint = f" Not loaded: {files}." if files else ""
        known = [*self._classes[kind], *(self._unimplemented if kind == "models" else ())]
        raise PluginError(f"No {kind[:-1]} is called {name!r}; {allowed(name, known)}{hint}")

    def origin(self, kind: str, name: str) -> Origin:
        """Where a registered class came from."""
        return self._origin_of[kind, name]

    def add(self, kind: str, item: Any, origin: Origin) -> None:
        """Register one thing that a hook returned; what is wrong with it becomes a `Broken`."""
        if isinstance(item, Unloaded):
            self.broken.append(_broken(item.name, origin, item.error))
            return
        complaint = _complaint(kind, item)
        if complaint:
            hook = f"gan_bench_{kind}"
            name = hook if hook in NO_CLASSES else str(getattr(item, "name", item))[:80]
            self.broken.append(Broken(name, origin, complaint))
            return
        if kind == PUBLISHED:
            self.published.append((item, origin))
            return
        if kind == UNIMPLEMENTED:  # who names a system first is heard; nobody owns it
            self._unimplemented.setdefault(item.name, item)
            self._origin_of.setdefault((kind, item.name), origin)
            return
        taken = self._origin_of.get((kind, item.name))
        if taken is not None:
            places = f"{taken} ({taken.path}) and from {origin} ({origin.path})"
            clash = f"{kind[:-1]} {item.name!r} exists twice, from {places}"
            self._clashes[kind, item.name] = clash
            self.broken.append(Broken(item.name, origin, clash))
            return
        self._classes[kind][item.name] = item
        self._origin_of[kind, item.name] = origin


def _complaint(kind: str, item: Any) -> str | None:
    """What is wrong with something a hook returned, or None."""
    if kind == UNIMPLEMENTED:
        return _complaint_of_unimplemented(item)
    if kind == PUBLISHED:
        return _complaint_of_file(item)
    if not isinstance(item, type):
        return f"gan_bench_{kind} returned {type(item).__name__}, not a class"
    base = _contract(kind)
    if not issubclass(item, base):
        return f"gan_bench_{kind} returned {item.__name__}, which is no subclass of {base.__name__}"
    name = getattr(item, "name", None)
    if not _is_name(name):
        return f"{item.__name__}.name is {name!r}; a name is made of letters, digits, - and _"
    missing = sorted(getattr(item, "__abstractmethods__", ()))
    if kind == "metrics":
        missing += [each for each in ("direction", "unit") if not hasattr(item, each)]
    if missing:
        return f"{item.__name__} must define {', '.join(missing)}"
    return _complaint_of_params(item) if hasattr(item, "Params") else None


def _complaint_of_unimplemented(item: Any) -> str | None:
    if not isinstance(item, Unimplemented):
        return f"gan_bench_{UNIMPLEMENTED} returned {type(item).__name__}, not an {Unimplemented.__name__}"
    if not _is_name(item.name):
        return f"Unimplemented {item.name!r}: a name is made of letters, digits, - and _"
    return item.complaint()


def _complaint_of_file(item: Any) -> str | None:
    if isinstance(item, Path) and item.is_absolute():
        return None
    found = f"{item}, which is not absolute" if isinstance(item, Path) else f"{type(item).__name__}, not a Path"
    return f"gan_bench_{PUBLISHED} returned {found}; return [Path(__file__).with_name(…)]"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.replace("-", "").replace("_", "").isalnum()


def _complaint_of_params(item: type[Any]) -> str | None:
    try:
        taken = [each.name for each in describe(item.Params) if each.name in RESERVED]
        wrong = wrong_defaults(item.Params)
    except PluginError as error:
        return str(error)
    if taken:
        return f"{item.__name__}.Params has {taken[0]!r}; {', '.join(RESERVED)} belong to the benchmark"
    return next((f"{item.__name__}.Params.{name} has a wrong default: {text}" for name, text in wrong.items()), None)


def _contract(kind: str) -> type[Any]:
    """The base class of one kind, imported late: some need torch."""
    if kind == "models":
        from gan_bench.model import Model

        return Model
    if kind == "networks":
        from gan_bench.network import Network

        return Network
    if kind == "datasets":
        from gan_bench.dataset import Dataset

        return Dataset
    if kind == "engines":
        from gan_bench.engine import Engine

        return Engine
    if kind == "observers":
        from gan_bench.observers import Observer

        return Observer
    from gan_bench.metric import Metric

    return Metric


def load_plugins(places: Iterable[Path] = (), *, kinds: Sequence[str] = (*KINDS, PUBLISHED)) -> Registry:
    """Load the installed plugins, then the files of `places`, and ask them for what they provide.

    Args:
        places: plugin files, and folders whose ``*.py`` files are plugins; a missing folder is no error.
        kinds: the kinds to ask for; metrics, datasets and published figures need no torch. With the models come the
            systems that are named and not implemented.
    """
    registry = Registry()
    modules = [*_installed(registry), *_files(registry, places)]
    asked = (*kinds, UNIMPLEMENTED) if "models" in kinds else kinds
    for module, origin in modules:
        _ask(registry, module, origin, asked)
    return registry


def plugin_folders(source: str | Path | None = None) -> list[Path]:
    """The folders whose files are plugins: ``plugins/`` beside the benchmark and in the working folder."""
    here = [Path.cwd() / "plugins"]
    if source is not None and Path(source).is_file():
        here.insert(0, Path(source).resolve().parent / "plugins")
    return list(dict.fromkeys(folder.resolve() for folder in here))


def plugin_files(names: Sequence[str | Path], complain: Callable[[int, str], None]) -> list[Path]:
    """The plugin files that somebody named, absolute; `complain` is told which is none, by its number, and why."""
    found = []
    for number, path in enumerate(map(Path, names)):
        if path.is_file() and path.suffix == ".py":
            found.append(path.resolve())
        elif path.is_dir():
            complain(number, f"{path} is a folder. Name its .py files, or call it plugins/ beside the benchmark.")
        elif path.exists():
            complain(number, f"{path} is no .py file; a plugin is a Python file.")
        else:
            complain(number, f"{path}: there is no such file.")
    return found


def _installed(registry: Registry) -> list[tuple[ModuleType, Origin]]:
    found = []
    for entry in importlib.metadata.entry_points(group=hookspecs.PROJECT):
        dist = entry.dist
        origin = Origin(dist.name if dist else entry.name, dist.version if dist else "", entry.value)
        try:
            found.append((entry.load(), origin))
        except BaseException as error:  # a plugin may raise anything, SystemExit too
            _reraise_interrupt(error)
            registry.broken.append(_broken(entry.name, origin, error))
        registry.origins.append(origin)
    return found


def _files(registry: Registry, places: Iterable[Path]) -> list[tuple[ModuleType, Origin]]:
    found = []
    paths = [path for place in places for path in ([place] if place.is_file() else sorted(place.glob("*.py")))]
    for path in dict.fromkeys(path.resolve() for path in paths):
        origin = Origin(path.name, "", str(path))
        try:
            found.append((_import_file(path), origin))
        except BaseException as error:  # see _installed
            _reraise_interrupt(error)
            registry.broken.append(_broken(path.stem, origin, error))
        registry.origins.append(origin)
    return found


def _import_file(path: Path) -> ModuleType:
    """Import a file under a private name, so that it shadows nothing and nothing shadows it; again if it changed."""
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:12]
    name = f"gan_bench_plugin_{digest}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _ask(registry: Registry, module: ModuleType, origin: Origin, kinds: Sequence[str]) -> None:
    """Call a module's hooks one by one, each behind a guard."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        registry.broken.append(_broken(origin.name, origin, error))
        return
    for kind in kinds:
        hook = getattr(manager.hook, f"gan_bench_{kind}")
        try:
            for items in hook():
                for item in [items] if isinstance(items, str | Path) else items:
                    registry.add(kind, item, origin)
        except BaseException as error:  # see _installed
            _reraise_interrupt(error)
            registry.broken.append(_broken(f"{origin.name}:gan_bench_{kind}", origin, error))


def _reraise_interrupt(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        raise error


def _broken(name: str, origin: Origin, error: BaseException) -> Broken:
    place = _last_frame(error)
    line = f"{type(error).__name__}: {error}".splitlines()[0] + (f" ({place})" if place else "")
    return Broken(name, origin, line, "".join(traceback.format_exception(error)))


def _last_frame(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
