"""Frames of results for tests, in the columns of `load_results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from gan_bench.contracts.table import MetricInfo
from gan_bench.results.load import COLUMNS, OF_METRIC

METRICS = {
    "symmetric_kl": MetricInfo("lower", "nats", scale="log"),
    "kid": MetricInfo("lower", "", scale="linear"),
    "high_quality": MetricInfo("higher", "share", scale="share"),
    "modes": MetricInfo("higher", "modes", scale="count"),
    "dead_generators": MetricInfo("lower", "generators", per_generator=True, scale="count"),
    "purity": MetricInfo("none", "share", scale="share"),
}

Values = Mapping[str, Sequence[float | None]]


def frame(
    values: Values,
    metric: str = "symmetric_kl",
    dataset: str = "ring8",
    status: Mapping[tuple[str, int], str] | None = None,
) -> pd.DataFrame:
    """Return the final values of models by seed; None for a run without a value."""
    rows = []
    for label, found in values.items():
        for seed, value in enumerate(found):
            ending = (status or {}).get((label, seed), "finished")
            model = label if label in ("real-data", "untrained") else "gan"
            run = ("tiny", dataset, model, label, seed)
            rows.append((*run, 100, pd.NA, "finished", float(ending == "finished"), pd.NA, ending, f"{label}{seed}"))
            if value is not None:
                rows.append((*run, 100, pd.NA, metric, value, 1000, ending, f"{label}{seed}"))
                rows.append((*run, 0, pd.NA, metric, 9.0, 1000, ending, f"{label}{seed}"))
    made = pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in OF_METRIC])
    info = METRICS[metric]
    described = made["metric"] == metric
    made["direction"], made["scale"] = (described.map({True: str(x), False: ""}) for x in (info.direction, info.scale))
    return made.astype({"seed": "int64", "iteration": "int64", "generator": "Int64", "n": "Int64", "value": "float64"})
