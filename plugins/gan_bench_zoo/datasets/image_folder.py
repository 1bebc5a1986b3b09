"""Images of a folder."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gan_bench.contracts.parameters import param
from gan_bench.data.downloads import contents_of
from gan_bench.data.image_datasets import PreparedImages
from gan_bench.data.recipes import Part, Recipe
from gan_bench.errors import DataError
from gan_bench_zoo.datasets._pixels import pixels

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
CONVERTED = frozenset(("1", "L", "LA", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"))  # of at most 8 bits, as RGB
CHUNK = 256  # images processed together
TOLD = 10  # broken files listed in an error


class ImageFolder(PreparedImages):
    """Images of a folder and its subfolders, cut to squares and resized (any images, 2026).

    Each image is rotated by its EXIF data, converted to RGB, cut to the largest square at its centre, and resized with
    an antialiased bilinear filter. Grey, palette and CMYK images are converted; the alpha channel of transparent ones
    is dropped. The numbers of converted, cut and enlarged images are reported during preparation. There are no labels.

    A share of the images is held out. It is chosen by a hash of the name of each file within the folder, so that added
    files do not change the set of any other. If files of a folder change, it is prepared again.
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
        return Path(self.params.path).expanduser().resolve()

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
        size, share, done = self.params.size, self.params.held_out, Counter[str]()
        place = hashlib.sha256(f"{self.place} {share}".encode()).hexdigest()[:8]
        settings = {"path": str(self.place), "contents": self.contents, "held_out": share}

        def parts() -> Iterator[Part]:
            if not chosen:
                of = "for training" if split == "train" else "to hold out"
                raise DataError(f"{self.place}: with held_out = {share} no image is left {of}; more are needed.")
            return self._parts(chosen, done)

        return Recipe(
            name=f"{self.name}-{place}-{size}-{split}",
            dataset=self.name,
            shape=(3, size, size),
            settings=settings,
            sources={str(self.place): f"{len(chosen)} files"},
            parts=parts,
            note=lambda: ", ".join(f"{count} {what}" for what, count in sorted(done.items()) if count),
        )

    def _is_held_out(self, path: Path) -> bool:
        digest = hashlib.sha256(path.as_posix().encode()).digest()
        return bool(int.from_bytes(digest[:8], "big") < self.params.held_out * 2**64)

    def _parts(self, chosen: Sequence[Path], done: Counter[str]) -> Iterator[Part]:
        """Yield all images, then raise one error about all broken ones, so that none is dropped silently."""
        broken: list[str] = []
        for start in range(0, len(chosen), CHUNK):
            made = list(self._made(chosen[start : start + CHUNK], done, broken))
            if made:
                yield np.stack(made), None
        if broken:
            more = f" and {len(broken) - TOLD} more" if len(broken) > TOLD else ""
            raise DataError(
                f"{self.place}: {len(broken)} of {len(chosen)} files cannot be read: {'; '.join(broken[:TOLD])}{more}. "
                "Remove or mend them."
            )

    def _made(self, paths: Sequence[Path], done: Counter[str], broken: list[str]) -> Iterator[NDArray[np.uint8]]:
        for path in paths:
            try:
                yield squared(self.place / path, self.params.size, done)
            except Exception as error:  # a damaged image raises errors of any type in Pillow
                broken.append(f"{path} ({' '.join(str(error).split()) or type(error).__name__})")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.is_dir()


def squared(path: Path, size: int, done: Counter[str]) -> NDArray[np.uint8]:
    """Return one image as (3, size, size), and count its conversions in `done`.

    Raises:
        ValueError: the pixels have more than 8 bits a channel.
        Exception: of any type, raised by Pillow for a damaged file.
    """
    with warnings.catch_warnings(), Image.open(path) as stored:
        warnings.simplefilter("ignore")  # warnings about metadata; only errors matter
        if stored.mode not in {"RGB", *CONVERTED}:
            raise ValueError(f"its pixels are of mode {stored.mode}; 8 bits a channel are needed")
        image = ImageOps.exif_transpose(stored)
        if image.mode != "RGB":
            done[f"converted from {image.mode} to RGB"] += 1
            image = (image.convert("RGBA") if image.mode in ("P", "PA") else image).convert("RGB")
    width, height = image.size
    side = min(width, height)
    done["cut to squares"] += width != height
    done["enlarged"] += side < size
    left, top = (width - side) // 2, (height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return pixels(square.resize((size, size), Image.Resampling.BILINEAR))
