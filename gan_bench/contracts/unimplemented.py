"""Systems that are named in the literature and that a plugin deliberately does not implement.

Whoever reads of one looks for it here: `show` says what it is and why it cannot be compared, and a benchmark that asks
for it is refused with the same words before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Unimplemented:
    """A system without a model: what it is, why it cannot be compared, and what would be needed.

    Attributes:
        name: what somebody would write for `plugin` in a benchmark.
        title: its name in the literature, in one line.
        source: authors, title, venue; and where it is named.
        what: what it is, in a paragraph.
        why: why it cannot be compared, in whole sentences.
        needs: what would be needed, after a colon.
    """

    name: str
    title: str
    source: str
    what: str
    why: str
    needs: str

    def complaint(self) -> str | None:
        """What is left open, or None."""
        empty = [each.name for each in fields(self) if not _is_text(getattr(self, each.name))]
        return f"Unimplemented {self.name!r} must say {', '.join(empty)}" if empty else None

    def refusal(self) -> str:
        """Why nothing can be run of it, for whoever asks for it as a model."""
        advice = f"`gan-bench show {self.name}` says more."
        return f"Model {self.name!r} ({self.title}) is named, not implemented. {self.why} Needed: {self.needs} {advice}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
