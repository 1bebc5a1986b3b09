"""Where data, weights and what is computed from them once are kept: one folder for all benchmarks of a machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT_VARIABLE = "GAN_BENCH_DATA"


def data_root() -> Path:
    """The folder of the environment variable `GAN_BENCH_DATA`, else gan-bench in the user's cache folder.

    Data sets lie in it as torchvision lays them out, `prepared/` and `cache/` are gan-bench's own.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-bench"


def cache_folder(kind: str) -> Path:
    """A folder below `cache/`, made if need be, for what is computed once: features, classifiers, weights."""
    folder = data_root() / "cache" / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
