"""Workers that share a results folder: real processes, which are stopped, killed and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.observer import Observer
from gan_bench.errors import StoreError
from gan_bench.files import locked
from gan_bench.planning.options import Options
from gan_bench.planning.prepare import prepare
from gan_bench.running import lease_worker
from gan_bench.running.enqueue import enqueue
from gan_bench.store.attempts import read_attempt
from gan_bench.store.job_queue import QUEUE
from tests.support import project
from tests.support.messages import Messages

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "common"))

from _processes import family

pytestmark = pytest.mark.slow

LEASE = 2.0
"""Seconds of a lease in tests; a renewal is due six times in it."""

GATE = project.GATE.replace(
    'while not (hasattr(asked, "__self__") and asked.__self__.requested):',
    'while not Path(folder, "open").exists() and not (hasattr(asked, "__self__") and asked.__self__.requested):',
)
"""Model that waits in iteration 13 until it is stopped, or until the folder of the gate has a file `open`."""

BENCHMARK = project.describe([{"plugin": "gate"}, {"plugin": "gan"}], seeds=2)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Benchmark of two models and two seeds, one model with a gate."""
    return project.write(tmp_path_factory.mktemp("benchmark"), BENCHMARK, gate=GATE)


@pytest.fixture(scope="module")
def whole(file: Path) -> dict[str, dict[str, Any]]:
    """Outcome of every run in one process, by folder."""
    planned = prepare(file, Options(results=file.parent / "results", device="cpu"))
    assert [project.run_jobs(planned, job) for job in planned.jobs] == ["finished"] * 4
    return outcomes(file.parent)


def outcomes(folder: Path) -> dict[str, dict[str, Any]]:
    """Outcome of every run by the name of its folder."""
    return {path.name: project.outcome(path) for path in project.run_folders(folder / "results")}


def assert_equal(folder: Path, whole: dict[str, dict[str, Any]]) -> None:
    """Assert that all runs have finished, with the same bits as those of the local engine."""
    assert project.difference(outcomes(folder), whole) is None


def attempts(folder: Path) -> dict[str, int]:
    """Number of attempts of each run, by plugin and seed."""
    found: dict[str, int] = {}
    for path in project.run_folders(folder / "results"):
        record = project.record(path)
        found[f"{record['model']['plugin']} {record['seed']}"] = len(list(path.glob("attempt-*.json")))
    return found


def queue(file: Path, folder: Path, **options: Any) -> Path:
    """Queue the runs of a benchmark below a folder, and return the results folder."""
    planned = prepare(file, Options(results=folder / "results", device="cpu", **options))
    enqueue(planned, lambda line: None)
    path = planned.folder / QUEUE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lease_seconds": LEASE}))
    return planned.folder


def start(file: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a worker in a folder."""
    plugin = str(file.parent / "plugins" / "gate.py")
    return project.start("worker", "results/tiny", "--plugin", plugin, *arguments, cwd=folder, **environment)


class Notes(Observer):
    """Collects notes."""

    def __init__(self) -> None:
        self.text = ""

    def note(self, message: str) -> None:
        self.text += f"{message}\n"


def work(file: Path, folder: Path) -> str:
    """Execute a worker in this process until no run is left, and return its notes."""
    notes = Notes()
    outcome = lease_worker.work(folder / "results" / "tiny", [file.parent / "plugins" / "gate.py"], notes)
    assert outcome.all_ended and outcome.exit_code == 0, notes.text
    return notes.text


class Held:
    """A worker whose first run waits at the gate."""

    def __init__(self, worker: subprocess.Popen[str], gate: Path, child: int, slot: int, run: Path) -> None:
        self.worker, self.gate, self.child, self.slot, self.run = worker, gate, child, slot, run

    def end(self) -> tuple[int, str]:
        """Wait for the worker to end; return its exit code and standard error."""
        _, err = self.worker.communicate()
        return self.worker.returncode, err


@contextmanager
def held(file: Path, folder: Path, *arguments: str) -> Iterator[Held]:
    """Queue the runs, start a worker, and wait until its first run has reached the gate."""
    results, gate = queue(file, folder), folder / "gate"
    gate.mkdir()
    with start(file, folder, *arguments, TEST_GATE=str(gate)) as worker:
        try:
            child = project.wait_for(lambda: [path for path in gate.iterdir() if path.name.isdigit()])[0]
            (run,) = (path.parent for path in results.glob("runs/*gate*/run.json"))
            yield Held(worker, gate, int(child.name), int(child.read_text()), run)
        finally:
            for process in family(worker.pid):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


def contents(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Files of a folder with their numbers, times and bytes."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.iterdir())
    }


class TestTogether:
    def test_each_run_is_executed_once(self, file: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """Two workers beside each other share the runs, whose bits are those of the local engine; one writes tables."""
        results = queue(file, tmp_path)
        with start(file, tmp_path) as first, start(file, tmp_path) as second:
            ends = [worker.communicate() for worker in (first, second)]
        assert [first.returncode, second.returncode] == [0, 0], ends
        started = [sum(line.endswith(" started") for line in err.splitlines()) for _, err in ends]
        assert sum(started) == 4 and min(started) >= 1
        assert attempts(tmp_path) == dict.fromkeys(("gate 0", "gate 1", "gan 0", "gan 1"), 1)
        assert_equal(tmp_path, whole)
        assert (results / "table.md").exists() and (results / "report.html").exists()
        again = project.command("run", str(file), "--device", "cpu", cwd=tmp_path)
        assert again.returncode == 0 and "All 4 runs are done" in again.stderr

    def test_a_command_beside_workers_is_refused(self, file: Path, tmp_path: Path, messages: Messages) -> None:
        """`gan-bench run` names the workers; `table` works beside them. Ctrl-C ends a worker."""
        with held(file, tmp_path) as worker:
            refused = project.command("run", str(file), "--device", "cpu", cwd=tmp_path)
            queued = project.command("run", str(file), "--device", "cpu", "--enqueue", cwd=tmp_path)
            table = project.command("table", "results/tiny", cwd=tmp_path)
            worker.worker.send_signal(signal.SIGINT)
            assert worker.end()[0] == 130
        assert (refused.returncode, queued.returncode, table.returncode) == (2, 2, 0)
        name = read_attempt(worker.run)
        assert name is not None
        messages.check(refused.stderr, "results/tiny", hide={name.place: "WORKER"})
        assert queued.stderr == refused.stderr

    def test_a_worker_beside_a_command_is_refused(self, file: Path, tmp_path: Path, messages: Messages) -> None:
        """The message names the folder."""
        results = queue(file, tmp_path)
        with locked(results), messages.raises(StoreError, results):
            work(file, tmp_path)


class TestStopped:
    def test_by_a_signal(self, file: Path, tmp_path: Path, whole: dict[str, Any], messages: Messages) -> None:
        """The run has a checkpoint, its lease is free at once, and another worker continues it."""
        with held(file, tmp_path) as worker:
            worker.worker.send_signal(signal.SIGTERM)
            code, err = worker.end()
        assert code == 130 and "Traceback" not in err
        messages.check(err.splitlines()[-1])
        record = project.record(worker.run)
        assert (record["status"], record["iteration"]) == ("interrupted", 14)
        (lease,) = (tmp_path / "results" / "tiny" / "leases").glob("*gate*")
        assert not json.loads(lease.read_text())["held"]
        work(file, tmp_path)
        assert_equal(tmp_path, whole)
        assert attempts(tmp_path) == {"gate 0": 2, "gate 1": 1, "gan 0": 1, "gan 1": 1}
        assert [each["cause"] for each in project.record(worker.run)["attempts"]] == ["stopped by Ctrl-C or a signal"]

    def test_by_killing_the_run(self, file: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """The worker executes other runs, then repeats this one; the ledger has the cause."""
        with held(file, tmp_path) as worker:
            (worker.gate / "open").touch()
            os.kill(worker.child, signal.SIGKILL)
            code, err = worker.end()
        assert code == 0, err
        assert_equal(tmp_path, whole)
        (lost,) = project.record(worker.run)["attempts"]
        assert lost["cause"] == "killed by signal 9 (Killed)"

    def test_by_killing_the_slot(self, file: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """After the death of its worker process, the orphaned run ends, and another process executes the others."""
        with held(file, tmp_path) as worker:
            os.kill(worker.slot, signal.SIGKILL)
            (worker.gate / "open").touch()
            code, err = worker.end()
        assert code == 0, err
        assert_equal(tmp_path, whole)

    def test_by_killing_the_worker(self, file: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """After kill -9 of all its processes, its lease expires, and another worker takes the run over."""
        with held(file, tmp_path) as worker:
            for process in family(worker.worker.pid):
                os.kill(process, signal.SIGKILL)
            worker.end()
            assert "taken over" in work(file, tmp_path)
        assert_equal(tmp_path, whole)
        (lost,) = project.record(worker.run)["attempts"]
        assert lost["cause"] == "no renewal for 2 s"

    def test_one_that_continues_writes_nothing(self, file: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """A worker is stopped until another one has taken its run over: first its run continues alone, then all."""
        with held(file, tmp_path) as worker:
            processes = family(worker.worker.pid)
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            assert "taken over" in work(file, tmp_path)
            before = contents(worker.run)
            (worker.gate / "open").touch()
            os.kill(worker.child, signal.SIGCONT)
            project.wait_for(lambda: _state(worker.child) in "ZX")
            assert contents(worker.run) == before
            for process in processes:
                os.kill(process, signal.SIGCONT)
            code, err = worker.end()
        assert code == 0 and "Traceback" not in err
        assert "another worker has taken it over" in err
        assert contents(worker.run) == before
        assert_equal(tmp_path, whole)


def _state(process: int) -> str:
    """State of a process, as in /proc; X without one."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
