"""Recipes of prepared image datasets: build, verify and list their files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.images import Pictures
from gan_bench.data.downloads import (
    ELSEWHERE,
    exclusive,
    folders_of,
    kept_at,
    sha256_of,
    unwritable,
    whole,
)
from gan_bench.errors import DataError, StoreError
from gan_bench.files import write_atomically

FORMAT = 1
PREPARE_AGAIN = "Remove its folder; it is prepared again when needed."
Part = tuple[NDArray[np.uint8], NDArray[np.int64] | None]
"""Images of shape (n, C, H, W), and their labels of shape (n,) or None."""


@dataclass(frozen=True)
class PreparedFile:
    """Checksum, size and modification time of a file of a prepared set when it was written."""

    sha256: str
    bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> PreparedFile:
        """Describe the file in its current state. Every byte is read."""
        stat = path.stat()
        return cls(sha256_of(path), stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class PreparedSet:
    """Contents of prepared.json: the sources of a set of images, and the files that contain it.

    Attributes:
        dataset: name of the dataset that the set belongs to.
        settings, sources, note: those of the recipe.
        shape: (C, H, W).
        files: files by name: `images.npy`, and `labels.npy` if the images have labels.
    """

    format: int
    dataset: str
    settings: Mapping[str, object]
    sources: Mapping[str, str]
    count: int
    shape: tuple[int, int, int]
    files: Mapping[str, PreparedFile]
    note: str = ""


@dataclass(frozen=True)
class Recipe:
    """Instructions to build a set of images.

    Attributes:
        name: name of the folder below `prepared/`.
        dataset: name of the dataset that the set belongs to.
        shape: (C, H, W).
        settings: everything that the pixels depend on. A stored set with other settings is built again.
        sources: provenance of the images, with checksums if available.
        parts: yields the images in parts; raises DataError if a source is missing or damaged.
        note: returns a remark on the processing, or an empty string. It is called after all parts are read.
    """

    name: str
    dataset: str
    shape: tuple[int, int, int]
    settings: Mapping[str, object]
    sources: Mapping[str, str]
    parts: Callable[[], Iterable[Part]] = field(compare=False)
    note: Callable[[], str] = field(default=str, compare=False)

    @property
    def folder(self) -> Path:
        """Folder of the set. A set with other settings in a read-only folder is not replaced."""
        return kept_at("prepared", self.name, is_usable=lambda place: self._stored(place) is not None)

    def stored(self) -> PreparedSet | None:
        """Return the record of the set, or None if no set with these settings is stored."""
        return self._stored(self.folder)

    def _stored(self, folder: Path) -> PreparedSet | None:
        record = read_prepared(folder)
        same = record is not None and (record.settings, record.shape) == (dict(self.settings), self.shape)
        return record if same else None


def pictures(recipe: Recipe, log: Callable[[str], None] = lambda _: None) -> Pictures:
    """Return the memory-mapped images of a recipe, which are prepared first if necessary.

    All callers in a process get the same object for the same set, so that it is copied to a device only once.

    Raises:
        DataError: a source is missing or damaged, the disk is full, or the prepared file is damaged.
    """
    record = recipe.stored() or _prepare(recipe, log)
    key = recipe.folder, *((name, file.sha256) for name, file in sorted(record.files.items()))
    if key not in _opened:
        _opened[key] = _open(recipe.folder, record)
    return _opened[key]


_opened: dict[tuple[Any, ...], Pictures] = {}


# --- building -----------------------------------------------------------------------------------------------


def _prepare(recipe: Recipe, log: Callable[[str], None]) -> PreparedSet:
    """Build the set unless another process has built it meanwhile, and return its record."""
    folder = recipe.folder
    with exclusive(folder, log):
        record = recipe.stored()  # written while this process waited
        if record is not None:
            return record
        log(f"preparing {recipe.name} in {folder.parent}, only once")
        try:
            shutil.rmtree(folder, ignore_errors=True)  # it has other settings or is incomplete
            folder.mkdir(parents=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        try:
            return _write_prepared(recipe, log)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _write_prepared(recipe: Recipe, log: Callable[[str], None]) -> PreparedSet:
    """Write the arrays, then prepared.json, and return the record."""
    labels: list[NDArray[np.int64]] = []
    with whole(recipe.folder / "images.npy") as file:
        count = _write_images(file, recipe, labels, log)
    if labels:
        with whole(recipe.folder / "labels.npy") as file:
            np.save(file, np.concatenate(labels), allow_pickle=False)
    record = PreparedSet(
        format=FORMAT,
        dataset=recipe.dataset,
        settings=dict(recipe.settings),
        sources=dict(recipe.sources),
        count=count,
        shape=recipe.shape,
        files={path.name: PreparedFile.of(path) for path in sorted(recipe.folder.glob("*.npy"))},
        note=recipe.note(),
    )
    if record.note:
        log(f"{recipe.name}: {record.note}")
    _write_record(recipe.folder, record)
    return record


def _write_images(file: IO[bytes], recipe: Recipe, labels: list[NDArray[np.int64]], log: Callable[[str], None]) -> int:
    """Write the images part by part, collect their labels, and return the number of images."""
    _write_header(file, 0, recipe.shape)
    start, count, logged = file.tell(), 0, 0
    for x, label in recipe.parts():
        if x.dtype != np.uint8 or x.shape[1:] != recipe.shape:
            raise DataError(f"{recipe.name}: images must be uint8 {recipe.shape}, found {x.dtype} {x.shape[1:]}.")
        file.write(np.ascontiguousarray(x).data)
        labels.extend([] if label is None else [label.astype(np.int64)])
        count += len(x)
        if count - logged >= 50_000:
            logged = count
            log(f"{recipe.name}: {count:,} images")
    if not count:
        raise DataError(f"{recipe.name}: no images in {', '.join(recipe.sources) or 'its sources'}.")
    file.seek(0)
    _write_header(file, count, recipe.shape)
    if file.tell() != start:
        raise AssertionError("numpy leaves no room in its header for the count to grow")
    return count


def _write_header(file: IO[bytes], count: int, shape: tuple[int, int, int]) -> None:
    """Write the header of a .npy file. numpy leaves room for the count, which is known only at the end."""
    about = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(file, about)


def _write_record(folder: Path, record: PreparedSet) -> None:
    try:
        write_atomically(folder / "prepared.json", json.dumps(msgspec.to_builtins(record), indent=1) + "\n")
    except StoreError as error:
        raise DataError(f"{error} {ELSEWHERE}") from error


# --- reading ------------------------------------------------------------------------------------------------


def read_prepared(folder: Path) -> PreparedSet | None:
    """Read prepared.json of a folder. Return None if it is missing or has another format."""
    try:
        record = msgspec.convert(json.loads((folder / "prepared.json").read_text(encoding="utf-8")), PreparedSet)
    except (OSError, ValueError, RecursionError):  # ValueError: no JSON, or a field of another type
        return None
    return record if record.format == FORMAT and "images.npy" in record.files else None


def read_record(folder: Path) -> dict[str, Any] | None:
    """Read prepared.json as plain values, for datasets that look up the sources of their sets."""
    record = read_prepared(folder)
    return None if record is None else msgspec.to_builtins(record)


def _open(folder: Path, record: PreparedSet) -> Pictures:
    """Open the arrays of a set, after comparing the checksums of files whose size or time has changed.

    Checksums of all files would cost every process seconds at its start, for gigabytes that have not changed.
    `gan-bench data check` compares them all.
    """
    touched = [name for name, file in record.files.items() if _is_touched(folder / name, file)]
    wrong = [problem for name in touched if (problem := _difference(folder / name, record.files[name]))]
    if wrong:
        raise DataError(f"{wrong[0]} {PREPARE_AGAIN}")
    if touched:  # copied, or written by another machine's clock: hash them only once
        with suppress(DataError, OSError):
            files = {name: PreparedFile.of(folder / name) for name in record.files}
            _write_record(folder, replace(record, files=files))
    try:
        # copy-on-write: torch requires writable memory, although nothing writes to it
        x = np.load(folder / "images.npy", mmap_mode="c", allow_pickle=False)
        label = np.load(folder / "labels.npy", allow_pickle=False) if "labels.npy" in record.files else None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} cannot be read ({error}). {PREPARE_AGAIN}") from error
    expected = (record.count, *record.shape)
    if x.dtype != np.uint8 or x.shape != expected or (label is not None and label.shape != expected[:1]):
        raise DataError(f"{folder / 'images.npy'} must be uint8 {expected}, found {x.dtype} {x.shape}. {PREPARE_AGAIN}")
    return Pictures(x, label)


def _is_touched(path: Path, file: PreparedFile) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return True
    return (stat.st_size, stat.st_mtime_ns) != (file.bytes, file.mtime_ns)


def _difference(path: Path, file: PreparedFile) -> str | None:
    """Describe a file of a set that is missing or has a wrong size or checksum. Return None if it is intact."""
    if not path.is_file():
        return f"{path} is missing."
    size = path.stat().st_size
    if size != file.bytes:
        return f"{path} has {size:,} bytes instead of {file.bytes:,}."
    if sha256_of(path) != file.sha256:
        return f"{path} is damaged: its checksum has changed since it was prepared."
    return None


def check_prepared(folder: Path) -> list[str]:
    """List all problems of a prepared set. Every byte is read."""
    record = read_prepared(folder)
    if record is None:
        return [f"{folder} is not finished. {PREPARE_AGAIN}"]
    found = (_difference(folder / name, file) for name, file in sorted(record.files.items()))
    return [f"{problem} {PREPARE_AGAIN}" for problem in found if problem]


def prepared_sets(dataset: str | None = None) -> list[tuple[Path, PreparedSet | None]]:
    """List the folder and the record of each prepared set, of one dataset or of all."""
    places = [path for folder in folders_of("prepared") for path in sorted(folder.glob("*")) if path.is_dir()]
    found = [(path, read_prepared(path)) for path in places]
    return [(path, record) for path, record in found if dataset is None or (record and record.dataset == dataset)]
