"""`gan-bench data`: what is there, what is fetched, and whether it is whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gan_bench.data import recipes
from tests.support import project

PLUGIN = '''
"""A data set of two files whose checksums are published, and a metric with weights."""
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

    def fetch(self, say):
        say("fetching bytes")
        (data_root() / "bytes").mkdir(parents=True)
        for split, content in CONTENT.items():
            (data_root() / "bytes" / split).write_bytes(content)

def weights(say):
    say("fetching weights")
    (data_root() / "weights").write_bytes(b"weights")

def found():
    path = data_root() / "weights"
    return path if path.is_file() else None

def verify():
    if found().read_bytes() != b"weights":
        raise DataError(f"{found()} is damaged.")

class Weighted(Metric):
    """Needs weights."""
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
    """The line of a table that begins with a name, its blanks as one."""
    found = re.search(rf"^{name} .*$", text, re.MULTILINE)
    assert found, text
    return " ".join(found[0].split())


class TestList:
    def test_says_what_is_there(self, call: project.Call, tmp_path: Path) -> None:
        """To be fetched, by hand, ready or prepared; counts, shapes and the folder."""
        said = call("data", "list")
        assert said.code == 0 and f"Data folder: {tmp_path / 'data'}" in said.out
        assert row(said.out, "bytes") == "bytes 2 1 3 x 4 x 4 to be fetched, 7 MB"
        assert row(said.out, "mnist") == "mnist 60,000 10,000 1 x 28 x 28 to be fetched, 12 MB"
        assert row(said.out, "imagenet32").endswith("to be put there by hand")
        assert row(said.out, "image-folder").endswith("its parameters have to be given")
        assert "ring8" not in said.out
        assert "numbers: weights for weighted; to be fetched: `gan-bench data fetch numbers`." in said.out
        call("data", "fetch", "bytes")
        assert row(call("data", "list").out, "bytes").endswith("0 MB ready")
        prepared_by = "from plugins import bytes_plugin as b; b.Bytes(b.Bytes.Params()).prepare(print)"
        subprocess.run([sys.executable, "-c", prepared_by], check=True, capture_output=True)
        assert row(call("data", "list").out, "bytes").endswith("0 MB prepared")

    def test_says_which_weights_are_there(self, call: project.Call, tmp_path: Path) -> None:
        """The file, and how large it is."""
        call("data", "fetch", "numbers")
        told = f"numbers: weights for weighted; there: {tmp_path / 'data' / 'weights'} (0 MB)."
        said = call("data", "list").out
        assert told in said

    def test_says_that_the_folder_is_not_there(self, call: project.Call, tmp_path: Path) -> None:
        """It will be made; or its name is mistyped."""
        said = call("data", "list", "--data-root", "tpyo")
        assert said.code == 0 and f"Data folder: {tmp_path / 'tpyo'}, which is not there yet" in said.out

    def test_takes_no_name(self, call: project.Call) -> None:
        """A name would be taken for a filter."""
        assert call("data", "list", "mnist").code == 2


class TestFetch:
    def test_brings_data_sets_and_weights(self, call: project.Call, tmp_path: Path) -> None:
        """Progress to standard error; what is there already is not fetched again."""
        said = call("data", "fetch", "bytes", "numbers")
        assert (said.code, said.out) == (0, "bytes: there\nnumbers: there\n")
        assert said.err.splitlines() == ["fetching bytes", "fetching weights"]
        assert (tmp_path / "data" / "bytes" / "train").is_file() and (tmp_path / "data" / "weights").is_file()
        again = call("data", "fetch", "bytes")
        assert (again.code, again.err) == (0, "")

    def test_into_another_folder(self, call: project.Call, tmp_path: Path) -> None:
        """`--data-root` is stronger than the environment, and children of this process see it."""
        assert call("data", "fetch", "bytes", "--data-root", "elsewhere").code == 0
        assert (tmp_path / "elsewhere" / "bytes" / "test").is_file() and not (tmp_path / "data" / "bytes").exists()
        assert os.environ["GAN_BENCH_DATA"] == str(tmp_path / "elsewhere")

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ([], "needs a name"),
            (["byte"], "did you mean 'bytes'"),
            (["bytes", "ring8"], "called 'ring8'"),
            (["imagenet32"], r"there is nothing to fetch\. .*image-net\.org"),
            (["image-folder"], "its parameters say where"),
        ],
    )
    def test_refuses_what_cannot_be_fetched(
        self, call: project.Call, tmp_path: Path, names: list[str], message: str
    ) -> None:
        """Before anything is fetched where a name is unknown."""
        said = call("data", "fetch", *names)
        assert said.code == 2 and re.search(message, said.err)
        assert not (tmp_path / "data" / "bytes").exists()


class TestCheck:
    def test_of_nothing(self, call: project.Call) -> None:
        """An empty folder has nothing wrong; a data set that is asked for and not there has."""
        assert "nothing to check" in call("data", "check").out
        said = call("data", "check", "bytes")
        assert said.code == 2 and "gan-bench data fetch bytes" in said.out
        assert call("data", "check", "byte").code == 2

    def test_of_whole_files(self, call: project.Call, tmp_path: Path) -> None:
        """Each is named."""
        call("data", "fetch", "bytes")
        for said in (call("data", "check"), call("data", "check", "bytes")):
            assert said.code == 0 and said.out.count("ok ") == 2 and "bytes/train" in said.out

    def test_of_damage(self, call: project.Call, tmp_path: Path) -> None:
        """In a source and in a prepared set that is not finished; exit code 2, and every file is still looked at."""
        call("data", "fetch", "bytes")
        (tmp_path / "data" / "bytes" / "train").write_bytes(b"other")
        (tmp_path / "data" / "prepared" / "half").mkdir(parents=True)
        said = call("data", "check")
        assert said.code == 2
        wrong = [line for line in said.out.splitlines() if line.startswith("WRONG")]
        assert len(wrong) == 2 and "bytes/train is damaged" in wrong[0] and "half is not finished" in wrong[1]
        assert "ok     " in said.out

    def test_of_weights(self, call: project.Call, tmp_path: Path) -> None:
        """As of data sets: with all else or by name, whole, damaged, or not there."""
        missing = call("data", "check", "numbers")
        assert missing.code == 2 and "WRONG  numbers: these weights are not there. `gan-bench data fetch" in missing.out
        call("data", "fetch", "numbers", "bytes")
        file = tmp_path / "data" / "weights"
        for said in (call("data", "check"), call("data", "check", "numbers")):
            assert said.code == 0 and f"ok     {file}, weights" in said.out
        assert str(file) not in call("data", "check", "bytes").out and "bytes" not in said.out
        file.write_bytes(b"others")
        for said in (call("data", "check"), call("data", "check", "numbers")):
            assert said.code == 2 and f"WRONG  {file} is damaged." in said.out

    def test_in_a_folder_that_is_not_there(self, call: project.Call, tmp_path: Path) -> None:
        """A mistyped name is an error and not a folder with nothing wrong in it, and it is not made."""
        said = call("data", "check", "--data-root", "tpyo")
        assert (said.code, said.out) == (2, "")
        assert f"{tmp_path / 'tpyo'}: there is no such folder. Name another with --data-root" in said.err
        assert not (tmp_path / "tpyo").exists()

    def test_of_a_cache_that_nobody_named(
        self, call: project.Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing has been fetched yet: that is no error."""
        monkeypatch.delenv("GAN_BENCH_DATA")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        said = call("data", "check")
        assert said.code == 0 and f"nothing to check in {tmp_path / 'cache' / 'gan-bench'}" in said.out


@pytest.mark.parametrize("verb", ["run", "evaluate", "score", "data"])
def test_data_root_is_an_option(call: project.Call, verb: str) -> None:
    """Of every verb that needs data."""
    assert "--data-root DIR" in call(verb, "--help").out
