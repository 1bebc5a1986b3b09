"""The comparison table as data, for observers and renderers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gan_bench.contracts.metric import Direction, Scale


@dataclass(frozen=True)
class MetricInfo:
    """Description of one metric in a stored benchmark; `notes` describe prepared files, by dataset.

    `needs` is the smallest number of samples that it can be computed from. `scale` is None in files without it.
    """

    direction: Direction = "none"
    unit: str = ""
    version: int = 1
    per_generator: bool = False
    expensive: bool = False
    doc: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    needs: int = 1
    scale: Scale | None = None


@dataclass(frozen=True)
class Estimate:
    """Final values of one metric of a row, and their mean over the training seeds.

    Attributes:
        mean: geometric for metrics with the scale "log"; nan or inf if a value is.
        low, high: limits of the 95 % interval of the mean; None for one value, equal values, and counts.
        values: by seed.
        scale: scale of the mean, "linear" if the values do not allow the metric's.
        collapsed: number of seeds that are ten times worse than the median; the interval is then unreliable.
        complete: for counts, the number of seeds that reach the total; None if the total is unknown.
    """

    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...]
    scale: Scale = "linear"
    collapsed: int = 0
    complete: int | None = None

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)


@dataclass(frozen=True)
class Column:
    """One metric of a table."""

    name: str
    info: MetricInfo


@dataclass(frozen=True)
class Row:
    """One model on one dataset.

    Attributes:
        planned: number of seeds that the benchmark requests, plus any others that were found.
        cells: metric → estimate over the finished seeds, None if there is no value.
        marked: metrics in which the row leads, see `gan_bench.statistics.marks`.
        ledger: mean over the finished seeds, None if unknown.
        departures: numbers of the table's footnotes, from 1.
    """

    dataset: str
    label: str
    model: str
    anchor: bool
    finished: int
    planned: int
    cells: Mapping[str, Estimate | None]
    ledger: Mapping[str, float | None]
    shared: str = ""
    departures: tuple[int, ...] = ()
    marked: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether every seed finished."""
        return 0 < self.finished == self.planned


@dataclass(frozen=True)
class Table:
    """A comparison, ready to be rendered: rows by dataset, anchors last in each."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    verdicts: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines below the table: notes, verdicts on the models, and warnings about stored results."""
        return (*self.notes, *self.verdicts, *self.warnings)
