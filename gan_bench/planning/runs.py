"""Runs of a benchmark: one for each dataset, model and seed, each with the key that identifies it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gan_bench.config.load import Benchmark, DatasetEntry, ModelEntry
from gan_bench.contracts.parameters import TomlTable
from gan_bench.contracts.protocol import Protocol
from gan_bench.contracts.run import DatasetRef, ModelRef, Plain, Run
from gan_bench.plugins.code_hash import code_hash
from gan_bench.plugins.instances import dataset_of
from gan_bench.plugins.registry import Registry

TRAINING_VERSION = 3
"""Raised by hand when the core trains differently: runs of another version have other keys."""

_SETTINGS = [each.name for each in dataclasses.fields(Protocol)]


def plan(benchmark: Benchmark, registry: Registry) -> list[Run]:
    """List every run of a benchmark, seed by seed, so that early results cover all models; identical runs once."""
    data = {dataset.label: identify_dataset(dataset, registry) for dataset in benchmark.datasets}
    rows = [
        (data[dataset.label], model, configuration(data[dataset.label], model, registry))
        for dataset in benchmark.datasets
        for model in benchmark.models
    ]
    runs: dict[str, Run] = {}
    for seed in benchmark.seeds:
        for ref, model, of_all_seeds in rows:
            run = _run(benchmark.name, ref, model, seed, of_all_seeds)
            runs.setdefault(run.key, run)
    return list(runs.values())


def identify_dataset(dataset: DatasetEntry, registry: Registry) -> DatasetRef:
    """Reference to a dataset. Slow if the contents of its files have to be read."""
    contents = dataset_of(dataset.plugin, dataset.params, registry).contents
    return DatasetRef(dataset.plugin, plain(dataset.params), dataset.label, contents)


def configuration(dataset: DatasetRef, model: ModelEntry, registry: Registry) -> str:
    """Hash of everything that is trained, without the seed."""
    return _configuration(dataset, ModelRef(model.plugin, plain(model.params)), model.protocol, registry)


def configuration_here(run: Run, contents: str, registry: Registry) -> str:
    """Hash of everything that a run trains on this machine, without the seed.

    Args:
        contents: hash of the files of its dataset on this machine.
    """
    return _configuration(dataclasses.replace(run.dataset, contents=contents), run.model, run.protocol, registry)


def key_of(configuration: str, seed: int) -> str:
    """Key of the run of a configuration with a seed."""
    return _digest({"configuration": configuration, "seed": seed})


def _configuration(dataset: DatasetRef, model: ModelRef, protocol: Protocol, registry: Registry) -> str:
    return _digest(
        {
            "version": TRAINING_VERSION,
            "dataset": {"plugin": dataset.plugin, "params": dataset.params, "contents": dataset.contents},
            "model": {"plugin": model.plugin, "params": model.params},
            "protocol": {name: _plain(getattr(protocol, name)) for name in _SETTINGS},
            "code": _code(dataset.plugin, model.plugin, protocol.network, registry),
        }
    )


def _run(benchmark: str, dataset: DatasetRef, model: ModelEntry, seed: int, of_all_seeds: str) -> Run:
    return Run(
        benchmark=benchmark,
        label=model.label,
        dataset=dataset,
        model=ModelRef(model.plugin, plain(model.params), model.anchor),
        protocol=dataclasses.replace(model.protocol, network_params=plain(model.protocol.network_params)),
        seed=seed,
        configuration=of_all_seeds,
        key=key_of(of_all_seeds, seed),
    )


def _code(dataset: str, model: str, network: str, registry: Registry) -> str:
    return code_hash(
        registry.get("datasets", dataset), registry.get("models", model), registry.get("networks", network)
    )


def plain(params: TomlTable) -> Plain:
    """Parameters as JSON has them: lists in place of tuples."""
    return {name: _plain(value) for name, value in params.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
