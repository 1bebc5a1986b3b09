"""Stacked seeds: the runs of one configuration advance together, as one program vectorised from code for one seed.

Every tensor that training changes is in a stack with one more dimension, and each member's tensors are views of it:
a member is evaluated, checkpointed and resumed like a separate run. An iteration is traced for one seed, then
vectorised over the members. None of its operations mixes members, so a member that diverges affects no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, fx
from torch.func import functionalize, vmap

from gan_bench.acceleration.compilation import Compiler, Warn, next_short
from gan_bench.acceleration.tracing import NotCompilableError, Tensors, Traced, flat, traced
from gan_bench.contracts.model import Turn
from gan_bench.errors import Diverged
from gan_bench.training.iteration import Draws
from gan_bench.training.trainer import Trainer

Turns = tuple[Turn, ...]

aten = torch.ops.aten

ARITHMETIC = {aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor}
"""Operations that accept a number in place of a tensor."""


class Stack:
    """Trainers of one configuration, which differ by their seeds and are at the same iteration.

    The attributes of members are up to date after `settle`; while stacked, members load no other state.

    Attributes:
        members: all that were stacked, including those that have ended.
        diverged: members that cannot continue, with the reason; they stay in the stack with meaningless values.
        tensors: parameters, buffers and optimisers' slots of all members, (S, …) each.
    """

    def __init__(self, members: Sequence[Trainer], compiler: Compiler, warn: Warn) -> None:
        """Build the program of the next iteration, and stack the members' tensors.

        Args:
            warn: receives a message if iterations with other turns than the next one's are executed seed by seed.

        Raises:
            NotCompilableError: the next iteration cannot be stacked; the members may still run one by one.
        """
        if len({member.iteration for member in members}) > 1:
            raise ValueError("members of a stack must be at the same iteration")
        self.members, self._compiler, self._warn = tuple(members), compiler, warn
        self.diverged: dict[Trainer, Diverged] = {}
        self._going = list(members)
        self._places = list(members)
        self._own = [Tensors(member) for member in members]
        self._programs: dict[Turns, _Program | None] = {}
        self._draws = _StackedDraws()
        turns = next_short(members[0])
        one = self._traced(turns)
        self.tensors = [_stacked(same) for same in zip(*(own.all() for own in self._own), strict=True)]
        own = self._own[0]
        self._average = _StackedAverage(members, dict(zip((*own.parameters, *own.buffers), self.tensors, strict=False)))
        self._losses: dict[str, Tensor] = {}
        self._uncounted: Counter[str] = Counter()
        self.state: dict[str, Tensor] = {}
        self._gather_state()
        self._programs[turns] = self._compiled(turns, one)

    @property
    def leader(self) -> Trainer:
        """First active member; its counts equal those of all others."""
        return self._going[0]

    def _remove(self, member: Trainer) -> None:
        """Fill the place of a removed member with the leader."""
        self._going.remove(member)
        if self._going:
            self._places = [each if each in self._going else self.leader for each in self.members]

    def leave(self, member: Trainer) -> None:
        """Deactivate a member: it keeps its place in the stack, but its values are no longer used."""
        if member in self._going:
            self.settle()
            self._remove(member)

    def iterate(self) -> None:
        """Execute one iteration of every member, after the prelude of its stage if one begins."""
        if self.leader.begins_stage:
            self._enter_stages()
        if not self._going:
            return
        leader = self.leader
        turns = tuple(leader.model.turns(leader.iteration))
        program = self._program(turns)
        if program is None:
            self._iterate_separately(turns)
        else:
            losses, self.state = program(leader, self.state, self._draws.of(turns, self._places))
            self._losses |= losses
            self._uncounted.update(program.moves)
        leader.counts.add(turns, self._draws.like(turns, leader))
        for member in self._going:
            member.iteration += 1
        self._average.update()

    def settle(self) -> None:
        """Copy losses, state and counts to every active member."""
        for i, member in enumerate(self.members):
            if member in self._going:
                member.losses |= {name: value[i] for name, value in self._losses.items()}
                member.state = {name: value[i] for name, value in self.state.items()}
                member.counts = replace(self.leader.counts, updates=dict(self.leader.counts.updates))
        for own in self._own:  # not in every iteration: on a GPU each is a launch
            own.count(self._uncounted)
        self._losses, self._uncounted = {}, Counter()

    def _gather_state(self) -> None:
        self.state = {
            name: torch.stack([member.state[name] for member in self.members]) for name in self.members[0].state
        }

    def _enter_stages(self) -> None:
        self.settle()
        for member in tuple(self._going):
            try:
                member.enter_stage()
            except Diverged as error:
                self.diverged[member] = error
                self._remove(member)
        self._gather_state()

    def _iterate_separately(self, turns: Turns) -> None:
        """Execute an iteration that has no program."""
        self.settle()
        for member in self._going:
            played = member.play(turns, member.draw(turns))
            member.losses |= played.losses
            member.state = played.state
        self._gather_state()

    def _traced(self, turns: Turns) -> Traced:
        """Trace the iteration of one member; reject it if it differs from that of the others."""
        one = Traced(self.members[0], turns)
        for member in self.members[1:]:
            other = Traced(member, turns)
            same = one.graph.code == other.graph.code  # the code of a graph contains numbers literally
            if not (same and all(map(torch.equal, one.constants(), other.constants()))):
                reason = "the model has constants outside of its parameters and buffers that differ between seeds"
                raise NotCompilableError(reason)
        return one

    def _compiled(self, turns: Turns, one: Traced) -> _Program:
        draws = self._draws.of(turns, self._places)
        return _Program(one, self.tensors, self._compiler, self.leader, self.state, draws)

    def _program(self, turns: Turns) -> _Program | None:
        if turns not in self._programs:
            try:
                one = self._traced(turns)
                self._programs[turns] = self._compiled(turns, one)
            except NotCompilableError as error:
                self._programs[turns] = None
                self._warn(f"Cannot stack iterations of {len(turns)} turns; running them one seed at a time: {error}.")
        return self._programs[turns]


class _Program:
    """One sequence of turns for all members at once.

    Attributes:
        moves: number of steps of each player.
    """

    def __init__(
        self,
        one: Traced,
        tensors: Sequence[Tensor],
        compiler: Compiler,
        leader: Trainer,
        state: Mapping[str, Tensor],
        draws: Sequence[Tensor],
    ) -> None:
        """Compile the graph of one member for all members.

        Args:
            one: the iteration of one member.
            tensors: of all members, (S, …) each; the program changes them in place.
            leader, state, draws: example inputs, for their shapes.
        """
        self._one, self._tensors, self.moves = one, tensors, one.moves
        arguments = self._arguments(leader, state, draws)
        self._code = compiler(_vectorised(one, arguments), arguments, len(tensors))

    def __call__(
        self, leader: Trainer, state: Mapping[str, Tensor], draws: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Execute an iteration of every member; return losses and state, (S, …) each."""
        with torch.no_grad():
            results = self._code(*self._arguments(leader, state, draws))
        played = self._one.played(results, state)
        return dict(played.losses), dict(played.state)

    def _arguments(self, leader: Trainer, state: Mapping[str, Tensor], draws: Sequence[Tensor]) -> list[Tensor]:
        """Inputs of the stacked graph: stacks, except for the optimisers' numbers, which are the same for all."""
        return self._one.arguments(leader, self._tensors, state, draws)


class _StackedDraws:
    """Draws of all members for an iteration, (S, …) each, in the order of `flat`."""

    def __init__(self) -> None:
        self._blocks: dict[Turns, tuple[int, list[Tensor]]] = {}
        self._like: dict[Turns, Draws] = {}

    def of(self, turns: Turns, places: Sequence[Trainer]) -> list[Tensor]:
        """Draws of the next iteration, for the member in each place."""
        first = places[0]
        rows = first.draw_source.rows
        number, row = divmod(first.iteration, rows)
        kept, blocks = self._blocks.get(turns, (-1, []))
        if kept == number and rows > 1:
            return [block[row] for block in blocks]
        drawn = self._drawn(turns, places)
        self._like[turns] = drawn[0]
        found = [
            member.draw_source.blocks(turns, own, member.iteration) for member, own in zip(places, drawn, strict=True)
        ]
        if rows > 1 and None not in found:
            blocks = [torch.stack(same, dim=1) for same in zip(*(each or [] for each in found), strict=True)]
            self._blocks[turns] = number, blocks
            return [block[row] for block in blocks]
        return [torch.stack(same) for same in zip(*map(flat, drawn), strict=True)]

    def like(self, turns: Turns, member: Trainer) -> Draws:
        """Draws of one member, for counts: the draws of all members have equal sizes."""
        if turns not in self._like:
            self._like[turns] = member.draw(turns)
        return self._like[turns]

    @staticmethod
    def _drawn(turns: Turns, places: Sequence[Trainer]) -> list[Draws]:
        draws = {member: member.draw(turns) for member in set(places)}
        return [draws[member] for member in places]


class _StackedAverage:
    """Moving averages of the members, if the protocol sets one."""

    def __init__(self, members: Sequence[Trainer], tensors: Mapping[str, Tensor]) -> None:
        """Stack the averages; `tensors` are the members' parameters and buffers, by name."""
        found = [member.average for member in members if member.average]
        names = found[0].values if found else ()
        self._values = [_stacked([average.values[name] for average in found]) for name in names]
        self._live = [tensors[name] for name in names]
        self._decay = found[0].decay if found else 0.0

    @torch.no_grad()
    def update(self) -> None:
        """Update the averages with the present parameters."""
        if self._values:
            torch._foreach_lerp_(self._values, self._live, 1 - self._decay)


def _vectorised(one: Traced, arguments: Sequence[Tensor]) -> fx.GraphModule:
    """Vectorise the graph of one seed over a further dimension of all inputs but the optimisers' numbers."""
    own = one.inputs()
    # Remove in-place operations first: vmap could vectorise some of them only by a loop.
    graph = traced(functionalize(one.graph), own)
    batched = tuple(0 if each.dim() < many.dim() else None for each, many in zip(own, arguments, strict=True))
    return _fold_constants(traced(vmap(graph, in_dims=batched), arguments))


def _fold_constants(graph: fx.GraphModule) -> fx.GraphModule:
    """Replace tensors that were built from a Python number by the number, in place.

    To promote types, vmap turns a factor of 0.5 into a tensor without dimensions, which is on the CPU for any device.
    """
    for node in [*graph.graph.nodes]:
        if node.target is aten._to_copy.default and isinstance(node.args[0], int | float):
            number = torch.tensor(node.args[0], dtype=node.kwargs.get("dtype")).item()  # rounded like the tensor
            for user in [*node.users]:
                _fold(user, node, number)
            if not node.users:
                graph.graph.erase_node(node)
    graph.recompile()
    return graph


def _fold(user: fx.Node, node: fx.Node, number: float) -> None:
    """Replace an operand by a number, if the result has the same type."""
    others = [each.meta["val"] for each in user.all_input_nodes if each is not node]
    if user.target in ARITHMETIC and others and torch.result_type(others[0], number) == user.meta["val"].dtype:
        user.args = fx.node.map_arg(user.args, lambda each: number if each is node else each)


def _stacked(same: Sequence[Tensor]) -> Tensor:
    """Stack the same tensor of all members; their tensors become views of the stack."""
    stack = torch.stack([tensor.detach() for tensor in same])
    for tensor, view in zip(same, stack, strict=True):
        tensor.data = view
    return stack
