"""Observers of plugins receive every event and cannot disturb a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.observer import Observer
from gan_bench.running.engines import local
from gan_bench.running.observers import EVENTS, Observers
from gan_bench.running.run_benchmark import run
from tests.support import project
from tests.support.messages import Messages

WATCHING = """
from pathlib import Path
from gan_bench import hookimpl
from gan_bench.contracts.observer import Observer

class Diary(Observer):
    name = "diary"

    def started(self, run):
        self.write("started " + run.label)

    def ended(self, run, status, error):
        self.write(f"ended {run.label} {status}")

    def write(self, line):
        with Path("diary.txt").open("a") as file:
            file.write(line + "\\n")

class Clumsy(Observer):
    name = "clumsy"

    def started(self, run):
        raise KeyError("nowhere")

@hookimpl
def gan_bench_observers():
    return [Clumsy, Diary]
"""


class _Display(Observer):
    """Observer that records all events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        for event in EVENTS:
            setattr(self, event, lambda *arguments, event=event: self.events.append((event, arguments)))

    def notes(self) -> list[str]:
        return [arguments[0] for event, arguments in self.events if event == "note"]


class _Faulty(Observer):
    name = "faulty"

    def stopping(self) -> None:
        raise ValueError("too late")


class _Unconstructible(Observer):
    name = "unconstructible"

    def __init__(self) -> None:
        raise OSError("no room")


def test_every_method_is_an_event() -> None:
    """The list of events has every method of an observer except the one that engines call."""
    assert {*EVENTS, "receive"} == {name for name, value in vars(Observer).items() if callable(value)}


@pytest.mark.parametrize("event", EVENTS)
def test_all_observers_receive_every_event(event: str) -> None:
    """The display and every other observer are called with the same arguments."""
    display, received = _Display(), []

    class Other(Observer):
        name = "other"

    setattr(Other, event, lambda self, *arguments: received.append(arguments))
    getattr(Observers(display, [Other]), event)("first", "second")
    assert received == [("first", "second")]
    assert display.events == [(event, ("first", "second"))]


def test_an_observer_that_fails_is_detached(messages: Messages) -> None:
    """Its error is reported once, and the display still receives events."""
    display = _Display()
    observers = Observers(display, [_Faulty, _Unconstructible])
    (note,) = display.notes()
    messages.check(note, "unconstructible", "__init__", "OSError: no room")
    observers.stopping()
    observers.stopping()
    (note,) = display.notes()[1:]
    messages.check(note, "faulty", "stopping", "ValueError: too late")
    assert [event for event, _ in display.events].count("stopping") == 2


def test_an_interruption_does_not_detach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a call of an observer stops the benchmark."""
    monkeypatch.setattr(_Faulty, "stopping", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Observers(_Display(), [_Faulty]).stopping()


def test_an_observer_of_a_plugin_receives_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    """An observer of a plugin file receives the events of runs, even if another observer fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    file = project.write(tmp_path, project.describe(), watching=WATCHING)
    display = _Display()
    outcome = run(project.plan(file, tmp_path), display)
    assert outcome.counts == {"finished": 1}
    assert (tmp_path / "diary.txt").read_text() == "started gan\nended gan finished\n"
    (note,) = (note for note in display.notes() if "clumsy" in note)
    messages.check(note, "started", "KeyError: 'nowhere'")
