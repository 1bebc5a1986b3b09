"""Parts of the verbs that execute runs: signals and the progress display."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan_bench.running.progress import LiveProgress, PlainProgress


@contextmanager
def graceful_stop() -> Iterator[None]:
    """Handle a closed terminal and `kill` like Ctrl-C: write checkpoints and the table, then exit.

    A signal that is already ignored, as by nohup, stays ignored.
    """

    def interrupt(signum: int, frame: FrameType | None) -> None:
        # A closed terminal may send several; the second of Ctrl-C or `kill` ends the runs without checkpoints.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread can set handlers
        yield
        return
    numbers = (signal.SIGHUP, signal.SIGTERM)
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) is not None}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def display(metrics: Sequence[str]) -> LiveProgress | nullcontext[PlainProgress]:
    """Context of the progress display on standard error, with these metrics."""
    from gan_bench.running.progress import LiveProgress, make_progress

    found = make_progress(metrics)
    return found if isinstance(found, LiveProgress) else nullcontext(found)
