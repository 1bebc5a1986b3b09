"""Places for runs in the engine ray, each filled by one actor after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gan_bench.running.engines.cluster.groups import Group
from gan_bench.running.engines.cluster.shares import WHOLE


@dataclass(eq=False)
class Member:
    """One place for a run, with the actor that fills it now.

    Attributes:
        number: of the place.
        actor: None during a pause.
        waits: what the last call returned: the answer to `hello`, or the stream of `carry_out`.
        host, node: where the actor is; empty until it has answered.
        lost_on: node where the last actor was lost.
        group: what it executes.
        ended: how the process of the group ended, as of `Ended`; None while it runs.
        failures: losses since the last completed run.
        due: when the next actor is created, of `time.monotonic`.
        share: of a GPU that it has.
        refusable: whether a refusal ends the command, because no actor was accepted here before.
    """

    number: int
    actor: Any = None
    waits: Any = None
    host: str = ""
    node: str = ""
    lost_on: str = ""
    group: Group | None = None
    ended: str | None = None
    failures: int = 0
    due: float = 0.0
    share: float = WHOLE
    refusable: bool = True

    @property
    def idle(self) -> bool:
        """Whether the actor has answered and executes nothing."""
        return self.actor is not None and self.waits is None

    def __str__(self) -> str:
        return f"{self.host or 'unknown host'}, node {self.node[:8] or 'unknown'}"
