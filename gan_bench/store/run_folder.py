"""Run folders: files of one run, written so that a kill at any moment loses nothing.

    run.json             definition, progress, resources and machine
    curve.csv            every score at every evaluation
    classes.csv          shares of classes in each generator, at a few iterations, if a metric distinguishes classes
    samples.npz          a few snapshots of samples, for figures
    repeats.csv          scores of further draws of the final generators; only on request
    checkpoint-N.pt      the last two; the last one of a finished run contains its generators
    error.txt            the traceback of a run that failed

Every file is written under a temporary name and renamed. Checkpoints are loaded with `weights_only=True`: a file
from elsewhere is never unpickled.
"""

from __future__ import annotations

import io
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from gan_bench.data.arrays import read_npz
from gan_bench.errors import StoreError
from gan_bench.files import open_file, read_file, remove, write_atomically
from gan_bench.store.checkpoints import DAMAGED, CheckpointState, iteration_of, list_checkpoints, load_checkpoint
from gan_bench.store.layout import CLASS_COLUMNS, CURVE_COLUMNS, REPEAT_COLUMNS
from gan_bench.store.records import RecordError, RunRecord, decode, encode
from gan_bench.store.rows import RowError, from_text, to_text

DIGESTED = ("curve.csv", "classes.csv", "samples.npz")
"""Files whose digests a finished run records."""

RUN_AGAIN = "Move the folder away to repeat the run."


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # --- run.json -----------------------------------------------------------------------------------------

    def read(self) -> RunRecord | None:
        """Read the record of the run; return None without one. Raises StoreError if it cannot be read."""
        file = self.path / "run.json"
        try:
            return decode(read_file(file), RunRecord)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RecordError) as error:
            raise StoreError(f"{file}: cannot be read ({error}). {RUN_AGAIN}") from error

    def read_own(self, key: str) -> RunRecord | None:
        """Read the record of the run with this key. Raises StoreError if another run is stored here."""
        record = self.read()
        if record is not None and record.key != key:
            advice = "Move it away, or choose another folder with --results."
            raise StoreError(f"{self.path}: contains another run. {advice}")
        return record

    def write(self, record: RunRecord) -> None:
        """Replace the record."""
        write_atomically(self.path / "run.json", encode(record))

    # --- curve.csv, classes.csv, repeats.csv ----------------------------------------------------------------

    def read_curve(self) -> list[dict[str, str]]:
        """Read all rows, as text. Raises StoreError if the file is damaged: scores are never dropped silently."""
        return self._read_rows("curve.csv", CURVE_COLUMNS)

    def write_curve(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Replace all rows."""
        self._write_rows("curve.csv", CURVE_COLUMNS, rows)

    def read_classes(self) -> list[dict[str, str]]:
        """Read shares of classes, as text. Raises StoreError if the file is damaged."""
        advice = "Remove it to continue without earlier shares."
        return self._read_rows("classes.csv", CLASS_COLUMNS, advice)

    def write_classes(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Replace all rows; no file is created for no rows."""
        if rows:
            self._write_rows("classes.csv", CLASS_COLUMNS, rows)

    def read_repeats(self) -> list[dict[str, str]]:
        """Read scores of draws 1, 2, … of the final generators, as text; draw 0 is in the curve. Raises StoreError."""
        return self._read_rows("repeats.csv", REPEAT_COLUMNS)

    def write_repeats(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Replace all rows."""
        self._write_rows("repeats.csv", REPEAT_COLUMNS, rows)

    def _read_rows(self, name: str, columns: Sequence[str], advice: str = RUN_AGAIN) -> list[dict[str, str]]:
        file = self.path / name
        try:
            return from_text(columns, read_file(file).decode("utf-8"))
        except FileNotFoundError:
            return []
        except RowError as error:
            raise StoreError(f"{file}:{error}. {advice}") from error
        except (OSError, ValueError) as error:
            raise StoreError(f"{file}: cannot be read ({error}). {advice}") from error

    def _write_rows(self, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
        write_atomically(self.path / name, to_text(columns, rows))

    # --- samples.npz --------------------------------------------------------------------------------------

    def read_samples(self) -> dict[int, tuple[Any, Any]]:
        """Snapshots by iteration: x (n, *shape) and generator (n,), -1 for samples without an index."""
        path = self.path / "samples.npz"
        try:
            with open_file(path) as file:
                stored = read_npz(file)
            columns = (stored["iterations"], stored["x"], stored["generator"])
            return {int(t): (x, g) for t, x, g in zip(*columns, strict=True)}
        except FileNotFoundError:
            return {}
        except DAMAGED as error:
            raise StoreError(
                f"{path}: cannot be read ({error}). Remove it to continue without earlier snapshots."
            ) from error

    def write_samples(self, snapshots: Mapping[int, tuple[Any, Any]]) -> None:
        """Replace all snapshots."""
        if not snapshots:  # the file was removed, and no snapshot is due yet
            return
        times = sorted(snapshots)
        n = min(len(x) for x, _ in snapshots.values())  # a run resumed with fewer samples has smaller snapshots
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
        """Stored checkpoints, newest first."""
        return list_checkpoints(self.path)

    def iterations(self) -> list[int]:
        """Iterations of stored checkpoints, newest first."""
        return [iteration_of(path) for path in self.checkpoints()]

    def load_checkpoint(self, key: str, at: int | None = None) -> tuple[CheckpointState | None, list[Path]]:
        """Newest usable checkpoint, and those that were skipped; see `checkpoints.load_checkpoint`."""
        return load_checkpoint(self.path, key, at)

    def digests(self) -> dict[str, str]:
        """SHA-256 of the files with scores and samples, by name; without those that cannot be read."""
        found: dict[str, str] = {}
        for name in DIGESTED:
            with suppress(OSError):
                found[name] = sha256(read_file(self.path / name)).hexdigest()
        return found

    def write_error(self, error: BaseException) -> None:
        """Write the traceback of the exception that ended the run."""
        trace = "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
        write_atomically(self.path / "error.txt", trace)

    def sweep(self) -> None:
        """Create the folder; remove an earlier error file and temporary files of killed writes."""
        self.path.mkdir(parents=True, exist_ok=True)
        remove(self.path / "error.txt")
        for left in self.path.glob(".*.tmp"):
            remove(left)


def _compact(x: Any) -> Any:
    """Convert samples other than images to float32."""
    return x if x.dtype == np.uint8 else x.astype(np.float32)
