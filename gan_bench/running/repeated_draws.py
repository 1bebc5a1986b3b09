"""Repeated draws from final generators of stored runs: the noise of a score from a single evaluation.

Draw 0 is the one that scores the run; draws 1, 2, … have other latents, and metrics that draw randomly have other
seeds. Their scores are stored in the run's folder next to its curve, which does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.errors import StoreError, UsageError
from gan_bench.evaluation.evaluate import evaluate
from gan_bench.report.tables.evaluation_noise import write_noise
from gan_bench.running.finished_runs import FinishedRunTask, RescoreOutcome, Unusable, process_runs, read
from gan_bench.running.rescore import rescore
from gan_bench.store.rows import curve_rows, has_score
from gan_bench.store.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

    from gan_bench.plugins.registry import Registry
    from gan_bench.results.load import PlacedRun


def repeat(
    path: str | Path,
    metrics: Sequence[str],
    registry: Registry,
    *,
    draws: int,
    samples: int | None = None,
    models: Sequence[str] = (),
    log: Callable[[str], None] = lambda line: None,
) -> tuple[RescoreOutcome, pd.DataFrame]:
    """Draw from the final generators of finished runs until there are `draws` draws of each, and score them.

    Draws of an earlier call are kept; a new metric is computed as by `rescore`. Other arguments are
    those of `rescore`.

    Args:
        draws: draws of each generator, the stored one included; at least 2.

    Returns:
        The outcome, and the noise of these metrics and models, see `gan_bench.report.tables.evaluation_noise.noise`;
        evaluation-noise.csv in the results folder has the noise of all.

    Raises:
        UsageError: `draws` is less than 2, or as for `rescore`.
        StoreError: no run is finished, or as for `rescore`.
        KeyboardInterrupt: after completed draws are stored; the same call resumes from there.
    """
    if draws < 2:
        raise UsageError(f"repeats must be at least 2, including the stored draw, found {draws}.")
    first = rescore(path, metrics, registry, samples=samples, models=models, log=log)
    _raise_if_interrupted(first, log)
    kind = partial(_Repeating, draws=draws)
    with process_runs(kind, path, metrics, registry, samples=samples, models=models, log=log) as work:
        _raise_if_interrupted(work.outcome, log)
        frame = write_noise(work.outcome.folder)
    work.outcome.added = first.added
    return work.outcome, frame[frame["metric"].isin(metrics)]


def _raise_if_interrupted(outcome: RescoreOutcome, log: Callable[[str], None]) -> None:
    if outcome.interrupted:
        log("Interrupted. Repeat the same call to resume.")
        raise KeyboardInterrupt


@dataclass
class _Repeating(FinishedRunTask):
    """One call of `repeat`."""

    draws: int = 2

    def score(self, placed: PlacedRun, folder: RunFolder) -> str:
        """Score the draws of one finished run that have no scores yet; write each when it is complete."""
        record, rows = read(folder)
        done = _repeats(folder)
        fitting, samples = self.fitting(record, placed.dataset)
        last, seed = record.iteration, record.seed
        lacking = {
            number: [m for m in fitting if not has_score(_of(number, done), m, last, samples)]
            for number in range(1, self.draws)
        }
        lacking = {number: wanted for number, wanted in lacking.items() if wanted}
        if not lacking:
            return "no draws missing"
        failed: dict[str, str] = {}
        with self.opened(folder, record, rows, fitting) as (trainer, _):
            for number, wanted in lacking.items():
                found = evaluate(trainer, wanted, samples, seed, repeat=number)
                failed |= found.errors
                kept = [score for score in found.scores if score.metric not in found.errors]
                done = [*done, *({"draw": str(number), **row} for row in curve_rows(last, kept))]
                folder.write_repeats(done)
        self.outcome.scored += 1
        self.outcome.unusable += bool(failed)
        problems = "; ".join(f"{name} failed ({error})" for name, error in failed.items())
        return f"{len(lacking)} more draw{'s' if len(lacking) > 1 else ''}" + (f"; {problems}" if problems else "")


def _repeats(folder: RunFolder) -> list[dict[str, str]]:
    try:
        return folder.read_repeats()
    except StoreError as error:
        raise Unusable(str(error)) from error


def _of(number: int, rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Rows of one draw."""
    return [row for row in rows if row["draw"] == str(number)]
