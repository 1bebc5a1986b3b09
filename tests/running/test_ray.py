"""The engine ray on a real cluster: the values of the local engine, also after the loss of any of its parts."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gan_bench.config.benchmark import EngineEntry
from gan_bench.config.load import load_benchmark
from gan_bench.config.source import open_source
from gan_bench.contracts.engine import Place, PlaceRequest
from gan_bench.contracts.parameters import param
from gan_bench.errors import ConfigError, RunError, UsageError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.engines.cluster import ray_cluster
from gan_bench.running.engines.cluster.ray import RayEngine
from gan_bench.running.engines.cluster.ray_cluster import RayParams, capacity
from gan_bench.running.engines.is_alive import is_alive
from gan_bench.store.run_folder import RunFolder
from gan_bench.testing import checks
from tests.support import project
from tests.support.messages import Messages
from tests.support.ray_nodes import Nodes
from tests.support.ray_runs import arguments, assert_equal, causes, ended, holding, needs_ray, values

ROOT = Path(__file__).resolve().parents[2]

HUNGRY = project.plugin(
    "hungry",
    "def turns(self, iteration):",
    "    if iteration == 12 and len(list(Path('%s').glob('full-*'))) < 3:",
    "        Path('%s', f'full-{time.time_ns()}').touch()",
    "        raise torch.OutOfMemoryError('out of memory')",
    "    return super().turns(iteration)",
)
"""Seeds of a stack run out of memory together, then each alone, and then once more in a process of its own."""


@needs_ray
@pytest.mark.slow
class TestRuns:
    def test_equal_those_of_the_local_engine(self, tmp_path: Path, nodes: Nodes) -> None:
        """Models of all ends, stacked seeds and a plugin file give the values of the local engine, bit for bit.

        A run that kills its process is repeated three times; seeds that do not fit into memory together run in smaller
        stacks, whose values differ from those of the whole one by rounding.
        """
        models = [project.ZOO["mgan"], {"plugin": "failing"}, {"plugin": "diverging"}, {"plugin": "suicidal"}]
        models += [{"plugin": "hungry"}]
        for engine in ("local", "ray"):
            (tmp_path / engine).mkdir()
        hungry = HUNGRY % (tmp_path, tmp_path)
        file = project.write(tmp_path, project.describe(models, seeds=2), bad=project.BAD, hungry=hungry)
        same = (str(file), "--device", "cpu", "--stack", "2", "--workers", "2")
        there = project.command(*arguments(file, nodes, *same[1:]), "--results", "ray", cwd=tmp_path)
        assert "Traceback" not in there.stderr and there.returncode == 1, there.stderr
        local = project.command("run", *same, "--results", "local", cwd=tmp_path)
        assert local.returncode == 1
        folders = {path.name: path for path in project.run_folders(tmp_path / "ray")}
        assert len(folders) == 10
        for path in project.run_folders(tmp_path / "local"):
            found, record = folders[path.name], project.record(path)
            if record["status"] == "finished" and "hungry" not in path.name:
                assert project.difference(values(found), values(path)) is None, path.name
            assert project.record(found)["status"] == record["status"], path.name
            lost = {"suicidal": 4, "hungry": 1}.get(record["model"]["plugin"], 0)
            assert len(causes(found)) == lost, (path.name, causes(found))

    def test_continue_after_the_loss_of_their_process(
        self, tmp_path: Path, nodes: Nodes, whole: dict[str, Any]
    ) -> None:
        """After kill -9 of the run's process, the run is finished from its last checkpoint by the same command."""
        with holding(tmp_path, nodes) as held:
            held.open()
            os.kill(held.child, signal.SIGKILL)
            code, err = ended(held.process)
        assert code == 0, err
        assert_equal(held.folder, whole)
        assert len(project.record(held.folder)["resumed"]) == 1
        assert causes(held.folder) == ["killed by signal 9 (Killed)"]

    def test_continue_after_the_loss_of_their_worker(self, tmp_path: Path, nodes: Nodes, whole: dict[str, Any]) -> None:
        """After kill -9 of the worker process, its run is finished."""
        with holding(tmp_path, nodes) as held:
            os.kill(held.worker, signal.SIGKILL)
            held.open()
            code, err = ended(held.process)
        assert code == 0, err
        assert_equal(held.folder, whole)

    def test_continue_after_the_loss_of_an_actor(self, tmp_path: Path, nodes: Nodes, whole: dict[str, Any]) -> None:
        """After kill -9 of an actor, whose worker process is stopped and wakes later, the run is finished elsewhere.

        The process that wakes is of a replaced attempt and changes no file.
        """
        with holding(tmp_path, nodes) as held:
            for process in (held.worker, held.child):
                os.kill(process, signal.SIGSTOP)
            held.open()
            os.kill(held.actor, signal.SIGKILL)
            code, err = ended(held.process)
        assert code == 0, err
        assert_equal(held.folder, whole)
        before = contents(held.folder)
        for process in (held.worker, held.child):
            os.kill(process, signal.SIGCONT)
        project.wait_for(lambda: not is_alive(held.worker) and not is_alive(held.child))
        assert contents(held.folder) == before
        assert held.attempt()["number"] == 2 and str(held.attempt()["place"])[-8:] != held.node

    def test_continue_after_the_loss_of_a_node(self, tmp_path: Path, nodes: Nodes, whole: dict[str, Any]) -> None:
        """After the loss of a node, the run is finished on another one."""
        with holding(tmp_path, nodes) as held:
            nodes.replace(held.node)
            held.open()
            code, err = ended(held.process)
        assert code == 0, err
        assert_equal(held.folder, whole)
        assert len(causes(held.folder)) == 1 and "was lost" in err
        assert str(held.attempt()["place"])[-8:] != held.node

    def test_stop_at_ctrl_c(self, tmp_path: Path, nodes: Nodes, whole: dict[str, Any]) -> None:
        """After Ctrl-C, the run has a checkpoint, the exit code is 130, and the same command finishes it."""
        with holding(tmp_path, nodes) as held:
            held.process.send_signal(signal.SIGINT)
            code, err = ended(held.process)
            assert code == 130, err
            record = project.record(held.folder)
            assert (record["status"], record["iteration"]) == ("interrupted", 14)
            held.open()
            again = project.command(*arguments(tmp_path / "tiny.toml", nodes), cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert_equal(held.folder, whole)

    def test_outlive_their_command(self, tmp_path: Path, nodes: Nodes, whole: dict[str, Any]) -> None:
        """After kill -9 of the command, its run writes a checkpoint, and the same command finishes it."""
        with holding(tmp_path, nodes) as held:
            held.process.kill()
            held.process.communicate()
            project.wait_for(lambda: not is_alive(held.child))
            assert RunFolder(held.folder).checkpoints()[0].name == "checkpoint-14.pt"
            held.open()
            again = project.command(*arguments(tmp_path / "tiny.toml", nodes), cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert_equal(held.folder, whole)


def contents(folder: Path) -> dict[str, str]:
    """Hash of each file of a run."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@needs_ray
@pytest.mark.slow
class TestRefusal:
    def test_of_nodes_that_do_not_see_the_results(self, tmp_path: Path, nodes: Nodes, messages: Messages) -> None:
        """Another results folder on a node is an error with exit code 2, and no run has begun."""
        file = project.write(tmp_path, project.describe())
        elsewhere = ("--set", f"engine.results={tmp_path / 'elsewhere'}")
        done = project.command(*arguments(file, nodes, *elsewhere), cwd=tmp_path)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        last = re.sub("Slot . on .*, node [0-9a-f]{8}", "Slot N on HOST, node ID", done.stderr.splitlines()[-1])
        messages.check(last, "Slot N", tmp_path / "elsewhere")
        assert project.run_folders(tmp_path / "results") == []

    def test_of_nodes_without_a_plugin(self, tmp_path: Path, nodes: Nodes, messages: Messages) -> None:
        """A plugin that cannot be loaded on a node, as a large file beside it is missing there, is an error."""
        needing = project.plugin("needing") + "Path(__file__).with_name('table.bin').read_bytes()\n"
        file = project.write(tmp_path, project.describe([{"plugin": "needing"}]), needing=needing)
        (file.parent / "plugins" / "table.bin").write_bytes(bytes(2**20 + 1))
        done = project.command(*arguments(file, nodes), cwd=tmp_path)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        last = re.sub("Slot . on .*, node [0-9a-f]{8}", "Slot N on HOST, node ID", done.stderr.splitlines()[-1])
        last = re.sub(r"No such file or directory: '.*?'", "No such file or directory: FILE", last)
        messages.check(last, "model needing", "table.bin" if "table.bin" in last else "needing")
        assert project.run_folders(tmp_path / "results") == []


@needs_ray
@pytest.mark.slow
def test_the_contract_of_engines_is_fulfilled(nodes: Nodes) -> None:
    """The engine passes every check of the kit, that of killed processes included."""

    @dataclass(frozen=True)
    class Params(RayParams):
        """Parameters with the cluster of the tests."""

        address: str = param(nodes.address, "Address of the cluster.")

    cls = type("RayEngine", (RayEngine,), {"Params": Params, "__doc__": RayEngine.__doc__})
    try:
        reports = [check.report() for check in checks(cls)]
    finally:
        ray_cluster.disconnect()
    assert [report.finding for report in reports if report.finding] == []
    assert [str(report.check) for report in reports if report.skipped] == ["lock"]


NODES = [
    {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}},
    {"Alive": True, "Resources": {"CPU": 3.0}},
    {"Alive": True, "Resources": {}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]
"""Nodes as Ray describes them: two that compute, a head node without cores, and one that was lost."""


class TestCapacity:
    @pytest.mark.parametrize(
        ("request_", "params", "expected"),
        [
            (PlaceRequest("auto"), RayParams(), ("cuda", 2, 2)),
            (PlaceRequest("auto"), RayParams(gpus_per_run=0.25), ("cuda", 4, 2)),
            (PlaceRequest("cuda", 1), RayParams(gpus_per_run=0.5), ("cuda", 1, 2)),
            (PlaceRequest("cpu"), RayParams(), ("cpu", 7, 0)),
            (PlaceRequest("cpu"), RayParams(cpus_per_run=2), ("cpu", 3, 0)),
            (PlaceRequest("cpu"), RayParams(cpus_per_run=0.5), ("cpu", 14, 0)),
        ],
    )
    def test_of_a_cluster(self, request_: PlaceRequest, params: RayParams, expected: tuple[str, int, int]) -> None:
        """The device is the cluster's; a run needs its cores and its share of a GPU on one node that is alive."""
        place = capacity(NODES, params, request_)
        assert (place.device, place.workers, place.gpus) == expected

    def test_without_room(self, messages: Messages) -> None:
        """CUDA without a GPU, runs that are too large, and shares that Ray does not know are errors."""
        with messages.raises(UsageError, "--device cuda", "auto"):
            capacity(NODES[1:], RayParams(), PlaceRequest("cuda"))
        with messages.raises(UsageError, "CPU 16", "--cpus-per-run"):
            capacity(NODES, RayParams(cpus_per_run=16), PlaceRequest("cpu"))
        with messages.raises(UsageError, "--gpus-per-run", "1.5"):
            capacity(NODES, RayParams(gpus_per_run=1.5), PlaceRequest())

    def test_without_ray(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """Without the package, the message has the command that installs it."""
        monkeypatch.setitem(sys.modules, "ray", None)
        with messages.raises(UsageError, "--engine ray", "gan-bench[ray]"):
            ray_cluster.load_ray()

    @needs_ray
    def test_without_a_cluster(self, messages: Messages) -> None:
        """An invalid address, and one at which nothing answers, are errors within seconds."""
        with messages.raises(UsageError, "--address", "'nowhere'"):
            ray_cluster.connect("nowhere")
        with messages.raises(UsageError, "--address", "127.0.0.1:1"):
            ray_cluster.connect("127.0.0.1:1")


def test_a_lost_head_node_is_an_error(messages: Messages) -> None:
    """If the head node does not answer three times in succession, at intervals of 5 s, the command ends by itself.

    Ray would exit the process after a minute, before runs have written their checkpoints.
    """
    times = iter((0.0, 6.0, 6.0, 12.0, 12.0, 15.0, 18.0, 18.0, 24.0, 24.0, 28.0, 30.0, 30.0))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        head = ray_cluster.HeadNode(address, lambda: next(times))
        for _ in range(3):
            head.require()
    for _ in range(3):
        head.require()
    with pytest.raises(RunError, match="head node") as caught:
        head.require()
    messages.check(str(caught.value).replace(address, "HOST:PORT"), "HOST:PORT")


@needs_ray
def test_the_cluster_file_of_the_page_is_valid() -> None:
    """The file for `ray up` in the documentation has the form that Ray's own validation requires."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    yaml = pytest.importorskip("yaml")
    page = (ROOT / "docs" / "cluster-ray.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = prepare_config(yaml.safe_load(text))
    validate_config(file)
    assert file["available_node_types"]["local.cluster.node"]["min_workers"] == 2


class TestOptions:
    def test_replace_parameters(self, tmp_path: Path) -> None:
        """Flags replace single parameters of the file's engine; another engine keeps only what flags set."""
        file = project.describe(engine={"plugin": "ray", "cpus_per_run": 2, "address": "a:1"})

        def engine(*overrides: str, **given: Any) -> EngineEntry:
            source, registry = open_source(file), load_plugins()
            settings = {"address": None, **given.pop("settings", {})}
            return load_benchmark(source, registry, overrides=overrides, engine_settings=settings, **given).engine

        assert engine(settings={"address": "b:2"}).params["address"] == "b:2"
        assert engine(settings={"address": "b:2"}).params["cpus_per_run"] == 2
        assert engine("engine.data=there", engine="ray").params["data"] == "there"
        assert engine(engine="local") == EngineEntry()

    def test_that_the_engine_lacks(self, tmp_path: Path, messages: Messages) -> None:
        """A flag that the engine has no parameter for is an error that names the flag."""
        with messages.raises(ConfigError, "--address", "address"):
            project.plan(project.describe(), tmp_path, address="auto")
        with messages.raises(ConfigError, "engine", "cpus_per_run", "> 0"):
            project.plan(project.describe(engine={"plugin": "ray", "cpus_per_run": 0}), tmp_path)
        unused = {"plugin": "ray", "storage": "shipped", "results": "there"}
        with messages.raises(ConfigError, "engine", "results", "shipped"):
            project.plan(project.describe(engine=unused), tmp_path)


def test_the_place_of_an_engine_is_planned_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are planned for the device and number of runs of the engine's place, before anything is executed."""
    there = Place("cuda", 64, 8, "a cluster")
    monkeypatch.setattr(project.InProcess, "place", classmethod(lambda cls, request, params: there))
    monkeypatch.setattr("gan_bench.running.engines.local.LocalEngine", project.InProcess)
    planned = project.plan(project.describe(), tmp_path)
    assert (planned.device, planned.workers, planned.place) == ("cuda", 64, there)
    assert {job.device for job in planned.jobs} == {"cuda"} and planned.jobs[0].stack > 1
