"""Coloured shapes: images that are drawn, not downloaded, with exact classes.

An image shows one shape on black. Its edges are smooth: a pixel's coverage is one half minus the distance of its centre
to the edge, inside negative, clipped to [0, 1]. All shapes of a size cover the same area, and all colours have the same
sum of channels, so that neither reveals a class.

To classify an image, every shape is drawn again at the image's own centre of mass and area. The shape and colour with
the smallest residual are taken.
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
BRIGHTNESS = 270  # the sum of every colour's channels
RADII = (4.5, 7.5)  # of a disc as large as the shape
REACH = 1.56  # what the corners of the triangle reach, in such radii
COUNTS = (20_000, 10_000)  # training, held out
PART = 1000  # images drawn or classified together

GOOD = 0.05
"""Of a shape's energy, the part that a good image leaves behind, at most, when that shape is taken off it.

Real images leave up to 0.013, disc and square taken for each other 0.07 and more, a blur of 1.5 pixels 0.054 and more.
"""

MARGIN = 0.1  # a good image's size may be outside the range of real ones by this much


class Shapes(ImageDataset):
    """Disc, square, triangle and cross in red, green and blue, 32 × 32: twelve modes, no files (an own design)."""

    name = "shapes"

    @dataclass(frozen=True)
    class Params:
        """Numbers of shapes from disc, square, triangle, cross, and of colours from red, green, blue, yellow, …"""

        shapes: int = param(4, "Shapes, from the disc on.", low=1, high=len(SHAPES))
        colours: int = param(3, "Colours, from red on.", low=1, high=len(COLOURS))
        values: str = param("signed", "Bounds of the pixels: signed is [-1, 1], unit is [0, 1].", choices=tuple(BOUNDS))

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
        """20,000 images, the same number of each class."""
        return _pictures(self.params.shapes, self.params.colours, 0)

    def testing(self) -> Pictures:
        """10,000 other images."""
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
        radius: (n,), that of a disc of the same area.

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
    """Return the centre of mass (n, 2) and the radius (n,) of a disc with the area of the bright part.

    Pixels below 0.15 of a colour count as black and above 0.85 as full, so that faint noise has no effect; edges keep
    their area.
    """
    import torch

    bright = pixels.float().sum(dim=1) / BRIGHTNESS
    mass = ((bright - 0.15) / 0.7).clamp(0, 1)
    area = mass.sum(dim=(1, 2))
    middle = torch.arange(SIDE, device=pixels.device) + 0.5
    centre = torch.stack([mass.sum(dim=1) @ middle, mass.sum(dim=2) @ middle], dim=1) / area.clamp_min(1)[:, None]
    return centre, (area / math.pi).sqrt()


def left_behind(pixels: Tensor, centre: Tensor, radius: Tensor, shapes: int, colours: int) -> Tensor:
    """Return the energy of each image minus a shape of a colour, relative to that shape's own: (n, shapes, colours)."""
    x = pixels.float().flatten(2)
    drawn = coverage(centre, radius, shapes).flatten(2)
    colour = _colours(colours).to(pixels.device)
    covered = drawn.square().sum(dim=2)[:, :, None] * colour.square().sum(dim=1)
    common = (drawn @ x.mT) @ colour.mT
    energy = x.square().sum(dim=(1, 2))[:, None, None]
    return (energy - 2 * common + covered).clamp_min(0) / covered.clamp_min(1)
