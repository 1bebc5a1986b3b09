"""Stacked seeds: the runs of one configuration advance together, as one program made from code written for one seed.

Every tensor that training changes lies in a stack with one more dimension, and each member's tensors are views of it:
a member is evaluated, checkpointed and resumed as a run of its own. An iteration is traced for one seed, then
vectorised over the members. No operation of it mixes members, so that one that diverges disturbs nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import functionalize, vmap

from gan_bench.compilation import Compiler, Warn, next_short
from gan_bench.errors import Diverged
from gan_bench.iteration import Draws, Played
from gan_bench.model import Turn
from gan_bench.tracing import NotCompilableError, Tensors, Traced, flat, traced
from gan_bench.training import Trainer


def as_traced(graph: fx.GraphModule, arguments: list[Tensor]) -> Callable[..., Any]:
    """The compiler that leaves a graph as it is, carried out operation by operation."""
    return graph


class Stack:
    """Trainers of one configuration, which differ by their seeds and are at the same iteration.

    Members load no other state while they are stacked.

    Attributes:
        diverged: members that cannot go on, and why; they stay in the stack, and what becomes of them means nothing.
    """

    def __init__(self, members: Sequence[Trainer], compiler: Compiler, warn: Warn) -> None:
        """Make the program of the next iteration, and stack the members' tensors.

        Args:
            warn: told where iterations with other turns than the next one's are carried out seed by seed, and why.

        Raises:
            NotCompilableError: the next iteration cannot be stacked; the members may still go on one by one.
        """
        self.members, self._compiler, self._warn = tuple(members), compiler, warn
        self.diverged: dict[Trainer, Diverged] = {}
        self._going = list(members)
        self._own = [Tensors(member) for member in members]
        self._programs: dict[tuple[Turn, ...], _Program | None] = {}
        turns = next_short(members[0])
        one = self._traced(turns)
        self.tensors = [_stacked(same) for same in zip(*(own.all() for own in self._own), strict=True)]
        self._programs[turns] = _Program(self, turns, one, compiler)

    @property
    def leader(self) -> Trainer:
        """A member whose counts are those of all that go on."""
        return self._going[0]

    def leave(self, member: Trainer) -> None:
        """A member goes no further: its place in the stack is kept, and it is no longer looked after."""
        self._going.remove(member)

    def iterate(self) -> None:
        """Carry out one iteration of every member, and what comes before it where a stage begins."""
        self._enter_stages()
        if not self._going:
            return
        leader = self.leader
        turns = tuple(leader.model.turns(leader.iteration))
        given = {member: member.draw(turns) for member in self._going}
        draws = [given.get(member, given[leader]) for member in self.members]
        program = self._program(turns)
        for member, own, played in zip(self.members, draws, self._played(program, turns, draws), strict=True):
            member.took(turns, own, played)

    def _enter_stages(self) -> None:
        for member in tuple(self._going):
            try:
                member.stages.enter()
            except Diverged as error:
                self.diverged[member] = error
                self.leave(member)

    def _played(self, program: _Program | None, turns: tuple[Turn, ...], draws: Sequence[Draws]) -> Sequence[Played]:
        if program is None:
            return [member.play(turns, own) for member, own in zip(self.members, draws, strict=True)]
        played = program(draws)
        for own in self._own:
            own.count(program.moves)
        return played

    def _traced(self, turns: tuple[Turn, ...]) -> Traced:
        """The iteration of one member; refused where it would not be the others' as well."""
        one, other = Traced(self.members[0], turns), Traced(self.members[-1], turns)
        if not all(map(torch.equal, one.constants(), other.constants())):
            raise NotCompilableError("it holds tensors outside of its parameters and buffers that differ between seeds")
        return one

    def _program(self, turns: tuple[Turn, ...]) -> _Program | None:
        if turns not in self._programs:
            try:
                self._programs[turns] = _Program(self, turns, self._traced(turns), self._compiler)
            except NotCompilableError as error:
                self._programs[turns] = None
                self._warn(f"Iterations of {len(turns)} turns are carried out seed by seed: {error}")
        return self._programs[turns]


class _Program:
    """One sequence of turns, of all members at once.

    Attributes:
        moves: how many steps each player takes.
    """

    def __init__(self, stack: Stack, turns: tuple[Turn, ...], one: Traced, compiler: Compiler) -> None:
        self._stack, self._one, self.moves = stack, one, one.moves
        draws = [member.draw(turns) for member in stack.members]
        self._code = compiler(
            _vectorised(one, stack.members[0], draws[0], self._arguments(draws)), self._arguments(draws)
        )

    def __call__(self, draws: Sequence[Draws]) -> list[Played]:
        """Carry out an iteration of every member."""
        with torch.no_grad():
            results = self._code(*self._arguments(draws))
        members = self._stack.members
        return [self._one.played([r[i] for r in results], member.state) for i, member in enumerate(members)]

    def _arguments(self, draws: Sequence[Draws]) -> list[Tensor]:
        """The inputs of all members' graph: stacks, except for the optimisers' numbers, which are the same for all."""
        members, leader = self._stack.members, self._stack.leader
        state = {name: torch.stack([member.state[name] for member in members]) for name in members[0].state}
        together = [torch.stack(same) for same in zip(*map(flat, draws), strict=True)]
        return self._one.arguments(leader, self._stack.tensors, state, together)


def _vectorised(one: Traced, member: Trainer, draws: Draws, arguments: list[Tensor]) -> fx.GraphModule:
    """The graph of one seed, over one more dimension of everything but the optimisers' numbers."""
    tensors = [tensor.detach() for tensor in Tensors(member).all()]
    single = one.arguments(member, tensors, member.state, flat(draws))
    # without operations that work in place, of which some could only be vectorised by a loop
    graph = traced(functionalize(one.graph), single)
    numbers = range(len(tensors), len(tensors) + len(one.moves))
    batched = tuple(None if position in numbers else 0 for position in range(len(single)))
    return traced(vmap(graph, in_dims=batched), arguments)


def _stacked(same: Sequence[Tensor]) -> Tensor:
    """The same tensor of all members in one, of which theirs become views."""
    stack = torch.stack([tensor.detach() for tensor in same])
    for tensor, view in zip(same, stack, strict=True):
        tensor.data = view
    return stack
