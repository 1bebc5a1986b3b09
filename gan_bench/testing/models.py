"""The checks of a model: what `gan_bench.contracts.model` promises in its name, tried in tiny games on a CPU."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gan_bench.contracts.model import Model
from gan_bench.plugins.registry import Registry
from gan_bench.testing import common
from gan_bench.testing.checks import Check, first_line, place, refuse
from gan_bench.testing.model_answers import check_answers, check_preset
from gan_bench.testing.model_losses import (
    Ledger,
    check_everybody_moves,
    descend,
    record_gradients,
    representative_iterations,
    requires_gradient,
    requires_graph,
    requires_scalar,
    watch,
    without_gradient,
)
from gan_bench.testing.model_samples import (
    check_generators,
    check_index,
    count_of_each,
    draw_samples,
    latents_of,
    require_samples,
)
from gan_bench.testing.moving import check_devices, check_stacks
from gan_bench.testing.reading import check_reads, check_traced
from gan_bench.testing.settings import Setting, allowed, settings
from gan_bench.testing.tiny import contents, difference, installed, partners, trainer, trajectory
from gan_bench.training.trainer import Trainer

CARRIED = ("latents", "latent", "init", "init_scale", "optimizer", "betas", "decay")
"""What a preset changes in the protocol that a tiny game takes over; sizes stay tiny."""


def checks(cls: type[Any], registry: Registry | None) -> list[Check]:
    """The checks of one model; an anchor, which never trains, has fewer."""
    subject = _Subject(cls, registry or installed())
    make: list[Check] = []

    def add(name: str, promise: str, run: Callable[[], None], *needs: str) -> None:
        make.append(Check(name, promise, run, tuple(check for check in make if check.name in needs)))

    add("parameters", "every parameter has a type, an explanation and a valid default", subject.parameters)
    if not cls.anchor:
        add("citation", "the docstring says where the model comes from", subject.citation)
    add("builds", "it builds for the values that its parameters and presets allow", subject.builds)
    add("answers", "turns, noise, state, weights and sharing are what the contract says", subject.answers, "builds")
    if cls.generating:
        add("generators", "each of the K generators asked for makes samples of its own", subject.generators, "answers")
        add("samples", "generate() makes finite float32 samples (K, b, *shape)", subject.samples, "generators")
    add("index", "sample() draws from the generators that its index names", subject.index, "answers", "samples")
    if cls.anchor:
        return make
    add("losses", "each loss returns a scalar, and perhaps scalars by name beside it", subject.losses, "samples")
    add("own-parameters", "a player's turn moves its own parameters only", subject.own_parameters, "losses")
    add("learns", "every player's loss depends on its parameters", subject.learns, "own-parameters")
    add("gradients", "every parameter gets a gradient in some allowed setting", subject.gradients, "learns")
    add("finite", "losses, parameters and samples stay finite", subject.finite, "learns")
    add("streams", "no global random stream is used", subject.streams, "learns")
    add("seeds", "the same seed gives the same run, another seed another", subject.seeds, "streams")
    add("resumes", "a run goes on from its checkpoint as if uninterrupted", subject.resumes, "seeds")
    add("reads-no-values", "an iteration never waits for a value nor branches on one", subject.reads, "learns")
    add("devices", "an iteration runs on whatever device its model is on", subject.devices, "reads-no-values")
    if cls.stackable:
        needs = ("resumes", "reads-no-values", "gradients")
        add("stacks", "seeds that train as one program train as each by itself", subject.stacks, *needs)
    return make


class _Subject:
    """One model's class, and the checks on it."""

    def __init__(self, cls: type[Any], registry: Registry) -> None:
        self.cls, self.registry = cls, registry

    def settings(self) -> list[Setting]:
        """Every setting that it is tried with."""
        return settings(self.cls)

    def branches(self) -> list[Setting]:
        """The settings that may switch code: what the slower checks are carried out for."""
        return [setting for setting in self.settings() if setting.branches]

    def trainer(self, setting: Setting, seed: int = 0) -> Trainer:
        """A tiny trainer of the model with these settings."""
        model: Model = self.cls(setting.params)
        dataset, network = partners(model, self.registry)
        departs = {name: value for name, value in setting.protocol.items() if name in CARRIED}
        plain = {name: value for name, value in departs.items() if not isinstance(value, Mapping)}
        return trainer(model, seed=seed, dataset=dataset, network=network, **plain)

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
                    f"with {setting} it cannot be built: {first_line(error)}{place(error)}",
                    "a benchmark may ask for every value that a parameter's range allows",
                    "mend build(), narrow the parameter's range, or refuse the values together in Params.__post_init__",
                )

    def answers(self) -> None:
        for setting in self.settings():
            check_answers(self.trainer(setting), f"with {setting}, ")

    def generators(self) -> None:
        named = any(name == "generators" for name in getattr(self.cls.Params, "__dataclass_fields__", {}))
        asked = [(k, allowed(self.cls, {"generators": k})) for k in (2, 5)] if named else []
        for k, params in asked:
            if params is not None:
                t = self.trainer(Setting(f"generators = {k}", params))
                if t.model.generators != k:
                    refuse(
                        f"with generators = {k} the model says it has {t.model.generators}",
                        "the number of generators that a benchmark asks for is ignored",
                        "let the property `generators` return params.generators, or rename the parameter",
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

    def losses(self) -> None:
        for setting in self.settings():
            t = self.trainer(setting)
            watch(t, partial(requires_scalar, t), partial(descend, t))
            t.iterate()

    def own_parameters(self) -> None:
        for setting in self.settings():
            t = self.trainer(setting)
            ledger = Ledger(t)
            watch(t, ledger.around, ledger.move)
            for _ in range(2):
                t.iterate()
                ledger.settle()

    def learns(self) -> None:
        t = self.trainer(self.settings()[0])
        check_everybody_moves(t)
        for iteration in representative_iterations(t):
            t.iteration = iteration
            watch(t, partial(requires_graph, t), partial(requires_gradient, t))
            t.iterate()

    def gradients(self) -> None:
        seen: dict[str, bool | None] = {}
        for setting in self.settings():
            t = self.trainer(setting)
            for player, own in t.parameters.items():
                seen.update({f"{player}.{name}": seen.get(f"{player}.{name}") for name in own})
            watch(t, lambda player: player.loss, partial(record_gradients, t, seen))
            for iteration in representative_iterations(t):
                t.iteration = iteration
                t.iterate()
            some = without_gradient(seen)
            if not some:
                return
        refuse(
            f"no gradient, or a zero one, in every setting tried: {', '.join(some[:3])}"
            + (f" and {len(some) - 3} more" if len(some) > 3 else ""),
            "a parameter that never moves is counted in the table and does nothing",
            "let a loss depend on it, or register it as a buffer",
        )

    def finite(self) -> None:
        for number, setting in enumerate(self.settings()):
            t = self.trainer(setting)
            for _ in range(5 if number else 10):
                t.iterate()
                _require_finite(t, setting)

    def streams(self) -> None:
        for setting in self.settings():
            common.check_streams("building the model", lambda setting=setting: self.trainer(setting))  # type: ignore[misc]
            t = self.trainer(setting)
            common.check_streams("an iteration", t.iterate)
            common.check_streams("sample()", partial(draw_samples, t, [3] * t.model.generators))

    def seeds(self) -> None:
        setting = self.settings()[0]
        with common.streams_from(1):
            first = self._run(setting)
        with common.streams_from(2):
            again = self._run(setting)
        for number, (one, other) in enumerate(zip(first, again, strict=True)):
            name = difference(one, other)
            if name:
                refuse(
                    f"two runs with the same seed differ in {name} after iteration {number}",
                    "nothing that is measured could be repeated",
                    "draw no random numbers of your own and keep nothing between models: declare them in noise()",
                )
        if all(difference(one, other) is None for one, other in zip(first, self._run(setting, 1), strict=True)):
            refuse(
                "two runs with different seeds are the same",
                "the interval over seeds would be zero",
                "seed nothing yourself; the harness initialises and draws from the run's seed",
            )

    def _run(self, setting: Setting, seed: int = 0) -> list[dict[str, Tensor]]:
        t = self.trainer(setting, seed)
        after = trajectory(t, 4)
        after[-1]["samples"] = draw_samples(t, [3] * t.model.generators)[0]
        return after

    def resumes(self) -> None:
        for setting in self.branches():
            t = self.trainer(setting)
            stages = [stage.first for stage in t.model.stages(t.protocol.iterations)]
            for stop in (3, *(first + 1 for first in stages[1:2])):
                _check_resumes(self.trainer(setting), self.trainer(setting), stop, setting)

    def reads(self) -> None:
        for number, setting in enumerate(self.branches()):
            t = self.trainer(setting)
            for iteration in representative_iterations(t):
                t.iteration = iteration
                check_reads(t, setting)
                if number == 0:
                    check_traced(t, setting)

    def devices(self) -> None:
        for setting in self.settings():
            check_devices(self.trainer(setting), setting)

    def stacks(self) -> None:
        setting = self.settings()[0]  # what seeds hold outside of their modules depends on no parameter
        descent = replace(setting, protocol={**setting.protocol, "optimizer": "sgd"})
        check_stacks(lambda seed: self.trainer(descent, seed), setting)


def _require_finite(t: Trainer, setting: Setting) -> None:
    """Losses, parameters and samples after an iteration."""
    for name, value in contents(t).items():
        if not bool(torch.isfinite(value).all()):
            refuse(
                f"with {setting}, {name} is not finite after iteration {t.iteration - 1}",
                "the run would be recorded as diverged",
                "keep logarithms, roots and quotients away from zero: softplus and logsumexp of logits are safe",
            )


def _check_resumes(through: Trainer, resumed: Trainer, stop: int, setting: Setting) -> None:
    """Some iterations, a checkpoint as on disk, three more, against all of them in a row."""
    trajectory(through, stop)
    draw_samples(through, [3] * through.model.generators)
    file = io.BytesIO()
    torch.save(through.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for number, (one, other) in enumerate(zip(trajectory(through, 3), trajectory(resumed, 3), strict=True)):
        name = difference(one, other)
        if name:
            refuse(
                f"with {setting}, a run resumed after iteration {stop - 1} differs in {name} after iteration "
                f"{number + stop}",
                "the model keeps something that no checkpoint holds: a run that is interrupted would end elsewhere",
                "declare it in initial_state() and change it in after_turn(), or register it as a buffer",
            )
