"""Colours that people with any colour vision can distinguish, also in a grey print.

Okabe and Ito, "Color Universal Design" (2008), for up to eight; beyond that models differ by line and marker
as well, and generators by a cyclic map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RGB = tuple[float, float, float]

BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, YELLOW = "#E69F00", "#56B4E9", "#000000", "#F0E442"
REAL = "#C8C8C8"
"""Colour of real data, beneath generated samples."""

_GENERATORS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, BLACK, YELLOW)
FEW = len(_GENERATORS)
"""Largest number of generators with individual colours, the same in every row."""
_MODELS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)  # a yellow line is lost on paper
_CIRCLE = (BLUE, SKY, GREEN, YELLOW, ORANGE, VERMILION, PURPLE)  # no grey, which is the colour of real data
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_BRIGHTEST = 0.45  # maximal luminance of small print


@dataclass(frozen=True)
class Line:
    """Style of one model's line in every panel."""

    colour: str
    dashes: str
    marker: str


def line(index: int) -> Line:
    """Style of the model at `index`: 28 combinations of colour and dashes before one repeats."""
    colour, dashes = _MODELS[index % len(_MODELS)], _DASHES[index // len(_MODELS) % len(_DASHES)]
    return Line(colour, dashes, _MARKERS[index % len(_MARKERS)])


def generator_colours(generators: int) -> list[RGB]:
    """One colour for each of K generators; neighbours on the circle look alike for K above eight."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    if generators <= FEW:
        return [to_rgb(name) for name in _GENERATORS[:generators]]
    cyclic = LinearSegmentedColormap.from_list("cyclic", [*_CIRCLE, _CIRCLE[0]], N=1024)
    return [cyclic(k / generators)[:3] for k in range(generators)]


def generator_codes(generators: int) -> list[str]:
    """Colours of `generator_colours` as ``#rrggbb``, without matplotlib."""
    if generators <= FEW:
        return list(_GENERATORS[:generators])
    circle = (*_CIRCLE, _CIRCLE[0])
    places = np.arange(generators) / generators * len(_CIRCLE)
    parts = ([int(colour[i : i + 2], 16) for colour in circle] for i in (1, 3, 5))
    mixed = [np.interp(places, np.arange(len(circle)), part).round().astype(int) for part in parts]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in zip(*mixed, strict=True)]


def for_text(colour: str) -> RGB:
    """Darken a colour so that small print in it is legible on white."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(colour)
    luminance = float(np.dot((red, green, blue), (0.2126, 0.7152, 0.0722)))
    scale = min(1.0, _BRIGHTEST / luminance) if luminance else 1.0
    return red * scale, green * scale, blue * scale
