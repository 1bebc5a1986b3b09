"""Observers: plugins may watch, and cannot get in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.observer import Observer
from gan_bench.running.engines import local
from gan_bench.running.observers import EVENTS, Observers
from gan_bench.running.run_benchmark import run
from tests.support import project

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
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...]]] = []
        for event in EVENTS:
            setattr(self, event, lambda *arguments, event=event: self.told.append((event, arguments)))

    def notes(self) -> list[str]:
        return [arguments[0] for event, arguments in self.told if event == "note"]


class _Faulty(Observer):
    name = "faulty"

    def stopping(self) -> None:
        raise ValueError("too late")


class _Stillborn(Observer):
    name = "stillborn"

    def __init__(self) -> None:
        raise OSError("no room")


def test_every_method_is_an_event() -> None:
    """What an observer may define is what it is told, but for the method that engines call: none is forgotten."""
    assert {*EVENTS, "receive"} == {name for name, value in vars(Observer).items() if callable(value)}


@pytest.mark.parametrize("event", EVENTS)
def test_all_hear_every_event(event: str) -> None:
    """The display and every other observer are called with the same arguments."""
    display, heard = _Display(), []

    class Other(Observer):
        name = "other"

    setattr(Other, event, lambda self, *arguments: heard.append(arguments))
    getattr(Observers(display, [Other]), event)("first", "second")
    assert heard == [("first", "second")]
    assert display.told == [(event, ("first", "second"))]


def test_one_that_fails_hears_no_more() -> None:
    """Its error is said once; the display goes on."""
    display = _Display()
    observers = Observers(display, [_Faulty, _Stillborn])
    assert display.notes() == ["Observer stillborn failed in __init__(): OSError: no room. It hears no more."]
    observers.stopping()
    observers.stopping()
    assert display.notes()[1:] == ["Observer faulty failed in stopping(): ValueError: too late. It hears no more."]
    assert [event for event, _ in display.told].count("stopping") == 2


def test_an_interrupt_is_not_the_observers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while an observer is called stops the benchmark."""
    monkeypatch.setattr(_Faulty, "stopping", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Observers(_Display(), [_Faulty]).stopping()


def test_a_plugins_observer_watches_a_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a file brings is told of the runs, and one that fails costs nobody anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    file = project.write(tmp_path, project.describe(), watching=WATCHING)
    display = _Display()
    outcome = run(project.plan(file, tmp_path), display)
    assert outcome.counts == {"finished": 1}
    assert (tmp_path / "diary.txt").read_text() == "started gan\nended gan finished\n"
    assert "Observer clumsy failed in started(): KeyError: 'nowhere'. It hears no more." in display.notes()
