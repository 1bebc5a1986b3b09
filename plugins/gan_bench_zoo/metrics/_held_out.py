"""Note of metrics that compare samples with held-out ones."""

from __future__ import annotations

from gan_bench.contracts.dataset import Dataset


def note_of_held_out(dataset: Dataset) -> str:
    """Return what samples are compared with, and for finite data what this means for the row `real-data`."""
    size = dataset.held_out_size
    if size is None:
        return "against held-out samples"
    return f"against at most {size:,} held-out samples, which are also those of real-data"
