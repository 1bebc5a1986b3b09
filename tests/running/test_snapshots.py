"""Files of runs that are sent between a slot and the command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gan_bench.contracts.events import Evaluated, Event
from gan_bench.contracts.run import Job
from gan_bench.errors import StoreError
from gan_bench.files import guarded
from gan_bench.planning.planned import Planned
from gan_bench.running.engines.cluster import snapshots
from gan_bench.running.engines.cluster.snapshots import FolderWatch, SentFile, Snapshot, read_all, write
from gan_bench.running.execute import execute, execute_stack
from gan_bench.store.attempts import Superseded, begin_attempt, fence
from tests.support import project
from tests.support.messages import Messages

EVERY = {"evaluation": {"every": 5}}
"""Evaluations at iterations 0, 5, …, 30, of which 0, 15 and 30 have a snapshot of samples."""


def place(planned: Planned, folder: Path, number: int = 0) -> Job:
    """Job of the plan with a folder that another machine has."""
    return replace(planned.jobs[number], folder=str(folder))


def names(folder: Path) -> set[str]:
    """Names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """Contents of the files in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def prefixes(snapshot: Snapshot) -> Iterator[Snapshot]:
    """Yield what a command has written if it is killed before the first file, after it, …, and before removals."""
    for count in range(len(snapshot.files) + 1):
        yield Snapshot(snapshot.files[:count])


class TestOrder:
    def test_lets_a_command_be_killed_between_two_files(self, tmp_path: Path) -> None:
        """After any number of files, also if snapshots between were missed, the run ends with the same values."""
        sent = (0, 25)
        planned = project.plan(project.describe(**EVERY), tmp_path / "whole")
        project.run_jobs(planned)
        whole = project.outcome(Path(planned.jobs[0].folder))
        there, here = tmp_path / "there", tmp_path / "here"
        there.mkdir()
        here.mkdir()
        job, key = place(planned, there), planned.jobs[0].run.key
        watch, states = FolderWatch({key: there}), []

        def report(event: Event) -> None:
            if isinstance(event, Evaluated) and event.iteration in sent:
                snapshot = watch.snapshot()
                assert snapshot is not None
                for part in prefixes(snapshot):
                    states.append(shutil.copytree(here, tmp_path / f"state-{len(states)}"))
                    write(part, {key: states[-1]})
                write(snapshot, {key: here})
                states.append(shutil.copytree(here, tmp_path / f"state-{len(states)}"))

        assert execute(job, planned.registry, report, project.never) == "finished"
        assert len(states) >= 6 * len(sent)
        for state in states[1::2]:
            assert project.run_jobs(planned, place(planned, state)) == "finished"
            assert project.difference(project.outcome(state), whole) is None, contents(state).keys()

    def test_of_reads_at_the_end(self, tmp_path: Path) -> None:
        """All files of a run arrive, and files that have vanished are removed: both folders are equal at the end."""
        planned = project.plan(project.describe(**EVERY), tmp_path)
        there, here = tmp_path / "there", tmp_path / "here"
        there.mkdir()
        key, watch = planned.jobs[0].run.key, FolderWatch({planned.jobs[0].run.key: there})
        for stop in (project.stop_at(12), project.never):
            project.run_jobs(planned, place(planned, there), stop=stop)
            snapshot = watch.snapshot(ended=True)
            assert snapshot is not None and snapshot.files[-1].name == "run.json"
            write(snapshot, {key: here})
            assert contents(here) == contents(there)
        assert snapshot.removed == ((key, "checkpoint-10.pt"), (key, "checkpoint-12.pt"))
        assert watch.snapshot(ended=True) == Snapshot()


class TestWatch:
    def test_reads_again_until_nothing_changes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """If a file is replaced, added or removed while others are read, everything is read again."""
        (tmp_path / "curve.csv").write_text("1")
        changes: list[Callable[[], object]] = [
            lambda: os.replace(written(tmp_path / ".new", "2"), tmp_path / "curve.csv"),
            lambda: (tmp_path / "samples.npz").write_text("2"),
            lambda: (tmp_path / "samples.npz").unlink(),
        ]
        read = snapshots._contents

        def changed(path: Path) -> bytes:
            data = read(path)
            if changes:
                changes.pop(0)()
            return data

        watch = FolderWatch({"a": tmp_path})
        (tmp_path / "curve.csv").write_text("10")
        monkeypatch.setattr(snapshots, "_contents", changed)
        monkeypatch.setattr(snapshots, "PAUSE_SECONDS", 0.0)
        assert watch.snapshot() == Snapshot((SentFile("a", "curve.csv", b"2"),))

    def test_gives_up_while_the_run_writes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files that change all the time give no snapshot; at the end they are sent as they are. Not so the log."""
        files = [tmp_path / "curve.csv", tmp_path / "log.txt"]
        watch = FolderWatch({"a": tmp_path})
        read, rewritten = snapshots._contents, [0]

        def changed(path: Path) -> bytes:
            data = read(path)
            for each in files:
                rewritten[0] += 1
                each.write_text("x" * rewritten[0])
            return data

        monkeypatch.setattr(snapshots, "_contents", changed)
        monkeypatch.setattr(snapshots, "PAUSE_SECONDS", 0.0)
        files[0].write_text("")
        assert watch.snapshot() is None
        found = watch.snapshot(ended=True)
        assert found is not None and {file.name for file in found.files} == {"curve.csv", "log.txt"}
        del files[0]
        found = watch.snapshot()
        assert found is not None and {file.name for file in found.files} == {"curve.csv", "log.txt"}

    def test_leaves_out_what_is_no_file_of_a_run(self, tmp_path: Path) -> None:
        """Links, folders, pipes, hidden files and records of attempts are not sent."""
        secret = tmp_path / "secret"
        secret.write_text("secret")
        folder = tmp_path / "run"
        watch = FolderWatch({"a": folder})
        folder.mkdir()
        (folder / "link.csv").symlink_to(secret)
        (folder / "folder.csv").mkdir()
        os.mkfifo(folder / "pipe.csv")
        for name in (".curve.csv.17.tmp", "attempt.json", "attempt-1.json", "curve.csv", "a b.csv"):
            (folder / name).write_text("")
        assert watch.snapshot() == Snapshot((SentFile("a", "curve.csv", b""),))

    def test_sends_the_end_of_a_long_log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A log is cut off at its beginning; it is not sent back to a slot."""
        monkeypatch.setattr(snapshots, "LONGEST_LOG", 4)
        watch = FolderWatch({"a": tmp_path})
        (tmp_path / "log.txt").write_text("0123456789")
        assert watch.snapshot() == Snapshot((SentFile("a", "log.txt", b"6789"),))
        assert read_all({"a": tmp_path}) == Snapshot()


class TestWrite:
    @pytest.mark.parametrize(
        "name", ["../run.json", "/tmp/run.json", "a/b.csv", "..", "", ".lock", "attempt.json", "attempt-2.json", "a\0b"]
    )
    def test_refuses_other_names(self, tmp_path: Path, name: str, messages: Messages) -> None:
        """A name that leaves the folder, of a hidden file or of an attempt is an error, and nothing is written."""
        folder = tmp_path / "run"
        folder.mkdir()
        (tmp_path / "run.json").write_text("")
        good = SentFile("a", "curve.csv", b"")
        for snapshot in (
            Snapshot((good, SentFile("a", name, b"x"))),
            Snapshot((good,), (("a", name),)),
        ):
            with messages.raises(StoreError, repr(name)):
                write(snapshot, {"a": folder})
        assert names(folder) == set() and (tmp_path / "run.json").read_text() == ""

    def test_refuses_other_runs(self, tmp_path: Path) -> None:
        """Files of a run that the slot does not execute, or links to one, are errors."""
        for file in (SentFile("b", "curve.csv", b""), SentFile("a", "curve.csv", b"", "b")):
            with pytest.raises(StoreError):
                write(Snapshot((file,)), {"a": tmp_path})
        assert names(tmp_path) == set()

    def test_replaces_links(self, tmp_path: Path) -> None:
        """A link in the results folder is replaced, and its target is unchanged."""
        target = written(tmp_path / "target", "mine")
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "curve.csv").symlink_to(target)
        write(Snapshot((SentFile("a", "curve.csv", b"new"),)), {"a": folder})
        assert target.read_text() == "mine" and not (folder / "curve.csv").is_symlink()

    def test_is_fenced(self, tmp_path: Path) -> None:
        """Files of a replaced attempt are not written."""
        first = begin_attempt(tmp_path, "a")
        assert first is not None
        snapshot = Snapshot((SentFile("a", "curve.csv", b"1"),))
        with guarded(fence({tmp_path: first.token})):
            write(snapshot, {"a": tmp_path})
            begin_attempt(tmp_path, "b")
            for later in (Snapshot((SentFile("a", "curve.csv", b"2"),)), Snapshot((), (("a", "curve.csv"),))):
                with pytest.raises(Superseded):
                    write(later, {"a": tmp_path})
        assert (tmp_path / "curve.csv").read_bytes() == b"1"


class TestStacks:
    def test_send_a_common_checkpoint_once(self, tmp_path: Path) -> None:
        """The file that all seeds of a stack share is sent once, linked again, and usable without the first seed."""
        planned = project.plan(project.describe(seeds=3), tmp_path / "results")
        jobs = [place(planned, tmp_path / "there" / str(number), number) for number in range(3)]
        there = {job.run.key: Path(job.folder) for job in jobs}
        watch = FolderWatch(there)
        execute_stack(jobs, planned.registry, lambda _: None, project.stop_at(12))
        found = watch.snapshot()
        assert found is not None
        checkpoints = [file for file in found.files if file.name == "checkpoint-12.pt"]
        first = jobs[0].run.key
        assert [bool(file.data) for file in checkpoints].count(True) == 1
        for left_out in (set[str](), {first}, {file.run for file in checkpoints[:2]}):
            here = {key: tmp_path / f"here-{len(left_out)}" / key[:8] for key in there}
            kept = found.without(left_out)
            assert len(list(kept.parts(1))) > len(kept.files) / 2 and len(list(kept.parts())) == 1
            for part in kept.parts(1):
                write(part, here)
            for key in here:
                assert here[key].exists() == (key not in left_out)
                if key not in left_out:
                    assert contents(here[key]) == contents(there[key])


def written(path: Path, text: str) -> Path:
    """Write a file and return its path."""
    path.write_text(text)
    return path
