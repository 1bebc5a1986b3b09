"""Results in several places, read as those of one benchmark: cut by seeds or models, or run on several machines."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gan_bench.contracts.parameters import TomlValue, shown
from gan_bench.errors import UsageError
from gan_bench.results.load import StoredResults, read_results, typed
from gan_bench.store.records import BenchmarkRecord, StoredDataset, StoredEntry

_FREE = ("every", "points", "anchors", "metrics")
"""Keys of [evaluation] that may differ between parts: they change which values exist, not what they are."""

_RUN = ["dataset", "label", "seed"]

Place = tuple[str, str, int]
"""Dataset, label and seed of a run."""


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One results folder or results.csv, or several that are parts of one benchmark."""


def read_parts(paths: Paths) -> StoredResults:
    """Read results folders and results.csv files as parts of one benchmark.

    Seeds, models, datasets and metrics are those of all parts. If several parts contain the same run, the finished or
    furthest one is used, of equal ones the first.

    Args:
        paths: at least one; a single one is read by `gan_bench.results.load.read_results`.

    Raises:
        StoreError: a part has no results.
        UsageError: parts differ in a setting, or contain different runs for one dataset, label and seed. The message
            lists the differences.
    """
    if isinstance(paths, (str, os.PathLike)):
        return read_results(paths)
    if not paths:
        raise UsageError("No results were given. Name at least one results folder or results.csv.")
    parts = [read_results(path) for path in dict.fromkeys(Path(path) for path in paths)]
    if len(parts) == 1:
        return parts[0]
    described = [part.benchmark for part in parts if part.benchmark is not None]
    if 0 < len(described) < len(parts):
        bare = next(part.source for part in parts if part.benchmark is None)
        raise UsageError(
            f"{bare}: has no benchmark.json next to it, so its settings cannot be compared with those of the other "
            "parts. Copy the benchmark.json of its results folder, or use results folders."
        )
    first, *others = parts
    differences = [text for other in others for text in _differences(first, other)]
    if not differences:
        differences += _conflicts(parts)
    if differences:
        raise UsageError("These results cannot be combined:\n" + "\n".join(f"  {text}" for text in differences))
    return _joined(parts, _benchmark(described) if described else None)


def _differences(first: StoredResults, other: StoredResults) -> Iterator[str]:
    """Settings in which two parts differ, with both values."""
    a, b = first.benchmark, other.benchmark
    if a is None or b is None:
        return
    names = first.source, other.source
    compared: list[tuple[str, Any, Any]] = [("version", a.version, b.version), ("mode", a.mode, b.mode)]
    for section in ("protocol", "evaluation"):
        compared += _settings(section, getattr(a, section), getattr(b, section))
    both = [name for name in a.metrics if name in b.metrics]
    compared += [(f"version of metric {name}", a.metrics[name].version, b.metrics[name].version) for name in both]
    for dataset in a.datasets:
        for same in (each for each in b.datasets if each.label == dataset.label):
            compared += _entry(f"dataset {dataset.label}", dataset, same)
    for model in a.models:
        for same_model in (each for each in b.models if each.label == model.label):
            compared += _entry(f"model {model.label}", model, same_model)
            if a.protocol == b.protocol:  # else the settings explain other hashes
                compared += _configurations(model, same_model)
    for key, one, two in compared:
        if one != two:
            yield f"{key}: {_shown(one)} in {names[0]}, {_shown(two)} in {names[1]}"


def _settings(section: str, one: Any, two: Any) -> Iterator[tuple[str, Any, Any]]:
    for field in fields(one):
        if section != "evaluation" or field.name not in _FREE:
            yield f"{section}.{field.name}", getattr(one, field.name), getattr(two, field.name)


def _entry(what: str, one: Any, two: Any) -> Iterator[tuple[str, Any, Any]]:
    """Plugin, parameters and departures of a dataset or model with equal labels."""
    yield f"plugin of {what}", one.plugin, two.plugin
    if one.params is not None and two.params is not None:
        for key in dict.fromkeys((*one.params, *two.params)):
            yield f"{key} of {what}", one.params.get(key), two.params.get(key)
    if isinstance(one, StoredEntry):
        yield f"departures of {what}", one.departures, two.departures


def _configurations(one: StoredEntry, two: StoredEntry) -> Iterator[tuple[str, Any, Any]]:
    """Hashes of settings and code of a model, unless a difference of the settings explains them."""
    if (one.plugin, one.params, one.departures) == (two.plugin, two.params, two.departures):
        for dataset in one.configurations.keys() & two.configurations.keys():
            what = f"settings or code of model {one.label} on {dataset}"
            yield what, one.configurations[dataset][:12], two.configurations[dataset][:12]


def _shown(value: TomlValue) -> str:
    return "none" if value is None or value == "" else shown(value)


def _conflicts(parts: Sequence[StoredResults]) -> Iterator[str]:
    """Runs of one dataset, label and seed that have different keys in two parts."""
    keys: dict[Place, tuple[str, Path]] = {}
    for part in parts:
        for dataset, label, seed, key in part.frame[[*_RUN, "key"]].drop_duplicates().itertuples(index=False):
            known, where = keys.setdefault((dataset, label, seed), (key, part.source))
            if known != key:
                run = f"seed {seed} of {label} on {dataset}"
                yield f"{run}: trained with other settings or code in {where} than in {part.source}"


def _joined(parts: Sequence[StoredResults], benchmark: BenchmarkRecord | None) -> StoredResults:
    """Join parts that do not differ."""
    chosen = _choose(parts)
    frames, runs = [], []
    outdated: Counter[str] = Counter()
    for number, part in enumerate(parts):
        groups = part.frame.groupby(_RUN, sort=False, observed=True)
        wanted = np.array([chosen[_place(group)] == number for group in groups.groups], dtype=np.bool_)
        frames.append(part.frame[wanted[groups.ngroup().to_numpy()]])
        places = ((placed, (placed.dataset, placed.entry.label, placed.run.seed)) for placed in part.runs)
        runs += [placed for placed, place in places if chosen[place] == number]
        outdated.update(part.outdated or {})
    return StoredResults(
        parts[0].source,
        benchmark,
        typed(pd.concat(frames, ignore_index=True)),  # categories of the parts differ
        tuple(runs),
        others=sum(part.others for part in parts),
        ignored=tuple(replace(each, part=str(part.source)) for part in parts for each in part.ignored),
        outdated=outdated,
        parts=tuple(part.source for part in parts),
    )


def _place(group: Any) -> Place:
    dataset, label, seed = group
    return str(dataset), str(label), int(seed)


def _choose(parts: Sequence[StoredResults]) -> Mapping[Place, int]:
    """Number of the part from which each run is taken."""
    best: dict[Place, tuple[bool, int, int]] = {}
    for number, part in enumerate(parts):
        ends = part.frame.groupby(_RUN, sort=False, observed=True).agg({"status": "first", "iteration": "max"})
        for (dataset, label, seed), status, iteration in ends.itertuples():
            rank = (status == "finished", int(iteration), -number)
            best[dataset, label, seed] = max(best.get((dataset, label, seed), rank), rank)
    return {place: -rank[2] for place, rank in best.items()}


def _benchmark(parts: Sequence[BenchmarkRecord]) -> BenchmarkRecord:
    """Union of seeds, datasets, models and metrics, anchors last."""
    models: dict[str, StoredEntry] = {}
    for entry in (entry for part in parts for entry in part.models):
        known = models.setdefault(entry.label, entry)
        models[entry.label] = replace(known, configurations={**entry.configurations, **known.configurations})
    left_out = {each.label: each for part in parts for each in part.left_out if each.label not in models}
    datasets: dict[str, StoredDataset] = {}
    for dataset in (dataset for part in parts for dataset in part.datasets):
        datasets.setdefault(dataset.label, dataset)
    metrics = tuple(dict.fromkeys(name for part in parts for name in part.evaluation.metrics))
    evaluation = replace(parts[0].evaluation, metrics=metrics, anchors=any(part.evaluation.anchors for part in parts))
    return replace(
        parts[0],
        name=", ".join(dict.fromkeys(part.name for part in parts)),
        seeds=tuple(sorted({seed for part in parts for seed in part.seeds})),
        evaluation=evaluation,
        datasets=tuple(datasets.values()),
        models=tuple(sorted(models.values(), key=lambda entry: entry.anchor)),
        metrics={name: info for part in reversed(parts) for name, info in part.metrics.items()},
        left_out=tuple(left_out.values()),
    )
