"""Tiny trainers that run an iteration in milliseconds on a CPU, and functions to compare them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Network
from gan_bench.contracts.protocol import Protocol
from gan_bench.errors import PluginError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Registry
from gan_bench.testing.settings import made
from gan_bench.training.build import build
from gan_bench.training.trainer import Trainer

CPU = torch.device("cpu")
FIRST = {"datasets": ("ring8", "shapes"), "networks": ("mlp",)}  # used first; others if a plugin refuses these
SMALL = {"hidden": 8, "width": 4}  # sizes of a tiny network, if it has such parameters


def protocol(generators: int = 1, **changes: Any) -> Protocol:
    """Return a protocol of small batches and latents, with weights so large that no gradient vanishes by rounding."""
    small = {
        "batch": max(16, 4 * generators),
        "latent_size": 6,
        "iterations": 20,
        "init_scale": 0.5,
        "learning_rate": 0.005,
    }
    return Protocol(**small | changes)


def trainer(
    model: Model,
    *,
    seed: int = 0,
    dataset: Dataset | None = None,
    network: Network | None = None,
    **changes: Any,
) -> Trainer:
    """Return a trainer of a model at iteration 0, by default on the ring with a small mlp.

    `changes` are changes of the protocol; see `protocol`.
    """
    if dataset is None or network is None:
        found = partners(model, installed())
        dataset, network = dataset or found[0], network or found[1]
    adapted = _taken(model, protocol(model.playing, **changes))
    build(model, network, dataset, adapted, seed, CPU)
    return Trainer(model, dataset, adapted, seed, CPU)


def _taken(model: Model, proposed: Protocol) -> Protocol:
    """Return the protocol, with draws enlarged to the next size that the model does not refuse."""
    for batch in range(proposed.batch, 8 * proposed.batch):
        larger = dataclasses.replace(proposed, batch=batch)
        if model.refuses_draws(batch, larger.fakes_each(model.playing) * model.playing) is None:
            return larger
    return proposed


@functools.cache
def installed() -> Registry:
    """Return the installed plugins."""
    return load_plugins()


def partners(model: Model, registry: Registry) -> tuple[Dataset, Network]:
    """Return a dataset that a model does not refuse, and a tiny network for it.

    Raises:
        PluginError: the model or all networks refuse every dataset.
    """
    for dataset in chain(offered("datasets", registry), _sized("datasets", registry, model.generators)):
        if model.refuses(dataset) is None:
            for network in offered("networks", registry):
                if network.refuses(dataset) is None:
                    return dataset, network
    raise PluginError(f"{model.name} refuses every dataset: {', '.join(registry.all('datasets'))}.")


def dataset_for(plugin: Any, registry: Registry) -> Dataset:
    """Return a dataset that a metric or network does not refuse.

    Raises:
        PluginError: the plugin refuses every dataset.
    """
    for dataset in offered("datasets", registry):
        if plugin.refuses(dataset) is None:
            found: Dataset = dataset
            return found
    raise PluginError(f"{plugin.name} refuses every dataset: {', '.join(registry.all('datasets'))}.")


def offered(kind: str, registry: Registry) -> Iterator[Any]:
    """Return every tiny dataset or network of the registry, the usual one first, without those that cannot be built."""
    # Lazy, since most callers use only the first, and `missing` of an image dataset looks up many files.
    made = (found for cls in _in_order(kind, registry) for found in _tried(cls, **SMALL))
    return (found for found in made if kind != "datasets" or not found.missing())


def _sized(kind: str, registry: Registry, count: int) -> Iterator[Any]:
    """Yield each plugin with one of its parameters set to `count`, for models that need a class per generator."""
    for cls in _in_order(kind, registry):
        for each in dataclasses.fields(cls.Params):
            made = _tried(cls, **{each.name: count})
            yield from (found for found in made if kind != "datasets" or not found.missing())


def _in_order(kind: str, registry: Registry) -> list[Any]:
    """Return the classes of a kind: the usual ones first, then the others by name."""
    first = FIRST[kind]
    classes = sorted(
        registry.all(kind).items(), key=lambda item: (first.index(item[0]) if item[0] in first else len(first), item[0])
    )
    return [cls for _, cls in classes]


def _tried(cls: type[Any], **wanted: Any) -> list[Any]:
    """Return a list of one plugin with the parameters that it accepts, or an empty list if it cannot be built."""
    try:
        return [cls(made(cls, **wanted))]
    except Exception:  # the checks of that plugin report its faults
        return []


def same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are equal bit for bit; NaN equals NaN."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())


def difference(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor in which two sets differ, or None if they are equal."""
    if first.keys() != second.keys():
        return ", ".join(sorted(first.keys() ^ second.keys()))
    return next((name for name, value in first.items() if not same(value, second[name])), None)


def contents(t: Trainer) -> dict[str, Tensor]:
    """Copy everything that training changes: parameters, buffers, the model's state and the last losses."""
    own = {name: value.detach().clone() for name, value in t.model.state_dict().items()}
    state = {f"state {name}": value.clone() for name, value in t.state.items()}
    return own | state | {f"loss of {name}": value.clone() for name, value in t.losses.items()}


def trajectory(t: Trainer, iterations: int) -> list[dict[str, Tensor]]:
    """Return the contents of a trainer after each of a number of iterations."""
    after = []
    for _ in range(iterations):
        t.iterate()
        after.append(contents(t))
    return after
