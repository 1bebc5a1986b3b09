"""The local engine with real processes: they are stopped, killed and orphaned, and nothing of a run is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.engine import Setup
from gan_bench.contracts.observer import Observer
from gan_bench.contracts.run import Run
from gan_bench.errors import RunError, StoreError
from gan_bench.files import locked
from gan_bench.planning import prepare
from gan_bench.running import run_benchmark
from gan_bench.running.engines import local
from gan_bench.running.engines.messages import encode_jobs
from gan_bench.store.run_folder import RunFolder
from tests.support import project


class Recorder(Observer):
    """Remembers what it is told, by plugin."""

    def __init__(self) -> None:
        self.ends: dict[str, tuple[str, str]] = {}
        self.evaluations: list[tuple[str, int]] = []
        self.starts: list[str] = []
        self.to_do: tuple[int, int] = (0, 0)

    def planned(self, runs: Sequence[Run], done: int) -> None:
        self.to_do = (len(runs), done)

    def started(self, run: Run) -> None:
        self.starts.append(run.model.plugin)

    def evaluated(self, run: Run, event: Any) -> None:
        self.evaluations.append((run.model.plugin, event.iteration))

    def ended(self, run: Run, status: str, error: str) -> None:
        self.ends[run.model.plugin] = (status, error)


def run(file: Path, results: Path, **options: Any) -> tuple[run_benchmark.BenchmarkOutcome, Recorder]:
    """Run what is missing, with the engine's own worker processes."""
    recorder = Recorder()
    return run_benchmark.run(project.plan(file, results, **options), recorder), recorder


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of a good model among bad ones, all run once."""
    folder = tmp_path_factory.mktemp("bad")
    models = [{"plugin": name} for name in ("failing", "diverging", "suicidal", "leaving", "gan")]
    return project.write(folder, project.describe(models), bad=project.BAD)


@pytest.fixture(scope="module")
def ended(bad: Path) -> tuple[run_benchmark.BenchmarkOutcome, Recorder]:
    """How the first attempt of the bad benchmark ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bad.parent)
        return run(bad, bad.parent / "results", workers=2)


class TestMisbehaving:
    def test_models_hurt_nobody_else(self, ended: tuple[run_benchmark.BenchmarkOutcome, Recorder]) -> None:
        """Each is told with its error, and the good one finishes."""
        outcome, recorder = ended
        leaving = next(path.name for path in (outcome.folder / "runs").glob("ring8-leaving-*"))
        assert recorder.ends == {
            "failing": ("failed", "RuntimeError: no luck ↓"),
            "diverging": ("diverged", "Diverged: Parameter discriminator.trunk.weight is not finite at iteration 15."),
            "suicidal": ("failed", "Killed: killed by signal 9 (Killed)"),
            "leaving": ("failed", f"Killed: its process ended with exit code 10; see runs/{leaving}/log.txt"),
            "gan": ("finished", ""),
        }
        assert outcome.counts == {"failed": 3, "diverged": 1, "finished": 1}
        assert (outcome.exit_code, outcome.interrupted) == (1, False)

    def test_models_are_recorded(self, bad: Path, ended: tuple[run_benchmark.BenchmarkOutcome, Recorder]) -> None:
        """The folders say the same, with a traceback where there is one and what the code printed."""
        records = project.by_label(bad.parent / "results")
        assert {name: record["status"] for name, record in records.items()} == {
            name: status for name, (status, _) in ended[1].ends.items()
        }
        (failing,) = (bad.parent / "results").glob("tiny/runs/*failing*")
        assert "no luck" in (failing / "error.txt").read_text(encoding="utf-8")
        assert (failing / "log.txt").read_text(encoding="utf-8").endswith("iteration 3\n")
        (good,) = (bad.parent / "results").glob("tiny/runs/ring8-gan-*")
        assert not (good / "log.txt").exists()

    def test_models_leave_tables(self, bad: Path, ended: tuple[run_benchmark.BenchmarkOutcome, Recorder]) -> None:
        """Tables and csv are written, with a row for every model, whatever became of it."""
        folder = bad.parent / "results" / "tiny"
        rows = project.rows(folder / "results.csv")
        finished = {row["model"]: row["value"] for row in rows if row["metric"] == "finished"}
        assert finished == dict.fromkeys(("failing", "diverging", "suicidal", "leaving"), "0.0") | {"gan": "1.0"}
        for name in ("table.md", "table.csv"):
            assert "diverging" in (folder / name).read_text(encoding="utf-8")

    def test_models_are_tried_again_but_not_diverged_ones(
        self, bad: Path, ended: tuple[run_benchmark.BenchmarkOutcome, Recorder], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same command, once they are mended, does what is missing from where each got to, and equals a gan."""
        monkeypatch.chdir(bad.parent)
        (bad.parent / "mended").touch()
        outcome, recorder = run(bad, bad.parent / "results", workers=2)
        assert recorder.to_do == (3, 2)
        assert sorted(recorder.starts) == ["failing", "leaving", "suicidal"]
        assert ("suicidal", 0) not in [each for each in recorder.evaluations if each[1] < 10]
        assert outcome.counts == {"finished": 4, "diverged": 1}
        assert outcome.exit_code == 1
        folders = {record["model"]["plugin"]: path for path, record in _records(bad.parent / "results")}
        plain = project.outcome(folders["gan"])
        for name in ("failing", "leaving", "suicidal"):
            mended = project.outcome(folders[name])
            for part in ("trainer", "curve", "samples", "counts"):
                assert project.difference(mended[part], plain[part]) is None, (name, part)


def _records(results: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(folder, project.record(folder)) for folder in project.run_folders(results)]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark whose first run waits in its middle to be stopped, then one that does not."""
    folder = tmp_path_factory.mktemp("gated")
    return project.write(folder, project.describe([{"plugin": "gate"}, {"plugin": "mgan"}]), gate=project.GATE)


@pytest.fixture(scope="module")
def whole(gated: Path) -> dict[str, Any]:
    """What the gated run comes to when nobody stops it."""
    planned = project.plan(gated, gated.parent / "whole")
    assert project.run_jobs(planned) == "finished"
    return project.outcome(Path(planned.jobs[0].folder))


class Held:
    """A command whose first run waits in its middle."""

    def __init__(self, process: subprocess.Popen[str], child: int, worker: int, folder: RunFolder) -> None:
        self.process, self.child, self.worker, self.folder = process, child, worker, folder

    def end(self) -> tuple[int, str]:
        """Wait for the command to end: its exit code and what it said."""
        _, err = self.process.communicate()
        return self.process.returncode, err


@contextmanager
def held(file: Path, tmp_path: Path) -> Iterator[Held]:
    """Start the real command with one worker, and wait until its first run waits."""
    gate = tmp_path / "gate"
    gate.mkdir()
    arguments = ("run", str(file), "--device", "cpu", "--workers", "1", "--results", "results")
    with project.start(*arguments, cwd=tmp_path, TEST_GATE=str(gate)) as process:
        try:
            child = project.wait_for(lambda: [path for path in gate.iterdir() if path.name.isdigit()])[0]
            (folder,) = (tmp_path / "results").glob("tiny/runs/*gate*")
            yield Held(process, int(child.name), int(child.read_text()), RunFolder(folder))
        finally:
            process.kill()


def assert_goes_on(file: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    """The same benchmark again finishes everything, and the stopped run is as if nobody had stopped it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalEngine", project.InProcess)
        outcome, _ = run(file, tmp_path / "results")
    assert outcome.counts == {"finished": 2}
    (folder,) = (tmp_path / "results").glob("tiny/runs/*gate*")
    assert project.difference(project.outcome(folder), whole) is None


class TestStopped:
    def test_by_ctrl_c(self, gated: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """Ctrl-C checkpoints, says so, ends with 130, and starts nothing else; then the command goes on."""
        with held(gated, tmp_path) as command:
            command.process.send_signal(signal.SIGINT)
            code, err = command.end()
        assert code == 130
        assert "Stopping" in err and "the same command goes on from here" in err
        assert "Traceback" not in err
        record = project.record(command.folder.path)
        assert (record["status"], record["iteration"]) == ("interrupted", 14)
        assert command.folder.checkpoints()[0].name == "checkpoint-14.pt"
        assert len(project.run_folders(tmp_path / "results")) == 1
        again = project.command("run", str(gated), "--device", "cpu", cwd=tmp_path)
        assert again.returncode == 0
        assert project.difference(project.outcome(command.folder.path), whole) is None

    def test_by_killing_the_command(self, gated: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """kill -9 of the command: the run writes its checkpoint, the lock goes with it, and the command goes on."""
        with held(gated, tmp_path) as command:
            with pytest.raises(StoreError, match="in use by another"):
                run(gated, tmp_path / "results")
            command.process.kill()
            _, err = command.end()  # ends when the worker has closed its standard error
        assert "Traceback" not in err and "Exception ignored" not in err
        with locked(tmp_path / "results" / "tiny"):
            pass
        record = project.record(command.folder.path)
        assert (record["status"], record["iteration"]) == ("interrupted", 14)
        assert_goes_on(gated, tmp_path, whole)

    def test_by_killing_the_run(self, gated: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """kill -9 of the run's process: it is recorded as failed, the next run finishes, the exit code is 1."""
        with held(gated, tmp_path) as command:
            os.kill(command.child, signal.SIGKILL)
            code, err = command.end()
        assert code == 1
        assert "gate on ring8, seed 0 failed Killed: killed by signal 9 (Killed)" in err
        records = project.by_label(tmp_path / "results")
        assert {name: record["status"] for name, record in records.items()} == {"gate": "failed", "mgan": "finished"}
        assert command.folder.checkpoints()[0].name == "checkpoint-10.pt"
        assert_goes_on(gated, tmp_path, whole)

    @pytest.mark.slow
    def test_by_stopping_the_worker(self, gated: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """SIGTERM to the worker: its run checkpoints, and another worker takes the runs that wait."""
        with held(gated, tmp_path) as command:
            os.kill(command.worker, signal.SIGTERM)
            code, _ = command.end()
        assert code == 1
        records = project.by_label(tmp_path / "results")
        assert {name: each["status"] for name, each in records.items()} == {"gate": "interrupted", "mgan": "finished"}
        assert_goes_on(gated, tmp_path, whole)

    @pytest.mark.slow
    def test_by_killing_the_worker(self, gated: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """kill -9 of the worker orphans its run, which Ctrl-C still reaches."""
        with held(gated, tmp_path) as command:
            os.kill(command.worker, signal.SIGKILL)
            command.process.send_signal(signal.SIGINT)
            code, _ = command.end()
        assert code == 130
        assert project.record(command.folder.path)["status"] == "interrupted"
        assert_goes_on(gated, tmp_path, whole)

    @pytest.mark.slow
    def test_by_a_second_ctrl_c(self, tmp_path: Path) -> None:
        """A run that does not listen is killed by the second Ctrl-C, and the command still ends in order."""
        deaf = project.GATE.replace("asked.__self__.requested", "Path(folder, 'never').exists()")
        file = project.write(tmp_path, project.describe([{"plugin": "gate"}]), gate=deaf)
        with held(file, tmp_path) as command:
            command.process.send_signal(signal.SIGINT)
            assert command.process.stderr is not None
            while "Stopping" not in command.process.stderr.readline():
                pass
            command.process.send_signal(signal.SIGINT)
            code, err = command.end()
        assert code == 130
        assert "Traceback" not in err
        outcome, _ = run(file, tmp_path / "results")
        assert outcome.exit_code == 0


class TestWorkers:
    def test_that_never_begin_are_an_error(self, tmp_path: Path) -> None:
        """Where workers die of a plugin that the command itself survived, the command says so and ends."""
        dying = "import os, sys\nif sys.argv[0].endswith('worker.py'):\n    os._exit(3)\n"
        file = project.write(tmp_path, project.describe(), dying=dying)
        with pytest.raises(RunError, match=r"exit code 3"):
            run(file, tmp_path / "results", workers=2)

    @pytest.mark.slow
    def test_import_what_the_command_imports(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of the working folder that is called as a library is not taken for it."""
        (tmp_path / "click.py").write_text("raise SystemExit('shadowed')")
        (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
        file = project.write(tmp_path / "elsewhere", project.describe())
        monkeypatch.chdir(tmp_path)
        outcome, _ = run(file, tmp_path / "results")
        assert outcome.exit_code == 0


FORKED = """
import json, os, sys
import torch
from gan_bench.running.engines import worker

def serve(jobs, registry, out, *rest):
    child = os.fork()
    if child == 0:
        imported = "torch._inductor.compile_fx" in sys.modules
        print(json.dumps({"broken": torch.cuda._is_in_bad_fork(), "imported": imported}), file=out, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    return ""

torch.cuda._device_count_nvml = lambda: 0  # as on a machine with a driver
worker._serve = serve
worker.main(sys.argv[1:])
"""
"""A worker whose jobs, in place of runs, report whether CUDA can be used in their processes."""


class TestGPUs:
    def test_can_be_used_after_what_the_worker_imports(self, tmp_path: Path) -> None:
        """CUDA that a process has initialised cannot be used in its forks.

        Inductor, which initialises it with some versions of torch, is imported before a fork only for a CPU. A plugin
        that looks for a GPU when it is imported does no harm.
        """
        looking = tmp_path / "looking.py"
        looking.write_text("import torch\nDEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'\n")
        planned = project.plan(project.describe(), tmp_path, compile="always")
        sent = [encode_jobs([replace(planned.jobs[0], device=device)]) for device in ("cuda", "cpu")]
        done = subprocess.run(
            [sys.executable, "-c", FORKED, str(looking)],
            input="".join(sent),
            capture_output=True,
            text=True,
            check=True,
        )
        found = [event for event in map(json.loads, done.stdout.splitlines()) if "broken" in event]
        assert found[0] == {"broken": False, "imported": False}
        assert found[1]["imported"]  # once for all, since each fork would take a second for it

    @pytest.mark.slow
    def test_are_shared_out(self, tmp_path: Path) -> None:
        """Each worker sees one; a run on the second has it as its first."""
        source = project.plugin(
            "seeing",
            "def turns(self, iteration):",
            "    if iteration == 0:",
            "        print(os.environ['CUDA_VISIBLE_DEVICES'])",
            "        Path(os.environ['CUDA_VISIBLE_DEVICES']).touch()",
            "        while len(list(Path().glob('gpu*'))) < 2:",
            "            time.sleep(0.01)",
            "    return super().turns(iteration)",
        )
        file = project.write(tmp_path, project.describe([{"plugin": "seeing"}], seeds=2), seeing=source)
        planned = project.plan(file, tmp_path / "results")
        with pytest.MonkeyPatch.context() as patch, locked(planned.folder) as lock:
            patch.chdir(tmp_path)
            engine = local.LocalEngine(Setup(2, planned.plugin_places, lock, ("gpu3", "gpu5")), Observer())
            assert engine.run(planned.jobs)
        logs = [(Path(job.folder) / "log.txt").read_text(encoding="utf-8").split()[0] for job in planned.jobs]
        assert sorted(logs) == ["gpu3", "gpu5"]

    def test_are_those_that_the_command_may_use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All of them, unless the environment names some; and a worker for each."""
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        assert prepare.visible_gpus() == ["0", "1"] and prepare.choose_workers(None, "cuda") == 2
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8f")
        assert run_benchmark.visible_gpus() == ["4", "GPU-8f"]
