"""From a benchmark to its runs: one for each dataset, model and seed, each with the key that identifies it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from gan_bench.config.load import Benchmark, DatasetEntry, ModelEntry
from gan_bench.contracts.protocol import Protocol
from gan_bench.contracts.run import Run
from gan_bench.plugins.code_hash import code_hash
from gan_bench.plugins.instances import dataset_of
from gan_bench.plugins.registry import Registry

TRAINING_VERSION = 2
"""Raised by hand whenever the core trains differently: runs of another version are then other runs."""


def plan(benchmark: Benchmark, registry: Registry) -> list[Run]:
    """Every run of a benchmark, seed by seed, so that early results cover all models; identical runs once."""
    data = {dataset.label: described(dataset, registry) for dataset in benchmark.datasets}
    runs: dict[str, Run] = {}
    for seed in benchmark.seeds:
        for dataset, model in _pairs(benchmark):
            run = _run(benchmark.name, data[dataset.label], dataset.label, model, seed, registry)
            runs.setdefault(run.key, run)
    return list(runs.values())


def described(dataset: DatasetEntry, registry: Registry) -> dict[str, Any]:
    """All that identifies a dataset, as plain values; asked once, since the contents of files may have to be read."""
    contents = dataset_of(dataset.plugin, dataset.params, registry).contents
    plain = {"plugin": dataset.plugin, "params": _plain(dataset.params)}
    return plain | ({"contents": contents} if contents else {})


def configuration(data: Mapping[str, Any], model: ModelEntry, registry: Registry) -> str:
    """Hash of what is trained, without the seed; `data` is a dataset as `described`."""
    return _digest(
        {
            "version": TRAINING_VERSION,
            "dataset": data,
            "model": {"plugin": model.plugin, "params": dict(model.params)},
            "protocol": _as_it_was(protocol_values(model.protocol)),
            "code": _code(data["plugin"], model, registry),
        }
    )


def protocol_values(protocol: Protocol) -> dict[str, Any]:
    """A protocol as plain values."""
    return {f.name: _plain(getattr(protocol, f.name)) for f in dataclasses.fields(protocol)}


def _as_it_was(protocol: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that came after version 1 of training and say what was always so: the runs are the same."""
    always = {"precision": "float32"}
    return {name: value for name, value in protocol.items() if name not in always or value != always[name]}


def _pairs(benchmark: Benchmark) -> Iterator[tuple[DatasetEntry, ModelEntry]]:
    for dataset in benchmark.datasets:
        for model in benchmark.models:
            yield dataset, model


def _run(benchmark: str, data: Mapping[str, Any], label: str, model: ModelEntry, seed: int, registry: Registry) -> Run:
    of_all_seeds = configuration(data, model, registry)
    return Run(
        benchmark=benchmark,
        label=model.label,
        dataset={**data, "label": label},
        model={"plugin": model.plugin, "params": _plain(model.params), "anchor": model.anchor},
        protocol=protocol_values(model.protocol),
        seed=seed,
        configuration=of_all_seeds,
        key=_digest({"configuration": of_all_seeds, "seed": seed}),
    )


def _code(dataset: str, model: ModelEntry, registry: Registry) -> str:
    return code_hash(
        registry.get("datasets", dataset),
        registry.get("models", model.plugin),
        registry.get("networks", model.protocol.network),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
