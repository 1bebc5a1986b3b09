"""Metrics of samples, with the reason for undefined values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gan_bench.contracts.metric import UNINDEXED, Metric, Samples
from gan_bench.contracts.scores import Score


def compute(samples: Samples, metrics: Sequence[Metric]) -> list[Score]:
    """Compute metrics of the same samples: the mixture's value of each, then one value for each generator.

    Per-generator values exist for metrics that define them.
    """
    scores = []
    for metric in metrics:
        value = metric.compute(samples)
        each = [float(v) for v in np.asarray(value)] if metric.per_generator else []
        whole = metric.combine(np.asarray(value)) if metric.per_generator else float(value)
        why = _why_undefined(metric, samples) if math.isnan(whole) else ""
        scores.append(Score(metric.name, None, float(whole), len(samples), metric.version, why))
        scores += [Score(metric.name, k, v, len(samples), metric.version) for k, v in enumerate(each)]
    return scores


def _why_undefined(metric: Metric, samples: Samples) -> str:
    unindexed = metric.per_generator and samples.generator is None
    return metric.why_undefined(samples) or (UNINDEXED if unindexed else "")
