"""Safe reading of archives and of the pickled batches in them.

Batches of CIFAR-10 and of the downsampled ImageNet are pickles, and loading a pickle can execute any program. The
unpickler here allows numpy arrays and plain containers. It refuses every other name.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_bench.data.downloads import ELSEWHERE, download
from gan_bench.errors import DataError


def _reconstruct(kind: Any, shape: Any, code: Any) -> Any:
    """Return an empty array that the rest of the pickle fills, as numpy's own function does."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError(f"an array of {kind!r} and shape {shape!r} to begin with")
    return np.ndarray((0,), np.uint8)


def _dtype(code: Any, align: Any = False, copy: Any = True) -> Any:
    found = np.dtype(code)
    if found.kind not in "biuf":
        raise pickle.UnpicklingError(f"an array of {code!r}")
    return found


def _encode(text: str, encoding: str) -> bytes:
    """Encode text as Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode("latin1")


def _frombuffer(buffer: Any, kind: Any, shape: Any, order: Any) -> Any:
    return np.frombuffer(buffer, kind).reshape(shape, order=order)


KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}
"""Functions that pickled numpy arrays refer to, in Python 2 and 3, and in numpy before and since version 2."""


class _Careful(pickle.Unpickler):
    """Unpickler that resolves the names of an allow-list only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return KNOWN[module, name]


def read_batch(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of arrays, numbers, strings and lists. Its keys are converted to str.

    Raises:
        DataError: the file is damaged or contains other objects. No code in it is executed.
    """
    try:
        found = _Careful(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    except Exception as error:  # a damaged pickle raises errors of any type
        raise DataError(
            f"{path} is refused: {error or type(error).__name__}. A batch holds arrays and plain values only; "
            "this one is damaged or not what it claims to be. Nothing of it was executed."
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{path} holds {type(found).__name__} instead of a dictionary. It is another file.")
    return {key.decode("ascii", "replace") if isinstance(key, bytes) else str(key): found[key] for key in found}


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
