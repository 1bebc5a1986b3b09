"""Many small images as one large one, without smoothing, for all pictures of images."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

CHANNELS = (1, 3)  # grey, and red, green, blue
GAP, BETWEEN = 1, 3  # white pixels between two images, and between two groups of them
_WHITE = 255


def mosaic(groups: Sequence[Pixels], per_row: int) -> Pixels:
    """Groups of images, one below the other, each from left to right in rows of `per_row`.

    Args:
        groups: (n, C, H, W) each, of one C in `CHANNELS`, H and W; at least one of them holds an image.

    Returns:
        (height, width) for grey images, (height, width, 3) for colour; white in rows that are not full.
    """
    blocks = [_block(group, per_row) for group in groups if len(group)]
    line = np.full((BETWEEN, *blocks[0].shape[1:]), _WHITE, dtype=np.uint8)
    parts = [part for block in blocks for part in (line, block)][1:]
    whole = np.concatenate(parts)
    return whole[:, :, 0] if whole.shape[2] == 1 else whole


def mosaic_size(shape: tuple[int, ...], rows: Sequence[int], per_row: int) -> tuple[int, int]:
    """Width and height in pixels of a mosaic of (C, H, W) images in groups of `rows` rows."""
    _, height, width = shape
    blocks = sum(n * (height + GAP) - GAP for n in rows)
    return per_row * (width + GAP) - GAP, blocks + BETWEEN * (len(rows) - 1)


def _block(x: Pixels, per_row: int) -> Pixels:
    """Reorder (n, C, H, W) to (height, width, C)."""
    n, channels, height, width = x.shape
    rows = -(-n // per_row)
    cells = np.full((rows * per_row, channels, height + GAP, width + GAP), _WHITE, dtype=np.uint8)
    cells[:n, :, :height, :width] = x
    grid = cells.reshape(rows, per_row, channels, height + GAP, width + GAP).transpose(0, 3, 1, 4, 2)
    return grid.reshape(rows * (height + GAP), per_row * (width + GAP), channels)[:-GAP, :-GAP]


def filled(x: Pixels, n: int) -> Pixels:
    """First `n` of images (m, C, H, W), padded with white ones."""
    missing = np.full((max(0, n - len(x)), *x.shape[1:]), _WHITE, dtype=np.uint8)
    return np.concatenate([x[:n], missing])


def scale(side: int, least: int, most: int) -> float:
    """Factor by which images of `side` pixels are scaled: n or 1/n.

    Images are enlarged up to `least` pixels, and reduced only if they have more than `most`.
    """
    return max(1, least // side) if side <= most else 1 / -(-side // most)


def scaled(x: Pixels, by: float) -> Pixels:
    """Scale images (n, C, H, W): repeat pixels to enlarge, average blocks of pixels to reduce."""
    if by >= 1:
        return x.repeat(round(by), axis=2).repeat(round(by), axis=3)
    step = round(1 / by)
    n, channels, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (0, -height % step), (0, -width % step)), mode="edge")
    blocks = padded.reshape(n, channels, padded.shape[2] // step, step, padded.shape[3] // step, step)
    smaller: Pixels = blocks.mean(axis=(3, 5)).round().astype(np.uint8)
    return smaller


def png(pixels: Pixels) -> bytes:
    """Encode (height, width) grey or (height, width, 3) coloured pixels as a PNG file, unchanged."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()
