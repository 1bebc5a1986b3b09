"""A metric over iterations: the median over seeds with its range, each line labelled at its end."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench import escape
from gan_bench.contracts.table import MetricInfo
from gan_bench.report.figures import palette
from gan_bench.report.tables.formats import ARROWS
from gan_bench.results.load import ANCHORS, StoredResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Floats = NDArray[np.floating[Any]]

_LOG_RATIO = 20  # a larger ratio of values gets a log axis
_FEW = 12  # largest number of points that are marked individually
_LABEL_GAP = 0.115  # inches between the baselines of two labels
_LEADER = {"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
_LABEL_WIDTH = 1.15  # inches of a label next to a line


@dataclass(frozen=True)
class Curve:
    """One model's values of one metric.

    `median`, `low` and `high` are over the finished seeds, at `iterations`; `broken` has iterations and
    values of each run that did not finish.
    """

    label: str
    look: palette.Line
    iterations: NDArray[np.int64]
    median: Floats
    low: Floats
    high: Floats
    broken: tuple[tuple[NDArray[np.int64], Floats], ...]


@dataclass(frozen=True)
class Panel:
    """Panel of one metric; `floor` is the median of held-out real data, None if unknown."""

    metric: str
    info: MetricInfo
    curves: tuple[Curve, ...]
    floor: float | None


def panel(results: StoredResults, dataset: str, metric: str, info: MetricInfo, labels: Sequence[str]) -> Panel:
    """Values of one metric for the models `labels`, whose order determines their line styles."""
    frame = results.frame
    frame = frame[(frame["dataset"] == dataset) & (frame["metric"] == metric) & frame["generator"].isna()]
    curves = (_curve(frame[frame["label"] == label], label, i) for i, label in enumerate(labels))
    real = frame.loc[frame["model"] == ANCHORS[0], "value"].to_numpy()
    floor = float(np.median(real)) if len(real) else None
    found = tuple(curve for curve in curves if len(curve.iterations) or curve.broken)
    return Panel(metric, info, found, floor if floor is not None and np.isfinite(floor) else None)


def draw(ax: Axes, panel: Panel) -> None:
    """Draw a panel, or a message in it if there is nothing to draw; labels need about an inch to the right of `ax`."""
    for curve in panel.curves:
        _draw_curve(ax, curve)
    if not _is_measured(panel):
        reason = "undefined in all runs" if panel.curves else "not computed in any run"
        ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", fontsize=6.5, color="0.35")
    if panel.floor is not None:
        ax.axhline(panel.floor, color="0.45", linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
    _set_axes(ax, panel)
    _label_ends(ax, panel)


def short(iteration: float) -> str:
    """Format a number of iterations: ``25k`` for 25,000."""
    return f"{iteration / 1000:g}k" if abs(iteration) >= 1000 else f"{iteration:g}"


def _curve(frame: pd.DataFrame, label: str, index: int) -> Curve:
    finished = frame[frame["status"] == "finished"]
    # A seed's value that is not finite leaves a gap: a median of the other seeds would hide it.
    by_iteration = [(t, group.to_numpy(dtype=np.float64)) for t, group in finished.groupby("iteration")["value"]]
    rest = frame[frame["status"] != "finished"].sort_values("iteration")
    broken = tuple(
        (run["iteration"].to_numpy(dtype=np.int64), run["value"].to_numpy(dtype=np.float64))
        for _, run in rest.groupby("seed")
    )
    iterations = np.asarray([t for t, _ in by_iteration], dtype=np.int64)
    median, low, high = (
        np.asarray([of(values) for _, values in by_iteration], dtype=np.float64) for of in (np.median, np.min, np.max)
    )
    return Curve(label, palette.line(index), iterations, median, low, high, broken)


def _draw_curve(ax: Axes, curve: Curve) -> None:
    look = curve.look
    marker = look.marker if len(curve.iterations) <= _FEW else ""
    line: dict[str, Any] = {"color": look.colour, "linestyle": look.dashes}
    ax.fill_between(curve.iterations, curve.low, curve.high, color=look.colour, alpha=0.16, linewidth=0)
    ax.plot(curve.iterations, curve.median, **line, linewidth=1.2, marker=marker, markersize=3, zorder=3)
    for iterations, values in curve.broken:
        ax.plot(iterations, values, **line, linewidth=0.5, zorder=2)
        last = np.flatnonzero(np.isfinite(values))[-1:]
        ax.plot(iterations[last], values[last], "x", color=look.colour, markersize=4, zorder=4)


def _set_axes(ax: Axes, panel: Panel) -> None:
    unit = f" ({panel.info.unit})" if panel.info.unit and panel.info.unit != panel.metric else ""
    title = f"{panel.metric}{unit} {ARROWS[panel.info.direction]}".rstrip()
    width = ax.bbox.width / ax.figure.dpi + _LABEL_WIDTH
    ax.set_title(fitted(title, 7, width), fontsize=7, loc="left", pad=4, parse_math=False)
    ax.set_xlabel("iteration", fontsize=6.5, labelpad=1)
    ax.xaxis.set_major_formatter(lambda x, _: short(x))
    ax.tick_params(labelsize=6, width=0.5, length=2.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_linewidth(0.5)
    ax.grid(axis="y", color="0.92", linewidth=0.5)
    ax.set_axisbelow(True)
    _set_limits(ax, panel)


def _set_limits(ax: Axes, panel: Panel) -> None:
    """Limits around the finished runs, so that a diverged run does not flatten the others."""
    values = _visible(panel)
    last = max((int(curve.iterations[-1]) for curve in panel.curves if len(curve.iterations)), default=None)
    if last:
        ax.set_xlim(0, last)
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > _LOG_RATIO:
        _set_log(ax, low / 1.3, high * 1.3)
    else:
        margin = 0.06 * (high - low) or max(0.05 * abs(high), 1e-9)
        ax.set_ylim(low - margin, high + margin)


def _is_measured(panel: Panel) -> bool:
    """Whether any run has a value that can be drawn."""
    values = [part for curve in panel.curves for part in (curve.median, *(broken for _, broken in curve.broken))]
    return any(np.isfinite(part).any() for part in values)


def _visible(panel: Panel) -> Floats:
    arrays = [part for curve in panel.curves for part in (curve.low, curve.high)]
    if not any(len(part) for part in arrays):
        arrays = [values for curve in panel.curves for _, values in curve.broken]
    floor = [] if panel.floor is None else [panel.floor]
    values: Floats = np.concatenate([*arrays, np.asarray(floor, dtype=np.float64)])
    return values[np.isfinite(values)]


def _set_log(ax: Axes, low: float, high: float) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ax.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if high / low < 30 else (1,)))
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(which="minor", width=0.3, length=1.5)


def _label_ends(ax: Axes, panel: Panel) -> None:
    """Label each line at its end without overlaps, so that no legend covers the data."""
    ends = [(curve.label, curve.look.colour, *_end(curve)) for curve in panel.curves]
    if panel.floor is not None:
        ends.append(("real data", "0.35", ax.get_xlim()[1], panel.floor))
    ends = [end for end in ends if np.isfinite(end[3])]
    labels = _distinct([label for label, *_ in ends])
    heights = [_fraction(ax, y) for *_, y in ends]
    gap = _LABEL_GAP * ax.figure.dpi / ax.bbox.height
    for label, (_, colour, x, _), at, y in zip(labels, ends, spread(heights, gap), heights, strict=True):
        _label(ax, label, colour, (_fraction_x(ax, x), y), at)


def _distinct(labels: Sequence[str]) -> list[str]:
    """Shorten labels to the width next to a line, in the middle unless other places keep more of them distinct."""
    tries = [[fitted(label, 6, _LABEL_WIDTH, share) for label in labels] for share in (0.5, 0.0, 1.0, 0.25, 0.75)]
    return max(tries, key=lambda shown: len(set(shown)))


def _label(ax: Axes, label: str, colour: str, start: tuple[float, float], at: float) -> None:
    """Write a line's label next to the axes at height `at`, with a connector; positions are fractions of the axes."""
    ax.annotate(
        label,
        start,
        (1.06, at),
        xycoords="axes fraction",
        textcoords="axes fraction",
        annotation_clip=False,
        va="center",
        fontsize=6,
        color=palette.for_text(colour),
        arrowprops={**_LEADER, "color": colour},
        parse_math=False,
    )


def fitted(text: str, size: float, width: float, share: float = 0.5) -> str:
    """Shorten a text of a font size in points until it fits a width in inches; see `escape.shortened`."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    text = escape.one_line(text)

    def fits(shown: str) -> bool:
        across, _, _ = text_to_path.get_text_width_height_descent(shown, FontProperties(size=size), False)
        return float(across) <= 72 * width

    if fits(text):
        return text
    most = bisect.bisect_left(range(len(text)), True, key=lambda n: not fits(escape.shortened(text, n, share))) - 1
    return escape.shortened(text, max(1, most), share)


def _end(curve: Curve) -> tuple[float, float]:
    """End of a line: its last finite median, or the last value of a run that did not finish."""
    for iterations, values in ((curve.iterations, curve.median), *curve.broken):
        finite = np.flatnonzero(np.isfinite(values))
        if len(finite):
            return float(iterations[finite[-1]]), float(values[finite[-1]])
    return np.nan, np.nan


def _fraction(ax: Axes, y: float) -> float:
    """Height of a value in the axes, from 0 to 1; values outside are labelled at the edge."""
    scaled = ax.transAxes.inverted().transform(ax.transData.transform((ax.get_xlim()[0], y)))[1]
    return float(np.clip(scaled, 0, 1)) if np.isfinite(scaled) else 0.0


def _fraction_x(ax: Axes, x: float) -> float:
    low, high = ax.get_xlim()
    return float(np.clip((x - low) / (high - low), 0, 1))


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights in [0, 1] as little as possible for `gap` between any two, in the same order.

    Pools of labels that touch are placed around the mean of their targets (isotonic regression on
    height - rank · gap, by pooling adjacent violators), then kept inside if they fit.
    """
    order = np.argsort(heights, kind="stable")
    pools: list[list[float]] = []
    for rank, i in enumerate(order):
        pools.append([heights[i] - rank * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    free = np.concatenate([[float(np.mean(pool))] * len(pool) for pool in pools]) if pools else np.empty(0)
    room = max(0.0, 1 - gap * (len(heights) - 1))
    placed = np.empty(len(heights))
    placed[order] = free.clip(0, room) + gap * np.arange(len(heights))
    return [float(height) for height in placed]
