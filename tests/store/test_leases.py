"""A lease has one holder at a time, expires by the clock of those who watch it, and is given back at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gan_bench.errors import StoreError
from gan_bench.store import leases
from gan_bench.store.attempts import begin_attempt, read_attempt
from gan_bench.store.leases import (
    CONTINUED,
    LEFT,
    QUEUED,
    STOPPED,
    HeldLease,
    Lease,
    Leases,
    Unit,
    count_losses,
    queue_again,
    read_lease,
    supersede,
)
from gan_bench.store.records import LostAttempt
from tests.support import project
from tests.support.messages import Messages


class Clock:
    """Clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Workers:
    """Two workers with their own clocks, and one unit of two seeds."""

    def __init__(self, folder: Path) -> None:
        planned = project.plan(project.describe(seeds=2), folder)
        self.unit = Unit.of(planned.jobs, planned.folder)
        self.clocks = (Clock(), Clock())
        self.clocks[1].now = 1e6  # clocks of machines do not agree
        self.first = Leases("first", 60, self.clocks[0])
        self.second = Leases("second", 60, self.clocks[1])

    def take(self, observer: Leases) -> HeldLease:
        """Take the unit, which must be free or expired."""
        held = observer.take(self.unit, observer.look(self.unit))
        assert held is not None
        return held

    def watch(self, seconds: float) -> None:
        """Let time pass for the second worker, which looks every ten seconds."""
        self.state()
        while seconds > 0:
            self.clocks[1].now += min(seconds, 10)
            seconds -= 10
            self.state()

    def state(self, observer: Leases | None = None) -> str:
        """State as a worker sees it, by default the second."""
        return (observer or self.second).look(self.unit).state


@pytest.fixture
def workers(tmp_path: Path) -> Workers:
    """Two workers and one unit."""
    return Workers(tmp_path)


def test_a_unit_has_one_holder(workers: Workers) -> None:
    """Of workers that have seen the same free unit, one takes it; the other one sees it as held, and by whom."""
    seen = workers.first.look(workers.unit), workers.second.look(workers.unit)
    assert [each.state for each in seen] == ["free", "free"]
    assert workers.first.take(workers.unit, seen[0]) is not None
    assert workers.second.take(workers.unit, seen[1]) is None
    now = workers.second.look(workers.unit)
    assert (now.state, now.place, now.alive) == ("held", "first", False)


def test_every_seed_of_a_stack_has_an_attempt(workers: Workers) -> None:
    """Each folder of a stack is fenced with its own token."""
    held = workers.take(workers.first)
    tokens = [read_attempt(Path(job.folder)) for job in workers.unit.jobs]
    assert [each and each.token for each in tokens] == [job.attempt for job in held.jobs]
    assert len({job.attempt for job in held.jobs}) == 2


def test_a_renewed_lease_never_expires(workers: Workers) -> None:
    """The time counts from the last change that the observer has seen."""
    held = workers.take(workers.first)
    for beat in range(20):
        assert workers.state() == "held"
        assert workers.second.look(workers.unit).alive == (beat > 0)
        workers.clocks[1].now += 50
        assert held.renew()


def test_a_lease_expires_by_the_clock_of_the_observer(workers: Workers) -> None:
    """A value that was seen for longer than the lease is taken over, and the holder loses it."""
    held = workers.take(workers.first)
    workers.clocks[0].now += 1e9  # whatever the clock of the holder shows
    workers.watch(60)
    assert workers.state() == "held"
    workers.clocks[1].now += 0.1
    assert workers.state() == "expired"
    other = workers.take(workers.second)
    assert not held.renew() and not held.is_current() and other.renew()
    assert [(each.place, each.cause) for each in other.attempt.lost] == [("first", "no renewal for 60 s")]
    assert other.losses == 1


def test_an_observer_that_was_stopped_lets_the_holder_continue(workers: Workers) -> None:
    """The machine of both may have been stopped. A holder that has ended is found later."""
    held = workers.take(workers.first)
    workers.watch(20)
    workers.clocks[1].now += 1e6
    assert workers.state() == "held"
    assert held.renew()
    assert workers.state() == "held"
    workers.clocks[1].now -= 1e6  # a clock that jumps back
    workers.watch(60)
    assert workers.state() == "held"
    workers.clocks[1].now += 1e6
    assert workers.state() == "expired"


def test_a_late_renewal_keeps_others_out(workers: Workers) -> None:
    """A holder that continues before another one has taken the lease over keeps it."""
    held = workers.take(workers.first)
    workers.watch(100)
    seen = workers.second.look(workers.unit)
    assert seen.state == "expired"
    assert held.renew()
    assert workers.state() == "held"


def test_a_lease_that_is_given_back_is_free_at_once(workers: Workers) -> None:
    """Other workers need not wait for its expiry, and a stop does not count as a loss."""
    workers.take(workers.first).give_back([], STOPPED)
    assert workers.state() == "free"
    held = workers.take(workers.second)
    assert (held.losses, [each.cause for each in held.attempt.lost]) == (0, [STOPPED])


def test_runs_that_ended_are_not_repeated(workers: Workers) -> None:
    """The next holder of a stack gets the other seeds; a unit ends with its last run."""
    first, second = (job.run.key for job in workers.unit.jobs)
    workers.take(workers.first).give_back([first], "killed")
    held = workers.take(workers.second)
    assert [job.run.key for job in held.jobs] == [second]
    assert held.losses == 1
    held.give_back([second], "")
    assert workers.state() == workers.state(workers.first) == "ended"


def test_a_stale_holder_gives_nothing_back(workers: Workers) -> None:
    """A holder whose unit was taken over leaves the lease of the other as it is."""
    stale = workers.take(workers.first)
    workers.watch(61)
    workers.take(workers.second)
    before = read_lease(workers.unit.lease)
    stale.give_back([job.run.key for job in stale.jobs], "")
    assert read_lease(workers.unit.lease) == before


def test_a_worker_that_is_lost_while_it_takes_a_unit_blocks_nobody(workers: Workers) -> None:
    """A claim without attempt.json expires as well."""
    workers.unit.folder.mkdir(parents=True)
    (workers.unit.folder / "attempt-1.json").touch()
    assert workers.state() == "held"
    workers.watch(61)
    assert workers.state() == "expired"
    assert workers.take(workers.second).attempt.number == 2


@pytest.mark.parametrize("stopped", [0, 1], ids=["before its lease", "before the second seed"])
def test_a_worker_that_continues_takes_no_seed_of_a_stack(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    """A worker is stopped between the attempts of two seeds, until another one has taken the unit over."""
    others: list[HeldLease] = []
    begun = iter(range(10))

    def begin(*arguments: Any, **named: Any) -> Any:
        """Begin an attempt; another worker takes the unit before this one continues."""
        number = next(begun)
        if number == 1 == stopped:
            take()
        attempt = begin_attempt(*arguments, **named)
        if number == 0 == stopped:
            take()
        return attempt

    def take() -> None:
        monkeypatch.setattr(leases, "begin_attempt", begin_attempt)
        workers.watch(61)
        others.append(workers.take(workers.second))
        monkeypatch.setattr(leases, "begin_attempt", begin)

    seen = workers.first.look(workers.unit)
    monkeypatch.setattr(leases, "begin_attempt", begin)
    assert workers.first.take(workers.unit, seen) is None
    (other,) = others
    assert other.is_current() and all(map(other.has, other.jobs))
    assert read_lease(workers.unit.lease) == Lease(other.attempt.token)


def test_a_seed_that_another_worker_has_begun_is_not_taken(workers: Workers) -> None:
    """The unit expires, and the next worker gets all seeds."""
    first, second = workers.first.look(workers.unit), Path(workers.unit.jobs[1].folder)
    assert begin_attempt(second, "another") is not None
    assert workers.first.take(workers.unit, first) is None
    workers.watch(61)
    held = workers.take(workers.second)
    assert all(map(held.has, held.jobs))


def test_a_slow_claim_does_not_replace_a_later_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped between its claim and attempt.json gives up."""
    from gan_bench.store import attempts

    created = attempts._claim

    def slow(path: Path, attempt: attempts.Attempt) -> bool:
        """Claim, and let another process begin the next attempt before this one continues."""
        monkeypatch.setattr(attempts, "_claim", created)
        won = created(path, attempt)
        assert begin_attempt(tmp_path, "fast") is not None
        return won

    monkeypatch.setattr(attempts, "_claim", slow)
    assert begin_attempt(tmp_path, "slow") is None
    current = read_attempt(tmp_path)
    assert current is not None and current.place == "fast"


def test_queued_units_are_free_again(workers: Workers) -> None:
    """Whatever became of their attempts; losses are counted from there."""
    held = workers.take(workers.first)
    held.give_back([], "killed")
    queue_again(workers.unit, "head")
    assert workers.state() == "free"
    assert not held.is_current()
    again = workers.take(workers.second)
    assert [each.cause for each in again.attempt.lost] == ["killed", QUEUED]
    assert again.losses == 0


def test_bare_claims_are_free_again(workers: Workers) -> None:
    """A worker that was lost between its claim and attempt.json writes nothing, should it continue."""
    for job in workers.unit.jobs:
        Path(job.folder).mkdir(parents=True)
        Path(job.folder, "attempt-1.json").touch()
    queue_again(workers.unit, "head")
    assert workers.state() == "free"
    Path(workers.unit.jobs[1].folder, "attempt.json").unlink()
    assert [bool(job.attempt) for job in supersede(workers.unit.jobs, "head")] == [True, True]


def test_a_command_beside_an_unseen_worker_is_refused(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    """The lock has not excluded a worker that begins an attempt at the same moment."""
    workers.take(workers.first)
    monkeypatch.setattr(leases, "begin_attempt", lambda *arguments: None)
    with messages.raises(StoreError, workers.unit.folder.name, hide={str(workers.unit.folder.parents[2]): "RESULTS"}):
        supersede(workers.unit.jobs, "head")


def test_a_command_supersedes_workers(workers: Workers) -> None:
    """`gan-bench run` fences runs that workers have had, and no others."""
    first, second = workers.unit.jobs
    workers.take(Leases("alone", 60))
    for path in Path(second.folder).iterdir():
        path.unlink()
    found = supersede(workers.unit.jobs, "head")
    assert [bool(job.attempt) for job in found] == [True, False]
    attempt = read_attempt(Path(first.folder))
    assert attempt is not None and attempt.lost[-1].cause == CONTINUED and attempt.token == found[0].attempt


def test_losses_count_since_the_last_progress() -> None:
    """A loss after a later checkpoint than that of the earlier ones is the first one again."""
    lost = [LostAttempt(n, "", "killed", iteration) for n, iteration in enumerate([0, 0, 500, 500, 400])]
    assert [count_losses(lost[:n]) for n in range(1, 6)] == [1, 2, 1, 2, 3]


def test_an_attempt_of_a_command_is_taken_over(workers: Workers) -> None:
    """Its losses do not count: the command had its own limit."""
    workers.take(workers.first)
    supersede(workers.unit.jobs, "head")
    for _ in range(4):
        begin_attempt(workers.unit.folder, "slot", "node lost")
    workers.watch(61)
    held = workers.take(workers.second)
    assert (held.attempt.number, held.attempt.lost[-1].cause, held.losses) == (7, LEFT, 0)


@pytest.mark.parametrize("begun", [QUEUED, LEFT])
def test_losses_count_since_the_run_was_queued(begun: str) -> None:
    """A stop does not count as one."""
    causes = ["killed", begun, "no renewal for 60 s", STOPPED, CONTINUED, "killed"]
    assert count_losses([LostAttempt(n, "", cause) for n, cause in enumerate(causes)]) == 2


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"token": 1}', '{"token": "", "count": NaN}', "[" * 100_000, "\x00"],
    ids=["half", "list", "partial", "nan", "deep", "zero"],
)
def test_a_damaged_lease_is_an_error(workers: Workers, messages: Messages, text: str) -> None:
    """The message names the file and what to do."""
    workers.take(workers.first)
    workers.unit.lease.write_text(text)
    with pytest.raises(StoreError) as caught:
        workers.state()
    if text == "[]":
        messages.check(caught.value, workers.unit.lease)


def test_a_lease_file_is_plain_json(workers: Workers) -> None:
    """A reader needs no gan-bench."""
    held = workers.take(workers.first)
    assert held.renew()
    values = json.loads(workers.unit.lease.read_text())
    assert values == {"token": held.attempt.token, "count": 1, "held": True, "cause": "", "ended": []}
    assert replace(held.jobs[0], attempt="") == workers.unit.jobs[0]
