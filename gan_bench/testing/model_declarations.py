"""Checks of what a model declares: presets, turns, stages and weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from gan_bench.config.protocol_layers import read_layer
from gan_bench.contracts.model import Model, Noise, Stage, Turn
from gan_bench.plugins.registry import Registry
from gan_bench.testing import common
from gan_bench.testing.checks import refuse
from gan_bench.testing.settings import allowed
from gan_bench.training.trainer import Trainer


def check_preset(cls: type[Any], name: str, preset: Any, registry: Registry) -> None:
    """Check that the parameters and the protocol accept the values of a preset."""
    problems = common.complaints(cls.Params, preset.params)
    read_layer(preset.protocol, partial(registry.get, "networks"), lambda _, message: problems.append(message))
    if not problems and allowed(cls, preset.params) is None:
        problems.append("its parameters are not allowed together")
    if problems:
        refuse(
            f"the preset {name!r} cannot be used: {problems[0]}",
            "a benchmark with this preset would be rejected",
            "give the values as in a benchmark file",
        )


def check_pairs(name: str, preset: Any) -> None:
    """Check that a preset with one half of a pair of protocol keys has the other half where the benchmark's differs."""
    given = preset.protocol
    scale, init = given.get("init_scale"), given.get("init")
    if init is None and scale is not None:
        refuse(
            f"the preset {name!r} sets init_scale = {scale!r} without init",
            "a standard deviation would be used as the gain of a benchmark's Xavier initialisation, or the reverse",
            "add init to the preset: the initialisation that the scale belongs to",
        )
    if init is not None and scale is None:
        refuse(
            f"the preset {name!r} sets init = {init!r} without init_scale",
            "the benchmark's scale belongs to another initialisation: a gain is about 1, a standard deviation 0.02",
            "add init_scale to the preset",
        )
    optimizer = given.get("optimizer")
    if "betas" in given and isinstance(optimizer, str) and optimizer != "adam":
        refuse(
            f"the preset {name!r} sets betas with optimizer = {optimizer!r}",
            "betas belong to Adam, so the setting would have no effect",
            'remove betas from the preset, or set optimizer = "adam"',
        )


def check_declarations(t: Trainer, where: str) -> None:
    """Check that a model's declarations have the types that the harness relies on."""
    model = t.model
    expectations = [
        ("players", isinstance(model.players, tuple), "a tuple of names", model.players),
        ("generating", set(model.generating) <= set(model.players), "a tuple of players", model.generating),
        ("generators", _is_count(model.generators), "a whole number >= 1", model.generators),
        ("playing", _is_count(model.playing), "a whole number >= 1", model.playing),
        ("stages()", _are_stages(t), "stages in order, each with first >= 0", model.stages(t.protocol.iterations)),
        (
            "pool_size",
            model.pool_size is None or _is_count(model.pool_size),
            "a whole number >= 1 or None",
            model.pool_size,
        ),
        ("refuses_draws()", isinstance(_refusal(t), str | None), "None or a reason", _refusal(t)),
        ("sharing", isinstance(model.sharing, str), "a string", model.sharing),
        ("footnotes", _are_phrases(model.footnotes), "a tuple of non-empty strings", model.footnotes),
        ("shared_noise", isinstance(model.shared_noise, bool), "True or False", model.shared_noise),
        ("refuses()", isinstance(model.refuses(t.dataset), str | None), "None or a reason", model.refuses(t.dataset)),
        ("turns()", _are_turns(model), "turns, each with a tuple of players", model.turns(0)),
        ("noise()", _all_are(model.noise(16, 16), Noise), "a dict of Noise by name", model.noise(16, 16)),
        (
            "initial_state()",
            _all_are(model.initial_state(), Tensor),
            "a dict of tensors by name",
            model.initial_state(),
        ),
        (
            "weights()",
            _are_weights(t),
            f"a tensor of {model.generators} shares >= 0 that sum to 1",
            _shown_weights(t),
        ),
    ]
    for name, holds, expected, found in expectations:
        if not holds:
            refuse(
                f"{where}{name} is {found!r}",
                "training, evaluation and tables rely on this value",
                f"return {expected}",
            )
    _check_turns(model)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_phrases(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(phrase, str) and phrase for phrase in value)


def _are_turns(model: Model) -> bool:
    return all(isinstance(turn, Turn) and isinstance(turn.players, tuple) for turn in model.turns(0))


def _are_stages(t: Trainer) -> bool:
    stages = tuple(t.model.stages(t.protocol.iterations))
    firsts = [stage.first for stage in stages if isinstance(stage, Stage)]
    return len(firsts) == len(stages) and firsts == sorted(firsts) and all(first >= 0 for first in firsts)


def _refusal(t: Trainer) -> str | None:
    return t.model.refuses_draws(t.protocol.batch, t.each * t.model.playing)


def _all_are(values: object, kind: type[Any]) -> bool:
    return isinstance(values, Mapping) and all(isinstance(value, kind) for value in values.values())


def _shown_weights(t: Trainer) -> object:
    weights: object = t.model.current_weights(t.model_state)
    return weights.tolist() if isinstance(weights, Tensor) else weights


def _are_weights(t: Trainer) -> bool:
    model = t.model
    if not model.generating:
        return True
    weights: object = model.current_weights(t.model_state)
    weights = weights.detach() if isinstance(weights, Tensor) else weights
    if not isinstance(weights, Tensor) or weights.shape != (model.generators,) or not weights.is_floating_point():
        return False
    return bool((weights >= 0).all()) and abs(float(weights.sum()) - 1) < 1e-5


def _check_turns(model: Model) -> None:
    """Check that turns depend only on the number of the iteration, and that the last updates a generator."""
    first, again = ([tuple(model.turns(i)) for i in range(4)] for _ in range(2))
    if first != again:
        refuse(
            "two calls of turns() for the same iteration return different turns",
            "a resumed run would have other turns than an uninterrupted one",
            "compute the turns from the number of the iteration only",
        )
    if not model.anchor and not all(turns and set(turns[-1].players) & set(model.generating) for turns in first):
        refuse(
            "the last turn of an iteration updates no generator",
            "models are compared by iterations, each of which ends with one update of the generators",
            "end each iteration with the turn of the generators",
        )
