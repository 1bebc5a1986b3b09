"""Groups of jobs that wait for a slot, and the rules by which those that were lost are repeated.

- Jobs of a lost slot or process are repeated from their last checkpoints, on another node if there is one, and
  `MOST_LOSSES` times without a later checkpoint: a run that advances between losses is repeated as often as it takes.
- Jobs that did not fit into memory are repeated in smaller stacks; a single one with a share of a GPU gets a whole one.
- A slot executes only groups with its own share of a GPU, see `shares`.
- An exception of a plugin and a divergence are final, as everywhere.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter

from gan_bench.contracts.run import Job
from gan_bench.planning.jobs import stacks
from gan_bench.running.engines.cluster.shares import WHOLE, Shares
from gan_bench.store.attempts import MOST_LOSSES
from gan_bench.store.records import RunRecord

LONGEST_PAUSE = 30.0
"""Most seconds before a lost run is repeated, or a lost slot replaced: 1, 2, 4, … up to this."""

OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")
"""Types of errors of runs that did not fit into memory."""


GIVEN = "given to a slot"
"""Cause of the end of the attempt by which the command itself has taken over a run that others had begun."""


@dataclass(frozen=True)
class Group:
    """Jobs that are executed together.

    Attributes:
        losses: number of slots and processes that were lost with them without a later checkpoint.
        iteration: of the last checkpoint when the last one was lost.
        nodes: where these were.
        cause: why the last one was lost.
        not_before: earliest time of the next attempt, of `time.monotonic`.
        whole: whether a share of a GPU was too small, so that they need a whole one.
    """

    jobs: tuple[Job, ...]
    losses: int = 0
    iteration: int = 0
    nodes: frozenset[str] = frozenset()
    cause: str = GIVEN
    not_before: float = 0.0
    whole: bool = False

    def losses_after(self, iteration: int) -> int:
        """Number of losses after another one.

        Args:
            iteration: of the last checkpoint.
        """
        return 1 if iteration > self.iteration else self.losses + 1


class Groups:
    """Groups that wait, in order: those that are repeated before those that are new.

    To take one, only repeated ones are compared, of which there are few. New ones are kept by their shares of a GPU.

    Args:
        jobs: all jobs, which are grouped into stacks.
        shares: of a GPU; by default each group has a whole one.
        clock: seconds, as of `time.monotonic`.
    """

    def __init__(
        self, jobs: Sequence[Job], *, shares: Shares | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shares, self._clock = shares or Shares(), clock
        self._whole: deque[Group] = deque()  # repeated with a whole GPU
        self._repeated: deque[Group] = deque()
        self._new: dict[float, deque[tuple[int, Group]]] = {WHOLE: deque()}  # share → place in the order, group
        self._new[WHOLE].extend((place, Group(tuple(stack))) for place, stack in enumerate(stacks(jobs)))
        self._sorted_at = -1  # number of changes of the shares

    def __len__(self) -> int:
        return len(self._whole) + len(self._repeated) + sum(map(len, self._new.values()))

    def __iter__(self) -> Iterator[Group]:
        return chain(
            self._whole, self._repeated, (group for _, group in heapq.merge(*self._new.values(), key=itemgetter(0)))
        )

    def share(self, group: Group) -> float:
        """Share of a GPU that a group needs now."""
        share = self._shares.of(group.jobs[0].run.configuration, len(group.jobs))
        return max(WHOLE, share) if group.whole else share

    def by_share(self) -> dict[float, int]:
        """Number of waiting groups by their shares, that of the first group first."""
        counts = Counter(self.share(group) for group in chain(self._whole, self._repeated))
        first = sorted((queue[0][0], share) for share, queue in self._sorted().items() if queue)
        for _, share in first:
            counts[share] += len(self._new[share])
        return dict(counts)

    def clear(self) -> None:
        """Let no group wait any more."""
        for waiting in (self._whole, self._repeated, self._new):
            waiting.clear()

    def take(
        self, node: str, nodes: Set[str], *, share: float = WHOLE, measuring: Set[str] = frozenset()
    ) -> Group | None:
        """Take the first group that may run now on a node.

        Args:
            node: of the slot.
            nodes: of all slots. A group that was lost on the slot's node is left for another one, if there is one.
            share: of a GPU that the slot has; groups with another one are left.
            measuring: configurations that are measured by now; those of other groups are measured first.
        """
        now = self._clock()
        for waiting in (self._whole, self._repeated) if share >= WHOLE else (self._repeated,):
            for place, group in enumerate(waiting):
                avoided = node in group.nodes and bool(nodes - group.nodes)
                if group.not_before <= now and not avoided and self.share(group) == share:
                    del waiting[place]
                    return group
        queue = self._sorted().get(share)
        if not queue:
            return None
        others = (place for place, (_, group) in enumerate(queue) if group.jobs[0].run.configuration not in measuring)
        place = next(others, 0)
        group = queue[place][1]
        del queue[place]
        return group

    def repeat(self, group: Group, jobs: Sequence[Job], iteration: int, node: str, cause: str) -> bool:
        """Let jobs of a group that were lost on a node wait for another attempt, before all others.

        Args:
            iteration: of their last checkpoint.

        Returns:
            Whether they are repeated; False if they were lost too often.
        """
        losses = group.losses_after(iteration)
        if losses > MOST_LOSSES:
            return False
        due = self._clock() + pause(losses)
        again = Group(tuple(jobs), losses, iteration, group.nodes | {node}, cause, due, group.whole)
        self._first(again)
        return True

    def give_more_memory(self, group: Group, jobs: Sequence[Job], share: float = WHOLE) -> None:
        """Let jobs of a group that did not fit into memory wait in stacks of half its size, or for a whole GPU.

        Args:
            share: of a GPU that they had.
        """
        half, alone = (len(group.jobs) + 1) // 2, len(group.jobs) == 1
        self._shares.enlarge(group.jobs[0].run.configuration, len(group.jobs), share)
        cause = f"out of memory with {len(group.jobs)} seed{'s' if len(group.jobs) > 1 else ''}"
        for start in range(0, len(jobs), half):
            smaller = tuple(jobs[start : start + half])
            self._first(replace(group, jobs=smaller, cause=cause, whole=group.whole or alone))

    def can_have_more_memory(self, group: Group, record: RunRecord, share: float = WHOLE) -> bool:
        """Whether a run of a group, with a share of a GPU, has failed for lack of memory and is repeated with more."""
        from gan_bench.acceleration.tracing import names_short_memory  # imports torch

        error = record.error if record.status == "failed" else None
        short = error is not None and (error.type in OUT_OF_MEMORY or names_short_memory(error.message))
        return short and (len(group.jobs) > 1 or share < WHOLE)

    def _first(self, group: Group) -> None:
        (self._whole if group.whole else self._repeated).appendleft(group)

    def _in_order(self) -> Iterator[tuple[int, Group]]:
        return heapq.merge(*self._new.values(), key=itemgetter(0))

    def _sorted(self) -> dict[float, deque[tuple[int, Group]]]:
        """New groups by their shares, which change after measurements only."""
        if self._sorted_at != self._shares.changes:
            groups = list(self._in_order())
            self._new = {}
            for place, group in groups:
                self._new.setdefault(self.share(group), deque()).append((place, group))
            self._sorted_at = self._shares.changes
        return self._new


def pause(failures: int) -> float:
    """Seconds before the next attempt after a number of failures in succession."""
    return min(LONGEST_PAUSE, 2.0 ** (failures - 1))
