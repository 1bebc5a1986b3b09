"""Coloured shapes: generated images with exact classes. No files are needed.

An image shows one shape on black. Its edges are smooth: the coverage of a pixel is one half minus the signed distance
of its centre to the edge, negative inside, clipped to [0, 1]. All shapes of a size cover the same area, and all colours
have the same sum of channels, so that neither area nor brightness reveals a class.

To classify an image, every shape is drawn at the centre of mass and with the area of the image. The class is the shape
and colour with the smallest residual.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from gan_bench.contracts.images import BOUNDS, ImageDataset, Pictures
from gan_bench.contracts.parameters import param

if TYPE_CHECKING:
    from torch import Tensor

    Distance = Callable[[Tensor, Tensor, Tensor], Tensor]

SIDE = 32
SHAPES = ("disc", "square", "triangle", "cross")
COLOURS = {
    "red": (210, 30, 30),
    "green": (30, 210, 30),
    "blue": (30, 30, 210),
    "yellow": (130, 130, 10),
    "cyan": (10, 130, 130),
    "magenta": (130, 10, 130),
}
BRIGHTNESS = 270  # sum of the channels of each colour
RADII = (4.5, 7.5)  # of a disc with the area of the shape, in pixels
REACH = 1.56  # distance of the corners of the triangle from its centre, in such radii
COUNTS = (20_000, 10_000)  # training, held out
PART = 1000  # images drawn or classified together

GOOD = 0.05
"""Largest residual energy of a good image after its shape is subtracted, relative to the energy of the shape.

Real images have at most 0.013. A disc taken for a square, or the reverse, has at least 0.07. Images blurred by 1.5
pixels have at least 0.054.
"""

MARGIN = 0.1  # tolerance of the size of a good image beyond the range of real ones, relative


class Shapes(ImageDataset):
    """Disc, square, triangle and cross in red, green and blue, 32 × 32: twelve modes, no files (an original design)."""

    name = "shapes"

    @dataclass(frozen=True)
    class Params:
        """Numbers of shapes and colours, in the order of `SHAPES` and `COLOURS`, and range of the pixels."""

        shapes: int = param(4, "Number of shapes, in the order disc, square, triangle, cross.", low=1, high=len(SHAPES))
        colours: int = param(
            3, "Number of colours, in the order red, green, blue, yellow, cyan, magenta.", low=1, high=len(COLOURS)
        )
        values: str = param("signed", "Pixel range: [-1, 1] (signed) or [0, 1] (unit).", choices=tuple(BOUNDS))

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, 32, 32)."""
        return (3, SIDE, SIDE)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Colour and shape, all colours of the first shape first."""
        shapes, colours = SHAPES[: self.params.shapes], list(COLOURS)[: self.params.colours]
        return tuple(f"{colour} {shape}" for shape in shapes for colour in colours)

    def training(self) -> Pictures:
        """Return 20,000 images, the same number of each class up to one."""
        return _pictures(self.params.shapes, self.params.colours, 0)

    def testing(self) -> Pictures:
        """Return 10,000 other images."""
        return _pictures(self.params.shapes, self.params.colours, 1)

    def exact_classes(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class of each image, and whether it is one shape of about the right size with a small residual."""
        import torch

        parts = [self._classes(part) for part in torch.split(pixels, PART)]
        return torch.cat([label for label, _ in parts]), torch.cat([good for _, good in parts])

    def _classes(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        centre, radius = located(pixels)
        left = left_behind(pixels, centre, radius, self.params.shapes, self.params.colours).flatten(1)
        least, label = left.min(dim=1)
        fits = (radius > RADII[0] * (1 - MARGIN)) & (radius < RADII[1] * (1 + MARGIN))
        return label, fits & (least < GOOD)


@lru_cache(maxsize=8)
def _pictures(shapes: int, colours: int, seed: int) -> Pictures:
    """Return the training set (seed 0) or the test set (seed 1), drawn once per process."""
    import torch

    rng = np.random.default_rng([seed, shapes, colours])
    count = COUNTS[seed]
    label = rng.permutation(np.arange(count) % (shapes * colours))
    radius = rng.uniform(*RADII, count)
    edge = REACH * radius + 1.5  # a black rim
    centre = edge[:, None] + rng.uniform(size=(count, 2)) * (SIDE - 2 * edge)[:, None]
    place, size = torch.from_numpy(centre).float(), torch.from_numpy(radius).float()
    colour = _colours(colours)[torch.from_numpy(label % colours)]
    x = torch.empty(count, 3, SIDE, SIDE, dtype=torch.uint8)
    for number, distance in enumerate(_distances(shapes)):
        for part in torch.split(torch.from_numpy(np.flatnonzero(label // colours == number)), PART):
            drawn = _covered(distance, place[part], size[part])
            x[part] = (drawn[:, None] * colour[part][:, :, None, None]).round().to(torch.uint8)
    return Pictures(x.numpy(), label)


def _colours(count: int) -> Tensor:
    """Return the first colours, (count, 3) float32."""
    import torch

    return torch.tensor(list(COLOURS.values())[:count], dtype=torch.float32)


def coverage(centre: Tensor, radius: Tensor, shapes: int) -> Tensor:
    """Return the share of each pixel that the first `shapes` shapes cover.

    Args:
        centre: (n, 2), the position in pixels from the upper left corner, x first.
        radius: (n,), of a disc with the same area.

    Returns:
        (n, shapes, 32, 32) float32 between 0 and 1.
    """
    import torch

    return torch.stack([_covered(distance, centre, radius) for distance in _distances(shapes)], dim=1)


def _covered(distance: Distance, centre: Tensor, radius: Tensor) -> Tensor:
    """Return the coverage (n, 32, 32) of one shape."""
    import torch

    middle = torch.arange(SIDE, device=centre.device) + 0.5
    x, y = (middle - centre[:, :1])[:, None, :], (middle - centre[:, 1:])[:, :, None]
    return (0.5 - distance(x, y, radius[:, None, None])).clamp(0, 1)


def _distances(shapes: int) -> tuple[Distance, ...]:
    return (_disc, _square, _triangle, _cross)[:shapes]


# Distances to the edge, negative inside, of shapes whose area is π r² and whose centre of mass is the origin.


def _disc(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return (x.square() + y.square()).sqrt() - r


def _square(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return x.abs().maximum(y.abs()) - r * (math.sqrt(math.pi) / 2)


def _triangle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    sides = (x.abs() * (math.sqrt(3) / 2) - y / 2).maximum(y)
    return sides - r * math.sqrt(math.pi / (3 * math.sqrt(3)))


def _cross(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    reach = r * math.sqrt(9 * math.pi / 20)
    half, across, along = reach / 3, x.abs(), y.abs()  # half the width of an arm
    return (across - reach).maximum(along - half).minimum((across - half).maximum(along - reach))


def located(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centre of mass (n, 2), and the radius (n,) of a disc with the area of the bright part.

    Pixels below 0.15 of the full brightness count as black and pixels above 0.85 as full, so that faint noise has no
    effect. Edges keep their area.
    """
    import torch

    bright = pixels.float().sum(dim=1) / BRIGHTNESS
    mass = ((bright - 0.15) / 0.7).clamp(0, 1)
    area = mass.sum(dim=(1, 2))
    middle = torch.arange(SIDE, device=pixels.device) + 0.5
    centre = torch.stack([mass.sum(dim=1) @ middle, mass.sum(dim=2) @ middle], dim=1) / area.clamp_min(1)[:, None]
    return centre, (area / math.pi).sqrt()


def left_behind(pixels: Tensor, centre: Tensor, radius: Tensor, shapes: int, colours: int) -> Tensor:
    """Return the residual energy of images minus coloured shapes, relative to the shapes': (n, shapes, colours)."""
    x = pixels.float().flatten(2)
    drawn = coverage(centre, radius, shapes).flatten(2)
    colour = _colours(colours).to(pixels.device)
    covered = drawn.square().sum(dim=2)[:, :, None] * colour.square().sum(dim=1)
    common = (drawn @ x.mT) @ colour.mT
    energy = x.square().sum(dim=(1, 2))[:, None, None]
    return (energy - 2 * common + covered).clamp_min(0) / covered.clamp_min(1)
