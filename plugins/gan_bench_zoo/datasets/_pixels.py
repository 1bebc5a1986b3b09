"""Antialiased bilinear resizing by Pillow, equal to torchvision's `Resize` of a Pillow image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def resized(x: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize (n, 3, H, W) to (n, 3, size, size)."""
    small = [pixels(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)) for image in _last(x)]
    return np.stack(small)


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels (3, H, W) of an RGB image."""
    return np.asarray(image, np.uint8).transpose(2, 0, 1)


def _last(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move channels to the end, as Pillow requires."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))
