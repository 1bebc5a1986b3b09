"""Scores of stored runs by new metrics, computed from their generators: nothing is trained.

A new score equals, to the last bit, the one that the run would have if the metric had been requested from the start:
the samples of the last evaluation are drawn again. They are first compared with the snapshot of the run, so that a
model or dataset whose code has changed gets no score under its old name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.contracts.metric import Metric
from gan_bench.contracts.table import MetricInfo
from gan_bench.errors import StoreError
from gan_bench.evaluation.evaluate import Evaluation, evaluate
from gan_bench.evaluation.snapshot import metric_facts
from gan_bench.files import write_atomically
from gan_bench.plugins.code_hash import code_hash
from gan_bench.plugins.instances import dataset_of
from gan_bench.report.page.page import write_report
from gan_bench.report.tables.build import write_tables
from gan_bench.results.class_shares import write_classes_csv
from gan_bench.results.load import PlacedRun, read_benchmark, read_results, write_results_csv
from gan_bench.running.benchmark_json import describe_metric
from gan_bench.running.provenance import provenance
from gan_bench.store.records import MetricCode, MetricFacts, Rescored, RunRecord, encode
from gan_bench.store.rows import curve_rows, has_score, with_classes
from gan_bench.store.run_folder import RunFolder

if TYPE_CHECKING:
    from gan_bench.plugins.registry import Registry
from gan_bench.running.finished_runs import FinishedRunTask, RescoreOutcome, Unusable, process_runs, read


def rescore(
    path: str | Path,
    metrics: Sequence[str],
    registry: Registry,
    *,
    samples: int | None = None,
    models: Sequence[str] = (),
    log: Callable[[str], None] = lambda line: None,
) -> RescoreOutcome:
    """Score the final generators of a results folder's finished runs, then rebuild results.csv and the tables.

    If a metric is now prepared with something else (another classifier, other clusters), runs with its old scores are
    scored again and lose that metric's scores of earlier iterations, whose generators are not stored.

    Args:
        path: a results folder with its run folders.
        metrics: names of metrics.
        samples: number of samples to draw; None for the benchmark's.
        models: only these labels or plugins; empty for all.
        log: called with a line for each run.

    Raises:
        PluginError: a metric is unknown or broken.
        UsageError: no such model, or no metric fits any dataset.
        StoreError: there are no runs, or the folder cannot be written or is in use.
    """
    with process_runs(_Rescoring, path, metrics, registry, samples=samples, models=models, log=log) as work:
        work.require_use()
        folder = work.outcome.folder
        work.outcome.added = _show(folder, [metric for metric in work.metrics if metric.name in work.held])
        write_results_csv(folder)
        write_classes_csv(folder)
        write_tables(folder)
        _rewrite_report(folder, log)
    return work.outcome


def _rewrite_report(folder: Path, log: Callable[[str], None]) -> None:
    """Write report.html again, if there is one; a failure is a message, because the scores are stored by now."""
    if not (folder / "report.html").is_file():
        return
    try:
        write_report(folder)
    except Exception as error:
        log(f"The report is out of date ({error}). Write it with `gan-bench report {folder}`.")


class _Rescoring(FinishedRunTask):
    """One call of `rescore`."""

    def score(self, placed: PlacedRun, folder: RunFolder) -> str:
        """Score one finished run by the metrics that it lacks."""
        record, rows = read(folder)
        classes = _classes(folder)
        fitting, samples = self.fitting(record, placed.dataset)
        last = record.iteration
        failed_before = record.metric_errors
        foreign = self._foreign(record, fitting)
        kept = [row for row in rows if row["metric"] not in foreign]
        if any(_separates_classes(metric) for metric in fitting if metric.name in foreign):
            classes = []
        untold = not _has_classes(classes, last, samples)
        lacking = [
            metric
            for metric in fitting
            if metric.name in failed_before
            or not has_score(kept, metric, last, samples)
            or (untold and _separates_classes(metric))
        ]
        if not lacking:
            self._count(fitting)
            return "no scores missing" if fitting else "no metric applies to its dataset"
        with self.opened(folder, record, rows, lacking) as (trainer, same_kind):
            found = evaluate(trainer, lacking, samples, record.seed)
            facts = {metric.name: metric_facts(metric, samples, trainer.dataset) for metric in lacking}
        if foreign:
            _require_scores(found, foreign)
        with _without_digests(folder, record):
            if foreign:
                _forget(folder, kept, foreign, all_classes=not classes)
            folder.write_classes(with_classes(classes, last, found.classes))
            history = self._history(lacking, samples)
            self._write(folder, record, kept, facts, history, curve_rows(last, found.scores), found.errors)
        self._count(fitting)
        self.outcome.unusable += bool(found.errors)
        scores = _scores_text(found)
        scores += "" if same_kind else " (from new samples, because the run used another kind of device)"
        dropped = f" (removed scores by another classifier or other clusters: {', '.join(foreign)})"
        return scores + (dropped if foreign else "")

    def _foreign(self, record: RunRecord, metrics: Sequence[Metric]) -> list[str]:
        """Metrics of a run's scores that were prepared with something else (a classifier, clusters) than now."""
        before = record.notes
        noted = [metric for metric in metrics if metric.name in before]
        if not noted:
            return []
        dataset = dataset_of(record.dataset.plugin, record.dataset.params, self.registry)
        now = {metric.name: metric.note(dataset) for metric in noted}
        return [name for name, note in now.items() if note and note != before[name]]

    def _count(self, fitting: Sequence[Metric]) -> None:
        self.outcome.scored += bool(fitting)
        self.held |= {metric.name for metric in fitting}

    def _write(
        self,
        folder: RunFolder,
        record: RunRecord,
        rows: Sequence[Mapping[str, str]],
        facts: Mapping[str, MetricFacts],
        history: Rescored,
        new: Sequence[Mapping[str, str]],
        errors: Mapping[str, str],
    ) -> None:
        """Write the record, then the curve: a run killed between the two still lacks the scores and is scored again."""
        replaced = {_identity(row) for row in new}
        curve = [*(row for row in rows if _identity(row) not in replaced), *new]
        others = {name: error for name, error in record.metric_errors.items() if name not in facts}
        after = replace(record, metrics={**record.metrics, **facts}, metric_errors=others | dict(errors))
        if after == record and sorted(map(str, curve)) == sorted(map(str, rows)):
            return  # the metric failed again, with the same error
        folder.write(replace(after, rescored=(*record.rescored, history), files={}))
        folder.write_curve(curve)

    def _history(self, scored: Sequence[Metric], samples: int) -> Rescored:
        """Record of when, where and by which code metrics were computed."""
        code = {
            metric.name: MetricCode(str(self.registry.origin("metrics", metric.name)), code_hash(type(metric)))
            for metric in scored
        }
        return Rescored(code, samples, provenance("cpu"))


@contextmanager
def _without_digests(folder: RunFolder, record: RunRecord) -> Iterator[None]:
    """Remove the digests from the record while files change, so that a kill leaves none of other contents."""
    if not record.files:
        yield
        return
    folder.write(replace(record, files={}))
    yield
    after = folder.read()
    assert after is not None
    folder.write(replace(after, files=folder.digests()))


def _identity(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["iteration"], row["metric"], row["n"], row["version"]


def _require_scores(found: Evaluation, foreign: Sequence[str]) -> None:
    """Raise Unusable if no new scores replace those of another classifier."""
    failed = [f"{name} failed ({found.errors[name]})" for name in foreign if name in found.errors]
    if failed:
        raise Unusable(f"{'; '.join(failed)}; the scores by another classifier or other clusters are kept")


def _forget(folder: RunFolder, kept: Sequence[Mapping[str, str]], foreign: Sequence[str], *, all_classes: bool) -> None:
    """Delete scores that were computed with another classifier: they are no longer comparable.

    They are deleted before the record changes. A run that is killed meanwhile therefore lacks these scores instead of
    mixing them.
    """
    try:
        repeats = folder.read_repeats()
    except StoreError as error:
        raise Unusable(str(error)) from error
    if any(row["metric"] in foreign for row in repeats):
        folder.write_repeats([row for row in repeats if row["metric"] not in foreign])
    if all_classes:
        (folder.path / "classes.csv").unlink(missing_ok=True)
    folder.write_curve(kept)


def _classes(folder: RunFolder) -> list[dict[str, str]]:
    try:
        return folder.read_classes()
    except StoreError as error:
        raise Unusable(str(error)) from error


def _has_classes(rows: Sequence[Mapping[str, str]], iteration: int, n: int) -> bool:
    """Whether rows of classes.csv include the mixture's shares at an iteration, from n samples."""
    return any((row["iteration"], row["generator"], row["n"]) == (str(iteration), "", str(n)) for row in rows)


def _separates_classes(metric: Metric) -> bool:
    """Whether a metric distinguishes classes."""
    return type(metric).classes is not Metric.classes


def _scores_text(found: Evaluation) -> str:
    """Scores of the mixture, and errors."""
    values = {score.metric: score.value for score in found.scores if score.generator is None}
    return ", ".join(
        f"{name} failed ({found.errors[name]})" if name in found.errors else f"{name} {value:.4g}"
        for name, value in values.items()
    )


def _show(folder: Path, metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Add these metrics to benchmark.json and to the table; return the names of those that are new there."""
    before = read_benchmark(folder)
    shown = before.evaluation.metrics
    added = tuple(metric.name for metric in metrics if metric.name not in shown)
    notes = _notes(read_results(folder).runs)
    facts = {}
    for metric in metrics:
        known = before.metrics.get(metric.name, MetricInfo()).notes
        facts[metric.name] = describe_metric(metric, {**known, **notes.get(metric.name, {})})
    now = replace(
        before,
        evaluation=replace(before.evaluation, metrics=(*shown, *added)),
        metrics={**before.metrics, **facts},
    )
    if now != before:
        write_atomically(folder / "benchmark.json", encode(now))
    return added


def _notes(runs: Sequence[PlacedRun]) -> dict[str, dict[str, str]]:
    """Notes on the preparation of each metric, by dataset, from the records of its runs."""
    found: dict[str, dict[str, str]] = {}
    for placed in runs:
        for metric, note in placed.run.record.notes.items():
            found.setdefault(metric, {})[placed.dataset] = note
    return found
