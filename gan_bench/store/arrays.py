"""Archives of numpy arrays from elsewhere: bounded in size, and never unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from gan_bench.files import open_file

LARGEST = 4 << 30
"""Largest archive that is read, in bytes of its uncompressed arrays."""


def read_arrays(path: Path, names: Sequence[str], limit: int = LARGEST) -> dict[str, NDArray[Any]]:
    """Read some arrays of an .npz file.

    Raises:
        OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error: the file is damaged, lacks an array, holds
            objects, or its arrays are larger than `limit` bytes or than their file.
    """
    with open_file(path) as file, zipfile.ZipFile(file) as archive:
        members = {name: archive.getinfo(f"{name}.npy") for name in names}
        total = sum(member.file_size for member in members.values())
        if total > limit:
            raise ValueError(f"its arrays take {total:,} bytes; at most {limit:,} are read")
        return {name: _read(archive, member) for name, member in members.items()}


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one array, after comparing the size in its header with that of the file."""
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects")
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} is cut off: {math.prod(shape):,} values in {member.file_size:,} bytes")
    with archive.open(member) as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array
