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
from gan_bench.running.engines.cluster.shares import WHOLE, Shares
from gan_bench.running.record import start_record
from gan_bench.store.records import ErrorRecord, GpuMemory, RunRecord
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


def take(groups: Groups, node: str = "a", *others: str, share: float = WHOLE) -> Group:
    """Take a group, which there is."""
    group = groups.take(node, {node, *others}, share=share)
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
        assert groups.take("a", {"a", "b"}) is None
        lost = take(groups, "b", "a")
        groups.repeat(lost, jobs[:1], 0, "b", "lost")
        clock.now += 60
        assert take(groups, "a", "b").nodes == {"a", "b"}


class TestMemory:
    @pytest.mark.parametrize(
        ("stack", "share", "then"),
        [
            (3, 1.0, [[2], [0, 1]]),
            (1, 1.0, []),
            (1, 0.5, [[0]]),
            (2, 0.5, [[1], [0]]),
        ],
    )
    def test_that_is_short(self, jobs: Sequence[Job], stack: int, share: float, then: list[list[int]]) -> None:
        """Seeds that do not fit into memory run in half the stack; a single one gets a whole GPU for a share."""
        groups = Groups([], shares=Shares(share))
        group, record = Group(tuple(jobs[:stack])), short(jobs[0])
        if groups.can_have_more_memory(group, record, share):
            groups.give_more_memory(group, group.jobs, share)
        assert seeds(groups) == then
        expected = WHOLE if stack == 1 else share
        assert groups.by_share() == ({expected: len(then)} if then else {})

    def test_of_a_whole_gpu_is_the_most(self, jobs: Sequence[Job]) -> None:
        """Jobs that need a whole GPU are taken by a slot that has one, and fail if it is too small; so do losses."""
        clock = Clock()
        groups = Groups(jobs[:1], shares=Shares(0.25), clock=clock)
        groups.give_more_memory(take(groups, share=0.25), jobs[:1], 0.25)
        assert groups.take("a", {"a"}, share=0.25) is None
        group = take(groups)
        groups.repeat(group, group.jobs, 0, "a", "lost")
        clock.now += 60
        group = take(groups)
        assert group.whole and not groups.can_have_more_memory(group, short(jobs[0]))


class TestShares:
    def test_are_counted_as_groups_come_and_go(self, jobs: Sequence[Job]) -> None:
        """The number of groups by share follows each change of the groups, and of the shares."""
        shares, clock = Shares(None), Clock()
        groups = Groups(jobs, shares=shares, clock=clock)
        assert groups.by_share() == {WHOLE: 4}
        group = take(groups)
        assert groups.by_share() == {WHOLE: 3}
        shares.measure(jobs[0].run.configuration, 1, GpuMemory(8_000.0, 80_000.0))
        share = groups.share(group)
        assert groups.by_share() == {share: 3} and share < WHOLE
        groups.repeat(group, group.jobs, 0, "a", "lost")
        assert groups.by_share() == {share: 4}
        groups.clear()
        assert groups.by_share() == {}

    def test_of_configurations_that_are_measured_come_later(self, jobs: Sequence[Job]) -> None:
        """A group of another configuration is taken first; else one that is measured already."""
        other = replace(jobs[3], run=replace(jobs[3].run, configuration="another"))
        groups = Groups([*jobs[:3], other], shares=Shares(None))
        measuring = {jobs[0].run.configuration}
        taken = [groups.take("a", {"a"}, measuring=measuring) for _ in range(2)]
        assert [group.jobs[0].run.seed for group in taken if group] == [3, 0]


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
            take(groups)
        return compared[0]

    def test_take_time_in_proportion(self, jobs: Sequence[Job], monkeypatch: pytest.MonkeyPatch) -> None:
        """To take one of many groups, those that cannot run now are not compared again and again."""
        few, many = (self.count(number, jobs, monkeypatch) for number in (100, 1000))
        assert few > 0 and many <= 12 * few


def short(job: Job) -> RunRecord:
    """Record of a run that has failed because memory was short."""
    planned = start_record(job, load_plugins(), None)
    return replace(planned, status="failed", error=ErrorRecord("OutOfMemoryError", "out of memory"))
