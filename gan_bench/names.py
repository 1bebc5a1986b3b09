"""Names: match them, list them, suggest the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def allowed(found: str, names: Iterable[str], *, limit: int = 10) -> str:
    """List allowed names, after a semicolon: ``did you mean 'mgan'? Known: ….``, or only ``known: ….``."""
    known = sorted(names)
    close = difflib.get_close_matches(found, known, n=1, cutoff=0.6)
    if not close:  # the spelling of a paper: DCGAN
        lower = {name.lower(): name for name in known}
        close = [lower[name] for name in difflib.get_close_matches(found.lower(), lower, n=1, cutoff=0.6)]
    told = _joined(known, limit)
    return f"did you mean {close[0]!r}? Known: {told}." if close else f"known: {told}."


def listed(names: Iterable[str], *, limit: int = 10) -> str:
    """List names as a sentence: ``Known: ….``."""
    return f"Known: {_joined(sorted(names), limit)}."


def _joined(names: Sequence[str], limit: int) -> str:
    return ", ".join(names[:limit]) + (f", … ({len(names)} in all)" if len(names) > limit else "") or "none"


def matching(name: str, entries: Sequence[tuple[str, str]]) -> list[int]:
    """Indices of the entries (label, plugin) that `name` selects: the one of that label, else all of that plugin."""
    labelled = [i for i, (label, _) in enumerate(entries) if label == name]
    return labelled or [i for i, (_, plugin) in enumerate(entries) if plugin == name]
