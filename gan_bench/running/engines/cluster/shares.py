"""Shares of a GPU, from the memory that earlier runs of the same configuration have reserved.

The first run of a configuration, or its first stack of seeds, has a whole GPU, and its memory is measured. It is a
run like any other. Later ones reserve a share. Finished runs of earlier commands are measurements as well.

- A share is one of `SHARES`, the smallest that contains the memory of the measured run with a margin.
- A slot executes only groups with its own share. It is replaced if none of them waits any more, see `next_share`.
- Ray decides where slots are. Slots that have no room wait in Ray.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from pathlib import Path

from gan_bench.errors import StoreError
from gan_bench.running.provenance import OUTSIDE_MB
from gan_bench.store.records import GpuMemory, RunRecord
from gan_bench.store.run_folder import RunFolder

AUTO = "auto"
"""Value of the parameter `gpus_per_run` for measured shares."""

MARGIN = 1.3
"""Memory of a share in relation to that of the measured run: other seeds fragment memory differently."""

WHOLE = 1.0

PARTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
"""Numbers of equal parts of a GPU."""

UNITS = 10_000
"""Units of a resource that Ray counts. A share is rounded down to them: six times 0.1667 would not fit."""

SHARES = tuple(UNITS // parts / UNITS for parts in PARTS)
"""Possible shares, the largest first."""


class Shares:
    """Shares of a GPU by configuration.

    Args:
        fixed: share of each run; None if it is measured.

    Attributes:
        changes: number of changes, after which shares of groups may be others.
    """

    def __init__(self, fixed: float | None = WHOLE) -> None:
        self._fixed = fixed
        self._measured: dict[str, dict[int, float]] = {}  # configuration → seeds → MiB
        self._least: dict[tuple[str, int], float] = {}
        self._total_mb = math.inf
        self.changes = 0

    @property
    def automatic(self) -> bool:
        """Whether shares are measured."""
        return self._fixed is None

    def add_stored(self, records: Iterable[RunRecord]) -> None:
        """Add the memory of finished runs of earlier commands.

        Of several, the least counts, as it was sufficient: a run with much room reserves more than it needs.
        """
        for record in records:
            memory = None if record.ledger is None else record.ledger.gpu_memory
            if record.status == "finished" and record.ledger is not None and memory is not None and _is_valid(memory):
                plan = record.ledger.plan
                known = self._measured.setdefault(record.configuration, {})
                seeds = 1 if plan is None else plan.stack
                known[seeds] = min(memory.reserved_mb, known.get(seeds, math.inf))
                self._total_mb = min(self._total_mb, memory.total_mb)

    def measure(self, configuration: str, seeds: int, memory: GpuMemory) -> bool:
        """Add the memory of a run, or a stack, with a whole GPU; return whether its configuration was unknown."""
        if not self.automatic or not _is_valid(memory):
            return False
        unknown = not self.is_known(configuration, seeds)
        self.changes += 1
        known = self._measured.setdefault(configuration, {})
        known[seeds] = max(memory.reserved_mb, known.get(seeds, 0.0))
        self._total_mb = min(self._total_mb, memory.total_mb)
        return unknown

    def enlarge(self, configuration: str, seeds: int, share: float) -> None:
        """Give runs that did not fit into a share the next larger one from now on."""
        if self.automatic:
            self.changes += 1
            self._least[configuration, seeds] = min((each for each in SHARES if each > share), default=WHOLE)

    def is_known(self, configuration: str, seeds: int) -> bool:
        """Whether the share of a run, or a stack of seeds, is fixed or measured."""
        return not self.automatic or self._reserved_mb(configuration, seeds) is not None

    def of(self, configuration: str, seeds: int) -> float:
        """Share of a run or a stack of seeds; a whole GPU until it is measured."""
        if self._fixed is not None:
            return self._fixed
        reserved = self._reserved_mb(configuration, seeds)
        if reserved is None:
            return WHOLE
        return max(share_for(reserved, self._total_mb), self._least.get((configuration, seeds), 0.0))

    def _reserved_mb(self, configuration: str, seeds: int) -> float | None:
        """Memory of the smallest measured stack that is at least as large; None without one."""
        known = self._measured.get(configuration, {})
        stack = min((each for each in known if each >= seeds), default=None)
        return None if stack is None else known[stack]


def share_for(reserved_mb: float, total_mb: float) -> float:
    """Smallest share that contains memory with its margin, and what CUDA needs besides."""
    need = (reserved_mb * MARGIN + OUTSIDE_MB) / total_mb
    return min((share for share in SHARES if share >= need), default=WHOLE)


def next_share(waiting: Mapping[float, int], slots: Counter[float], free: Counter[float], gpus: float) -> float | None:
    """Share of the slot to create next; None if no further one is needed or has room.

    The first share without any slot comes first, even if all GPUs are occupied: its slot waits in Ray.

    Args:
        waiting: share → number of groups that wait, in their order.
        slots: share → number of slots, those that wait in Ray included.
        free: share → number of slots among them that execute nothing.
        gpus: number of GPUs; infinite on a CPU.
    """
    occupied = sum(share * count for share, count in slots.items())
    for share, groups in waiting.items():
        more_groups = groups > free[share]
        fits = occupied + share <= gpus + 0.5 / UNITS  # a sum of fractions is rounded
        if more_groups and (fits or not slots[share]):
            return share
    return None


def stored_records(results: Path, configurations: Set[str]) -> Iterator[RunRecord]:
    """Records of stored runs of configurations; damaged ones are left out."""
    for path in sorted((results / "runs").glob("*/run.json")):
        with suppress(StoreError, OSError):
            record = RunFolder(path.parent).read()
            if record is not None and record.configuration in configurations:
                yield record


def in_words(share: float) -> str:
    """Describe a share: "a whole GPU", or "1/4 of a GPU"."""
    return f"1/{PARTS[SHARES.index(share)]} of a GPU" if share in SHARES[1:] else "a whole GPU"


def _is_valid(memory: GpuMemory) -> bool:
    return memory.reserved_mb > 0 and memory.total_mb > 0
