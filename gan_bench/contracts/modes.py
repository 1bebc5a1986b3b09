"""Modes of `gan-bench run`, and the endings of their results folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Mode = Literal["full", "preview", "quick"]
"""The whole benchmark, a quarter of one seed, or a check that everything works."""

SUFFIXES: Mapping[Mode, str] = {"preview": "-preview", "quick": "-quick"}
"""Reserved ends of names: previews and checks have separate results folders and never mix with results."""


def reserved_for(name: str) -> str | None:
    """Return the option whose folders have the ending of `name`, or None if the ending is not reserved."""
    return next((f"--{mode}" for mode, suffix in SUFFIXES.items() if name.endswith(suffix)), None)
