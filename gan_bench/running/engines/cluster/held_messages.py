"""Messages of a slot that are sent together: each transfer costs the command processor time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from gan_bench.contracts.events import Progress
from gan_bench.running.engines.messages import Ended, Message, Ready, Started

HOLD_SECONDS = 2.0
"""Longest time that a message is held. Those of a run that ends are sent with its end, at once."""


class HeldMessages:
    """Messages that wait to be sent. Of the progress of a run only the last is kept.

    Args:
        clock: seconds, as of `time.monotonic`.

    Attributes:
        ended: whether the last message, `Ended`, is among those that were added.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: list[Message] = []
        self._due = math.inf
        self.ended = False

    @property
    def seconds_left(self) -> float:
        """Seconds until the messages are due; infinite without any."""
        return max(0.0, self._due - self._clock())

    @property
    def due(self) -> bool:
        """Whether the messages are to be sent now."""
        return bool(self._held) and (self.ended or self.seconds_left == 0)

    def add(self, messages: Sequence[Message]) -> None:
        """Add messages, without those that concern the slot only."""
        for message in messages:
            if isinstance(message, (Ready, Started)):
                continue
            if isinstance(message, Progress):
                self._held = [each for each in self._held if not _is_replaced(each, message)]
            if not self._held:
                self._due = min(self._due, self._clock() + HOLD_SECONDS)
            self._held.append(message)
            self.ended = self.ended or isinstance(message, Ended)

    def take(self) -> list[Message]:
        """Return the messages, and hold them no longer."""
        taken, self._held, self._due = self._held, [], math.inf
        return taken


def _is_replaced(earlier: Message, later: Progress) -> bool:
    return isinstance(earlier, Progress) and earlier.key == later.key
