"""Record of what the losses of a model depend on: real data, the samples of each generator, and each head."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gan_bench.contracts.model import Turn
from gan_bench.contracts.network import Autoencoder, BatchedLinear, Discriminator, JointDiscriminator
from gan_bench.testing.model_losses import descend, representative_iterations, watch
from gan_bench.training.iteration import Draws, IterationResult, Player
from gan_bench.training.trainer import Trainer

Play = Callable[[tuple[Turn, ...], Draws], IterationResult]

JUDGES = (Discriminator, JointDiscriminator, Autoencoder)
"""Modules whose outputs are heads."""

MOST_UNITS = 64
"""Largest number of units of a head that are regarded one by one: few samples cannot have hundreds of classes."""

BATCHED = (3, 5)
"""Dimensions of inputs (M, n, *shape) for M copies: points or vectors, and images."""

REAL, FAKE, CANDIDATES = "real", "fake", "candidates"
"""Sources of samples of a loss."""

SHIFT = 1.0
"""Change of a tensor to find out whether gradients depend on its values."""


@dataclass(frozen=True)
class Head:
    """An output of a discriminator, or all of it if it has no name."""

    player: str
    module: str
    name: str

    def __str__(self) -> str:
        return f"head {self.name!r} of {self.player}" if self.name else f"output of {self.player}"


@dataclass
class Flow:
    """Gradients of the losses of one trainer, other than zero, over its iterations.

    Attributes:
        generators: number of generators of a draw.
        called: players whose loss was computed; moved: those with a gradient by their own parameters.
        real: players whose gradient depends on real data.
        reached: by player, generators whose samples the gradient depends on.
        through: by player, the same for each head through which it depends on them.
        units: by head, which of its copies and units have a gradient in the loss of its player.
        dead: heads by player of whose logits on generated samples the value of the loss depends, but no gradient.
        live: heads by player of which some gradient depends.
        slices: by parameter of a batched layer of a generating player, which of its copies have a gradient.
    """

    generators: int
    called: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    real: set[str] = field(default_factory=set)
    reached: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    through: dict[str, dict[Head, set[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    units: dict[Head, Tensor] = field(default_factory=dict)
    dead: set[tuple[str, Head]] = field(default_factory=set)
    live: set[tuple[str, Head]] = field(default_factory=set)
    slices: dict[str, Tensor] = field(default_factory=dict)

    def add_units(self, head: Head, units: Tensor) -> None:
        """Add copies and units with a gradient; if a head has outputs of different forms, it counts as a whole."""
        known = self.units.get(head, units)
        self.units[head] = known | units if known.shape == units.shape else known.any() | units.any()


@dataclass(frozen=True)
class _Call:
    """One output of a head: the logits, zeros that were added to them, and the input of the network."""

    head: Head
    logits: Tensor
    probe: Tensor
    x: Tensor


@dataclass
class _Evaluation:
    """Value of a loss, and its gradients by parameters, sources and heads."""

    value: Tensor
    own: list[Tensor | None]
    samples: dict[str, Tensor]
    leaves: dict[str, Tensor]
    sources: dict[str, Tensor | None]
    calls: list[tuple[_Call, Tensor | None]]


class FlowRecorder:
    """Records the flow of a trainer's losses while it iterates.

    Attributes:
        flow: what has been found so far.
    """

    def __init__(self, t: Trainer) -> None:
        self.t, self.flow = t, Flow(t.model.playing)
        self._calls: list[_Call] | None = None
        self._shifted: Head | None = None
        self._heads = {player: list(_judges(t.model.get_submodule(player))) for player in t.parameters}
        for player, found in self._heads.items():
            for path, module in found:
                module.register_forward_hook(partial(self._probe, player, path))
        watch(t, self._around, partial(descend, t))
        self._recording, self._turns_before = True, 0
        t.play_prelude = partial(self._play_prelude, t.play_prelude)

    def iterations(self) -> Iterator[None]:
        """Iterate: first with each sequence of turns, then on from iteration 0. The caller decides when to stop."""
        for iteration in representative_iterations(self.t):
            self.t.iteration = iteration
            self.t.iterate()
            yield
        self.t.iteration = 1
        for _ in range(max(self.t.protocol.iterations, 2 * self.flow.generators)):
            self.t.iterate()
            yield

    def _play_prelude(
        self, play: Callable[..., IterationResult], turns: tuple[Turn, ...], draws: Draws
    ) -> IterationResult:
        """Execute a turn before a stage. Of possibly thousands, the first, second, fourth, … are recorded."""
        self._turns_before += 1
        self._recording = self._turns_before.bit_count() == 1
        try:
            return play(turns, draws)
        finally:
            self._recording = True

    def _around(self, player: Player) -> Callable[..., Any]:
        """Return a player's loss; its flow is recorded by a further evaluation until nothing is missing."""

        def loss(**arguments: Any) -> Any:
            if self._recording and not self._is_complete(player):
                self._record(player, arguments)
            return player.loss(**arguments)

        return loss

    def _is_complete(self, player: Player) -> bool:
        flow, name = self.flow, player.name
        own = [units for head, units in flow.units.items() if head.player == name]
        several = [len(found) for found in flow.through[name].values()]
        return (
            name in flow.moved
            and ("real" not in player.arguments or name in flow.real)
            and ("fake" not in player.arguments or len(flow.reached[name]) == flow.generators)
            and all(count == flow.generators for count in several)
            and len(own) >= len(self._heads[name])
            and all(bool(units.all()) for units in own)
        )

    def _record(self, player: Player, arguments: Mapping[str, Any]) -> None:
        """Evaluate a loss with leaves in place of its sources, and record where its gradients are not zero."""
        self.flow.called.add(player.name)
        found = self._evaluate(player, arguments)
        if any(_is_moved(gradient) for gradient in found.own):
            self.flow.moved.add(player.name)
        self._record_slices(player, found)
        self._record_real(player, arguments, found)
        self._record_fake(player, arguments, found)
        self._record_heads(player, arguments, found)

    def _evaluate(
        self, player: Player, arguments: Mapping[str, Any], moved: Mapping[str, Tensor] | None = None
    ) -> _Evaluation:
        """Evaluate a loss.

        Args:
            moved: what to add to sources of samples, by name.
        """
        leaves = {name: torch.zeros_like(value).requires_grad_() for name, value in _sources(arguments).items()}
        leaves |= {name: value.requires_grad_() for name, value in (moved or {}).items()}
        given = _with_added(arguments, leaves)
        self._calls = []
        try:
            result = player.loss(**given)
        finally:
            calls, self._calls = self._calls, None
        value = result[0] if isinstance(result, tuple) else result
        own = list(self.t.parameters[player.name].values())
        wanted = [*own, *leaves.values(), *(call.probe for call in calls)]
        gradients: list[Tensor | None] = [None] * len(wanted)
        if value.requires_grad:
            gradients = list(torch.autograd.grad(value, wanted, retain_graph=True, allow_unused=True))
        of_sources = gradients[len(own) : len(own) + len(leaves)]
        of_calls = gradients[len(own) + len(leaves) :]
        return _Evaluation(
            value.detach(),
            gradients[: len(own)],
            _sources(given),
            leaves,
            dict(zip(leaves, of_sources, strict=True)),
            list(zip(calls, of_calls, strict=True)),
        )

    def _probe(self, player: str, path: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """Add zeros to each output of a discriminator, whose gradient is that of the logits."""
        if self._calls is None:
            return None
        if isinstance(output, Tensor):
            return self._probed(Head(player, path, ""), output, inputs[0])
        return {name: self._probed(Head(player, path, name), value, inputs[0]) for name, value in output.items()}

    def _probed(self, head: Head, logits: Tensor, x: Tensor) -> Tensor:
        if self._shifted == head:
            logits = logits + SHIFT * torch.linspace(1, 2, logits.numel(), device=logits.device).view(logits.shape)
        try:
            probe = torch.zeros_like(logits).requires_grad_()
        except RuntimeError:  # inside of torch.func.grad: another gradient, which may be all that a loss has
            self.flow.live.add((head.player, head))
            self.flow.add_units(head, torch.tensor(True))
            return logits
        if self._calls is not None:
            self._calls.append(_Call(head, logits, probe, x))
        return logits + probe

    def _record_slices(self, player: Player, found: _Evaluation) -> None:
        if not player.generates:
            return
        for name, gradient in zip(self.t.parameters[player.name], found.own, strict=True):
            layer = self.t.model.get_submodule(player.name).get_submodule(name.rpartition(".")[0])
            if isinstance(layer, BatchedLinear) and name.endswith("weight") and gradient is not None:
                full = f"{player.name}.{name}"
                moved = (gradient != 0).flatten(1).any(1)
                self.flow.slices[full] = self.flow.slices.get(full, moved) | moved

    def _record_real(self, player: Player, arguments: Mapping[str, Any], found: _Evaluation) -> None:
        if "real" not in arguments or player.name in self.flow.real:
            return
        if _is_moved(found.sources[REAL]) or self._depends(player, arguments, found, slice(None), REAL):
            self.flow.real.add(player.name)

    def _record_fake(self, player: Player, arguments: Mapping[str, Any], found: _Evaluation) -> None:
        if "fake" not in arguments:
            return
        owners, reached = arguments["fake"].generator, self.flow.reached[player.name]
        reached |= _generators(found.sources, owners)
        if player.generates:
            return
        for k in set(owners.unique().tolist()) - reached:
            if self._depends(player, arguments, found, owners == k, FAKE):
                reached.add(k)

    def _depends(
        self, player: Player, arguments: Mapping[str, Any], found: _Evaluation, part: slice | Tensor, source: str
    ) -> bool:
        """Whether the gradient changes with a part of the samples, which a loss may use without their gradient."""
        shift = torch.zeros_like(_sources(arguments)[source])
        shift[part] = SHIFT
        return _differ(found.own, self._evaluate(player, arguments, {source: shift}).own)

    def _record_heads(self, player: Player, arguments: Mapping[str, Any], found: _Evaluation) -> None:
        heads = {call.head for call, _ in found.calls}
        several = len(heads) > 1 and self.flow.generators > 1 and "fake" in arguments
        for call, gradient in found.calls:
            if call.head.player == player.name:
                self.flow.add_units(call.head, _units(gradient, call))
            if (player.name, call.head) not in self.flow.live and self._is_live(player, call, gradient):
                self.flow.live.add((player.name, call.head))
            through = self.flow.through[player.name][call.head] if several else set()
            if several and gradient is not None:
                through |= _generators(_gradients_of(call, gradient, found), arguments["fake"].generator)
        for head in heads:
            if (player.name, head) not in self.flow.live and self._is_dead(player, head, arguments, found):
                self.flow.dead.add((player.name, head))

    def _is_live(self, player: Player, call: _Call, gradient: Tensor | None) -> bool:
        """Whether the player is updated by an output of a head: its own, or through the samples that it judges."""
        if gradient is None or not _is_moved(gradient):
            return False
        if call.head.player == player.name:
            return True
        own = list(self.t.parameters[player.name].values())
        return call.logits.requires_grad and any(
            map(_is_moved, torch.autograd.grad(call.logits, own, gradient, retain_graph=True, allow_unused=True))
        )

    def _is_dead(self, player: Player, head: Head, arguments: Mapping[str, Any], found: _Evaluation) -> bool:
        """Whether the value of a loss, but no gradient, depends on the logits of a head on generated samples."""
        calls = [call for call, _ in found.calls if call.head == head]
        if not any(_is_on_fake(call, found) for call in calls):
            return False
        self._shifted = head
        try:
            shifted = self._evaluate(player, arguments)
        finally:
            self._shifted = None
        if _differ(found.own, shifted.own):
            self.flow.live.add((player.name, head))
            return False
        return not torch.equal(found.value, shifted.value)


def _sources(arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """Samples that a loss is given, by name: real ones, generated ones, and those that a model chooses among."""
    found = {REAL: arguments["real"].x} if "real" in arguments else {}
    if "fake" in arguments:
        found[FAKE] = arguments["fake"].x
        candidates = vars(arguments["fake"]).get(CANDIDATES)
        found |= {} if candidates is None else {CANDIDATES: candidates}
    return found


def _with_added(arguments: Mapping[str, Any], added: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of a loss with something added to each source of samples."""
    samples = {name: value + added[name] for name, value in _sources(arguments).items()}
    given = dict(arguments)
    if REAL in samples:
        given["real"] = replace(arguments["real"], x=samples[REAL])
    if FAKE in samples:
        others = {CANDIDATES: samples[CANDIDATES]} if CANDIDATES in samples else {}
        given["fake"] = replace(arguments["fake"], x=samples[FAKE], **others)
    return given


def _gradients_of(call: _Call, gradient: Tensor, found: _Evaluation) -> dict[str, Tensor | None]:
    """Gradients of generated samples that pass through one output of a head, by source."""
    leaves = {name: leaf for name, leaf in found.leaves.items() if name != REAL}
    if not call.logits.requires_grad or not leaves:
        return {}
    gradients = torch.autograd.grad(call.logits, list(leaves.values()), gradient, retain_graph=True, allow_unused=True)
    return dict(zip(leaves, gradients, strict=True))


def _is_on_fake(call: _Call, found: _Evaluation) -> bool:
    """Whether an output is computed from generated samples, which may be detached."""
    made = [value for name, value in found.samples.items() if name != REAL]
    gradients = _gradients_of(call, torch.ones_like(call.logits), found)
    return any(map(_is_moved, gradients.values())) or any(call.x.data_ptr() == x.data_ptr() for x in made)


def _judges(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the outermost discriminators in a module, with their paths."""
    if isinstance(module, JUDGES):
        yield path, module
        return
    for name, child in module.named_children():
        yield from _judges(child, f"{path}.{name}".lstrip("."))


def _is_moved(gradient: Tensor | None) -> bool:
    return gradient is not None and bool((gradient != 0).any())


def _differ(first: list[Tensor | None], second: list[Tensor | None]) -> bool:
    """Whether two lists of gradients differ; None counts as zero."""
    for one, other in zip(first, second, strict=True):
        if one is None or other is None:
            if _is_moved(one) or _is_moved(other):
                return True
        elif not torch.equal(one, other):
            return True
    return False


def _generators(gradients: Mapping[str, Tensor | None], owners: Tensor) -> set[int]:
    """Return the generators with a sample whose gradient is not zero."""
    found = set[int]()
    of_samples, of_candidates = gradients.get(FAKE), gradients.get(CANDIDATES)
    if of_samples is not None:
        found |= set(owners[(of_samples != 0).flatten(1).any(1)].tolist())
    if of_candidates is not None:  # (K, N, *shape)
        found |= set((of_candidates != 0).flatten(1).any(1).nonzero().flatten().tolist())
    return found


def _units(gradient: Tensor | None, call: _Call) -> Tensor:
    """Return which copies and units of a head have a gradient other than zero at some sample."""
    if gradient is None:
        gradient = torch.zeros_like(call.logits)
    moved, samples = gradient.detach() != 0, _axis_of_samples(gradient.shape, call.x)
    kept = moved.numel() // max(1, moved.shape[samples]) if samples is not None else MOST_UNITS + 1
    return moved.any(samples) if samples is not None and kept <= MOST_UNITS else moved.any()


def _axis_of_samples(shape: torch.Size, x: Tensor) -> int | None:
    """Axis of the samples in logits (n,), (n, units), (M, n) or (M, n, units), or None if they have another form."""
    if x.dim() in BATCHED:
        return 1 if shape[:2] == x.shape[:2] else None
    if shape[0] == len(x) and len(shape) <= 2:
        return 0
    return 1 if len(shape) in (2, 3) and shape[1] == len(x) else None
