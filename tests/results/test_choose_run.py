"""Which run is meant: what need not be said, and what is answered where it must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_bench.errors import StoreError, UsageError
from gan_bench.results.choose_run import choose_run
from gan_bench.results.load import write_results_csv
from tests.support import fabricate
from tests.support.fabricate import Model, Run

GAN, A, B = Model("GAN", "gan"), Model("A", "mgan"), Model("B", "mgan")
REAL = Model("real-data", "real-data", anchor=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models and real data on two datasets; of GAN, seed 1 has finished and seed 0 was interrupted."""
    fabricate.benchmark(tmp_path, [GAN, A, B, REAL], datasets=["ring8", "grid25"])
    for dataset in ("ring8", "grid25"):
        for model in (GAN, B, REAL):
            for seed in (2, 1, 0):
                status = "interrupted" if (model, seed) == (GAN, 0) else "finished"
                fabricate.run(tmp_path, Run(model, seed, dataset, status, 700 if status != "finished" else 2000))
    fabricate.run(tmp_path, Run(A, 0, "ring8", "failed", 5))
    return tmp_path


def test_the_lowest_finished_seed_is_the_default(folder: Path) -> None:
    """Of the model and the dataset that are named, by label or plugin."""
    for model, dataset, seed in (
        ("GAN", "ring8", 1),
        ("gan", "grid25", 1),
        ("B", "ring8", 0),
        ("real-data", "ring8", 0),
    ):
        chosen = choose_run(folder, model=model, dataset=dataset)
        assert (chosen.seed, chosen.folder.parent) == (seed, folder / "runs")
        assert chosen.folder.name.endswith(f"-{dataset}-{seed}")


def test_a_seed_that_is_named_need_not_have_finished(folder: Path) -> None:
    """Its newest checkpoint may be drawn from."""
    assert choose_run(folder, model="GAN", dataset="ring8", seed=0).seed == 0


def test_a_run_that_cannot_be_read_is_named(folder: Path) -> None:
    """Another seed is then the lowest, and of the one that is named there is none."""
    (run,) = (folder / "runs").glob("*b*-ring8-0")
    (run / "run.json").write_text("{", encoding="utf-8")
    said: list[str] = []
    assert choose_run(folder, model="B", dataset="ring8", log=said.append).seed == 1
    assert len(said) == 1 and said[0].startswith(f"ignored: runs/{run.name} (run.json")
    with pytest.raises(UsageError, match="no run of seed 0; there are: 1"):
        choose_run(folder, model="B", dataset="ring8", seed=0, log=said.append)
    assert said[1:] == said[:1]


def test_what_is_the_only_one_need_not_be_said(tmp_path: Path) -> None:
    """One trained model on one dataset; anchors are no choice."""
    fabricate.benchmark(tmp_path, [GAN, REAL])
    fabricate.run(tmp_path, Run(GAN, 3))
    chosen = choose_run(tmp_path)
    assert (chosen.label, chosen.seed) == ("GAN", 3)


def test_a_run_folder_is_its_run(folder: Path) -> None:
    """Whatever its status; nothing else is to be said of it."""
    run = folder / "runs" / "gan-ring8-0"
    chosen = choose_run(run)
    assert (chosen.folder, chosen.label, chosen.seed) == (run, "gan", 0)
    with pytest.raises(
        UsageError, match=r"is one run\. Model, dataset and seed choose among those of a results folder"
    ):
        choose_run(run, seed=0)
    (run / "run.json").write_text("{")
    with pytest.raises(StoreError, match=r"gan-ring8-0: run\.json: "):
        choose_run(run)


@pytest.mark.parametrize(
    ("model", "dataset", "seed", "message"),
    [
        (None, "ring8", None, r"say which model\. Known: A, B, GAN\."),
        (
            "gna",
            "ring8",
            None,
            r"no model is called 'gna'; did you mean 'gan'\? Known: A, B, GAN, gan, mgan, real-data",
        ),
        ("mgan", "ring8", None, r"several models are 'mgan'; say which by its label\. Known: A, B\."),
        ("GAN", None, None, r"say which dataset\. Known: grid25, ring8\."),
        ("GAN", "ring", None, r"no dataset is called 'ring'; did you mean 'ring8'\?"),
        (
            "GAN",
            "ring8",
            7,
            r"GAN on ring8: there is no run of seed 7; there are: 0 \(interrupted at iteration 700\), 1 ",
        ),
    ],
)
def test_what_means_nothing_or_too_much_is_answered(
    folder: Path, model: str | None, dataset: str | None, seed: int | None, message: str
) -> None:
    """With what there is, and the closest name."""
    with pytest.raises(UsageError, match=message):
        choose_run(folder, model=model, dataset=dataset, seed=seed)


def test_runs_that_are_not_there_are_said_to_be_missing(folder: Path, tmp_path: Path) -> None:
    """None yet, none finished, only scores, or no results at all."""
    with pytest.raises(StoreError, match="A on grid25: there is no run yet"):
        choose_run(folder, model="A", dataset="grid25")
    with pytest.raises(StoreError, match=r"no run has finished\. Say a seed .*: 0 \(failed at iteration 5\)\."):
        choose_run(folder, model="A", dataset="ring8")
    scores = tmp_path / "scores"
    scores.mkdir()
    (scores / "results.csv").write_bytes(write_results_csv(folder).read_bytes())
    with pytest.raises(StoreError, match="holds scores, but no run folders"):
        choose_run(scores, model="GAN")
    with pytest.raises(StoreError, match="no such results folder or file"):
        choose_run(tmp_path / "nowhere")
