"""Registry of plugins, in which a broken plugin affects no other.

Plugins come from three equal sources: an installed package with an entry point in the group ``gan_bench``; a file
that ``--plugin`` or the benchmark's ``plugins`` names; and a ``*.py`` file directly in a folder ``plugins/`` next to
the benchmark or in the working folder. Errors of each module and each hook are caught separately. A failure is kept
as a `Broken`, shown by ``gan-bench list``, and raised when its name is requested.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_bench.contracts.hooks import Unloaded
from gan_bench.contracts.unimplemented import Unimplemented
from gan_bench.errors import BrokenPluginError, PluginError, error_text
from gan_bench.names import allowed
from gan_bench.plugins.kinds import KINDS, NO_CLASSES, PUBLISHED, UNIMPLEMENTED
from gan_bench.plugins.validation import find_problem

ENDS = (
    'It ends the program when it is loaded. Put the code of a script under `if __name__ == "__main__":`, or move the '
    "file out of the folder plugins"
)


@dataclass(frozen=True)
class Origin:
    """Origin of a plugin, as `list` shows it and the provenance of a run records it."""

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

    @classmethod
    def by_error(cls, name: str, origin: Origin, error: BaseException) -> Broken:
        """Describe what an exception broke, with the file and line that raised it."""
        place = _last_frame(error, origin.path)
        line = error_text(error).splitlines()[0] + (f" ({place})" if place else "")
        if isinstance(error, SystemExit):
            line += f". {ENDS}"
        return cls(name, origin, line, "".join(traceback.format_exception(error)))

    def is_called(self, name: str) -> bool:
        """Whether `name` is the name of this plugin or file; other names in a broken file are unknown."""
        return self.name not in NO_CLASSES and name in (self.name, self.name.replace("_", "-"))


@dataclass
class Registry:
    """Classes of the loaded plugins, by kind and name.

    Attributes:
        places: files and folders that were searched, besides the installed packages.
        notes: what plugins changed about the process while they were loaded, and the loader undid.
    """

    places: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    published: list[tuple[Path, Origin]] = field(default_factory=list)
    _classes: dict[str, dict[str, type[Any]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    _unimplemented: dict[str, Unimplemented] = field(default_factory=dict)
    _origin_of: dict[tuple[str, str], Origin] = field(default_factory=dict)
    _clashes: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of classes."""
        return tuple(self._classes)

    def all(self, kind: str) -> dict[str, type[Any]]:
        """All classes of one kind, by name, sorted."""
        return dict(sorted(self._classes[kind].items()))

    def unimplemented(self) -> dict[str, Unimplemented]:
        """Systems that plugins list without any implementation, by name, sorted."""
        return {name: each for name, each in sorted(self._unimplemented.items()) if name not in self._classes["models"]}

    def get(self, kind: str, name: str) -> type[Any]:
        """Look up the class called `name`.

        Raises:
            BrokenPluginError: its module or hook cannot be loaded; the message gives the reason.
            PluginError: it is unknown (the message has the closest name), two plugins define it, or it is a model that
            is listed without an implementation.
        """
        if (kind, name) in self._clashes:
            raise PluginError(f"{self._clashes[kind, name]}. Remove or rename one of them.")
        found = self._classes[kind].get(name)
        if found is not None:
            return found
        for broken in self.broken:
            if broken.is_called(name):
                raise BrokenPluginError(f"{_title(kind)} {name!r} is broken: {broken.error} (from {broken.origin}).")
        if kind == "models" and name in self._unimplemented:
            raise PluginError(self._unimplemented[name].refusal())
        files = "; ".join(f"{broken.origin}: {broken.error}" for broken in self.broken)
        hint = f" Not loaded: {files}." if files else ""
        known = [*self._classes[kind], *(self._unimplemented if kind == "models" else ())]
        raise PluginError(f"No {kind[:-1]} is called {name!r}. {allowed(name, known)}{hint}")

    def origin(self, kind: str, name: str) -> Origin:
        """Origin of a registered class."""
        return self._origin_of[kind, name]

    def add(self, kind: str, item: Any, origin: Origin) -> None:
        """Register one object that a hook returned; an invalid one becomes a `Broken`."""
        if isinstance(item, Unloaded):
            self.broken.append(Broken.by_error(item.name, origin, item.error))
            return
        complaint = find_problem(kind, item)
        if complaint:
            hook = f"gan_bench_{kind}"
            name = hook if hook in NO_CLASSES else str(getattr(item, "name", item))[:80]
            self.broken.append(Broken(name, origin, complaint))
            return
        if kind == PUBLISHED:
            self.published.append((item, origin))
            return
        if kind == UNIMPLEMENTED:  # the first entry for a system is kept; a system has no owner
            self._unimplemented.setdefault(item.name, item)
            self._origin_of.setdefault((kind, item.name), origin)
            return
        taken = self._origin_of.get((kind, item.name))
        if taken is not None:
            places = f"{taken} ({taken.path}) and by {origin} ({origin.path})"
            clash = f"{_title(kind)} {item.name!r} is defined twice, by {places}"
            self._clashes[kind, item.name] = clash
            self.broken.append(Broken(item.name, origin, clash))
            return
        self._classes[kind][item.name] = item
        self._origin_of[kind, item.name] = origin


def _title(kind: str) -> str:
    """Kind in the singular, with a capital."""
    return kind[:-1].capitalize()


def _last_frame(error: BaseException, path: str) -> str:
    """Place of the last frame in the plugin's file, or of the last frame anywhere."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    own = [f for f in frames if f.filename == path]
    return next((f"{Path(f.filename).name}:{f.lineno}" for f in reversed(own or frames)), "")
