"""Values of the mixture of generators that runs are compared by."""

from __future__ import annotations

import pandas as pd

from gan_bench.results.metrics import is_metric


def mixture_values(frame: pd.DataFrame, samples: int | None = None) -> pd.DataFrame:
    """Rows of a frame of results with the mixture's values of finished runs, one for each run, iteration and metric.

    If a metric was computed from several numbers of samples, `samples` is used if present, else the largest.
    """
    metrics = [name for name in frame["metric"].unique() if is_metric(name)]
    measured = frame["generator"].isna() & frame["metric"].isin(metrics)
    values = frame[measured & (frame["status"] == "finished")]
    score = ["dataset", "label", "seed", "iteration", "metric"]
    if not values.duplicated(score).any():
        return values
    order = values.assign(requested=(values["n"] == samples).fillna(False), size=values["n"].fillna(0))
    order = order.sort_values(["requested", "size"], kind="stable")
    return order.drop_duplicates(score, keep="last").sort_index()[frame.columns]


def last_values(values: pd.DataFrame) -> pd.DataFrame:
    """Rows of `mixture_values` at the last iteration of each run."""
    last = values.groupby(["dataset", "label", "seed"], sort=False)["iteration"].transform("max")
    return values[values["iteration"] == last]
