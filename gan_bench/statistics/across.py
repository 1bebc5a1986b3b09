"""Comparisons across datasets: wins, ties and losses, and mean ranks."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from gan_bench.contracts.table import MetricInfo
from gan_bench.statistics.leaders import mean_ranks
from gan_bench.statistics.observations import FinalValues
from gan_bench.statistics.scales import transform, usable_scale


def win_tie_loss(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return how often each model is better, tied and worse than each other over the datasets of all-pairs comparisons.

    A tie is "equivalent" or "undecided". Columns: label, other, wins, ties, losses; a row for each ordered pair.
    """
    mirrored = comparisons.rename(columns={"label": "baseline", "baseline": "label"})
    mirrored = mirrored.assign(verdict=mirrored["verdict"].replace({"better": "worse", "worse": "better"}))
    both = pd.concat([comparisons, mirrored], ignore_index=True)
    both = both.assign(
        wins=both["verdict"] == "better",
        ties=both["verdict"].isin(["equivalent", "undecided"]),
        losses=both["verdict"] == "worse",
    )
    order = list(dict.fromkeys([*comparisons["label"], *comparisons["baseline"]]))
    counts = both.groupby(["label", "baseline"], sort=False)[["wins", "ties", "losses"]].sum().reset_index()
    counts = counts.rename(columns={"baseline": "other"})
    place = {label: i for i, label in enumerate(order)}
    ordered = counts.sort_values(["label", "other"], key=lambda column: column.map(place), ignore_index=True)
    return ordered.astype({"wins": "int64", "ties": "int64", "losses": "int64"})


RANK_COLUMNS = ("label", "rank", "low", "high", "datasets")


def ranks(
    frame: pd.DataFrame,
    metrics: Mapping[str, MetricInfo],
    metric: str,
    *,
    anchors: Collection[str] | None = None,
    samples: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return mean ranks over datasets, with 95 % intervals from resampled seeds; see `mean_ranks`.

    A dataset counts if every model has values there of the same seeds, a model if it has values on every other dataset.

    Returns:
        A frame with the columns label, rank, low, high and datasets (their number), in the order of the ranks.
    """
    table = FinalValues(frame, metrics, anchors, samples)
    table.check_metric(metric)
    rows = {dataset: table.rows(dataset, metric) for dataset in table.datasets}
    whole = [
        label
        for label in table.labels
        if all(any(row.label == label and row.values for row in found) for found in rows.values())
    ]
    losses = []
    for dataset, found in rows.items():
        kept = [row for row in found if row.label in whole]
        if not kept or len({frozenset(row.values) for row in kept}) > 1:
            continue
        question = table.question(dataset, metric, {})
        seeds = sorted(kept[0].values)
        values, sizes = (np.array(part) for part in zip(*(row.of(seeds) for row in kept), strict=True))
        scale = usable_scale(question.scale, values, sizes)
        sign = 1 if question.direction == "lower" else -1
        by_label = dict(zip([row.label for row in kept], sign * transform(values, scale, sizes), strict=True))
        losses.append([by_label[label] for label in whole])
    if not losses:
        return pd.DataFrame(columns=list(RANK_COLUMNS))
    found_ranks = mean_ranks(losses, seed=seed)
    table_rows = [(label, r.rank, r.low, r.high, len(losses)) for label, r in zip(whole, found_ranks, strict=True)]
    return pd.DataFrame(table_rows, columns=list(RANK_COLUMNS)).sort_values("rank", kind="stable", ignore_index=True)
