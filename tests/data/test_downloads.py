"""Data folder, caches and downloads: complete, verified, one process at a time."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import platform
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gan_bench import files
from gan_bench.data import downloads
from gan_bench.data.downloads import (
    ROOT_VARIABLE,
    cache_file,
    contents_of,
    data_root,
    download,
    exclusive,
    has_checksum,
    kept_at,
    sha256_of,
    whole,
)
from gan_bench.errors import DataError
from tests.support.messages import Messages

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Home(BaseHTTPRequestHandler):
    """Server of one file. `/cut` ends too early, and `/plain` ignores ranges."""

    asked: list[str | None] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.path != "/plain" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : 5000 if self.path == "/cut" else None])

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def home() -> Iterator[str]:
    """Address of a local server."""
    _Home.asked = []
    server = HTTPServer(("127.0.0.1", 0), _Home)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder: Path) -> list[str]:
    """Return the names of the files in a folder, except locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


class TestRoot:
    def test_is_what_the_environment_names(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """`~` in the variable is the user's home folder."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv(ROOT_VARIABLE, "~/data")
        assert data_root() == tmp_path / "data"

    def test_is_a_cache_otherwise(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The default is in the user's cache. No folder is created before it is used."""
        monkeypatch.delenv(ROOT_VARIABLE, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert data_root() == tmp_path / "gan-bench"
        assert cache_file("features", "x") == tmp_path / "gan-bench" / "cache" / "features" / "x"
        assert not (tmp_path / "gan-bench").exists()


class TestChecksum:
    def test_is_md5_sha256_or_its_beginning(self, tmp_path: Path) -> None:
        """The length of a checksum determines its kind. Fewer than eight digits match no file."""
        file = tmp_path / "file"
        file.write_bytes(CONTENT)
        assert sha256_of(file) == SHA256
        for good in (SHA256, SHA256[:8], hashlib.md5(CONTENT).hexdigest()):
            assert has_checksum(file, good)
        for bad in (SHA256[:7], "", "0" * 32, "0" * 64):
            assert not has_checksum(file, bad)


class TestDownload:
    def test_brings_a_file_and_nothing_else(self, home: str, tmp_path: Path) -> None:
        """The folder is created. A second call sends no request."""
        path, said = tmp_path / "new" / "file", list[str]()
        for _ in range(2):
            download(home, path, SHA256, said.append)
        assert path.read_bytes() == CONTENT
        assert names(path.parent) == ["file"]
        assert len(_Home.asked) == len(said) == 1

    def test_goes_on_where_it_was(self, home: str, tmp_path: Path, messages: Messages) -> None:
        """After a broken connection only the missing bytes are requested."""
        path = tmp_path / "file"
        with messages.raises(DataError, f"{home}/cut", path, hide={home: "HOST"}):
            download(f"{home}/cut", path, SHA256, lambda _: None)
        assert not path.exists()
        download(home, path, SHA256, lambda _: None)
        assert path.read_bytes() == CONTENT
        assert _Home.asked == [None, "bytes=5000-"]

    @pytest.mark.parametrize(("have", "page"), [(100, "/plain"), (len(CONTENT), "/")])
    def test_copes_with_any_server(self, home: str, tmp_path: Path, have: int, page: str) -> None:
        """The server may ignore ranges, and the partial file may already be complete."""
        (tmp_path / ".file.part").write_bytes(CONTENT[:have])
        download(home + page, tmp_path / "file", SHA256, lambda _: None)
        assert (tmp_path / "file").read_bytes() == CONTENT

    def test_refuses_another_file(self, home: str, tmp_path: Path, messages: Messages) -> None:
        """A download with a wrong checksum is removed. An existing file is reported and kept."""
        path = tmp_path / "file"
        with messages.raises(DataError, home, "0" * 64, hide={home: "HOST"}):
            download(home, path, "0" * 64, lambda _: None)
        assert names(tmp_path) == []
        path.write_bytes(b"mine")
        with messages.raises(DataError, path, SHA256):
            download(home, path, SHA256, lambda _: None)
        assert path.read_bytes() == b"mine"

    def test_without_a_connection(self, tmp_path: Path, messages: Messages) -> None:
        """The error contains the path where the file can be put by hand."""
        url = "http://127.0.0.1:9/file"
        with pytest.raises(DataError) as caught:
            download(url, tmp_path / "file", SHA256, lambda _: None)
        reason = getattr(caught.value.__cause__, "reason", None)  # of the operating system
        messages.check(caught.value, url, tmp_path / "file", "--data-root", hide={str(reason): "REASON"})
        assert names(tmp_path) == []


class TestWhole:
    def test_leaves_all_or_nothing(self, tmp_path: Path) -> None:
        """An existing file is unchanged after an error."""
        path = tmp_path / "file"
        with whole(path) as file:
            file.write(b"old")
        with pytest.raises(RuntimeError), whole(path) as file:
            file.write(b"new")
            raise RuntimeError
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["file"]

    def test_says_that_the_disk_is_full(self, tmp_path: Path, messages: Messages) -> None:
        """A full disk is reported with the file and the option for another folder."""
        with messages.raises(DataError, tmp_path / "file", "--data-root"), whole(tmp_path / "file"):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert names(tmp_path) == []


def _hold(path: Path, held: object, release: object) -> None:
    with exclusive(path):
        held.set()  # type: ignore[attr-defined]
        release.wait()  # type: ignore[attr-defined]


class TestExclusive:
    def test_waits_for_another_process(self, tmp_path: Path) -> None:
        """The lock ends when its process is killed."""
        context = multiprocessing.get_context("spawn")
        held, release, entered = context.Event(), context.Event(), threading.Event()
        process = context.Process(target=_hold, args=(tmp_path / "set", held, release))
        process.start()
        assert held.wait(60)

        def enter() -> None:
            with exclusive(tmp_path / "set"):
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        time.sleep(0.1)
        assert not entered.is_set()
        process.kill()
        assert entered.wait(60)
        thread.join()
        process.join()

    def test_says_who_is_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """The process and the file are reported once. A short wait is not reported."""
        context = multiprocessing.get_context("spawn")
        held, release, told = context.Event(), context.Event(), list[str]()
        process = context.Process(target=_hold, args=(tmp_path / "set", held, release))
        process.start()
        assert held.wait(60)

        def log(line: str) -> None:
            told.append(line)
            release.set()

        monkeypatch.setattr(files, "SILENT", 0.2)
        for _ in range(2):
            with exclusive(tmp_path / "set", log):
                pass
        process.join()
        assert len(told) == 1
        holder = f"process {process.pid} on {platform.node()}"
        messages.check(told[0], holder, tmp_path / "set", hide={holder: "HOLDER"})

    def test_needs_a_folder_to_write_in(self, tmp_path: Path, messages: Messages) -> None:
        """A file in place of the folder is reported."""
        (tmp_path / "file").touch()
        path, hide = tmp_path / "file" / "set", {os.strerror(errno.EEXIST): "REASON"}
        with messages.raises(DataError, path, hide=hide), exclusive(path):
            pass


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data folder."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def read_only(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data folder with files in place of its cache folders, so that not even root can write there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    root.mkdir()
    for name in ("cache", "prepared"):
        (root / name).touch()
    return root


class TestReadOnly:
    def test_leaves_what_is_made_to_the_users_own_cache(self, read_only: Path, tmp_path: Path) -> None:
        """Caches and prepared images are written to the user's cache. Data are read from the data folder."""
        own = tmp_path / "own" / "gan-bench"
        assert cache_file("features", "x") == own / "cache" / "features" / "x"
        assert kept_at("prepared", "set") == own / "prepared" / "set"
        assert data_root() == read_only

    def test_is_read_where_it_has_it(self, read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files of a read-only folder are used if they exist."""
        monkeypatch.setattr(downloads, "is_writable", lambda path: False)
        (read_only / "cache").unlink()
        (read_only / "cache" / "features").mkdir(parents=True)
        (read_only / "cache" / "features" / "x").touch()
        assert cache_file("features", "x") == read_only / "cache" / "features" / "x"
        assert not cache_file("features", "y").is_relative_to(read_only)

    def test_is_told_of_once(self, read_only: Path, tmp_path: Path, messages: Messages) -> None:
        """The message is reported with the first file that is computed."""
        told: list[str] = []
        for name in ("x", "y"):
            path = cache_file("features", name)
            with exclusive(path, told.append), whole(path) as file:
                file.write(CONTENT)
            assert path.read_bytes() == CONTENT
        assert len(told) == 1
        messages.check(told[0], read_only, tmp_path / "own")

    def test_that_can_be_written_is_used(self, root: Path) -> None:
        """A folder that can be written is used even if it does not exist yet."""
        assert cache_file("features", "x") == root / "cache" / "features" / "x"


class TestContents:
    def test_are_those_of_names_and_bytes(self, tmp_path: Path, root: Path) -> None:
        """The hash depends on names and bytes, not on the folder."""
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x").write_bytes(b"123")
        first, copy = (contents_of({"x": tmp_path / name / "x"}) for name in ("a", "b"))
        named = contents_of({"y": tmp_path / "a" / "x"})
        (tmp_path / "a" / "x").write_bytes(b"124")
        os.utime(tmp_path / "a" / "x", ns=(1, 1))
        changed = contents_of({"x": tmp_path / "a" / "x"})
        assert first == copy and len({first, named, changed}) == 3

    def test_are_read_once(self, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files that have not changed are not read again."""
        (tmp_path / "x").write_bytes(b"123")
        first = contents_of({"x": tmp_path / "x"})
        monkeypatch.setattr(downloads, "sha256_of", lambda path: pytest.fail("read again"))
        assert contents_of({"x": tmp_path / "x"}) == first
