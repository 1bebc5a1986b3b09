"""Tests of reading pickled arrays without executing them."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gan_bench_zoo.datasets._archives import read_batch
from numpy.typing import NDArray

from gan_bench.data import unpickling
from gan_bench.data.unpickling import UnsafePickle, read_pickled_arrays
from gan_bench.errors import DataError

X = np.arange(12, dtype=np.uint8).reshape(3, 4)


class Call:
    """Object that is pickled as a call."""

    def __init__(self, call: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (call, arguments) if state is None else (call, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


def read(content: bytes, tmp_path: Path) -> dict[str, Any]:
    """Contents of a file."""
    (tmp_path / "batch").write_bytes(content)
    return read_pickled_arrays(tmp_path / "batch")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "x", [X, np.asfortranarray(X), X.astype(">f8"), X > 3, X[:0], X.astype(np.int64)],
    ids=["uint8", "Fortran", "big-endian", "bool", "empty", "int64"],
)  # fmt: skip
def test_arrays_of_numbers_are_read(x: NDArray[Any], protocol: int, tmp_path: Path) -> None:
    """Arrays, lists, text and numbers are those that were pickled, with every protocol."""
    plain = {"labels": [1, 2**40, -3], "name": b"a", "text": "b", "rate": 0.5, "none": None}
    found = read(pickle.dumps({"data": x, **plain}, protocol), tmp_path)
    assert found.pop("data").dtype == x.dtype
    assert np.array_equal(read_pickled_arrays(tmp_path / "batch")["data"], x)
    assert found == plain


@pytest.mark.parametrize(
    "value",
    [
        Call(os.system, "false"),
        Call(eval, "1"),
        Call(np.ndarray, (1,), "O", (0x4141414141414141).to_bytes(8, "little")),
        Call(np.ndarray, (10**9,)),
        Call(np.frombuffer, b"abcd", "u1"),
        np.array([{}], dtype=object),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, "M8[s]"),
        np.zeros(2, "U3"),
        np.zeros(2, complex),
        OrderedDict(a=1),
        {1, 2},
        [[1], [2]],
        {"a": {"b": 1}},
    ],
    ids=[
        "system", "eval", "array at a pointer", "uninitialised array", "buffer", "objects", "records", "dates", "text",
        "complex", "other class", "set", "nested list", "nested dictionary",
    ],
)  # fmt: skip
def test_anything_else_is_refused(value: Any, tmp_path: Path) -> None:
    """Calls, arrays of anything but numbers, and nested containers are refused; nothing is called."""
    for protocol in (2, 5):
        with pytest.raises((pickle.UnpicklingError, TypeError)):
            read(pickle.dumps({"data": value}, protocol), tmp_path)


@pytest.mark.parametrize(
    "state",
    [
        (1, (4,), np.dtype("u1"), False, b"abc"),
        (1, (-1,), np.dtype("u1"), False, b"abc"),
        (1, (2**62, 4), np.dtype("u1"), False, b""),
        (1, [3], np.dtype("u1"), False, b"abc"),
        (1, (3,), "u1", False, b"abc"),
        (1, (3,), np.dtype("u1"), False, "abc"),
        (1, (3,), np.dtype("u1"), False),
        7,
    ],
)
def test_states_of_arrays_are_checked(state: Any, tmp_path: Path) -> None:
    """The shape, type and bytes of an array must fit together before it exists."""
    reconstruct = np.zeros(0).__reduce__()[0]
    with pytest.raises(UnsafePickle):
        read(pickle.dumps({"data": Call(reconstruct, np.ndarray, (0,), b"b", state=state)}, 4), tmp_path)


@pytest.mark.parametrize(
    "state",
    [(3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0), (3, "x", None, None, None, -1, -1, 0), (3,), 5],
)
def test_states_of_types_are_checked(state: Any, tmp_path: Path) -> None:
    """The state of a dtype may change its byte order only."""
    kind = Call(np.dtype, "u1", False, True, state=state)
    with pytest.raises(UnsafePickle):
        read(pickle.dumps({"data": kind}, 4), tmp_path)


def tuples(depth: int) -> bytes:
    """Operations that build a tuple of two tuples of two tuples …."""
    return b")q\x00" + b"h\x00h\x00\x86q\x00" * depth


def lists(depth: int) -> bytes:
    """Operations that build a list of two lists of two lists …."""
    return b"]q\x000" + b"](h\x00h\x00eq\x000" * depth + b"h\x00"


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}" + tuples(60) + b"K\x01s.",
        b"\x80\x02}(" + tuples(60) + b"K\x01u.",
        b"\x80\x02(" + tuples(60) + b"K\x01d.",
        b"\x80\x02}X\x04\x00\x00\x00data" + lists(60) + b"s.",
        b"\x80\x02}K\x01X\x00\x01\x00\x00" + b"a" * 256 + b"q\x000X\x06\x00\x00\x00latin1q\x010"
        + b"c_codecs\nencode\nq\x02h\x00h\x01\x86R" * 1000 + b"s.",
        b"\x80\x05}K\x01\x96" + (2**40).to_bytes(8, "little") + b"s.",
        b"\x80\x04}K\x01\x8e" + (2**40).to_bytes(8, "little") + b"s.",
        b"}K\x01}K\x02K\x03sb.",
        b"\x80\x02}K\x01cnumpy\nndarray\ns.",
        b"}K\x01P0\ns.",
        b"\x80\x02}K\x01\x82\x01s.",
        b"(inumpy\nndarray\n.",
        b"\x80\x02]K\x01a.",
        b"",
        b"\x80\x05garbage",
    ],
    ids=[
        "key of tuples", "keys of tuples", "dictionary of tuples", "nested lists", "text encoded again and again",
        "bytearray without bytes", "bytes without bytes", "state of a dictionary", "the name alone", "persistent",
        "extension", "instance", "no dictionary", "empty", "garbage",
    ],
)  # fmt: skip
def test_hostile_programs_end_at_once(content: bytes, tmp_path: Path) -> None:
    """Programs of a few bytes that would need exponential time or memory, or unknown operations, are refused."""
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match="batch is refused"):
        read_batch(tmp_path / "batch")


def test_memory_is_not_proportional_to_numbers_in_the_file(tmp_path: Path) -> None:
    """The number of a memo may be any; the unpickler in C would allocate 64 GB for this one."""
    assert read(b"\x80\x02}r\xff\xff\xff\xff.", tmp_path) == {}


def test_a_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more than the largest size is read."""
    monkeypatch.setattr(unpickling, "LARGEST", 100)
    with pytest.raises(UnsafePickle, match="larger than 100 bytes"):
        read(bytes(101), tmp_path)
