"""Noise of evaluation and of training, estimated from draws and seeds in run folders."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gan_bench.errors import StoreError
from gan_bench.report.tables.evaluation_noise import COLUMNS, FILE, noise, render, write_noise
from gan_bench.report.wording import MISSING
from gan_bench.results.load import read_results
from gan_bench.store.run_folder import RunFolder
from tests.support import fabricate
from tests.support.fabricate import Model, simple
from tests.support.messages import Messages

GAN, MGAN = Model("GAN | plain"), Model("MGAN", "mgan")


def drawn(folder: Path, model: Model, seed: int, values: Sequence[float], *, version: int = 1, at: int = 2000) -> Path:
    """A run with the score `values[0]`, and further draws with the other values."""
    path = fabricate.run(folder, simple(model, seed, values[0]))
    row = {"iteration": str(at), "generator": "", "metric": "symmetric_kl", "n": "10000", "version": str(version)}
    RunFolder(path).write_repeats(
        [{"draw": str(i), "value": repr(value), **row} for i, value in enumerate(values[1:], 1)]
    )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results without any run."""
    return fabricate.benchmark(tmp_path / "made", [GAN, MGAN])


def row(folder: Path) -> pd.Series:
    """The only row of a folder's noise."""
    (found,) = (found for _, found in noise(read_results(folder)).iterrows())
    return found


class TestNoise:
    def test_is_separated_as_by_hand(self, folder: Path) -> None:
        """Evaluation: variance pooled over draws - 1. Training: variance of means minus the part of evaluation."""
        for seed, values in enumerate([(1.0, 2.0, 3.0), (5.0, 7.0)]):
            drawn(folder, GAN, seed, values)
        found = row(folder)
        within = (2 * 1.0 + 1 * 2.0) / 3
        between = (6.0 - 2.0) ** 2 / 2 - within * (1 / 3 + 1 / 2) / 2
        assert found["mean"] == pytest.approx(4.0)
        assert found["evaluation_sd"] == pytest.approx(math.sqrt(within))
        assert found["training_sd"] == pytest.approx(math.sqrt(between))
        assert found["ratio"] == pytest.approx(math.sqrt(within / between))
        assert (found["draws"], found["seeds"], found["n"], found["unit"]) == (2, 2, 10_000, "nats")
        assert (found["dataset"], found["label"], found["model"]) == ("ring8", GAN.label, "gan")

    def test_recovers_the_deviations_of_drawn_values(self, folder: Path) -> None:
        """400 seeds have deviations 0.5 between and 2 within seeds, so that single scores have 2.06."""
        rng = np.random.default_rng(0)
        fabricate.benchmark(folder, [GAN], seeds=range(400))
        for seed, centre in enumerate(rng.normal(10, 0.5, 400)):
            drawn(folder, GAN, seed, rng.normal(centre, 2, 20).tolist())
        found = row(folder)
        assert found["evaluation_sd"] == pytest.approx(2, rel=0.03)
        assert found["training_sd"] == pytest.approx(0.5, rel=0.1)

    def test_of_training_is_undefined_for_one_seed(self, folder: Path) -> None:
        """One seed gives neither training noise nor a ratio."""
        drawn(folder, GAN, 0, (1.0, 2.0))
        found = row(folder)
        assert found["evaluation_sd"] == pytest.approx(math.sqrt(0.5))
        assert math.isnan(found["training_sd"]) and math.isnan(found["ratio"])

    @pytest.mark.parametrize(
        ("values", "training", "ratio"),
        [
            ([(1.0, 3.0), (1.0, 3.0)], 0, math.inf),
            ([(1.0, 1.0), (1.0, 1.0)], 0, math.nan),
            ([(1, 1), (3, 3)], 2**0.5, 0),
        ],
    )
    def test_of_training_may_be_zero(
        self, folder: Path, values: list[tuple[float, float]], training: float, ratio: float
    ) -> None:
        """Spread that the draws explain is not training noise. 0 / 0 is nan."""
        for seed, each in enumerate(values):
            drawn(folder, GAN, seed, each)
        assert row(folder)["training_sd"] == pytest.approx(training)
        np.testing.assert_equal(row(folder)["ratio"], ratio)

    def test_of_values_that_are_not_finite_is_nan(self, folder: Path) -> None:
        """Such a row is shown, not dropped."""
        for seed, each in enumerate([(1.0, math.inf), (1.0, 2.0)]):
            drawn(folder, GAN, seed, each)
        found = row(folder)
        assert found["mean"] == math.inf
        assert math.isnan(found["evaluation_sd"]) and math.isnan(found["training_sd"]) and math.isnan(found["ratio"])

    def test_uses_the_last_iteration_and_the_current_version(self, folder: Path) -> None:
        """Draws of another version of the metric, or of an earlier iteration, are not used."""
        drawn(folder, GAN, 0, (1.0, 2.0), version=2)
        drawn(folder, MGAN, 0, (1.0, 2.0), at=1000)
        assert noise(read_results(folder)).empty

    def test_leaves_out_a_run_that_cannot_be_read(self, folder: Path) -> None:
        for seed in (0, 1):
            path = drawn(folder, GAN, seed, (1.0, 2.0))
        (path / "repeats.csv").write_text("draw\n1\n", encoding="utf-8")
        assert row(folder)["seeds"] == 1


class TestFile:
    def test_holds_the_frame(self, folder: Path) -> None:
        """The file has one number in each cell, nan spelled out, for any labels."""
        drawn(folder, GAN, 0, (1.0, 2.0))
        frame = write_noise(folder)
        assert tuple(frame.columns) == COLUMNS
        pd.testing.assert_frame_equal(pd.read_csv(folder / FILE), frame, check_dtype=False)

    def test_needs_a_run_with_two_draws(self, folder: Path, messages: Messages) -> None:
        """Otherwise an error is raised and no file is written."""
        fabricate.run(folder, simple(GAN, 0, 1.0))
        with messages.raises(StoreError, folder):
            write_noise(folder)
        assert not (folder / FILE).exists()


class TestRendering:
    def test_has_a_table_for_each_dataset_and_an_explanation(self, folder: Path, messages: Messages) -> None:
        """Numbers have three digits, labels are escaped, and undefined values of one seed are dashes."""
        drawn(folder, GAN, 0, (1.0, 2.0))
        for seed, values in enumerate([(1.0, 2.0), (4.0, 4.0)]):
            drawn(folder, MGAN, seed, values)
        lines = render(noise(read_results(folder))).splitlines()
        assert lines[0] == "### ring8: evaluation noise and training noise"
        cells = [[cell.strip() for cell in line.replace("\\|", "/").split("|")[1:-1]] for line in lines[4:6]]
        assert cells[0] == ["GAN / plain", "symmetric_kl", "10,000", "2", "1", "1.5", "0.707", MISSING, MISSING]
        assert cells[1][4:] == ["2", "2.75", "0.5", "1.73", "0.289"]
        messages.check(lines[-1], "evaluation_sd", "training_sd", "ratio")


def test_noise_needs_no_torch(folder: Path) -> None:
    """Noise can be computed on a machine without torch."""
    drawn(folder, GAN, 0, (1.0, 2.0))
    code = (
        "import pathlib, sys; from gan_bench.report.tables.evaluation_noise import write_noise; "
        'write_noise(pathlib.Path(sys.argv[1])); assert "torch" not in sys.modules'
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
