"""Columns of the CSV files in a run folder."""

from __future__ import annotations

CURVE_COLUMNS = ("iteration", "generator", "metric", "value", "n", "version")
REPEAT_COLUMNS = ("draw", *CURVE_COLUMNS)
CLASS_COLUMNS = ("iteration", "generator", "class", "share", "n")
