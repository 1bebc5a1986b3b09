"""Safe reading of pickled dictionaries of arrays, such as CIFAR-10's batches, without executing them.

A pickle is a program. Here only the operations that build containers, numbers, text and arrays are allowed. The names
that numpy's arrays are pickled with stand for functions of this module: they build descriptions, which are compared
with their bytes before an array is created. Nothing else can be called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_bench.data.arrays import regular_file

LARGEST = 2**30
"""Largest size of a file, in bytes; the largest batch of ImageNet at 32 x 32 has 0.4 GB, as text 0.6 GB."""

KINDS = "biuf"  # of dtypes: booleans, integers, floating-point numbers
ITEM_SIZES = (1, 2, 4, 8)
BYTES = np.dtype(np.uint8)
ORDERS = ("<", ">", "|", "=")


class UnsafePickle(pickle.UnpicklingError):
    """A pickle that contains anything but plain values."""


def read_pickled_arrays(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of arrays, numbers, text and lists. Arrays are read-only, and keys are text.

    Raises:
        OSError: the file cannot be read.
        Exception: any other that a damaged or unsafe pickle raises.
    """
    with regular_file(path) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UnsafePickle(f"the file is larger than {LARGEST:,} bytes")
    found = _Unpickler(content).load()
    if not isinstance(found, dict):
        raise UnsafePickle(f"it contains {type(found).__name__} instead of a dictionary")
    return {
        key.decode("ascii", "replace") if isinstance(key, bytes) else str(key): _plain(value)
        for key, value in found.items()
    }


def _plain(value: Any) -> Any:
    """Return an array for its description; refuse nested lists, which a few bytes can make exponentially large."""
    if isinstance(value, _Array):
        return value.array()
    for each in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(each, (bool, int, float, str, bytes, type(None))):
            raise UnsafePickle(f"it contains {type(each).__name__.strip('_').lower()} within a value")
    return value


class _Name:
    """A name that arrays are pickled with and that cannot be called."""


_NDARRAY = _Name()


class _Type:
    """Description of a dtype."""

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        """Set the byte order; everything else in the state must be that of a plain number."""
        known = isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)
        order = _text(state[1]) if known else None
        if order not in ORDERS:
            raise UnsafePickle("an array has a structured type")
        self.dtype = self.dtype.newbyteorder(order)


def _text(value: Any) -> Any:
    """Return text of Python 2 as str."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


@dataclass
class _Array:
    """Description of an array, and its bytes."""

    dtype: np.dtype[Any] = BYTES
    shape: tuple[int, ...] = (0,)
    order: str = "C"
    content: bytes | bytearray = b""

    def set_state(self, state: Any) -> None:
        """Set everything, as `numpy.ndarray.__setstate__` does."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Type):
            raise UnsafePickle("an array has an unknown state")
        _, shape, kind, is_fortran, content = state
        self._set(kind, shape, "F" if is_fortran else "C", content)

    def _set(self, kind: _Type, shape: Any, order: str, content: Any) -> None:
        if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
            raise UnsafePickle("an array has a shape that is not a tuple of sizes")
        if not isinstance(content, (bytes, bytearray)):
            raise UnsafePickle("an array has no bytes")
        if prod(shape) * kind.dtype.itemsize != len(content):
            raise UnsafePickle(f"an array of {kind.dtype} and another size than its {len(content):,} bytes")
        self.dtype, self.shape, self.order, self.content = kind.dtype, shape, order, content

    @classmethod
    def of(cls, kind: _Type, shape: Any, order: str, content: Any) -> _Array:
        """Description with these properties."""
        made = cls()
        made._set(kind, shape, order, content)
        return made

    def array(self) -> NDArray[Any]:
        """Return the array, which shares the bytes."""
        if not self.content:
            return np.empty(self.shape, self.dtype)
        flat = np.frombuffer(self.content, self.dtype)
        return flat.reshape(self.shape, order="F" if self.order == "F" else "C")


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    """Return an empty array; its state follows."""
    if kind is not _NDARRAY:
        raise UnsafePickle("an array is of another class than numpy.ndarray")
    return _Array()


def _dtype(code: Any, align: Any = False, copy: Any = True) -> _Type:
    text = _text(code)
    is_number = isinstance(text, str) and text[:1] in KINDS and text[1:] in map(str, ITEM_SIZES)
    if not is_number:
        raise UnsafePickle("an array is not of plain numbers")
    return _Type(text)


def _no_bytes() -> bytes:
    """Empty bytes, in the format of Python 2."""
    return b""


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> _Array:
    if not isinstance(kind, _Type) or order not in ("C", "F"):
        raise UnsafePickle("an array has an unknown state")
    return _Array.of(kind, shape, order, content)


class _Operations(dict[int, Callable[[Any], None]]):
    """Operations by their codes; any other is refused."""

    def __missing__(self, code: int) -> Callable[[Any], None]:
        raise UnsafePickle(f"it has the operation {bytes([code])!r}")


_Python: Any = pickle._Unpickler  # the one in C has no table of operations


class _Unpickler(_Python):  # type: ignore[misc]
    """An interpreter of the operations in `ALLOWED`.

    Its memory is proportional to the size of the file. The one in C allocates gigabytes for the number of a memo.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = _Operations()

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._may_encode = len(content)

    def find_class(self, module: str, name: str) -> Any:
        """Return the function of this module that a name stands for."""
        core = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        known = {
            ("numpy", "ndarray"): _NDARRAY,
            ("numpy", "dtype"): _dtype,
            ("multiarray", "_reconstruct"): _reconstruct,
            ("numeric", "_frombuffer"): _from_buffer,
            ("_codecs", "encode"): self._encode,
            ("__builtin__", "bytes"): _no_bytes,
            ("builtins", "bytes"): _no_bytes,
        }
        if (core, name) not in known:
            raise UnsafePickle(f"it requires {module[:50]}.{name[:50]}")
        return known[core, name]

    def _encode(self, text: Any, encoding: Any) -> bytes:
        """Encode text, which Python 3 writes for bytes in the format of Python 2."""
        if not isinstance(text, str) or encoding != "latin1":
            raise UnsafePickle("bytes in an unknown encoding")
        self._may_encode -= len(text)
        if self._may_encode < 0:  # the same text again and again
            raise UnsafePickle("it expands to more bytes than the file has")
        return text.encode("latin1")

    def build(self) -> None:
        """Set the state of a dtype or an array."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_Type, _Array)):
            raise UnsafePickle("it changes another object than an array")
        self.stack[-1].set_state(state)

    def set_item(self) -> None:
        """Add a key and a value to a dictionary."""
        _require_keys(self.stack[-2:-1])
        self.load_setitem()

    def set_items(self) -> None:
        """Add keys and values after the mark to a dictionary."""
        _require_keys(self.stack[::2])
        self.load_setitems()

    def make_dict(self) -> None:
        """Build a dictionary of keys and values after the mark."""
        _require_keys(self.stack[::2])
        self.load_dict()

    def read_bytearray(self) -> None:
        """Read bytes. Python would allocate their number before it reads them."""
        size = int.from_bytes(self.read(8), "little")
        self.append(self.read(size))


def _require_keys(keys: list[Any]) -> None:
    """Allow only keys with a fast hash: that of nested tuples can take exponentially long."""
    if not all(isinstance(key, (bytes, str, int)) for key in keys):
        raise UnsafePickle("it has a key that is not text")


ALLOWED = """
    PROTO FRAME STOP MARK POP POP_MARK NONE NEWFALSE NEWTRUE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8
    EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT
    GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE
"""
"""Operations of pickle that are interpreted as by Python."""

for _name in ALLOWED.split():
    _code = getattr(pickle, _name)[0]
    _Unpickler.dispatch[_code] = _Python.dispatch[_code]
_Unpickler.dispatch |= {
    pickle.BUILD[0]: _Unpickler.build,
    pickle.SETITEM[0]: _Unpickler.set_item,
    pickle.SETITEMS[0]: _Unpickler.set_items,
    pickle.DICT[0]: _Unpickler.make_dict,
    pickle.BYTEARRAY8[0]: _Unpickler.read_bytearray,
}
