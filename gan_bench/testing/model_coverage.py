"""Checks that training reaches each player, each generator of K, each head, and each source of samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

import torch
from torch import Tensor

from gan_bench.testing.checks import Fault
from gan_bench.testing.model_flow import Flow, FlowRecorder, Head
from gan_bench.testing.model_samples import latents_of
from gan_bench.testing.settings import Setting
from gan_bench.training.trainer import Trainer

MOST_GENERATORS = 8
"""Largest number of generators whose parameters are looked at one by one; of more, these are evenly spaced."""

UNTRAINED = "the table would state K generators, some of which would keep their initial values"
PARTLY = "the generators would play different games, although the table states K equal ones"
ALL_SAMPLES = "compute the loss from all of fake.x; for a mean per generator, use fake.by_generator(values).mean(1)"


class Coverage:
    """Players, generators, heads and sources that training reaches, in each setting of a model.

    Attributes:
        faults: the first fault of each check, by the name of the check.
    """

    def __init__(self) -> None:
        self.faults: dict[str, Fault] = {}
        self._partly: dict[Head, Tensor] = {}
        self._trained: set[Head] = set()
        self._dead: set[tuple[str, Head]] = set()
        self._live: set[tuple[str, Head]] = set()

    def add(self, t: Trainer, setting: Setting) -> None:
        """Iterate until no fault is left, or to the end of a short run."""
        recorder, where = FlowRecorder(t), f"with {setting}, "
        detached = _detached(t, where)
        for _ in recorder.iterations():
            found = _faults(t, recorder.flow, where)
            if detached or (not found and not self._waiting(recorder.flow)):
                break
        self.faults = ({"every-generator": detached} if detached else found) | self.faults
        self._add_heads(recorder.flow)

    def end(self) -> None:
        """Judge the heads, each of which has to be trained in some setting."""
        fault = next((_untrained(head, self._partly[head]) for head in self._partly), None)
        dead = min(self._dead - self._live, key=str, default=None)
        if fault is None and dead is not None:
            fault = _without_effect(*dead)
        if fault is not None:
            self.faults["heads"] = fault

    def _waiting(self, flow: Flow) -> bool:
        """Whether a head is not yet trained, in no setting so far."""
        untrained = any(head not in self._trained and not bool(units.all()) for head, units in flow.units.items())
        return untrained or bool(flow.dead - flow.live - self._live)

    def _add_heads(self, flow: Flow) -> None:
        self._trained |= {head for head, units in flow.units.items() if bool(units.all())}
        self._partly = {
            head: units for head, units in {**flow.units, **self._partly}.items() if head not in self._trained
        }
        self._dead |= flow.dead
        self._live |= flow.live


def _faults(t: Trainer, flow: Flow, where: str) -> dict[str, Fault]:
    """Return what is missing so far, by the name of the check."""
    found = {
        "learns": _motionless(flow, where),
        "every-generator": _unreached(t, flow, where)
        or _unequal(t.model.generating, flow, where)
        or _frozen(flow, where),
        "sources": _without_real(t, flow, where) or _unseen(t, flow, where) or _unequal(_judging(t), flow, where),
    }
    return {name: fault for name, fault in found.items() if fault is not None}


def _motionless(flow: Flow, where: str) -> Fault | None:
    """Fault of a player whose gradient is zero in every iteration."""
    for player in sorted(flow.called - flow.moved):
        return Fault(
            f"{where}the gradient of {player}_loss() is zero in every iteration",
            "the parameters of the player would keep their initial values",
            "remove factors of 0 from the loss, and clamp(), relu() or sign() where they are constant",
        )
    return None


def _unreached(t: Trainer, flow: Flow, where: str) -> Fault | None:
    """Fault of generators that the losses of the generating players do not depend on, though they do on others."""
    players = [player for player in t.model.generating if player in flow.called]
    reached = _union(flow.reached[player] for player in players)
    if not reached or len(reached) == flow.generators:
        return None
    return Fault(
        f"{where}{_losses(players)} has no gradient by samples of {_named(_others(reached, flow))}",
        UNTRAINED,
        ALL_SAMPLES,
    )


def _unequal(players: Iterable[str], flow: Flow, where: str) -> Fault | None:
    """Fault of generators whose samples reach the losses through fewer heads than those of another generator."""
    by_head: dict[Head, set[int]] = {}
    for player in players:
        for head, generators in flow.through[player].items():
            by_head[head] = by_head.get(head, set()) | generators
    heads = [{head for head, found in by_head.items() if k in found} for k in range(flow.generators)]
    for own in heads:
        better = next((other for other in heads if own < other), None)
        if better is not None:
            head = min(better - own, key=str)
            return Fault(
                f"{where}{_losses(p for p in players if flow.through[p])} uses the {head} on samples of "
                f"{_named(by_head[head])}, but not on those of {_named(_others(by_head[head], flow))}",
                PARTLY,
                ALL_SAMPLES,
            )
    return None


def _frozen(flow: Flow, where: str) -> Fault | None:
    """Fault of a batched layer of the generators, some of whose copies have no gradient, although others have."""
    for name, copies in flow.slices.items():
        if bool(copies.any()) and not bool(copies.all()):
            still = {k for k, moved in enumerate(copies.tolist()) if not moved}
            return Fault(
                f"{where}{name} has no gradient in its copies {_numbers(still)}",
                UNTRAINED,
                "use the layer as it is in generate(), without .detach() or a constant mask on a part of its weights",
            )
    return None


def _detached(t: Trainer, where: str) -> Fault | None:
    """Fault of generators whose samples have no gradient by any parameter, although others have."""
    count = t.model.playing
    if count == 1:
        return None
    chosen = sorted({round(i * (count - 1) / (MOST_GENERATORS - 1)) for i in range(MOST_GENERATORS)})
    x = t.model.generate(latents_of(t, count))
    own = [parameter for player in t.model.generating for parameter in t.parameters[player].values()]
    still = {k for k in chosen if not _depends(x[k], own)}
    if not still or len(still) == len(chosen):
        return None
    return Fault(
        f"{where}generate() returns samples of {_named(still)} that have no gradient by a parameter",
        UNTRAINED,
        "remove .detach(), .data and torch.no_grad() from generate(), and use parameters of the generating players",
    )


def _depends(x: Tensor, parameters: Sequence[Tensor]) -> bool:
    if not x.requires_grad:
        return False
    value = (x * torch.linspace(1, 2, x.numel(), device=x.device).view(x.shape)).sum()
    gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return any(gradient is not None and bool((gradient != 0).any()) for gradient in gradients)


def _without_real(t: Trainer, flow: Flow, where: str) -> Fault | None:
    """Fault of losses that do not depend on real data."""
    reason = "nothing in training would depend on the data set"
    taking = [name for name in sorted(flow.called) if "real" in t.context.players[name].arguments]
    if not flow.real and (taking or t.model.pool_size is None):
        found = "none depends on real.x" if taking else "no loss has an argument `real`"
        return Fault(
            f"{where}no player is trained on real data: {found}",
            reason,
            "compute the loss of the discriminator from real.x, without torch.no_grad() around its logits",
        )
    judging = [name for name in _judging(t) if flow.reached[name]]
    blind = [name for name in judging if name in taking and name not in flow.real]
    if blind and not flow.real & set(judging):
        return Fault(
            f"{where}{blind[0]}_loss() has an argument `real`, and its gradient does not depend on real.x",
            "no discriminator would compare generated samples with real data",
            "compute the loss of the discriminator from real.x, without torch.no_grad() around its logits",
        )
    return None


def _unseen(t: Trainer, flow: Flow, where: str) -> Fault | None:
    """Fault of generators whose samples no discriminator is trained on, although it is on those of others."""
    players = [name for name in _judging(t) if flow.reached[name]]
    seen = _union(flow.reached[name] for name in players)
    if not seen or len(seen) == flow.generators:
        return None
    return Fault(
        f"{where}{_losses(players)} does not depend on samples of {_named(_others(seen, flow))}",
        "the discriminator could not distinguish samples of these generators from real data",
        ALL_SAMPLES,
    )


def _untrained(head: Head, units: Tensor) -> Fault:
    """Fault of a head, or of some of its units or copies, without a gradient in the loss of its player."""
    still = [i for i, moved in enumerate(units.flatten().tolist()) if not moved]
    outputs = f"output{'s' if len(still) > 1 else ''} {_numbers(still)}"
    part = f"{outputs} of the {head}" if len(still) < units.numel() else f"the {head}"
    return Fault(
        f"{head.player}_loss() has no gradient by {part} in any setting",
        "an untrained head is a fixed random function, and each loss that uses it would be meaningless",
        f"add a term of these logits to {head.player}_loss(), without .detach(), or remove the head in build()",
    )


def _without_effect(player: str, head: Head) -> Fault:
    return Fault(
        f"{player}_loss() depends on the value of the {head}, but has no gradient by it",
        "the term changes the reported loss, but no parameter",
        "remove .detach(), .data, argmax() or torch.no_grad() between these logits and the loss, or the term",
    )


def _judging(t: Trainer) -> list[str]:
    """Players that do not generate, whose losses take generated samples."""
    players = t.context.players.items()
    return [name for name, player in players if not player.generates and "fake" in player.arguments]


def _union(sets: Iterable[Set[int]]) -> set[int]:
    return set[int]().union(*sets)


def _others(found: Set[int], flow: Flow) -> set[int]:
    return set(range(flow.generators)) - found


def _losses(players: Iterable[str]) -> str:
    return " and ".join(f"{player}_loss()" for player in players)


def _named(generators: Set[int]) -> str:
    return f"generator{'s' if len(generators) > 1 else ''} {_numbers(generators)}"


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
