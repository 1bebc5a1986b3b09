"""Marks of models in charts: a colour class of page.css, a dash class, and a shape, so that colour is never alone."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from gan_bench.report.page.elements import element

COLOURS, DASHES = 7, 4

_SHAPES = (
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "M-4.5-4.5h9v9h-9z",
    "M0-6L5.5 4h-11z",
    "M0-6L6 0L0 6L-6 0z",
    "M0 6L5.5-4h-11z",
    "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "M-6-3L-3-6L0-3L3-6L6-3L3 0L6 3L3 6L0 3L-3 6L-6 3L-3 0z",
    "M0-6.5L1.7-2L6.5-2L2.6 1L4 5.5L0 2.8L-4 5.5L-2.6 1L-6.5-2L-1.7-2z",
)
"""Marker shapes around the origin, about 11 units wide."""


@dataclass(frozen=True)
class Mark:
    """Appearance of the model at `index`; 56 combinations differ in colour, dashes or shape."""

    index: int

    @property
    def classes(self) -> str:
        """Classes of colour and dashes."""
        return f"c{self.index % COLOURS} d{self.index // COLOURS % DASHES}"

    def marker(self, x: float, y: float) -> Markup:
        """Marker at a place of a drawing, one of `symbols`."""
        return element("use", {"href": f"#k{self.index % len(_SHAPES)}", "x": round(x), "y": round(y)})

    def key(self) -> Markup:
        """Small picture of line and marker, for a legend; the text beside it has the name."""
        line = element("path", {"class": "median", "d": "M1 8h34"})
        attributes = {"class": f"key {self.classes}", "viewBox": "0 0 36 16", "aria-hidden": "true"}
        return element("svg", attributes, line, self.marker(18, 8))


def symbols() -> Markup:
    """Shapes of markers, which charts of the page use."""
    shapes = (element("path", {"id": f"k{i}", "class": "mark", "d": shape}) for i, shape in enumerate(_SHAPES))
    return element("svg", {"class": "hidden-symbols", "aria-hidden": "true"}, element("defs", {}, *shapes))
