"""What all tests share: a data folder of their own, unless `GAN_BENCH_DATA` names one with real data."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from gan_bench.datastore import ROOT_VARIABLE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` if there is no GPU: the mark is the only way to skip one, so that none lacks it."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Classifiers that tests train are kept for the session, and nowhere else."""
    if os.environ.get(ROOT_VARIABLE):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def compiler() -> None:
    """Skips where torch finds nothing to compile with."""
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        torch._inductor.compile(make_fx(lambda x: x.sin() + 1)(torch.ones(8)), [torch.ones(8)])
    except Exception as error:
        pytest.skip(f"torch cannot compile here: {error}")
