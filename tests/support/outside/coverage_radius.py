"""Coverage radius, a metric of samples in any dimension that needs no density."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from gan_bench import Dataset, Metric, Samples, hookimpl, is_images

SHARE = 0.95
REAL = 2_000  # held-out samples that have to be covered


class CoverageRadius(Metric):
    """Radius of balls around the samples that cover 95 % of 2,000 held-out samples (an example, 2026)."""

    name = "coverage_radius"
    direction = "lower"
    unit = "data units"

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse images, in which distances between pixels mean little."""
        return "it is for points" if is_images(dataset) else None

    def compute(self, samples: Samples) -> float:
        """Return the 95 % quantile of the distance from a held-out sample to the nearest generated one."""
        real = samples.held_out(REAL).reshape(-1, int(np.prod(samples.dataset.shape)))
        nearest, _ = cKDTree(samples.x.reshape(len(samples), -1)).query(real)
        return float(np.quantile(nearest, SHARE))


@hookimpl
def gan_bench_metrics() -> list[type[Metric]]:
    """List the metrics of this file for gan-bench."""
    return [CoverageRadius]
