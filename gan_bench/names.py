"""Names: matched, listed, and the closest one suggested; foreign text that can be encoded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def allowed(found: str, names: Iterable[str], *, limit: int = 10) -> str:
    """List allowed names in sentences: ``Did you mean 'mgan'? Available: ….``, or only ``Available: ….``."""
    known = sorted(names)
    return suggestion(found, known) + listed(known, limit=limit)


def suggestion(found: str, names: Iterable[str]) -> str:
    """Return the question ``Did you mean 'mgan'? `` with the name closest to `found`, or an empty string."""
    known = sorted(names)
    close = difflib.get_close_matches(found, known, n=1, cutoff=0.6)
    if not close:  # the spelling of a paper: DCGAN
        lower = {name.lower(): name for name in known}
        close = [lower[name] for name in difflib.get_close_matches(found.lower(), lower, n=1, cutoff=0.6)]
    return f"Did you mean {close[0]!r}? " if close else ""


def listed(names: Iterable[str], *, limit: int = 10) -> str:
    """List names as a sentence: ``Available: ….``."""
    known = sorted(names)
    more = f", … ({len(known)} in all)" if len(known) > limit else ""
    return f"Available: {', '.join(known[:limit]) + more or 'none'}."


def encodable(text: str) -> str:
    """Replace halves of surrogate pairs by their escapes, where foreign text enters.

    A file name whose bytes are not UTF-8 has them (PEP 383). A text with one cannot be written to a UTF-8 file.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def matching(name: str, entries: Sequence[tuple[str, str]]) -> list[int]:
    """Indices of the entries (label, plugin) that `name` selects: the one of that label, else all of that plugin."""
    labelled = [i for i, (label, _) in enumerate(entries) if label == name]
    return labelled or [i for i, (_, plugin) in enumerate(entries) if plugin == name]
