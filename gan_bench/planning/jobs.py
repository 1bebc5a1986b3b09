"""Stacks: groups of jobs that can train together."""

from __future__ import annotations

from collections.abc import Sequence

from gan_bench.contracts.run import Job, Schedule


def stacks(jobs: Sequence[Job]) -> list[list[Job]]:
    """Group jobs, in the order given, into stacks that `gan_bench.execute_stack` may execute together."""
    found: list[list[Job]] = []
    open_stacks: dict[tuple[str, str, Schedule], list[Job]] = {}
    for job in jobs:
        kind = (job.run.configuration, job.device, job.schedule)
        stack = open_stacks.get(kind)
        if stack is None or len(stack) >= job.stack:
            stack = open_stacks[kind] = []
            found.append(stack)
        stack.append(job)
    return found
