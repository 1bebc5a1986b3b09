"""Section with the answer, in three sentences: who leads, who differs from the baseline, and what it would take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from gan_bench.report.page.contents import Contents
from gan_bench.report.page.elements import render
from gan_bench.report.page.verdicts import MOST_PAIRED, Verdicts
from gan_bench.report.wording import effect_text, margin_text

_MOST = 3  # names, or datasets, that a sentence lists


def section(contents: Contents) -> Markup:
    """Body of the section."""
    return render("answer.html", sentences=sentences(contents))


def sentences(contents: Contents) -> list[str]:
    """Three sentences, with numbers of seeds."""
    found = contents.verdicts
    if not contents.marks:
        return ["These results have no models.", _runs(contents)]
    if found.primary is None:
        return ["No metric with a better direction has values of finished runs, so no model leads.", _runs(contents)]
    return [_leader(contents, found), _against(contents, found), f"{_outlook(contents, found)} {_runs(contents)}"]


def _leader(contents: Contents, found: Verdicts) -> str:
    """Sentence about the leading rows of each dataset."""
    parts = [_leader_on(contents, found, dataset) for dataset in contents.datasets]
    if len(parts) <= _MOST:
        places = [""] if len(parts) == 1 else [f"on {name}, " for name in contents.datasets]
        text = "; ".join(place + part for place, part in zip(places, parts, strict=True))
        return f"{text[0].upper()}{text[1:]}."
    counts = Counter(
        row.label for dataset in contents.datasets for row in found.of(found.leaders, dataset) if row.status == "marked"
    )
    decided = sum(
        any(row.status == "marked" for row in found.of(found.leaders, dataset)) for dataset in contents.datasets
    )
    where = f"On {decided} of {len(parts)} datasets a model leads in {found.primary}"
    text = f"{where}: no other is better in a test of all pairs"
    leading = [f"{label} leads on {count}" for label, count in counts.most_common(_MOST)]
    return text + (f"; {_listed(leading)}." if leading else ".")


def _leader_on(contents: Contents, found: Verdicts, dataset: str) -> str:
    rows = found.of(found.leaders, dataset)
    leaders = [row for row in rows if row.status == "marked"]
    if leaders:
        values = [f"{row.label} ({row.mean:.3g}, n = {row.n})" for row in leaders[:_MOST]]
        values += [f"{len(leaders) - _MOST} more"] if len(leaders) > _MOST else []
        verb = "leads" if len(leaders) == 1 else "lead"
        size = next((text for row in found.of(found.pairs, dataset) if (text := margin_text(row))), "")
        near = (
            f", and {'no other mean is' if len(leaders) == 1 else 'these means are'} within {size} of the best"
            if size
            else ""
        )
        return f"{_listed(values)} {verb} in {found.primary}: in a test of all pairs no model is better{near}"
    first = _first(contents, found, dataset)
    if not rows:
        return f"in {found.primary}, {first}; a leader is decided for at most {MOST_PAIRED} models"
    reasons = [row.reason.removeprefix("leader undecided: ") for row in rows if row.status == "undecided"]
    return f"the leader in {found.primary} is undecided{f' ({_short(reasons[0])})' if reasons else ''}; {first}"


def _short(reason: str) -> str:
    return reason if len(reason) <= 80 else reason[:79] + "…"


def _first(contents: Contents, found: Verdicts, dataset: str) -> str:
    """Row with the best mean, whether or not the data decide."""
    lower = found.metrics[str(found.primary)].direction == "lower"
    cells = [(row, row.cells.get(str(found.primary))) for row in contents.models(dataset)]
    known = [(row.label, cell) for row, cell in cells if cell is not None and math.isfinite(cell.mean)]
    if not known:
        return "no model has a finite value"
    label, cell = (min if lower else max)(known, key=lambda each: each[1].mean)
    return f"{label} has the {'lowest' if lower else 'highest'} mean, {cell.mean:.3g} (n = {cell.n})"


def _against(contents: Contents, found: Verdicts) -> str:
    """Sentence about the verdicts against the baseline."""
    rows = [row for dataset in contents.datasets for row in found.of(found.against, dataset)]
    if not rows:
        return f"There is no second model with values to compare with {found.baseline}."
    n = sorted({each for row in rows for each in (row.n, row.n_baseline)})
    seeds = f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}"
    counts = Counter(row.verdict for row in rows)
    parts = []
    for verdict in ("better", "worse", "equivalent", "undecided"):
        if counts[verdict]:
            parts.append(f"{counts[verdict]} {verdict}{_names(contents, rows, verdict)}")
    number = f"{len(rows)} comparison{'' if len(rows) == 1 else 's'}"
    where = f" on {len(contents.datasets)} datasets" if len(contents.datasets) > 1 else ""
    return f"Against {found.baseline}, {number}{where} ({seeds}) found {_listed(parts)}."


def _names(contents: Contents, rows: Sequence[Any], verdict: str) -> str:
    """Labels with a verdict, with the effect of the only one."""
    labels = list(dict.fromkeys(row.label for row in rows if row.verdict == verdict))
    if verdict == "undecided" or len(labels) > _MOST:
        return ""
    if len(labels) == 1 and len(contents.datasets) == 1:
        (row,) = (row for row in rows if row.verdict == verdict)
        return f" ({labels[0]}: {effect_text(row)})"
    return f" ({_listed(labels)})"


def _outlook(contents: Contents, found: Verdicts) -> str:
    """Sentence about the seeds that undecided comparisons need."""
    rows = [row for dataset in contents.datasets for row in found.of(found.against, dataset)]
    undecided = [row for row in rows if row.verdict == "undecided"]
    if not undecided:
        return "Every comparison with the baseline is decided." if rows else ""
    needs = sorted(int(row.seeds_needed) for row in undecided if not pd.isna(row.seeds_needed))
    size = next((text for row in undecided if (text := margin_text(row))), "")
    if not needs:
        return "For the undecided comparisons, the number of seeds needed is unknown."
    seeds = f"{needs[0]:,}" if needs[0] == needs[-1] else f"{needs[0]:,} to {needs[-1]:,}"
    return f"To show a difference of {size} in an undecided comparison takes about {seeds} seeds."


def _runs(contents: Contents) -> str:
    """Sentence about the runs that did not finish."""
    rows = [row for row in contents.table.rows if not row.anchor]
    planned, finished = sum(row.planned for row in rows), sum(row.finished for row in rows)
    if finished == planned:
        return f"All {planned:,} runs finished."
    return f"{planned - finished:,} of {planned:,} runs did not finish."


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""
