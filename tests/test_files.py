"""Promises of atomic writing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gan_bench import files
from gan_bench.errors import StoreError
from gan_bench.files import WORKERS, locked, locks_work, read_file, shared_lock, write_atomically
from tests.support.messages import Messages


def test_text_is_utf8_and_bytes_are_themselves(tmp_path: Path) -> None:
    """Text is encoded as UTF-8 with unchanged line breaks, bytes are unchanged, and the path is returned."""
    assert write_atomically(tmp_path / "a", "±\r\n\n").read_bytes() == "±\r\n\n".encode()
    assert write_atomically(tmp_path / "b", b"\x00\xff").read_bytes() == b"\x00\xff"


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    """Missing folders are created, an older file is replaced, and no temporary file remains."""
    target = tmp_path / "x" / "y" / "file.md"
    write_atomically(target, "old")
    write_atomically(str(target), "new")
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == ["file.md"]


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    """The file has the permissions of the umask, so that colleagues can read results."""
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    assert write_atomically(tmp_path / "ours", "").stat().st_mode == ordinary.stat().st_mode


def test_a_failure_midway_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    """A full disk raises StoreError and leaves the old content and no temporary file."""
    target = write_atomically(tmp_path / "file", "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with messages.raises(StoreError, target, "No space left on device"):
        write_atomically(target, "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    """A path that is a folder, or whose parent is a file, raises StoreError with its name."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError, match="taken"):
        write_atomically(tmp_path / "taken", "x")
    write_atomically(tmp_path / "plain", "x")
    with pytest.raises(StoreError, match="below"):
        write_atomically(tmp_path / "plain" / "below", "x")


def test_a_reader_never_sees_half_of_a_file(tmp_path: Path) -> None:
    """A file is replaced, not overwritten: a process that has the old file open continues to read its content."""
    path = tmp_path / "run.json"
    write_atomically(path, "old")
    with path.open(encoding="utf-8") as reader:
        write_atomically(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text(encoding="utf-8") == "new and longer"


def test_a_pipe_or_device_is_not_replaced(tmp_path: Path, messages: Messages) -> None:
    """`-o /dev/null` would otherwise put a file in the place of the device, for every program."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with messages.raises(StoreError, str(pipe), hide={str(tmp_path): "TMP"}):
        write_atomically(pipe, "text")
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    (tmp_path / "link").symlink_to(pipe)
    write_atomically(tmp_path / "link", "text")  # replaces the link, not what it leads to
    assert pipe.is_fifo() and (tmp_path / "link").read_text() == "text"


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS reports a stale file if another machine has replaced it; after some attempts that is an error."""
    path = write_atomically(tmp_path / "file", "text")
    errors = [OSError(errno.ESTALE, "Stale file handle")] * 3
    read = files.open_file

    def stale(path: Path) -> object:
        """Fail a few times."""
        if errors:
            raise errors.pop()
        return read(path)

    monkeypatch.setattr(files, "open_file", stale)
    assert read_file(path) == b"text"
    errors.extend([OSError(errno.ESTALE, "Stale file handle")] * 100)
    with pytest.raises(OSError, match="Stale"):
        read_file(path)


class TestLocks:
    def test_workers_share_a_folder_and_are_named(self, tmp_path: Path) -> None:
        """A command that needs the folder alone gets the names of those that are alive."""
        with shared_lock(tmp_path, "first"), shared_lock(tmp_path, "second"):
            left = tmp_path / WORKERS / "worker-node-1-0123abcd"
            left.write_text("killed")
            named = r"in use by `gan-bench worker`: (first; second|second; first)\. "
            with pytest.raises(StoreError, match=named), locked(tmp_path):
                pass
            assert not left.exists()
        with locked(tmp_path):
            assert not list((tmp_path / WORKERS).iterdir())

    def test_nothing_outside_of_the_results_is_removed(self, tmp_path: Path) -> None:
        """Results from elsewhere may have a link in place of the folder of workers, or other files in it."""
        (tmp_path / "home").mkdir()
        kept = [tmp_path / "home" / name for name in ("worker-node-1-0123abcd", "my-file")]
        for path in kept:
            path.touch()
        (tmp_path / WORKERS).symlink_to("home")
        with locked(tmp_path), pytest.raises(StoreError, match="another gan-bench command"), locked(tmp_path):
            pass
        (tmp_path / WORKERS).unlink()
        (tmp_path / "home").rename(tmp_path / WORKERS)
        with locked(tmp_path), pytest.raises(StoreError, match="another gan-bench command"), locked(tmp_path):
            pass
        assert [path.name for path in (tmp_path / WORKERS).iterdir()] == ["my-file"]

    def test_a_folder_that_cannot_be_written_is_an_error(self, tmp_path: Path) -> None:
        """With its name."""
        with pytest.raises(StoreError, match="missing: cannot be written"):
            locks_work(tmp_path / "missing")
