"""From the plain description of a run to its model, data and trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gan_bench.dataset import Dataset
from gan_bench.errors import StoreError
from gan_bench.model import Model
from gan_bench.plan import Run, dataset_of, from_plain
from gan_bench.plugins import Registry
from gan_bench.protocol import Protocol
from gan_bench.store import RunFolder
from gan_bench.training import Trainer, build


def instantiate(run: Run, registry: Registry) -> tuple[Model, Dataset, Protocol]:
    """The model (not yet built), dataset and protocol of a run."""
    model_class = registry.get("models", run.model["plugin"])
    model = model_class(from_plain(model_class.Params, run.model["params"]))
    dataset = dataset_of(run.dataset["plugin"], run.dataset["params"], registry)
    return model, dataset, from_plain(Protocol, run.protocol)


def make_trainer(run: Run, registry: Registry, device: str) -> Trainer:
    """The trainer of a run at iteration 0."""
    model, dataset, protocol = instantiate(run, registry)
    network_class = registry.get("networks", protocol.network)
    network = network_class(from_plain(network_class.Params, protocol.network_params))
    target = torch.device(device)
    build(model, network, dataset, protocol, run.seed, target)
    if target.type == "cuda" and network.heavy:
        model.to(memory_format=torch.channels_last)  # as convolutions on a GPU want their weights
    return Trainer(model, dataset, protocol, run.seed, target)


def load_trainer(
    folder: RunFolder, registry: Registry, device: str, say: Callable[[str], None] = lambda line: None
) -> Trainer:
    """The trainer of a stored run, as its newest usable checkpoint left it.

    Args:
        say: told of each newer checkpoint that is damaged, or of another run.

    Raises:
        StoreError: there is none, or it does not fit the code of today.
    """
    record = folder.read()
    if record is None:
        raise StoreError(f"{folder.path}: no run.json. Give a folder of results/NAME/runs/.")
    state, passed_over = folder.load_checkpoint(record["key"])
    if state is None:
        damaged = ", ".join(path.name for path in passed_over)
        found = f" ({damaged}: damaged, or of another run)" if damaged else ""
        raise StoreError(
            f"{folder.path}: no usable checkpoint{found}. Move the folder away and run the benchmark again to make one."
        )
    for path in passed_over:
        say(f"{path} is damaged, or of another run: the newest that can be used is of an earlier iteration.")
    try:
        trainer = make_trainer(run_of(record), registry, device)
        trainer.load_state_dict(state["trainer"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{folder.path}: its checkpoint does not fit the model's code of today ({error}).") from error
    return trainer


def run_of(record: Mapping[str, Any]) -> Run:
    """The run that a record describes; labels are the benchmark's, so it has none."""
    names = ("benchmark", "dataset", "model", "protocol", "seed", "configuration", "key")
    return Run(label="", **{name: record[name] for name in names})
