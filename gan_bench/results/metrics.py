"""Metrics of stored results, described by the benchmark or by the installed plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from gan_bench.contracts.metric import Metric, Scale
from gan_bench.contracts.table import MetricInfo
from gan_bench.results.load import FINISHED, LEDGER, StoredResults


def is_metric(name: str) -> bool:
    """Whether a row of this name belongs to a metric, not to a loss or the ledger."""
    return not name.startswith("loss_") and name not in (*LEDGER, FINISHED)


def known_metrics(results: StoredResults) -> dict[str, MetricInfo]:
    """Metrics that can be shown: the benchmark's first, then any others of the runs."""
    known = dict(results.benchmark.metrics) if results.benchmark else {}
    found = [name for name in results.frame["metric"].unique() if is_metric(name) and name not in known]
    classes = _installed(found) if found else {}
    infos = {
        name: MetricInfo(classes[name].direction, classes[name].unit) if name in classes else MetricInfo()
        for name in found
    }
    stored = described_metrics(results.frame[results.frame["metric"].isin(found)]) if found else {}
    return known | infos | {name: replace(infos[name], direction=info.direction) for name, info in stored.items()}


def described_metrics(frame: pd.DataFrame) -> dict[str, MetricInfo]:
    """Metrics whose direction a frame of results has, with it and their scale, in order."""
    described = frame.loc[frame["direction"] != "", ["metric", "direction", "scale"]].drop_duplicates()
    found: dict[str, MetricInfo] = {}
    for name, direction, scale in described.itertuples(index=False):
        known = found.setdefault(name, MetricInfo(direction, scale=scale or None))
        if known.scale is None and scale:  # a part of an earlier version came first
            found[name] = replace(known, scale=scale)
    return {name: info for name, info in found.items() if is_metric(name)}


def with_scales(known: Mapping[str, MetricInfo], results: StoredResults) -> dict[str, MetricInfo]:
    """Add the scale of metrics whose description has none, as those of earlier versions.

    It is that of the stored values, else of the installed plugins, else "linear".
    """
    missing = {name for name, info in known.items() if info.scale is None}
    stored = described_metrics(results.frame[results.frame["metric"].isin(list(missing))]) if missing else {}
    scales: dict[str, Scale] = {name: info.scale for name, info in stored.items() if info.scale is not None}
    classes = _installed(missing - scales.keys()) if missing - scales.keys() else {}
    scales |= {name: cls.scale for name, cls in classes.items()}
    return {name: replace(info, scale=info.scale or scales.get(name, "linear")) for name, info in known.items()}


def _installed(names: Iterable[str]) -> dict[str, type[Metric]]:
    """Classes of installed plugins, for metrics that the stored benchmark does not describe."""
    from gan_bench.plugins.discovery import load_plugins

    classes = load_plugins(kinds=("metrics",)).all("metrics")
    return {name: classes[name] for name in names if name in classes}
