"""Selection of a stored run: optional selectors, and errors for ambiguous or unknown ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_bench.errors import StoreError, UsageError
from gan_bench.results.choose_run import choose_run
from gan_bench.results.load import write_results_csv
from tests.support import fabricate
from tests.support.fabricate import Model, Run
from tests.support.messages import Messages

GAN, A, B = Model("GAN", "gan"), Model("A", "mgan"), Model("B", "mgan")
REAL = Model("real-data", "real-data", anchor=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models and real data on two datasets; seed 0 of GAN was interrupted, seeds 1 and 2 finished."""
    fabricate.benchmark(tmp_path, [GAN, A, B, REAL], datasets=["ring8", "grid25"])
    for dataset in ("ring8", "grid25"):
        for model in (GAN, B, REAL):
            for seed in (2, 1, 0):
                status = "interrupted" if (model, seed) == (GAN, 0) else "finished"
                fabricate.run(tmp_path, Run(model, seed, dataset, status, 700 if status != "finished" else 2000))
    fabricate.run(tmp_path, Run(A, 0, "ring8", "failed", 5))
    return tmp_path


def test_the_lowest_finished_seed_is_the_default(folder: Path) -> None:
    """Model and dataset are selected by label or plugin."""
    for model, dataset, seed in (
        ("GAN", "ring8", 1),
        ("gan", "grid25", 1),
        ("B", "ring8", 0),
        ("real-data", "ring8", 0),
    ):
        chosen = choose_run(folder, model=model, dataset=dataset)
        assert (chosen.seed, chosen.folder.parent) == (seed, folder / "runs")
        assert chosen.folder.name.endswith(f"-{dataset}-{seed}")


def test_a_selected_seed_need_not_have_finished(folder: Path) -> None:
    """Samples can be drawn from its last checkpoint."""
    assert choose_run(folder, model="GAN", dataset="ring8", seed=0).seed == 0


def test_a_run_that_cannot_be_read_is_reported(folder: Path, messages: Messages) -> None:
    """The lowest of the other seeds is the default. Selecting the damaged one is an error."""
    (run,) = (folder / "runs").glob("*b*-ring8-0")
    (run / "run.json").write_text("{", encoding="utf-8")
    log: list[str] = []
    assert choose_run(folder, model="B", dataset="ring8", log=log.append).seed == 1
    assert len(log) == 1 and f"runs/{run.name}" in log[0] and "run.json" in log[0]
    with messages.raises(UsageError, "B on ring8", "seed 0", "1 (finished"):
        choose_run(folder, model="B", dataset="ring8", seed=0, log=log.append)
    assert log[1:] == log[:1]


def test_the_only_run_needs_no_selection(tmp_path: Path) -> None:
    """With one trained model on one dataset, both are optional. Anchors are not selected by default."""
    fabricate.benchmark(tmp_path, [GAN, REAL])
    fabricate.run(tmp_path, Run(GAN, 3))
    chosen = choose_run(tmp_path)
    assert (chosen.label, chosen.seed) == ("GAN", 3)


def test_a_run_folder_is_one_run(folder: Path, messages: Messages) -> None:
    """A run folder is selected with any status, and allows no further selection."""
    run = folder / "runs" / "gan-ring8-0"
    chosen = choose_run(run)
    assert (chosen.folder, chosen.label, chosen.seed) == (run, "gan", 0)
    with messages.raises(UsageError, run):
        choose_run(run, seed=0)
    (run / "run.json").write_text("{")
    with pytest.raises(StoreError, match=r"gan-ring8-0: run\.json: "):
        choose_run(run)


@pytest.mark.parametrize(
    ("model", "dataset", "seed", "parts"),
    [
        (None, "ring8", None, ("model", "A, B, GAN")),
        ("gna", "ring8", None, ("'gna'", "'gan'", "A, B, GAN, gan, mgan, real-data")),
        ("mgan", "ring8", None, ("'mgan'", "A, B.")),
        ("GAN", None, None, ("dataset", "grid25, ring8")),
        ("GAN", "ring", None, ("'ring'", "'ring8'")),
        ("GAN", "ring8", 7, ("GAN on ring8", "seed 7", "0 (interrupted at iteration 700), 1 ")),
    ],
)
def test_an_ambiguous_or_unknown_selection_is_an_error(
    folder: Path, model: str | None, dataset: str | None, seed: int | None, parts: tuple[str, ...], messages: Messages
) -> None:
    """The message lists the candidates and suggests the closest name."""
    with messages.raises(UsageError, folder, *parts):
        choose_run(folder, model=model, dataset=dataset, seed=seed)


def test_missing_runs_are_an_error(folder: Path, tmp_path: Path, messages: Messages) -> None:
    """There may be no run yet, no finished run, only scores, or no results at all."""
    with messages.raises(StoreError, "A on grid25", "gan-bench run"):
        choose_run(folder, model="A", dataset="grid25")
    with messages.raises(StoreError, "A on ring8", "0 (failed at iteration 5)"):
        choose_run(folder, model="A", dataset="ring8")
    scores = tmp_path / "scores"
    scores.mkdir()
    (scores / "results.csv").write_bytes(write_results_csv(folder).read_bytes())
    with messages.raises(StoreError, scores, "runs/"):
        choose_run(scores, model="GAN")
    with messages.raises(StoreError, tmp_path / "nowhere"):
        choose_run(tmp_path / "nowhere")
