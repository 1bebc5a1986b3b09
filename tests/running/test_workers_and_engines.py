"""Workers and engines that have the same results folder one after the other; never at the same time."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_bench.contracts.engine import Place
from gan_bench.contracts.observer import Observer
from gan_bench.errors import StoreError
from gan_bench.files import locked, shared_lock
from gan_bench.planning.options import Options
from gan_bench.planning.planned import Planned
from gan_bench.planning.prepare import prepare
from gan_bench.running.engines.cluster.groups import GIVEN
from gan_bench.running.engines.cluster.ray import RayEngine
from gan_bench.running.engines.cluster.run_attempts import RunAttempts
from gan_bench.running.enqueue import enqueue
from gan_bench.running.lease_worker import work
from gan_bench.running.run_benchmark import run
from gan_bench.store.job_queue import QUEUE, read_queue
from gan_bench.store.leases import CONTINUED, LEFT, Leases
from tests.support import project, ray_nodes
from tests.support.messages import Messages
from tests.support.ray_nodes import Nodes

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NOT TESTED: the engine ray. Install it with pip install 'gan-bench[ray]'",
)


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Nodes]:
    """The cluster of all tests."""
    base = tmp_path_factory.getbasetemp()
    with ray_nodes.cluster((base if worker_id == "master" else base.parent) / "ray") as found:
        yield found


DESCRIBED = project.describe(seeds=2)


def queue(folder: Path) -> Planned:
    """Queue two runs with leases of a second; the first one has a checkpoint."""
    planned = prepare(DESCRIBED, Options(results=folder, device="cpu"), elsewhere=True)
    assert project.run_jobs(planned, stop=project.stop_at(13)) == "interrupted"
    enqueue(planned, lambda line: None)
    path = planned.folder / QUEUE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lease_seconds": 1}))
    return planned


def assert_whole(planned: Planned, folder: Path) -> None:
    """Assert that the runs have the same bits as those of the local engine, executed now."""
    whole = project.plan(DESCRIBED, folder)
    for job, other in zip(planned.jobs, whole.jobs, strict=True):
        assert project.run_jobs(whole, other) == "finished"
        assert project.difference(project.outcome(Path(job.folder)), project.outcome(Path(other.folder))) is None


def lose(planned: Planned) -> None:
    """Let a worker take the first run; it renews the lease no more."""
    leases = Leases("lost", 60)
    unit = read_queue(planned.folder).units(planned.folder)[0]
    assert leases.take(unit, leases.look(unit)) is not None


def causes(folder: Path) -> list[str]:
    """Causes of the ends of earlier attempts of a run."""
    return [each["cause"] for each in project.record(folder)["attempts"]]


class TestLocks:
    @pytest.fixture
    def planned(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
        """A benchmark that the engine ray executes on a cluster that does not exist."""
        monkeypatch.setattr(RayEngine, "place", lambda request, params: Place("cpu", 2, 0, "nowhere"))
        return prepare(project.describe(), Options(results=tmp_path, engine="ray"))

    def test_the_engine_ray_beside_workers_is_refused(self, planned: Planned, messages: Messages) -> None:
        """With their names, and before the cluster receives anything."""
        with shared_lock(planned.folder, "node1, process 17"), messages.raises(StoreError, "node1, process 17"):
            run(planned, Observer())
        assert not (planned.folder / "benchmark.json").exists()

    def test_two_commands_with_the_engine_ray_are_refused(self, planned: Planned, messages: Messages) -> None:
        """The second one ends with exit code 2."""
        with locked(planned.folder), messages.raises(StoreError, planned.folder) as caught:
            run(planned, Observer())
        assert caught.value.exit_code == 2


@pytest.mark.slow
def test_a_worker_takes_over_from_an_engine(tmp_path: Path) -> None:
    """The numbers of attempts continue after a command that was killed, however often it had lost the run."""
    planned = queue(tmp_path)
    attempts = RunAttempts(Observer())
    for cause in ("", *["node lost"] * 3):
        assert attempts.begin(planned.jobs[0], "node1", cause) is not None
    assert work(planned.folder, (), Observer()).counts == {"finished": 2}
    assert causes(Path(planned.jobs[0].folder)) == [*["node lost"] * 3, LEFT]
    assert_whole(planned, tmp_path / "local")


@needs_ray
@pytest.mark.slow
def test_the_engine_ray_takes_over_from_workers(tmp_path: Path, nodes: Nodes) -> None:
    """After the loss of a worker, the queue left as it is, and a worker after that finds nothing to do."""
    planned = queue(tmp_path)
    lose(planned)
    options = Options(device="cpu", engine="ray", address=nodes.address, results=tmp_path)
    assert run(prepare(DESCRIBED, options), Observer()).counts == {"finished": 2}
    assert [causes(Path(job.folder)) for job in planned.jobs] == [[CONTINUED, GIVEN], []]
    assert_whole(planned, tmp_path / "local")
    again = work(planned.folder, (), Observer())
    assert (again.counts, again.all_ended) == ({}, True)
