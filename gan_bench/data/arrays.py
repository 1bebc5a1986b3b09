"""Safe reading of `.npy` and `.npz` files from elsewhere.

The header of an array is read before its values. An array is refused if it contains Python objects, if its size in the
header is not that of its bytes, or if it is larger than the memory of this machine. A small archive that expands to
gigabytes is refused as well.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

NPY = b"\x93NUMPY"
NPZ = (b"PK\x03\x04", b"PK\x05\x06")  # the second begins an archive without files

BOMB = 2**30
"""Bytes of a compressed array from which on its compression is limited."""

MOST_COMPRESSED = 100
"""Largest ratio of the sizes of an array of at least `BOMB` bytes, in memory and compressed."""


class UnsafeArray(ValueError):
    """An array that is not read."""


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    end: int  # bytes before the values

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize


@contextmanager
def regular_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises:
        OSError: the file cannot be opened.
        UnsafeArray: it is a folder, a pipe or a device. It is not opened: that could block, or never end.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise UnsafeArray("it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
    with path.open("rb") as file:
        yield file


def read_npy(file: BinaryIO) -> NDArray[Any]:
    """Read the array of an open `.npy` file.

    Raises:
        UnsafeArray: the array is refused.
        Exception: any other that numpy raises for a damaged file.
    """
    file.seek(0)
    header = _header(file)
    _require_size(header, os.fstat(file.fileno()).st_size - header.end)
    file.seek(0)
    array: NDArray[Any] = np.load(file, allow_pickle=False)
    return array


def read_npz(file: BinaryIO, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays of an open `.npz` file by name: those of `names` that it contains, or all.

    Raises:
        UnsafeArray: an array is refused.
        Exception: any other that numpy and zipfile raise for a damaged file.
    """
    with zipfile.ZipFile(file) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        chosen = members if names is None else {name: members[name] for name in names if name in members}
        return {name: _read_member(archive, member) for name, member in chosen.items()}


def names_of_npz(file: BinaryIO) -> list[str]:
    """List the names of the arrays in an open `.npz` file."""
    with zipfile.ZipFile(file) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as opened:
        header = _header(opened)
    _require_size(header, member.file_size - header.end)
    if header.size >= BOMB and header.size > MOST_COMPRESSED * member.compress_size:
        raise UnsafeArray(f"{member.compress_size:,} bytes expand to {header.size:,}; numpy.savez does not compress")
    with archive.open(member) as opened:
        array: NDArray[Any] = np.lib.format.read_array(opened, allow_pickle=False)
    return array


def _header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:  # version 3 is for names of fields only
        raise UnsafeArray("it is not an array of plain numbers")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise UnsafeArray("it contains Python objects, which are never unpickled")
    return _Header(shape, dtype, file.tell())


def _require_size(header: _Header, found: int) -> None:
    """Raise UnsafeArray unless `found` bytes are those of the values, and fit in memory."""
    if min(header.shape, default=0) < 0 or header.size != found:
        raise UnsafeArray(f"{header.dtype} of shape {header.shape} has {header.size:,} bytes, found {found:,}")
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if header.size > most:
        raise UnsafeArray(f"the array has {header.size:,} bytes, this machine {most:,} bytes of memory")
