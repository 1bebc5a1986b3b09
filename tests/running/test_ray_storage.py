"""Runs on a real Ray cluster whose nodes do not see the results folder, and lack data."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from gan_bench.data.downloads import ROOT_VARIABLE
from gan_bench.running.engines.cluster.scratch import Scratch
from gan_bench.running.engines.is_alive import is_alive
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.ray_nodes import Nodes
from tests.support.ray_runs import arguments, assert_equal, causes, ended, holding, needs_ray, values

pytestmark = [needs_ray, pytest.mark.slow]

REMOTE = """
import hashlib
from pathlib import Path
from gan_bench import hookimpl
from gan_bench.data.downloads import data_root, download
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8

SOURCE = Path("%s")

class Remote(Ring8):
    \"\"\"Ring whose radius is read from a file that is downloaded.\"\"\"
    name = "remote"

    def missing(self):
        return None if (data_root() / "radius").is_file() else "radius is missing."

    def fetch(self, log):
        checksum = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
        download(SOURCE.as_uri(), data_root() / "radius", checksum, log)

    def draw(self, n, rng):
        (data_root() / "radius").read_bytes()
        return super().draw(n, rng)

@hookimpl
def gan_bench_datasets():
    return [Remote]
"""


def shipped(scratch: Path) -> tuple[str, ...]:
    """Arguments for storage without a shared folder."""
    return "--set", "engine.storage=shipped", "--set", f"engine.scratch={scratch}"


def test_runs_equal_those_of_the_local_engine(tmp_path: Path, nodes: Nodes) -> None:
    """Stacked seeds on nodes that download their data give the values and files of the local engine, bit for bit."""
    source, own, theirs = (tmp_path / name for name in ("source", "own", "theirs"))
    source.write_text("1")
    for root in (own, theirs):
        root.mkdir()
    (own / "radius").write_text("1")
    benchmark = project.describe([project.ZOO["mgan"], {"plugin": "failing"}], seeds=2, dataset=[{"plugin": "remote"}])
    file = project.write(tmp_path, benchmark, bad=project.BAD, remote=REMOTE % source)
    same = ("--device", "cpu", "--stack", "2", "--workers", "2")
    data = ("--set", f"engine.data={theirs}", "--set", "engine.fetch=true")
    there = (*same, *shipped(tmp_path / "scratch"), *data, "--results", "ray")
    done = project.command(*arguments(file, nodes, *there), cwd=tmp_path, **{ROOT_VARIABLE: str(own)})
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    local = project.command("run", str(file), *same, "--results", "local", cwd=tmp_path, **{ROOT_VARIABLE: str(own)})
    assert local.returncode == 1
    folders = {path.name: path for path in project.run_folders(tmp_path / "ray")}
    assert len(folders) == 4 and (theirs / "radius").read_text() == "1"
    for path in project.run_folders(tmp_path / "local"):
        found = folders[path.name]
        own_files = {each.name for each in found.iterdir() if not each.name.startswith("attempt")}
        assert own_files == {each.name for each in path.iterdir()}
        assert project.record(found)["status"] == project.record(path)["status"]
        if "mgan" in path.name:
            assert project.difference(values(found), values(path)) is None, path.name
    assert list((tmp_path / "scratch").iterdir()) == []


def test_runs_continue_after_the_loss_of_a_node(tmp_path: Path, nodes: Nodes, whole: dict[str, Any]) -> None:
    """After the loss of a node, its run continues on another one from the last checkpoint that arrived."""
    with holding(tmp_path, nodes, *shipped(tmp_path / "scratch")) as held:
        project.wait_for(lambda: (held.folder / "checkpoint-10.pt").exists())
        nodes.replace(held.node)
        held.open()
        code, err = ended(held.process)
    assert code == 0, err
    assert_equal(held.folder, whole)
    assert len(causes(held.folder)) == 1 and len(project.record(held.folder)["resumed"]) == 1
    assert str(held.attempt()["place"])[-8:] != held.node
    project.wait_for(lambda: not is_alive(held.worker) and not is_alive(held.child))
    Scratch(str(tmp_path / "scratch")).close()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_runs_stop_at_ctrl_c(tmp_path: Path, nodes: Nodes, whole: dict[str, Any]) -> None:
    """After Ctrl-C, the checkpoint arrives, the exit code is 130, and the same command finishes the run."""
    with holding(tmp_path, nodes, *shipped(tmp_path / "scratch")) as held:
        held.process.send_signal(signal.SIGINT)
        code, err = ended(held.process)
        assert code == 130, err
        record = project.record(held.folder)
        assert (record["status"], record["iteration"]) == ("interrupted", 14)
        assert RunFolder(held.folder).checkpoints()[0].name == "checkpoint-14.pt"
        assert list((tmp_path / "scratch").iterdir()) == []
        held.open()
        file = tmp_path / "tiny.toml"
        again = project.command(*arguments(file, nodes, *shipped(tmp_path / "scratch")), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert_equal(held.folder, whole)
