"""Section with ranks across datasets: mean ranks with intervals, and wins, ties and losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from gan_bench import escape
from gan_bench.report.page.axes import Axis
from gan_bench.report.page.contents import Contents
from gan_bench.report.page.elements import DataTable, element, render, titled
from gan_bench.statistics.across import ranks, win_tie_loss
from gan_bench.statistics.observations import rows_of

_WIDTH, _LEFT, _RIGHT, _LINE, _BELOW = 860, 260, 20, 30, 40


def section(contents: Contents) -> Markup:
    """Body of the section."""
    found = contents.verdicts
    several = len(contents.datasets) > 1
    frame = pd.DataFrame()
    if several and found.primary is not None:
        benchmark = contents.results.benchmark
        options = {name: value for name, value in rows_of(benchmark).items() if name != "expected"} if benchmark else {}
        frame = ranks(contents.results.frame, found.metrics, found.primary, **options)
    rows = list(frame.itertuples(index=False))
    absent = [label for label in contents.marks if label not in {row.label for row in rows}]
    return render(
        "rank_summary.html",
        datasets=len(contents.datasets),
        primary=found.primary,
        chart=_chart(contents, rows) if rows else Markup(""),
        counted=rows[0].datasets if rows else 0,
        data=_data(rows) if rows else None,
        absent=absent if rows else [],
        wins=_wins(found.pairs) if several and len(found.pairs) else None,
    )


def _chart(contents: Contents, rows: Sequence[Any]) -> Markup:
    """Mean rank and interval of each model, the best above."""
    across = Axis(1, max(len(rows), 2), _WIDTH - _LEFT - _RIGHT)
    height = _LINE * len(rows)
    parts = []
    for value in across.ticks(8):
        x = _LEFT + float(across.at([value])[0])
        parts.append(element("path", {"class": "grid", "d": f"M{x:.0f} 0v{height}"}))
        parts.append(element("text", {"x": round(x), "y": height + 24, "text-anchor": "middle"}, f"{value:g}"))
    for i, row in enumerate(rows):
        y = (i + 0.5) * _LINE
        low, mean, high = (_LEFT + float(x) for x in across.at([row.low, row.rank, row.high]))
        label = escape.shortened(escape.one_line(row.label), 24)
        name = element("text", {"x": _LEFT - 16, "y": y + 6, "text-anchor": "end"}, label)
        bar = element("path", {"class": "median", "d": f"M{low:.0f} {y:g}H{high:.0f}"})
        mark = contents.marks[row.label]
        parts.append(element("g", {"class": mark.classes}, name, bar, mark.marker(mean, y)))
    attributes = {"class": "chart overview", "viewBox": f"0 -4 {_WIDTH} {height + _BELOW}"}
    return titled("Mean rank of each model over the datasets, with its 95 % interval", attributes, *parts)


def _data(rows: Sequence[Any]) -> DataTable:
    lines = tuple((row.label, f"{row.rank:.2f}", f"{row.low:.2f} to {row.high:.2f}", str(row.datasets)) for row in rows)
    return DataTable("Mean ranks; 1 is the best", ("model", "mean rank", "95 % interval", "datasets"), lines)


def _wins(pairs: pd.DataFrame) -> DataTable:
    """Wins, ties and losses of rows against columns."""
    counts = win_tie_loss(pairs)
    labels = list(dict.fromkeys(counts["label"]))
    cells = {
        (row.label, row.other): f"{row.wins} / {row.ties} / {row.losses}" for row in counts.itertuples(index=False)
    }
    rows = tuple((label, *(cells.get((label, other), "·") for other in labels)) for label in labels)
    return DataTable("Datasets on which the row wins / ties / loses against the column", ("model", *labels), rows)
