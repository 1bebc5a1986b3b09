"""Fixtures of tests of engines: the Ray cluster of all tests, and what its runs are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import project, ray_nodes
from tests.support.ray_nodes import Nodes
from tests.support.ray_runs import HELD


@pytest.hookimpl(tryfirst=True)  # before `-m` selects tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests on the Ray cluster: several workers would wait for each other."""
    for item in items:
        if "nodes" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Nodes]:
    """The cluster of all tests."""
    base = tmp_path_factory.getbasetemp()
    with ray_nodes.cluster((base if worker_id == "master" else base.parent) / "ray") as found:
        yield found


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Outcome of the held run by the local engine, without a wait."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "open").touch()
    file = project.write(folder, project.describe([{"plugin": "held"}]), held=HELD % folder)
    planned = project.plan(file, folder / "results")
    assert project.run_jobs(planned) == "finished"
    return project.outcome(Path(planned.jobs[0].folder))
