"""Images of a folder."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gan_bench.contracts.parameters import param
from gan_bench.data.downloads import absolute, contents_of
from gan_bench.data.image_datasets import PreparedImages
from gan_bench.data.recipes import Part, Recipe
from gan_bench.errors import DataError
from gan_bench_zoo.datasets._pixels import pixels

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
CONVERTED = frozenset(("1", "L", "LA", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"))  # of at most 8 bits, as RGB
CHUNK = 256  # images processed together
MOST = 10  # broken files listed in an error


class ImageFolder(PreparedImages):
    """Images of a folder and its subfolders, cut to squares and resized (any images, 2026).

    Each image is rotated by its EXIF data, converted to RGB, cut to the largest square at its centre, and resized with
    an antialiased bilinear filter. Grey, palette and CMYK images are converted; the alpha channel of transparent ones
    is dropped. The numbers of converted, cut and enlarged images are reported during preparation. There are no labels.

    A share of the images is held out. It is chosen by a hash of the name of each file within the folder, so that added
    files do not change the set of any other. If files of a folder change, it is prepared again.

    Of animations and files with several pages, the first frame is used. Hidden files, files with other endings, and
    folders that are links are not used. Both kinds are reported with their names.
    """

    name = "image-folder"

    @dataclass(frozen=True)
    class Params:
        """Folder of the images, their size, the share held out, and the range of the pixels."""

        path: str = param(MISSING, "Folder of the images. A relative path starts at the working folder.")
        size: int = param(64, "Height and width in pixels.", low=8, high=1024)
        held_out: float = param(0.1, "Share of the images held out from training.", above=0, high=0.5)
        values: str = param("signed", "Pixel range: [-1, 1] (signed) or [0, 1] (unit).", choices=("signed", "unit"))

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path is empty; name the folder of the images")

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, size, size)."""
        return (3, self.params.size, self.params.size)

    @property
    def place(self) -> Path:
        """Absolute path of the folder."""
        return absolute(self.params.path)

    def absent(self) -> str | None:
        """Return the problem if the folder does not exist or contains no image."""
        if not self.place.is_dir():
            return f"{self.place} is no folder. Let the parameter `path` name the folder of the images."
        if not self._files:
            return f"{self.place} holds no image: no file in it or below ends with {', '.join(sorted(ENDINGS))}."
        return None

    def missing(self) -> str | None:
        """Return `absent()`, also after preparation: only the folder shows whether prepared images are up to date."""
        return self.absent()

    @property
    def contents(self) -> str:
        """Hash of the names and bytes of all files."""
        files = self._files if self.place.is_dir() else []
        try:
            return contents_of({path.as_posix(): self.place / path for path in files})
        except OSError as error:  # a dangling link, or a file without permission to read
            raise DataError(f"{error.filename} cannot be read ({error.strerror}). Remove or mend it.") from error

    @cached_property
    def _files(self) -> list[Path]:
        """All images below the folder except hidden ones, sorted by name. The folder is searched once."""
        inside = (path.relative_to(self.place) for path in self.place.rglob("*") if _is_image(path))
        return sorted(path for path in inside if not any(part.startswith(".") for part in path.parts))

    def recipe(self, split: str) -> Recipe:
        """Return the recipe of the images of one split."""
        chosen = [path for path in self._files if self._is_held_out(path) == (split == "test")]
        size, share, done, frames = self.params.size, self.params.held_out, Counter[str](), list[str]()
        place = hashlib.sha256(os.fsencode(f"{self.place} {share}")).hexdigest()[:8]
        settings = {"path": str(self.place), "contents": self.contents, "held_out": share}

        def parts() -> Iterator[Part]:
            if not chosen:
                of = "for training" if split == "train" else "to hold out"
                raise DataError(f"{self.place}: with held_out = {share} no image is left {of}; more are needed.")
            return self._parts(chosen, done, frames)

        return Recipe(
            name=f"{self.name}-{place}-{size}-{split}",
            dataset=self.name,
            shape=(3, size, size),
            settings=settings,
            sources={str(self.place): f"{len(chosen)} files"},
            parts=parts,
            note=lambda: self._note(done, frames, self._left_out if split == "train" else {}),
        )

    def _note(self, done: Counter[str], frames: Sequence[str], left_out: Mapping[str, Sequence[str]]) -> str:
        """Return the numbers of converted images, then animations and files that are not used with their names."""
        notes = [f"{count} {what}" for what, count in sorted(done.items()) if count]
        if frames:
            notes.append(f"{len(frames)} of several frames, of which the first is used ({_names(frames)})")
        notes += [f"not used: {len(paths)} {what} ({_names(paths)})" for what, paths in sorted(left_out.items())]
        return ", ".join(notes)

    @cached_property
    def _left_out(self) -> Mapping[str, Sequence[str]]:
        """Names of the files below the folder that are not used, by the reason."""
        used, found = set(self._files), defaultdict(list)
        for path in sorted(self.place.rglob("*")):
            inside = path.relative_to(self.place)
            is_link = path.is_symlink() and path.is_dir()
            if inside in used or (path.is_dir() and not is_link):
                continue
            hidden = any(part.startswith(".") for part in inside.parts)
            ending = f"with the ending {path.suffix.lower()}" if path.suffix else "without an ending"
            kind = "links to folders" if is_link else "hidden" if hidden else ending
            found[kind].append(str(inside))
        return found

    def _is_held_out(self, path: Path) -> bool:
        digest = hashlib.sha256(os.fsencode(path.as_posix())).digest()
        return bool(int.from_bytes(digest[:8], "big") < self.params.held_out * 2**64)

    def _parts(self, chosen: Sequence[Path], done: Counter[str], frames: list[str]) -> Iterator[Part]:
        """Yield all images, then raise one error about all broken ones, so that none is dropped silently."""
        broken: list[str] = []
        for start in range(0, len(chosen), CHUNK):
            made = list(self._made(chosen[start : start + CHUNK], done, frames, broken))
            if made:
                yield np.stack(made), None
        if broken:
            more = f" and {len(broken) - MOST} more" if len(broken) > MOST else ""
            raise DataError(
                f"{self.place}: {len(broken)} of {len(chosen)} files cannot be read: {'; '.join(broken[:MOST])}{more}. "
                "Remove or mend them."
            )

    def _made(
        self, paths: Sequence[Path], done: Counter[str], frames: list[str], broken: list[str]
    ) -> Iterator[NDArray[np.uint8]]:
        for path in paths:
            try:
                yield squared(self.place / path, self.params.size, done)
                if _is_animated(self.place / path):
                    frames.append(str(path))
            except Exception as error:  # a damaged image raises errors of any type in Pillow
                broken.append(f"{_names([str(path)])} ({' '.join(str(error).split()) or type(error).__name__})")


def _names(paths: Sequence[str]) -> str:
    """Return the first names, with control characters and undecodable bytes escaped."""
    paths = [repr(path)[1:-1] for path in paths]
    return ", ".join(paths[:MOST]) + (f" and {len(paths) - MOST} more" if len(paths) > MOST else "")


def _is_animated(path: Path) -> bool:
    """Whether a file has several frames or pages. A photograph with a preview (MPO) is one image."""
    with warnings.catch_warnings(action="ignore"), Image.open(path) as stored:
        return stored.format != "MPO" and bool(getattr(stored, "is_animated", False))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.is_dir()


def squared(path: Path, size: int, done: Counter[str]) -> NDArray[np.uint8]:
    """Return one image as (3, size, size), and count its conversions in `done`.

    Raises:
        ValueError: the pixels have more than 8 bits a channel.
        Exception: of any type, raised by Pillow for a damaged file.
    """
    # warnings are about metadata and size; only errors matter
    with warnings.catch_warnings(action="ignore"), Image.open(path) as stored:
        if stored.mode not in {"RGB", *CONVERTED}:
            raise ValueError(f"its pixels are of mode {stored.mode}; 8 bits a channel are needed")
        stored.load()
        ImageOps.exif_transpose(stored, in_place=True)
        width, height = stored.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        # cut before it is converted, and not copied: an image may have gigabytes
        square = stored if width == height else stored.crop((left, top, left + side, top + side))
        if square.mode != "RGB":
            done[f"converted from {square.mode} to RGB"] += 1
            square = (square.convert("RGBA") if square.mode in ("P", "PA") else square).convert("RGB")
        done["cut to squares"] += width != height
        done["enlarged"] += side < size
        return pixels(square.resize((size, size), Image.Resampling.BILINEAR))
