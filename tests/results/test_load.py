"""Results folders: tidy values, damaged runs, and files that are not results."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gan_bench.errors import StoreError
from gan_bench.results.load import (
    COLUMNS,
    IgnoredRunWarning,
    load_results,
    read_benchmark,
    read_results,
    write_results_csv,
)
from tests.support import fabricate
from tests.support.fabricate import HOSTILE, LEDGER, Model, Run, simple
from tests.support.messages import Messages

GAN, MGAN = Model("GAN"), Model("MGAN", "mgan", departures=("beta = 1 instead of 0.125",), generators=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A benchmark of two models and two seeds; all runs finished."""
    fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1])
    for model in (GAN, MGAN):
        for seed in (0, 1):
            fabricate.run(tmp_path, simple(model, seed, 1.0 + seed))
    return tmp_path


def test_a_preview_in_one_file_with_full_runs_is_refused(tmp_path: Path, messages: Messages) -> None:
    """Rows of a preview are not comparable with those of full runs."""
    for name in ("tiny", "tiny-preview"):
        fabricate.benchmark(tmp_path / name, [fabricate.Model("GAN")], seeds=[0], name=name)
        fabricate.run(tmp_path / name, fabricate.simple(fabricate.Model("GAN"), 0, 1.0))
    files = [write_results_csv(tmp_path / name).read_text("utf-8").splitlines() for name in ("tiny", "tiny-preview")]
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("\n".join([*files[0], *files[1][1:]]) + "\n", encoding="utf-8")
    with messages.raises(StoreError, mixed, "tiny, tiny-preview"):
        read_results(mixed)


def test_the_benchmark_is_read_completely(folder: Path) -> None:
    """benchmark.json contains seeds, entries with departures, and metrics with direction and unit."""
    benchmark = read_benchmark(folder)
    assert (benchmark.name, benchmark.seeds) == ("synthetic8", (0, 1))
    assert [entry.label for entry in benchmark.models] == ["GAN", "MGAN"]
    assert benchmark.models[1].departures == ("beta = 1 instead of 0.125",)
    assert benchmark.metrics["modes"].direction == "higher"
    assert benchmark.metrics["wasserstein"].expensive
    assert read_benchmark(folder / "benchmark.json") == benchmark


def test_the_frame_is_tidy(folder: Path) -> None:
    """The frame has one value a row, in the order of the benchmark, and nullable integers for optional numbers."""
    frame = load_results(folder)
    assert tuple(frame.columns) == COLUMNS
    assert (str(frame["generator"].dtype), str(frame["n"].dtype)) == ("Int64", "Int64")
    assert (frame["seed"].dtype, frame["iteration"].dtype, frame["value"].dtype) == (
        "int64",
        "int64",
        "float64",
    )
    assert frame["label"].drop_duplicates().tolist() == ["GAN", "MGAN"]
    last = frame[(frame["label"] == "MGAN") & (frame["seed"] == 1) & (frame["metric"] == "symmetric_kl")]
    assert last["value"].tolist() == [10.0, 2.0] and last["iteration"].tolist() == [0, 2000]
    assert last["key"].unique().tolist() == [Run(MGAN, 1).key]


def test_generators_and_losses(tmp_path: Path) -> None:
    """Values of a generator have its index, values of the mixture no index, and losses no sample size."""
    rows: fabricate.Rows = [(0, None, "purity", 0.5), (0, 0, "purity", 0.2), (0, 1, "purity", math.nan)]
    fabricate.benchmark(tmp_path, [MGAN], metrics=["purity"])
    fabricate.run(tmp_path, Run(MGAN, rows=[*rows, (0, None, "loss_generator", 0.7)]))
    frame = load_results(tmp_path).set_index("metric")
    purity = frame.loc["purity"]
    assert purity["generator"].isna().tolist() == [True, False, False]
    assert purity["generator"].tolist()[1:] == [0, 1]
    assert purity["n"].tolist() == [10_000] * 3
    assert math.isnan(purity["value"].iloc[2])
    assert pd.isna(frame.loc["loss_generator", "n"])


def test_the_ledger_follows_the_metrics(folder: Path) -> None:
    """Each run ends with its parameters (summed over players), samples, seconds, and whether it finished."""
    frame = load_results(folder)
    run = frame[(frame["label"] == "GAN") & (frame["seed"] == 0)].set_index("metric")
    assert run.loc["parameters", "value"] == 198_914 + 513
    assert run.loc["real_samples", "value"] == LEDGER["real_samples"]
    assert run.loc["train_seconds", "value"] == 12.5
    assert run.loc["finished", "value"] == 1.0
    assert run.loc["finished", "iteration"] == 2000


def test_a_run_that_failed_before_it_was_built_has_a_row(tmp_path: Path) -> None:
    """A run without curve and ledger has a row `finished` with 0."""
    fabricate.benchmark(tmp_path, [GAN])
    path = fabricate.run(tmp_path, Run(GAN, status="failed", iteration=0, ledger={}))
    (path / "curve.csv").unlink()
    frame = load_results(tmp_path)
    assert frame[["metric", "value", "status"]].to_numpy().tolist() == [["finished", 0.0, "failed"]]


def test_a_benchmark_that_has_not_run_has_no_rows(tmp_path: Path) -> None:
    """Without runs, the frame is empty and has all columns with their types."""
    frame = load_results(fabricate.benchmark(tmp_path, [GAN]))
    assert len(frame) == 0 and tuple(frame.columns) == COLUMNS
    assert str(frame["generator"].dtype) == "Int64"


def test_metrics_have_their_direction_and_scale(folder: Path) -> None:
    """Both are in every row of a metric, from benchmark.json, else from the runs; csv files without them are read."""
    content = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    content["metrics"]["symmetric_kl"]["scale"] = "log"
    content["metrics"]["modes"]["scale"] = "count"
    (folder / "benchmark.json").write_text(json.dumps(content), encoding="utf-8")
    run = fabricate.run(folder, Run(GAN, 5, rows=[(2000, None, "radius", 1.0), (2000, None, "loss_generator", 0.7)]))
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["metrics"] = {"radius": {"direction": "lower", "scale": "linear"}}
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    frame = load_results(folder)
    facts = {name: set(zip(part["direction"], part["scale"], strict=True)) for name, part in frame.groupby("metric")}
    assert facts["symmetric_kl"] == {("lower", "log")}
    assert facts["radius"] == {("lower", "linear")}
    assert facts["loss_generator"] == facts["finished"] == {("", "")}
    pd.testing.assert_frame_equal(load_results(write_results_csv(folder)), frame)
    older = folder / "older.csv"
    frame.drop(columns=["direction", "scale"]).to_csv(older, index=False)
    assert set(load_results(older)["scale"]) == {""}


def test_further_seeds_are_shown_and_other_settings_are_counted(folder: Path) -> None:
    """A run belongs to an entry by its configuration, with any seed. Other runs are counted, not shown."""
    fabricate.run(folder, simple(GAN, 77, 1.0))
    fabricate.run(folder, simple(Model("GAN with other settings"), 0, 1.0))
    results = read_results(folder)
    assert sorted(results.frame.loc[results.frame["label"] == "GAN", "seed"].unique()) == [0, 1, 77]
    assert results.others == 1
    assert results.ignored == ()


def test_one_label_on_two_datasets(tmp_path: Path) -> None:
    """The same label on two datasets gives two series of runs."""
    fabricate.benchmark(tmp_path, [GAN], datasets=["ring8", "grid25"])
    for dataset in ("ring8", "grid25"):
        fabricate.run(tmp_path, Run(GAN, dataset=dataset, rows=[(0, None, "modes", 3.0)]))
    frame = load_results(tmp_path)
    assert frame.loc[frame["metric"] == "modes", "dataset"].tolist() == ["ring8", "grid25"]


def test_values_of_another_version_are_left_out(tmp_path: Path) -> None:
    """Values of a version other than the benchmark's are omitted, and their runs are counted."""
    fabricate.benchmark(tmp_path, [GAN], versions={"symmetric_kl": 2})
    rows = [(0, None, "symmetric_kl", 1.0), (0, None, "modes", 2.0)]
    fabricate.run(tmp_path, Run(GAN, 0, rows=rows))
    fabricate.run(tmp_path, Run(GAN, 1, rows=rows, versions={"symmetric_kl": 2}))
    results = read_results(tmp_path)
    kept = results.frame[results.frame["metric"].isin(["symmetric_kl", "modes"])]
    assert kept[["seed", "metric"]].to_numpy().tolist() == [[0, "modes"], [1, "symmetric_kl"], [1, "modes"]]
    assert results.outdated == {"symmetric_kl": 1}


def test_a_copy_of_a_run_is_not_counted(folder: Path, messages: Messages) -> None:
    """If a folder contains two copies of a run, the finished one is used and the other is listed."""
    fabricate.run(folder, Run(GAN, 0, status="interrupted", iteration=500), name="a-copy")
    results = read_results(folder)
    gan = results.frame[(results.frame["label"] == "GAN") & (results.frame["metric"] == "finished")]
    assert gan["status"].tolist() == ["finished", "finished"]
    (copy,) = results.ignored
    messages.check(copy, "runs/a-copy", "runs/gan-ring8-0")


DAMAGE: dict[str, tuple[tuple[str, ...], Callable[[Path], object]]] = {
    "no record": (("run.json",), lambda run: (run / "run.json").unlink()),
    "format": (("run.json", "format 7"), lambda run: (run / "run.json").write_text('{"format": 7}')),
    "list": (("run.json", "[]"), lambda run: (run / "run.json").write_text("[]")),
    "no seed": (("run.json", "seed"), lambda run: _edit(run, "seed", None)),
    "text": (("run.json", "seed", "int", "str"), lambda run: _edit(run, "seed", "x")),
    "truth value": (("run.json", "seed", "int", "bool"), lambda run: _edit(run, "seed", True)),
    "nested": (
        ("run.json", "ledger.train_seconds", "float", "str"),
        lambda run: _edit(run, "ledger", {"train_seconds": "long"}),
    ),
    "null": (
        ("run.json", "ledger.parameters[...]", "int", "null"),
        lambda run: _edit(run, "ledger", {"parameters": {"generator": None}}),
    ),
    "generators": (
        ("run.json", "model.generators", "int", "str"),
        lambda run: _edit(run, "model", {"plugin": "gan", "params": {}, "generators": "K"}),
    ),
    "status": (("run.json", "status", "'happy'"), lambda run: _edit(run, "status", "happy")),
    "no curve": (("curve.csv",), lambda run: (run / "curve.csv").unlink()),
    "cut off": (("curve.csv",), lambda run: _cut(run, 3)),
    "columns": (("curve.csv", "a, b"), lambda run: (run / "curve.csv").write_text("a,b\n1,2\n")),
    "no metric": (("curve.csv", "metric"), lambda run: _replace(run, "symmetric_kl,10.0", ",10.0")),
}
"""Damage to a run folder, with the parts of the reason that name its place."""

FOREIGN_DAMAGE: dict[str, Callable[[Path], object]] = {
    "run.json: Unterminated": lambda run: (run / "run.json").write_text('{"format": 1, "key'),
    "run.json: 'utf-8'": lambda run: (run / "run.json").write_bytes(b"\xff\xfe{}"),
    "curve.csv: could not convert": lambda run: _replace(run, "10.0", "ten"),
    "curve.csv: No columns": lambda run: (run / "curve.csv").write_text("\n"),
    "curve.csv: Unable to parse": lambda run: _replace(run, "2000,,", "later,,"),
}
"""Damage whose reason is worded by Python or pandas, by that wording."""


def _edit(run: Path, name: str, value: object) -> None:
    record = json.loads((run / "run.json").read_text())
    record[name] = value
    if value is None:
        del record[name]
    (run / "run.json").write_text(json.dumps(record))


def _cut(run: Path, characters: int) -> None:
    text = (run / "curve.csv").read_text()
    (run / "curve.csv").write_text(text[:-characters])


def _replace(run: Path, old: str, new: str) -> None:
    text = (run / "curve.csv").read_text()
    assert old in text
    (run / "curve.csv").write_text(text.replace(old, new))


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_is_listed_and_the_others_are_read(folder: Path, kind: str, messages: Messages) -> None:
    """The warning names the run folder, the file and the reason."""
    parts, damage = DAMAGE[kind]
    damage(folder / "runs" / "gan-ring8-0")
    with pytest.warns(IgnoredRunWarning) as caught:
        frame = load_results(folder)
    (warning,) = caught
    messages.check(warning.message, "runs/gan-ring8-0", *parts)
    assert len(frame[frame["metric"] == "finished"]) == 3


@pytest.mark.parametrize("reason", FOREIGN_DAMAGE)
def test_reasons_of_libraries_are_passed_on(folder: Path, reason: str) -> None:
    """The warning contains the message of Python or pandas, after run folder and file."""
    FOREIGN_DAMAGE[reason](folder / "runs" / "gan-ring8-0")
    with pytest.warns(IgnoredRunWarning, match=rf"runs/gan-ring8-0 \({reason}"):
        frame = load_results(folder)
    assert len(frame[frame["metric"] == "finished"]) == 3


def test_foreign_files_in_runs_are_listed_and_temporary_ones_are_not(folder: Path, messages: Messages) -> None:
    """A file or folder that is not a run is listed. A hidden name is temporary."""
    (folder / "runs" / "notes.txt").write_text("mine")
    (folder / "runs" / "empty").mkdir()
    (folder / "runs" / ".half.123.tmp").mkdir()
    empty, notes = read_results(folder).ignored
    messages.check(empty, "runs/empty", "run.json")
    messages.check(notes, "runs/notes.txt")


def test_results_csv_reads_back_exactly(tmp_path: Path) -> None:
    """results.csv gives the same frame as the folders, with hostile labels, "NA", nan, inf and every digit."""
    models = [*map(Model, HOSTILE), Model("NA"), Model('say "x", y')]
    fabricate.benchmark(tmp_path, models)
    values = (0.1 + 0.2, math.nan, math.inf, -math.inf, 1e-300)
    for model, value in zip(models, values, strict=True):
        fabricate.run(tmp_path, simple(model, 0, value))
    written = write_results_csv(tmp_path)
    assert written == tmp_path / "results.csv"
    pd.testing.assert_frame_equal(load_results(written), load_results(tmp_path), check_exact=True)


def test_a_published_folder_is_read_from_its_csv(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """results.csv is sufficient, alone or with its benchmark.json, without runs."""
    expected, published = load_results(folder), tmp_path_factory.mktemp("published")
    (published / "results.csv").write_bytes(write_results_csv(folder).read_bytes())
    pd.testing.assert_frame_equal(load_results(published), expected)
    assert read_results(published).benchmark is None
    (published / "benchmark.json").write_bytes((folder / "benchmark.json").read_bytes())
    assert read_results(published).benchmark == read_benchmark(folder)


def test_a_folder_without_results_is_an_error(folder: Path, tmp_path: Path, messages: Messages) -> None:
    """A wrong path, a folder without results and a damaged benchmark.json are StoreErrors with a remedy."""
    with messages.raises(StoreError, tmp_path / "nowhere"):
        read_results(tmp_path / "nowhere")
    fabricate.benchmark(tmp_path / "several" / "one", [GAN])
    with messages.raises(StoreError, tmp_path / "several", tmp_path / "several" / "one"):
        read_results(tmp_path / "several")
    (folder / "benchmark.json").write_text('{"format": 1, "name": "x"}')
    with messages.raises(StoreError, folder / "benchmark.json", "seeds"):
        read_results(folder)
    (folder / "benchmark.json").write_text('{"format": 3}')
    with messages.raises(StoreError, folder / "benchmark.json", "format 3", "1 to 2"):
        read_results(folder)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("a,b\n1,2\n", "benchmark, dataset"),
        ("", ""),
        (",".join(COLUMNS) + "\ns,r,g,G,0,0,,modes,eight,9,finished,k,higher,count\n", ""),
        (",".join(COLUMNS) + "\ns,r,g,G,0,0,,modes,8.0,9,finished,k,higher,cubic\n", "scale must be log, linear"),
        (",".join(COLUMNS) + "\ns,r,g,G,0,0,,modes,8.0\n", ""),
    ],
    ids=["columns", "empty", "word", "scale", "cut"],
)
def test_a_damaged_csv_is_an_error(tmp_path: Path, content: str, part: str, messages: Messages) -> None:
    """A csv with other columns, or one that was cut off, is a StoreError, not a partial result."""
    path = tmp_path / "results.csv"
    path.write_text(content)
    with pytest.raises(StoreError) as caught:
        load_results(path)
    messages.check(str(caught.value).partition(" (")[0], path, part)  # then words of pandas


def test_reading_results_needs_no_torch(folder: Path) -> None:
    """Tables and figures can be drawn on a machine without torch."""
    code = """
import sys
from gan_bench.report.figures import figures
from gan_bench.results import class_shares as shares
from gan_bench.report.tables import build as tables
from gan_bench.cli import plot, table
shares.load_classes(sys.argv[1])
tables.render(sys.argv[1], "latex"); tables.write_tables(sys.argv[1]); figures.plot(sys.argv[1])
assert "torch" not in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
