"""Validated contents of a run folder: run.json and curve.csv, or the reason why they cannot be used."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench.data.arrays import read_npz
from gan_bench.errors import StoreError
from gan_bench.files import open_file, read_file, require_inside
from gan_bench.store.layout import CLASS_COLUMNS, CURVE_COLUMNS
from gan_bench.store.records import RecordError, RunRecord, Status, decode

_NO_CURVE = ",".join(CURVE_COLUMNS) + "\n"
_OPTIONAL = ("generator", "n", "version")

ANOTHER = "the same run as runs/{}"


@dataclass(frozen=True)
class Ignored:
    """A run folder that is left out, with the reason; `part` is its results folder if several are combined."""

    folder: str
    reason: str
    part: str = ""

    def __str__(self) -> str:
        return f"{self.part + '/' if self.part else ''}runs/{self.folder} ({self.reason})"


@dataclass(frozen=True)
class StoredRun:
    """One run as stored in its folder."""

    folder: Path
    record: RunRecord

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


@dataclass(frozen=True)
class StoredRuns:
    """All runs of a results folder.

    Attributes:
        curves: columns run (int64, the position in `runs`), iteration (int64), generator (Int64), metric (category),
            value (float64), n (Int64) and version (Int64), in the order of `runs` and of each curve.csv.
        ignored: folders that are not readable runs.
    """

    runs: Sequence[StoredRun]
    curves: pd.DataFrame
    ignored: Sequence[Ignored]


def read_runs(results: Path) -> StoredRuns:
    """Read every run in `results`/runs. Hidden names are temporary. Raises StoreError if runs is a link elsewhere."""
    folder = results / "runs"
    if not folder.is_dir():
        return read_folders([], results)
    require_inside(folder, results)
    return read_folders(sorted(path for path in folder.iterdir() if not path.name.startswith(".")), results)


def read_folders(folders: Sequence[Path], results: Path) -> StoredRuns:
    """Read run folders of a results folder, in this order; those without a run are listed with the reason."""
    found: list[tuple[StoredRun, str]] = []
    ignored: list[Ignored] = []
    for path in folders:
        try:
            found.append(_read(path, results))
        except Unreadable as error:
            ignored.append(Ignored(path.name, str(error)))
    try:
        curves = parse_curves([text for _, text in found])
    except Unreadable:  # one by one, to find those that are damaged
        readable, parts = [], []
        for run, text in found:
            try:
                parts.append(_parsed_curve(text))
                readable.append((run, text))
            except Unreadable as error:
                ignored.append(Ignored(run.folder.name, str(error)))
        found, curves = readable, _numbered(parts)
    return StoredRuns([run for run, _ in found], curves, sorted(ignored, key=lambda each: each.folder))


def read_run(folder: Path) -> StoredRun:
    """Read one run folder. Raises Unreadable."""
    run, text = _read(folder, folder)
    _parsed_curve(text)
    return run


def _read(folder: Path, results: Path) -> tuple[StoredRun, str]:
    """Read the record of a run and the text of its curve.csv, and compare both."""
    if not folder.is_dir():
        raise Unreadable("not a folder")
    if folder.is_symlink():
        try:
            require_inside(folder, results)
        except StoreError as error:
            raise Unreadable("a link out of the results folder") from error
    record = _record(folder / "run.json")
    if record.status == "finished" and not record.model.anchor and record.iteration != record.iterations:
        raise Unreadable(f"finished, but at iteration {record.iteration} of {record.iterations}")
    content = _bytes(folder / "curve.csv")
    if content is None and (record.status == "finished" or "curve.csv" in record.files):
        raise Unreadable(f"{record.status}, but curve.csv is missing")
    _compare(record, "curve.csv", content)
    return StoredRun(folder, record), _NO_CURVE if content is None else _text("curve.csv", content)


def _compare(record: RunRecord, name: str, content: bytes | None) -> None:
    """Raise Unreadable if a file is not the one that the run recorded when it ended."""
    expected = record.files.get(name)
    if expected is not None and content is not None and sha256(content).hexdigest() != expected:
        raise Unreadable(f"{name}: not the file that the run wrote; it was changed or cut off")


def read_snapshots(run: StoredRun) -> Snapshots | None:
    """Read the snapshots of a run; return None without any. Raises Unreadable if the file is damaged."""
    path = run.folder / "samples.npz"
    if not path.is_file():
        return None
    try:
        if "samples.npz" in run.record.files:
            _compare(run.record, path.name, read_file(path))
        with open_file(path) as file:
            stored = read_npz(file)
        found = Snapshots(
            stored["iterations"].astype(np.int64),
            stored["x"] if stored["x"].dtype == np.uint8 else stored["x"].astype(np.float32),
            stored["generator"].astype(np.int16),
        )
    except Unreadable:
        raise
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
    content = _bytes(path)
    if content is None:
        return None
    _compare(run.record, path.name, content)
    rows = _parsed(_text(path.name, content), path.name, CLASS_COLUMNS, ("generator", "n"), "class", "share")
    if not rows["share"].dropna().between(0, 1).all():
        raise Unreadable(f"{path.name}: shares must lie between 0 and 1")
    return rows


def _record(path: Path) -> RunRecord:
    try:
        return decode(read_file(path), RunRecord)
    except FileNotFoundError as error:
        raise Unreadable("run.json is missing") from error
    except (OSError, RecordError) as error:
        raise Unreadable(f"run.json: {_reason(error)}") from error


def _bytes(path: Path) -> bytes | None:
    """Read a file; return None if it does not exist."""
    try:
        return read_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path.name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Message of an error without number and path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _text(name: str, content: bytes) -> str:
    """Decode a csv file of this name."""
    try:
        text = content.decode("utf-8")
    except ValueError as error:
        raise Unreadable(f"{name}: {error}") from error
    # A line that was cut inside its last number would still parse, as a wrong number.
    if not text.endswith("\n"):
        raise Unreadable(f"{name}: the last line is cut off")
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
    return _parsed(text, "curve.csv", CURVE_COLUMNS, _OPTIONAL, "metric", "value")


def parse_curves(texts: Sequence[str]) -> pd.DataFrame:
    """Parse the texts of many curve.csv at once, with the columns of `StoredRuns.curves`.

    Raises:
        Unreadable: at least one text is damaged.
    """
    rows = []
    for text in texts:
        if not text.startswith(_NO_CURVE):
            raise Unreadable("columns")
        rows.append(text.count("\n") - 1)
        # A comma too few would leave a cell empty; a quotation mark may hide line breaks.
        if text.count(",") != (rows[-1] + 1) * (len(CURVE_COLUMNS) - 1) or '"' in text or "\r" in text:
            raise Unreadable("not a plain table")
    body = "".join(text[len(_NO_CURVE) :] for text in texts)
    empty = {name: [""] for name in _OPTIONAL}
    try:
        parsed = pd.read_csv(
            io.StringIO(_NO_CURVE + body),
            dtype={"metric": "category", "value": "str", "iteration": "int64", **dict.fromkeys(_OPTIONAL, "Int64")},
            keep_default_na=False,
            na_values=empty,
            index_col=False,
        )
        parsed["value"] = [float(value) for value in parsed["value"]]  # exactly, unlike pandas' own parser
    except (ValueError, TypeError, OverflowError) as error:
        raise Unreadable(str(error)) from error
    if len(parsed) != sum(rows) or "" in parsed["metric"].cat.categories:
        raise Unreadable("rows")
    parsed.insert(0, "run", np.repeat(np.arange(len(rows)), rows))
    return parsed


def _numbered(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join parsed curves with the columns of `StoredRuns.curves`."""
    numbered = [part.assign(run=number) for number, part in enumerate(parts)]
    joined = pd.concat(numbered, ignore_index=True) if parts else _parsed_curve(_NO_CURVE).assign(run=0)
    return joined[["run", *CURVE_COLUMNS]].astype({"run": "int64", "metric": "category"})
