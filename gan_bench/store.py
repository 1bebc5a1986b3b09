"""Run folders: what one run leaves behind, written so that a kill at any moment loses nothing.

    run.json             what the run is, how far it got, what it used, where it ran
    curve.csv            every score at every evaluation
    classes.csv          shares of classes in each generator, at a few iterations; only where a metric tells classes
    samples.npz          a few snapshots of samples, for figures
    repeats.csv          scores of more draws of the final generators (`gan_bench.repeats`); only where asked for
    checkpoint-N.pt      the last two; the last of a finished run holds its generators
    error.txt            the traceback of a run that failed

Every file is written under a temporary name and renamed. Checkpoints are loaded with `weights_only=True`: a file
from elsewhere is never unpickled.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gan_bench.classes import Share
from gan_bench.errors import StoreError
from gan_bench.files import link_atomically, write_atomically
from gan_bench.scoring import Score

FORMAT = 1
CURVE_COLUMNS = ("iteration", "generator", "metric", "value", "n", "version")
REPEAT_COLUMNS = ("draw", *CURVE_COLUMNS)
CLASS_COLUMNS = ("iteration", "generator", "class", "share", "n")
CHECKPOINTS_KEPT = 2
ANEW = "Move the folder away to run it anew."
RECORD = {"key": str, "status": str, "iteration": int, "dataset": dict, "model": dict, "protocol": dict}
DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
STATE = (
    "key",
    "trainer",
    "train_seconds",
    "compile_seconds",
    "evaluation_seconds",
    "peak_memory_mb",
)  # what a checkpoint holds


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # --- run.json -----------------------------------------------------------------------------------------

    def read(self) -> dict[str, Any] | None:
        """The record of the run; None where there is none. Raises StoreError where it cannot be understood."""
        file = self.path / "run.json"
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{file} cannot be read ({error}). {ANEW}") from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise StoreError(f"{file} is not a run of format {FORMAT}. {ANEW}")
        if not all(isinstance(record.get(name), kind) for name, kind in RECORD.items()):
            raise StoreError(f"{file} lacks some of {', '.join(RECORD)}. {ANEW}")
        return record

    def read_own(self, key: str) -> dict[str, Any] | None:
        """The record, if it is that of the run with this key; raises StoreError where another run lives here."""
        record = self.read()
        if record is not None and record["key"] != key:
            raise StoreError(f"{self.path} holds another run. Move it away, or use --results.")
        return record

    def write(self, record: Mapping[str, Any]) -> None:
        """Replace the record."""
        write_atomically(self.path / "run.json", json.dumps(record, indent=1) + "\n")

    # --- curve.csv, classes.csv, repeats.csv ----------------------------------------------------------------

    def read_curve(self) -> list[dict[str, str]]:
        """All rows, as text. Raises StoreError where the file is damaged: scores are never dropped in silence."""
        return self._read_rows("curve.csv", CURVE_COLUMNS, "a curve")

    def write_curve(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Replace all rows."""
        self._write_rows("curve.csv", CURVE_COLUMNS, rows)

    def read_classes(self) -> list[dict[str, str]]:
        """Shares of classes, as text. Raises StoreError where the file is damaged."""
        advice = "Remove it to go on without earlier shares."
        return self._read_rows("classes.csv", CLASS_COLUMNS, "shares of classes", advice)

    def write_classes(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Replace all rows; where there are none there need be no file."""
        if rows:
            self._write_rows("classes.csv", CLASS_COLUMNS, rows)

    def read_repeats(self) -> list[dict[str, str]]:
        """Scores of draws 1, 2, … of the final generators, as text; draw 0 is the curve's. Raises StoreError."""
        return self._read_rows("repeats.csv", REPEAT_COLUMNS, "repeated scores")

    def write_repeats(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Replace all rows."""
        self._write_rows("repeats.csv", REPEAT_COLUMNS, rows)

    def _read_rows(self, name: str, columns: Sequence[str], what: str, advice: str = ANEW) -> list[dict[str, str]]:
        file = self.path / name
        try:
            with file.open(newline="", encoding="utf-8") as lines:
                rows = list(csv.DictReader(lines, strict=True))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, csv.Error) as error:
            raise StoreError(f"{file} cannot be read ({error}). {advice}") from error
        for number, row in enumerate(rows, 2):
            if tuple(row) != columns or None in row.values() or not row["iteration"].isdecimal():
                raise StoreError(f"{file}:{number} is no row of {what}. {advice}")
        return rows

    def _write_rows(self, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path / name, text.getvalue())

    # --- samples.npz --------------------------------------------------------------------------------------

    def read_samples(self) -> dict[int, tuple[Any, Any]]:
        """Snapshots by iteration: x (n, *shape) and generator (n,), -1 where there is no index."""
        path = self.path / "samples.npz"
        try:
            # opened here, because np.load leaves a damaged archive open
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                columns = (stored["iterations"], stored["x"], stored["generator"])
                return {int(t): (x, g) for t, x, g in zip(*columns, strict=True)}
        except FileNotFoundError:
            return {}
        except DAMAGED as error:
            raise StoreError(
                f"{path} cannot be read ({error}). Remove it to go on without earlier snapshots."
            ) from error

    def write_samples(self, snapshots: Mapping[int, tuple[Any, Any]]) -> None:
        """Replace all snapshots."""
        if not snapshots:  # somebody removed the file, and none is due yet
            return
        times = sorted(snapshots)
        n = min(len(x) for x, _ in snapshots.values())  # a run resumed with fewer samples has smaller ones
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            iterations=np.array(times, dtype=np.int64),
            x=np.stack([_compact(snapshots[t][0][:n]) for t in times]),
            generator=np.stack([snapshots[t][1][:n] for t in times]).astype(np.int16),
        )
        write_atomically(self.path / "samples.npz", buffer.getvalue())

    # --- checkpoints --------------------------------------------------------------------------------------

    def checkpoints(self) -> list[Path]:
        """Stored checkpoints, the newest first."""
        found = [(_iteration_of(path), path) for path in self.path.glob("checkpoint-*.pt")]
        return [path for iteration, path in sorted(found, reverse=True) if iteration >= 0]

    def iterations(self) -> list[int]:
        """The iterations of stored checkpoints, the newest first."""
        return [_iteration_of(path) for path in self.checkpoints()]

    def drop_older(self, than: int) -> None:
        """Remove checkpoints of earlier iterations but for the last of them.

        One of a later iteration was passed over when the run resumed: it must not push out the one of now.
        """
        own = [old for old in self.checkpoints() if _iteration_of(old) <= than]
        for old in own[CHECKPOINTS_KEPT:]:
            old.unlink(missing_ok=True)

    def load_checkpoint(self, key: str, at: int | None = None) -> tuple[dict[str, Any] | None, list[Path]]:
        """The newest checkpoint of the run with this key, and the damaged or foreign ones passed over for it.

        Args:
            at: only the one of this iteration will do.
        """
        passed_over: list[Path] = []
        for path in self.checkpoints():
            if at not in (None, _iteration_of(path)):
                continue
            state = _of_run(load_tensors(path), key)
            if state is not None:
                return state, passed_over
            passed_over.append(path)
        return None, passed_over

    def sweep(self) -> None:
        """Remove what a write that was killed left under a temporary name."""
        for left in self.path.glob(".*.tmp"):
            left.unlink(missing_ok=True)


def save_checkpoints(states: Mapping[RunFolder, Mapping[str, Any]]) -> None:
    """Write checkpoints of runs at the same iteration: one file, of which each run's folder has a link.

    A folder can be copied away by itself. Where there are no links, as on some network drives, it gets a copy.

    Args:
        states: of each run what its checkpoint holds, `STATE`.
    """
    import torch

    own = [dict(state) for state in states.values()]
    buffer = io.BytesIO()
    torch.save(own[0] if len(own) == 1 else {"runs": {state["key"]: state for state in own}}, buffer)
    [iteration] = {int(state["trainer"]["iteration"]) for state in states.values()}
    name = f"checkpoint-{iteration}.pt"
    first, *others = states
    write_atomically(first.path / name, buffer.getvalue())
    for folder in others:
        link_atomically(first.path / name, folder.path / name)
    for folder in states:
        folder.drop_older(iteration)


def _of_run(stored: Mapping[str, Any] | None, key: str) -> dict[str, Any] | None:
    """A run's part of a checkpoint; None where it holds none."""
    if stored is None:
        return None
    runs = stored.get("runs", {stored.get("key"): stored})
    state = runs.get(key) if isinstance(runs, dict) else None
    return state if isinstance(state, dict) and state.keys() >= set(STATE) else None


def _compact(x: Any) -> Any:
    """Images as they are, all else as float32."""
    return x if x.dtype == np.uint8 else x.astype(np.float32)


def _iteration_of(checkpoint: Path) -> int:
    number = checkpoint.stem.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def load_tensors(path: Path) -> dict[str, Any] | None:
    """A dictionary of tensors and plain values from a file, or None where it is not one. Never unpickles objects."""
    import torch

    try:
        with path.open("rb") as file:
            with zipfile.ZipFile(file) as archive:
                if archive.testzip() is not None:  # torch itself compares no checksum
                    return None
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file makes torch raise anything; nothing of it is executed
        return None
    return state if isinstance(state, dict) else None


def curve_rows(iteration: int, scores: Sequence[Score]) -> list[dict[str, str]]:
    """Scores as rows of curve.csv."""
    return [
        {
            "iteration": str(iteration),
            "generator": "" if score.generator is None else str(score.generator),
            "metric": score.metric,
            "value": repr(float(score.value)),
            "n": str(score.n),
            "version": str(score.version),
        }
        for score in scores
    ]


def class_rows(iteration: int, shares: Sequence[Share]) -> list[dict[str, str]]:
    """Shares of classes as rows of classes.csv."""
    return [
        {
            "iteration": str(iteration),
            "generator": "" if share.generator is None else str(share.generator),
            "class": share.name,
            "share": repr(share.share),
            "n": str(share.n),
        }
        for share in shares
    ]


def with_classes(rows: Sequence[Mapping[str, str]], iteration: int, shares: Sequence[Share]) -> list[Mapping[str, str]]:
    """Rows of classes.csv with these shares instead of what stood there of their iteration, if there are any."""
    kept = [row for row in rows if not shares or row["iteration"] != str(iteration)]
    return [*kept, *class_rows(iteration, shares)]


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold a benchmark's folder for one command; yields the descriptor, for processes that outlive it briefly.

    The lock is the kernel's (flock) and ends with the last process that holds the descriptor, so a killed command
    leaves nothing behind, and its workers cannot write beside a new one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}). Choose another with --results.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{folder} is in use by another gan-bench. Wait for it; `run` can use another with --results."
            ) from None
        except OSError as error:
            raise StoreError(f"{folder} cannot be locked ({error.strerror}). Use --results.") from error
        yield descriptor
    finally:
        os.close(descriptor)
