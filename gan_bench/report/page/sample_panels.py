"""Section with samples: a figure for each model, a row for each generator, over iterations and seeds.

The page shows the last iteration of the first seed. `page.js` replaces these drawings by those of other iterations and
seeds, which are data in the page: lines of points for SVG, and sheets of images as PNG.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from gan_bench.report.figures import mosaic, palette
from gan_bench.report.page.axes import Floats
from gan_bench.report.page.contents import Contents
from gan_bench.report.page.elements import DataTable, element, joined, render, titled
from gan_bench.results.load import ANCHORS, PlacedRun
from gan_bench.results.stored_run import Snapshots, Unreadable, read_snapshots

BUDGET = 4_000_000
"""Largest size of all samples in the page, in characters. The first seed is always shown, and as many others as fit."""

SIDE = 200
"""Width and height of a panel of points, in units of its drawing."""

_MOST_POINTS = 512
_REAL_POINTS = 1024
_BINS = 50
_PER_ROW, _ROWS_ALONE = 8, 4  # images of a generator in a sheet; rows if a model has a single generator
_LEAST_SIDE = 32  # pixels of the screen for an image
_ITERATIONS = 6

Frame = Any
"""Data of one run at one iteration for page.js: a path for each generator, or a sheet as a data URI."""


@dataclass
class Model:
    """Samples of one model.

    Attributes:
        seeds: seed → iteration → drawing; missing iterations were not stored.
        absent: seed → reason.
    """

    label: str
    identifier: str
    generators: int
    seeds: dict[int, dict[int, Frame]] = field(default_factory=dict)
    absent: dict[int, str] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    figure: Markup = field(default_factory=Markup)


@dataclass
class Group:
    """Samples of one dataset. `kind` is points, line, images, or empty without any."""

    dataset: str
    index: int
    kind: str = ""
    iterations: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    shown: int = 0
    models: list[Model] = field(default_factory=list)
    symbols: Markup = field(default_factory=Markup)
    notes: list[str] = field(default_factory=list)
    data: DataTable | None = None


def section(contents: Contents) -> tuple[Markup, dict[str, Any]]:
    """Body of the section, and the drawings for page.js."""
    budget = BUDGET // max(1, len(contents.datasets))
    groups = [_group(contents, dataset, index, budget) for index, dataset in enumerate(contents.datasets)]
    frames = {str(group.index): _frames(group) for group in groups if group.kind}
    body = render("sample_panels.html", groups=groups, folders=bool(contents.results.runs))
    return body, frames


def _frames(group: Group) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "iterations": group.iterations,
        "models": {
            model.identifier: {
                str(seed): [found.get(iteration) for iteration in group.iterations]
                for seed, found in model.seeds.items()
            }
            for model in group.models
        },
        "absent": {
            model.identifier: {str(seed): reason for seed, reason in model.absent.items()}
            for model in group.models
            if model.absent
        },
    }


def _group(contents: Contents, dataset: str, index: int, budget: int) -> Group:
    group = Group(dataset, index)
    runs: dict[str, list[PlacedRun]] = defaultdict(list)
    for item in contents.runs(dataset):
        runs[item.entry.label].append(item)
    order = {label: sorted(found, key=_preference) for label, found in runs.items()}
    if not order:
        return group
    stored = _Stored(order)
    kinds = [_kind(each) for each in stored.first()]
    group.kind = max(dict.fromkeys(kinds), key=kinds.count) if kinds else ""
    group.models = [
        Model(label, f"s{index}m{number}", max(1, found[0].run.record.model.generators))
        for number, (label, found) in enumerate(order.items())
    ]
    if not group.kind:
        group.notes += sorted({reason for label in order for reason in stored.reasons(label).values()})
        return group
    group.iterations = stored.iterations(group.kind)
    draw = _drawer(contents, group, stored)
    _fill(group, stored, draw, budget)
    for model in group.models:
        model.figure = draw.figure(model, _last(model, group))
    group.symbols = draw.symbols()
    group.data = _data(group)
    return group


def _preference(item: PlacedRun) -> tuple[bool, int]:
    return item.run.status != "finished", item.run.seed


class _Stored:
    """Snapshots of runs, each read once; damaged ones have a reason."""

    def __init__(self, runs: Mapping[str, Sequence[PlacedRun]]) -> None:
        self._seeds = {label: list(dict.fromkeys(item.run.seed for item in found)) for label, found in runs.items()}
        self._runs = {(label, item.run.seed): item for label, found in runs.items() for item in reversed(found)}
        self._read: dict[tuple[str, int], Snapshots | str] = {}

    def seeds(self, label: str) -> list[int]:
        """Seeds of a model, finished ones first."""
        return self._seeds[label]

    def status(self, label: str, seed: int) -> str:
        """Status of a run."""
        return self._runs[label, seed].run.status

    def get(self, label: str, seed: int) -> Snapshots | str:
        """Snapshots of a run, or the reason for their absence."""
        key = label, seed
        if key not in self._runs:
            return "not run"
        if key not in self._read:
            self._read[key] = _readable(self._runs[key])
        return self._read[key]

    def first(self) -> list[Snapshots]:
        """Samples of the first run of each model that stored any that can be drawn."""
        runs = ((self.get(label, seed) for seed in seeds) for label, seeds in self._seeds.items())
        found = (next((each for each in of if not isinstance(each, str)), None) for of in runs)
        return [each for each in found if each is not None]

    def reasons(self, label: str) -> dict[int, str]:
        """Reason for each run without drawable samples."""
        found = {seed: self.get(label, seed) for seed in self.seeds(label)}
        return {seed: each for seed, each in found.items() if isinstance(each, str)}

    def iterations(self, kind: str) -> tuple[int, ...]:
        """At most six iterations of those that the first runs stored, with the first and the last."""
        found = sorted({int(t) for each in self.first() if _kind(each) == kind for t in each.iterations})
        chosen = np.linspace(0, len(found) - 1, min(_ITERATIONS, len(found))).round().astype(int)
        return tuple(found[i] for i in chosen)


def _readable(item: PlacedRun) -> Snapshots | str:
    try:
        found = read_snapshots(item.run)
    except Unreadable as error:
        return f"damaged ({error})"
    if found is None or not len(found.x) or found.x.shape[1] == 0:
        return "no samples stored"
    return found if _kind(found) else f"samples of shape {' x '.join(map(str, found.x.shape[2:]))} cannot be drawn"


def _kind(found: Snapshots) -> str:
    shape = found.x.shape[2:]
    if found.x.dtype == np.uint8:
        return "images" if len(shape) == 3 and shape[0] in mosaic.CHANNELS and found.x.size else ""
    return {(1,): "line", (2,): "points"}.get(shape, "")


def _fill(group: Group, stored: _Stored, draw: _Drawer, budget: int) -> None:
    """Draw the first seed of every model, then further seeds of all models while they fit the budget."""
    seeds = sorted({seed for model in group.models for seed in stored.seeds(model.label)})
    finished = [
        seed
        for seed in seeds
        if any(
            seed in stored.seeds(model.label) and stored.status(model.label, seed) == "finished"
            for model in group.models
        )
    ]
    order = [*finished, *(seed for seed in seeds if seed not in finished)]
    used = 0
    shown: list[int] = []
    for seed in order:
        drawn = {model.identifier: _drawn(model, seed, group, stored, draw) for model in group.models}
        size = sum(draw.size(found) for found in drawn.values() if not isinstance(found, str))
        if shown and used + size > budget:
            left = len(order) - len(shown)
            group.notes.append(
                f"To limit the size of this file, it contains samples of {len(shown)} of {len(order)} seeds; "
                f"`gan-bench sample` draws from the other {left}."
            )
            break
        used += size
        shown.append(seed)
        for model in group.models:
            found = drawn[model.identifier]
            if isinstance(found, str):
                model.absent[seed] = found
            else:
                model.seeds[seed] = found
    group.seeds, group.shown = tuple(sorted(shown)), order[0]


def _drawn(model: Model, seed: int, group: Group, stored: _Stored, draw: _Drawer) -> dict[int, Frame] | str:
    """Drawings of one run by iteration, or the reason for their absence."""
    found = stored.get(model.label, seed)
    if isinstance(found, str):
        return found
    if _kind(found) != group.kind or (group.kind == "images" and found.x.shape[2:] != draw.shape):
        return "samples of another shape than most"
    places = {int(t): at for at, t in enumerate(found.iterations)}
    return {t: draw.frame(model, found, places[t]) for t in group.iterations if t in places}


def _last(model: Model, group: Group) -> Frame | None:
    return model.seeds.get(group.shown, {}).get(group.iterations[-1])


class _Drawer:
    """Renderer of the samples of one dataset."""

    shape: tuple[int, ...] = ()

    def frame(self, model: Model, found: Snapshots, at: int) -> Frame:
        """Data of one run at one iteration."""
        raise NotImplementedError

    def figure(self, model: Model, frame: Frame | None) -> Markup:
        """Elements that show a drawing; page.js replaces it by another."""
        raise NotImplementedError

    def symbols(self) -> Markup:
        """Parts that all figures use."""
        return Markup("")

    def size(self, frames: Mapping[int, Frame]) -> int:
        """Number of characters of drawings."""
        return sum(len(part) for frame in frames.values() for part in frame)


class _Points(_Drawer):
    """Points in the plane as one path for each generator, and a panel with each generator alone."""

    kind = "g"

    def __init__(self, index: int, low: Floats, high: Floats, real: Floats | None) -> None:
        self._index, self._low, self._high, self._real = index, low, high, real

    def frame(self, model: Model, found: Snapshots, at: int) -> Frame:
        """Paths of the generators."""
        x, generator = found.x[at][:_MOST_POINTS], found.generator[at][:_MOST_POINTS].clip(0)
        placed, inside = self._placed(x)
        return [_dots(placed[inside & (generator == k)]) for k in range(model.generators)]

    def _path(self, x: NDArray[Any]) -> str:
        """Path of points of one kind."""
        placed, inside = self._placed(x)
        return _dots(placed[inside])

    def _placed(self, x: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Whole-numbered places (n, 2) of points in the panel, and which are inside."""
        with np.errstate(invalid="ignore"):
            placed = (x.astype(np.float64) - self._low) / (self._high - self._low) * SIDE
            inside = np.asarray(((placed >= 0) & (placed <= SIDE)).all(axis=1))  # nan is outside
        whole = np.where(inside[:, None], placed, 0).round().astype(np.int64)
        whole[:, 1] = SIDE - whole[:, 1]
        return whole, inside

    def figure(self, model: Model, frame: Frame | None) -> Markup:
        """Panel of all generators, then a row with each of them alone."""
        frame = frame or [""] * model.generators
        colours = palette.generator_codes(model.generators)
        paths = joined(
            element("path", {"id": f"{model.identifier}g{k}", **self._look(k, model.generators, colours), "d": path})
            for k, path in enumerate(frame)
        )
        view = {"class": "cloud", "viewBox": f"0 0 {SIDE} {SIDE}"}
        whole = titled(f"Samples of {model.label}, all generators", view, self._under(), paths)
        if model.generators == 1:
            return whole
        alone = joined(
            element(
                "li",
                {},
                titled(
                    f"Samples of {model.label}, generator {k}",
                    view,
                    self._under(),
                    element("use", {"href": f"#{model.identifier}g{k}"}),
                ),
                element("span", {"aria-hidden": "true"}, str(k)),
            )
            for k in range(model.generators)
        )
        return whole + element("ul", {"class": "generators"}, alone)

    def _look(self, k: int, generators: int, colours: Sequence[str]) -> dict[str, str]:
        """Class of one of few generators, whose colours page.css adapts to a dark page; else a colour."""
        few = generators <= palette.FEW
        return (
            {"class": f"{self.kind} g{k}"} if few else {"class": self.kind, "color": colours[k], "stroke": colours[k]}
        )

    def _under(self) -> Markup:
        return Markup("") if self._real is None else element("use", {"href": f"#real{self._index}"})

    def symbols(self) -> Markup:
        """Points of real data."""
        if self._real is None:
            return Markup("")
        drawn = element("path", {"id": f"real{self._index}", "class": "points-of-real", "d": self._path(self._real)})
        return element("svg", {"class": "hidden-symbols", "aria-hidden": "true"}, element("defs", {}, drawn))


_ACROSS, _UP = (
    np.array([form.format(step) for step in range(-SIDE, SIDE + 1)], dtype=object) for form in ("m{}", "{: }h0")
)
"""Texts of all steps between two points. The sign of the second, or a space, separates the two."""


def _dots(places: NDArray[np.int64]) -> str:
    """Path with a dot at each place (n, 2): relative moves, each with a line of no length."""
    if not len(places):
        return ""
    steps = np.diff(places, axis=0, prepend=0 * places[:1]) + SIDE
    parts = np.empty(2 * len(steps), dtype=object)
    parts[0::2], parts[1::2] = _ACROSS[steps[:, 0]], _UP[steps[:, 1]]
    return "".join(parts.tolist())


class _Histograms(_Points):
    """Samples on a line: shares of samples for each bin, generators one above the other."""

    kind = "g area"

    def frame(self, model: Model, found: Snapshots, at: int) -> Frame:
        """Areas of the generators."""
        x, generator = found.x[at][:, 0].astype(np.float64), found.generator[at].clip(0)
        below = np.zeros(_BINS)
        paths = []
        for k in range(model.generators):
            top = below + self._shares(x[generator == k], len(x))
            paths.append(self._area(below, top))
            below = top
        return paths

    def _shares(self, x: Floats, n: int) -> Floats:
        bins = np.linspace(float(self._low[0]), float(self._high[0]), _BINS + 1)
        shares: Floats = np.histogram(x[np.isfinite(x)], bins)[0] / max(1, n)
        return shares

    def _area(self, below: Floats, top: Floats) -> str:
        most = 1.6 * (float(self._shares(self._real[:, 0], len(self._real)).max()) if self._real is not None else 0.25)
        if np.array_equal(below, top):
            return ""
        step = SIDE / _BINS
        low, high = (SIDE - (np.clip(each / most, 0, 1) * SIDE).round() for each in (below, top))
        up = "".join(f"L{i * step:g} {y:g}H{(i + 1) * step:g}" for i, y in enumerate(high.tolist()))
        down = "".join(f"L{(i + 1) * step:g} {y:g}H{i * step:g}" for i, y in reversed([*enumerate(low.tolist())]))
        return f"M0 {low[0]:g}{up}{down}z"

    def _path(self, x: NDArray[Any]) -> str:
        return self._area(np.zeros(_BINS), self._shares(x[:, 0].astype(np.float64), len(x)))

    def symbols(self) -> Markup:
        """Area of real data."""
        return Markup(super().symbols().replace("points-of-real", "area-of-real"))


class _Images(_Drawer):
    """Images as one sheet, with a row for each generator, or a few rows of the only one."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def frame(self, model: Model, found: Snapshots, at: int) -> Frame:
        """Sheet as a data URI."""
        rows = _ROWS_ALONE if model.generators == 1 else 1
        x, generator = found.x[at], found.generator[at].clip(0)
        groups = [mosaic.filled(x[generator == k], rows * _PER_ROW) for k in range(model.generators)]
        sheet = mosaic.mosaic(groups, _PER_ROW)
        model.size = sheet.shape[1], sheet.shape[0]
        return "data:image/png;base64," + base64.b64encode(mosaic.png(sheet)).decode("ascii")

    def figure(self, model: Model, frame: Frame | None) -> Markup:
        """Sheet, scaled by a whole number."""
        by = max(1, round(_LEAST_SIDE / max(self.shape[1:])))
        width, height = model.size
        rows = f"; rows are its {model.generators} generators" if model.generators > 1 else ""
        size = {"width": width * by or None, "height": height * by or None}
        source = Markup(frame or _EMPTY)  # escaping would cut it
        return element("img", {"src": source, "alt": f"Samples of {model.label}{rows}", **size, "class": "sheet"})

    def size(self, frames: Mapping[int, Frame]) -> int:
        """Number of characters of the sheets."""
        return sum(map(len, frames.values()))


_EMPTY = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""Transparent image, until a seed with samples is chosen."""


def _drawer(contents: Contents, group: Group, stored: _Stored) -> _Drawer:
    kept = [each for each in stored.first() if _kind(each) == group.kind]
    if group.kind == "images":
        shapes = [each.x.shape[2:] for each in kept]
        return _Images(max(dict.fromkeys(shapes), key=shapes.count))
    real = _real(contents, group)
    points = real if real is not None else np.concatenate([each.x[-1] for each in kept])
    finite = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (np.zeros(1), np.zeros(1))
    half = 0.65 * max(float((high - low).max()), 1e-6)
    middle = (low + high) / 2
    kind = _Points if group.kind == "points" else _Histograms
    return kind(group.index, middle - half, middle + half, real)


def _real(contents: Contents, group: Group) -> Floats | None:
    """Held-out real data that an anchor stored."""
    for item in contents.results.runs:
        if item.dataset == group.dataset and item.entry.plugin == ANCHORS[0]:
            found = _readable(item)
            if not isinstance(found, str) and _kind(found) == group.kind:
                return np.asarray(found.x[-1][:_REAL_POINTS])
    return None


def _data(group: Group) -> DataTable:
    """Runs with samples, and the reasons for those without."""
    rows = []
    for model in group.models:
        for seed in group.seeds:
            times = [f"{t:,}" for t in group.iterations if t in model.seeds.get(seed, {})]
            rows.append(
                (model.label, str(seed), model.absent.get(seed, ", ".join(times) or "none of these iterations"))
            )
    return DataTable("Iterations with samples", ("model", "seed", "iterations"), tuple(rows))
