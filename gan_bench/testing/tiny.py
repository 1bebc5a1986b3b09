"""Tiny games: trainers that carry out an iteration in milliseconds on a CPU, and what they are compared by."""

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
from gan_bench.training.building import build
from gan_bench.training.trainer import Trainer

CPU = torch.device("cpu")
FIRST = {"datasets": ("ring8", "shapes"), "networks": ("mlp",)}  # tried first; any other one where they are refused
SMALL = {"hidden": 8, "width": 4}  # what makes a network tiny, where it has such parameters


def protocol(generators: int = 1, **changes: Any) -> Protocol:
    """Small batches and latents, and weights large enough that no gradient vanishes by rounding."""
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
    """A trainer at iteration 0 of a model, on the ring with a small mlp where nothing else is said.

    `changes` are the protocol's, see `protocol`.
    """
    if dataset is None or network is None:
        found = partners(model, installed())
        dataset, network = dataset or found[0], network or found[1]
    asked = _taken(model, protocol(model.playing, **changes))
    build(model, network, dataset, asked, seed, CPU)
    return Trainer(model, dataset, asked, seed, CPU)


def _taken(model: Model, asked: Protocol) -> Protocol:
    """The protocol, or the same with the next larger draws that the model does not refuse."""
    for batch in range(asked.batch, 8 * asked.batch):
        larger = dataclasses.replace(asked, batch=batch)
        if model.refuses_draws(batch, larger.fakes_each(model.playing) * model.playing) is None:
            return larger
    return asked


@functools.cache
def installed() -> Registry:
    """The installed plugins."""
    return load_plugins()


def partners(model: Model, registry: Registry) -> tuple[Dataset, Network]:
    """A dataset that a model does not refuse, and a tiny network for it.

    Raises:
        PluginError: there is none.
    """
    for dataset in chain(offered("datasets", registry), _sized("datasets", registry, model.generators)):
        if model.refuses(dataset) is None:
            for network in offered("networks", registry):
                if network.refuses(dataset) is None:
                    return dataset, network
    raise PluginError(f"{model.name} refuses every dataset there is: {', '.join(registry.all('datasets'))}.")


def dataset_for(plugin: Any, registry: Registry) -> Dataset:
    """A dataset that a metric or network does not refuse.

    Raises:
        PluginError: there is none.
    """
    for dataset in offered("datasets", registry):
        if plugin.refuses(dataset) is None:
            found: Dataset = dataset
            return found
    raise PluginError(f"{plugin.name} refuses every dataset there is: {', '.join(registry.all('datasets'))}.")


def offered(kind: str, registry: Registry) -> Iterator[Any]:
    """Every dataset or network of the registry, tiny, the usual one first; what cannot be built is left out."""
    # Lazy: most callers take the first, and whether an image dataset is complete depends on many files.
    made = (found for cls in _in_order(kind, registry) for found in _tried(cls, **SMALL))
    return (found for found in made if kind != "datasets" or not found.missing())


def _sized(kind: str, registry: Registry, count: int) -> Iterator[Any]:
    """Each with one of its parameters at `count`: a model may want a class of data for each generator."""
    for cls in _in_order(kind, registry):
        for each in dataclasses.fields(cls.Params):
            made = _tried(cls, **{each.name: count})
            yield from (found for found in made if kind != "datasets" or not found.missing())


def _in_order(kind: str, registry: Registry) -> list[Any]:
    """The usual ones first, then by name."""
    first = FIRST[kind]
    classes = sorted(
        registry.all(kind).items(), key=lambda item: (first.index(item[0]) if item[0] in first else len(first), item[0])
    )
    return [cls for _, cls in classes]


def _tried(cls: type[Any], **wanted: Any) -> list[Any]:
    """A plugin with those of the parameters that it takes; nothing where it cannot be built."""
    try:
        return [cls(made(cls, **wanted))]
    except Exception:  # another plugin's fault is told where that one is checked
        return []


def same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are equal bit for bit; NaN equals NaN."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())


def difference(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor in which two sets differ; None where they are equal."""
    if first.keys() != second.keys():
        return ", ".join(sorted(first.keys() ^ second.keys()))
    return next((name for name, value in first.items() if not same(value, second[name])), None)


def contents(t: Trainer) -> dict[str, Tensor]:
    """A copy of all that training changes: parameters, buffers, the model's state, the last losses."""
    own = {name: value.detach().clone() for name, value in t.model.state_dict().items()}
    state = {f"state {name}": value.clone() for name, value in t.state.items()}
    return own | state | {f"loss of {name}": value.clone() for name, value in t.losses.items()}


def trajectory(t: Trainer, iterations: int) -> list[dict[str, Tensor]]:
    """What a trainer is after each of some iterations."""
    after = []
    for _ in range(iterations):
        t.iterate()
        after.append(contents(t))
    return after
