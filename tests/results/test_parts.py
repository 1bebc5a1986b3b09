"""Results in several folders or files are read as one benchmark, unless their settings differ."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gan_bench
from gan_bench.errors import StoreError, UsageError
from gan_bench.results.load import write_results_csv
from gan_bench.results.parts import read_parts
from tests.support import fabricate
from tests.support.fabricate import Model, simple
from tests.support.messages import Messages

GAN, MGAN = Model("GAN"), Model("MGAN", "mgan")
REAL = Model("real-data", "real-data", anchor=True)


def part(folder: Path, models: Sequence[Model], seeds: Sequence[int], name: str = "cut") -> Path:
    """Write a results folder with a finished run of each model and seed."""
    fabricate.benchmark(folder, models, seeds=seeds, metrics=["symmetric_kl", "modes"], name=name)
    for model in models:
        for seed in seeds:
            fabricate.run(folder, simple(model, seed, 1.0 + seed + len(model.label)))
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change benchmark.json of a folder."""
    path = folder / "benchmark.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def shown(*paths: Path) -> pd.DataFrame:
    """Rows of the combined table without the notes."""
    return gan_bench.table(list(paths)).drop(columns="parameters")


def test_seeds_on_two_machines_are_one_table(tmp_path: Path) -> None:
    """The table of two halves equals the table of the whole."""
    whole = part(tmp_path / "whole", [GAN, MGAN, REAL], [0, 1, 2, 3])
    halves = [part(tmp_path / "a", [GAN, MGAN, REAL], [0, 1]), part(tmp_path / "b", [GAN, MGAN, REAL], [2, 3])]
    pd.testing.assert_frame_equal(shown(*halves), shown(whole))


def test_models_on_two_machines_are_one_table(tmp_path: Path) -> None:
    """Anchors that both parts have are counted once, and stay last."""
    whole = part(tmp_path / "whole", [GAN, MGAN, REAL], [0, 1])
    halves = [part(tmp_path / "a", [GAN, REAL], [0, 1]), part(tmp_path / "b", [MGAN, REAL], [0, 1])]
    pd.testing.assert_frame_equal(shown(*halves), shown(whole))


def test_the_table_names_its_parts(tmp_path: Path) -> None:
    """A note below the table lists the folders."""
    a, b = part(tmp_path / "a", [GAN], [0]), part(tmp_path / "b", [GAN], [1], name="other")
    notes = gan_bench.table([a, b]).attrs["notes"]
    assert any("2 parts" in note and str(a) in note and str(b) in note for note in notes)


def test_a_folder_named_twice_is_read_once(tmp_path: Path) -> None:
    """Its runs are not counted twice."""
    a = part(tmp_path / "a", [GAN], [0])
    pd.testing.assert_frame_equal(shown(a, a), shown(a))


def test_the_finished_one_of_two_equal_runs_is_used(tmp_path: Path) -> None:
    """The order of the parts does not matter."""
    done = part(tmp_path / "done", [GAN], [0])
    begun = fabricate.benchmark(tmp_path / "begun", [GAN], seeds=[0], metrics=["symmetric_kl", "modes"], name="cut")
    fabricate.run(begun, fabricate.Run(GAN, 0, status="interrupted", iteration=500))
    for paths in ([done, begun], [begun, done]):
        results = read_parts(paths)
        assert [placed.run.status for placed in results.runs] == ["finished"]
        assert set(results.frame["status"]) == {"finished"}


def test_csv_files_with_their_benchmark_are_parts(tmp_path: Path) -> None:
    """A results.csv beside its benchmark.json counts as its folder."""
    folders = [part(tmp_path / "a", [GAN], [0]), part(tmp_path / "b", [GAN], [1])]
    whole = shown(*folders)
    for folder in folders:
        write_results_csv(folder)
        shutil.rmtree(folder / "runs")
    pd.testing.assert_frame_equal(shown(*folders), whole)
    pd.testing.assert_frame_equal(shown(folders[0] / "results.csv", folders[1]), whole)


def test_csv_files_alone_are_combined(tmp_path: Path) -> None:
    """Their settings are unknown, as those of one such file."""
    for name, seed in (("a", 0), ("b", 1)):
        write_results_csv(part(tmp_path / name, [GAN], [seed]))
        (tmp_path / f"{name}.csv").write_text((tmp_path / name / "results.csv").read_text())
    assert shown(tmp_path / "a.csv", tmp_path / "b.csv")["n"].tolist() == [2]


def test_a_csv_without_settings_is_not_combined_with_a_folder(tmp_path: Path, messages: Messages) -> None:
    """The message names the file."""
    folder = part(tmp_path / "a", [GAN], [0])
    write_results_csv(part(tmp_path / "b", [GAN], [1]))
    shutil.copy(tmp_path / "b" / "results.csv", tmp_path / "b.csv")
    with messages.raises(UsageError, str(tmp_path / "b.csv"), hide={str(tmp_path): "TMP"}):
        read_parts([folder, tmp_path / "b.csv"])


DIFFERENCES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "protocol": (lambda file: file["protocol"].update(batch=64), "protocol.batch: 512 in"),
    "samples": (lambda file: file["evaluation"].update(samples=500), "evaluation.samples: 10000 in"),
    "primary": (lambda file: file["evaluation"].update(primary="modes"), "evaluation.primary: none in"),
    "version": (lambda file: file.update(version="2"), 'version: none in'),
    "metric": (lambda file: file["metrics"]["modes"].update(version=2), "version of metric modes: 1 in"),
    "dataset": (lambda file: file["datasets"][0].update(plugin="grid25"), "plugin of dataset ring8"),
    "departures": (lambda file: file["models"][0].update(departures=["x"]), "departures of model GAN"),
    "code": (lambda file: file["models"][0].update(configurations={"ring8": "0"}), "code of model GAN on ring8"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_parts_with_other_settings_are_rejected(tmp_path: Path, kind: str, messages: Messages) -> None:
    """The message names the key and both values."""
    change, expected = DIFFERENCES[kind]
    a, b = part(tmp_path / "a", [GAN], [0]), part(tmp_path / "b", [GAN], [1])
    edit(b, change)
    with messages.raises(UsageError, expected, hide={str(tmp_path): "TMP"}):
        read_parts([a, b])


def test_settings_that_change_no_value_may_differ(tmp_path: Path) -> None:
    """Points of evaluation and the choice of metrics do not change a value."""
    a, b = part(tmp_path / "a", [GAN], [0]), part(tmp_path / "b", [GAN], [1])
    edit(b, lambda file: file["evaluation"].update(every=500, points=2, metrics=["modes"]))
    assert gan_bench.table([a, b])["n"].tolist() == [2]


def test_no_part_and_a_missing_part_are_errors(tmp_path: Path) -> None:
    """Every part must exist."""
    with pytest.raises(UsageError):
        read_parts([])
    with pytest.raises(StoreError, match="missing"):
        read_parts([part(tmp_path / "a", [GAN], [0]), tmp_path / "missing"])
