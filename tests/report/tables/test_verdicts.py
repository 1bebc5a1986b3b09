"""Comparisons of stored results as frames and text, and the command `gan-bench compare`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from click.testing import CliRunner

import gan_bench
from gan_bench.cli.compare import command
from gan_bench.errors import UsageError
from tests.support import fabricate
from tests.support.fabricate import HOSTILE, Model, simple
from tests.support.messages import Messages

GAN, MGAN, X = Model("GAN"), Model("MGAN", "mgan"), Model("X")
VALUES = {"GAN": [2.0, 2.1, 1.9, 2.05, 1.95], "MGAN": [1.0, 1.1, 0.9, 1.05, 0.98], "X": [2.02, 2.1, 1.88, 2.06, 1.96]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models with five seeds: MGAN is better than GAN, and X is equivalent to it."""
    fabricate.benchmark(tmp_path, [GAN, MGAN, X], seeds=range(5), metrics=["symmetric_kl", "modes"])
    for model in (GAN, MGAN, X):
        for seed, value in enumerate(VALUES[model.label]):
            fabricate.run(tmp_path, simple(model, seed, value))
    return tmp_path


def test_the_frame_has_verdicts(folder: Path) -> None:
    """The baseline is the first model, and the metric the first one."""
    found = gan_bench.compare(folder).set_index("label")
    assert found["verdict"].to_dict() == {"MGAN": "better", "X": "equivalent"}
    assert found["baseline"].unique().tolist() == ["GAN"]
    assert found.loc["MGAN", "estimate"] == pytest.approx(0.5, abs=0.02)


def test_pairs_and_baseline(folder: Path, messages: Messages) -> None:
    """Every pair, or another baseline; an unknown one suggests the closest."""
    assert len(gan_bench.compare(folder, pairs="all")) == 3
    assert gan_bench.compare(folder, baseline="MGAN")["verdict"].tolist() == ["worse", "worse"]
    with messages.raises(UsageError, "'MGANN'", "'MGAN'"):
        gan_bench.compare(folder, baseline="MGANN")


@pytest.mark.parametrize("form", ["markdown", "text", "latex"])
def test_text_has_each_comparison_and_its_tests(folder: Path, form: str, messages: Messages) -> None:
    """The title names metric, dataset and baseline; lines below explain the columns."""
    result = CliRunner().invoke(command, [str(folder), "--format", form])
    assert result.exit_code == 0
    messages.check(result.stdout, "better", "equivalent", "GAN", "ring8")


def test_csv_is_the_frame(folder: Path) -> None:
    """One number a cell."""
    result = CliRunner().invoke(command, [str(folder), "--format", "csv", "--pairs", "all"])
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["label"], row["baseline"]) for row in rows] == [("GAN", "MGAN"), ("GAN", "X"), ("MGAN", "X")]
    assert float(rows[0]["p_holm"]) == gan_bench.compare(folder, pairs="all")["p_holm"][0]


def test_one_model_has_no_comparison(tmp_path: Path, messages: Messages) -> None:
    """The output gives the reason."""
    fabricate.benchmark(tmp_path, [GAN], seeds=[0])
    fabricate.run(tmp_path, simple(GAN, 0, 1.0))
    messages.check(CliRunner().invoke(command, [str(tmp_path)]).stdout)


def test_hostile_labels_stay_in_their_cells(tmp_path: Path) -> None:
    """Pipes, TeX specials and HTML are escaped."""
    fabricate.benchmark(tmp_path, [Model(label) for label in HOSTILE], seeds=[0, 1])
    for label in HOSTILE:
        for seed in (0, 1):
            fabricate.run(tmp_path, simple(Model(label), seed, 1.0 + seed))
    text = CliRunner().invoke(command, [str(tmp_path), "--format", "markdown", "--pairs", "all"]).stdout
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    latex = CliRunner().invoke(command, [str(tmp_path), "--format", "latex", "--pairs", "all"]).stdout
    assert r"50\%\_x \& \$y" in latex
