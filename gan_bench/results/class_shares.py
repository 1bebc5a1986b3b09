"""classes.csv of a results folder: shares of classes among each generator's samples, for all runs.

Built from the run folders, like results.csv; `gan_bench.evaluation.class_shares` defines the shares.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from gan_bench.errors import StoreError
from gan_bench.files import write_atomically
from gan_bench.results import csv_frames
from gan_bench.results.load import IgnoredRunWarning, PlacedRun, StoredResults, read_results
from gan_bench.results.stored_run import Ignored, Unreadable, read_classes

COLUMNS = (
    "benchmark", "dataset", "model", "label", "seed", "iteration", "generator", "class", "share", "n", "status",
)  # fmt: skip
"""The columns of `load_classes` and of classes.csv."""

_TYPES = {name: "str" for name in COLUMNS} | {
    "seed": "int64", "iteration": "int64", "generator": "Int64", "share": "float64", "n": "Int64",
}  # fmt: skip


def load_classes(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Load the share of each class among each generator's samples, one a row, from a results folder or a classes.csv.

    Columns: benchmark, dataset, model (plugin), label, seed, iteration, generator (<NA> for the mixture), class, share
    (0 to 1; nan if a generator has no samples), n (its samples), status. There are no rows if no metric distinguishes
    classes. Runs whose file cannot be read are left out with an `IgnoredRunWarning`. Raises StoreError if there are no
    results.
    """
    path = Path(path)
    if path.is_file() and path.name != "results.csv":
        return _read_csv(path)
    results = read_results(path)
    beside = published_classes(results)
    if beside is not None:
        return _read_csv(beside)
    frame, damaged = _collected(results)
    for ignored in (*results.ignored, *damaged):
        warnings.warn(f"ignored: {ignored}", IgnoredRunWarning, stacklevel=2)
    return frame


def published_classes(results: StoredResults) -> Path | None:
    """The classes.csv of results that are published without their runs; None without it."""
    beside = results.source.parent / "classes.csv"
    return beside if results.source.is_file() and beside.is_file() else None


def damaged_classes(results: StoredResults) -> list[Ignored]:
    """Runs whose shares of classes cannot be read."""
    return _collected(results)[1]


def write_classes_csv(folder: str | os.PathLike[str]) -> Path | None:
    """Write classes.csv into a results folder from its run folders; return its path. Raises StoreError.

    If no run stored shares, no file is written and None is returned.
    """
    folder = Path(folder)
    frame, _ = _collected(read_results(folder))
    path = folder / "classes.csv"
    if frame.empty:
        path.unlink(missing_ok=True)
        return None
    # Spelled out, because pandas writes nan as an empty string.
    text = csv_frames.escaped(frame).assign(share=[repr(float(share)) for share in frame["share"]])
    return write_atomically(path, text.to_csv(index=False, lineterminator="\n"))


def _collected(results: StoredResults) -> tuple[pd.DataFrame, list[Ignored]]:
    """Shares of all runs in the order of the benchmark, with `COLUMNS`, and the files that cannot be read."""
    damaged: dict[str, Ignored] = {}
    parts = list(_parts(results, damaged))
    empty = pd.DataFrame({name: [] for name in COLUMNS})
    return _typed(pd.concat(parts, ignore_index=True) if parts else empty), list(damaged.values())


def _parts(results: StoredResults, damaged: dict[str, Ignored]) -> Iterator[pd.DataFrame]:
    name = results.benchmark.name if results.benchmark else ""
    for placed in results.runs:
        try:
            found = read_classes(placed.run)
        except Unreadable as error:
            folder = placed.run.folder.name  # one run may be listed under two labels
            damaged[folder] = Ignored(folder, str(error))
            continue
        if found is not None and len(found):
            yield _rows(name, placed, found)


def _rows(benchmark: str, placed: PlacedRun, shares: pd.DataFrame) -> pd.DataFrame:
    """One run's shares as rows with `COLUMNS`."""
    return shares.assign(
        benchmark=benchmark,
        dataset=placed.dataset,
        model=placed.entry.plugin,
        label=placed.entry.label,
        seed=placed.run.seed,
        status=placed.run.status,
    )[list(COLUMNS)]


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[list(COLUMNS)].astype(_TYPES)


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a classes.csv that `write_classes_csv` wrote. Raises StoreError for other files."""
    try:
        frame = csv_frames.restored(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8"))
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise StoreError(f"{path}: not a classes.csv; these columns are missing: {', '.join(missing)}.")
        whole = {name: pd.to_numeric(frame[name].mask(frame[name] == "")) for name in ("generator", "n")}
        return _typed(frame.assign(**whole, share=frame["share"].map(float)))
    except (OSError, ValueError, TypeError) as error:  # pandas' parser errors and bad UTF-8 are ValueErrors
        raise StoreError(f"{path}: not a classes.csv, or damaged ({error}).") from error
