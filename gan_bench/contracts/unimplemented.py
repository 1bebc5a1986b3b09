"""Systems of the literature that a plugin deliberately does not implement.

`gan-bench show NAME` explains what such a system is and why it cannot be compared. A benchmark that requests it is
rejected with the same explanation before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Unimplemented:
    """A system without a model: its description, the reason it cannot be compared, and what an implementation needs.

    Attributes:
        name: the value of `plugin` with which a benchmark would request it.
        title: its name in the literature, in one line.
        source: authors, title, venue; and where it is named.
        what: description, in one paragraph.
        why: reason that it cannot be compared, in whole sentences.
        needs: requirements of an implementation, after a colon.
    """

    name: str
    title: str
    source: str
    what: str
    why: str
    needs: str

    def complaint(self) -> str | None:
        """Message about fields that are empty, or None."""
        empty = [each.name for each in fields(self) if not _is_text(getattr(self, each.name))]
        return f"Unimplemented {self.name!r} must define {', '.join(empty)}" if empty else None

    def refusal(self) -> str:
        """Message for a benchmark that requests the system as a model."""
        what = f"Model {self.name!r} ({self.title}) is not implemented."
        return f"{what} {self.why} Needed: {self.needs} `gan-bench show {self.name}` describes it."


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
