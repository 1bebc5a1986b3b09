"""Where data are kept, and how files come there: whole, verified, one process at a time."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
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

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Home(BaseHTTPRequestHandler):
    """Serves one file, from where it is asked to; `/cut` ends too early, `/plain` knows no ranges."""

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
        """Nothing."""


@pytest.fixture
def home() -> Iterator[str]:
    """The address of a server on this machine."""
    _Home.asked = []
    server = HTTPServer(("127.0.0.1", 0), _Home)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder: Path) -> list[str]:
    """What lies in a folder, locks left out."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


class TestRoot:
    def test_is_what_the_environment_names(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """`~` is the user's home."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv(ROOT_VARIABLE, "~/data")
        assert data_root() == tmp_path / "data"

    def test_is_a_cache_otherwise(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Of the user; nothing in it is made before it is needed."""
        monkeypatch.delenv(ROOT_VARIABLE, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert data_root() == tmp_path / "gan-bench"
        assert cache_file("features", "x") == tmp_path / "gan-bench" / "cache" / "features" / "x"
        assert not (tmp_path / "gan-bench").exists()


class TestChecksum:
    def test_is_md5_sha256_or_its_beginning(self, tmp_path: Path) -> None:
        """Told apart by their length; fewer than eight digits prove nothing."""
        file = tmp_path / "file"
        file.write_bytes(CONTENT)
        assert sha256_of(file) == SHA256
        for good in (SHA256, SHA256[:8], hashlib.md5(CONTENT).hexdigest()):
            assert has_checksum(file, good)
        for bad in (SHA256[:7], "", "0" * 32, "0" * 64):
            assert not has_checksum(file, bad)


class TestDownload:
    def test_brings_a_file_and_nothing_else(self, home: str, tmp_path: Path) -> None:
        """Into a folder that is made; a second call asks nobody."""
        path, said = tmp_path / "new" / "file", list[str]()
        for _ in range(2):
            download(home, path, SHA256, said.append)
        assert path.read_bytes() == CONTENT
        assert names(path.parent) == ["file"]
        assert len(_Home.asked) == len(said) == 1

    def test_goes_on_where_it_was(self, home: str, tmp_path: Path) -> None:
        """What a connection that broke had brought is not fetched again."""
        path = tmp_path / "file"
        with pytest.raises(DataError, match=r"cannot be fetched.*goes on where it was"):
            download(f"{home}/cut", path, SHA256, lambda _: None)
        assert not path.exists()
        download(home, path, SHA256, lambda _: None)
        assert path.read_bytes() == CONTENT
        assert _Home.asked == [None, "bytes=5000-"]

    @pytest.mark.parametrize(("have", "page"), [(100, "/plain"), (len(CONTENT), "/")])
    def test_copes_with_any_server(self, home: str, tmp_path: Path, have: int, page: str) -> None:
        """One that sends everything again, and one that has nothing left to send."""
        (tmp_path / ".file.part").write_bytes(CONTENT[:have])
        download(home + page, tmp_path / "file", SHA256, lambda _: None)
        assert (tmp_path / "file").read_bytes() == CONTENT

    def test_refuses_another_file(self, home: str, tmp_path: Path) -> None:
        """What came is removed, what lies there is named and left alone."""
        path = tmp_path / "file"
        with pytest.raises(DataError, match="another checksum than 0000"):
            download(home, path, "0" * 64, lambda _: None)
        assert names(tmp_path) == []
        path.write_bytes(b"mine")
        with pytest.raises(DataError, match="Remove it"):
            download(home, path, SHA256, lambda _: None)
        assert path.read_bytes() == b"mine"

    def test_without_a_connection(self, tmp_path: Path) -> None:
        """The error says where to put the file."""
        with pytest.raises(DataError, match=r"127\.0\.0\.1:9/file cannot be fetched .*put the file at .*--data-root"):
            download("http://127.0.0.1:9/file", tmp_path / "file", SHA256, lambda _: None)
        assert names(tmp_path) == []


class TestWhole:
    def test_leaves_all_or_nothing(self, tmp_path: Path) -> None:
        """What stood there stays where writing fails."""
        path = tmp_path / "file"
        with whole(path) as file:
            file.write(b"old")
        with pytest.raises(RuntimeError), whole(path) as file:
            file.write(b"new")
            raise RuntimeError
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["file"]

    def test_says_that_the_disk_is_full(self, tmp_path: Path) -> None:
        """And how to choose another."""
        told = r"file cannot be written: the disk is full.*--data-root"
        with pytest.raises(DataError, match=told), whole(tmp_path / "file"):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert names(tmp_path) == []


def _hold(path: Path, held: object, release: object) -> None:
    with exclusive(path):
        held.set()  # type: ignore[attr-defined]
        release.wait()  # type: ignore[attr-defined]


class TestExclusive:
    def test_waits_for_another_process(self, tmp_path: Path) -> None:
        """And gets its turn when that one is killed."""
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

    def test_says_who_is_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And for what, once; nobody is told of a wait that is over at once."""
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
        assert told[0].startswith(f"waiting for process {process.pid} on ")
        assert told[0].endswith(f", which is making {tmp_path / 'set'}")

    def test_needs_a_folder_to_write_in(self, tmp_path: Path) -> None:
        """A file in its place is an error that says so."""
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match="cannot be written"), exclusive(tmp_path / "file" / "set"):
            pass


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def read_only(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a file where its caches would be, so that not even an administrator can write there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    root.mkdir()
    for name in ("cache", "prepared"):
        (root / name).touch()
    return root


class TestReadOnly:
    def test_leaves_what_is_made_to_the_users_own_cache(self, read_only: Path, tmp_path: Path) -> None:
        """Of caches and of prepared images; data themselves are looked for where they are."""
        own = tmp_path / "own" / "gan-bench"
        assert cache_file("features", "x") == own / "cache" / "features" / "x"
        assert kept_at("prepared", "set") == own / "prepared" / "set"
        assert data_root() == read_only

    def test_is_read_where_it_has_it(self, read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What somebody made there before is not made again."""
        monkeypatch.setattr(downloads, "is_writable", lambda path: False)
        (read_only / "cache").unlink()
        (read_only / "cache" / "features").mkdir(parents=True)
        (read_only / "cache" / "features" / "x").touch()
        assert cache_file("features", "x") == read_only / "cache" / "features" / "x"
        assert not cache_file("features", "y").is_relative_to(read_only)

    def test_is_told_of_once(self, read_only: Path) -> None:
        """By whatever is made first."""
        told: list[str] = []
        for name in ("x", "y"):
            path = cache_file("features", name)
            with exclusive(path, told.append), whole(path) as file:
                file.write(CONTENT)
            assert path.read_bytes() == CONTENT
        assert len(told) == 1
        assert told[0].startswith(f"{read_only} cannot be written: what is made of its files is kept in ")

    def test_that_can_be_written_is_used(self, root: Path) -> None:
        """Whether it is there yet or not."""
        assert cache_file("features", "x") == root / "cache" / "features" / "x"


class TestContents:
    def test_are_those_of_names_and_bytes(self, tmp_path: Path, root: Path) -> None:
        """Other bytes of the same length, and another name, are other contents; a copy elsewhere is the same."""
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
        """Gigabytes that nobody touched are not read at each command."""
        (tmp_path / "x").write_bytes(b"123")
        first = contents_of({"x": tmp_path / "x"})
        monkeypatch.setattr(downloads, "sha256_of", lambda path: pytest.fail("read again"))
        assert contents_of({"x": tmp_path / "x"}) == first
