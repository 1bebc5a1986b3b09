"""Queues for workers: what is written, and what a worker refuses on another machine."""

from __future__ import annotations

import json
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
from gan_bench.running.enqueue import enqueue, versions
from gan_bench.running.lease_worker import work
from gan_bench.store.attempts import begin_attempt
from gan_bench.store.job_queue import QUEUE, read_queue
from gan_bench.store.leases import Leases
from tests.support import project
from tests.support.messages import Messages

MODEL = project.plugin("own", "def turns(self, iteration):", "    return super().turns(iteration)")


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
    messages.check(error, hide=hashes | own)
    assert not (results / "runs").exists()


def test_a_missing_plugin_is_named(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a results folder names are not loaded; the message has the file, and what to do."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    error = refuse(results)
    assert isinstance(error, PluginError)
    for part in ("'own'", "plugins/own.py", "--plugin", platform.node()):
        assert part in str(error)


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_reported(tmp_path: Path, messages: Messages) -> None:
    """A machine without a GPU refuses runs for one."""
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


def test_a_stack_is_one_job(tmp_path: Path) -> None:
    """Its seeds train together, and equal those of the local engine in one stack."""
    described = project.describe(seeds=2)
    results = queue(described, tmp_path, stack="2")
    assert work(results, (), Observer()).counts == {"finished": 2}
    record = project.record(project.run_folders(tmp_path / "results")[0])
    assert record["plans"][-1]["stack"] == 2
