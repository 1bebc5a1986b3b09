"""Discovery of plugins: find modules, import them and call their hooks."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pluggy

from gan_bench.contracts import hooks
from gan_bench.errors import PluginError, UsageError
from gan_bench.plugins.code_hash import FILE_PREFIX
from gan_bench.plugins.entry_points import installed_plugins
from gan_bench.plugins.kinds import KINDS, PUBLISHED, UNIMPLEMENTED
from gan_bench.plugins.plugin_output import attributed_output
from gan_bench.plugins.process_state import undisturbed
from gan_bench.plugins.registry import Broken, Origin, Registry

MOST_ITEMS = 1000
"""Largest number of objects that a hook may return."""


def load_plugins(places: Iterable[Path] = (), *, kinds: Sequence[str] = (*KINDS, PUBLISHED)) -> Registry:
    """Load the installed plugins, then the files of `places`, and collect the classes that they provide.

    What a plugin changes about the process is undone and listed in the registry's `notes`. Its output goes to standard
    error, with its name.

    Args:
        places: plugin files, and folders whose ``*.py`` files are plugins; a missing folder is skipped.
        kinds: kinds to collect; metrics, datasets and published figures need no torch. Models include the
            systems that are listed without an implementation.
    """
    places = list(places)
    registry = Registry(places=places)
    modules = [*_installed(registry), *_files(registry, places)]
    asked = (*kinds, UNIMPLEMENTED) if "models" in kinds else kinds
    for module, origin in modules:
        with _isolated(registry, origin):
            _call_hook(registry, module, origin, asked)
    return registry


def plugin_folders(source: str | Path | None = None, *, results: Path | None = None) -> list[Path]:
    """Folders whose files are plugins: ``plugins/`` next to the benchmark and in the working folder.

    Args:
        source: the benchmark file.
        results: a results folder or run folder; a working folder inside of it has no plugins, since the folder may come
            from elsewhere.
    """
    here = [] if results is not None and is_inside(Path.cwd(), results) else [Path.cwd() / "plugins"]
    if source is not None and Path(source).is_file():
        here.insert(0, Path(source).resolve().parent / "plugins")
    return list(dict.fromkeys(folder.resolve() for folder in here))


def is_inside(folder: Path, results: Path) -> bool:
    """Whether a folder is a results folder, or inside of it; for a run folder, inside of its results folder."""
    results = results.resolve()
    root = results.parents[1] if results.parent.name == "runs" and len(results.parents) > 1 else results
    return folder.resolve().is_relative_to(root)


def plugin_files(names: Sequence[str | Path], complain: Callable[[int, str], None]) -> list[Path]:
    """Absolute paths of plugin files; `complain` receives the number of each unusable name, and the reason."""
    found = []
    for number, path in enumerate(map(Path, names)):
        if path.is_file() and path.suffix == ".py":
            found.append(path.resolve())
        elif path.is_dir():
            complain(
                number,
                f"{path} is a folder. Name its .py files, or put them in a folder plugins/ next to the benchmark.",
            )
        elif path.exists():
            complain(number, f"{path} is not a .py file. A plugin is a Python file.")
        else:
            complain(number, f"{path} does not exist.")
    return found


def option_files(names: Sequence[str | Path]) -> list[Path]:
    """Absolute paths of the files of the option `--plugin`. Raises UsageError for a path that is not a plugin file."""

    def refuse(number: int, message: str) -> None:
        raise UsageError(f"--plugin: {message}")

    return plugin_files(names, refuse)


@contextmanager
def _isolated(registry: Registry, origin: Origin) -> Iterator[None]:
    """Execute code of a plugin while it is loaded, so that no other plugin and no run is affected."""

    def note(changes: str) -> None:
        registry.notes.append(f"Plugin {origin} {changes}")

    with undisturbed(note), attributed_output(origin.name):
        yield


def _installed(registry: Registry) -> list[tuple[ModuleType, Origin]]:
    found = []
    entries, unreadable = installed_plugins()
    for name, path, reason in unreadable:
        registry.broken.append(Broken(name, Origin(name, "", path), reason))
    for entry in entries:
        dist = entry.dist
        origin = Origin(dist.name if dist else entry.name, dist.version if dist else "", entry.value)
        try:
            with _isolated(registry, origin):
                found.append((entry.load(), origin))
        except BaseException as error:  # a plugin may raise anything, even SystemExit
            _reraise_interrupt(error)
            registry.broken.append(Broken.by_error(entry.name, origin, error))
        registry.origins.append(origin)
    return found


def _files(registry: Registry, places: Iterable[Path]) -> list[tuple[ModuleType, Origin]]:
    found = []
    paths = [path for place in places for path in ([place] if place.is_file() else sorted(place.glob("*.py")))]
    for path in dict.fromkeys(path.resolve() for path in paths):
        origin = Origin(path.name, "", str(path))
        try:
            with _isolated(registry, origin):
                found.append((_import_file(path), origin))
        except BaseException as error:  # see _installed
            _reraise_interrupt(error)
            registry.broken.append(Broken.by_error(path.stem, origin, error))
        registry.origins.append(origin)
    return found


def _import_file(path: Path) -> ModuleType:
    """Import a file under a private name, so that modules cannot shadow each other; import again if it changed."""
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:12]
    name = f"{FILE_PREFIX}{digest}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _call_hook(registry: Registry, module: ModuleType, origin: Origin, kinds: Sequence[str]) -> None:
    """Call the hooks of a module one by one and catch the errors of each."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        registry.broken.append(Broken.by_error(origin.name, origin, error))
        return
    for kind in kinds:
        hook = getattr(manager.hook, f"gan_bench_{kind}")
        try:
            for items in hook():
                listed = [items] if isinstance(items, str | Path) else [*itertools.islice(items, MOST_ITEMS + 1)]
                if len(listed) > MOST_ITEMS:
                    raise PluginError(f"gan_bench_{kind} returns more than {MOST_ITEMS:,} objects")
                for item in listed:
                    registry.add(kind, item, origin)
        except BaseException as error:  # see _installed
            _reraise_interrupt(error)
            registry.broken.append(Broken.by_error(f"{origin.name}:gan_bench_{kind}", origin, error))


def _reraise_interrupt(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        raise error
