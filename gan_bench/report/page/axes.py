"""Linear and logarithmic axes of SVG charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Axis:
    """Axis from `low` to `high` over `size` units of the drawing."""

    low: float
    high: float
    size: float
    log: bool = False

    def at(self, values: Floats | Sequence[float]) -> Floats:
        """Positions from 0 to `size`; values outside are at its ends, nan remains nan."""
        x, low, high = np.asarray(values, dtype=np.float64), self.low, self.high
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.log:
                x, low, high = np.log(np.maximum(x, 0)), math.log(low), math.log(high)
            found: Floats = np.clip((x - low) / (high - low), 0, 1) * self.size
        return found

    def ticks(self, most: int = 5) -> list[float]:
        """Round values along the axis."""
        return _powers(self.low, self.high, most) if self.log else _steps(self.low, self.high, most)


def axis(values: Floats | Sequence[float], size: float, *, log: bool = False, margin: float = 0.06) -> Axis:
    """Axis that contains all finite values; it is linear if one of them is not positive."""
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    if not len(x):
        return Axis(0.0, 1.0, size)
    low, high = float(x.min()), float(x.max())
    if log and low > 0:
        room = max(margin * math.log(high / low), 0.05)
        return Axis(low * math.exp(-room), high * math.exp(room), size, log=True)
    # Of huge values, the difference may overflow, or the margin may vanish by rounding.
    room = margin * (high / 2 - low / 2) * 2 or 0.05 * abs(high) or 0.5
    if not (math.isfinite(high - low + 2 * room) and low - room < high + room):
        return Axis(-1.0, 1.0, size)
    return Axis(low - room, high + room, size)


def _steps(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 and math.isfinite(rough) else 1.0
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, min(last, first + 20) + 1)]


def _powers(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, with 2 and 5 times these on a short axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**i for i in range(first, last + 1) for factor in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) <= most + 1:
            return found or _steps(low, high, most)
    step = -(-len(found) // most)
    return found[::step]


def short(value: float) -> str:
    """Format a number of a tick: ``25k`` for 25,000."""
    if not math.isfinite(value):
        return str(value)
    if 1e4 <= abs(value) < 1e6 and value % 100 == 0:
        return f"{value / 1000:g}k"
    if 1e6 <= abs(value) < 1e9:
        return f"{value / 1e6:.4g}M"
    return f"{value:.4g}"


def number(value: float | None) -> str:
    """Format a value with four significant digits; a dash for a missing one."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e12 else f"{value:.4g}"


def path(x: Floats, y: Floats) -> str:
    """Line through whole-numbered points, as the data of an SVG path; a value that is not finite interrupts it."""
    parts: list[str] = []
    open_, last_x, last_y = False, 0, 0
    for at_x, at_y in zip(x.tolist(), y.tolist(), strict=True):
        if not (math.isfinite(at_x) and math.isfinite(at_y)):
            open_ = False
            continue
        new_x, new_y = round(at_x), round(at_y)
        if open_:
            parts.append(f"l{new_x - last_x}{_next(new_y - last_y)}")
        else:
            parts.append(f"M{new_x} {new_y}")
            parts += ["h0"]  # a single point is drawn as a dot
        open_, last_x, last_y = True, new_x, new_y
    return "".join(parts)


def _next(value: int) -> str:
    """Second coordinate; a minus separates as well as a space."""
    return str(value) if value < 0 else f" {value}"
