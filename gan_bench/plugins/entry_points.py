"""Entry points of installed plugins, found although other packages are damaged."""

from __future__ import annotations

import importlib.metadata
from typing import NamedTuple

GROUP = "gan_bench"


class Unreadable(NamedTuple):
    """An installed package whose entry points cannot be read."""

    name: str
    path: str
    reason: str


def installed_plugins() -> tuple[list[importlib.metadata.EntryPoint], list[Unreadable]]:
    """Return the entry points of plugins, and the packages whose entry points cannot be read.

    Only if reading all packages at once fails, they are read one by one.
    """
    try:
        return [*importlib.metadata.entry_points(group=GROUP)], []
    except Exception:  # importlib.metadata raises anything for a malformed file, without its name
        return _one_by_one()


def _one_by_one() -> tuple[list[importlib.metadata.EntryPoint], list[Unreadable]]:
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    unreadable = []
    for package in importlib.metadata.distributions():
        try:
            name = package.name
            # The first package of a name on the search path hides others.
            found.setdefault(name, [each for each in package.entry_points if each.group == GROUP])
        except Exception as error:  # see above
            unreadable.append(_describe(package, error))
    return [entry for entries in found.values() for entry in entries], unreadable


def _describe(package: importlib.metadata.Distribution, error: Exception) -> Unreadable:
    """Describe a damaged package, which may lack even its name."""
    folder = str(getattr(package, "_path", "an unknown folder"))
    try:
        name = str(package.name or folder)
    except Exception:
        name = folder
    reason = f"{folder}/entry_points.txt cannot be read ({type(error).__name__}: {error}). Install {name} again."
    return Unreadable(name, folder, reason)
