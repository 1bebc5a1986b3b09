"""Safe reading of archives and of the pickled batches in them.

Batches of CIFAR-10 and of the downsampled ImageNet are pickles, and loading a pickle can execute any program. They
are read by `gan_bench.data.unpickling`, which allows arrays of numbers and plain values, and refuses everything else.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_bench.data.downloads import ELSEWHERE, download
from gan_bench.data.unpickling import read_pickled_arrays
from gan_bench.errors import DataError


def read_batch(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of arrays, numbers, text and lists, with its keys as str.

    Raises:
        DataError: it is damaged or contains anything else; none of it was executed.
    """
    try:
        return read_pickled_arrays(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    except Exception as error:  # a damaged pickle raises errors of any type
        raise DataError(
            f"{path} is refused: {str(error) or type(error).__name__}. A batch contains arrays and plain values only. "
            "This file is damaged or another one. None of it was executed."
        ) from error


def rows_of(
    batch: dict[str, Any], path: Path, width: int, labels: range
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `data` (n, width) uint8 and `labels` (n,), counted from 0. Raises DataError for other contents."""
    x, label = batch.get("data"), batch.get("labels")
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != width:
        found = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
        raise DataError(f"{path} has as data {found} instead of uint8 (n, {width}). It is another file.")
    try:
        y = np.asarray(label)
        good = y.shape == (len(x),) and y.dtype.kind in "iu" and all(end in labels for end in (y.min(), y.max()))
    except ValueError:  # lists of different lengths, or empty ones
        good = False
    if not good:
        raise DataError(f"{path} has no labels from {labels[0]} to {labels[-1]} for its {len(x)} images.")
    return x, y.astype(np.int64) - labels[0]


def fetch_archive(
    url: str, archive: Path, md5: str, into: Path, names: Collection[str], say: Callable[[str], None]
) -> None:
    """Download a .tar.gz and extract the named files. A name is a path in the archive and below `into`.

    An existing archive is used and kept. A downloaded one is removed after extraction.

    Raises:
        DataError: as in `download`, or the archive is damaged or lacks one of the files.
    """
    was_there = archive.is_file()
    download(url, archive, md5, say)
    say(f"unpacking {archive.name}")
    unpack(archive, into, names)
    if not was_there:
        archive.unlink()


def unpack(archive: Path, into: Path, names: Collection[str]) -> None:
    """Extract only the named files from a .tar.gz. Raises DataError if it is damaged or lacks one."""
    left = set(names)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.isfile() and member.name in left:
                    tar.extract(member, into, filter="data")
                    left.remove(member.name)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DataError(f"{archive} cannot be unpacked ({error}). Remove it if it is damaged. {ELSEWHERE}") from error
    if left:
        raise DataError(f"{archive} lacks {', '.join(sorted(left))}. It is damaged or another archive: remove it.")
