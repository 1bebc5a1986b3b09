"""ImageNet, downsampled to 32 × 32: Chrabaszcz, Loshchilov and Hutter, arXiv:1707.08819."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gan_bench.contracts.parameters import param
from gan_bench.data.arrays import read_npz, regular_file
from gan_bench.data.downloads import absolute, contents_of, data_root, kept_at
from gan_bench.data.image_datasets import PreparedImages
from gan_bench.data.recipes import Part, Recipe, read_record
from gan_bench.errors import DataError
from gan_bench_zoo.datasets._archives import read_batch, rows_of

FILES = {"train": [f"train_data_batch_{number}" for number in range(1, 11)], "test": ["val_data"]}
ENDINGS = ("", ".npz")
FOLDERS = {  # folders of unpacked archives, if each is in a separate one
    "train": ("", "Imagenet32_train", "Imagenet32_train_npz"),
    "test": ("", "Imagenet32_val", "Imagenet32_val_npz"),
}
LABELS = range(1, 1001)  # as stored


class ImageNet32(PreparedImages):
    """ImageNet at 32 × 32: 1,281,167 images of 1000 classes, the 50,000 of the validation set are held out (2017).

    This is the set of Chrabaszcz, Loshchilov and Hutter. The older set of the same size, of van den Oord et al., has no
    labels. The archives require a login at image-net.org, so they are not downloaded. No checksum is published. Classes
    are named by the numbers in the archives, 1…1000, whose order is not that of ImageNet's 2012 challenge.
    """

    name = "imagenet32"
    counts: ClassVar[Mapping[str, int]] = {"train": 1_281_167, "test": 50_000}
    shape = (3, 32, 32)
    class_names = tuple(map(str, LABELS))

    @dataclass(frozen=True)
    class Params:
        """Folder of the archives and range of the pixels."""

        path: str = param("", "Folder of the unpacked archives. If empty, `imagenet32` in the data folder.")
        values: str = param("signed", "Pixel range: [-1, 1] (signed) or [0, 1] (unit).", choices=("signed", "unit"))

    @property
    def place(self) -> Path:
        """Folder of the batches."""
        return absolute(self.params.path) if self.params.path else data_root() / "imagenet32"

    def absent(self) -> str | None:
        """Return a sentence about missing batches and their source; None if no batch is missing."""
        gone = [name for split in FILES for name in FILES[split] if self._found(split, name) is None]
        if not gone:
            return None
        return (
            f"{self.place / gone[0]} is missing ({len(gone)} of 11 files). Log in at https://image-net.org, download "
            "the downsampled images of size 32x32 (Imagenet32_train.zip and Imagenet32_val.zip, or their npz form) "
            f"and unpack both into {self.place}; or name another folder with the parameter `path`."
        )

    def _found(self, split: str, name: str) -> Path | None:
        """Return the path of a batch, a pickle or .npz, in the folder or in the subfolder of its archive."""
        paths = (self.place / folder / f"{name}{ending}" for folder in FOLDERS[split] for ending in ENDINGS)
        return next((path for path in paths if path.is_file()), None)

    @property
    def contents(self) -> str:
        """Hash of the eleven files, which have no published checksum. If files are missing, the recorded hash."""
        found = {name: self._found(split, name) for split in FILES for name in FILES[split]}
        there = {name: path for name, path in found.items() if path is not None}
        if len(there) == len(found):
            return contents_of(there)
        record = read_record(kept_at("prepared", self._named("train")))
        return str(record["settings"].get("contents", "")) if record else ""

    def _named(self, split: str) -> str:
        """Return the name of a prepared set, which depends on the folder of the archives."""
        return f"{self.name}-{hashlib.sha256(str(self.place).encode()).hexdigest()[:8]}-{split}"

    def recipe(self, split: str) -> Recipe:
        """Return the recipe of one split: its batches in order."""
        names = FILES[split]

        def parts() -> Iterator[Part]:
            for name in names:
                path = self._found(split, name)
                if path is None:
                    raise DataError(f"{self.place / name} is missing.")
                x, label = rows_of(_read(path), path, 3 * 32 * 32, LABELS)
                yield x.reshape(-1, 3, 32, 32), label

        settings = {"contents": self.contents}
        sources = {str(self._found(split, name) or self.place / name): "not published" for name in names}
        return Recipe(self._named(split), self.name, (3, 32, 32), settings, sources, parts)


def _read(path: Path) -> dict[str, Any]:
    """Read a batch, pickled or as .npz. Raises DataError if it is damaged."""
    if path.suffix != ".npz":
        return read_batch(path)
    try:
        with regular_file(path) as file:
            found = read_npz(file, ("data", "labels"))
    except Exception as error:  # for a damaged file numpy and zipfile raise errors of many types
        raise DataError(f"{path} cannot be read ({error}): it is damaged or another file.") from error
    if len(found) < 2:
        raise DataError(f"{path} must contain the arrays 'data' and 'labels'. It is another file.")
    return found
