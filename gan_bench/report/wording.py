"""Texts of comparisons, for tables and the report. A row is one of `gan_bench.statistics.compare.compare`."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

MISSING = "\N{EN DASH}"


def effect_text(row: Any) -> str:
    """Estimate with its interval: ``ratio 0.13 (0.05 to 0.34)``."""
    if math.isnan(row.estimate):
        return "at the floor" if row.at_floor else MISSING
    limits = "" if math.isnan(row.low) else f" ({limits_text(row)})"
    return f"{row.effect} {row.estimate:.3g}{limits}"


def limits_text(row: Any) -> str:
    """Limits of the interval: ``0.05 to 0.34``."""
    return MISSING if math.isnan(row.low) else f"{row.low:.3g} to {row.high:.3g}"


def p_text(p: float) -> str:
    """Format a p-value."""
    if math.isnan(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def seeds_text(row: Any) -> str:
    """Number of seeds that would show a difference of the margin."""
    return MISSING if pd.isna(row.seeds_needed) else f"{int(row.seeds_needed):,}"


def margin_text(row: Any) -> str:
    """Margin of a comparison: a percentage of the value, or a difference; empty without one."""
    if math.isnan(row.margin):
        return ""
    return percent(math.exp(row.margin) - 1) if row.scale == "log" else f"{row.margin:g}"


def percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.0f} %"
