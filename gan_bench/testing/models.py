"""Checks that a model keeps the promises of `gan_bench.contracts.model`, with tiny trainers on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gan_bench.plugins.registry import Registry
from gan_bench.testing import common
from gan_bench.testing.checks import Check, first_line, place, refuse
from gan_bench.testing.model_declarations import check_declarations, check_pairs, check_preset
from gan_bench.testing.model_samples import (
    check_generators,
    check_index,
    check_parts,
    count_of_each,
    latents_of,
    require_samples,
)
from gan_bench.testing.model_subject import Subject
from gan_bench.testing.model_training import TrainingChecks
from gan_bench.testing.settings import Setting, allowed
from gan_bench.testing.tiny import installed


def checks(cls: type[Any], registry: Registry | None) -> list[Check]:
    """Return the checks of one model. An anchor, which never trains, has fewer."""
    registry = registry or installed()
    subject, training = _SampleChecks(cls, registry), TrainingChecks(cls, registry)
    make: list[Check] = []

    def add(name: str, promise: str, run: Callable[[], None], *needs: str) -> None:
        make.append(Check(name, promise, run, tuple(check for check in make if check.name in needs)))

    add("parameters", "every parameter has a type, an explanation and a valid default", subject.parameters)
    if not cls.anchor:
        add("citation", "the docstring cites the source of the model", subject.citation)
    add("builds", "it can be built with the values that its parameters and presets allow", subject.builds)
    if not cls.anchor:
        add("presets", "settings of a preset that belong together are set together", subject.presets, "builds")
    add("answers", "turns, noise, state, weights and sharing have the types of the contract", subject.answers, "builds")
    if cls.generating:
        add("generators", "each of the K requested generators returns different samples", subject.generators, "answers")
        add("samples", "generate() returns finite float32 samples (K, b, *shape)", subject.samples, "generators")
    add(
        "index",
        "the index that sample() returns is that of the generator of each sample",
        subject.index,
        "answers",
        "samples",
    )
    if cls.anchor:
        return make
    add("in-parts", "a sample does not depend on the other samples of its batch", subject.parts, "index")
    add("losses", "each loss returns a scalar, optionally with a dict of scalars", training.losses, "samples")
    add("own-parameters", "a player's turn updates only its own parameters", training.own_parameters, "losses")
    add("learns", "every player's loss depends on its parameters", training.learns, "own-parameters")
    add("gradients", "every parameter gets a gradient in some allowed setting", training.gradients, "learns")
    add("sources", "discriminators see real data and samples of every generator", training.sources, "gradients")
    add("every-generator", "the losses update each of the K generators", training.every_generator, "gradients")
    add("heads", "every head of a discriminator is trained by its player", training.heads, "gradients")
    add("finite", "losses, parameters and samples stay finite", training.finite, "learns")
    add("streams", "no global random stream is used", training.streams, "learns")
    add("seeds", "equal seeds give equal runs, different seeds give different runs", training.seeds, "streams")
    add("effects", "every parameter changes something", training.effects, "parameters", "finite", "seeds")
    add("resumes", "a run resumed from its checkpoint equals an uninterrupted one", training.resumes, "seeds")
    add(
        "reads-no-values",
        "an iteration neither waits for the value of a tensor nor branches on one",
        training.reads,
        "learns",
    )
    add("devices", "an iteration runs on the device of its model", training.devices, "reads-no-values")
    needs = ("resumes", "reads-no-values", "gradients")
    add("compiles", "a compiled iteration has the results of an eager one", training.compiles, *needs)
    if cls.stackable:
        add(
            "stacks",
            "seeds trained as one program have the same results as seeds trained separately",
            training.stacks,
            *needs,
            "compiles",
        )
    return make


class _SampleChecks(Subject):
    """Checks of one model without training: its parameters, declarations and samples."""

    def parameters(self) -> None:
        common.check_parameters(self.cls)

    def citation(self) -> None:
        common.check_cited(self.cls)

    def builds(self) -> None:
        for name, preset in self.cls.presets.items():
            check_preset(self.cls, name, preset, self.registry)
        for setting in self.settings():
            try:
                self.trainer(setting)
            except Exception as error:
                refuse(
                    f"with {setting}, the model cannot be built: {first_line(error)}{place(error)}",
                    "a benchmark may use every value that a parameter allows",
                    "correct build(), narrow the parameter's range, or reject the values in Params.__post_init__",
                )

    def presets(self) -> None:
        for name, preset in self.cls.presets.items():
            check_pairs(name, preset)

    def answers(self) -> None:
        for setting in self.settings():
            check_declarations(self.trainer(setting), f"with {setting}, ")

    def generators(self) -> None:
        named = any(name == "generators" for name in getattr(self.cls.Params, "__dataclass_fields__", {}))
        pairs = [(k, allowed(self.cls, {"generators": k})) for k in (2, 5)] if named else []
        for k, params in pairs:
            if params is not None:
                t = self.trainer(Setting(f"generators = {k}", params))
                if t.model.generators != k:
                    refuse(
                        f"with generators = {k}, the property `generators` is {t.model.generators}",
                        "the number of generators in a benchmark file would be ignored",
                        "return params.generators from the property `generators`, or rename the parameter",
                    )
                check_generators(t)
        check_generators(self.trainer(self.settings()[0]))

    def samples(self) -> None:
        for setting in self.settings():
            t = self.trainer(setting)
            for name, k in (("generate", t.model.playing), ("generate_all", t.model.generators)):
                with torch.no_grad():
                    x = getattr(t.model, name)(latents_of(t, k))
                require_samples(x, (k, 4, *t.dataset.shape), f"with {setting}, {name}()")

    def index(self) -> None:
        for setting in self.settings():
            t = self.trainer(setting)
            for counts in count_of_each(t.model.generators):
                check_index(t, counts)

    def parts(self) -> None:
        for setting in self.branches():
            check_parts(self.trainer(setting), f"with {setting}, ")
