"""Refusals of datasets by metrics."""

from __future__ import annotations

from collections.abc import Iterable

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.metric import Metric


def refusal(kinds: Iterable[type[Metric]], dataset: Dataset) -> str:
    """Return the reason for which every metric refuses a dataset, with METRIC in place of its name."""
    (reason,) = {str(kind().refuses(dataset)).replace(kind.name, "METRIC") for kind in kinds}
    return reason
