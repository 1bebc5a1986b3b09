"""Storage of runs on a cluster without a shared folder: scratch folders, files that are sent, and full disks."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.events import Evaluated, Event
from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError
from gan_bench.planning.planned import Planned
from gan_bench.plugins.registry import Registry
from gan_bench.running.engines.cluster.scratch import PREFIX, Scratch
from gan_bench.running.engines.cluster.snapshots import SentFile, Snapshot
from gan_bench.running.engines.cluster.storage import (
    ShippedFolder,
    ShippedStorage,
    for_other_machines,
)
from gan_bench.running.engines.messages import Ended, Message, Started
from gan_bench.running.execute import execute_stack
from gan_bench.store.attempts import Superseded, begin_attempt
from tests.support import project
from tests.support.messages import Messages


class TestScratch:
    def test_is_removed_on_close(self, tmp_path: Path) -> None:
        """A scratch folder and its files disappear when the slot closes. The folder above is created."""
        scratch = Scratch(str(tmp_path / "new" / "base"))
        (scratch.path / "file").write_text("")
        scratch.close()
        assert list((tmp_path / "new" / "base").iterdir()) == []

    def test_of_a_killed_slot_is_removed_by_the_next(self, tmp_path: Path) -> None:
        """Folders of killed slots are removed by the next one, unless a process of the slot is alive."""
        dead, alive = Scratch(str(tmp_path)), Scratch(str(tmp_path))
        (dead.path / "plugins").mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[alive.lock]
        ) as process:
            os.close(dead.lock)
            os.close(alive.lock)  # the slot is killed as well, but not its worker
            next_ = Scratch(str(tmp_path))
            assert not dead.path.exists() and alive.path.exists()
            process.kill()
        Scratch(str(tmp_path))
        assert not alive.path.exists() and next_.path.exists()

    def test_of_others_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Links, files of the same name and folders of other users are left as they are."""
        target = tmp_path / "target"
        (target / "data").mkdir(parents=True)
        (tmp_path / f"{PREFIX}link").symlink_to(target)
        (tmp_path / f"{PREFIX}file").write_text("")
        (tmp_path / f"{PREFIX}old").mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        Scratch(str(tmp_path))
        assert (target / "data").exists() and (tmp_path / f"{PREFIX}file").exists()
        assert (tmp_path / f"{PREFIX}old").exists()
        monkeypatch.undo()
        Scratch(str(tmp_path))
        assert not (tmp_path / f"{PREFIX}old").exists()

    def test_that_cannot_be_created(self, tmp_path: Path, messages: Messages) -> None:
        """The message names the machine, the folder and the parameter."""
        (tmp_path / "file").write_text("")
        with messages.raises(StoreError, tmp_path / "file", "engine.scratch", hide={platform.node(): "HOST"}):
            Scratch(str(tmp_path / "file"))


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """Let writes of larger files than `most` bytes fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Node:
    """A machine with a scratch folder, which executes jobs in this process as a slot does.

    Attributes:
        folder: the slot's side of the storage.
        sent: snapshots in the order in which they were sent.
    """

    def __init__(self, base: Path, registry: Registry) -> None:
        self.folder = ShippedFolder(Scratch(str(base)))
        self.registry = registry
        self.sent: list[Snapshot] = []

    def execute(self, jobs: Sequence[Job], delivery: Any, *, stop_at: int = 1000, lost: bool = False) -> str:
        """Execute jobs; return why the scratch folder could not be written.

        Args:
            lost: whether the machine is lost after the last iteration.
        """
        here = self.folder.begin(jobs, delivery)
        self.sent += self.folder.changes([Started(1)])

        def report(event: Event) -> None:
            self.sent += self.folder.changes([event])

        execute_stack(here, self.registry, report, project.stop_at(stop_at))
        if lost:
            return ""
        ended: list[Message] = [Ended("")]
        self.sent += self.folder.changes(ended)
        last, problem = self.folder.end()
        self.sent += last
        return problem


class Command:
    """The command's side: jobs with attempts, and the results folder."""

    def __init__(self, planned: Planned) -> None:
        self.planned, self.storage = planned, ShippedStorage()
        self.jobs: list[Job] = []

    @property
    def run(self) -> Path:
        """Folder of the first run."""
        return Path(self.planned.jobs[0].folder)

    def begin(self, cause: str = "") -> tuple[list[Job], Any]:
        """Begin attempts; return what a slot receives."""
        self.jobs = []
        for job in self.planned.jobs:
            attempt = begin_attempt(Path(job.folder), "a node", cause)
            assert attempt is not None
            self.jobs.append(replace(job, attempt=attempt.token))
        return [for_other_machines(job, self.planned.folder) for job in self.jobs], self.storage.send(self.jobs)

    def receive(self, node: Node) -> None:
        """Write what a node has sent."""
        for snapshot in node.sent:
            self.storage.receive(snapshot, self.jobs)
        node.sent.clear()


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    """A benchmark of one run."""
    return project.plan(project.describe(), tmp_path / "results")


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, Any]:
    """Outcome of the run without any storage."""
    planned = project.plan(project.describe(), tmp_path / "whole")
    assert project.run_jobs(planned) == "finished"
    return project.outcome(Path(planned.jobs[0].folder))


class TestShippedRuns:
    def test_continue_on_another_node(self, tmp_path: Path, planned: Planned, whole: dict[str, Any]) -> None:
        """A run whose node is lost continues from the last checkpoint that arrived, with the same values."""
        command = Command(planned)
        jobs, delivery = command.begin()
        assert delivery.files == Snapshot()
        first = Node(tmp_path / "first", planned.registry)
        first.execute(jobs, delivery, stop_at=17, lost=True)
        command.receive(first)
        assert project.record(command.run)["iteration"] == 15
        jobs, delivery = command.begin("power failure")
        assert "checkpoint-15.pt" in {file.name for file in delivery.files.files}
        second = Node(tmp_path / "second", planned.registry)
        assert second.execute(jobs, delivery) == ""
        command.receive(second)
        assert project.difference(project.outcome(command.run), whole) is None
        record = project.record(command.run)
        assert len(record["resumed"]) == 1 and [each["cause"] for each in record["attempts"]] == ["power failure"]
        assert {path.name for path in command.run.iterdir() if not path.name.startswith("attempt")} == {
            *("run.json", "curve.csv", "classes.csv", "samples.npz", "checkpoint-20.pt", "checkpoint-30.pt")
        }
        assert not (second.folder._root).exists()

    def test_send_only_what_has_changed(self, tmp_path: Path, planned: Planned) -> None:
        """Files that came with the jobs, or were sent already, are not sent again; progress alone sends nothing."""
        command = Command(planned)
        node = Node(tmp_path / "node", planned.registry)
        node.execute(*command.begin(), stop_at=12)
        sent = [file.name for snapshot in node.sent for file in snapshot.files]
        assert sent.count("checkpoint-0.pt") == sent.count("checkpoint-10.pt") == sent.count("checkpoint-12.pt") == 1
        assert len([each for each in node.sent if each.files]) == 3
        command.receive(node)
        node.execute(*command.begin(), stop_at=0)
        assert {file.name for snapshot in node.sent for file in snapshot.files} <= {"checkpoint-12.pt", "run.json"}

    def test_of_a_replaced_attempt_are_not_written(self, tmp_path: Path, planned: Planned) -> None:
        """If another command has begun an attempt, the first file is an error, and later ones are ignored."""
        command = Command(planned)
        node = Node(tmp_path / "node", planned.registry)
        node.execute(*command.begin(), stop_at=12)
        begin_attempt(command.run, "another command")
        before = {path.name for path in command.run.iterdir()}
        with pytest.raises(Superseded):
            command.receive(node)
        command.receive(node)
        assert {path.name for path in command.run.iterdir()} == before

    def test_that_fail_are_stored(self, tmp_path: Path) -> None:
        """An error of a plugin is the run's end, and no matter of the disk."""
        file = project.write(tmp_path, project.describe([{"plugin": "failing"}]), bad=project.BAD)
        planned = project.plan(file, tmp_path / "results")
        command = Command(planned)
        node = Node(tmp_path / "node", planned.registry)
        assert node.execute(*command.begin()) == ""
        command.receive(node)
        assert project.record(command.run)["error"]["type"] == "RuntimeError"
        assert (command.run / "error.txt").exists()


class TestFullDisk:
    @pytest.mark.parametrize("most", [0, 8_000])
    def test_in_a_run(
        self, tmp_path: Path, planned: Planned, whole: dict[str, Any], messages: Messages, most: int
    ) -> None:
        """A run that cannot write its files is as good as lost: what arrived before is unchanged, and it continues.

        With `most` bytes no record can be written, or only no checkpoint.
        """
        command = Command(planned)
        node = Node(tmp_path / "node", planned.registry)
        node.execute(*command.begin(), stop_at=12, lost=True)
        command.receive(node)
        before = {path.name: path.read_bytes() for path in command.run.iterdir()}
        jobs, delivery = command.begin("lost")
        begin = node.folder.begin

        def begin_and_fill(jobs: Sequence[Job], delivery: Any) -> list[Job]:
            found = begin(jobs, delivery)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
            return found

        node.folder.begin = begin_and_fill  # type: ignore[method-assign]
        with full_disk(resource.RLIM_INFINITY):
            problem = node.execute(jobs, delivery)
        messages.check(
            problem, platform.node(), node.folder._root, "engine.scratch",
            hide={platform.node(): "HOST", node.folder._root.parent.name: "SLOT"},
        )  # fmt: skip
        command.receive(node)
        after = {path.name: path.read_bytes() for path in command.run.iterdir()}
        assert {name for name in after if after[name] != before.get(name)} <= {
            *("attempt.json", "attempt-2.json", "run.json")
        }
        assert project.record(command.run)["status"] == "running"
        other = Node(tmp_path / "other", planned.registry)
        assert other.execute(*command.begin(problem)) == ""
        command.receive(other)
        assert project.difference(project.outcome(command.run), whole) is None

    def test_of_files_that_are_sent(self, tmp_path: Path, planned: Planned, messages: Messages) -> None:
        """If files that come with the jobs cannot be written, the message names place and remedy; nothing is left."""
        command = Command(planned)
        node = Node(tmp_path / "node", planned.registry)
        node.execute(*command.begin(), stop_at=12)
        command.receive(node)
        jobs, delivery = command.begin()
        hide = {platform.node(): "HOST", node.folder._root.parent.name: "SLOT"}
        with full_disk(8_000), messages.raises(StoreError, node.folder._root, "engine.scratch", hide=hide):
            node.folder.begin(jobs, delivery)
        assert not node.folder._root.exists()

    def test_of_the_command(self, planned: Planned) -> None:
        """After a file that the command could not write, no later one is written: it would not belong to the others."""
        command = Command(planned)
        command.begin()
        key = planned.jobs[0].run.key
        command_files = [SentFile(key, "samples.npz", bytes(20_000)), SentFile(key, "run.json", b"{}")]
        with full_disk(8_000), pytest.raises(StoreError):
            command.storage.receive(Snapshot(tuple(command_files)), command.jobs)
        command.storage.receive(Snapshot((command_files[1],)), command.jobs)
        assert not (command.run / "run.json").exists()


def test_snapshots_precede_their_evaluation(tmp_path: Path, planned: Planned) -> None:
    """The files of an evaluation arrive before its event."""
    command = Command(planned)
    node = Node(tmp_path / "node", planned.registry)
    jobs, delivery = command.begin()
    here = node.folder.begin(jobs, delivery)
    reached = []

    def report(event: Event) -> None:
        for snapshot in node.folder.changes([event]):
            command.storage.receive(snapshot, command.jobs)
        if isinstance(event, Evaluated):
            reached.append(project.record(command.run)["iteration"] == event.iteration)

    execute_stack(here, planned.registry, report, project.never)
    assert reached == [True] * 5
