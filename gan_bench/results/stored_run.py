"""Validated contents of a run folder: run.json and curve.csv, or the reason why they cannot be used."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench.store.layout import CLASS_COLUMNS, CURVE_COLUMNS
from gan_bench.store.records import RecordError, RunRecord, Status, decode

ANOTHER = "the same run as runs/{}"


@dataclass(frozen=True)
class Ignored:
    """A run folder that is left out, with the reason."""

    folder: str
    reason: str

    def __str__(self) -> str:
        return f"runs/{self.folder} ({self.reason})"


@dataclass(frozen=True)
class StoredRun:
    """One run as stored in its folder.

    Attributes:
        curve: columns iteration (int64), generator (Int64), metric, value (float64), n (Int64) and version (Int64), in
            the order of the file; empty if the run ended before its first evaluation.
    """

    folder: Path
    record: RunRecord
    curve: pd.DataFrame

    @property
    def key(self) -> str:
        """Key of the run."""
        return self.record.key

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.record.seed

    @property
    def status(self) -> Status:
        """Status with which the run ended, or "running"."""
        return self.record.status

    @property
    def iteration(self) -> int:
        """Last iteration that the run has reached."""
        return self.record.iteration


@dataclass(frozen=True)
class Snapshots:
    """Samples stored during a run: iterations (T,), x (T, n, *shape), generator (T, n), -1 for no index.

    x is float32, or uint8 for images; images use the same latents at every iteration, generator by generator.
    """

    iterations: NDArray[np.int64]
    x: NDArray[np.float32] | NDArray[np.uint8]
    generator: NDArray[np.int16]


class Unreadable(Exception):
    """Reason why a run folder, or a file in it, cannot be used; caught by code that lists runs."""


def read_runs(results: Path) -> tuple[list[StoredRun], list[Ignored]]:
    """Read every run in `results`/runs, and list folders that are not readable runs. Hidden names are temporary."""
    runs: list[StoredRun] = []
    ignored: list[Ignored] = []
    folder = results / "runs"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        try:
            runs.append(read_run(path))
        except Unreadable as error:
            ignored.append(Ignored(path.name, str(error)))
    return runs, ignored


def read_run(folder: Path) -> StoredRun:
    """Read one run folder. Raises Unreadable."""
    if not folder.is_dir():
        raise Unreadable("not a folder")
    record = _record(folder / "run.json")
    curve = _curve(folder / "curve.csv")
    if curve is None and record.status == "finished":
        raise Unreadable("finished, but curve.csv is missing")
    return StoredRun(folder, record, _empty_curve() if curve is None else curve)


def read_snapshots(run: StoredRun) -> Snapshots | None:
    """Read the snapshots of a run; return None without any. Raises Unreadable if the file is damaged."""
    path = run.folder / "samples.npz"
    if not path.is_file():
        return None
    try:
        # Opened here, because numpy leaves a damaged zip file open.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = Snapshots(
                file["iterations"].astype(np.int64),
                file["x"] if file["x"].dtype == np.uint8 else file["x"].astype(np.float32),
                file["generator"].astype(np.int16),
            )
    except Exception as error:  # zipfile, zlib, struct and numpy each raise their own for a damaged file
        raise Unreadable(f"samples.npz: {error}") from error
    if found.x.ndim < 3 or found.generator.shape != found.x.shape[:2] or len(found.x) != len(found.iterations):
        raise Unreadable(f"samples.npz: x {found.x.shape} and generator {found.generator.shape} do not match")
    return found


def read_classes(run: StoredRun) -> pd.DataFrame | None:
    """Read the shares of classes of a run; return None without any. Raises Unreadable if the file is damaged.

    Columns: iteration (int64), generator (Int64, <NA> for the mixture), class, share (float64) and n (Int64).
    """
    path = run.folder / "classes.csv"
    text = _text(path)
    return None if text is None else _parsed(text, path.name, CLASS_COLUMNS, ("generator", "n"), "class", "share")


def _record(path: Path) -> RunRecord:
    try:
        return decode(path.read_bytes(), RunRecord)
    except FileNotFoundError as error:
        raise Unreadable("run.json is missing") from error
    except (OSError, RecordError) as error:
        raise Unreadable(f"run.json: {error}") from error


def _curve(path: Path) -> pd.DataFrame | None:
    """Read curve.csv; return None if it does not exist yet."""
    text = _text(path)
    return None if text is None else _parsed_curve(text)


def _text(path: Path) -> str | None:
    """Read a csv file as text; return None if it does not exist."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path.name}: {error}") from error
    # A line that was cut inside its last number would still parse, as a wrong number.
    if not text.endswith("\n"):
        raise Unreadable(f"{path.name}: the last line is cut off")
    return text


def _parsed(
    text: str, name: str, columns: tuple[str, ...], optional: tuple[str, ...], what: str, value: str
) -> pd.DataFrame:
    """Parse a csv file with one number a row: `value`, of `what`; integers in `optional` columns may be missing."""
    try:
        raw = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, index_col=False)
        if tuple(raw.columns) != columns:
            raise Unreadable(f"{name}: unexpected columns {', '.join(map(str, raw.columns))!r:.80}")
        empty = {column: raw[column].mask(raw[column] == "") for column in optional}
        numbers = {column: pd.to_numeric(values).astype("Int64") for column, values in empty.items()}
        iteration = pd.to_numeric(raw["iteration"]).astype("int64")
        rows = raw.assign(iteration=iteration, **{value: raw[value].map(float).astype("float64")}, **numbers)
    except (ValueError, TypeError) as error:  # pandas' parser errors are ValueErrors
        raise Unreadable(f"{name}: {error}") from error
    if (rows[what] == "").any():
        raise Unreadable(f"{name}: a row has no {what}")
    return rows


def _parsed_curve(text: str) -> pd.DataFrame:
    return _parsed(text, "curve.csv", CURVE_COLUMNS, ("generator", "n", "version"), "metric", "value")


def _empty_curve() -> pd.DataFrame:
    return _parsed_curve(",".join(CURVE_COLUMNS) + "\n")
