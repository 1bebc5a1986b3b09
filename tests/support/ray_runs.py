"""Runs on the Ray cluster of the tests, whose processes and nodes are killed while they wait."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.ray_nodes import Nodes

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NOT TESTED: the engine ray. Install it with pip install 'gan-bench[ray]'",
)

HELD = (
    project.HEAD
    + '''
FOLDER = Path("%s")

class Held(GAN):
    """GAN that waits in iteration 13, unless the file `open` exists, until it is stopped."""
    name = "held"

    def turns(self, iteration):
        if iteration == 13 and not (FOLDER / "open").exists():
            written = FOLDER / f".{os.getpid()}"
            written.write_text(str(os.getppid()))
            written.rename(FOLDER / f"pid-{os.getpid()}")
            asked = signal.getsignal(signal.SIGTERM).__self__
            while not (asked.requested or (FOLDER / "open").exists()):
                time.sleep(0.01)
        return super().turns(iteration)

@hookimpl
def gan_bench_models():
    return [Held]
'''
)


def arguments(file: Path, nodes: Nodes, *more: str) -> tuple[str, ...]:
    """Command line of a benchmark on the cluster, without the program."""
    return ("run", str(file), "--engine", "ray", "--address", nodes.address, *more)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command; return its exit code and standard error, without a traceback."""
    _, err = process.communicate()
    assert "Traceback" not in err, err
    return process.returncode, err


class Holding:
    """A command on the cluster whose only run waits in iteration 13.

    Attributes:
        child: process of the run; `worker` and `actor` are those above it.
        node: beginning of the identifier of the node.
    """

    def __init__(self, process: subprocess.Popen[str], gate: Path, results: Path) -> None:
        self.process, self.gate = process, gate
        (pid,) = project.wait_for(lambda: self._pids())
        self.child, self.worker = int(pid.name.removeprefix("pid-")), int(pid.read_text())
        self.actor = parent(self.worker)
        (self.folder,) = project.wait_for(lambda: project.run_folders(results))
        self.node = str(self.attempt()["place"])[-8:]

    def _pids(self) -> list[Path]:
        assert self.process.poll() is None, self.process.communicate()[1]
        return list(self.gate.glob("pid-*"))

    def attempt(self) -> dict[str, Any]:
        """Contents of attempt.json."""
        found: dict[str, Any] = json.loads((self.folder / "attempt.json").read_text())
        return found

    def open(self) -> None:
        """Let the run, and later attempts of it, continue."""
        (self.gate / "open").touch()


def parent(process: int) -> int:
    """Parent of a process."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def holding(tmp_path: Path, nodes: Nodes, *more: str) -> Iterator[Holding]:
    """Start a command, with more arguments, whose run waits."""
    gate = tmp_path / "gate"
    gate.mkdir()
    file = project.write(tmp_path, project.describe([{"plugin": "held"}]), held=HELD % gate)
    with project.start(*arguments(file, nodes, "--workers", "2", *more), cwd=tmp_path) as process:
        try:
            yield Holding(process, gate, tmp_path / "results")
        finally:
            (gate / "open").touch()
            process.kill()


def assert_equal(found: Path, whole: Mapping[str, Any]) -> None:
    """Assert that a run has the values of the local engine. Its key contains a path, so it is left out."""
    outcome = project.outcome(found)
    outcome["record"]["key"] = whole["record"]["key"]
    assert project.difference(outcome, whole) is None


def causes(folder: Path) -> list[str]:
    """Why attempts of a run were lost, from its record."""
    return [each["cause"] for each in project.record(folder)["attempts"]]


def values(folder: Path) -> dict[str, Any]:
    """Everything in a run of a stack that has to be equal: its state, scores and samples."""
    state, _ = RunFolder(folder).load_checkpoint(project.record(folder)["key"])
    assert state is not None
    samples = {
        t: {"x": torch.from_numpy(x), "generator": torch.from_numpy(g)}
        for t, (x, g) in RunFolder(folder).read_samples().items()
    }
    return {"trainer": state["trainer"], "curve": (folder / "curve.csv").read_text(), "samples": samples}
