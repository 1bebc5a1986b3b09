"""Construction and initialisation of a model's networks."""

from __future__ import annotations

import torch
from torch import nn

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Initialisation, Network, Networks, initialise
from gan_bench.contracts.protocol import Protocol
from gan_bench.errors import PluginError
from gan_bench.training.randomness import Randomness, seed_of


def build(
    model: Model, network: Network, dataset: Dataset, protocol: Protocol, seed: int, device: torch.device
) -> Model:
    """Build and initialise a model's networks; the same seed gives the same weights on every device."""
    with torch.random.fork_rng(devices=[]):  # layers without a rule in `initialise` also start from the seed
        torch.default_generator.manual_seed(seed_of(seed, "build"))
        players = model.build(Networks(network, dataset, protocol.latent_size, protocol.latent))
    if set(players) != set(model.players):
        raise PluginError(f"{model.name}: build() must return {sorted(model.players)}, found {sorted(players)}.")
    randomness = Randomness(seed, torch.device("cpu"))
    init = Initialisation(protocol.init, protocol.init_scale)
    for name in model.players:
        model.add_module(name, players[name])
        initialise(players[name], init, randomness.at(f"init/{name}"))
    _check_disjoint(model)
    return model.to(device)


def _check_disjoint(model: Model) -> None:
    """Reject players that share a parameter: each would silently undo the other's steps."""
    owner: dict[nn.Parameter, str] = {}
    for player in model.players:
        for name, parameter in model.get_submodule(player).named_parameters():
            other = owner.setdefault(parameter, player)
            if other != player:
                pair = f"{other!r} and {player!r} share {name}"
                raise PluginError(f"{model.name}: a parameter must belong to one player, but {pair}.")
