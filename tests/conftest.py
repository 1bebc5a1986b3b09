"""Fixtures of all tests, and the distribution of tests over processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from gan_bench.data.downloads import ROOT_VARIABLE, exclusive
from tests.support.messages import OPTION, Messages, hidden_texts

COMPUTED = ("prepared", "cache")
"""Folders that gan-bench itself computes from data files."""

os.environ["OMP_NUM_THREADS"] = "1"  # for processes that tests start
torch.set_num_threads(1)  # one worker a core: more threads would wait for each other

# The first backward pass makes autograd start its threads, one for each registered device. Compilation registers
# another device, and its thread would forbid forks in all later tests.
torch.ones(1, requires_grad=True).sum().backward()

Shared = Callable[[str, Callable[[Path], object]], Path]
"""Return the folder of a name. The worker that needs it first fills it with the given function, once in a test run."""


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use no workers for a single test file: starting them takes longer than most files take to run."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    paths = {Path(argument.split("::")[0]) for argument in config.args}
    return 0 if len(paths) == 1 and paths.pop().suffix == ".py" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option that records messages."""
    parser.addoption(OPTION, action="store_true", help="record messages instead of comparing them")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to record in several processes, which would overwrite each other's messages."""
    if config.getoption(OPTION) and config.getoption("numprocesses", 0):
        raise pytest.UsageError(f"{OPTION} needs -n0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` if there is no GPU. Only the mark skips a test, so that no GPU test lacks it."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Folders that all workers of a test run share. A test that writes to one copies it first."""
    base = tmp_path_factory.getbasetemp()
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"

    def folder_of(name: str, fill: Callable[[Path], object]) -> Path:
        folder, filled = base / name, base / f"{name}.filled"
        with exclusive(folder, lambda line: None):
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker whose `fill` failed
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session", autouse=True)
def data_folder(shared_folder: Shared) -> Iterator[None]:
    """Keep classifiers that tests train for the session, in a separate data folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(shared_folder("data", _link_data)))
        yield


def _link_data(folder: Path) -> None:
    """Link the files of `GAN_BENCH_DATA`, if it is set, except files that an earlier session computed from them."""
    given = os.environ.get(ROOT_VARIABLE)
    if given and Path(given).is_dir():
        for path in Path(given).iterdir():
            if path.name not in COMPUTED:
                (folder / path.name).symlink_to(path.resolve())


@pytest.fixture(scope="session")
def compiler() -> None:
    """Skip the test if torch finds no compiler."""
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        torch._inductor.compile(make_fx(lambda x: x.sin() + 1)(torch.ones(8)), [torch.ones(8)])
    except Exception as error:
        pytest.skip(f"torch cannot compile here: {error}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many quick tests of real data ran, and their time: CI allows 60 s in total."""
    reports = [each for group in ("passed", "failed", "skipped") for each in terminalreporter.getreports(group)]
    reports = [each for each in reports if "data" in getattr(each, "keywords", {})]
    if reports:
        skipped = sum(each.skipped for each in reports)
        ran = sum(not each.skipped and each.when == "call" for each in reports)
        seconds = sum(each.duration for each in reports)
        terminalreporter.write_line(f"real-data tests: {ran} ran, {skipped} skipped, {seconds:.1f} s")


@pytest.fixture
def messages(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Messages]:
    """Messages of this test, compared with the recorded ones (`tests.support.messages`)."""
    update = bool(request.config.getoption(OPTION))
    found = Messages(request.node.nodeid, hidden_texts(tmp_path), update)
    yield found
    if update:
        found.write()
