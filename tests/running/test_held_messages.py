"""Messages of a slot that are sent together."""

from __future__ import annotations

import math

from gan_bench.contracts.events import Evaluated, Progress
from gan_bench.running.engines.cluster.held_messages import HOLD_SECONDS, HeldMessages
from gan_bench.running.engines.messages import Ended, Ready, Started


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_wait_for_a_limited_time() -> None:
    """The time counts from the first message that is held; without any, nothing is due."""
    clock = Clock()
    held = HeldMessages(clock)
    held.add([Ready(), Started(17)])
    assert not held.due and held.seconds_left == math.inf
    for number in (1, 2):
        held.add([Evaluated("a", number, 9, {"modes": 8.0})])
        clock.now += HOLD_SECONDS / 2
        assert held.due == (number == 2)
    assert [message.iteration for message in held.take() if isinstance(message, Evaluated)] == [1, 2]
    clock.now += HOLD_SECONDS
    assert not held.due and held.seconds_left == math.inf


def test_are_sent_at_once_with_the_end() -> None:
    """The end of a run does not wait, and comes last."""
    held = HeldMessages(Clock())
    held.add([Progress("a", 1, 9, 2.0)])
    held.add([Ended("")])
    assert held.ended and held.due
    assert held.take() == [Progress("a", 1, 9, 2.0), Ended("")]


def test_have_the_last_progress_of_each_run() -> None:
    """Seeds of a stack report their progress one by one; evaluations are kept in their order."""
    held = HeldMessages(Clock())
    score = Evaluated("a", 2, 9, {"modes": 8.0})
    held.add([Progress("a", 1, 9, 2.0), Progress("b", 1, 9, 2.0), score])
    held.add([Progress("a", 3, 9, 2.0)])
    assert held.take() == [Progress("b", 1, 9, 2.0), score, Progress("a", 3, 9, 2.0)]
