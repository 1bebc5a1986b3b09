"""Operations on finished runs: select them, load them and verify their samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from gan_bench.contracts.metric import Metric
from gan_bench.errors import Diverged, GanBenchError, PluginError, StoreError, UsageError, missing_package
from gan_bench.evaluation.evaluate import draw
from gan_bench.evaluation.snapshot import snapshot
from gan_bench.files import locked
from gan_bench.names import allowed, matching
from gan_bench.plugins.instances import instantiate
from gan_bench.results.load import FINISHED, PlacedRun, StoredResults, read_results
from gan_bench.running.run_plugins import require_plugins
from gan_bench.running.stored_model import load_trainer, run_of
from gan_bench.store.records import RunRecord
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.precision import set_precision
from gan_bench.training.randomness import seed_of

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset
    from gan_bench.plugins.registry import Registry
    from gan_bench.training.trainer import Trainer


T = TypeVar("T", bound="FinishedRunTask")
TOLERANCE = 1e-3  # between two draws of the same samples, on machines that round differently; in units of their spread


class Unusable(Exception):
    """Reason why a finished run cannot be scored."""


@dataclass
class RescoreOutcome:
    """Result of a call of `rescore`.

    Attributes:
        scored: runs that have every requested score, new or from before.
        unusable: finished runs that could not be scored, entirely or by one metric.
        added: metrics that are new in the table.
    """

    folder: Path
    scored: int = 0
    unusable: int = 0
    added: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 done, 1 some finished run lacks a score, 130 interrupted."""
        return 130 if self.interrupted else int(self.unusable > 0)


@contextmanager
def process_runs(
    kind: Callable[..., T],
    path: str | Path,
    metrics: Sequence[str],
    registry: Registry,
    *,
    samples: int | None,
    models: Sequence[str],
    log: Callable[[str], None],
) -> Iterator[T]:
    """Select runs, lock their folder and process them with an operation of this class.

    Arguments and errors are those of `rescore`.
    """
    wanted = _metrics(registry, metrics)
    if samples is not None and samples < 1:
        raise UsageError(f"samples must be at least 1, found {samples}.")
    folder = Path(path)
    _require_runs(folder)
    with locked(folder):
        results = read_results(folder)
        placed = _chosen(results, models)
        assert results.benchmark is not None  # _require_runs
        count = results.benchmark.evaluation.samples if samples is None else samples
        task = kind(wanted, count, registry, RescoreOutcome(folder), log)
        try:
            task.process(placed)
        except KeyboardInterrupt:
            task.outcome.interrupted = True
        yield task


def _metrics(registry: Registry, names: Sequence[str]) -> list[Metric]:
    if not names:
        raise UsageError("At least one metric is required, for example --metrics modes,high_quality.")
    made = []
    for name in dict.fromkeys(names):
        try:
            made.append(registry.get("metrics", name)())
        except GanBenchError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise PluginError(f"Metric {name!r} cannot be constructed: {type(error).__name__}: {error}.") from error
    return made


def _require_runs(folder: Path) -> None:
    """Raise StoreError if there is nothing to score. Called before locking: a lock creates the folder."""
    if (folder / "benchmark.json").is_file() and (folder / "runs").is_dir():
        return
    if folder.is_file():
        raise StoreError(f"{folder}: expected a results folder, such as results/synthetic8, found a file.")
    read_results(folder)  # raises with the reason and the likely location if this is not a results folder
    problem = f"{folder}: the folder contains scores, but no run folders (runs/)."
    raise StoreError(f"{problem} Use the results folder in which the models were trained.")


def _chosen(results: StoredResults, models: Sequence[str]) -> list[PlacedRun]:
    """Runs of these models, each once; all runs without names."""
    assert results.benchmark is not None
    entries = [(entry.label, entry.plugin) for entry in results.benchmark.models]
    labels: set[str] = set()
    for name in models:
        found = matching(name, entries)
        if not found:
            known = {each for pair in entries for each in pair}
            raise UsageError(f"{results.source}: no model is called {name!r}. {allowed(name, known)}")
        labels |= {entries[i][0] for i in found}
    chosen = [placed for placed in results.runs if not models or placed.entry.label in labels]
    return list({placed.run.key: placed for placed in reversed(chosen)}.values())[::-1]


@dataclass
class FinishedRunTask(ABC):
    """Base class of operations that re-evaluate finished runs."""

    metrics: Sequence[Metric]
    samples: int
    registry: Registry
    outcome: RescoreOutcome
    log: Callable[[str], None]
    held: set[str] = field(default_factory=set)  # metrics with scores in some run
    refusals: dict[tuple[str, str], str] = field(default_factory=dict)  # (dataset, metric) → why

    @abstractmethod
    def score(self, placed: PlacedRun, folder: RunFolder) -> str:
        """Process one finished run and return a one-line summary. Raises Unusable."""

    def process(self, runs: Sequence[PlacedRun]) -> None:
        """Process the runs one by one and report each."""
        for number, placed in enumerate(runs, 1):
            name = f"{placed.entry.label} on {placed.dataset}, seed {placed.run.seed}"
            self.log(f"[{number}/{len(runs)}] {name}: {self._process_one(placed)}")

    def require_use(self) -> None:
        """Raise UsageError if every metric was rejected, so that nothing was done."""
        if self.refusals and not self.held:
            text = "; ".join(f"{metric} on {dataset}: {why}" for (dataset, metric), why in self.refusals.items())
            raise UsageError(f"No metric applies to these runs: {text.rstrip('.')}.")

    def _process_one(self, placed: PlacedRun) -> str:
        run = placed.run
        if run.status != FINISHED:
            went_on = "" if run.status == "diverged" else "; `gan-bench run` resumes it"
            return f"skipped: {run.status} at iteration {run.iteration}{went_on}"
        try:
            return self.score(placed, RunFolder(run.folder))
        except Unusable as error:
            self.outcome.unusable += 1
            return f"skipped: {error}"

    def fitting(self, record: RunRecord, label: str) -> tuple[list[Metric], int]:
        """Metrics that apply to a run, and its number of samples; each other metric is reported once."""
        try:
            require_plugins(record, self.registry)
            model, dataset, _ = instantiate(run_of(record), self.registry)
            missing = dataset.missing()
            most = None if missing or not model.anchor else model.most_samples(dataset)
        except Exception as error:  # code of plugins, which may be missing or have other parameters now
            raise Unusable(_error_text(error)) from error
        if missing:
            raise Unusable(missing)
        if dataset.contents != record.dataset.contents:
            raise Unusable("the files of its dataset have changed since the run")
        count = self.samples if most is None else min(most, self.samples)
        fitting = []
        for metric in self.metrics:
            reason = _refusal(metric, dataset, self.samples)
            if reason is None and metric.needs <= count:
                fitting.append(metric)
            elif reason is not None and (label, metric.name) not in self.refusals:
                self.refusals[label, metric.name] = reason
                self.log(f"{metric.name} is not computed on {label}: {reason}")
        return fitting, count

    @contextmanager
    def opened(
        self, folder: RunFolder, record: RunRecord, rows: Sequence[Mapping[str, str]], metrics: Sequence[Metric]
    ) -> Iterator[tuple[Trainer, bool]]:
        """Load the final generators of a run, compare them with its snapshot, and prepare metrics.

        Yields the trainer, and whether it draws the same samples as the snapshot: generators of another kind of device
        draw others. Raises Unusable.
        """
        with _plan_of(record) as device:
            trainer, same_kind = self._trainer(folder, record, device), _same_kind(record, device)
            if same_kind:
                _require_same_samples(trainer, folder, rows, record.seed)
            for metric in metrics:
                try:
                    metric.prepare(trainer.dataset, device, self.log)
                except ModuleNotFoundError as error:
                    raise UsageError(f"Metric {metric.name!r}: {missing_package(error) or error}.") from error
            try:
                yield trainer, same_kind
            except Diverged as error:
                raise Unusable(str(error)) from error

    def _trainer(self, folder: RunFolder, record: RunRecord, device: str) -> Trainer:
        try:
            trainer = load_trainer(folder, self.registry, device)
        except Exception as error:  # the code of plugins may raise anything
            raise Unusable(_error_text(error)) from error
        if trainer.iteration != record.iteration:
            problem = f"its newest usable checkpoint is of iteration {trainer.iteration}, expected {record.iteration}"
            raise Unusable(f"{problem}. Move runs/{folder.path.name} away and run the benchmark again.")
        return trainer


def read(folder: RunFolder) -> tuple[RunRecord, list[dict[str, str]]]:
    """Read the record and the curve of a run. Raises Unusable."""
    try:
        record, rows = folder.read(), folder.read_curve()
    except StoreError as error:
        raise Unusable(str(error)) from error
    if record is None:
        raise Unusable("its run.json is missing")
    return record, rows


def _refusal(metric: Metric, dataset: Dataset, samples: int) -> str | None:
    try:
        reason = metric.refuses(dataset)
    except Exception as error:  # a plugin may raise anything
        return f"refuses() failed: {_error_text(error)}"
    few = f"it needs at least {metric.needs:,} samples, found {samples:,}; increase --samples"
    return few if reason is None and metric.needs > samples else reason


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, GanBenchError) else f"{type(error).__name__}: {error}"


@contextmanager
def _plan_of(record: RunRecord) -> Iterator[str]:
    """Use the device and number of threads of the run, as far as this machine has them."""
    before = torch.get_num_threads()
    torch.set_num_threads(record.plans[-1].threads if record.plans else 1)
    set_precision("float32")
    try:
        yield "cuda" if not _on_cpu(record) and torch.cuda.is_available() else "cpu"
    finally:
        torch.set_num_threads(before)


def _on_cpu(record: RunRecord) -> bool:
    return record.ledger is None or record.ledger.device == "cpu"


def _same_kind(record: RunRecord, device: str) -> bool:
    """Whether samples drawn on `device` equal those of the run: kinds of devices have separate random streams."""
    return _on_cpu(record) == (device == "cpu")


def _require_same_samples(trainer: Trainer, folder: RunFolder, rows: Sequence[Mapping[str, str]], seed: int) -> None:
    """Raise Unusable if the run's last evaluation drew other samples than this model does now."""
    last = trainer.iteration
    kept = _snapshots(folder).get(last)
    counts = dict.fromkeys(int(row["n"]) for row in rows if row["iteration"] == str(last) and row["n"])
    if kept is None or not counts:
        return
    before = np.asarray(kept[0], dtype=np.float64)
    for n in counts:  # the snapshot has the run's own number of samples, the first unless it was scored again
        now, _ = snapshot(trainer, partial(draw, trainer, n, seed_of(seed, "evaluation", last)), seed)
        now = now[: len(before)]
        tolerance = 1.0 if now.dtype == np.uint8 else TOLERANCE * float(before.std())  # one level of 256
        if now.shape == before.shape and np.allclose(now, before, rtol=0, atol=tolerance):
            return
    raise Unusable("its model, network or dataset has changed since the run and now draws other samples")


def _snapshots(folder: RunFolder) -> Mapping[int, tuple[Any, Any]]:
    try:
        return folder.read_samples()
    except StoreError as error:
        raise Unusable(str(error)) from error
