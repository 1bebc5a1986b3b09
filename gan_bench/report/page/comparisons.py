"""Section with comparisons: each model against the baseline, and the matrix of all pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from gan_bench.report.page.contents import Contents
from gan_bench.report.page.elements import DataTable, render
from gan_bench.report.page.verdicts import MOST_PAIRED, Verdicts
from gan_bench.report.wording import effect_text, margin_text, p_text, percent, seeds_text

EXPLAINED = 20
"""Largest number of models for which the cells of the matrix have tooltips and a table of tests."""

MIRRORED = {"better": "worse", "worse": "better"}
SIGNS = {"better": "▲", "worse": "▼", "equivalent": "=", "undecided": "?"}


@dataclass(frozen=True)
class Cell:
    """Comparison of a row with a column."""

    verdict: str
    sign: str
    about: str
    tip: str


@dataclass(frozen=True)
class Line:
    """Comparison of a model with the baseline."""

    label: str
    verdict: str
    sign: str
    n: str
    effect: str
    p: str
    p_flip: str
    improvement: str
    seeds: str
    note: str


@dataclass(frozen=True)
class Group:
    """Comparisons on one dataset.

    `effect` is their kind, if it is the same for all. `matrix` has a row for each label, with None on the diagonal.
    """

    dataset: str
    effect: str
    lines: tuple[Line, ...]
    labels: tuple[str, ...]
    matrix: tuple[tuple[Cell | None, ...], ...]
    pairs: DataTable | None
    others: DataTable | None


def section(contents: Contents) -> Markup:
    """Body of the section."""
    found = contents.verdicts
    groups = [_group(contents, found, dataset) for dataset in contents.datasets]
    rows = [row for dataset in contents.datasets for row in found.of(found.against, dataset)]
    return render(
        "comparisons.html",
        primary=found.primary,
        baseline=found.baseline,
        groups=groups,
        margin=next((text for row in rows if (text := margin_text(row))), ""),
        models=len(contents.marks),
        most=MOST_PAIRED,
        most_explained=EXPLAINED,
    )


def _group(contents: Contents, found: Verdicts, dataset: str) -> Group:
    rows = found.of(found.against, dataset)
    kinds = {row.effect for row in rows}
    lines = tuple(_line(row, len(kinds) > 1) for row in rows)
    pairs = found.of(found.pairs, dataset)
    labels = [row.label for row in contents.models(dataset)]
    shown = [label for label in labels if any(label in (row.label, row.baseline) for row in pairs)]
    return Group(
        dataset,
        kinds.pop() if len(kinds) == 1 else "effect",
        lines,
        tuple(shown),
        _matrix(shown, pairs),
        _table(pairs) if len(shown) <= EXPLAINED else None,
        _others(contents, found, dataset),
    )


def _line(row: Any, kind: bool) -> Line:
    n = str(row.n) if row.n == row.n_baseline else f"{row.n} and {row.n_baseline}"
    return Line(
        row.label,
        row.verdict,
        SIGNS[row.verdict],
        n,
        effect_text(row) if kind else effect_text(row).removeprefix(f"{row.effect} "),
        p_text(row.p_holm),
        p_text(row.p_flip_holm),
        _improvement(row),
        seeds_text(row),
        row.note,
    )


def _improvement(row: Any) -> str:
    if row.wins + row.ties + row.losses == 0:
        return "\N{EN DASH}"
    ties = f", {row.ties} tied" if row.ties else ""
    if math.isnan(row.improvement_low):
        return percent(row.improvement)
    return f"{percent(row.improvement)} ({100 * row.improvement_low:.0f} to {percent(row.improvement_high)}{ties})"


def _matrix(labels: Sequence[str], pairs: Sequence[Any]) -> tuple[tuple[Cell | None, ...], ...]:
    cells: dict[tuple[str, str], Cell] = {}
    for row in pairs:
        cells[row.label, row.baseline] = _cell(row, row.label, row.baseline, row.verdict)
        cells[row.baseline, row.label] = _cell(row, row.baseline, row.label, MIRRORED.get(row.verdict, row.verdict))
    return tuple(tuple(cells.get((label, other)) for other in labels) for label in labels)


def _cell(row: Any, label: str, other: str, verdict: str) -> Cell:
    """Cell with the verdict; without one, with the number of seeds that are needed."""
    seeds = seeds_text(row)
    about = f"{seeds} seeds" if verdict == "undecided" and seeds != "\N{EN DASH}" else ""
    tip = f"{label} against {other}: {verdict}. {row.label} to {row.baseline}: {effect_text(row)}; "
    tip += f"Holm p {p_text(row.p_holm)}, n = {row.n}" + (f", {row.n_baseline}" if row.n != row.n_baseline else "")
    return Cell(verdict, SIGNS[verdict], about, tip + (f"; {row.note}" if row.note else ""))


_HEAD = (
    "pair", "verdict", "n", "effect (95 % interval)", "p", "Holm p", "sign-flip Holm p", "equivalence Holm p",
    "P(better)", "seeds needed", "test", "note",
)  # fmt: skip


def _table(pairs: Sequence[Any]) -> DataTable | None:
    if not pairs:
        return None
    rows = tuple(
        (
            f"{row.label} against {row.baseline}",
            row.verdict,
            str(row.n) if row.n == row.n_baseline else f"{row.n}, {row.n_baseline}",
            effect_text(row),
            p_text(row.p),
            p_text(row.p_holm),
            p_text(row.p_flip_holm),
            p_text(row.p_equivalent_holm),
            _improvement(row),
            seeds_text(row),
            row.test,
            row.note or "\N{EN DASH}",
        )
        for row in pairs
    )
    return DataTable(f"All {len(pairs)} pairs", _HEAD, rows)


def _others(contents: Contents, found: Verdicts, dataset: str) -> DataTable | None:
    """Verdicts against the baseline in the other metrics."""
    names = [name for name in dict.fromkeys(found.against["metric"]) if name != found.primary]
    by_metric = {name: {row.label: row for row in found.of(found.against, dataset, name)} for name in names}
    names = [name for name in names if by_metric[name]]
    labels = [row.label for row in contents.models(dataset) if any(row.label in by_metric[name] for name in names)]
    if not labels:
        return None
    rows = tuple(
        (label, *(_brief(by_metric[name][label]) if label in by_metric[name] else "\N{EN DASH}" for name in names))
        for label in labels
    )
    return DataTable(f"Verdicts against {found.baseline} in the other metrics", ("model", *names), rows)


def _brief(row: Any) -> str:
    shown = effect_text(row)
    return row.verdict if shown == "\N{EN DASH}" else f"{row.verdict}, {shown}"
