"""Plugin files as bytes, which an engine sends to other machines with their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_bench.errors import PluginError

LARGEST = 2**20
"""Largest number of bytes of a file that is sent."""


@dataclass(frozen=True)
class ShippedFile:
    """One file.

    Attributes:
        place: number of the plugin file or folder that it belongs to.
        path: relative to the place's parent: ``my_gan.py``, or ``plugins/my_gan.py`` for a folder.
        data: contents.
        sha256: hash of the contents.
    """

    place: int
    path: str
    data: bytes
    sha256: str


@dataclass(frozen=True)
class Shipment:
    """Plugin files and folders as bytes.

    Attributes:
        places: name of each file or folder, in order.
        files: contents.
        left_out: paths that are too large to be sent.
    """

    places: tuple[str, ...] = ()
    files: tuple[ShippedFile, ...] = ()
    left_out: tuple[str, ...] = ()


def pack(places: Sequence[Path]) -> Shipment:
    """Read plugin files, and folders of them with all files below; missing folders are left out.

    Raises PluginError if a Python file is too large to be sent.
    """
    there = [place.resolve() for place in places if place.exists()]
    files, left_out = [], []
    for number, place in enumerate(there):
        for path in _files(place):
            if path.stat().st_size <= LARGEST:
                files.append(_read(number, path, place))
            elif path.suffix == ".py":
                raise PluginError(f"{path}: larger than {LARGEST:,} bytes. A plugin that is sent must be smaller.")
            else:
                left_out.append(str(path))
    return Shipment(tuple(place.name for place in there), tuple(files), tuple(left_out))


def unpack(shipment: Shipment, folder: Path) -> list[Path]:
    """Write the files below a folder and return the plugin files and folders there.

    Raises PluginError if a file was changed on its way.
    """
    places = [folder / str(number) / name for number, name in enumerate(shipment.places)]
    for file in shipment.files:
        if hashlib.sha256(file.data).hexdigest() != file.sha256:
            raise PluginError(f"{file.path}: the contents that were received are not those that were sent.")
        target = folder / str(file.place) / file.path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise PluginError(f"{file.path}: leads out of the folder of its plugin.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
    return places


def _files(place: Path) -> Iterator[Path]:
    """Regular files of a place, without hidden ones and compiled code."""
    if place.is_file():
        yield place
        return
    for path in sorted(place.rglob("*")):
        parts = path.relative_to(place).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not hidden:
            yield path


def _read(number: int, path: Path, place: Path) -> ShippedFile:
    data = path.read_bytes()
    return ShippedFile(number, path.relative_to(place.parent).as_posix(), data, hashlib.sha256(data).hexdigest())
