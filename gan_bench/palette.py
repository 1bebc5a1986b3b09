"""Colours that people with any colour vision, and a grey printer, can tell apart.

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
"""Real data, beneath the generated."""

_GENERATORS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, BLACK, YELLOW)
_MODELS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)  # a yellow line is lost on paper
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_BRIGHTEST = 0.55  # luminance above which a dot is lost on white


@dataclass(frozen=True)
class Line:
    """How one model is drawn wherever it is a line."""

    colour: str
    dashes: str
    marker: str


def line(index: int) -> Line:
    """The look of the model at `index`: 28 combinations of colour and dashes before one repeats."""
    colour, dashes = _MODELS[index % len(_MODELS)], _DASHES[index // len(_MODELS) % len(_DASHES)]
    return Line(colour, dashes, _MARKERS[index % len(_MARKERS)])


def generator_colours(generators: int) -> list[RGB]:
    """One colour for each of K generators; neighbours on the circle look alike where K is above eight."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if generators <= len(_GENERATORS):
        return [to_rgb(name) for name in _GENERATORS[:generators]]
    return [_not_too_bright(colormaps["twilight"](k / generators)[:3]) for k in range(generators)]


def _not_too_bright(colour: RGB) -> RGB:
    """The colour, darkened where it would be lost on white (the middle of a cyclic map is nearly white)."""
    luminance = float(np.dot(colour, (0.2126, 0.7152, 0.0722)))
    scale = min(1.0, _BRIGHTEST / luminance)
    return colour[0] * scale, colour[1] * scale, colour[2] * scale
