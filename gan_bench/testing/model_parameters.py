"""Check that every parameter of a model changes something: its networks, turns, training, samples or table row."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import combinations
from typing import Any
from unittest.mock import patch

from torch import Tensor

from gan_bench.contracts.network import Networks
from gan_bench.testing.checks import refuse
from gan_bench.testing.model_samples import draw_samples
from gan_bench.testing.model_subject import Subject
from gan_bench.testing.settings import Setting, allowed, extremes, others
from gan_bench.testing.tiny import contents, difference, offered
from gan_bench.training.trainer import Trainer

ITERATIONS = 5
"""Length of the first runs that are compared: those of the check `finite`."""

LONGEST = 30
"""Length of the last runs that are compared."""

SCHEDULE = (*range(300), *range(500, 30_001, 500))
"""Iterations whose turns are compared."""

DRAWS = (1, 2, 7, 12, 30, 64, 100)
"""Sizes of draws that a model may refuse."""

Outcome = Mapping[str, Tensor]

Compare = Callable[[Setting, Setting], bool]


class Effects(Subject):
    """Outcomes of short runs, by setting.

    Attributes:
        outcomes: contents of trainers after `ITERATIONS`, by the name of the setting.
    """

    def __init__(self, subject: Subject, outcomes: dict[str, Outcome]) -> None:
        super().__init__(subject.cls, subject.registry)
        self.outcomes = outcomes
        self._long: dict[str, tuple[Outcome, list[object]]] = {}

    def check(self) -> None:
        """Check that each parameter has a value that changes something, possibly beside other changed parameters."""
        first, *rest = self.settings()
        base = self.outcomes[first.label]
        changed = {s.parameter for s in rest if difference(base, self.outcomes[s.label]) is not None}
        for name in self._declared_here():
            if name not in changed and self._is_idle(name):
                refuse(
                    f"no value of {self.cls.__name__}.Params.{name} changes anything: networks, turns, losses and "
                    "samples are the same",
                    "rows of a table would be labelled with different values, but be equal",
                    f"use self.params.{name} where it belongs, or remove the parameter",
                )

    def _declared_here(self) -> list[str]:
        """Names of the parameters of this file: those of a base class elsewhere are not the author's."""
        own = [params for params in self.cls.Params.__mro__ if params.__module__ == self.cls.__module__]
        annotated = {name for params in own for name in inspect.get_annotations(params)}
        return [each.name for each in dataclasses.fields(self.cls.Params) if each.name in annotated]

    def _is_idle(self, name: str) -> bool:
        """Whether no allowed value of the parameter changes anything. False if there is no other allowed value."""
        tried = False
        for compare, contexts, values in self._attempts(name):
            for context in contexts:
                for value in values:
                    setting = self._with(context, name, value)
                    differs = setting and self._compared(compare, context, setting)
                    tried = tried or differs is not None
                    if differs:
                        return False
        return tried

    def _compared(self, compare: Compare, first: Setting, second: Setting) -> bool | None:
        """Whether two settings differ, or None if one of them fails: only single values are known to work."""
        try:
            return compare(first, second)
        except Exception:
            return None

    def _attempts(self, name: str) -> Iterator[tuple[Compare, list[Setting], list[Any]]]:
        """Yield comparisons, the settings to vary and the values: the fastest and most promising ones first."""
        usual, extreme = others(self.cls, name), extremes(self.cls, name)
        contexts = [context for context in self.branches() if context.parameter != name]
        yield self._differs_soon, contexts, usual or extreme
        yield self._differs_late, contexts[:1], [*usual, *extreme]
        yield self._differs_soon, list(self._pairs(contexts)), usual[:2] or extreme[:2]
        yield self._differs_late, contexts[1:], extreme

    def _with(self, context: Setting, name: str, value: Any) -> Setting | None:
        """Return a setting with another value of one parameter, or None if it is not allowed or the same."""
        values = {each.name: getattr(context.params, each.name) for each in dataclasses.fields(self.cls.Params)}
        if values[name] == value:
            return None
        params = allowed(self.cls, {**values, name: value})
        return params and dataclasses.replace(context, label=f"{context}, {name} = {value!r}", params=params)

    def _pairs(self, contexts: list[Setting]) -> Iterator[Setting]:
        """Yield settings that differ from the defaults in two parameters which may switch code."""
        for first, second in combinations([each for each in contexts if each.parameter], 2):
            if first.parameter != second.parameter:
                pair = self._with(first, second.parameter, getattr(second.params, second.parameter))
                if pair is not None:
                    yield pair

    def _differs_soon(self, first: Setting, second: Setting) -> bool:
        for setting in (first, second):
            if setting.label not in self.outcomes:
                t = self.trainer(setting)
                for _ in range(ITERATIONS):
                    t.iterate()
                self.outcomes[setting.label] = contents(t)
        return difference(self.outcomes[first.label], self.outcomes[second.label]) is not None

    def _differs_late(self, first: Setting, second: Setting) -> bool:
        for setting in (first, second):
            if setting.label not in self._long:
                with _requests() as requested:
                    t = self.trainer(setting)
                declared = [requested, *self._declared(t)]
                for _ in range(LONGEST):
                    t.iterate()
                samples, _ = draw_samples(t, [3] * t.model.generators)
                self._long[setting.label] = {**contents(t), "samples": samples}, declared
        (one, declared), (other, also) = self._long[first.label], self._long[second.label]
        return declared != also or difference(one, other) is not None

    def _declared(self, t: Trainer) -> list[object]:
        """List what a model declares beside its networks and losses."""
        model = t.model
        return [
            (model.generators, model.playing, model.shared_noise, model.in_parts, model.stackable),
            (model.sharing, model.footnotes, model.pool_size, model.most_samples(t.dataset)),
            [tuple(model.turns(iteration)) for iteration in SCHEDULE],
            [tuple(model.stages(iterations)) for iterations in (t.protocol.iterations, 25_000)],
            model.noise(30, 60),
            [model.refuses(dataset) for dataset in offered("datasets", self.registry)],
            [model.refuses_draws(batch, fakes) for batch in DRAWS for fakes in DRAWS],
        ]


@contextmanager
def _requests() -> Iterator[list[str]]:
    """Record which networks models request while the block runs: on points, some requests make no difference."""
    made: list[str] = []

    def recording(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def request(networks: Networks, *positional: Any, **named: Any) -> Any:
            made.append(f"{name}{positional}{named}")
            return original(networks, *positional, **named)

        return request

    with ExitStack() as patches:
        for name in ("generators", "discriminator", "joint_discriminator", "autoencoder"):
            wrapper = recording(name, getattr(Networks, name))
            patches.enter_context(patch.object(Networks, name, wrapper))
        yield made
