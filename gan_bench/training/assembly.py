"""Construction of model, data and trainer from the plain description of a run."""

from __future__ import annotations

import torch

from gan_bench.contracts.run import Run
from gan_bench.plugins.instances import from_plain, instantiate
from gan_bench.plugins.registry import Registry
from gan_bench.training.build import build
from gan_bench.training.trainer import Trainer


def make_trainer(run: Run, registry: Registry, device: str) -> Trainer:
    """Build the trainer of a run at iteration 0."""
    model, dataset, protocol = instantiate(run, registry)
    network_class = registry.get("networks", protocol.network)
    network = network_class(from_plain(network_class.Params, protocol.network_params))
    target = torch.device(device)
    build(model, network, dataset, protocol, run.seed, target)
    if target.type == "cuda" and network.heavy:
        model.to(memory_format=torch.channels_last)  # the layout that convolutions on a GPU are fastest with
    return Trainer(model, dataset, protocol, run.seed, target)
