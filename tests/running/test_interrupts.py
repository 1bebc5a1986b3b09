"""Deferral of signals that interrupt a command to safe points."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from gan_bench.running.engines.interrupts import PATIENCE, SIGNALS, DeferredInterrupts, blocked


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the signal handlers after each test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(*_: object) -> None:
    """Handle a signal like the command handles a closed terminal."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("number", SIGNALS)
def test_raise_once_on_delivery(number: signal.Signals) -> None:
    """A signal makes the descriptor readable, and the next call of `deliver` raises, once."""
    signal.signal(number, interrupt)
    with DeferredInterrupts() as interrupts:
        assert interrupts.descriptor is not None
        os.kill(os.getpid(), number)
        assert select.select([interrupts.descriptor], [], [], 10)[0]
        with pytest.raises(KeyboardInterrupt):
            interrupts.deliver()
        interrupts.deliver()
        assert not select.select([interrupts.descriptor], [], [], 0)[0]
    with pytest.raises(KeyboardInterrupt):  # the original handler is restored
        os.kill(os.getpid(), number)


def test_raise_at_once_after_several_signals() -> None:
    """An engine that hangs can be interrupted by repeated signals."""
    signal.signal(signal.SIGINT, interrupt)
    with DeferredInterrupts():
        for _ in range(PATIENCE - 1):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM])
def test_count_a_closed_terminal_once(first: signal.Signals) -> None:
    """Further signals of a closed terminal are ignored: a second interruption would end runs without checkpoints."""

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


def test_call_the_original_handler() -> None:
    """The handler of a program that calls `gan_bench.run` is called on delivery, even if it does not raise."""
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    with DeferredInterrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == []
        interrupts.deliver()
        assert seen == [signal.SIGTERM]


def test_leave_ignored_signals_ignored() -> None:
    """A signal that is ignored, as under nohup, stays ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with DeferredInterrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
        interrupts.deliver()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_do_nothing_in_another_thread() -> None:
    """Outside of the main thread, where no handler can be set, the context has no effect."""
    seen: list[int | None] = []

    def enter() -> None:
        with DeferredInterrupts() as interrupts:
            seen.append(interrupts.descriptor)
            interrupts.deliver()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [None]


def test_do_not_end_a_worker_that_starts() -> None:
    """Signals to a worker whose interpreter is still starting are handled when it can: no traceback is printed."""
    code = "from gan_bench.running.engines.worker import _Stop; print(_Stop().requested)"
    with blocked():
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, ())
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("True\n", "")
