"""What all tests share: a data folder of their own, unless `GAN_BENCH_DATA` names one with real data."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gan_bench.datastore import ROOT_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Classifiers that tests train are kept for the session, and nowhere else."""
    if os.environ.get(ROOT_VARIABLE):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(tmp_path_factory.mktemp("data")))
        yield
