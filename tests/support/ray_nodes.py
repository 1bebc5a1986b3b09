"""A real Ray cluster on this machine for tests: a head node without cores and two nodes, in a separate process.

Workers of a test run share one cluster, and use it one after the other. It ends with the process that started it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = 80 * 2**20
"""Bytes of each node's object store."""

PROGRAM = f"""
import sys, threading, time, warnings
from pathlib import Path

warnings.simplefilter("ignore")
from ray.cluster_utils import Cluster

folder = Path(sys.argv[1])
store = dict(object_store_memory={MEMORY})
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, include_dashboard=False, **store))
nodes = [cluster.add_node(num_cpus=2, **store) for _ in range(2)]

def answer(name, text):
    (folder / ".written").write_text(text)
    (folder / ".written").rename(folder / name)

def serve():
    answer("address", cluster.address)
    while waiting.is_alive():
        for asked in folder.glob("kill-*"):
            prefix = asked.name.removeprefix("kill-")
            asked.unlink()
            (node,) = (each for each in nodes if each.node_id.startswith(prefix))
            nodes.remove(node)
            cluster.remove_node(node, allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=2, **store))
            answer(f"killed-{{prefix}}", "")
        time.sleep(0.05)

waiting = threading.Thread(target=sys.stdin.read, daemon=True)
waiting.start()
try:
    serve()  # Ray starts nodes in the main thread only
finally:
    (folder / "address").unlink()
    cluster.shutdown()
"""


class Nodes:
    """A running cluster.

    Attributes:
        address: of its head node.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = (folder / "address").read_text(encoding="utf-8")

    def replace(self, node: str) -> None:
        """Kill all processes of a node at once, given the beginning of its identifier, and add another node."""
        (self._folder / f"kill-{node}").touch()
        while not (self._folder / f"killed-{node}").exists():
            assert (self._folder / "address").exists(), "the cluster has ended"
            time.sleep(0.05)


@contextmanager
def cluster(folder: Path) -> Iterator[Nodes]:
    """Use the cluster of a folder, which other processes use before or afterwards; start it if it does not run."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "address").exists():
            _start(folder)
        yield Nodes(folder)


def _start(folder: Path) -> None:
    """Start the cluster. The process ends when this one does, which closes its input."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=os.environ | {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
            start_new_session=True,
        )
    atexit.register(process.communicate)  # closes its input, and waits
    while not (folder / "address").exists():
        if process.poll() is not None:
            raise RuntimeError(f"The Ray cluster has not started: {(folder / 'output').read_text()[-2000:]}")
        time.sleep(0.1)
