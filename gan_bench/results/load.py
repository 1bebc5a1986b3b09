"""Contents of a results folder as plain data: the stored benchmark, its runs, and one tidy table.

Run folders are authoritative and everything else is rebuilt from them. A folder that cannot be read is listed in
`StoredResults.ignored` with the reason.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gan_bench.contracts.modes import reserved_for
from gan_bench.errors import StoreError
from gan_bench.files import read_file, write_atomically
from gan_bench.results import csv_frames
from gan_bench.results.stored_run import ANOTHER, Ignored, StoredRun, StoredRuns, read_runs
from gan_bench.store.records import BenchmarkRecord, RecordError, StoredEntry, decode

COLUMNS = (
    "benchmark", "dataset", "model", "label", "seed", "iteration", "generator", "metric", "value", "n",
    "status", "key",
)  # fmt: skip
"""The columns of `load_results` and of results.csv."""

LEDGER = ("parameters", "real_samples", "fake_samples", "train_seconds")
"""Names of a run's ledger values among the metrics, at the run's last iteration."""

FINISHED = "finished"
"""1 or 0 for every run, so that a run that failed before its first evaluation still has a row."""

ANCHORS = ("real-data", "untrained")
"""Models without training, by which anchor rows of a bare results.csv are recognised."""

_INTEGERS = {"seed": "int64", "iteration": "int64", "generator": "Int64", "n": "Int64"}


class IgnoredRunWarning(UserWarning):
    """A run folder was left out because it cannot be read; the message gives its name and the reason."""


@dataclass(frozen=True)
class PlacedRun:
    """A run, with the entry and dataset of the benchmark that it belongs to."""

    dataset: str
    entry: StoredEntry
    run: StoredRun


@dataclass(frozen=True)
class StoredResults:
    """Input of tables and figures.

    Attributes:
        source: the results folder or the csv file.
        benchmark: the stored benchmark; None for a csv file without a benchmark.json in its folder.
        frame: the tidy values, with `COLUMNS`.
        runs: the run folders of these values; empty for a csv file.
        others: number of readable runs that belong to no entry of the benchmark.
        ignored: run folders that cannot be read.
        outdated: metric → number of runs with values of a version other than the benchmark's only.
        planned_seeds: number of seeds of the whole benchmark, if only some are selected; else 0.
        parts: the folders and files that were combined; empty for one.
    """

    source: Path
    benchmark: BenchmarkRecord | None
    frame: pd.DataFrame
    runs: tuple[PlacedRun, ...] = ()
    others: int = 0
    ignored: tuple[Ignored, ...] = ()
    outdated: Mapping[str, int] | None = None
    planned_seeds: int = 0
    parts: tuple[Path, ...] = ()


def only_seeds(results: StoredResults, seeds: Collection[int]) -> StoredResults:
    """Select some seeds of a results folder, as if the benchmark had no others."""
    assert results.benchmark is not None
    return replace(
        results,
        benchmark=replace(results.benchmark, seeds=tuple(seed for seed in results.benchmark.seeds if seed in seeds)),
        frame=results.frame[results.frame["seed"].isin(list(seeds))].reset_index(drop=True),
        runs=tuple(placed for placed in results.runs if placed.run.seed in seeds),
        planned_seeds=len(results.benchmark.seeds),
    )


def load_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Load all values of a results folder, or of a results.csv, one a row.

    Columns: benchmark, dataset, model (plugin), label, seed, iteration, generator (<NA> for the mixture),
    metric, value, n (samples it was computed from), status, key. Values may be nan or inf. Runs that cannot
    be read are left out with an `IgnoredRunWarning`. Raises StoreError if there are no results.
    """
    results = read_results(path)
    for ignored in results.ignored:
        warnings.warn(f"ignored: {ignored}", IgnoredRunWarning, stacklevel=2)
    return results.frame


def read_results(path: str | os.PathLike[str]) -> StoredResults:
    """Read a results folder, or a results.csv with or without its benchmark.json. Raises StoreError."""
    path = Path(path)
    if path.is_file():
        return _from_csv(path)
    if not path.is_dir():
        raise StoreError(f"{path}: no such results folder or file. {_nearby(path.parent)}")
    described, has_csv = (path / "benchmark.json").is_file(), (path / "results.csv").is_file()
    if has_csv and not (described and (path / "runs").is_dir()):
        return _from_csv(path / "results.csv")
    if not described:
        raise StoreError(f"{path}: contains neither a benchmark.json nor a results.csv. {_nearby(path)}")
    return _from_folders(path)


def read_benchmark(path: str | os.PathLike[str]) -> BenchmarkRecord:
    """Read benchmark.json of a results folder (or the file itself). Raises StoreError."""
    path = Path(path)
    path = path / "benchmark.json" if path.is_dir() else path
    try:
        return decode(read_file(path), BenchmarkRecord)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error}). {_RERUN}") from error
    except RecordError as error:
        raise StoreError(f"{path}: damaged ({error}). {_RERUN}") from error


def write_results_csv(folder: str | os.PathLike[str]) -> Path:
    """Write results.csv into a results folder from its run folders; return its path. Raises StoreError."""
    folder = Path(folder)
    frame = _from_folders(folder).frame
    # Spelled out, because pandas writes nan as an empty string, which would read as "no value".
    text = csv_frames.escaped(frame).assign(value=[repr(float(value)) for value in frame["value"]])
    return write_atomically(folder / "results.csv", text.to_csv(index=False, lineterminator="\n"))


_RERUN = "`gan-bench run` writes it again and keeps the runs in runs/."


def _nearby(folder: Path) -> str:
    """List results folders in `folder`, for a message about a wrong path."""
    found = sorted(str(file.parent) for file in folder.glob("*/benchmark.json")) if folder.is_dir() else []
    return f"Results folders: {', '.join(found[:10])}." if found else "Create one with `gan-bench run FILE`."


def _from_folders(folder: Path) -> StoredResults:
    benchmark = read_benchmark(folder)
    stored = read_runs(folder)
    kept, copies = _without_copies(stored.runs)
    placed = tuple(_place(benchmark, kept))
    mine = {item.run.key for item in placed}
    current = _is_current(benchmark, stored.curves)
    return StoredResults(
        folder,
        benchmark,
        _frame(benchmark, placed, stored, current),
        placed,
        others=sum(run.key not in mine for run in kept),
        ignored=(*stored.ignored, *copies),
        outdated=_outdated(stored, current, {item.run.folder for item in placed}),
    )


def _without_copies(runs: Iterable[StoredRun]) -> tuple[list[StoredRun], list[Ignored]]:
    """Keep one folder of each run, the finished or furthest: merged folders may contain a run twice."""
    by_key: dict[str, list[StoredRun]] = defaultdict(list)
    for run in runs:
        by_key[run.key].append(run)
    kept: list[StoredRun] = []
    copies: list[Ignored] = []
    for same in by_key.values():
        best, *rest = sorted(same, key=lambda run: (run.status != "finished", -run.iteration, run.folder.name))
        kept.append(best)
        copies += [Ignored(run.folder.name, ANOTHER.format(best.folder.name)) for run in rest]
    return kept, copies


def _place(benchmark: BenchmarkRecord, runs: Sequence[StoredRun]) -> Iterable[PlacedRun]:
    """Runs in the order of the benchmark: dataset, entry, seed. One run may belong to two labels."""
    by_configuration: dict[str, list[StoredRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.seed):
        by_configuration[run.record.configuration].append(run)
    for dataset in benchmark.datasets:
        for entry in benchmark.models:
            for run in by_configuration.get(entry.configurations.get(dataset.label, ""), ()):
                yield PlacedRun(dataset.label, entry, run)


def _outdated(stored: StoredRuns, current: pd.Series[bool], folders: Set[Path]) -> Counter[str]:
    """Metrics with the number of runs in these folders whose values are all of other versions."""
    of_run = stored.curves.assign(current=current).groupby(["run", "metric"], observed=True)["current"].any()
    found = of_run[~of_run].index
    return Counter(metric for run, metric in found if stored.runs[run].folder in folders)


def _is_current(benchmark: BenchmarkRecord, curves: pd.DataFrame) -> pd.Series[bool]:
    """Whether each row has the version of its metric that the benchmark requests (losses have no version)."""
    versions = {name: info.version for name, info in benchmark.metrics.items()}
    names = curves["metric"].cat.categories
    wanted = pd.Series(names).map(versions).astype("Int64").array[curves["metric"].cat.codes.to_numpy()]
    return pd.Series(wanted.isna() | (curves["version"].array == wanted).fillna(False)).astype(bool)


def _frame(
    benchmark: BenchmarkRecord, placed: Sequence[PlacedRun], stored: StoredRuns, current: pd.Series[bool]
) -> pd.DataFrame:
    """Curve of each run, then its ledger, as rows with `COLUMNS`."""
    curves = stored.curves[current]
    number = {run.folder: i for i, run in enumerate(stored.runs)}
    of = np.array([number[item.run.folder] for item in placed], dtype=np.int64)
    first, last = (np.searchsorted(curves["run"].to_numpy(), of, side) for side in ("left", "right"))
    rows = [np.arange(a, b) for a, b in zip(first, last, strict=True)]
    values = curves.drop(columns=["run", "version"]).iloc[np.concatenate(rows) if rows else []]
    values = values.astype({"metric": "str"}).assign(placed=np.repeat(np.arange(len(placed)), last - first))
    ledgers = pd.DataFrame(
        [
            (i, item.run.iteration, name, value)
            for i, item in enumerate(placed)
            for name, value in _ledger(item.run).items()
        ],
        columns=["placed", "iteration", "metric", "value"],
    ).astype({"placed": "int64", "iteration": "int64", "metric": "str", "value": "float64"})
    ledgers = ledgers.assign(generator=pd.array([pd.NA] * len(ledgers), dtype="Int64"))
    ledgers = ledgers.assign(n=ledgers["generator"])
    both = pd.concat([values, ledgers], ignore_index=True).sort_values("placed", kind="stable", ignore_index=True)
    return _typed(both.assign(**{name: _repeated(placed, both["placed"], name, benchmark) for name in _OF_RUN}))


_OF_RUN: Mapping[str, Callable[[BenchmarkRecord, PlacedRun], str | int]] = {
    "benchmark": lambda benchmark, item: benchmark.name,
    "dataset": lambda benchmark, item: item.dataset,
    "model": lambda benchmark, item: item.entry.plugin,
    "label": lambda benchmark, item: item.entry.label,
    "seed": lambda benchmark, item: item.run.seed,
    "status": lambda benchmark, item: item.run.status,
    "key": lambda benchmark, item: item.run.key,
}
"""Columns of the frame that are equal in all rows of a run."""


def _repeated(placed: Sequence[PlacedRun], position: pd.Series[int], name: str, benchmark: BenchmarkRecord) -> Any:
    """Column of `_OF_RUN`, one value for each row."""
    values = [_OF_RUN[name](benchmark, item) for item in placed]
    return pd.Series(values, dtype="int64" if name == "seed" else "str").array[position.to_numpy()]


def _ledger(run: StoredRun) -> dict[str, float]:
    """Ledger of the run as name → value; a run that failed before it was built has only `finished`."""
    values: dict[str, float] = {}
    if (ledger := run.record.ledger) is not None:
        values = {
            "parameters": float(sum(ledger.parameters.values())),
            "real_samples": float(ledger.real_samples),
            "fake_samples": float(ledger.fake_samples),
            "train_seconds": ledger.train_seconds,
        }
    return values | {FINISHED: float(run.status == "finished")}


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert the frame to the types that `load_results` documents."""
    text = {name: "str" for name in COLUMNS if name not in _INTEGERS and name != "value"}
    return frame[list(COLUMNS)].astype({**text, **_INTEGERS, "value": "float64"})


def _from_csv(path: Path) -> StoredResults:
    beside = path.parent / "benchmark.json"
    benchmark = read_benchmark(beside) if path.name == "results.csv" and beside.is_file() else None
    frame = _read_csv(path)
    names = sorted(frame["benchmark"].unique())
    if len(names) > 1 and any(map(reserved_for, names)):
        raise StoreError(
            f"{path}: contains {', '.join(names)}. Previews and checks are not comparable with full runs. "
            "Store each in a separate file."
        )
    return StoredResults(path, benchmark, frame)


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a results.csv that `write_results_csv` wrote. Raises StoreError for other files."""
    try:
        frame = csv_frames.restored(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8"))
    except (OSError, ValueError) as error:  # pandas' parser errors and bad UTF-8 are ValueErrors
        raise StoreError(f"{path}: not a results.csv ({error}).") from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise StoreError(f"{path}: not a results.csv; these columns are missing: {', '.join(missing)}.")
    try:
        numbers = {name: pd.to_numeric(frame[name].mask(frame[name] == "")) for name in _INTEGERS}
        frame = _typed(frame.assign(**numbers, value=frame["value"].map(float)))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path}: damaged or cut off ({error}).") from error
    if (frame["key"] == "").any():
        raise StoreError(f"{path}: damaged or cut off (a row without a key).")
    return frame
