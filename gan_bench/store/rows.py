"""Rows of curve.csv and classes.csv: their text, and rows of scores and shares."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from gan_bench import escape
from gan_bench.contracts.metric import Metric
from gan_bench.contracts.scores import Score, Share

FOREIGN = ("metric", "class")
"""Columns of names that come from plugins and from folders of images."""


class RowError(ValueError):
    """Error for a line of a csv file that has other columns."""

    def __init__(self, line: int, columns: Sequence[str]) -> None:
        super().__init__(f"{line}: not a row with the columns {', '.join(columns)}")


def to_text(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    """Format rows as the text of a csv file, in which no name is a formula or has control characters."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    foreign = [name for name in FOREIGN if name in columns]
    writer.writerows({**row, **{name: escape.csv_cell(row[name]) for name in foreign}} for row in rows)
    return text.getvalue()


def from_text(columns: Sequence[str], text: str) -> list[dict[str, str]]:
    """Parse the text of a csv file with these columns. Raises ValueError, or RowError for a wrong line."""
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    for number, row in enumerate(rows, 2):
        if tuple(row) != tuple(columns) or None in row.values() or not row["iteration"].isdecimal():
            raise RowError(number, columns)
        row.update({name: escape.from_csv_cell(row[name]) for name in FOREIGN if name in row})
    return rows


def restore(
    stored: Sequence[Mapping[str, str]], expected: Sequence[Mapping[str, str]]
) -> tuple[list[Mapping[str, str]], int]:
    """Add expected rows that are missing or have another value; return all rows and the number of those.

    Args:
        stored: rows of a file, which may have further ones.
        expected: rows that a checkpoint implies.
    """
    found = {_place(row): row for row in stored}
    lost = [row for row in expected if found.get(_place(row)) != row]
    wanted = {_place(row) for row in expected}
    return [*expected, *(row for row in stored if _place(row) not in wanted)], len(lost)


def _place(row: Mapping[str, str]) -> tuple[str, ...]:
    """Everything of a row but its value."""
    return tuple(text for name, text in row.items() if name not in ("value", "share"))


def has_score(rows: Sequence[Mapping[str, str]], metric: Metric, iteration: int, n: int) -> bool:
    """Whether rows of a curve include a score of this version of a metric, at an iteration, from n samples."""
    wanted = (str(iteration), metric.name, str(n), str(metric.version))
    return any((row["iteration"], row["metric"], row["n"], row["version"]) == wanted for row in rows)


def curve_rows(iteration: int, scores: Sequence[Score]) -> list[dict[str, str]]:
    """Format scores as rows of curve.csv."""
    return [
        {
            "iteration": str(iteration),
            "generator": "" if score.generator is None else str(score.generator),
            "metric": score.metric,
            "value": repr(float(score.value)),
            "n": str(score.n),
            "version": str(score.version),
        }
        for score in scores
    ]


def class_rows(iteration: int, shares: Sequence[Share]) -> list[dict[str, str]]:
    """Format shares of classes as rows of classes.csv."""
    return [
        {
            "iteration": str(iteration),
            "generator": "" if share.generator is None else str(share.generator),
            "class": share.name,
            "share": repr(share.share),
            "n": str(share.n),
        }
        for share in shares
    ]


def with_classes(rows: Sequence[Mapping[str, str]], iteration: int, shares: Sequence[Share]) -> list[Mapping[str, str]]:
    """Rows of classes.csv with the rows of this iteration replaced by these shares."""
    kept = [row for row in rows if not shares or row["iteration"] != str(iteration)]
    return [*kept, *class_rows(iteration, shares)]
