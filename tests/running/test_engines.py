"""The local engine with real processes, which are stopped, killed and orphaned."""

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
from tests.support.messages import Messages


class Recorder(Observer):
    """Observer that records events by plugin."""

    def __init__(self) -> None:
        self.ends: dict[str, tuple[str, str]] = {}
        self.evaluations: list[tuple[str, int]] = []
        self.starts: list[str] = []
        self.to_do: tuple[int, int] = (0, 0)
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def planned(self, runs: Sequence[Run], done: int) -> None:
        self.to_do = (len(runs), done)

    def started(self, run: Run) -> None:
        self.starts.append(run.model.plugin)

    def evaluated(self, run: Run, event: Any) -> None:
        self.evaluations.append((run.model.plugin, event.iteration))

    def ended(self, run: Run, status: str, error: str) -> None:
        self.ends[run.model.plugin] = (status, error)


def run(file: Path, results: Path, **options: Any) -> tuple[run_benchmark.BenchmarkOutcome, Recorder]:
    """Execute missing runs with the engine's worker processes."""
    recorder = Recorder()
    return run_benchmark.run(project.plan(file, results, **options), recorder), recorder


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Benchmark of a good model and four bad ones."""
    folder = tmp_path_factory.mktemp("bad")
    models = [{"plugin": name} for name in ("failing", "diverging", "suicidal", "leaving", "gan")]
    return project.write(folder, project.describe(models), bad=project.BAD)


@pytest.fixture(scope="module")
def ended(bad: Path) -> tuple[run_benchmark.BenchmarkOutcome, Recorder]:
    """Outcome and events of the first attempt of the bad benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bad.parent)
        return run(bad, bad.parent / "results", workers=2)


class TestMisbehaving:
    def test_models_do_not_affect_others(
        self, ended: tuple[run_benchmark.BenchmarkOutcome, Recorder], messages: Messages
    ) -> None:
        """Each failure is reported with its error, and the good model finishes."""
        outcome, recorder = ended
        leaving = next(path.name for path in (outcome.folder / "runs").glob("ring8-leaving-*"))
        errors = {name: error for name, (_, error) in recorder.ends.items()}
        assert {name: status for name, (status, _) in recorder.ends.items()} == {
            "failing": "failed",
            "diverging": "diverged",
            "suicidal": "failed",
            "leaving": "failed",
            "gan": "finished",
        }
        assert (errors["failing"], errors["gan"]) == ("RuntimeError: no luck ↓", "")
        messages.check(errors["diverging"], "Diverged: ", "discriminator.trunk.weight", 15)
        messages.check(errors["suicidal"], "Killed: ", 9)
        messages.check(errors["leaving"], "Killed: ", 10, f"runs/{leaving}/log.txt", hide={leaving: "RUN"})
        assert outcome.counts == {"failed": 3, "diverged": 1, "finished": 1}
        assert (outcome.exit_code, outcome.interrupted) == (1, False)

    def test_models_are_recorded(self, bad: Path, ended: tuple[run_benchmark.BenchmarkOutcome, Recorder]) -> None:
        """Run folders have the same statuses, the traceback of an exception, and the output of the model's code."""
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
        """Tables and results.csv have a row for every model, finished or not."""
        folder = bad.parent / "results" / "tiny"
        rows = project.rows(folder / "results.csv")
        finished = {row["model"]: row["value"] for row in rows if row["metric"] == "finished"}
        assert finished == dict.fromkeys(("failing", "diverging", "suicidal", "leaving"), "0.0") | {"gan": "1.0"}
        for name in ("table.md", "table.csv"):
            assert "diverging" in (folder / name).read_text(encoding="utf-8")

    def test_models_are_run_again_unless_they_diverged(
        self, bad: Path, ended: tuple[run_benchmark.BenchmarkOutcome, Recorder], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a fix of their code, the same command resumes failed runs, which then equal those of a GAN."""
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


def is_free(folder: Path) -> bool:
    """Whether no process has locked a results folder."""
    try:
        with locked(folder):
            return True
    except StoreError:
        return False


def _records(results: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(folder, project.record(folder)) for folder in project.run_folders(results)]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Benchmark whose first run waits in iteration 13 until it is stopped; the second run does not wait."""
    folder = tmp_path_factory.mktemp("gated")
    return project.write(folder, project.describe([{"plugin": "gate"}, {"plugin": "mgan"}]), gate=project.GATE)


@pytest.fixture(scope="module")
def whole(gated: Path) -> dict[str, Any]:
    """Outcome of the gated run without an interruption."""
    planned = project.plan(gated, gated.parent / "whole")
    assert project.run_jobs(planned) == "finished"
    return project.outcome(Path(planned.jobs[0].folder))


class Held:
    """A command whose first run waits in iteration 13."""

    def __init__(self, process: subprocess.Popen[str], child: int, worker: int, folder: RunFolder) -> None:
        self.process, self.child, self.worker, self.folder = process, child, worker, folder

    def end(self) -> tuple[int, str]:
        """Wait for the command to end; return its exit code and standard error."""
        _, err = self.process.communicate()
        return self.process.returncode, err


@contextmanager
def held(file: Path, tmp_path: Path) -> Iterator[Held]:
    """Start the real command with one worker, and wait until its first run has reached the gate."""
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


def assert_resumes(file: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    """Assert that the same benchmark finishes, and that the stopped run equals an uninterrupted one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalEngine", project.InProcess)
        outcome, _ = run(file, tmp_path / "results")
    assert outcome.counts == {"finished": 2}
    (folder,) = (tmp_path / "results").glob("tiny/runs/*gate*")
    assert project.difference(project.outcome(folder), whole) is None


class TestStopped:
    def test_by_ctrl_c(self, gated: Path, tmp_path: Path, whole: dict[str, Any], messages: Messages) -> None:
        """After Ctrl-C, the run has a checkpoint, no other run starts, and the exit code is 130."""
        with held(gated, tmp_path) as command:
            command.process.send_signal(signal.SIGINT)
            code, err = command.end()
        assert code == 130
        lines = err.splitlines()
        messages.check(next(line for line in lines if "Ctrl-C" in line))
        messages.check(lines[-1])
        assert "Traceback" not in err
        record = project.record(command.folder.path)
        assert (record["status"], record["iteration"]) == ("interrupted", 14)
        assert command.folder.checkpoints()[0].name == "checkpoint-14.pt"
        assert len(project.run_folders(tmp_path / "results")) == 1
        again = project.command("run", str(gated), "--device", "cpu", cwd=tmp_path)
        assert again.returncode == 0
        assert project.difference(project.outcome(command.folder.path), whole) is None

    def test_by_killing_the_command(
        self, gated: Path, tmp_path: Path, whole: dict[str, Any], messages: Messages
    ) -> None:
        """After kill -9 of the command, the run writes its checkpoint and frees the lock; the command then resumes."""
        with held(gated, tmp_path) as command:
            with messages.raises(StoreError, tmp_path / "results" / "tiny"):
                run(gated, tmp_path / "results")
            command.process.kill()
            _, err = command.end()  # ends when the worker has closed its standard error
        assert "Traceback" not in err and "Exception ignored" not in err
        with locked(tmp_path / "results" / "tiny"):
            pass
        record = project.record(command.folder.path)
        assert (record["status"], record["iteration"]) == ("interrupted", 14)
        assert_resumes(gated, tmp_path, whole)

    def test_by_killing_the_run(self, gated: Path, tmp_path: Path, whole: dict[str, Any], messages: Messages) -> None:
        """After kill -9 of a run's process, the run has failed, the next run finishes, and the exit code is 1."""
        with held(gated, tmp_path) as command:
            os.kill(command.child, signal.SIGKILL)
            code, err = command.end()
        assert code == 1
        failed = next(line for line in err.splitlines() if "gate on ring8, seed 0 failed" in line)
        messages.check(failed.partition(" (about ")[0], "Killed: ", 9)
        records = project.by_label(tmp_path / "results")
        assert {name: record["status"] for name, record in records.items()} == {"gate": "failed", "mgan": "finished"}
        assert command.folder.checkpoints()[0].name == "checkpoint-10.pt"
        assert_resumes(gated, tmp_path, whole)

    @pytest.mark.slow
    def test_by_stopping_the_worker(self, gated: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """After SIGTERM to the worker, its run writes a checkpoint, and another worker executes the other runs."""
        with held(gated, tmp_path) as command:
            os.kill(command.worker, signal.SIGTERM)
            code, _ = command.end()
        assert code == 1
        records = project.by_label(tmp_path / "results")
        assert {name: each["status"] for name, each in records.items()} == {"gate": "interrupted", "mgan": "finished"}
        assert_resumes(gated, tmp_path, whole)

    @pytest.mark.slow
    def test_by_killing_the_worker(self, gated: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """After kill -9 of the worker, Ctrl-C still stops its orphaned run."""
        with held(gated, tmp_path) as command:
            os.kill(command.worker, signal.SIGKILL)
            command.process.send_signal(signal.SIGINT)
            code, _ = command.end()
        assert code == 130
        assert project.record(command.folder.path)["status"] == "interrupted"
        assert_resumes(gated, tmp_path, whole)

    @pytest.mark.slow
    def test_by_killing_command_and_worker(self, gated: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
        """After kill -9 of both, the orphaned run writes its checkpoint and frees the lock."""
        with held(gated, tmp_path) as command:
            command.process.kill()
            os.kill(command.worker, signal.SIGKILL)
            command.end()  # ends when the run has closed its standard error, or with the command
            project.wait_for(lambda: [1] if is_free(tmp_path / "results" / "tiny") else [])
        record = project.record(command.folder.path)
        assert (record["status"], record["iteration"]) == ("interrupted", 14)
        assert_resumes(gated, tmp_path, whole)

    @pytest.mark.slow
    def test_by_a_second_ctrl_c(self, tmp_path: Path) -> None:
        """The second Ctrl-C kills a run that does not stop, and the command still exits with 130."""
        deaf = project.GATE.replace("asked.__self__.requested", "Path(folder, 'never').exists()")
        file = project.write(tmp_path, project.describe([{"plugin": "gate"}]), gate=deaf)
        with held(file, tmp_path) as command:
            command.process.send_signal(signal.SIGINT)
            assert command.process.stderr is not None
            while "Ctrl-C" not in command.process.stderr.readline():
                pass
            command.process.send_signal(signal.SIGINT)
            code, err = command.end()
        assert code == 130
        assert "Traceback" not in err
        outcome, _ = run(file, tmp_path / "results")
        assert outcome.exit_code == 0


LEAVING = (
    project.HEAD
    + '''
import multiprocessing, resource, subprocess

def nap():
    time.sleep(600)

class Littering(GAN):
    """Leaves processes behind, one with the descriptors of the run, and continues in a fork of it."""
    name = "littering"

    def generator_loss(self, fake):
        os.fork()
        return super().generator_loss(fake)

    def build(self, networks):
        subprocess.Popen(["sleep", "600"])
        multiprocessing.get_context("fork").Process(target=nap).start()
        return super().build(networks)

class Scribbling(GAN):
    """Writes to each descriptor: garbage, an event of another run and the beginning of a line."""
    name = "scribbling"

    def build(self, networks):
        text = b'{"event": "evaluated", "key": "?", "iteration": 1, "iterations": 1, "scores": {}}\\n[]\\n\\xff\\n{"eve'
        for number in range(3, 40):
            try:
                os.write(number, text)
            except OSError:
                pass
        return super().build(networks)

class Parricide(GAN):
    """Kills the worker that has started it."""
    name = "parricide"

    def turns(self, iteration):
        if iteration == 12:
            os.kill(os.getppid(), signal.SIGKILL)
        return super().turns(iteration)

@hookimpl
def gan_bench_models():
    return [Littering, Scribbling, Parricide]
'''
)


class TestWorkers:
    def test_are_not_disturbed_by_what_runs_leave(self, tmp_path: Path) -> None:
        """Processes left behind, forks of a run and foreign lines affect no other run and not the end of a command."""
        names = ("littering", "scribbling", "parricide", "gan")
        file = project.write(tmp_path, project.describe([{"plugin": name} for name in names]), leaving=LEAVING)
        outcome, recorder = run(file, tmp_path / "results", workers=1)
        assert recorder.ends == dict.fromkeys(names, ("finished", ""))
        assert [line for line in recorder.notes if "not messages" in line] != []
        with locked(outcome.folder):  # no process that was left behind has the lock
            pass
        folders = {record["model"]["plugin"]: path for path, record in _records(tmp_path / "results")}
        plain = project.outcome(folders["gan"])
        for name in names:
            assert project.difference(project.outcome(folders[name])["trainer"], plain["trainer"]) is None, name

    def test_that_never_begin_are_an_error(self, tmp_path: Path, messages: Messages) -> None:
        """If a plugin kills the workers but not the command, the command exits with an error."""
        dying = (
            "import os, signal, sys\nif sys.argv[0].endswith('worker.py'):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        file = project.write(tmp_path, project.describe(), dying=dying)
        with messages.raises(RunError, "exit code -9"):
            run(file, tmp_path / "results", workers=2)

    @pytest.mark.slow
    def test_import_the_modules_of_the_command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Workers do not import a file of the working folder that has the name of a library."""
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

def serve(jobs, registry, out, stop, private, watched):
    child = private.fork_run()
    if child == 0:
        imported = "torch._inductor.compile_fx" in sys.modules
        print(json.dumps({"broken": torch.cuda._is_in_bad_fork(), "imported": imported}), file=out, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    return worker.Ended("")

torch.cuda._device_count_nvml = lambda: 0  # as on a machine with a driver
worker._serve = serve
worker.main(sys.argv[1:])
"""
"""A worker whose jobs, in place of runs, report whether CUDA can be used in their processes."""


class TestGPUs:
    def test_can_be_used_after_the_imports_of_the_worker(self, tmp_path: Path) -> None:
        """The worker does not initialise CUDA, because CUDA initialised by a process cannot be used in its forks.

        Inductor, which initialises it with some versions of torch, is imported before a fork only for a CPU. A plugin
        that queries GPUs on import does not initialise it.
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
        found = [event for event in map(json.loads, filter(None, done.stdout.splitlines())) if "broken" in event]
        assert found[0] == {"broken": False, "imported": False}
        assert found[1]["imported"]  # once, because the import would take a second in each fork

    @pytest.mark.slow
    def test_are_distributed_over_workers(self, tmp_path: Path) -> None:
        """Each worker sees a single GPU, which is the first one of its runs."""
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
        """All GPUs are used unless CUDA_VISIBLE_DEVICES selects some, with a worker for each."""
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        assert prepare.visible_gpus() == ["0", "1"] and prepare.choose_workers(None, "cuda") == 2
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8f")
        assert run_benchmark.visible_gpus() == ["4", "GPU-8f"]
