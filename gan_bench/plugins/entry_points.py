"""Entry points of installed plugins, found although other packages are damaged."""

from __future__ import annotations

import importlib.metadata
from typing import Any, NamedTuple

GROUP = "gan_bench"


class Unreadable(NamedTuple):
    """An installed package whose entry points cannot be read."""

    name: str
    path: str
    reason: str


def tolerate_damaged_packages() -> None:
    """Let `importlib.metadata.entry_points` leave out packages whose entry points cannot be read.

    torch and other libraries call it when they are imported, and one damaged file of any package makes it raise. For
    processes of gan-bench only: the function is replaced for all code of the process.
    """
    strict = importlib.metadata.entry_points
    if hasattr(strict, "strict"):
        return

    def entry_points(**selection: Any) -> Any:
        try:
            return strict(**selection)
        except Exception:  # importlib.metadata raises anything for a malformed file, without its name
            return importlib.metadata.EntryPoints(_one_by_one()[0]).select(**selection)

    entry_points.strict = strict  # type: ignore[attr-defined]
    importlib.metadata.entry_points = entry_points


def installed_plugins() -> tuple[list[importlib.metadata.EntryPoint], list[Unreadable]]:
    """Return the entry points of plugins, and the packages whose entry points cannot be read.

    Only if reading all packages at once fails, they are read one by one.
    """
    read = importlib.metadata.entry_points
    try:
        return [*getattr(read, "strict", read)(group=GROUP)], []
    except Exception:  # see above
        entries, unreadable = _one_by_one()
        return [entry for entry in entries if entry.group == GROUP], unreadable


def _one_by_one() -> tuple[list[importlib.metadata.EntryPoint], list[Unreadable]]:
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    unreadable = []
    for package in importlib.metadata.distributions():
        try:
            # The first package of a name on the search path hides others.
            found.setdefault(package.name, [*package.entry_points])
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
