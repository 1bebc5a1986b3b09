"""Observers of plugins receive every event and cannot disturb a benchmark."""

from __future__ import annotations

from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest

import gan_bench
from gan_bench.contracts.observer import BenchmarkInfo, Observer
from gan_bench.errors import ConfigError
from gan_bench.planning.options import Options
from gan_bench.planning.prepare import prepare
from gan_bench.running.engines import local
from gan_bench.running.observers import EVENTS, Observers
from gan_bench.running.run_benchmark import run
from tests.support import project
from tests.support.messages import Messages

WATCHING = """
from pathlib import Path
from dataclasses import dataclass
from gan_bench import Observer, hookimpl, param

class Diary(Observer):
    name = "diary"

    @dataclass(frozen=True)
    class Params:
        file: str = param("diary.txt", "Name of the file in the results folder.")

    def planned(self, runs, done):
        self.write(f"{self.benchmark.name} of {self.benchmark.file.name}: {len(runs)} runs")

    def started(self, run):
        self.write("started " + run.label)

    def ended(self, run, status, error):
        self.write(f"ended {run.label} {status}")

    def final_table(self, table):
        self.write(f"table of {table.rows[0].label}")

    def write(self, line):
        with (self.benchmark.results / self.params.file).open("a") as file:
            file.write(line + "\\n")

class Clumsy(Observer):
    name = "clumsy"

    def started(self, run):
        raise KeyError("nowhere")

class Unnamed(Observer):
    name = "unnamed"

    def __init__(self, benchmark, params):
        Path("unnamed.txt").touch()

@hookimpl
def gan_bench_observers():
    return [Clumsy, Diary, Unnamed]
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

    def __init__(self, benchmark: BenchmarkInfo, params: Any) -> None:
        raise OSError("no room")


def _with(display: Observer, *classes: type[Observer]) -> Observers:
    """Return the display with observers without parameters."""
    return Observers(display, [(cls, None) for cls in classes], BenchmarkInfo("tiny"))


def test_every_method_is_an_event() -> None:
    """The list of events has every method of an observer except the one that engines call."""
    methods = {name for name, value in vars(Observer).items() if isfunction(value)}
    assert {*EVENTS, "receive", "__init__"} == methods


@pytest.mark.parametrize("event", EVENTS)
def test_all_observers_receive_every_event(event: str) -> None:
    """The display and every other observer are called with the same arguments."""
    display, received = _Display(), []

    class Other(Observer):
        name = "other"

    setattr(Other, event, lambda self, *arguments: received.append(arguments))
    getattr(_with(display, Other), event)("first", "second")
    assert received == [("first", "second")]
    assert display.events == [(event, ("first", "second"))]


def test_an_observer_that_fails_is_detached(messages: Messages) -> None:
    """Its error is reported once, and the display still receives events."""
    display = _Display()
    observers = _with(display, _Faulty, _Unconstructible)
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
        _with(_Display(), _Faulty).stopping()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty working folder, in which runs are executed in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    return tmp_path


class TestNamed:
    def test_receives_the_runs_and_the_table(self, here: Path, messages: Messages) -> None:
        """Observers that the file names get their parameters, the benchmark and all events, even if another fails."""
        described = project.describe(observers={"clumsy": {}, "diary": {"file": "mine.txt"}})
        file = project.write(here, described, watching=WATCHING)
        display = _Display()
        outcome = run(project.plan(file, here / "results"), display)
        assert outcome.counts == {"finished": 1}
        lines = (here / "results" / "tiny" / "mine.txt").read_text().splitlines()
        assert lines == ["tiny of tiny.toml: 1 runs", "started gan", "ended gan finished", "table of gan"]
        (note,) = (note for note in display.notes() if "clumsy" in note)
        messages.check(note, "started", "KeyError: 'nowhere'")
        assert not Path("unnamed.txt").exists()

    def test_is_added_by_the_command(self, here: Path) -> None:
        """`--observer` names one that the file does not name; `--set` changes its parameters."""
        file = project.write(here, project.describe(), watching=WATCHING)
        changes = {"observers": ["diary", "diary"], "overrides": ["observers.diary.file=set.txt"]}
        run(project.plan(file, here / "results", **changes), Observer())
        assert (here / "results" / "tiny" / "set.txt").exists()

    def test_a_check_has_no_final_table(self, here: Path) -> None:
        """The values of a check are meaningless."""
        file = project.write(here, project.describe(observers={"diary": {}}), watching=WATCHING)
        run(project.plan(file, here / "results", quick=True), Observer())
        lines = (here / "results" / "tiny-quick" / "diary.txt").read_text().splitlines()
        assert lines == ["tiny-quick of tiny.toml: 1 runs", "started gan", "ended gan finished"]

    def test_changes_no_key(self, here: Path) -> None:
        """A run with observers is the run without them: nothing is trained again."""
        file = project.write(here, project.describe(), watching=WATCHING)
        without, observed = (project.plan(file, here, observers=names) for names in ((), ("diary",)))
        assert observed.benchmark.observers
        assert [job.run for job in observed.jobs] == [job.run for job in without.jobs]


def test_an_observer_from_outside_follows_a_real_run(tmp_path: Path) -> None:
    """Processes execute the runs; the log has every evaluation of results.csv, and the cells of the final table."""
    file = Path(__file__).parents[1] / "support" / "outside" / "csv_log.py"
    values = gan_bench.run(
        project.describe(seeds=2, observers={"csv-log": {"file": "all.csv"}}),
        plugins=[file],
        results=tmp_path,
        device="cpu",
        workers=1,
        progress=False,
    )
    log = project.rows(tmp_path / "tiny" / "all.csv")
    assert [row["event"] for row in log if row["event"] in ("planned", "started", "ended")] == [
        *["planned"] * 2,
        *["started", "ended"] * 2,
    ]
    assert {row["name"] for row in log if row["event"] == "ended"} == {"finished"}
    stored = values[values["metric"].isin(project.METRICS) & values["generator"].isna()]
    logged = {(int(row["seed"]), int(row["iteration"]), row["name"]) for row in log if row["event"] == "evaluated"}
    assert {*zip(stored["seed"], stored["iteration"], stored["metric"], strict=True)} <= logged
    final = gan_bench.table(tmp_path / "tiny", project.METRICS).iloc[0]
    table = {row["name"]: float(row["value"]) for row in log if row["event"] == "table"}
    assert table == pytest.approx(final[list(project.METRICS)].to_dict())


@pytest.mark.parametrize(
    ("observers", "parts"),
    [
        ({"dairy": {}}, ("tiny.toml:7", "'dairy'", "'diary'")),
        ({"diary": {"fiel": "x"}}, ("tiny.toml:7", "'fiel'", "'file'")),
        ({"diary": {"file": 3}}, ("tiny.toml:7", "file", "3")),
        ({"diary": True}, ("tiny.toml:7", "observers.diary", "true")),
        (["diary"], ("tiny.toml:7", "observers", "[observers.NAME]")),
    ],
)
def test_a_wrong_table_is_refused(here: Path, observers: Any, parts: tuple[str, ...], messages: Messages) -> None:
    """An observer that is not installed, and wrong parameters, are reported with their place before anything runs."""
    file = project.write(here, project.describe(observers=observers), watching=WATCHING)
    with messages.raises(ConfigError, *parts, hide={str(here): "HERE"}):
        prepare(file, Options())


def test_an_unknown_name_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], messages: Messages
) -> None:
    """The command names the closest observer, exits with 2 and writes nothing."""
    file = project.write(here, project.describe(), watching=WATCHING)
    said = project.caller(monkeypatch, capfd, "run")(file.name, "--observer", "dairy")
    assert said.code == 2
    messages.check(said.err, "--observer dairy", "'dairy'", "'diary'")
    assert not Path("results").exists()


def test_they_are_listed(here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """`gan-bench list observers` lists all that are installed, named or not."""
    project.write(here, project.describe(), watching=WATCHING)
    said = project.caller(monkeypatch, capfd, "list")("observers")
    assert [line.split()[0] for line in said.out.splitlines()[2:]] == ["clumsy", "diary", "unnamed"]
