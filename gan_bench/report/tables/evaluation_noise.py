"""Two kinds of noise: between the draws of one generator (evaluation), and between seeds (training).

Computed from the scores in run folders. Nothing here imports torch.
"""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from gan_bench import escape
from gan_bench.errors import StoreError
from gan_bench.files import write_atomically
from gan_bench.report.wording import MISSING
from gan_bench.results import csv_frames
from gan_bench.results.load import PlacedRun, StoredResults, read_results
from gan_bench.store.records import BenchmarkRecord
from gan_bench.store.run_folder import RunFolder

FILE = "evaluation-noise.csv"
COLUMNS = (
    "dataset", "label", "model", "metric", "unit", "n", "draws", "seeds", "mean", "evaluation_sd", "training_sd",
    "ratio",
)  # fmt: skip
_SHOWN = ("label", "metric", "n", "draws", "seeds", "mean", "evaluation_sd", "training_sd", "ratio")
EXPLAINED = (
    "evaluation_sd: standard deviation between draws of one generator, pooled over seeds. training_sd: standard "
    "deviation between seeds, without the variance of evaluation (0 if the draws explain all of it, \N{EN DASH} for "
    "one seed). ratio: evaluation_sd / training_sd. The standard deviation of a single score of a single run is the "
    "square root of the sum of both squares."
)

DrawnSamples = Mapping[tuple[str, str], Sequence[float]]
"""(metric, n) → values of one run's final generators: the stored one, then those of further draws."""


def noise(results: StoredResults) -> pd.DataFrame:
    """One row for each dataset, model, metric and number of samples with repeated draws.

    Columns: dataset, label, model (plugin), metric, unit, n (samples of a draw), draws (of each generator, the stored
    one included; the fewest if runs differ), seeds, mean (over seeds of the mean over draws), evaluation_sd,
    training_sd, ratio (evaluation_sd / training_sd).

    One-way random effects: with d_i draws of seed i, of variance s_i^2 (over d_i - 1) and mean m_i,
    evaluation_sd^2 = sum (d_i - 1) s_i^2 / sum (d_i - 1), and training_sd^2 = Var(m_i) - evaluation_sd^2 mean(1 / d_i),
    at least 0. training_sd and ratio are nan for one seed; a value that is not finite makes its row nan.
    """
    benchmark = results.benchmark
    found: dict[tuple[str, ...], list[Sequence[float]]] = defaultdict(list)
    for placed in results.runs if benchmark else ():
        assert benchmark is not None
        for (metric, n), values in _drawn(placed, benchmark).items():
            found[placed.dataset, placed.entry.label, placed.entry.plugin, metric, n].append(values)
    units = {name: info.unit for name, info in benchmark.metrics.items()} if benchmark else {}
    rows = [
        (*names, metric, units[metric], int(n), min(map(len, runs)), len(runs), *_variances(runs))
        for (*names, metric, n), runs in found.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _drawn(placed: PlacedRun, benchmark: BenchmarkRecord) -> DrawnSamples:
    """Repeated scores of a run, in the metrics' current versions."""
    folder, last = RunFolder(placed.run.folder), str(placed.run.iteration)
    versions = {name: str(info.version) for name, info in benchmark.metrics.items()}
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in _rows(folder):
        current = row["iteration"] == last and row["version"] == versions.get(row["metric"])
        if current and not row["generator"]:
            values[row["metric"], row["n"]].append(float(row["value"]))
    return {key: found for key, found in values.items() if len(found) > 1}


def _rows(folder: RunFolder) -> list[dict[str, str]]:
    """Scores of a run, first those of the original draw; empty if a file is damaged, which was already reported."""
    try:
        return [*folder.read_curve(), *folder.read_repeats()]
    except StoreError:
        return []


def _variances(runs: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """Mean, evaluation_sd, training_sd and ratio of the draws of each seed, at least two per seed."""
    with np.errstate(invalid="ignore"):  # inf - inf
        means = np.array([np.mean(values) for values in runs])
        freedom = np.array([len(values) - 1 for values in runs])
        evaluation = float(np.average([np.var(values, ddof=1) for values in runs], weights=freedom))
        between = float(np.var(means, ddof=1)) if len(runs) > 1 else math.nan
        training = between - evaluation * float(np.mean(1 / (freedom + 1)))
    training = training if math.isnan(training) else max(training, 0.0)
    ratio = math.sqrt(evaluation / training) if training > 0 else math.inf if evaluation > 0 else math.nan
    ratio = math.nan if math.isnan(training) else ratio
    return float(means.mean()), math.sqrt(evaluation), math.sqrt(training), ratio


def write_noise(folder: Path) -> pd.DataFrame:
    """Write evaluation-noise.csv into a results folder, and return it. Raises StoreError if no run has two draws."""
    frame = noise(read_results(folder))
    if frame.empty:
        raise StoreError(
            f"{folder}: no finished run has two draws, so evaluation and training noise cannot be separated."
        )
    text = io.StringIO()
    csv_frames.escaped(frame).to_csv(text, index=False, lineterminator="\n", na_rep="nan")
    write_atomically(folder / FILE, text.getvalue())
    return frame


def render(frame: pd.DataFrame) -> str:
    """Format a pipe table for each dataset, and an explanation of its columns; ends with a line break."""
    parts = [part for dataset, rows in frame.groupby("dataset", sort=False) for part in _block(str(dataset), rows)]
    return "\n\n".join([*parts, EXPLAINED]) + "\n"


def _block(dataset: str, rows: pd.DataFrame) -> Iterator[str]:
    lines = [[_cell(value) for value in row] for row in rows[list(_SHOWN)].itertuples(index=False)]
    align = ["left", "left", *["right"] * (len(_SHOWN) - 2)]
    headings = [escape.markdown(name) for name in ("model", *_SHOWN[1:])]
    yield f"### {escape.markdown_block(dataset)}: evaluation noise and training noise"
    yield str(tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=align))


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return MISSING if math.isnan(value) else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else escape.markdown(str(value))
