"""Stages of a model: the pool that turns draw from by weight, and players that are re-initialised."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.model import Model, Stage
from gan_bench.contracts.network import Initialisation, initialise
from gan_bench.contracts.protocol import Protocol
from gan_bench.errors import PluginError
from gan_bench.names import allowed
from gan_bench.training.average import Average
from gan_bench.training.label_reads import LabelReads
from gan_bench.training.randomness import Randomness, global_streams
from gan_bench.training.state import accept, with_usage, without_usage


class Pool:
    """Fixed samples of a model that draws by weight.

    Attributes:
        samples: x (N, *shape), drawn once by the seed; None if the model has no `pool_size`.
        observed: the same for the model, with observed labels.
    """

    def __init__(
        self, model: Model, dataset: Dataset, batch: int, randomness: Randomness, label_reads: LabelReads
    ) -> None:
        self._model_name, self._batch = model.name, batch
        self.samples: Real | None = None
        if model.pool_size is not None:
            self.samples = dataset.pool(model.pool_size, randomness.at("pool"))
        self.observed = None if self.samples is None else label_reads.observe(self.samples)

    def draw(self, name: str, state: Mapping[str, Tensor], rng: torch.Generator) -> Real:
        """Draw a batch with replacement, with the weights in the state as relative frequencies.

        Args:
            name: the weights' name in the model's state, shape (N,).

        Raises:
            PluginError: the model has no pool, the state has no such weights, or their shape differs from the pool's.
        """
        who, pool, weights = self._model_name, self.samples, state.get(name)
        if pool is None:
            raise PluginError(f"{who}: pool_size must be set for turns with weights, found None.")
        if weights is None:
            raise PluginError(f"{who}: unknown weights {name!r} in a turn. {allowed(name, state)}")
        if weights.shape != (len(pool.x),):
            found = tuple(weights.shape)
            raise PluginError(f"{who}: weights {name!r} must have shape ({len(pool.x)},) like the pool, found {found}.")
        index = torch.multinomial(weights, self._batch, replacement=True, generator=rng)
        return Real(pool.x[index], None if pool.label is None else pool.label[index], index)


class Renewal:
    """Re-initialisation of players, with other random numbers each time."""

    def __init__(self, model: Model, protocol: Protocol, seed: int, stages: Iterable[Stage]) -> None:
        self._model, self._seed = model, seed
        self._init = Initialisation(protocol.init, protocol.init_scale)
        # Layers without a rule in `initialise` return to their state after `build`.
        again = {name for stage in stages for name in stage.renewed}
        self._as_built = {name: copy.deepcopy(model.get_submodule(name)).cpu() for name in again}

    @torch.no_grad()
    def renew(self, player: str, number: int, optimizer: Optimizer, average: Average | None) -> None:
        """Initialise a player's parameters, buffers and optimiser.

        In place, because compiled programs and CUDA graphs hold these tensors.

        Args:
            number: of the stage; it counts the random numbers.
        """
        fresh = copy.deepcopy(self._as_built[player])
        rng = Randomness(self._seed, torch.device("cpu")).at(f"init/{player}", number)
        initialise(fresh, self._init, rng)
        own = self._model.get_submodule(player)
        for name, value in (*fresh.named_parameters(), *fresh.named_buffers()):
            _tensor_at(own, name).copy_(value)
        if average:
            average.restart(f"{player}.")
        for state in optimizer.state.values():
            for value in state.values():
                value.zero_()


def change_state(
    model: Model, number: int, state: Mapping[str, Tensor], pool: Pool, randomness: Randomness
) -> Mapping[str, Tensor]:
    """Let a model change its state at the beginning of a stage, and return the state on the device.

    Raises:
        PluginError: `enter_stage` returns a state of another form, replaces the tensor of a parameter or buffer, or
            draws from a global random stream.
    """
    before, streams, total = _identities(model), global_streams(), state
    state, device = without_usage(state), randomness.device
    declared = "rng" in inspect.signature(model.enter_stage).parameters
    further = {"rng": randomness.at("stage", number)} if declared else {}
    changed = model.enter_stage(number, state, pool.observed, **further)
    for name, stream in global_streams().items():
        if stream != streams[name]:
            raise PluginError(
                f"{model.name}: enter_stage() draws from the global random stream of {name}. Declare the argument rng, "
                "a torch.Generator, and draw from it."
            )
    for name, identity in _identities(model).items():
        if before.get(name) != identity:
            raise PluginError(
                f"{model.name}: enter_stage() replaced the tensor {name}. Change it in place with copy_()."
            )
    if isinstance(changed, Mapping):  # a stage may compute its state on the CPU
        changed = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in changed.items()}
    return with_usage(accept(model, "enter_stage", state, changed), total)


def _identities(model: Model) -> dict[str, int]:
    """Identity of the tensor behind each parameter and buffer."""
    return {name: id(value) for name, value in (*model.named_parameters(), *model.named_buffers())}


def _tensor_at(module: nn.Module, name: str) -> Tensor:
    """Parameter or buffer of this name."""
    path, _, last = name.rpartition(".")
    value: Tensor = getattr(module.get_submodule(path), last)
    return value
