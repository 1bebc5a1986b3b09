"""Verdicts on the comparisons of one family, as a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gan_bench.statistics.pairs import Question, Result
from gan_bench.statistics.power import seeds_needed, upper_spread
from gan_bench.statistics.scales import EFFECTS, effect_of
from gan_bench.statistics.verdicts import ALPHA, decide, holm

COLUMNS: Mapping[str, str] = {
    "dataset": "str", "metric": "str", "label": "str", "baseline": "str", "verdict": "str",
    "n": "int64", "n_baseline": "int64", "paired": "bool", "test": "str", "scale": "str",
    "effect": "str", "estimate": "float64", "low": "float64", "high": "float64",
    "family": "int64", "declared": "bool", "p": "float64", "p_holm": "float64",
    "p_flip": "float64", "p_flip_holm": "float64", "rests_on_normality": "bool",
    "margin": "float64", "p_equivalent": "float64", "p_equivalent_holm": "float64",
    "wins": "int64", "ties": "int64", "losses": "int64",
    "improvement": "float64", "improvement_low": "float64", "improvement_high": "float64",
    "spread": "float64", "correlation": "float64", "seeds_needed": "Int64", "at_floor": "bool", "note": "str",
}  # fmt: skip
"""Columns of comparisons and their types."""


def judge(results: Sequence[Result], question: Question, alpha: float = ALPHA) -> pd.DataFrame:
    """Return the comparisons of one family with verdicts; columns from "label" to "note" of `COLUMNS`.

    All of `results` are the family: each of their three kinds of p-values is adjusted by Holm's procedure.
    """
    p, flip = (holm([each.difference.p for each in results]), holm([each.p_flip for each in results]))
    equivalent = holm([each.p_equivalent for each in results])
    equivalent_flip = holm([each.p_equivalent_flip for each in results])
    sign = -1 if question.direction == "lower" else 1
    # Differences of counts are between numbers of complete seeds, which are better in either direction.
    gain = [each.difference.mean * (1 if each.exact else sign) for each in results]
    verdicts = decide(gain, p, equivalent, alpha)
    level = alpha / max(1, len(results))
    rows = []
    for i, each in enumerate(results):
        verdict = str(verdicts[i])
        support = equivalent_flip[i] if verdict == "equivalent" else flip[i]
        rests = verdict != "undecided" and not each.exact and not support <= alpha
        notes = [*each.notes, *(["rests on normality"] if rests else [])]
        rows.append(
            _effect(each)
            | {
                "label": each.first.label,
                "baseline": each.second.label,
                "verdict": verdict,
                "n": len(each.first.values),
                "n_baseline": len(each.second.values),
                "paired": each.paired,
                "test": each.test,
                "scale": each.scale,
                "family": len(results),
                "p": each.difference.p,
                "p_holm": p[i],
                "p_flip": each.p_flip,
                "p_flip_holm": flip[i],
                "rests_on_normality": rests,
                "margin": math.nan if each.margin is None else each.margin,
                "p_equivalent": each.p_equivalent,
                "p_equivalent_holm": equivalent[i],
                "wins": each.improvement.wins,
                "ties": each.improvement.ties,
                "losses": each.improvement.losses,
                "improvement": each.improvement.probability,
                "improvement_low": each.improvement.low,
                "improvement_high": each.improvement.high,
                "spread": each.spread,
                "correlation": each.correlation,
                "seeds_needed": _seeds_needed(each, level),
                "at_floor": each.at_floor,
                "note": "; ".join(notes),
            }
        )
    return pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in ("dataset", "metric", "declared")])


def _effect(result: Result) -> dict[str, Any]:
    """Estimate with its limits; without a ratio at the floor."""
    kind = EFFECTS[result.scale]
    numbers = (result.difference.mean, result.difference.low, result.difference.high)
    if result.at_floor:
        numbers = (math.nan, math.nan, math.nan)
    estimate, low, high = (float(effect_of(each, result.scale)) for each in numbers)
    return {"effect": kind, "estimate": estimate, "low": low, "high": high}


def _seeds_needed(result: Result, level: float) -> int | None:
    """Seeds that show a difference of the margin at Holm's first step; None without margin or spread."""
    if not result.margin or not result.spread > 0:
        return None
    return seeds_needed(upper_spread(result.spread, result.degrees), result.margin, level)
