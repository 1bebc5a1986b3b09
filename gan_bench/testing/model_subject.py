"""Tiny trainers of a model in every setting, on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_bench.contracts.model import Model
from gan_bench.plugins.registry import Registry
from gan_bench.testing.settings import Setting, allowed, settings
from gan_bench.testing.tiny import partners, trainer
from gan_bench.training.trainer import Trainer

CARRIED = ("latents", "latent", "init", "init_scale", "optimizer", "betas", "decay")
"""Protocol settings of a preset that a tiny trainer adopts. Sizes stay tiny."""


class Subject:
    """Class of a model under check, with its tiny trainers."""

    def __init__(self, cls: type[Any], registry: Registry) -> None:
        self.cls, self.registry = cls, registry

    def settings(self) -> list[Setting]:
        """Return every setting in which the model is checked."""
        return settings(self.cls)

    def branches(self) -> list[Setting]:
        """Return the settings that may switch code. The slower checks are run only for these."""
        return [setting for setting in self.settings() if setting.branches]

    def mixtures(self) -> list[Setting]:
        """Return the settings that may switch code, and one with several generators if none has them."""
        found = self.branches()
        if all(self.cls(setting.params).generators == 1 for setting in found):
            names = getattr(self.cls.Params, "__dataclass_fields__", {})
            params = allowed(self.cls, {"generators": 3}) if "generators" in names else None
            found += [Setting("generators = 3", params)] if params is not None else []
        return found

    def trainer(self, setting: Setting, seed: int = 0) -> Trainer:
        """Return a tiny trainer of the model with these settings."""
        model: Model = self.cls(setting.params)
        dataset, network = partners(model, self.registry)
        departs = {name: value for name, value in setting.protocol.items() if name in CARRIED}
        plain = {name: value for name, value in departs.items() if not isinstance(value, Mapping)}
        return trainer(model, seed=seed, dataset=dataset, network=network, **plain)
