"""Select one stored run; model, dataset and seed are optional when unambiguous.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_bench.errors import StoreError, UsageError
from gan_bench.names import allowed, listed, matching
from gan_bench.results.load import PlacedRun, read_results
from gan_bench.results.stored_run import Unreadable, read_run
from gan_bench.store.records import BenchmarkRecord


@dataclass(frozen=True)
class ChosenRun:
    """One stored run."""

    folder: Path
    label: str
    seed: int


def choose_run(
    path: str | Path,
    *,
    model: str | None = None,
    dataset: str | None = None,
    seed: int | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> ChosenRun:
    """Find a run.

    Args:
        path: a results folder, or a run folder, which needs no further selection.
        model: label or plugin; None for the only one that is trained.
        dataset: label or plugin; None for the only one.
        seed: of training; None for the lowest that finished.
        log: receives a message for each run that cannot be read and is therefore left out.

    Raises:
        UsageError: no run or more than one is selected; the message lists the candidates.
        StoreError: there are no runs, or none of these has finished.
    """
    path = Path(path)
    if (path / "run.json").is_file():
        return _only(path, model, dataset, seed)
    results = read_results(path)
    for ignored in results.ignored:
        log(f"ignored: {ignored}")
    if results.benchmark is None or not (path / "runs").is_dir():
        raise StoreError(
            f"{path}: contains scores, but no run folders (runs/). Draw samples from the folder of the original runs."
        )
    label, target = _model(path, results.benchmark, model), _dataset(path, results.benchmark, dataset)
    runs = [placed for placed in results.runs if (placed.entry.label, placed.dataset) == (label, target)]
    placed = _of_seed(f"{path}: {label} on {target}", runs, seed)
    return ChosenRun(placed.run.folder, label, placed.run.seed)


def _only(path: Path, *further: str | int | None) -> ChosenRun:
    """Run of a run folder."""
    if any(each is not None for each in further):
        raise UsageError(f"{path}: found one run. Model, dataset and seed can only be chosen for a results folder.")
    try:
        run = read_run(path)
    except Unreadable as error:
        raise StoreError(f"{path}: {error}.") from error
    return ChosenRun(path, run.record.model.plugin, run.seed)


def _model(path: Path, benchmark: BenchmarkRecord, name: str | None) -> str:
    trained = [entry.label for entry in benchmark.models if not entry.anchor]
    names = [(entry.label, entry.plugin) for entry in benchmark.models]
    return _one(f"{path}: ", "model", name, names, trained)


def _dataset(path: Path, benchmark: BenchmarkRecord, name: str | None) -> str:
    names = [(dataset.label, dataset.plugin) for dataset in benchmark.datasets]
    return _one(f"{path}: ", "dataset", name, names, [label for label, _ in names])


def _one(where: str, kind: str, name: str | None, entries: Sequence[tuple[str, str]], default: Sequence[str]) -> str:
    """Resolve a name to a label; without a name, return the only one."""
    if name is None:
        if len(default) == 1:
            return default[0]
        raise UsageError(f"{where}choose a {kind}. {listed(default)}")
    found = [entries[i][0] for i in matching(name, entries)]
    if not found:
        known = {each for pair in entries for each in pair}
        raise UsageError(f"{where}no {kind} is called {name!r}. {allowed(name, known)}")
    if len(found) > 1:
        raise UsageError(f"{where}several {kind}s match {name!r}; choose one by its label. {listed(found)}")
    return found[0]


def _of_seed(where: str, runs: Sequence[PlacedRun], seed: int | None) -> PlacedRun:
    """Run of a seed with any status, or the lowest seed that finished."""
    if not runs:
        raise StoreError(f"{where}: there is no run yet. Start it with `gan-bench run`.")
    ordered = sorted(runs, key=lambda placed: placed.run.seed)
    wanted = [each for each in ordered if seed == each.run.seed or (seed is None and each.run.status == "finished")]
    if wanted:
        return wanted[0]
    existing = ", ".join(f"{each.run.seed} ({each.run.status} at iteration {each.run.iteration:,})" for each in ordered)
    if seed is None:
        raise StoreError(f"{where}: no run has finished. Choose a seed to draw from its last checkpoint: {existing}.")
    raise UsageError(f"{where}: there is no run of seed {seed}. Existing seeds: {existing}.")
