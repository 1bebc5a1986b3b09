"""Downloads of data that a machine lacks before it executes runs, once for all of its processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gan_bench.contracts.run import DatasetRef
from gan_bench.data.downloads import data_root, exclusive
from gan_bench.errors import DataError, error_text
from gan_bench.plugins.instances import dataset_of
from gan_bench.running.engines.identity import Question, weights_of

if TYPE_CHECKING:
    from gan_bench.contracts.metric import Fetchable
    from gan_bench.plugins.registry import Registry

Log = Callable[[str], None]


def fetch_missing(registry: Registry, question: Question, log: Log) -> dict[str, str]:
    """Download files of datasets and weights of metrics that are missing in the data root.

    One process of a machine downloads, the others wait for it. Files that exist are not read.

    Returns:
        Errors by label of the dataset, or name of the weights.
    """
    tasks: dict[str, Callable[[], None]] = {}
    for each in question.datasets:
        tasks[each.label] = partial(_fetch_dataset, registry, each, log)
    for name, weights in weights_of(registry, question).items():
        tasks[name] = partial(_fetch_weights, name, weights, log)
    errors = {}
    for name, task in tasks.items():
        try:
            task()
        except Exception as error:  # a plugin may raise anything
            errors[name] = str(error) if isinstance(error, DataError) else error_text(error)
    return errors


def _fetch_dataset(registry: Registry, ref: DatasetRef, log: Log) -> None:
    dataset = dataset_of(ref.plugin, ref.params, registry)
    if dataset.missing() is None:
        return
    with exclusive(data_root() / f"fetch-{ref.plugin}", log):
        if dataset.missing() is not None:  # no other process has downloaded it meanwhile
            dataset.fetch(log)


def _fetch_weights(name: str, weights: Fetchable, log: Log) -> None:
    if weights.found() is None:
        with exclusive(data_root() / f"fetch-{name}", log):
            if weights.found() is None:
                weights.fetch(log)
