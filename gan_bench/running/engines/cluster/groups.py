"""Groups of jobs that wait for a slot, and the rules by which those that were lost are repeated.

- Jobs of a lost slot or process are repeated from their last checkpoints, `MOST_LOSSES` times, on another node if there
  is one.
- Jobs that did not fit into memory are repeated in smaller stacks; a single one with a share of a GPU gets a whole one.
- An exception of a plugin and a divergence are final, as everywhere.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain

from gan_bench.contracts.run import Job
from gan_bench.planning.jobs import stacks
from gan_bench.store.records import RunRecord

MOST_LOSSES = 3
"""Number of times that a run is repeated after its slot or process was lost."""

LONGEST_PAUSE = 30.0
"""Most seconds before a lost run is repeated, or a lost slot replaced: 1, 2, 4, … up to this."""

OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")
"""Types of errors of runs that did not fit into memory."""


@dataclass(frozen=True)
class Group:
    """Jobs that are executed together.

    Attributes:
        losses: number of slots and processes that were lost with them.
        nodes: where these were.
        cause: why the last one was lost.
        not_before: earliest time of the next attempt, of `time.monotonic`.
        whole: whether a share of a GPU was too small, so that they need a whole one.
    """

    jobs: tuple[Job, ...]
    losses: int = 0
    nodes: frozenset[str] = frozenset()
    cause: str = "the command that had begun it ended"
    not_before: float = 0.0
    whole: bool = False

    @property
    def may_be_lost(self) -> bool:
        """Whether the jobs are repeated after another loss."""
        return self.losses < MOST_LOSSES


class Groups:
    """Groups that wait, in order: those that are repeated before those that are new.

    To take one, only repeated ones are compared, of which there are few: any slot may have a new one.

    Args:
        jobs: all jobs, which are grouped into stacks.
        shares: whether a slot has a share of a GPU only.
        clock: seconds, as of `time.monotonic`.
    """

    def __init__(
        self, jobs: Sequence[Job], *, shares: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._whole: deque[Group] = deque()  # wait for a whole GPU
        self._repeated: deque[Group] = deque()
        self._new = deque(Group(tuple(stack)) for stack in stacks(jobs))
        self._shares, self._clock = shares, clock

    def __len__(self) -> int:
        return len(self._whole) + len(self._repeated) + len(self._new)

    def __iter__(self) -> Iterator[Group]:
        return chain(self._whole, self._repeated, self._new)

    @property
    def needs_whole_gpu(self) -> bool:
        """Whether a group waits for a whole GPU."""
        return bool(self._whole)

    def clear(self) -> None:
        """Let no group wait any more."""
        for waiting in (self._whole, self._repeated, self._new):
            waiting.clear()

    def take(self, node: str, nodes: Set[str], *, whole: bool) -> Group | None:
        """Take the first group that may run now on a node.

        Args:
            node: of the slot.
            nodes: of all slots. A group that was lost on the slot's node is left for another one, if there is one.
            whole: whether the slot has a whole GPU.
        """
        now = self._clock()
        for waiting in (self._whole, self._repeated) if whole else (self._repeated,):
            for position, group in enumerate(waiting):
                avoided = node in group.nodes and bool(nodes - group.nodes)
                if group.not_before <= now and not avoided:
                    del waiting[position]
                    return group
        return self._new.popleft() if self._new else None

    def repeat(self, group: Group, jobs: Sequence[Job], node: str, cause: str) -> None:
        """Let jobs of a group that were lost on a node wait for another attempt, before all others."""
        losses = group.losses + 1
        self._first(Group(tuple(jobs), losses, group.nodes | {node}, cause, self._clock() + pause(losses), group.whole))

    def give_more_memory(self, group: Group, jobs: Sequence[Job]) -> None:
        """Let jobs of a group that did not fit into memory wait in stacks of half its size, or for a whole GPU."""
        half, alone = (len(group.jobs) + 1) // 2, len(group.jobs) == 1
        cause = f"out of memory with {len(group.jobs)} seed{'s' if len(group.jobs) > 1 else ''}"
        for start in range(0, len(jobs), half):
            smaller = tuple(jobs[start : start + half])
            self._first(replace(group, jobs=smaller, cause=cause, whole=group.whole or alone))

    def _first(self, group: Group) -> None:
        (self._whole if group.whole else self._repeated).appendleft(group)

    def can_have_more_memory(self, group: Group, record: RunRecord) -> bool:
        """Whether a run of a group has failed because memory was short, and is repeated with more."""
        short = record.error is not None and record.error.type in OUT_OF_MEMORY
        return short and (len(group.jobs) > 1 or (self._shares and not group.whole))


def pause(failures: int) -> float:
    """Seconds before the next attempt after a number of failures in succession."""
    return min(LONGEST_PAUSE, 2.0 ** (failures - 1))
