"""Interruptions of a command at safe points.

A signal handler that raises may do so anywhere: inside a lock, or in a destructor, where the exception is lost. While
an engine waits for its workers, handlers only write a byte to a pipe, and the engine raises when it reads it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPS = (signal.SIGINT, signal.SIGTERM)
"""Signals that a worker handles."""

PATIENCE = 3
"""Number of signals after which one raises immediately, because the engine does not reach its next safe point."""


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Block `STOPS`, which processes that are started meanwhile inherit, until they call `unblock`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Unblock `STOPS` in a process that now handles them: earlier, Python would print a traceback."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


class DeferredInterrupts:
    """Defer interrupting signals while the context is entered.

    Only signals whose handler is a Python function are deferred: one that is ignored stays ignored, and one that ends
    the process does so. Does nothing outside of the main thread, where no handler can be set.

    Attributes:
        descriptor: readable if a signal has arrived; None outside of the main thread.
    """

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self._end = -1
        self._arrived: list[int] = []
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> DeferredInterrupts:
        if threading.current_thread() is not threading.main_thread():
            return self
        self.descriptor, self._end = os.pipe()
        for end in (self.descriptor, self._end):
            os.set_blocking(end, False)
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._before[number] = handler
                signal.signal(number, self._defer)
        # The C handler writes at once, so that a wait that has just begun returns.
        self._wakeup_before = signal.set_wakeup_fd(self._end, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor is None:
            return
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            if self._defers(number):  # a handler may have replaced itself
                signal.signal(number, handler)
        for end in (self.descriptor, self._end):
            os.close(end)
        self.descriptor = None

    def deliver(self) -> None:
        """Call the handlers of the signals that have arrived since the last call; they may raise KeyboardInterrupt."""
        if self.descriptor is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self.descriptor, 512)
        while self._arrived:
            number = self._arrived.pop(0)
            if self._defers(number):  # else an earlier handler has set it to be ignored
                self._before[number](number, None)

    def _defers(self, number: int) -> bool:
        return signal.getsignal(number) == self._defer

    def _defer(self, number: int, frame: FrameType | None) -> None:
        self._arrived.append(number)
        if len(self._arrived) >= PATIENCE:
            self.deliver()
