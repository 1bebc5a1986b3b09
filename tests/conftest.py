"""What all tests share: a data folder of their own, with links to the files of `GAN_BENCH_DATA` if it is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gan_bench.datastore import ROOT_VARIABLE

COMPUTED = ("prepared", "cache")
"""Folders of what gan-bench itself makes of data files."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` if there is no GPU: the mark is the only way to skip one, so that none lacks it."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Classifiers that tests train are kept for the session, and nowhere else."""
    given, folder = os.environ.get(ROOT_VARIABLE), tmp_path_factory.mktemp("data")
    if given and Path(given).is_dir():
        # Links, so that no test reads what an earlier session computed, or leaves anything in the given folder.
        for path in Path(given).iterdir():
            if path.name not in COMPUTED:
                (folder / path.name).symlink_to(path.resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(folder))
        yield


@pytest.fixture(scope="session")
def compiler() -> None:
    """Skips where torch finds nothing to compile with."""
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        torch._inductor.compile(make_fx(lambda x: x.sin() + 1)(torch.ones(8)), [torch.ones(8)])
    except Exception as error:
        pytest.skip(f"torch cannot compile here: {error}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how many quick tests of real data ran, and their time: CI allows them 60 s together."""
    reports = [each for group in ("passed", "failed", "skipped") for each in terminalreporter.getreports(group)]
    reports = [each for each in reports if "data" in getattr(each, "keywords", {})]
    if reports:
        skipped = sum(each.skipped for each in reports)
        ran = sum(not each.skipped and each.when == "call" for each in reports)
        seconds = sum(each.duration for each in reports)
        terminalreporter.write_line(f"real-data tests: {ran} ran, {skipped} skipped, {seconds:.1f} s")
