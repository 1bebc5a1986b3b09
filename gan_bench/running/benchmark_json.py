"""benchmark.json: data of a benchmark that tables and figures need besides its runs, written by every `run`."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.config.benchmark import Benchmark, ModelEntry
from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.metric import Metric
from gan_bench.contracts.table import MetricInfo
from gan_bench.errors import StoreError
from gan_bench.names import encodable
from gan_bench.planning.runs import configuration, identify_dataset, plain
from gan_bench.plugins.instances import dataset_of, from_plain
from gan_bench.plugins.registry import Registry
from gan_bench.results.load import read_benchmark
from gan_bench.store.records import BenchmarkRecord, StoredDataset, StoredEntry

if TYPE_CHECKING:
    from gan_bench.planning.planned import Planned


def describe(planned: Planned) -> BenchmarkRecord:
    """Build benchmark.json after data are prepared.

    Entries of datasets that are not selected are kept, because nothing is prepared for them now.
    """
    benchmark, registry = planned.benchmark, planned.registry
    before = _before(planned.folder)
    selected = {entry.label: dataset_of(entry.plugin, entry.params, registry) for entry in planned.datasets}
    others = {entry.label for entry in benchmark.datasets} - set(selected)
    return BenchmarkRecord(
        name=benchmark.name,
        seeds=benchmark.seeds,
        evaluation=benchmark.evaluation,
        protocol=benchmark.protocol,
        datasets=_datasets(benchmark, selected, before),
        models=_models(benchmark, selected, registry, {label: _notes_by_metric(before, label) for label in others}),
        left_out=benchmark.left_out,
        metrics={
            name: _metric(registry.get("metrics", name), selected, _only(others, _notes(before, name)))
            for name in benchmark.evaluation.metrics
        },
        mode=planned.mode,
        version=benchmark.version,
    )


def describe_metric(metric: Metric | type[Metric], notes: Mapping[str, str]) -> MetricInfo:
    """Entry of benchmark.json for a metric; `notes` by dataset describe its prepared files."""
    return MetricInfo(
        direction=metric.direction,
        unit=metric.unit,
        version=metric.version,
        per_generator=metric.per_generator,
        expensive=metric.expensive,
        doc=encodable((metric.__doc__ or "").strip().split("\n")[0]),
        notes=notes,
        needs=metric.needs,
    )


def _datasets(
    benchmark: Benchmark, selected: Mapping[str, Dataset], before: BenchmarkRecord | None
) -> tuple[StoredDataset, ...]:
    held_out = {dataset.label: dataset.held_out for dataset in before.datasets} if before else {}
    held_out |= {label: dataset.held_out_size for label, dataset in selected.items()}
    return tuple(
        StoredDataset(entry.label, entry.plugin, plain(entry.params), held_out.get(entry.label))
        for entry in benchmark.datasets
    )


def _models(
    benchmark: Benchmark,
    selected: Mapping[str, Dataset],
    registry: Registry,
    notes: Mapping[str, Mapping[str, tuple[str, ...]]],
) -> tuple[StoredEntry, ...]:
    """Build one entry per model; `notes` has the footnotes of unselected datasets, by model."""
    data = [identify_dataset(dataset, registry) for dataset in benchmark.datasets]
    return tuple(
        StoredEntry(
            label=model.label,
            plugin=model.plugin,
            anchor=model.anchor,
            departures=model.departures,
            footnotes=_pool(model, selected, registry)
            | {label: texts[model.label] for label, texts in notes.items() if model.label in texts},
            params=plain(model.params),
            configurations={each.label: configuration(each, model, registry) for each in data},
        )
        for model in benchmark.models
    )


def _metric(metric: type[Metric], selected: Mapping[str, Dataset], others: Mapping[str, str]) -> MetricInfo:
    """Build the entry of one metric, with notes on its prepared files, by dataset."""
    notes = {**others} | {label: metric().note(dataset) for label, dataset in selected.items()}
    return describe_metric(metric, {label: note for label, note in notes.items() if note})


def _pool(model: ModelEntry, selected: Mapping[str, Dataset], registry: Registry) -> dict[str, tuple[str, ...]]:
    """Footnote, by dataset, for a model that draws from a fixed pool, while others see a stream of new data."""
    cls = registry.get("models", model.plugin)
    most = None
    with suppress(Exception):  # a plugin may raise anything: its runs will report it
        most = cls(from_plain(cls.Params, model.params)).pool_size
    if most is None:
        return {}
    sizes = {label: min(most, dataset.training_size or most) for label, dataset in selected.items()}
    return {label: (f"real data: a fixed pool of {size:,} samples, drawn once",) for label, size in sizes.items()}


def _before(folder: Path) -> BenchmarkRecord | None:
    """Read benchmark.json of a results folder; return None if it is missing or unreadable."""
    try:
        return read_benchmark(folder)
    except StoreError:
        return None


def _notes_by_metric(before: BenchmarkRecord | None, dataset: str) -> dict[str, tuple[str, ...]]:
    """Read earlier footnotes of models on a dataset, by model."""
    entries = before.models if before else ()
    return {entry.label: entry.footnotes[dataset] for entry in entries if dataset in entry.footnotes}


def _notes(before: BenchmarkRecord | None, metric: str) -> Mapping[str, str]:
    return before.metrics[metric].notes if before and metric in before.metrics else {}


def _only(labels: Set[str], notes: Mapping[str, str]) -> dict[str, str]:
    return {label: text for label, text in notes.items() if label in labels}
