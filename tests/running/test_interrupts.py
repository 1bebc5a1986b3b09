"""Signals that interrupt a command arrive at safe points."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from gan_bench.running.engines.interrupts import PATIENCE, SIGNALS, DeferredInterrupts


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers of before, whatever a test does."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(*_: object) -> None:
    """As the command handles a closed terminal."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("number", SIGNALS)
def test_raise_when_asked_and_not_before(number: signal.Signals) -> None:
    """The signal makes the descriptor readable; the exception comes with the next question, once."""
    signal.signal(number, interrupt)
    with DeferredInterrupts() as interrupts:
        assert interrupts.descriptor is not None
        os.kill(os.getpid(), number)
        assert select.select([interrupts.descriptor], [], [], 10)[0]
        with pytest.raises(KeyboardInterrupt):
            interrupts.deliver()
        interrupts.deliver()
        assert not select.select([interrupts.descriptor], [], [], 0)[0]
    with pytest.raises(KeyboardInterrupt):  # as before
        os.kill(os.getpid(), number)


def test_raise_at_once_if_nobody_asks() -> None:
    """An engine that hangs can still be interrupted."""
    signal.signal(signal.SIGINT, interrupt)
    with DeferredInterrupts():
        for _ in range(PATIENCE - 1):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM])
def test_count_a_closed_terminal_once(first: signal.Signals) -> None:
    """It may send several signals, also after `kill`; a second interruption would end the runs without checkpoints."""

    def once(*_: object) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, once)
    with DeferredInterrupts() as interrupts:
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            interrupts.deliver()
        os.kill(os.getpid(), signal.SIGHUP)
        interrupts.deliver()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_call_the_handler_of_before() -> None:
    """A program that calls `gan_bench.run` may only take note of a signal."""
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    with DeferredInterrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == []
        interrupts.deliver()
        assert seen == [signal.SIGTERM]


def test_leave_ignored_signals_ignored() -> None:
    """As nohup sets them."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with DeferredInterrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
        interrupts.deliver()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_do_nothing_in_another_thread() -> None:
    """No handler can be set there."""
    seen: list[int | None] = []

    def enter() -> None:
        with DeferredInterrupts() as interrupts:
            seen.append(interrupts.descriptor)
            interrupts.deliver()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [None]
