"""Checkpoint files: writing, reading and removal."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_bench.files import link_atomically, write_atomically

CHECKPOINTS_KEPT = 2
DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
STATE = (
    "key",
    "trainer",
    "train_seconds",
    "compile_seconds",
    "evaluation_seconds",
    "peak_memory_mb",
)  # contents of a checkpoint


def save_checkpoints(states: Mapping[Path, Mapping[str, Any]]) -> None:
    """Write checkpoints of runs at the same iteration: one file, of which each run's folder has a link.

    Each folder can be copied separately. On file systems without links, such as some network drives, it gets a copy.

    Args:
        states: folder of each run → contents of its checkpoint, `STATE`.
    """
    import torch

    own = [dict(state) for state in states.values()]
    buffer = io.BytesIO()
    torch.save(own[0] if len(own) == 1 else {"runs": {state["key"]: state for state in own}}, buffer)
    [iteration] = {int(state["trainer"]["iteration"]) for state in states.values()}
    name = f"checkpoint-{iteration}.pt"
    first, *others = states
    write_atomically(first / name, buffer.getvalue())
    for folder in others:
        link_atomically(first / name, folder / name)
    for folder in states:
        _drop_older(folder, iteration)


def load_checkpoint(folder: Path, key: str, at: int | None = None) -> tuple[dict[str, Any] | None, list[Path]]:
    """Load the newest checkpoint of the run with this key; also return damaged or foreign ones that were skipped.

    Args:
        at: iteration of the only acceptable checkpoint.
    """
    passed_over: list[Path] = []
    for path in list_checkpoints(folder):
        if at not in (None, iteration_of(path)):
            continue
        state = _of_run(load_tensors(path), key)
        if state is not None:
            return state, passed_over
        passed_over.append(path)
    return None, passed_over


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files in a folder, newest first."""
    found = [(iteration_of(path), path) for path in folder.glob("checkpoint-*.pt")]
    return [path for iteration, path in sorted(found, reverse=True) if iteration >= 0]


def iteration_of(checkpoint: Path) -> int:
    """Return the iteration in the name of a checkpoint, or -1 for other names."""
    number = checkpoint.stem.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def _drop_older(folder: Path, than: int) -> None:
    """Remove checkpoints of earlier iterations except the last of them.

    A checkpoint of a later iteration was skipped when the run resumed: it must not displace the current one.
    """
    own = [old for old in list_checkpoints(folder) if iteration_of(old) <= than]
    for old in own[CHECKPOINTS_KEPT:]:
        old.unlink(missing_ok=True)


def _of_run(stored: Mapping[str, Any] | None, key: str) -> dict[str, Any] | None:
    """Part of a checkpoint that belongs to a run; None if it has no such part."""
    if stored is None:
        return None
    runs = stored.get("runs", {stored.get("key"): stored})
    state = runs.get(key) if isinstance(runs, dict) else None
    return state if isinstance(state, dict) and state.keys() >= set(STATE) else None


def load_tensors(path: Path) -> dict[str, Any] | None:
    """Load a dictionary of tensors and plain values; return None for other contents. Never unpickles objects."""
    import torch

    try:
        with path.open("rb") as file:
            with zipfile.ZipFile(file) as archive:
                if archive.testzip() is not None:  # torch does not compare checksums
                    return None
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file makes torch raise anything; nothing of it is executed
        return None
    return state if isinstance(state, dict) else None
