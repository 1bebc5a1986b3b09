"""Errors of Ray in words."""

from __future__ import annotations

import re

from gan_bench.errors import error_text


def cause_of(error: BaseException) -> str:
    """Reason of an error of Ray: the exception of a slot, or the first line of Ray's own."""
    inner = getattr(error, "cause", None)
    if inner is not None:
        return error_text(inner)
    return f"{type(error).__name__}: {next(iter(_lines(error)), '')}".rstrip(".: ")


def last_line(error: BaseException) -> str:
    """Last line of an error of Ray, which is that of a traceback on a node."""
    return (_lines(error) or [type(error).__name__])[-1].rstrip(".")


def host_of(error: BaseException) -> str:
    """Address of the node of an actor, from an error of Ray; empty if it has none."""
    match = re.search(r"\bip=([^,)\s]+)", str(error))
    return match[1] if match else ""


def _lines(error: BaseException) -> list[str]:
    """Lines of an error of Ray, without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return [line.strip() for line in text.splitlines() if line.strip()]
