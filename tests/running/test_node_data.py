"""Data that a machine downloads before it executes runs."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gan_bench.contracts.run import DatasetRef
from gan_bench.data.downloads import ROOT_VARIABLE
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Registry
from gan_bench.running.engines.identity import Identity, Question, differences, identify, remedy_for
from gan_bench.running.engines.node_data import fetch_missing
from tests.support.messages import Messages

PLUGIN = '''
import time
from pathlib import Path
from gan_bench import Dataset, Fetchable, Metric, hookimpl
from gan_bench.data.downloads import data_root, download

URL, SHA256 = "%s", "%s"

def fetch(name):
    with (data_root() / f"{name}.log").open("a") as log:
        log.write("fetch\\n")
    time.sleep(0.05)
    download(URL, data_root() / name, SHA256, lambda line: None)

def found(name):
    path = data_root() / name
    return path if path.is_file() else None

class Remote(Dataset):
    """Dataset of one file."""
    name = "remote"
    shape = (2,)

    def missing(self):
        return None if found("points") else "points is missing. Run `gan-bench data fetch remote`."

    def fetch(self, log):
        fetch("points")

    def draw(self, n, rng):
        raise NotImplementedError

    held_out = draw

class Judge(Metric):
    """Metric with weights."""
    name = "judge"
    direction, unit = "lower", ""
    fetchable = {"wise": Fetchable(lambda log: fetch("weights"), lambda: found("weights"), lambda: None)}

    def compute(self, samples):
        return 0.0

@hookimpl
def gan_bench_datasets():
    return [Remote]

@hookimpl
def gan_bench_metrics():
    return [Judge]
'''

QUESTION = Question(
    (("datasets", "remote"), ("metrics", "judge"), ("metrics", "unknown")), (DatasetRef("remote", {}, "far"),)
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file that is downloaded."""
    path = tmp_path / "source"
    path.write_bytes(b"data")
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root."""
    (tmp_path / "root").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "root"))
    return tmp_path / "root"


def plugins(folder: Path, url: str, data: bytes = b"data") -> Registry:
    """Plugins whose files are at an address."""
    path = folder / "remote.py"
    path.write_text(PLUGIN % (url, hashlib.sha256(data).hexdigest()), encoding="utf-8")
    return load_plugins([path])


def ignore(line: str) -> None:
    """Log nothing."""


def test_files_are_downloaded_once_a_machine(tmp_path: Path, root: Path, source: Path) -> None:
    """Of processes that begin at the same time, one downloads a file, and the others wait for it."""
    registry = plugins(tmp_path, source.as_uri())
    with ThreadPoolExecutor(4) as pool:
        errors = list(pool.map(lambda _: fetch_missing(registry, QUESTION, ignore), range(4)))
    assert errors == [{}] * 4
    for name in ("points", "weights"):
        assert (root / name).read_bytes() == b"data"
        assert (root / f"{name}.log").read_text() == "fetch\n"
    before = identify(registry, QUESTION)
    assert fetch_missing(registry, QUESTION, ignore) == {} and (root / "points.log").read_text() == "fetch\n"
    assert before.data == {"far": ""} and before.weights == {"wise": ""}


def test_failed_downloads_are_described(tmp_path: Path, root: Path, source: Path) -> None:
    """Without a connection, or with another file there, the differences from the command contain the reason."""
    expected = Identity({}, {}, {"far": ""}, {"wise": ""})
    for url, data, reason in (
        ("http://127.0.0.1:9/points", b"data", "http://127.0.0.1:9/points cannot be downloaded"),
        (source.as_uri(), b"other", "checksum"),
    ):
        registry = plugins(tmp_path, url, data)
        errors = fetch_missing(registry, QUESTION, ignore)
        phrases = differences(expected, identify(registry, QUESTION, errors))
        assert len(phrases) == 2 and all(reason in phrase for phrase in phrases), phrases
        assert "'far'" in phrases[0] and "'wise'" in phrases[1]
    assert not (root / "points").exists()


def test_missing_files_are_refused(tmp_path: Path, root: Path, source: Path, messages: Messages) -> None:
    """Without a download, missing data and weights are differences, with what to do; the command may lack weights."""
    found = identify(plugins(tmp_path, source.as_uri()), QUESTION)
    phrases = differences(Identity({}, {}, {"far": ""}, {"wise": ""}), found)
    messages.check(f"{'; '.join(phrases)}. {remedy_for(phrases)}", "far", "wise", "engine.fetch", "gan-bench data")
    assert len(differences(Identity({}, {}, {"far": ""}, found.weights), found)) == 1
    assert not (root / "points.log").exists()
    assert "engine.fetch" not in remedy_for(["torch is 2.0 in place of 2.1"])
