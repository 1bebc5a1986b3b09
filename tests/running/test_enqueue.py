"""Queues for workers: what is written, and what a worker refuses on another machine."""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_bench import files
from gan_bench.contracts.observer import Observer
from gan_bench.errors import DataError, GanBenchError, PluginError, StoreError, UsageError
from gan_bench.planning.options import Options
from gan_bench.planning.prepare import prepare
from gan_bench.running import enqueue as enqueue_module
from gan_bench.running.engines.cluster.ray import RayEngine
from gan_bench.running.enqueue import enqueue, versions
from gan_bench.running.lease_worker import LeaseWorker, work
from gan_bench.store.attempts import begin_attempt
from gan_bench.store.job_queue import QUEUE, read_queue
from gan_bench.store.leases import Leases
from tests.support import project
from tests.support.messages import Messages

MODEL = project.plugin("own", "def turns(self, iteration):", "    return super().turns(iteration)")

OBSERVER = '''
from gan_bench import Observer, hookimpl

class Diary(Observer):
    """Observer that records nothing."""
    name = "diary"

@hookimpl
def gan_bench_observers():
    return [Diary]
'''


def queue(file: Any, folder: Path, **options: Any) -> Path:
    """Queue the runs of a benchmark, and return the results folder."""
    planned = prepare(file, Options(**{"results": folder / "results", "device": "cpu"} | options), elsewhere=True)
    enqueue(planned, lambda line: None)
    return planned.folder


def refuse(results: Path, **options: Any) -> GanBenchError:
    """Error with which a worker refuses a folder."""
    with pytest.raises(GanBenchError) as caught:
        work(results, options.pop("plugins", ()), Observer(), **options)
    return caught.value


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results folder with queued runs of a model in a plugin file."""
    file = project.write(tmp_path, project.describe([{"plugin": "own"}, {"plugin": "gan"}], seeds=2), own=MODEL)
    return queue(file, tmp_path)


def change(results: Path, **values: Any) -> None:
    """Change values of jobs.json."""
    path = results / QUEUE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


class TestQueue:
    def test_has_the_runs_to_do(self, tmp_path: Path) -> None:
        """Runs in their order with folders relative to the results folder; those that are done are left out."""
        described = project.describe([{"plugin": "gan"}, {"plugin": "mgan"}])
        planned = project.plan(described, tmp_path / "results")
        assert project.run_jobs(planned) == "finished"
        results = queue(described, tmp_path)
        read = read_queue(results)
        (job,) = (job for stack in read.stacks for job in stack)
        assert (job.run, job.folder) == (planned.jobs[1].run, f"runs/{planned.jobs[1].run.folder}")
        (unit,) = read.units(results)
        assert unit.jobs[0] == planned.jobs[1]
        assert (read.host, read.versions) == (platform.node(), versions())
        assert str(tmp_path) not in json.dumps(json.loads((results / QUEUE).read_text())["stacks"])

    def test_keeps_stacks_together(self, tmp_path: Path) -> None:
        """Seeds that train in one stack are one job."""
        results = queue(project.describe([{"plugin": "gan"}], seeds=5), tmp_path, stack="2")
        assert [len(stack) for stack in read_queue(results).stacks] == [2, 2, 1]

    def test_is_planned_for_machines_with_a_gpu(self, tmp_path: Path) -> None:
        """The machine that writes it needs none."""
        results = queue(project.describe(seeds=3), tmp_path, device="cuda")
        (stack,) = read_queue(results).stacks
        assert [job.device for job in stack] == ["cuda"] * 3

    def test_is_refused_for_a_check(self, tmp_path: Path, messages: Messages) -> None:
        """A check starts from scratch each time."""
        with messages.raises(UsageError, "--enqueue", "--quick"):
            queue(project.describe(), tmp_path, quick=True)

    def test_asks_no_engine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """The engine of the benchmark may be a cluster that does not run yet; it is not used, as a note reports."""

        def place(*arguments: Any) -> Any:
            raise AssertionError("the engine was asked")

        monkeypatch.setattr(RayEngine, "place", place)
        described = project.describe() | {"engine": {"plugin": "ray", "address": "nowhere:1", "gpus_per_run": 0.5}}
        planned = prepare(described, Options(results=tmp_path, device="cuda"), elsewhere=True)
        notes: list[str] = []
        enqueue(planned, notes.append)
        (job,) = (job for stack in read_queue(planned.folder).stacks for job in stack)
        assert job.device == "cuda"
        (note,) = (note for note in notes if "ray" in note)
        messages.check(note)

    def test_notes_observers(self, tmp_path: Path, messages: Messages) -> None:
        """They are not called in workers."""
        file = project.write(tmp_path, project.describe() | {"observers": {"diary": {}}}, diary=OBSERVER)
        notes: list[str] = []
        enqueue(prepare(file, Options(results=tmp_path, device="cpu"), elsewhere=True), notes.append)
        (note,) = (note for note in notes if "diary" in note)
        messages.check(note)

    def test_refuses_options_of_engines(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], messages: Messages
    ) -> None:
        """They would have no effect."""
        run = project.caller(monkeypatch, capfd, "run", "synthetic8", "--enqueue")
        for given in (("--address", "auto"), ("--engine", "ray", "--workers", "2"), ("--dry-run",)):
            said = run(*given)
            assert said.code == 2 and given[0] in said.err
            messages.check(said.err)

    @pytest.mark.parametrize("name", ["leases", "runs"])
    def test_refuses_links(self, tmp_path: Path, messages: Messages, name: str) -> None:
        """Results from elsewhere may have a link in place of a folder; nothing behind it is removed."""
        results = queue(project.describe(), tmp_path)
        kept = tmp_path / "home" / "file.json"
        kept.parent.mkdir()
        kept.touch()
        (results / name).symlink_to(kept.parent)
        with messages.raises(StoreError, name, "link"):
            queue(project.describe(), tmp_path)
        assert kept.exists()

    def test_frees_runs_of_earlier_workers(self, tmp_path: Path) -> None:
        """A run whose attempt was left is free at once."""
        results = queue(project.describe(), tmp_path)
        (unit,) = read_queue(results).units(results)
        assert begin_attempt(unit.folder, "lost") is not None
        assert Leases("here", 60).look(unit).state == "held"
        queue(project.describe(), tmp_path)
        assert Leases("here", 60).look(unit).state == "free"


def _other_version(results: Path) -> None:
    change(results, versions={"gan-bench": "0.0.9", "torch": versions()["torch"]}, host="node1")


def _other_folder(results: Path) -> None:
    text = (results / QUEUE).read_text()
    (results / QUEUE).write_text(text.replace('"folder": "runs/ring8-own-s0', '"folder": "runs/../ring8-own-s0'))


def _other_seed(results: Path) -> None:
    found = json.loads((results / QUEUE).read_text())
    for (job,) in found["stacks"]:
        job["run"]["protocol"]["batch"] = 64
    change(results, **found)


def _other_metric(results: Path) -> None:
    found = json.loads((results / QUEUE).read_text())["plugins"]
    changed = [each | {"code": "0" * 64} if each["name"] == "modes" else each for each in found]
    change(results, plugins=changed, host="node1")


def _damaged(results: Path) -> None:
    (results / QUEUE).write_text('{"stacks": [')


def _of_jobs(**values: Any) -> Callable[[Path], None]:
    """Change values of every job."""

    def damage(results: Path) -> None:
        stacks = json.loads((results / QUEUE).read_text())["stacks"]
        change(results, stacks=[[job | values for job in stack] for stack in stacks])

    return damage


def _twice(results: Path) -> None:
    stacks = json.loads((results / QUEUE).read_text())["stacks"]
    change(results, stacks=[*stacks, stacks[0]])


def _mixed(results: Path) -> None:
    stacks = json.loads((results / QUEUE).read_text())["stacks"]
    change(results, stacks=[[job for stack in stacks for job in stack]])


def _other_params(results: Path) -> None:
    (results / QUEUE).write_text((results / QUEUE).read_text().replace('"params": {', '"params": {"unknown": [1],', 1))
    text = (results / QUEUE).read_text()
    assert text.index('"unknown"') < text.index('"model"')  # of a dataset


def _links(name: str) -> Callable[[Path], None]:
    """Replace a folder by a link out of the results."""

    def damage(results: Path) -> None:
        target = results.parent / "elsewhere"
        target.mkdir()
        (results / name).rmdir() if (results / name).exists() else None
        (results / name).symlink_to(target)

    return damage


SCHEDULE = {"every": 0, "samples": 10, "metrics": [], "points": 1, "initial": True}

REFUSED: dict[str, tuple[Callable[[Path], None], type[GanBenchError], tuple[str, ...]]] = {
    "no queue": (lambda results: (results / QUEUE).unlink(), StoreError, (QUEUE, "--enqueue")),
    "damaged": (_damaged, StoreError, (QUEUE,)),
    "another format": (lambda results: change(results, format=9), StoreError, (QUEUE, "9")),
    "another version": (_other_version, UsageError, ("gan-bench", "0.0.9", "node1")),
    "another core": (lambda results: change(results, training_version=99, host="node1"), UsageError, ("99",)),
    "another metric": (_other_metric, PluginError, ("'modes'", "000000000000")),
    "another key": (_other_seed, PluginError, ("seed 0", QUEUE)),
    "a copy": (lambda results: change(results, inode=1, host="node1"), StoreError, ("results/tiny", "node1")),
    "outside": (_other_folder, StoreError, (QUEUE, "..")),
    "runs that are a link": (_links("runs"), StoreError, ("link",)),
    "leases that are a link": (_links("leases"), StoreError, ("leases", "link")),
    "workers that are a link": (_links(".workers"), StoreError, (".workers", "link")),
    "no number": (lambda results: change(results, lease_seconds=math.nan), StoreError, (QUEUE, "nan")),
    "an endless lease": (lambda results: change(results, lease_seconds=1e308), StoreError, (QUEUE, "1e+308")),
    "no time": (lambda results: change(results, lease_seconds=0), StoreError, (QUEUE, "found 0")),
    "a large number": (lambda results: change(results, inode=10**400), StoreError, (QUEUE,)),
    "deep": (lambda results: (results / QUEUE).write_text("[" * 100_000), StoreError, (QUEUE,)),
    "a run twice": (_twice, StoreError, (QUEUE, "seed 0", "twice")),
    "a mixed stack": (_mixed, StoreError, (QUEUE, "configurations")),
    "no run": (lambda results: change(results, stacks=[[]]), StoreError, (QUEUE, "no run")),
    "a check": (_of_jobs(check=True), StoreError, (QUEUE, "seed 0")),
    "another device": (_of_jobs(device="xpu:0"), StoreError, (QUEUE, "device")),
    "no evaluation": (_of_jobs(schedule=SCHEDULE), StoreError, (QUEUE, "every")),
    "other parameters": (_other_params, StoreError, (QUEUE, "'ring8'", "unknown")),
}
"""Changes of a queue or its folder, and the error of a worker."""


@pytest.mark.parametrize("case", REFUSED)
def test_a_worker_refuses(case: str, results: Path, messages: Messages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it takes a run, with a message that names the place and both values."""
    monkeypatch.chdir(results.parents[1])
    damage, kind, parts = REFUSED[case]
    damage(results)
    error = refuse(results)
    assert isinstance(error, kind) and error.exit_code == 2
    hashes = dict.fromkeys(re.findall(r"\b[0-9a-f]{12}\b", str(error)), "HASH")
    own = {versions()["gan-bench"]: "VERSION", platform.node(): "HOST"}
    for part in parts:
        assert part in str(error)
    if case not in ("a large number", "deep"):  # texts of other libraries
        messages.check(error, hide=hashes | own)
    assert not list((results / "runs").glob("*"))


@pytest.mark.parametrize("kind", ["missing", "file", "file in a folder", "dangling"])
def test_a_folder_without_a_queue_is_refused(kind: str, tmp_path: Path, messages: Messages) -> None:
    """Nothing is created in its place."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    error = refuse(tmp_path / {"file in a folder": "file/folder"}.get(kind, kind))
    assert isinstance(error, StoreError)
    messages.check(error, QUEUE, "--enqueue")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_names_from_elsewhere_are_escaped(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A terminal executes nothing of a queue from elsewhere, or of the names of other workers."""
    monkeypatch.chdir(tmp_path)
    worker = project.caller(monkeypatch, capfd, "worker", str(results))
    change(results, host="\x1b[31mnode", versions={"\x1b[2J": "\x07"})
    said = worker()
    assert said.code == 2 and "\x1b" not in said.err and "\\x1b[31mnode" in said.err
    (results / QUEUE).unlink()
    queue(project.describe(models=[{"plugin": "gan"}]), tmp_path)
    (unit,) = read_queue(results).units(results)
    assert begin_attempt(unit.folder, "\x1b[31mworker") is not None
    change(results, lease_seconds=1)
    said = worker()
    assert said.code == 0 and "\x1b" not in said.err and "\\x1b[31mworker" in said.err


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker names the place and ends; a worker that is started later executes the runs."""
    results = queue(project.describe(seeds=2), tmp_path)
    write, notes = files._write_to_disk, []

    def full(path: Path, data: bytes) -> None:
        if "tiny" in path.parts:
            raise OSError(28, "No space left on device")
        write(path, data)

    class Notes(Observer):
        """Collects notes."""

        def note(self, message: str) -> None:
            notes.append(message)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_to_disk", full)
        with pytest.raises(StoreError, match=r"results\.csv: cannot be written \(No space left"):
            work(results, (), Notes())
    assert sum("No space left" in note and "cannot be taken" in note for note in notes) == 2
    assert work(results, (), Observer()).counts == {"finished": 2}


@pytest.mark.slow
def test_a_seed_that_another_process_has_begun_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not failed: its process was kept from writing by the fence."""
    results = queue(project.describe(seeds=2), tmp_path, stack="2")
    (unit,) = read_queue(results).units(results)
    wait = LeaseWorker._wait_for_end
    other = Path(unit.jobs[1].folder)

    def interfere(worker: LeaseWorker) -> Any:
        """Begin an attempt of the second seed before the messages of the first execution are read."""
        monkeypatch.setattr(LeaseWorker, "_wait_for_end", wait)
        assert begin_attempt(other, "another") is not None
        return wait(worker)

    monkeypatch.setattr(LeaseWorker, "_wait_for_end", interfere)
    assert work(results, (), Observer()).counts == {"finished": 2}
    assert [project.record(path)["status"] for path in project.run_folders(tmp_path / "results")] == ["finished"] * 2


def test_a_missing_plugin_is_named(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a results folder names are not loaded; the message has the file, and what to do."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    error = refuse(results)
    assert isinstance(error, PluginError)
    for part in ("'own'", "plugins/own.py", "--plugin", platform.node()):
        assert part in str(error)


@pytest.mark.slow
def test_another_version_of_a_plugin_is_named(results: Path, tmp_path: Path) -> None:
    """With the hashes of both, and their files; a comment changes nothing."""
    other = tmp_path / "elsewhere" / "own.py"
    other.parent.mkdir()
    other.write_text(MODEL + "# a comment\n")
    assert work(results, [other], Observer(), most=1).counts == {"finished": 1}
    other.write_text(MODEL.replace("super().turns(iteration)", "super().turns(iteration + 0)"))
    error = refuse(results, plugins=[other])
    assert isinstance(error, PluginError)
    for part in ("'own'", str(other), str(tmp_path / "plugins" / "own.py"), "differs"):
        assert part in str(error)


def test_missing_data_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """A machine without the files of a dataset refuses before it takes a run."""
    results = queue(project.describe(), tmp_path)
    monkeypatch.setattr("gan_bench_zoo.datasets.gaussian_mixtures.Ring8.missing", lambda self: "no files here")
    error = refuse(results)
    assert isinstance(error, DataError)
    messages.check(error, "'ring8'", "no files here")


def test_other_data_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """A machine whose files have other contents refuses before it takes a run."""
    results = queue(project.describe(), tmp_path)
    monkeypatch.setattr("gan_bench_zoo.datasets.gaussian_mixtures.Ring8.contents", "f" * 64)
    error = refuse(results)
    assert isinstance(error, DataError)
    messages.check(error, "'ring8'", "ffffffffffff", hide={platform.node(): "HOST"})


def test_a_missing_gpu_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """A machine without a GPU refuses runs for one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    messages.check(refuse(queue(project.describe(), tmp_path, device="cuda")), QUEUE, "--device cpu")


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """The message names the folder."""
    results = queue(project.describe(), tmp_path)
    (results / ".lock").unlink()
    (results / ".lock").mkdir()
    with pytest.raises(StoreError, match="results/tiny: cannot be written"):
        work(results, (), Observer())


def test_ineffective_locks_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that ignores flock, workers and --enqueue warn."""
    assert files.locks_work(tmp_path)
    monkeypatch.setattr(files.fcntl, "flock", lambda *arguments: None)
    assert not files.locks_work(tmp_path) and not list(tmp_path.glob(".lock-probe*"))
    notes: list[str] = []
    planned = project.plan(project.describe(), tmp_path / "results")
    enqueue(planned, notes.append)
    assert enqueue_module.NO_LOCKS in notes


def test_missing_locks_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without flock is refused by name."""
    results = queue(project.describe(), tmp_path)

    def unsupported(*arguments: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    assert "flock" in str(refuse(results)) and str(results) in str(refuse(results))


@pytest.mark.slow
def test_a_run_is_lost_at_most_three_times(tmp_path: Path, messages: Messages) -> None:
    """Then it has failed, with its history; an exception of a plugin fails at once."""
    results = queue(project.describe(), tmp_path)
    (unit,) = read_queue(results).units(results)
    leases = Leases("node", 60)
    for _ in range(4):
        held = leases.take(unit, leases.look(unit))
        assert held is not None
        held.give_back([], "killed by signal 9 (Killed)")
    outcome = work(results, (), Observer())
    assert (outcome.counts, outcome.exit_code, outcome.all_ended) == ({"failed": 1}, 1, True)
    record = project.record(unit.folder)
    messages.check(record["error"]["message"])
    assert (record["status"], len(record["attempts"])) == ("failed", 4)
    assert work(results, (), Observer()).counts == {}


@pytest.mark.slow
def test_an_exception_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that raises, or exits, has failed; one that diverges has diverged; queued again, the first two run."""
    monkeypatch.chdir(tmp_path)
    models = [{"plugin": name} for name in ("failing", "leaving", "diverging")]
    file = project.write(tmp_path, project.describe(models), bad=project.BAD)
    results = queue(file, tmp_path)
    outcome = work(results, (), Observer())
    assert (outcome.counts, outcome.exit_code) == ({"failed": 2, "diverged": 1}, 1)
    assert [len(list(path.glob("attempt-*.json"))) for path in project.run_folders(tmp_path / "results")] == [1, 1, 1]
    assert work(results, (), Observer()).counts == {}
    (tmp_path / "mended").touch()
    queue(file, tmp_path)
    assert work(results, (), Observer()).counts == {"finished": 2}


@pytest.mark.slow
def test_a_killed_run_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that kills its process is repeated three times, after the other runs."""
    monkeypatch.chdir(tmp_path)
    file = project.write(tmp_path, project.describe([{"plugin": "suicidal"}, {"plugin": "gan"}]), bad=project.BAD)
    results = queue(file, tmp_path)
    outcome = work(results, (), Observer())
    assert outcome.counts == {"finished": 1, "failed": 1}
    records = project.by_label(tmp_path / "results")
    assert [each["cause"] for each in records["suicidal"]["attempts"]] == ["killed by signal 9 (Killed)"] * 4
    assert records["suicidal"]["status"] == "failed"


@pytest.mark.slow
def test_a_stack_is_one_job(tmp_path: Path) -> None:
    """Its seeds train together. The results folder that a user names may be a link."""
    described = project.describe(seeds=2)
    (tmp_path / "link").symlink_to(queue(described, tmp_path, stack="2"))
    assert work(tmp_path / "link", (), Observer()).counts == {"finished": 2}
    record = project.record(project.run_folders(tmp_path / "results")[0])
    assert record["plans"][-1]["stack"] == 2
