"""Reading results folders: tidy values, and nothing that makes a reader stop or lose a run silently."""

from __future__ import annotations

import json
import math
import subprocess
import sys
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

GAN, MGAN = Model("GAN"), Model("MGAN", "mgan", departures=("beta = 1 instead of 0.125",), generators=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A benchmark of two models and two seeds, all of which finished."""
    fabricate.benchmark(tmp_path, [GAN, MGAN], seeds=[0, 1])
    for model in (GAN, MGAN):
        for seed in (0, 1):
            fabricate.run(tmp_path, simple(model, seed, 1.0 + seed))
    return tmp_path


def test_a_preview_in_one_file_with_real_results_is_refused(tmp_path: Path) -> None:
    """Rows of a preview do not compare with those of whole runs, and must not vanish beside them."""
    for name in ("tiny", "tiny-preview"):
        fabricate.benchmark(tmp_path / name, [fabricate.Model("GAN")], seeds=[0], name=name)
        fabricate.run(tmp_path / name, fabricate.simple(fabricate.Model("GAN"), 0, 1.0))
    files = [write_results_csv(tmp_path / name).read_text("utf-8").splitlines() for name in ("tiny", "tiny-preview")]
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("\n".join([*files[0], *files[1][1:]]) + "\n", encoding="utf-8")
    with pytest.raises(StoreError, match="holds tiny, tiny-preview together; previews and checks do not compare"):
        read_results(mixed)


def test_the_benchmark_is_read_whole(folder: Path) -> None:
    """benchmark.json comes back as data: seeds, entries with departures, metrics with direction and unit."""
    benchmark = read_benchmark(folder)
    assert (benchmark.name, benchmark.seeds) == ("synthetic8", (0, 1))
    assert [entry.label for entry in benchmark.models] == ["GAN", "MGAN"]
    assert benchmark.models[1].departures == ("beta = 1 instead of 0.125",)
    assert benchmark.metrics["modes"].direction == "higher"
    assert benchmark.metrics["wasserstein"].expensive
    assert read_benchmark(folder / "benchmark.json") == benchmark


def test_the_frame_is_tidy(folder: Path) -> None:
    """One value a row, in the order of the benchmark, with nullable integers where there may be none."""
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
    """Values per generator keep their index, the mixture has none, and losses have no sample size."""
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


def test_the_ledger_is_among_the_metrics(folder: Path) -> None:
    """Each run ends with its parameters (summed over players), samples, seconds, and whether it finished."""
    frame = load_results(folder)
    run = frame[(frame["label"] == "GAN") & (frame["seed"] == 0)].set_index("metric")
    assert run.loc["parameters", "value"] == 198_914 + 513
    assert run.loc["real_samples", "value"] == LEDGER["real_samples"]
    assert run.loc["train_seconds", "value"] == 12.5
    assert run.loc["finished", "value"] == 1.0
    assert run.loc["finished", "iteration"] == 2000


def test_a_run_that_failed_before_it_was_built_is_there(tmp_path: Path) -> None:
    """A run without curve and ledger still has its `finished` row, with 0."""
    fabricate.benchmark(tmp_path, [GAN])
    path = fabricate.run(tmp_path, Run(GAN, status="failed", iteration=0, ledger={}))
    (path / "curve.csv").unlink()
    frame = load_results(tmp_path)
    assert frame[["metric", "value", "status"]].to_numpy().tolist() == [["finished", 0.0, "failed"]]


def test_a_benchmark_that_has_not_run_has_no_rows(tmp_path: Path) -> None:
    """No runs: an empty frame with all columns and their types."""
    frame = load_results(fabricate.benchmark(tmp_path, [GAN]))
    assert len(frame) == 0 and tuple(frame.columns) == COLUMNS
    assert str(frame["generator"].dtype) == "Int64"


def test_seeds_are_free_and_other_settings_are_counted(folder: Path) -> None:
    """A run belongs to an entry by its configuration, whatever its seed; the rest is counted, not shown."""
    fabricate.run(folder, simple(GAN, 77, 1.0))
    fabricate.run(folder, simple(Model("GAN with other settings"), 0, 1.0))
    results = read_results(folder)
    assert sorted(results.frame.loc[results.frame["label"] == "GAN", "seed"].unique()) == [0, 1, 77]
    assert results.others == 1
    assert results.ignored == ()


def test_one_label_on_two_datasets(tmp_path: Path) -> None:
    """The same label on two datasets is two series of runs."""
    fabricate.benchmark(tmp_path, [GAN], datasets=["ring8", "grid25"])
    for dataset in ("ring8", "grid25"):
        fabricate.run(tmp_path, Run(GAN, dataset=dataset, rows=[(0, None, "modes", 3.0)]))
    frame = load_results(tmp_path)
    assert frame.loc[frame["metric"] == "modes", "dataset"].tolist() == ["ring8", "grid25"]


def test_values_of_another_version_are_not_shown_as_the_metric(tmp_path: Path) -> None:
    """A metric stored in another version than the benchmark's is left out, and the runs are counted."""
    fabricate.benchmark(tmp_path, [GAN], versions={"symmetric_kl": 2})
    rows = [(0, None, "symmetric_kl", 1.0), (0, None, "modes", 2.0)]
    fabricate.run(tmp_path, Run(GAN, 0, rows=rows))
    fabricate.run(tmp_path, Run(GAN, 1, rows=rows, versions={"symmetric_kl": 2}))
    results = read_results(tmp_path)
    kept = results.frame[results.frame["metric"].isin(["symmetric_kl", "modes"])]
    assert kept[["seed", "metric"]].to_numpy().tolist() == [[0, "modes"], [1, "symmetric_kl"], [1, "modes"]]
    assert results.outdated == {"symmetric_kl": 1}


def test_the_same_run_twice_counts_once(folder: Path) -> None:
    """Two machines brought the same run: the finished one counts, the other is listed."""
    fabricate.run(folder, Run(GAN, 0, status="interrupted", iteration=500), name="a-copy")
    results = read_results(folder)
    gan = results.frame[(results.frame["label"] == "GAN") & (results.frame["metric"] == "finished")]
    assert gan["status"].tolist() == ["finished", "finished"]
    assert [str(ignored) for ignored in results.ignored] == ["runs/a-copy (the same run as runs/gan-ring8-0)"]


DAMAGE = {
    "run.json is missing": lambda run: (run / "run.json").unlink(),
    "run.json: Unterminated": lambda run: (run / "run.json").write_text('{"format": 1, "key'),
    "run.json: 'utf-8'": lambda run: (run / "run.json").write_bytes(b"\xff\xfe{}"),
    "run.json: format 7": lambda run: (run / "run.json").write_text('{"format": 7}'),
    r"run.json: expected an object, found \[\]": lambda run: (run / "run.json").write_text("[]"),
    "run.json: missing seed": lambda run: _edit(run, "seed", None),
    "run.json: seed: expected int, got str": lambda run: _edit(run, "seed", "x"),
    "run.json: seed: expected int, got bool": lambda run: _edit(run, "seed", True),
    "run.json: ledger.train_seconds: expected float, got str": lambda run: _edit(
        run, "ledger", {"train_seconds": "long"}
    ),
    r"run.json: ledger.parameters\[...\]: expected int, got null": lambda run: _edit(
        run, "ledger", {"parameters": {"generator": None}}
    ),
    "run.json: model.generators: expected int, got str": lambda run: _edit(
        run, "model", {"plugin": "gan", "params": {}, "generators": "K"}
    ),
    "run.json: status: invalid enum value 'happy'": lambda run: _edit(run, "status", "happy"),
    "finished, but curve.csv is missing": lambda run: (run / "curve.csv").unlink(),
    "curve.csv: its last line is cut off": lambda run: _cut(run, 3),
    "curve.csv: columns": lambda run: (run / "curve.csv").write_text("a,b\n1,2\n"),
    "curve.csv: could not convert": lambda run: _replace(run, "10.0", "ten"),
    "curve.csv: No columns": lambda run: (run / "curve.csv").write_text("\n"),
    "curve.csv: Unable to parse": lambda run: _replace(run, "2000,,", "later,,"),
}


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


@pytest.mark.parametrize("reason", DAMAGE)
def test_damage_is_listed_with_its_reason_and_hurts_no_other(folder: Path, reason: str) -> None:
    """Whatever is wrong with one run folder, it is named with the reason, and all others are read."""
    DAMAGE[reason](folder / "runs" / "gan-ring8-0")
    with pytest.warns(IgnoredRunWarning, match=rf"ignored: runs/gan-ring8-0 \({reason}"):
        frame = load_results(folder)
    assert len(frame[frame["metric"] == "finished"]) == 3


def test_foreign_things_in_runs_are_listed_and_temporary_ones_are_not(folder: Path) -> None:
    """A stray file or folder is listed; a hidden name is a writer's unfinished business."""
    (folder / "runs" / "notes.txt").write_text("mine")
    (folder / "runs" / "empty").mkdir()
    (folder / "runs" / ".half.123.tmp").mkdir()
    assert [str(ignored) for ignored in read_results(folder).ignored] == [
        "runs/empty (run.json is missing)",
        "runs/notes.txt (not a folder)",
    ]


def test_results_csv_reads_back_exactly(tmp_path: Path) -> None:
    """results.csv gives the same frame as the folders: hostile labels, "NA", nan, inf and every digit."""
    models = [*map(Model, HOSTILE), Model("NA"), Model('say "x",\ny')]
    fabricate.benchmark(tmp_path, models)
    values = (0.1 + 0.2, math.nan, math.inf, -math.inf, 1e-300)
    for model, value in zip(models, values, strict=True):
        fabricate.run(tmp_path, simple(model, 0, value))
    written = write_results_csv(tmp_path)
    assert written == tmp_path / "results.csv"
    pd.testing.assert_frame_equal(load_results(written), load_results(tmp_path), check_exact=True)


def test_a_published_folder_is_read_from_its_csv(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """results.csv alone, or with its benchmark.json and no runs, is enough."""
    expected, published = load_results(folder), tmp_path_factory.mktemp("published")
    (published / "results.csv").write_bytes(write_results_csv(folder).read_bytes())
    pd.testing.assert_frame_equal(load_results(published), expected)
    assert read_results(published).benchmark is None
    (published / "benchmark.json").write_bytes((folder / "benchmark.json").read_bytes())
    assert read_results(published).benchmark == read_benchmark(folder)


def test_no_results_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    """A wrong path, an empty folder and a broken benchmark.json are StoreErrors that help."""
    with pytest.raises(StoreError, match="no such results folder or file"):
        read_results(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"neither a benchmark.json nor a results.csv. Results stand in: .*/one"):
        fabricate.benchmark(tmp_path / "several" / "one", [GAN])
        read_results(tmp_path / "several")
    (folder / "benchmark.json").write_text('{"format": 1, "name": "x"}')
    with pytest.raises(StoreError, match=r"benchmark\.json: damaged \(missing seeds\)"):
        read_results(folder)
    (folder / "benchmark.json").write_text('{"format": 3}')
    with pytest.raises(StoreError, match="format 3; this version of gan-bench reads formats 1 to 2"):
        read_results(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "these columns are missing: benchmark"),
        ("", "not a results.csv"),
        (",".join(COLUMNS) + "\ns,r,g,G,0,0,,modes,eight,9,finished,k\n", "damaged or cut off"),
        (",".join(COLUMNS) + "\ns,r,g,G,0,0,,modes,8.0\n", "damaged or cut off"),
    ],
)
def test_a_damaged_csv_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    """A csv that is something else, or was cut off, is a StoreError, not half a result."""
    path = tmp_path / "results.csv"
    path.write_text(content)
    with pytest.raises(StoreError, match=message):
        load_results(path)


def test_reading_results_needs_no_torch(folder: Path) -> None:
    """Tables and figures come from run folders on a machine without torch: nothing imports it."""
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
