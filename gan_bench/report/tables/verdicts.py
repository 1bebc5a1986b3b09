"""Comparisons of models with verdicts, as a frame and as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
from tabulate import tabulate

from gan_bench import escape
from gan_bench.report.wording import MISSING, limits_text, margin_text, p_text, seeds_text
from gan_bench.results.csv_frames import escaped
from gan_bench.results.parts import Paths, read_parts
from gan_bench.statistics.compare import Pairs, compare_results

HEADINGS = (
    "model",
    "verdict",
    "effect",
    "95 % interval",
    "p",
    "p sign flip",
    "better in",
    "n",
    "seeds needed",
    "notes",
)
RIGHT = ("effect", "95 % interval", "p", "p sign flip", "better in", "n", "seeds needed")

Format = Literal["markdown", "csv", "latex", "text"]


def compare(
    path: Paths, metric: str | Sequence[str] | None = None, baseline: str | None = None, pairs: Pairs = "baseline"
) -> pd.DataFrame:
    """Compare the models of stored results, and return one row for each comparison.

    Every model is compared with a baseline by the paired t-test over the training seeds, on the scale of the metric.
    The p-values of one dataset and metric are adjusted by Holm's procedure. See docs/statistics.md for all columns.

    Args:
        path: a results folder or results.csv; several of them are read as parts of one benchmark.
        metric: one or several; None for the benchmark's primary metric.
        baseline: label of the model that the others are compared with; None for the benchmark's, else the first model.
        pairs: "baseline", or "all" for every pair of models.

    Raises:
        StoreError: there are no results.
        UsageError: unknown metric or baseline, or a metric without a direction.
    """
    return compare_results(read_parts(path), metric=metric, baseline=baseline, pairs=pairs)


def render_comparisons(comparisons: pd.DataFrame, format: Format) -> str:
    """Format a frame of `compare` as text that ends with a line break."""
    if format == "csv":
        return escaped(comparisons).to_csv(index=False, lineterminator="\n")
    if comparisons.empty:
        return "There is nothing to compare: no metric has values of two models.\n"
    blocks = [_block(rows, format) for _, rows in comparisons.groupby(["dataset", "metric"], sort=False)]
    return "\n\n".join(blocks) + "\n"


def _block(rows: pd.DataFrame, format: Format) -> str:
    """Comparisons of one dataset and metric: a title, a table, and how they were tested."""
    text, form = _WRITERS[format]
    first = next(rows.itertuples(index=False))
    baselines = list(dict.fromkeys(rows["baseline"]))
    against = f" with {baselines[0]}" if len(baselines) == 1 else ""
    title = f"{first.metric} on {first.dataset}: comparison{against}"
    one = len(baselines) == 1
    cells = [[text(cell) for cell in _cells(row, name_both=not one)] for row in rows.itertuples(index=False)]
    align = ["right" if heading in RIGHT else "left" for heading in HEADINGS]
    table = tabulate(cells, [text(h) for h in HEADINGS], tablefmt=form, disable_numparse=True, colalign=align)
    notes = [text(f"{note}.") for note in _notes(rows)]
    head = f"### {text(title)}" if format == "markdown" else text(title)
    lines = "\n".join(f"- {note}" if format == "markdown" else note for note in notes)
    return f"{head}\n\n{table}\n\n{lines}"


_WRITERS: Mapping[Format, tuple[Callable[[str], str], str]] = {
    "markdown": (escape.markdown, "pipe"),
    "latex": (escape.latex, "latex_raw"),
    "text": (escape.one_line, "simple"),
}
"""How a cell is escaped, and tabulate's name of the format."""


def _cells(row: Any, *, name_both: bool) -> list[str]:
    label = f"{row.label} vs {row.baseline}" if name_both else str(row.label)
    p = row.p_equivalent_holm if row.verdict == "equivalent" else row.p_holm
    estimate = MISSING if math.isnan(row.estimate) else f"{row.estimate:.3g}"
    better = f"{row.wins} of {row.wins + row.ties + row.losses}" + (f", {row.ties} tied" if row.ties else "")
    n = str(row.n) if row.n == row.n_baseline else f"{row.n} and {row.n_baseline}"
    effect = [estimate, limits_text(row), p_text(p), p_text(row.p_flip_holm), better]
    return [label, row.verdict, *effect, n, seeds_text(row), row.note]


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    """Sentences on the tests of one family."""
    first: Any = next(rows.itertuples(index=False))
    adjusted = f", adjusted by Holm's procedure over {first.family} comparisons" if first.family > 1 else ""
    tests = " or ".join(f"the {test} test" for test in dict.fromkeys(rows["test"]))
    yield f"p: {tests} over the training seeds{adjusted}; p sign flip: the sign-flip test, adjusted in the same way"
    for effect in dict.fromkeys(rows["effect"]):
        yield f"effect: {_EFFECTS[effect]}"
    margin = next((text for row in rows.itertuples(index=False) if (text := margin_text(row))), "")
    if margin:
        yield f"equivalent: a difference of less than {margin}, by two one-sided tests"
        yield "seeds needed: to show a difference of the margin with 80 % power, for the 80 % upper limit of the spread"
    else:
        yield "seeds needed: unknown without a margin; [evaluation] margins declares one"


_EFFECTS = {
    "ratio": "ratio of geometric means, model to baseline",
    "odds ratio": "odds ratio of the shares, model to baseline",
    "difference": "model minus baseline; for counts, of the shares of complete seeds",
}
