"""The contract kit finds each planted fault of an engine or observer once, and none in faultless ones."""

from __future__ import annotations

import os
import re
import unittest
from pathlib import Path
from typing import Any

import pytest

from gan_bench.plugins.discovery import load_plugins
from gan_bench.running import batch
from gan_bench.running.engines.local import LocalEngine
from gan_bench.testing import EngineTestCase, ObserverTestCase, checks, engines, examine, observers
from tests.support import faults_running as faults
from tests.support import project
from tests.support.findings import varying
from tests.support.messages import Messages, plugin_lists

ROOT = Path(__file__).parents[2]

ENGINES: list[tuple[type[Any], str, tuple[str, ...]]] = [
    (faults.Raising, "returns", ("RuntimeError: a run has failed",)),
    (faults.Wordless, "returns", ("returns None",)),
    (faults.Negative, "returns", ("returns False",)),
    (faults.Losing, "ends", ("'stacked', seed 1", "not started")),
    (faults.Merging, "ends", ("'finished', seed 1", "not started")),
    (faults.GivingUp, "ends", ("'diverged', seed 0", "not started", "failed")),
    (faults.Rigid, "returns", ("PluginError", "kit-points", "plugin_places")),
    (faults.Twice, "once", ("'finished', seed 0", "2 times")),
    (faults.Retrying, "once", ("'failed', seed 0", "2 times")),
    (faults.EndingTwice, "reports", ("ended()", "twice")),
    (faults.Endless, "reports", ("ended()", "never")),
    (faults.Discreet, "reports", ("ended()", "never", "'failed', seed 0")),
    (faults.Unannounced, "reports", ("started()", "never")),
    (faults.Hindsight, "reports", ("evaluated()", "before started()")),
    (faults.Optimistic, "reports", ("'failed', seed 0", "'finished'")),
    (faults.Coarse, "reports", ("'diverged', seed 0", "'failed'")),
    (faults.Late, "reports", ("evaluated()", "after ended()")),
    (faults.Silent, "events", ("evaluated()", "iteration 0")),
    (faults.Sparse, "events", ("evaluated()", "iteration 0")),
    (faults.Calm, "events", ("warning()", "'warned', seed 0")),
    (faults.Still, "events", ("progress()", "'finished', seed 1")),
    (faults.Confused, "events", ("evaluated()", "another run")),
    (faults.Rounding, "events", ("evaluated()", "curve.csv")),
    (faults.Crowded, "workers", ("3 runs", "workers = 2")),
    (faults.Chatty, "output", ("started finished",)),
    (faults.Shouting, "output", ("started",)),
    (faults.Deaf, "interrupt", ("all 3 runs",)),
    (faults.Stubborn, "interrupt", ("all 3 runs",)),
    (faults.Cheerful, "interrupt", ("returns True",)),
    (faults.Content, "interrupt", ("returns True",)),
    (faults.Abrupt, "interrupt", ("seed 0", "running")),
    (faults.Vanishing, "interrupt", ("ended()", "never", "seed 0")),
    (faults.Crashing, "interrupt", ("RuntimeError: interrupted",)),
    (faults.Remembering, "resumes", ("seed 0", "interrupted")),
    (faults.Undescribed, "description", ("Undescribed",)),
    (faults.Loose, "parameters", ("Loose.Params.nodes",)),
    (faults.Forgetful, "constructs", ("other parameters", "nodes = 2")),
    (faults.Fussy, "constructs", ("__init__()", "ValueError: one node only", "nodes = 2")),
    (faults.Littering, "files", ("engine.log",)),
    (faults.Boundless, "place", ("--device cpu and --workers 1", "4 workers")),
    (faults.Eager, "place", ("--device cpu", "'cuda'")),
    (faults.Countless, "place", ("--device auto", "1 GPUs", "'cpu'")),
    (faults.Speechless, "place", ("--device auto", "description ''")),
    (faults.Tupled, "place", ("('cpu', 4)",)),
    (faults.Disconnected, "place", ("ConnectionError: connection refused", "--device auto")),
    (faults.Bound, "place", ("TypeError", "class method")),
    (faults.Solitary, "ends", ("'stacked', seed 1", "not started")),
    (faults.Blurred, "events", ("'stacked', seed 0", "another run")),
    (faults.Jointly, "interrupt", ("seed 0", "failed")),
    (faults.Unlocked, "lock", ("setup.lock",)),
    (faults.Unsettling, "lost", ("'killed', seed 0", "running")),
    (faults.Believing, "lost", ("'killed', seed 0", "'finished'", "'failed'")),
    (faults.Concealing, "lost", ("'killed', seed 0", "never")),
    (faults.Panicking, "lost", ("RuntimeError", "9")),
    (faults.Resigning, "lost", ("'finished', seed 1", "not started")),
    (faults.Patient, "lost", ("not returned",)),
]
"""A faulty engine, the check that must find the fault, and the place and values that the finding must name."""

OBSERVERS: list[tuple[type[Any], str, tuple[str, ...]]] = [
    (faults.Short, "methods", ("ended()", "run, status, error")),
    (faults.Long, "methods", ("progress()", "'table'")),
    (faults.Bare, "methods", ("__init__()",)),
    (faults.Asynchronous, "methods", ("ended()", "coroutine")),
    (faults.Generating, "methods", ("ended()", "generator")),
    (faults.Listing, "methods", ("Listing.ended", "list")),
    (faults.Misspelt, "methods", ("Misspelt.evaluate()", "evaluated()")),
    (faults.Prefixed, "methods", ("Prefixed.on_ended()", "ended()")),
    (faults.Receiving, "methods", ("receive()",)),
    (faults.Empty, "methods", ("Empty", "no method")),
    (faults.Unexplained, "parameters", ("Unexplained.Params.file",)),
    (faults.Unbuildable, "constructs", ("__init__()", "ZeroDivisionError", "lines = 0")),
    (faults.Undocumented, "description", ("Undocumented",)),
    (faults.Keyed, "events", ("ended()", "KeyError", "failed")),
    (faults.Dividing, "events", ("evaluated()", "ZeroDivisionError", "anchors")),
    (faults.Formatting, "events", ("final_table()", "faults_running.py")),
    (faults.Leaving, "events", ("ended()", "SystemExit")),
    (faults.FromFile, "endings", ("planned()", "file None")),
    (faults.Exclusive, "endings", ("planned()", "FileExistsError", "second command")),
    (faults.First, "endings", ("planned()", "IndexError", "done already")),
    (faults.Unsettled, "endings", ("ended()", "KeyError: 'interrupted'", "Ctrl-C")),
    (faults.Emptying, "untouched", ("evaluated()", "event")),
    (faults.Sorting, "untouched", ("planned()", "runs")),
    (faults.Editing, "untouched", ("final_table()", "table")),
    (faults.Renaming, "untouched", ("started()", "run")),
    (faults.Printing, "output", ("ended()", "GAN finished")),
    (faults.Writing, "output", ("final_table()", "done")),
    (faults.Sleeping, "prompt", ("progress()",)),
    (faults.Hanging, "prompt", ("ended()", "has not returned")),
    (faults.Wandering, "process", ("Wandering", "folder")),
    (faults.Configuring, "process", ("Configuring", "GAN_BENCH_DIARY")),
]
"""The same of observers."""

LATE = ("interrupt", "resumes", "lost")
"""Checks that are run for their own faults only, because they execute further runs."""


def from_docs(name: str, folder: Path) -> Path:
    """Write an example of the contracts page to a file."""
    text = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"```python\n(# plugins/{name}\.py\n.*?)```", text, re.DOTALL)
    file = folder / f"{name}.py"
    file.write_text(code, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("cls", "check", "parts"), [*ENGINES, *OBSERVERS], ids=[cls.name for cls, _, _ in [*ENGINES, *OBSERVERS]]
)
def test_planted(
    cls: type[Any], check: str, parts: tuple[str, ...], messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly one check finds a planted fault, and its finding has a place, a reason and a remedy."""
    monkeypatch.setattr(observers, "LONGEST", 1.0)
    monkeypatch.setattr(batch, "REPORT_SECONDS", 0.02)
    monkeypatch.setattr(engines, "SECONDS", 0.2)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    made = [each for each in checks(cls) if each.name not in LATE or check in LATE]
    (finding,) = [report.finding for each in made if (report := each.report()).finding is not None]
    assert finding.check == check
    assert finding.reason
    assert finding.remedy
    folders = {folder: "FOLDER" for folder in re.findall(r"'(/[^']+)/results/example", str(finding))}
    messages.check(finding, *parts, hide=varying(str(finding)) | folders | plugin_lists(str(finding)))


@pytest.mark.parametrize("cls", [*faults.ENGINES, *faults.OBSERVERS], ids=lambda cls: cls.name)
def test_faultless(cls: type[Any]) -> None:
    """Engines and observers that keep their contract have no findings."""
    assert examine(cls) == []


@pytest.mark.slow
def test_local() -> None:
    """The built-in engine passes every check."""
    assert examine(LocalEngine) == []


@pytest.mark.parametrize(("kind", "name"), [("engines", "here"), ("engines", "workstations"), ("observers", "diary")])
def test_docs(kind: str, name: str, tmp_path: Path) -> None:
    """The examples of the contracts page pass every check."""
    assert examine(load_plugins([from_docs(name, tmp_path)]).get(kind, name)) == []


def test_from_outside() -> None:
    """An observer that was written from the documentation alone passes every check."""
    registry = load_plugins([ROOT / "tests" / "support" / "outside" / "csv_log.py"])
    assert examine(registry.get("observers", "csv-log")) == []


@pytest.mark.slow
class TestBatchSystem:
    """An engine from outside, whose jobs and events are files, as on other machines."""

    FILE = ROOT / "tests" / "support" / "outside" / "batch_system.py"

    def test_has_the_values_of_the_local_engine(self, tmp_path: Path) -> None:
        """A run that kills its process is repeated twice and fails; all others have the same values as always."""
        models = [project.ZOO["mgan"], {"plugin": "suicidal"}]
        file = project.write(tmp_path, project.describe(models), bad=project.BAD, batch=self.FILE.read_text("utf-8"))
        for engine in ("batch", "local"):
            options = ("--engine", engine, "--device", "cpu", "--workers", "2", "--results", engine)
            done = project.command("run", str(file), *options, cwd=tmp_path)
            assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
            assert engine == "local" or "2 runs at a time on a batch system (2 slots)" in done.stderr
        folders = {path.name: path for path in project.run_folders(tmp_path / "batch")}
        for path in project.run_folders(tmp_path / "local"):
            found, record = project.record(folders[path.name]), project.record(path)
            assert found["status"] == record["status"], path.name
            assert (folders[path.name] / "curve.csv").read_text() == (path / "curve.csv").read_text(), path.name
            lost = 2 if record["model"]["plugin"] == "suicidal" else 0
            assert len(found["attempts"]) == lost, found["attempts"]


class TestChecks:
    @pytest.mark.parametrize("cls", [LocalEngine, faults.Watching])
    def test_each_has_a_name_and_a_promise(self, cls: type[Any]) -> None:
        """Names are short and unique within a kind."""
        made = checks(cls)
        assert len({check.name for check in made}) == len(made)
        assert all(re.fullmatch(r"[a-z-]+", str(check)) and check.promise for check in made)

    @pytest.mark.parametrize(("base", "cls"), [(EngineTestCase, faults.Plain), (ObserverTestCase, faults.Watching)])
    def test_each_is_a_test(self, base: Any, cls: type[Any]) -> None:
        """Subclasses of the test cases have a test for each check."""
        case = type("TestPlugin", (base,), {"plugin": cls})
        names = [name for name in vars(case) if name.startswith("test_")]
        assert names == [f"test_{check}".replace("-", "_") for check in checks(cls)]

    def test_in_a_thread_no_signal_is_sent(self) -> None:
        """Outside of the main thread, the checks of Ctrl-C are skipped with the reason."""
        import threading

        found: list[Any] = []
        by_name = {check.name: check for check in checks(faults.Plain)}

        def run() -> None:
            try:
                by_name["interrupt"]()
            except unittest.SkipTest as skipped:
                found.append(str(skipped))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert len(found) == 1
        assert "main thread" in found[0]
