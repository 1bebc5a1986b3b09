"""Snapshots of samples and facts about metrics that a run stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import is_images
from gan_bench.contracts.metric import Metric
from gan_bench.evaluation.evaluate import DrawnSamples, fixed
from gan_bench.store.records import MetricFacts
from gan_bench.training.trainer import Trainer

SNAPSHOT = 512  # number of samples in each snapshot, as in MGAN's figure 2


def snapshot(trainer: Trainer, draw: Callable[[], DrawnSamples], seed: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Samples of an evaluation that a run stores: the first of a draw, or images from fixed latents.

    Returns:
        x (n, *shape), uint8 for images, and the generator of each (n,), -1 for samples without an index.
    """
    kept = fixed(trainer, seed) if is_images(trainer.dataset) else draw()
    x = kept.x.cpu().numpy() if isinstance(kept.x, torch.Tensor) else kept.x[:SNAPSHOT]
    index = np.full(len(x), -1) if kept.generator is None else kept.generator[: len(x)]
    return x, index


def metric_facts(metric: Metric, samples: int, dataset: Dataset) -> MetricFacts:
    """Facts about a metric in the record of a run that it scored."""
    note = metric.note(dataset) or ""
    return MetricFacts(
        direction=metric.direction,
        unit=metric.unit,
        version=metric.version,
        per_generator=metric.per_generator,
        samples=samples,
        note=note,
        scale=metric.scale,
    )
