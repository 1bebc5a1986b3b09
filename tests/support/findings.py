"""Parts of a finding of the contract kit that differ between machines and versions."""

from __future__ import annotations

import re

VARYING = {
    r"\.py:\d+": ".py:LINE",
    r"(?<!\d)-?\d+\.\d+": "NUMBER",
    r"(?<=Error: )(?:Expected size|Tensor on device|Cannot copy)[^\n(]*": "WORDS OF TORCH ",
}


def varying(text: str) -> dict[str, str]:
    """Texts of a finding that are not recorded, each with what is recorded in its place; longer ones first."""
    found = {part: label for pattern, label in VARYING.items() for part in re.findall(pattern, text)}
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))
