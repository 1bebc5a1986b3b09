"""What the seeds of a benchmark can show, before anything is run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gan_bench.plugins.registry import Registry
from gan_bench.statistics.power import POWER, detectable
from gan_bench.statistics.scales import MARGINS

if TYPE_CHECKING:
    from gan_bench.config.benchmark import Benchmark
    from gan_bench.contracts.metric import Scale

MORE_SEEDS = (10, 20)
"""Numbers of seeds that are described beside the benchmark's, if they are larger."""


def describe_power(benchmark: Benchmark, registry: Registry, minutes: float = math.nan) -> Iterator[str]:
    """Describe the differences that the seeds of a benchmark show with 80 % power, and what more seeds would cost.

    Args:
        benchmark: its models are compared with a baseline by the primary metric.
        registry: contains the metrics.
        minutes: of one more seed of all models; nan if unknown.
    """
    evaluation = benchmark.evaluation
    metrics = {name: registry.get("metrics", name) for name in evaluation.metrics}
    directed = [name for name, metric in metrics.items() if metric.direction != "none"]
    primary = evaluation.primary or next(iter(directed), None)
    comparisons = len([model for model in benchmark.models if not model.anchor]) - 1
    if primary is None or comparisons < 1:
        return
    scale: Scale = metrics[primary].scale
    if scale == "count":
        yield f"{primary} counts complete seeds: an exact test of them needs at least 6 seeds that differ."
        return
    margin = (evaluation.margins or {}).get(primary, MARGINS[scale])
    seeds = len(benchmark.seeds)
    tests = "1 comparison" if comparisons == 1 else f"{comparisons} comparisons"
    yield f"Comparison by {primary}: {tests} with {100 * POWER:.0f} % power (SD: that of the differences by seed)"
    for n in (seeds, *(more for more in MORE_SEEDS if more > seeds)):
        yield f"  {_describe(n, comparisons, margin, scale)}{_cost(n - seeds, minutes)}"


def _describe(seeds: int, comparisons: int, margin: float | None, scale: Scale) -> str:
    """Describe what a number of seeds shows."""
    if seeds < 2:
        return "1 seed shows no difference: it has no spread"
    found = detectable(seeds, comparisons, margin)
    text = f"{seeds} seeds show a difference of {found.effect:.2g} SD"
    if margin is None:
        return text
    what = f"a ratio of {math.exp(margin):.3g}" if scale == "log" else f"{margin:.3g}"
    unit = " of logarithms" if scale == "log" else ""
    return f"{text}; the margin, {what}, if the SD{unit} is at most {found.spread:.2g}"


def _cost(seeds: int, minutes: float) -> str:
    if seeds == 0 or math.isnan(minutes):
        return ""
    return f" (about {seeds * minutes:,.0f} more minutes)"
