"""Checkpoint files: writing, reading and removal."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeGuard

from gan_bench.files import link_atomically, open_file, remove, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINTS_KEPT = 2
DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class CountsState(TypedDict):
    """Samples drawn so far, and optimiser steps by player."""

    real_samples: int
    fake_samples: int
    updates: dict[str, int]


class TrainerState(TypedDict):
    """State of a trainer: everything that the next iteration of a run depends on.

    Attributes:
        model: its parameters and buffers.
        optimizers: player → state, in torch's own form.
        state: the tensors of `Model.initial_state`, as they are now, and the number of samples of each generator if the
            model chooses generators.
        losses: player → its last loss.
        average: the moving averages of parameters; empty without averaging.
        renewed: player → updates that it had when it was last initialised.
    """

    iteration: int
    model: Mapping[str, Tensor]
    optimizers: Mapping[str, dict[str, Any]]
    state: Mapping[str, Tensor]
    losses: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    counts: CountsState
    renewed: Mapping[str, int]


class UsageState(TypedDict):
    """Seconds, and MiB of memory, that a run has used over all its processes."""

    train_seconds: float
    compile_seconds: float
    evaluation_seconds: float
    peak_memory_mb: float


class GpuState(TypedDict, total=False):
    """Highest memory that a process of the run has reserved on a GPU, in MiB; absent in files of earlier versions."""

    gpu_reserved_mb: float


class ScoresState(TypedDict, total=False):
    """Texts of curve.csv and classes.csv up to the iteration; absent in files of earlier versions."""

    curve: str
    classes: str


class CheckpointState(UsageState, GpuState, ScoresState):
    """Contents of the checkpoint of one run."""

    key: str
    trainer: TrainerState


def save_checkpoints(states: Mapping[Path, CheckpointState]) -> None:
    """Write checkpoints of runs at the same iteration: one file, of which each run's folder has a link.

    Each folder can be copied separately. On file systems without links, such as some network drives, it gets a copy.

    Args:
        states: folder of each run → contents of its checkpoint.
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


def load_checkpoint(folder: Path, key: str, at: int | None = None) -> tuple[CheckpointState | None, list[Path]]:
    """The newest checkpoint of the run with this key, and the damaged or foreign ones passed over for it.

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
        remove(old)


def _of_run(stored: dict[str, Any] | None, key: str) -> CheckpointState | None:
    """Part of a checkpoint that belongs to a run; None if it has no such part."""
    if stored is None:
        return None
    runs = stored.get("runs", {stored.get("key"): stored})
    state = runs.get(key) if isinstance(runs, dict) else None
    return state if _is_complete(state) else None


def _is_complete(state: Any) -> TypeGuard[CheckpointState]:
    return isinstance(state, dict) and state.keys() >= CheckpointState.__required_keys__


def load_tensors(path: Path) -> dict[str, Any] | None:
    """Load a dictionary of tensors and plain values; return None for other contents. Never unpickles objects."""
    import torch

    try:
        with open_file(path) as file:
            with zipfile.ZipFile(file) as archive:
                if archive.testzip() is not None:  # torch does not compare checksums
                    return None
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file makes torch raise anything; nothing of it is executed
        return None
    return state if isinstance(state, dict) else None
