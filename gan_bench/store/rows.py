"""Rows of curve.csv and classes.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gan_bench.contracts.metric import Metric
from gan_bench.contracts.scores import Score, Share


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
