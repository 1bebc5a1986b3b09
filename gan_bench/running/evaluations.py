"""The evaluations of a run: scores, shares of classes and snapshots, as stored in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gan_bench.contracts.metric import Metric
from gan_bench.evaluation.evaluate import DrawnSamples, Evaluation
from gan_bench.evaluation.snapshot import snapshot
from gan_bench.store.layout import CLASS_COLUMNS, CURVE_COLUMNS
from gan_bench.store.rows import curve_rows, from_text, has_score, restore, to_text, with_classes
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.trainer import Trainer


@dataclass
class Evaluations:
    """Evaluations of a run, written or due to be written with the next one.

    Attributes:
        curve: rows of curve.csv.
        classes: rows of classes.csv.
        snapshots: iteration → x and generator of its samples.
        errors: metric → message of its failure.
    """

    curve: list[Mapping[str, str]] = field(default_factory=list)
    classes: Sequence[Mapping[str, str]] = ()
    snapshots: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def read_rows(self, folder: RunFolder, reached: int) -> None:
        """Load scores and shares from a folder up to an iteration; later ones are computed again."""
        self.curve = [row for row in folder.read_curve() if int(row["iteration"]) <= reached]
        self.classes = [row for row in folder.read_classes() if int(row["iteration"]) <= reached]

    def read_snapshots(self, folder: RunFolder, reached: int) -> None:
        """Load snapshots from a folder up to an iteration."""
        self.snapshots = {t: kept for t, kept in folder.read_samples().items() if t <= reached}

    def restore(self, curve: str, classes: str) -> int:
        """Add rows of a checkpoint that are missing or have other values; return their number."""
        self.curve, scores = restore(self.curve, from_text(CURVE_COLUMNS, curve))
        self.classes, shares = restore(self.classes, from_text(CLASS_COLUMNS, classes))
        return scores + shares

    def texts(self) -> tuple[str, str]:
        """Texts of curve.csv and classes.csv, for a checkpoint."""
        return to_text(CURVE_COLUMNS, self.curve), to_text(CLASS_COLUMNS, self.classes)

    def write(self, folder: RunFolder) -> None:
        """Replace the files of a folder. The curve is last, because it marks the metric of the classes as done."""
        folder.write_classes(self.classes)
        folder.write_curve(self.curve)
        folder.write_samples(self.snapshots)

    def has(self, metric: Metric, iteration: int, samples: int) -> bool:
        """Whether a metric is scored already."""
        return has_score(self.curve, metric, iteration, samples)

    def latest(self, iteration: int) -> dict[str, float]:
        """The mixture's scores and losses at an iteration, by metric."""
        rows = (row for row in self.curve if row["iteration"] == str(iteration) and not row["generator"])
        return {row["metric"]: float(row["value"]) for row in rows}

    def add(self, iteration: int, found: Evaluation, losses: Mapping[str, Tensor]) -> None:
        """Add the scores of an evaluation, and the players' losses if this iteration has none yet."""
        self.errors |= found.errors
        self.curve += curve_rows(iteration, found.scores)
        here = {row["metric"] for row in self.curve if row["iteration"] == str(iteration)}
        rows = [_loss_row(iteration, player, loss) for player, loss in losses.items()]
        self.curve += [row for row in rows if row["metric"] not in here]

    def add_classes(self, iteration: int, found: Evaluation) -> None:
        """Replace the shares of classes at an iteration, if the evaluation has some."""
        self.classes = with_classes(self.classes, iteration, found.classes)

    def add_snapshot(self, iteration: int, trainer: Trainer, drawn: DrawnSamples, seed: int) -> None:
        """Keep samples of an evaluation, unless some of this iteration are kept already."""
        if iteration not in self.snapshots:
            self.snapshots[iteration] = snapshot(trainer, lambda: drawn, seed)


def _loss_row(iteration: int, player: str, loss: Tensor) -> dict[str, str]:
    row = {"iteration": str(iteration), "generator": "", "metric": f"loss_{player}", "value": repr(float(loss))}
    return row | {"n": "", "version": ""}
