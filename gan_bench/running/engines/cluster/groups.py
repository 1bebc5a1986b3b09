"""Groups of jobs that wait for a slot, and the rules by which those that were lost are repeated.

- Jobs of a lost slot or process are repeated from their last checkpoints, `MOST_LOSSES` times, on another node if there
  is one.
- Jobs that did not fit into memory are repeated in smaller stacks; a single one with a share of a GPU gets a whole one.
- A slot executes only groups with its own share of a GPU, see `shares`.
- An exception of a plugin and a divergence are final, as everywhere.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from gan_bench.contracts.run import Job
from gan_bench.planning.jobs import stacks
from gan_bench.running.engines.cluster.shares import WHOLE, Shares
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

    @property
    def kind(self) -> tuple[str, int, bool]:
        """Configuration, number of seeds, and whether a whole GPU is needed; groups of a kind have the same share."""
        return self.jobs[0].run.configuration, len(self.jobs), self.whole


class Groups:
    """Groups of jobs that wait, in order.

    Args:
        jobs: all jobs, which are grouped into stacks.
        shares: of a GPU; by default each group has a whole one.
        clock: seconds, as of `time.monotonic`.
    """

    def __init__(
        self, jobs: Sequence[Job], *, shares: Shares | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._waiting = deque(Group(tuple(stack)) for stack in stacks(jobs))
        self._kinds = Counter(group.kind for group in self._waiting)
        self._shares, self._clock = shares or Shares(), clock
        self._by_share: dict[float, int] = {}
        self._by_share_at = -1  # number of changes of the shares; negative if a group was added or removed

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._waiting)

    def share(self, group: Group) -> float:
        """Share of a GPU that a group needs now."""
        return self._share(group.kind)

    def by_share(self) -> dict[float, int]:
        """Number of waiting groups by their shares, in their order."""
        if self._by_share_at != self._shares.changes:  # there may be thousands of kinds
            self._by_share, self._by_share_at = {}, self._shares.changes
            for kind, count in self._kinds.items():
                share = self._share(kind)
                self._by_share[share] = self._by_share.get(share, 0) + count
        return self._by_share

    def clear(self) -> None:
        """Let no group wait any more."""
        self._waiting.clear()
        self._kinds.clear()
        self._by_share_at = -1

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
        now, later = self._clock(), None
        for place, group in enumerate(self._waiting):
            avoided = node in group.nodes and bool(nodes - group.nodes)
            if group.not_before <= now and not avoided and self.share(group) == share:
                if group.jobs[0].run.configuration not in measuring:
                    return self._remove(place)
                later = place if later is None else later
        return None if later is None else self._remove(later)

    def repeat(self, group: Group, jobs: Sequence[Job], node: str, cause: str) -> None:
        """Let jobs of a group that were lost on a node wait for another attempt, before all others."""
        losses = group.losses + 1
        self._add(Group(tuple(jobs), losses, group.nodes | {node}, cause, self._clock() + pause(losses), group.whole))

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
            self._add(replace(group, jobs=smaller, cause=cause, whole=group.whole or alone))

    def can_have_more_memory(self, group: Group, record: RunRecord, share: float = WHOLE) -> bool:
        """Whether a run of a group, with a share of a GPU, has failed for lack of memory and is repeated with more."""
        from gan_bench.acceleration.tracing import names_short_memory  # imports torch

        error = record.error if record.status == "failed" else None
        short = error is not None and (error.type in OUT_OF_MEMORY or names_short_memory(error.message))
        return short and (len(group.jobs) > 1 or share < WHOLE)

    def _share(self, kind: tuple[str, int, bool]) -> float:
        configuration, seeds, whole = kind
        return max(WHOLE if whole else 0.0, self._shares.of(configuration, seeds))

    def _add(self, group: Group) -> None:
        self._waiting.appendleft(group)
        self._kinds[group.kind] += 1
        self._by_share_at = -1

    def _remove(self, place: int) -> Group:
        group = self._waiting[place]
        del self._waiting[place]
        self._kinds[group.kind] -= 1
        self._by_share_at = -1
        if not self._kinds[group.kind]:
            del self._kinds[group.kind]
        return group


def pause(failures: int) -> float:
    """Seconds before the next attempt after a number of failures in succession."""
    return min(LONGEST_PAUSE, 2.0 ** (failures - 1))
