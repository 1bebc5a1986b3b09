"""Samples as files: one picture of all, one picture each, or an array for `gan-bench score`."""

from __future__ import annotations

import io
import math
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gan_bench.errors import StoreError, UsageError
from gan_bench.files import write_atomically
from gan_bench.report.figures import mosaic

Index = NDArray[np.integer[Any]]

Way = Literal["picture", "array", "folder"]

WAYS: dict[str, Way] = {".png": "picture", ".npz": "array", ".npy": "array", "": "folder"}
_CHOICE = "Use FILE.png for one picture, FILE.npz or FILE.npy for an array, or FOLDER/ for one picture per sample"
_OTHERWISE = "Use FILE.npz or FILE.npy. `gan-bench plot` draws samples over iterations."


@dataclass(frozen=True)
class Target:
    """Destination and format of samples."""

    path: Path
    way: Way


def target(name: str) -> Target:
    """Parse the name of a destination; an existing file may be replaced.

    A folder has to be new or empty: files in it would be mistaken for these samples.

    Raises:
        UsageError: samples cannot be written under this name.
    """
    path = Path(name)
    way = "folder" if path.is_dir() or name.endswith(("/", os.sep)) else WAYS.get(path.suffix.lower())
    if way is None:
        raise UsageError(f"{path}: {path.suffix} is not supported. {_CHOICE}.")
    if way == "folder" and path.exists() and not path.is_dir():
        raise UsageError(f"{path}: a file of this name exists. {_CHOICE}.")
    if any((folder / "run.json").is_file() for folder in (path, path.parent)):
        raise UsageError(f"{path}: a run folder cannot contain other files. Choose another place.")
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(f"{path}: the folder is not empty. Choose a new or an empty one.")
    return Target(path, way)


def require_kind(to: Target, image_shape: tuple[int, ...] | None) -> None:
    """Raise UsageError if pictures are requested of samples that are not images, or have channels that PNG lacks."""
    if to.way == "array":
        return
    if image_shape is None:
        raise UsageError(f"{to.path}: these samples are not images and cannot be written as PNG. {_OTHERWISE}")
    if image_shape[0] not in mosaic.CHANNELS:
        raise UsageError(f"{to.path}: an image of {image_shape[0]} channels cannot be written as PNG. {_OTHERWISE}")


def write_samples(to: Target, x: NDArray[Any], generator: Index | None) -> None:
    """Write samples, completely or not at all.

    Args:
        to: one picture, near square, or with rows for each of several generators; an array, as ``.npz`` of
            `samples` and `generator`, or ``.npy`` of the samples alone; or a folder of PNGs, numbered in the order of
            the samples, with the number of the generator if known.
        x: (n, *shape); images as (n, C, H, W) uint8.
        generator: (n,) the index of the generator of each; None if unknown.

    Raises:
        StoreError: the samples cannot be written.
    """
    if to.way == "folder":
        _write_folder(to.path, x, generator)
    else:
        made = mosaic.png(picture(x, generator)) if to.way == "picture" else _array(to.path, x, generator)
        write_atomically(to.path, made)


def _array(path: Path, x: NDArray[Any], generator: Index | None) -> bytes:
    buffer = io.BytesIO()
    if path.suffix.lower() == ".npy":
        np.save(buffer, x, allow_pickle=False)
    elif generator is None:
        np.savez_compressed(buffer, samples=x)
    else:
        np.savez_compressed(buffer, samples=x, generator=generator)
    return buffer.getvalue()


def picture(x: mosaic.Pixels, generator: Index | None) -> mosaic.Pixels:
    """Combine images (n, C, H, W) into one at their original size, grouped by generator; see `mosaic.mosaic`."""
    groups = [x] if generator is None else [x[generator == k] for k in np.unique(generator)]
    return mosaic.mosaic(groups, math.ceil(math.sqrt(len(x))))


def _write_folder(path: Path, x: mosaic.Pixels, generator: Index | None) -> None:
    """Write a PNG for each image; the folder gets its name when all are written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    digits = max(5, len(str(len(x) - 1)))
    try:
        temporary.mkdir(parents=True)
        for i, image in enumerate(x):
            made_by = "" if generator is None else f"-g{generator[i]}"
            pixels = mosaic.mosaic([image[None]], 1)
            (temporary / f"{i:0{digits}d}{made_by}.png").write_bytes(mosaic.png(pixels))
        os.replace(temporary, path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
