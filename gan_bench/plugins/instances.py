"""Models, datasets and networks created from their plugin names and plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gan_bench.contracts.parameters import TomlTable
from gan_bench.contracts.protocol import Protocol

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset
    from gan_bench.contracts.model import Model
    from gan_bench.contracts.run import Run
    from gan_bench.plugins.registry import Registry


def instantiate(run: Run, registry: Registry) -> tuple[Model, Dataset, Protocol]:
    """Create the model (not yet built), dataset and protocol of a run."""
    model_class = registry.get("models", run.model.plugin)
    model = model_class(from_plain(model_class.Params, run.model.params))
    dataset = dataset_of(run.dataset.plugin, run.dataset.params, registry)
    return model, dataset, run.protocol


def dataset_of(plugin: str, params: TomlTable, registry: Registry) -> Dataset:
    """Create a dataset from its name and its parameters as plain values."""
    cls = registry.get("datasets", plugin)
    made: Dataset = cls(from_plain(cls.Params, params))
    return made


def from_plain(cls: Any, values: TomlTable) -> Any:
    """Create a parameter dataclass from plain values; lists become tuples again."""
    return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
