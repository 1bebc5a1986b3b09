"""Run folders: what one run leaves behind, written so that a kill at any moment loses nothing.

    run.json             what the run is, how far it got, what it used, where it ran
    curve.csv            every score at every evaluation
    samples.npz          a few snapshots of samples, for figures
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
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gan_bench.errors import StoreError
from gan_bench.files import write_atomically
from gan_bench.scoring import Score

FORMAT = 1
CURVE_COLUMNS = ("iteration", "generator", "metric", "value", "n", "version")
CHECKPOINTS_KEPT = 2


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
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{file} cannot be read ({error}). Remove the folder to run it anew.") from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise StoreError(f"{file} is not a run of format {FORMAT}. Remove the folder to run it anew.")
        return record

    def write(self, record: Mapping[str, Any]) -> None:
        """Replace the record."""
        write_atomically(self.path / "run.json", json.dumps(record, indent=1) + "\n")

    # --- curve.csv ----------------------------------------------------------------------------------------

    def read_curve(self) -> list[dict[str, str]]:
        """All rows, as text."""
        try:
            with (self.path / "curve.csv").open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []

    def write_curve(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Replace all rows."""
        text = io.StringIO()
        writer = csv.DictWriter(text, CURVE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path / "curve.csv", text.getvalue())

    # --- samples.npz --------------------------------------------------------------------------------------

    def read_samples(self) -> dict[int, tuple[Any, Any]]:
        """Snapshots by iteration: x (n, *shape) and generator (n,), -1 where there is no index."""
        try:
            with np.load(self.path / "samples.npz", allow_pickle=False) as stored:
                columns = (stored["iterations"], stored["x"], stored["generator"])
                return {int(t): (x, g) for t, x, g in zip(*columns, strict=True)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise StoreError(f"{self.path / 'samples.npz'} cannot be read ({error}).") from error

    def write_samples(self, snapshots: Mapping[int, tuple[Any, Any]]) -> None:
        """Replace all snapshots."""
        times = sorted(snapshots)
        n = min(len(x) for x, _ in snapshots.values())  # a run resumed with fewer samples has smaller ones
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            iterations=np.array(times, dtype=np.int64),
            x=np.stack([snapshots[t][0][:n] for t in times]).astype(np.float32),
            generator=np.stack([snapshots[t][1][:n] for t in times]).astype(np.int16),
        )
        write_atomically(self.path / "samples.npz", buffer.getvalue())

    # --- checkpoints --------------------------------------------------------------------------------------

    def checkpoints(self) -> list[Path]:
        """Stored checkpoints, the newest first."""
        found = [(_iteration_of(path), path) for path in self.path.glob("checkpoint-*.pt")]
        return [path for iteration, path in sorted(found, reverse=True) if iteration >= 0]

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint of `state["trainer"]["iteration"]` and remove all but the last two."""
        import torch

        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_atomically(self.path / f"checkpoint-{state['trainer']['iteration']}.pt", buffer.getvalue())
        for old in self.checkpoints()[CHECKPOINTS_KEPT:]:
            old.unlink(missing_ok=True)

    def load_checkpoint(self, key: str) -> dict[str, Any] | None:
        """The newest checkpoint of the run with this key; a damaged or foreign one is passed over."""
        for path in self.checkpoints():
            state = load_tensors(path)
            if state is not None and state.get("key") == key:
                return state
        return None


def _iteration_of(checkpoint: Path) -> int:
    number = checkpoint.stem.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else -1


def load_tensors(path: Path) -> dict[str, Any] | None:
    """A dictionary of tensors and plain values from a file, or None where it is not one. Never unpickles objects."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
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
            raise StoreError(f"{folder} is in use by another gan-bench run. Wait for it, or use --results.") from None
        yield descriptor
    finally:
        os.close(descriptor)
