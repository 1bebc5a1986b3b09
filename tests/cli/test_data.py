"""Tests of `gan-bench data`: list, fetch and check files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gan_bench.data import recipes
from tests.support import project
from tests.support.messages import Messages

PLUGIN = '''
"""A dataset of two files with published checksums, and a metric with weights."""
import hashlib
from dataclasses import dataclass
import numpy as np
from gan_bench import Metric, hookimpl
from gan_bench.data.downloads import data_root
from gan_bench.errors import DataError
from gan_bench.contracts.metric import Fetchable
from gan_bench.contracts.parameters import param
from gan_bench.data.image_datasets import PublishedImages, SourceFile
from gan_bench.data.recipes import Recipe

CONTENT = {"train": bytes(range(96)), "test": bytes(48)}

class Bytes(PublishedImages):
    """Bytes as images."""
    name = "bytes"
    megabytes = 7
    counts = {"train": 2, "test": 1}
    shape = (3, 4, 4)

    @dataclass(frozen=True)
    class Params:
        """Bounds."""
        values: str = param("signed", "Bounds.", choices=("signed", "unit"))

    def sources(self):
        return [SourceFile(f"bytes/{split}", hashlib.md5(content).hexdigest()) for split, content in CONTENT.items()]

    def recipe(self, split):
        source = self.sources()[["train", "test"].index(split)]
        def parts():
            yield np.frombuffer(source.verified().read_bytes(), np.uint8).reshape(-1, 3, 4, 4), None
        return Recipe(f"bytes-{split}", "bytes", self.shape, {}, {}, parts)

    def fetch(self, log):
        log("fetching bytes")
        (data_root() / "bytes").mkdir(parents=True)
        for split, content in CONTENT.items():
            (data_root() / "bytes" / split).write_bytes(content)

def weights(log):
    log("fetching weights")
    (data_root() / "weights").write_bytes(b"weights")

def found():
    path = data_root() / "weights"
    return path if path.is_file() else None

def verify():
    if found().read_bytes() != b"weights":
        raise DataError(f"{found()} is damaged.")

class Weighted(Metric):
    """Metric with weights."""
    name = "weighted"
    direction = "none"
    unit = "share"
    fetchable = {"numbers": Fetchable(weights, found, verify)}

    def compute(self, samples):
        return 0.0

@hookimpl
def gan_bench_datasets():
    return [Bytes]

@hookimpl
def gan_bench_metrics():
    return [Weighted]
'''


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench` in this process, with the plugin above and an empty data folder."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "bytes_plugin.py").write_text(PLUGIN)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(recipes, "_opened", {})
    return project.caller(monkeypatch, capfd)


def row(text: str, name: str) -> str:
    """Line of a table that begins with a name, with single spaces."""
    found = re.search(rf"^{name} .*$", text, re.MULTILINE)
    assert found, text
    return " ".join(found[0].split())


class TestList:
    def test_shows_the_state_of_files(self, call: project.Call, tmp_path: Path, messages: Messages) -> None:
        """The list has the folder and, for each dataset, counts, shape, size and state."""
        result = call("data", "list")
        assert result.code == 0 and f"Data folder: {tmp_path / 'data'}" in result.out
        assert row(result.out, "bytes") == "bytes 2 1 3 x 4 x 4 missing, 7 MB to be fetched"
        assert row(result.out, "mnist") == "mnist 60,000 10,000 1 x 28 x 28 missing, 12 MB to be fetched"
        messages.check(row(result.out, "imagenet32"))
        messages.check(row(result.out, "image-folder"))
        assert "ring8" not in result.out
        messages.check(row(result.out, "numbers:"), "weighted", "`gan-bench data fetch numbers`")
        call("data", "fetch", "bytes")
        assert row(call("data", "list").out, "bytes").endswith("0 MB ready")
        prepared_by = "from plugins import bytes_plugin as b; b.Bytes(b.Bytes.Params()).prepare(print)"
        subprocess.run([sys.executable, "-c", prepared_by], check=True, capture_output=True)
        assert row(call("data", "list").out, "bytes").endswith("0 MB prepared")

    def test_shows_the_files_of_weights(self, call: project.Call, tmp_path: Path, messages: Messages) -> None:
        """The list has the path and the size of the weights."""
        call("data", "fetch", "numbers")
        messages.check(row(call("data", "list").out, "numbers:"), tmp_path / "data" / "weights", "0 MB")

    def test_reports_a_missing_folder(self, call: project.Call, tmp_path: Path, messages: Messages) -> None:
        """A folder that does not exist is reported, because its name may be mistyped."""
        result = call("data", "list", "--data-root", "tpyo")
        assert result.code == 0
        messages.check(result.out.splitlines()[0], tmp_path / "tpyo")

    def test_takes_no_name(self, call: project.Call) -> None:
        """A name is an error, so that it is not mistaken for a filter."""
        assert call("data", "list", "mnist").code == 2


class TestFetch:
    def test_downloads_datasets_and_weights(self, call: project.Call, tmp_path: Path) -> None:
        """Progress is printed to standard error. Existing files are not downloaded again."""
        result = call("data", "fetch", "bytes", "numbers")
        assert (result.code, result.out) == (0, "bytes: ready\nnumbers: ready\n")
        assert result.err.splitlines() == ["fetching bytes", "fetching weights"]
        assert (tmp_path / "data" / "bytes" / "train").is_file() and (tmp_path / "data" / "weights").is_file()
        again = call("data", "fetch", "bytes")
        assert (again.code, again.err) == (0, "")

    def test_into_another_folder(self, call: project.Call, tmp_path: Path) -> None:
        """`--data-root` overrides the environment variable, also for child processes."""
        assert call("data", "fetch", "bytes", "--data-root", "elsewhere").code == 0
        assert (tmp_path / "elsewhere" / "bytes" / "test").is_file() and not (tmp_path / "data" / "bytes").exists()
        assert os.environ["GAN_BENCH_DATA"] == str(tmp_path / "elsewhere")

    @pytest.mark.parametrize(
        ("names", "part"),
        [
            ([], "`gan-bench data fetch`"),
            (["byte"], "'bytes'"),
            (["bytes", "ring8"], "'ring8'"),
            (["imagenet32"], "image-net.org"),
            (["image-folder"], "image-folder: "),
        ],
        ids=["no name", "typo", "points", "by hand", "parameters"],
    )
    def test_rejects_names_without_downloads(
        self, call: project.Call, tmp_path: Path, names: list[str], part: str
    ) -> None:
        """All names are checked before the first download."""
        result = call("data", "fetch", *names)
        assert result.code == 2 and part in result.err
        assert not (tmp_path / "data" / "bytes").exists()


class TestCheck:
    def test_of_nothing(self, call: project.Call) -> None:
        """An empty folder has no problems, unless a missing dataset is named."""
        assert "no files to check" in call("data", "check").out
        result = call("data", "check", "bytes")
        assert result.code == 2 and "gan-bench data fetch bytes" in result.out
        assert call("data", "check", "byte").code == 2

    def test_of_intact_files(self, call: project.Call, tmp_path: Path) -> None:
        """Each file is listed."""
        call("data", "fetch", "bytes")
        for result in (call("data", "check"), call("data", "check", "bytes")):
            assert result.code == 0 and result.out.count("ok ") == 2 and "bytes/train" in result.out

    def test_of_damage(self, call: project.Call, tmp_path: Path) -> None:
        """Damaged sources and unfinished prepared data give exit code 2. All files are checked."""
        call("data", "fetch", "bytes")
        (tmp_path / "data" / "bytes" / "train").write_bytes(b"other")
        (tmp_path / "data" / "prepared" / "half").mkdir(parents=True)
        result = call("data", "check")
        assert result.code == 2
        wrong = [line for line in result.out.splitlines() if line.startswith("WRONG")]
        assert len(wrong) == 2 and "bytes/train is damaged" in wrong[0] and "half is not finished" in wrong[1]
        assert "ok     " in result.out

    def test_of_weights(self, call: project.Call, tmp_path: Path, messages: Messages) -> None:
        """Weights are checked with all files or by name, and may be intact, damaged or missing."""
        missing = call("data", "check", "numbers")
        assert missing.code == 2
        messages.check(missing.out, "WRONG  numbers: ", "`gan-bench data fetch numbers`")
        call("data", "fetch", "numbers", "bytes")
        file = tmp_path / "data" / "weights"
        for result in (call("data", "check"), call("data", "check", "numbers")):
            assert result.code == 0 and f"ok     {file}, weights" in result.out
        assert str(file) not in call("data", "check", "bytes").out and "bytes" not in result.out
        file.write_bytes(b"others")
        for result in (call("data", "check"), call("data", "check", "numbers")):
            assert result.code == 2 and f"WRONG  {file} is damaged." in result.out

    def test_in_a_missing_folder(self, call: project.Call, tmp_path: Path, messages: Messages) -> None:
        """A missing folder is an error and is not created."""
        result = call("data", "check", "--data-root", "tpyo")
        assert (result.code, result.out) == (2, "")
        messages.check(result.err, tmp_path / "tpyo", "--data-root")
        assert not (tmp_path / "tpyo").exists()

    def test_of_a_missing_cache(self, call: project.Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A cache that does not exist is not an error, because nothing was downloaded yet."""
        monkeypatch.delenv("GAN_BENCH_DATA")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        result = call("data", "check")
        assert result.code == 0 and f"no files to check in {tmp_path / 'cache' / 'gan-bench'}" in result.out


@pytest.mark.parametrize("verb", ["run", "evaluate", "score", "data"])
def test_data_root_is_an_option(call: project.Call, verb: str) -> None:
    """Every verb that needs data has the option."""
    assert "--data-root DIR" in call(verb, "--help").out
