"""Promises for missing packages of a metric: a message names the package, and nothing else fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.metrics import _inception
from gan_bench_zoo.metrics.wasserstein import Wasserstein

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.observer import Observer
from gan_bench.errors import UsageError, missing_package
from gan_bench.evaluation.score_samples import score
from gan_bench.running import prepare_data, run_benchmark
from tests.support import project
from tests.support.messages import Messages


@pytest.fixture
def without_pot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without POT."""
    monkeypatch.setitem(sys.modules, "ot", None)


class Notes(Observer):
    """Observer that keeps notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.usefixtures("without_pot")
def test_a_run_goes_on_without_the_metric(tmp_path: Path, messages: Messages) -> None:
    """The record names the package, and the other metrics have values."""
    planned = project.plan(project.describe(), tmp_path)
    assert project.run_jobs(planned) == "finished"
    folder = Path(planned.jobs[0].folder)
    errors = project.record(folder)["metric_errors"]
    assert errors.keys() == {"wasserstein"}
    messages.check(errors["wasserstein"], "POT")
    values = {row["metric"]: float(row["value"]) for row in project.rows(folder / "curve.csv")}
    assert np.isnan(values["wasserstein"]) and np.isfinite(values["symmetric_kl"])


@pytest.mark.usefixtures("without_pot")
def test_samples_are_not_scored(messages: Messages) -> None:
    """A call of `score` raises UsageError, since the requested metric cannot be computed."""
    x = np.random.default_rng(0).normal(size=(500, 2))
    with messages.raises(UsageError, "'wasserstein'", "POT"):
        score(x, Ring8(Ring8.Params()), [Wasserstein()])


@pytest.mark.usefixtures("without_pot")
def test_preparing_a_metric_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """The command reports it before the runs, which proceed."""

    def prepare(self: Any, dataset: Dataset, device: str, log: Callable[[str], None]) -> None:
        import ot  # noqa: F401

    planned = project.plan(project.describe(), tmp_path)
    monkeypatch.setattr(planned.registry.get("metrics", "wasserstein"), "prepare", prepare)
    notes = Notes()
    assert run_benchmark.run(replace(planned, engine=project.InProcess), notes).counts == {"finished": 1}
    (note,) = (note for note in notes.notes if "wasserstein" in note)
    messages.check(note, "wasserstein", "POT")


def test_weights_have_no_note_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of a run then has no note of weights."""

    def inception() -> Any:
        raise ModuleNotFoundError("No module named 'torch_fidelity'", name="torch_fidelity")

    monkeypatch.setattr(_inception, "has_weights", lambda: True)
    monkeypatch.setattr(_inception, "inception", inception)
    assert _inception.note_of_weights() == ""


def test_the_name_is_that_of_the_distribution(messages: Messages) -> None:
    """The distribution's name is reported for a module's package, and nothing for other errors."""
    error = ModuleNotFoundError("…", name="torch_fidelity.metric_fid")
    messages.check(missing_package(error), "torch-fidelity")
    assert missing_package(ImportError("cannot import name", name="ot")) == ""
    assert missing_package(RuntimeError("ot")) == ""


@pytest.mark.parametrize("initialised", [True, False])
def test_preparing_metrics_leaves_no_gpu_memory(
    initialised: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command frees the cache of its process, and does not initialise CUDA for that."""
    emptied: list[bool] = []
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: initialised)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: emptied.append(True))
    planned = project.plan(project.describe(), tmp_path)
    for device in ("cpu", "cuda"):
        prepare_data.prepare_data(planned.benchmark, planned.registry, device, lambda line: None)
    assert emptied == [True] * initialised
