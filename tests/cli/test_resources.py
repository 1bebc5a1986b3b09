"""Tests of commands on a machine that lacks something: space, files, memory, a home, a working directory."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gan_bench.cli.resources import missing_resource, require_temporary_folder
from gan_bench.data import downloads
from gan_bench.data.downloads import ROOT_VARIABLE, absolute, cache_file, data_root, folders_of
from gan_bench.errors import DataError, UsageError
from tests.support.messages import Messages

LIST = (sys.executable, "-m", "gan_bench", "list", "datasets")


def limit(kind: int, value: int) -> Callable[[], None]:
    """Function that lowers a limit of a new process."""
    return lambda: resource.setrlimit(kind, (value, value))


def require_message(done: subprocess.CompletedProcess[str], part: str) -> None:
    """Require exit code 2 and one line with a message."""
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith("Error: ")
    assert part in done.stderr


class TestProcess:
    def test_a_full_disk_for_standard_output(self) -> None:
        """Output that cannot be written is an error with exit code 2, not a traceback at the exit."""
        with open("/dev/full", "w") as full:
            require_message(subprocess.run(LIST, stdout=full, stderr=subprocess.PIPE, text=True), "Standard output")

    def test_little_address_space(self) -> None:
        """The limit is reported before numpy is imported, whose libraries end the process."""
        few = limit(resource.RLIMIT_AS, 100 * 2**20)
        require_message(subprocess.run(LIST, capture_output=True, text=True, preexec_fn=few), "ulimit -v")

    @pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
    def test_closed_standard_streams(self, closed: tuple[int, ...]) -> None:
        """Closed streams are replaced by the null device."""
        redirections = " ".join(f"{number}>&-" for number in closed)
        assert subprocess.run(["sh", "-c", f'"$@" {redirections}', "sh", *LIST]).returncode == 0

    def test_a_working_directory_that_was_removed(self, tmp_path: Path) -> None:
        """The command ends with a message before MKL ends it."""
        script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
        done = subprocess.run(["sh", "-c", script, "sh", *LIST], cwd=tmp_path, capture_output=True, text=True)
        require_message(done, "working directory")


def test_without_a_temporary_folder(monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """Training is refused with the variable that sets the folder; torch would end each worker."""

    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    with messages.raises(UsageError, "TMPDIR"):
        require_temporary_folder()


class TestMissingResource:
    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            MemoryError("Unable to allocate 8 GiB"),
            ImportError("libtorch_cpu.so: failed to map segment from shared object"),
            RuntimeError("can't start new thread"),
            OSError(errno.EMFILE, "Too many open files"),
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            OSError(errno.ENOSPC, "No space left on device", "/data/file"),
            OSError(errno.EIO, "Input/output error", b"/data/caf\xe9"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_is_named_with_a_remedy(self, error: BaseException, messages: Messages) -> None:
        """The message has what the system reports, and what to do."""
        messages.check(missing_resource(error))

    @pytest.mark.parametrize("error", [ImportError("no module"), RuntimeError("a bug"), KeyError("a bug")])
    def test_of_other_errors_is_unknown(self, error: BaseException) -> None:
        """Errors of the program keep their traceback."""
        assert missing_resource(error) == ""


@pytest.fixture
def homeless(messages: Messages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home directory, as in a container that does not know its uid."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


@pytest.mark.usefixtures("homeless")
class TestWithoutHome:
    def test_a_data_root_is_enough(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files are kept in the data root that is set, also if it cannot be written."""
        monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
        for writable in (True, False):
            monkeypatch.setattr(downloads, "is_writable", lambda path, writable=writable: writable)
            assert cache_file("features", "x") == tmp_path / "cache" / "features" / "x"
            assert folders_of("prepared") == [tmp_path / "prepared"]
        with downloads.exclusive(tmp_path / "prepared" / "x"):
            pass

    def test_without_a_data_root(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """The message has the options for the folder of data."""
        monkeypatch.delenv(ROOT_VARIABLE, raising=False)
        with messages.raises(DataError, "--data-root", ROOT_VARIABLE):
            data_root()

    def test_a_path_in_the_home(self, messages: Messages) -> None:
        """A path that begins with ~ is refused with its name."""
        with messages.raises(DataError, "~/images"):
            absolute("~/images")
