"""Groups of jobs that wait for a slot of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gan_bench.contracts.run import Job
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.engines.cluster import groups as module
from gan_bench.running.engines.cluster.groups import Group, Groups
from gan_bench.running.record import start_record
from gan_bench.store.records import ErrorRecord, RunRecord
from tests.support import project


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def jobs(tmp_path: Path) -> Sequence[Job]:
    """Four jobs, each alone."""
    return tuple(project.plan(project.describe(seeds=4), tmp_path).jobs)


def seeds(groups: Groups) -> list[list[int]]:
    """Seeds of the groups that wait, in order."""
    return [[job.run.seed for job in group.jobs] for group in groups]


def take(groups: Groups, node: str = "a", *others: str, whole: bool = False) -> Group:
    """Take a group, which there is."""
    group = groups.take(node, {node, *others}, whole=whole)
    assert group is not None
    return group


class TestLosses:
    def test_are_repeated_first_after_a_pause(self, jobs: Sequence[Job]) -> None:
        """A lost group is before all others, and is not given out before its pause of 1, 2 and 4 s is over."""
        clock = Clock()
        groups = Groups(jobs, clock=clock)
        for seconds in (1.0, 2.0, 4.0):
            group = take(groups)
            assert group.jobs == jobs[:1]
            groups.repeat(group, group.jobs, 0, "a", "power failure")
            assert next(iter(groups)).not_before == clock.now + seconds
            clock.now += seconds - 0.01
            other = take(groups)
            assert other.jobs != jobs[:1]
            clock.now += 0.01

    def test_end_after_three_repeats_without_progress(self, jobs: Sequence[Job]) -> None:
        """The fourth loss in succession is final, unless a later checkpoint was written between two of them."""
        clock = Clock()
        groups = Groups(jobs[:1], clock=clock)
        for iteration in (0, 0, 500, 500, 400, 600, 600, 600):
            group = take(groups)
            assert groups.repeat(group, group.jobs, iteration, "a", "lost")
            clock.now += 60
        assert not groups.repeat(take(groups), jobs[:1], 600, "a", "lost") and len(groups) == 0

    def test_are_left_for_another_node(self, jobs: Sequence[Job]) -> None:
        """A group that was lost on a node goes to another one; without any other one it is repeated there."""
        clock = Clock()
        groups = Groups(jobs[:1], clock=clock)
        groups.repeat(take(groups), jobs[:1], 0, "a", "lost")
        clock.now += 60
        assert groups.take("a", {"a", "b"}, whole=False) is None
        lost = take(groups, "b", "a")
        groups.repeat(lost, jobs[:1], 0, "b", "lost")
        clock.now += 60
        assert take(groups, "a", "b").nodes == {"a", "b"}


class TestMemory:
    @pytest.mark.parametrize(
        ("stack", "shares", "then"),
        [
            (3, False, [[2], [0, 1]]),
            (1, False, []),
            (1, True, [[0]]),
            (2, True, [[1], [0]]),
        ],
    )
    def test_that_is_short(self, jobs: Sequence[Job], stack: int, shares: bool, then: list[list[int]]) -> None:
        """Seeds that do not fit into memory run in half the stack; a single one gets a whole GPU for a share."""
        groups = Groups([], shares=shares)
        group, record = Group(tuple(jobs[:stack])), short(jobs[0])
        if groups.can_have_more_memory(group, record):
            groups.give_more_memory(group, group.jobs)
        assert seeds(groups) == then
        assert groups.needs_whole_gpu == (stack == 1 and shares)

    def test_of_a_whole_gpu_is_the_most(self, jobs: Sequence[Job]) -> None:
        """Jobs that need a whole GPU are taken by a slot that has one, and fail if it is too small; so do losses."""
        clock = Clock()
        groups = Groups(jobs[:1], shares=True, clock=clock)
        groups.give_more_memory(take(groups), jobs[:1])
        assert groups.take("a", {"a"}, whole=False) is None
        group = take(groups, whole=True)
        groups.repeat(group, group.jobs, 0, "a", "lost")
        clock.now += 60
        group = take(groups, whole=True)
        assert group.whole and not groups.can_have_more_memory(group, short(jobs[0]))


def short(job: Job) -> RunRecord:
    """Record of a run that has failed because memory was short."""
    planned = start_record(job, load_plugins(), None)
    return replace(planned, status="failed", error=ErrorRecord("OutOfMemoryError", "out of memory"))


class TestMany:
    def count(self, number: int, jobs: Sequence[Job], monkeypatch: pytest.MonkeyPatch) -> int:
        """Number of groups that are compared until all of `number` are taken while some of them wait."""
        compared = [0]

        class Counted(Group):
            def __getattribute__(self, name: str) -> object:
                compared[0] += name == "not_before"
                return super().__getattribute__(name)

        monkeypatch.setattr(module, "Group", Counted)
        clock = Clock()
        groups = Groups([jobs[0]] * number, clock=clock)
        for position in range(number):
            group = take(groups)
            if position % 2 == 0:
                groups.give_more_memory(replace(group, whole=True), group.jobs)
            elif position < 10:
                groups.repeat(group, group.jobs, 0, "a", "power failure")
        assert len(groups) == number // 2 + 5
        clock.now += 1.0
        while groups:
            take(groups, whole=True)
        return compared[0]

    def test_take_time_in_proportion(self, jobs: Sequence[Job], monkeypatch: pytest.MonkeyPatch) -> None:
        """To take one of many groups, those that cannot run now are not compared again and again."""
        few, many = (self.count(number, jobs, monkeypatch) for number in (100, 1000))
        assert few > 0 and many <= 12 * few
