"""Tests of reading `.npy` and `.npz` files from elsewhere."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gan_bench.data import arrays
from gan_bench.data.arrays import UnsafeArray, names_of_npz, read_npy, read_npz, regular_file
from tests.support.messages import Messages


def header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    """Header of a `.npy` file with any shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def npz(path: Path, content: bytes) -> Path:
    """Archive with the array `x` of this content."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    return path


@pytest.mark.parametrize(
    "x", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((3, 4), np.uint8)), np.zeros((0, 2)), np.float32(3)]
)
def test_arrays_are_read(tmp_path: Path, x: NDArray[Any]) -> None:
    """Arrays are those that numpy saved, compressed or not; an array that is not requested is left out."""
    np.save(tmp_path / "x.npy", x)
    with regular_file(tmp_path / "x.npy") as file:
        assert np.array_equal(read_npy(file), x)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", x=x, y=np.ones(1))  # type: ignore[operator]
        with regular_file(tmp_path / "x.npz") as file:
            assert names_of_npz(file) == ["x", "y"]
            assert np.array_equal(read_npz(file)["x"], x)
            assert [*read_npz(file, ("x", "z"))] == ["x"]


@pytest.mark.parametrize("shape", [(10**12, 3), (3, 10**30), (4,), (2,), (-3,)])
def test_a_shape_that_is_not_that_of_the_bytes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A shape with another size than the values is refused before memory is allocated."""
    content = header(shape) + np.ones(3).tobytes()
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UnsafeArray, match="bytes"), regular_file(tmp_path / "x.npy") as file:
        read_npy(file)
    with pytest.raises(UnsafeArray, match="bytes"), regular_file(npz(tmp_path / "x.npz", content)) as file:
        read_npz(file)


def test_an_array_larger_than_memory(tmp_path: Path) -> None:
    """A sparse file can have any size."""
    with (tmp_path / "x.npy").open("wb") as file:
        file.write(header((2**40,)))
        file.truncate(file.tell() + 2**43)
    with pytest.raises(UnsafeArray, match="memory"), regular_file(tmp_path / "x.npy") as opened:
        read_npy(opened)


def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small archive that expands to a large array is refused; a large one that is not compressed is read."""
    monkeypatch.setattr(arrays, "BOMB", 1_000_000)
    content = header((200_000,)) + bytes(1_600_000)
    with pytest.raises(UnsafeArray, match="expand"), regular_file(npz(tmp_path / "x.npz", content)) as file:
        read_npz(file)
    np.savez(tmp_path / "y.npz", y=np.zeros(200_000))
    with regular_file(tmp_path / "y.npz") as file:
        assert read_npz(file)["y"].shape == (200_000,)


def test_objects_are_refused(tmp_path: Path) -> None:
    """Objects are refused without unpickling, also inside a record."""
    for number, x in enumerate((np.array([{}], dtype=object), np.zeros(1, [("a", "O")]))):
        path = tmp_path / f"{number}.npy"
        np.save(path, x, allow_pickle=True)
        with pytest.raises(UnsafeArray, match="Python objects"), regular_file(path) as file:
            read_npy(file)


def test_only_regular_files_are_opened(tmp_path: Path, messages: Messages) -> None:
    """A pipe, a device or a folder is refused at once: to open a pipe would wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with messages.raises(UnsafeArray), regular_file(path):
            pass
