"""The checks of a model: what `gan_bench.model` promises in its name, tried in tiny games on a CPU."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gan_bench.departures import read_layer
from gan_bench.iteration import MOST_TURNS, Draws, Played, Player, play
from gan_bench.model import Model, Noise, Stage, Turn
from gan_bench.plugins import Registry
from gan_bench.testing import common
from gan_bench.testing.checks import Check, first_line, place, refuse
from gan_bench.testing.moving import check_devices, check_stacks
from gan_bench.testing.reading import check_reads, check_traced
from gan_bench.testing.settings import Setting, allowed, settings
from gan_bench.testing.tiny import contents, difference, installed, partners, same, trainer, trajectory
from gan_bench.training import Trainer

CARRIED = ("latents", "latent", "init", "init_scale", "optimizer", "betas", "decay")
"""What a preset changes in the protocol that a tiny game takes over; sizes stay tiny."""
LOOKED_AHEAD = 200  # iterations whose turns are looked at
RATE = 0.005
PURE = "a loss is a pure function of what it is given: return a value, and leave every step to the harness"


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
            _check_preset(self.cls, name, preset, self.registry)
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
            _check_answers(self.trainer(setting), f"with {setting}, ")

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
                _check_generators(t)
        _check_generators(self.trainer(self.settings()[0]))

    def samples(self) -> None:
        for setting in self.settings():
            t = self.trainer(setting)
            for name, k in (("generate", t.model.playing), ("generate_all", t.model.generators)):
                with torch.no_grad():
                    x = getattr(t.model, name)(_latents(t, k))
                _require_samples(x, (k, 4, *t.dataset.shape), f"with {setting}, {name}()")

    def index(self) -> None:
        for setting in self.settings():
            t = self.trainer(setting)
            for counts in _counts(t.model.generators):
                _check_index(t, counts)

    def losses(self) -> None:
        for setting in self.settings():
            t = self.trainer(setting)
            _watch(t, partial(_requires_scalar, t), partial(_step, t))
            t.iterate()

    def own_parameters(self) -> None:
        for setting in self.settings():
            t = self.trainer(setting)
            ledger = _Ledger(t)
            _watch(t, ledger.around, ledger.move)
            for _ in range(2):
                t.iterate()
                ledger.settle()

    def learns(self) -> None:
        t = self.trainer(self.settings()[0])
        _check_everybody_moves(t)
        for iteration in _representative(t):
            t.iteration = iteration
            _watch(t, partial(_requires_graph, t), partial(_requires_gradient, t))
            t.iterate()

    def gradients(self) -> None:
        seen: dict[str, bool | None] = {}
        for setting in self.settings():
            t = self.trainer(setting)
            for player, own in t.parameters.items():
                seen.update({f"{player}.{name}": seen.get(f"{player}.{name}") for name in own})
            _watch(t, lambda player: player.loss, partial(_record_gradients, t, seen))
            for iteration in _representative(t):
                t.iteration = iteration
                t.iterate()
            some = _without_gradient(seen)
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
            common.check_streams("sample()", partial(_sample, t, [3] * t.model.generators))

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
        after[-1]["samples"] = _sample(t, [3] * t.model.generators)[0]
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
            for iteration in _representative(t):
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


def _check_preset(cls: type[Any], name: str, preset: Any, registry: Registry) -> None:
    """A preset's values are ones that its parameters and the protocol take."""
    problems = common.complaints(cls.Params, preset.params)
    read_layer(preset.protocol, partial(registry.get, "networks"), lambda _, message: problems.append(message))
    if not problems and allowed(cls, preset.params) is None:
        problems.append("its parameters are refused together")
    if problems:
        refuse(
            f"the preset {name!r} cannot be used: {problems[0]}",
            "a benchmark that asks for it would be refused",
            "write its values as a benchmark file would",
        )


def _check_answers(t: Trainer, where: str) -> None:
    """What a model says of itself has the types that the harness relies on."""
    model = t.model
    expectations = [
        ("players", isinstance(model.players, tuple), "a tuple of names", model.players),
        ("generating", set(model.generating) <= set(model.players), "a tuple of players", model.generating),
        ("generators", _is_count(model.generators), "a whole number >= 1", model.generators),
        ("playing", _is_count(model.playing), "a whole number >= 1", model.playing),
        ("stages()", _are_stages(t), "stages in order, none before iteration 0", model.stages(t.protocol.iterations)),
        ("pool_size", model.pool_size is None or _is_count(model.pool_size), "None or a number >= 1", model.pool_size),
        ("refuses_draws()", isinstance(_refusal(t), str | None), "None or a reason", _refusal(t)),
        ("sharing", isinstance(model.sharing, str), "a string", model.sharing),
        ("footnotes", _are_phrases(model.footnotes), "a tuple of phrases", model.footnotes),
        ("shared_noise", isinstance(model.shared_noise, bool), "true or false", model.shared_noise),
        ("refuses()", isinstance(model.refuses(t.dataset), str | None), "None or a reason", model.refuses(t.dataset)),
        ("turns()", _are_turns(model), "turns, each of a tuple of players", model.turns(0)),
        ("noise()", _all_are(model.noise(16, 16), Noise), "Noise by name", model.noise(16, 16)),
        ("initial_state()", _all_are(model.initial_state(), Tensor), "tensors by name", model.initial_state()),
        ("weights()", _are_weights(model), f"({model.generators},) shares >= 0 that sum to 1", _shown_weights(model)),
    ]
    for name, holds, expected, found in expectations:
        if not holds:
            refuse(f"{where}{name} is {found!r}", f"the harness relies on {expected}", f"return {expected}")
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


def _refusal(t: Trainer) -> object:
    return t.model.refuses_draws(t.protocol.batch, t.each * t.model.playing)


def _all_are(values: object, kind: type[Any]) -> bool:
    return isinstance(values, Mapping) and all(isinstance(value, kind) for value in values.values())


def _shown_weights(model: Model) -> object:
    weights: object = model.weights()
    return weights.tolist() if isinstance(weights, Tensor) else weights


def _are_weights(model: Model) -> bool:
    if not model.generating:
        return True
    weights: object = model.weights()
    weights = weights.detach() if isinstance(weights, Tensor) else weights
    if not isinstance(weights, Tensor) or weights.shape != (model.generators,) or not weights.is_floating_point():
        return False
    return bool((weights >= 0).all()) and abs(float(weights.sum()) - 1) < 1e-5


def _check_turns(model: Model) -> None:
    """Turns depend on the number of the iteration alone, and the last moves a generator."""
    first, again = ([tuple(model.turns(i)) for i in range(4)] for _ in range(2))
    if first != again:
        refuse(
            "turns() gives other turns when it is asked again",
            "a resumed run would take other turns than an uninterrupted one",
            "let it depend on the number of the iteration alone",
        )
    if not model.anchor and not all(turns and set(turns[-1].players) & set(model.generating) for turns in first):
        refuse(
            "the last turn of an iteration moves no generator",
            "iterations are compared by their one step of the generators",
            "end each iteration's turns with the generators'",
        )


def _latents(t: Trainer, k: int) -> Tensor:
    """(k, 4, size) latents of a fixed seed."""
    return t.latents.draw(k * 4, torch.Generator().manual_seed(0)).view(k, 4, -1)


def _check_generators(t: Trainer) -> None:
    """From the same latents, each of the K generators makes samples of its own, once all have a share."""
    k = t.model.generators
    if t.model.stages(t.protocol.iterations):
        trajectory(t, t.protocol.iterations)
    z = _latents(t, k)[:1].expand(k, -1, -1).contiguous()
    ignored = "the row would compare another number of generators than it names"
    ask = "ask networks.generators(self.generators) for them, and let generate() use all of z (K, b, latent size)"
    try:
        with torch.no_grad():
            x = t.model.generate_all(z)
    except Exception as error:
        refuse(f"with {k} generators, generate() fails: {first_line(error)}{place(error)}", ignored, ask)
    if not isinstance(x, Tensor) or x.dim() < 2 or x.shape[0] != k:
        found = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        refuse(f"with {k} generators and latents {tuple(z.shape)}, generate() returns {found}", ignored, ask)
    for first in range(k):
        for second in range(first):
            if same(x[first], x[second]):
                refuse(
                    f"with {k} generators, {second} and {first} make the same samples from the same latents",
                    ignored,
                    ask,
                )


def _require_samples(x: object, shape: tuple[int, ...], what: str) -> None:
    """Finite float32 samples of a shape."""
    remedy = f"return float32 of shape {shape}: the dataset's shape at the end"
    reason = "evaluation and losses rely on it"
    if not isinstance(x, Tensor):
        refuse(f"{what} returns {type(x).__name__}", reason, remedy)
    if tuple(x.shape) != shape or x.dtype != torch.float32:
        refuse(f"{what} returns {x.dtype} of shape {tuple(x.shape)}", reason, remedy)
    if not bool(torch.isfinite(x).all()):
        refuse(f"{what} returns values that are not finite", "a run that makes them is called diverged", remedy)


def _counts(generators: int) -> Iterator[list[int]]:
    """Samples asked of each generator: of all, unevenly, then of one alone."""
    yield [3 + k for k in range(generators)]
    if generators > 1:
        yield [5 if k == generators - 1 else 0 for k in range(generators)]


def _sample(t: Trainer, counts: Sequence[int]) -> tuple[Tensor, Tensor | None]:
    """Draw as an evaluation does."""
    t.model.eval()
    try:
        with torch.no_grad():
            return t.model.sample(counts, t.latents, torch.Generator().manual_seed(5))
    finally:
        t.model.train()


def _recorded(made: list[Tensor], generate: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """What `generate` makes of latents, which is also added to `made`."""
    made.append(generate(z))
    return made[-1]


def _check_index(t: Trainer, counts: list[int]) -> None:
    """As many samples of each generator as asked for, each from the generator that its index names."""
    made: list[Tensor] = []
    if t.model.generating:
        for name in ("generate", "generate_all"):
            t.model.__dict__[name] = partial(_recorded, made, getattr(t.model, name))
    x, index = _sample(t, counts)
    _require_samples(x, (sum(counts), *t.dataset.shape), f"sample({counts})")
    reason = "samples are told apart by this index: purity, dead generators and the figures would be of other ones"
    if index is None:
        if t.model.generators > 1:
            refuse(f"sample({counts}) returns no index", reason, "return the generator's index of each sample")
        return
    expected = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    if index.dtype != torch.int64 or not torch.equal(index, expected):
        refuse(
            f"sample({counts}) returns the index {index.tolist()}",
            reason,
            f"return int64, counts[k] times k in this order: {expected.tolist()}",
        )
    for position, k in enumerate(index.tolist()):
        equal = [(z == x[position]).flatten(2).all(2).any(1) for z in made]  # (K,): whether generator j made it
        owners = {j for each in equal for j in each.nonzero().flatten().tolist()}
        if owners and k not in owners:
            refuse(
                f"sample({counts}) gives sample {position} the index {k}, but generator {min(owners)} made it",
                reason,
                "take counts[k] samples from generate(z)[k], in the order of the generators",
            )


def _watch(t: Trainer, around: Callable[[Player], Callable[..., Any]], move: Callable[..., None]) -> None:
    """Let a trainer's losses and steps go through a check."""
    players = {name: replace(player, loss=around(player)) for name, player in t.rules.players.items()}
    rules = replace(t.rules, players=players)

    def carry_out(turns: tuple[Turn, ...], draws: Draws) -> Played:
        return play(rules, turns, draws, t.parameters, t.state, move)

    t.carry_out = carry_out
    t.__dict__["play"] = carry_out  # for preludes


def _step(t: Trainer, player: str, gradients: Sequence[Tensor | None]) -> None:
    """Plain gradient descent."""
    for parameter, gradient in zip(t.parameters[player].values(), gradients, strict=True):
        if gradient is not None:
            parameter.sub_(RATE * gradient)


def _requires_scalar(t: Trainer, player: Player) -> Callable[..., Any]:
    """A loss that is looked at: a scalar, or a scalar and a dict of scalars."""

    def loss(**arguments: Any) -> Any:
        result = player.loss(**arguments)
        pair = result if isinstance(result, tuple) else (result, {})
        values = [pair[0], *pair[1].values()] if len(pair) == 2 and isinstance(pair[1], Mapping) else [result]
        for value in values:
            if not isinstance(value, Tensor) or value.dim() != 0 or not value.is_floating_point():
                tensor = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
                refuse(
                    f"{player.name}_loss() returns {tensor or type(value).__name__}",
                    "a player minimises one number, and what is logged beside it are numbers",
                    "return a scalar tensor, such as a mean over the batch; or it and a dict of scalar tensors",
                )
        return _with_graph(t, player, result)

    return loss


def _with_graph(t: Trainer, player: Player, result: Any) -> Any:
    """What a loss returned, with a graph even where it has none: that is for `learns` to say."""
    graph = 0 * sum(parameter.sum() for parameter in t.parameters[player.name].values())
    return (result[0] + graph, result[1]) if isinstance(result, tuple) else result + graph


class _Ledger:
    """What every player's parameters have to be, compared before and after each loss and at the end."""

    def __init__(self, t: Trainer) -> None:
        self.t = t
        self.kept = {player: self._now(player) for player in t.parameters}
        self.moved: set[str] = set()
        t.stages.__dict__["renew"] = partial(self._renewed, t.stages.renew)

    def around(self, player: Player) -> Callable[..., Any]:
        """The player's loss, between two comparisons."""

        def loss(**arguments: Any) -> Any:
            self.settle()
            result = player.loss(**arguments)
            self._compare(f"{player.name}_loss()")
            return _with_graph(self.t, player, result)

        return loss

    def move(self, player: str, gradients: Sequence[Tensor | None]) -> None:
        """A player's step, after which `constrain` may change its parameters too."""
        self._compare("a loss, or what it left behind,", self.moved)
        _step(self.t, player, gradients)
        self.moved.add(player)

    def settle(self) -> None:
        """Compare between turns, and take over what the players that moved are now."""
        self._compare("generate(), constrain(), after_turn() or turns()", self.moved)
        for player in self.moved:
            self.kept[player] = self._now(player)
        self.moved.clear()

    def _renewed(self, renew: Callable[[str, int], None], player: str, number: int) -> None:
        """A stage initialises a player again, which no player did."""
        self.settle()
        renew(player, number)
        self.kept[player] = self._now(player)

    def _now(self, player: str) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.t.parameters[player].items()}

    def _compare(self, who: str, free: set[str] | None = None) -> None:
        for player, kept in self.kept.items():
            name = None if player in (free or ()) else difference(kept, self._now(player))
            if name:
                refuse(
                    f"{who} changes {player}.{name}",
                    "players move one another's parameters, so that losses are no longer those of the paper",
                    PURE,
                )


def _check_everybody_moves(t: Trainer) -> None:
    turns = [turn for i in range(LOOKED_AHEAD) for turn in t.model.turns(i)]
    turns += [turn for stage in t.model.stages(t.protocol.iterations) for turn in stage.prelude]
    movers = {player for turn in turns for player in turn.players}
    for player in t.model.players:
        if player not in movers:
            refuse(
                f"player {player!r} has no turn in the first {LOOKED_AHEAD} iterations",
                "its parameters would stay as they were initialised",
                "give it a turn in turns(), or leave it out of `players`",
            )


def _representative(t: Trainer) -> list[int]:
    """Up to four iterations that between them have every sequence of turns there is, and one that begins a stage."""
    first: dict[tuple[Turn, ...], int] = {}
    for iteration in range(LOOKED_AHEAD):
        turns = tuple(t.model.turns(iteration))
        if len(turns) <= MOST_TURNS:
            first.setdefault(turns, iteration)
    stages = [stage.first for stage in t.model.stages(t.protocol.iterations)]
    return [*list(first.values())[:4], *stages[1:2]]


def _requires_graph(t: Trainer, player: Player) -> Callable[..., Any]:
    """A loss that is looked at: it has to hang on something."""

    def loss(**arguments: Any) -> Any:
        result = player.loss(**arguments)
        value = result[0] if isinstance(result, tuple) else result
        if not value.requires_grad:
            _refuse_detached(t, player.name)
        return result

    return loss


def _requires_gradient(t: Trainer, player: str, gradients: Sequence[Tensor | None]) -> None:
    if gradients and all(gradient is None for gradient in gradients):
        _refuse_detached(t, player)
    _step(t, player, gradients)


def _refuse_detached(t: Trainer, player: str) -> None:
    """Say why a player would never move."""
    reason = "its parameters would stay as they were initialised"
    if player not in t.model.generating:
        refuse(
            f"{player}_loss() does not depend on any parameter of {player}",
            reason,
            "compute the loss from what its network returns, or leave the player out of `players`",
        )
    with torch.enable_grad():
        samples = t.model.generate(_latents(t, t.model.playing))
    if not samples.requires_grad:
        refuse(
            "generate() returns samples that are detached from the generators",
            f"no loss can move them: {reason}",
            "take .detach(), .data, torch.no_grad() or a copy through numpy out of generate()",
        )
    refuse(
        f"{player}_loss() is detached from the generated samples",
        reason,
        "compute it from fake.x as it is given: without .detach(), .data or torch.no_grad()",
    )


def _record_gradients(
    t: Trainer, seen: dict[str, bool | None], player: str, gradients: Sequence[Tensor | None]
) -> None:
    """Note for each parameter whether it had a gradient that was not zero; None where it never had any."""
    for name, gradient in zip(t.parameters[player], gradients, strict=True):
        if gradient is not None:
            full = f"{player}.{name}"
            seen[full] = bool(seen[full]) or bool((gradient != 0).any())
    _step(t, player, gradients)


def _without_gradient(seen: Mapping[str, bool | None]) -> list[str]:
    """Parameters without a gradient; a zero one counts where no other parameter of the layer has more.

    The last bias of a Wasserstein critic cancels: its layer learns all the same.
    """
    layers = {name.rpartition(".")[0] for name, moved in seen.items() if moved}
    return sorted(name for name, moved in seen.items() if moved is None or name.rpartition(".")[0] not in layers)


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
    _sample(through, [3] * through.model.generators)
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
