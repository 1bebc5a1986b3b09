"""Notes below a comparison table: origin of the numbers, and results that the table does not show."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from gan_bench.results.load import ANCHORS, FINISHED, StoredResults

if TYPE_CHECKING:
    from gan_bench.contracts.table import Row, Table
    from gan_bench.report.tables.formats import At
from gan_bench.contracts.protocol import Protocol
from gan_bench.store.records import ErrorRecord, ExecutionPlan

REAL = ANCHORS[0]
NOT_STARTED = "not started"
_MOST = 12
"""Number of unfinished runs that are listed individually."""


def notes(results: StoredResults, table: Table, shown: pd.DataFrame, at: At) -> tuple[str, ...]:
    """Notes on the numbers of `table`: protocol, evaluation, sharing, cost; then on unfinished runs.

    `shown` has the rows of the results that its cells were computed from.
    """
    found = [
        *_mode(results),
        _parts(results),
        _protocol(results),
        _evaluation(results, table, at),
        *_prepared(results, table),
    ]
    found += [*_shared(table), _devices(results)]
    found += [
        *_held_out(results, table),
        *_gaps(results, table, at),
        *_not_finite(table),
        *_same_images(results, shown),
        *_initial_averages(results),
        *_sample_sizes(results, shown, table),
        *_unmarked(table),
        *_endings(results, table),
        *_left_out(results),
    ]
    return tuple(text for text in found if text)


def warnings(results: StoredResults) -> tuple[str, ...]:
    """Warnings about stored results that the table leaves out."""
    found = []
    if results.others:
        runs = "1 stored run" if results.others == 1 else f"{results.others:,} stored runs"
        found.append(f"{runs} with other settings {'is' if results.others == 1 else 'are'} not shown.")
    for metric, count in (results.outdated or {}).items():
        found.append(f"{metric}: {count} run(s) have values of another version only. They are not shown.")
    return (*found, *(f"ignored: {ignored}" for ignored in results.ignored))


def _parts(results: StoredResults) -> str:
    return f"Combined from {len(results.parts)} parts: {', '.join(map(str, results.parts))}." if results.parts else ""


def _protocol(results: StoredResults) -> str:
    if results.benchmark is None:
        return (
            "There is no benchmark.json next to this results.csv. Settings, departures and missing seeds are unknown. "
            "Directions and units are those of the installed metrics."
        )
    return f"Protocol: {describe_protocol(results.benchmark.protocol)}."


def describe_protocol(protocol: Protocol) -> str:
    """Settings that every model shares, in one line."""
    each = protocol.fakes_per_generator
    total = f"{_plain(protocol.fakes)} generated samples per draw"
    fakes = f"{each:,} generated samples of each generator per draw" if each else total
    parts = [
        f"{_plain(protocol.iterations)} iterations",
        f"{_plain(protocol.batch)} real and {fakes}",
        f"{protocol.latents} latents, {protocol.latent}, of size {protocol.latent_size}",
        f"network {protocol.network}",
        f"{_plain(protocol.optimizer)}, learning rate {_plain(protocol.learning_rate)}, betas {_plain(protocol.betas)}",
        f"{protocol.init} initialisation ({protocol.init_scale})",
    ]
    parts += ["half of the real images mirrored"] if protocol.flip else []
    parts += [f"moving average of generators with decay {protocol.ema}"] if protocol.ema else []
    parts += [f"{protocol.decay} decay of the learning rate"] if protocol.decay != "none" else []
    parts += [f"{protocol.precision} arithmetic"] if protocol.precision != "float32" else []
    return "; ".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return " and ".join(map(_plain, value))
    if isinstance(value, int):
        return f"{value:,}"
    return "unknown" if value is None else str(value)


def _evaluation(results: StoredResults, table: Table, at: At) -> str:
    benchmark = results.benchmark
    # Merged folders may have seeds that the benchmark does not request.
    seeds = max((row.planned for row in table.rows), default=0)
    samples = f"{_plain(benchmark.evaluation.samples)} samples; " if benchmark else ""
    when = {
        "last": "at the final iteration",
        "best": "at the iteration of each run's lowest symmetric_kl (chosen in hindsight, so not a main result)",
    }[at]
    spread = f"mean ± half-width of the 95 % t-interval over {seeds} training seeds"
    return f"Evaluation: {samples}{spread if seeds > 1 else 'one training seed, so no interval'}, {when}."


def _prepared(results: StoredResults, table: Table) -> Iterator[str]:
    """Notes on prepared files of metrics: a classifier, weights, features; each once, with the metrics that use it."""
    users: dict[str, list[str]] = defaultdict(list)
    mixed: list[tuple[str, str]] = []
    for column in table.columns:
        by_dataset = _notes_of(results, column.name)
        mixed += [(column.name, dataset) for dataset, found in by_dataset.items() if len(found) > 1]
        for note in dict.fromkeys(note for found in by_dataset.values() for note in found):
            users[note].append(column.name)
    for note, names in users.items():
        yield f"{', '.join(names)}: {note}."
    if mixed:
        where = ", ".join(f"{metric} on {dataset}" for metric, dataset in mixed)
        names = list(dict.fromkeys(metric for metric, _ in mixed))
        yield (
            f"Not comparable between runs, because their prepared files differ: {where}. "
            f"`gan-bench evaluate RESULTS --metrics {','.join(names)}` computes these metrics again for the final "
            "generators of runs whose files differ from those on this machine."
        )


def _notes_of(results: StoredResults, metric: str) -> Mapping[str, list[str]]:
    """Notes on prepared files of a metric, by dataset: from run folders; from benchmark.json for a bare results.csv."""
    found: dict[str, list[str]] = defaultdict(list)
    for placed in results.runs:
        note = placed.run.record.notes.get(metric)
        if note and note not in found[placed.dataset]:
            found[placed.dataset].append(note)
    described = results.benchmark.metrics if results.benchmark else {}
    if not results.runs and metric in described:
        return {dataset: [note] for dataset, note in described[metric].notes.items()}
    return found


def _shared(table: Table) -> Iterator[str]:
    labels: dict[str, list[str]] = defaultdict(list)
    for row in table.rows:
        if row.shared and row.label not in labels[row.shared]:
            labels[row.shared].append(row.label)
    for shared, names in labels.items():
        yield f"Shared parts in {', '.join(names)}: {shared}."


def _devices(results: StoredResults) -> str:
    ledgers = [placed.run.record.ledger for placed in results.runs]
    found = sorted({ledger.device for ledger in ledgers if ledger is not None})
    where = f" ({', '.join(found)})" if found else ""
    trained = [placed.run.record.ledger for placed in results.runs if placed.run.record.iterations]
    plans = [ledger.plan or ExecutionPlan() if ledger else ExecutionPlan() for ledger in trained]
    compiled = {plan.compiled for plan in plans}
    how = ", with compiled iterations" if compiled == {True} else ""
    stacks = sorted({plan.stack for plan in plans})
    if stacks and stacks[-1] > 1:
        how += f", as a share of the time of {' or '.join(map(str, stacks))} seeds trained as one program"
    unequal = " Not comparable: the devices differ." if len(found) > 1 else ""
    unequal += " Not comparable: only some runs used compiled iterations." if len(compiled) > 1 else ""
    return f"Seconds: mean training time of a run, without evaluation{how}{where}.{unequal}"


def _held_out(results: StoredResults, table: Table) -> Iterator[str]:
    """Metrics without a value for real data, because they need more samples than a dataset holds out."""
    by_need: dict[int, list[str]] = defaultdict(list)
    for column in table.columns:
        by_need[column.info.needs].append(column.name)
    for needs, names in sorted(by_need.items()):
        sizes = {label: size for label, size in _sizes(results).items() if size < needs}
        if sizes:
            yield f"{REAL} has no value of {', '.join(names)}: {needs:,} samples are needed, and {_sizes_text(sizes)}."


def _mode(results: StoredResults) -> Iterator[str]:
    """Note on the limits of a preview or a check."""
    mode = results.benchmark.mode if results.benchmark else "full"
    if mode == "preview":
        yield (
            "Preview: a quarter of the iterations and one seed. Its values are a first impression, not comparable with "
            "those of full runs."
        )
    if mode == "quick":
        yield "Check: a few iterations and samples, to test that everything works. Its values have no meaning."


def _sizes(results: StoredResults) -> dict[str, int]:
    """Number of samples that each finite dataset holds out, if the table has real data."""
    benchmark = results.benchmark
    if benchmark is None or not any(entry.plugin == REAL for entry in benchmark.models):
        return {}
    return {dataset.label: dataset.held_out for dataset in benchmark.datasets if dataset.held_out is not None}


def _sizes_text(sizes: Mapping[str, int]) -> str:
    if len(sizes) <= 3:
        return ", ".join(f"{label} holds out {size:,}" for label, size in sizes.items())
    return f"{len(sizes)} datasets hold out {min(sizes.values()):,} to {max(sizes.values()):,}"


def _same_images(results: StoredResults, shown: pd.DataFrame) -> Iterator[str]:
    """Real data whose seeds are all scored on the same samples, because a dataset has no others."""
    sizes = _sizes(results)
    rows = shown[shown["model"] == REAL]
    rows = rows[(rows["n"] >= rows["dataset"].map(sizes).astype("Int64")).fillna(False).astype(bool)]
    seeds = rows.groupby("dataset")["seed"].nunique()
    exhausted = [str(label) for label in seeds[seeds > 1].index]
    if exhausted:
        used = _sizes_text({label: size for label, size in sizes.items() if label in exhausted})
        yield (
            f"{REAL}: every seed uses all held-out samples ({used}). The intervals are 0, or reflect only the order "
            "of the samples and random draws of the metric. They do not hold for other data."
        )


def _initial_averages(results: StoredResults) -> Iterator[str]:
    finished = (placed for placed in results.runs if placed.run.status == FINISHED)
    found = (placed.entry.label for placed in finished if placed.run.record.model.initial_averages)
    labels = list(dict.fromkeys(found))
    if labels:
        yield (
            f"{', '.join(labels)}: evaluated with running averages at their initial values (usually mean 0, variance "
            "1), not with statistics of a batch. This also holds for iteration 0 of models with this network."
        )


def _gaps(results: StoredResults, table: Table, at: At) -> Iterator[str]:
    """Note on finished runs without a value: an expensive metric is computed at a few iterations only.

    Omitted if `_held_out` gives the reason.
    """
    when, sizes = "best" if at == "best" else "final", _sizes(results)
    for column in table.columns:
        rows = (row for row in table.rows if row.model != REAL or sizes.get(row.dataset, math.inf) >= column.info.needs)
        found = ((row, row.cells[column.name]) for row in rows)
        short = [row.label for row, cell in found if row.finished > (cell.n if cell else 0)]
        if short:
            models = ", ".join(dict.fromkeys(short))
            yield f"{column.name} has no value at the {when} iteration of some finished runs: {models}."


def _not_finite(table: Table) -> Iterator[str]:
    cells = [cell for row in table.rows for cell in row.cells.values() if cell is not None]
    if not all(math.isfinite(cell.mean) for cell in cells):
        yield "nan, inf: a value of a finished run is undefined or not finite."


def _sample_sizes(results: StoredResults, shown: pd.DataFrame, table: Table) -> Iterator[str]:
    """Note on values from another number of samples than the benchmark's, or from several in one column."""
    requested = results.benchmark.evaluation.samples if results.benchmark else None
    for name in (column.name for column in table.columns):
        found = shown.loc[shown["metric"] == name, "n"].dropna().astype("int64")
        sizes = sorted(int(size) for size in found.unique())
        if len(sizes) > 1:
            yield f"{name}: computed from different numbers of samples ({'; '.join(map(_plain, sizes))})."
        elif sizes and requested is not None and sizes != [requested]:
            yield f"{name}: computed from {_plain(sizes[0])} samples."


def _endings(results: StoredResults, table: Table) -> Iterator[str]:
    """Note on the number of runs by ending, and each run that did not finish."""
    runs = results.frame[results.frame["metric"] == FINISHED]
    missing = max(0, sum(row.planned for row in table.rows) - len(runs))
    yield f"Runs: {describe_counts({**Counter(runs['status'].tolist()), NOT_STARTED: missing})}."
    unfinished = list(_unfinished(results, runs[runs["status"] != FINISHED]))
    yield from unfinished[:_MOST]
    if len(unfinished) > _MOST:
        yield f"… and {len(unfinished) - _MOST} more runs that did not finish."


def describe_counts(runs: Mapping[str, int]) -> str:
    """Format numbers of runs by status: ``5 finished, 1 failed, 2 not started``."""
    order = ["finished", "diverged", "failed", "interrupted", "running", NOT_STARTED]
    others = sorted(runs.keys() - set(order))
    return ", ".join(f"{runs[status]:,} {status}" for status in (*order, *others) if runs.get(status)) or "none"


def mostly_incomplete(rows: Iterable[Row]) -> bool:
    """Whether most models of these rows lack seeds: the best of the others would be a matter of their order."""
    models = [row for row in rows if not row.anchor]
    return 2 * sum(row.complete for row in models) < len(models)


def _unmarked(table: Table) -> Iterator[str]:
    """Note on datasets in which nothing is marked best, because most of their models lack seeds."""
    datasets = dict.fromkeys(row.dataset for row in table.rows)
    found = [each for each in datasets if mostly_incomplete(row for row in table.rows if row.dataset == each)]
    if found and any(row.complete for row in table.rows if not row.anchor):
        where = "" if len(datasets) == 1 else f" on {', '.join(found)}"
        yield f"No value is marked best{where}: most models lack seeds."


def _left_out(results: StoredResults) -> Iterator[str]:
    for model in results.benchmark.left_out if results.benchmark else ():
        yield f"{model.label} is left out: {model.error}"


def _unfinished(results: StoredResults, runs: pd.DataFrame) -> Iterable[str]:
    errors = {placed.run.key: placed.run for placed in results.runs}
    several = results.frame["dataset"].nunique() > 1
    verbs = {
        "failed": "failed",
        "diverged": "diverged",
        "running": "is running",
        "interrupted": "was interrupted",
    }
    for row in runs.itertuples(index=False):
        run = errors.get(str(row.key))
        where = f" ({row.dataset})" if several else ""
        of = f" of {run.record.iterations:,}" if run else ""
        why = _why(run.record.error if run else None)
        verb = verbs.get(str(row.status), str(row.status))
        yield f"{row.label}{where} seed {row.seed} {verb} at iteration {row.iteration:,}{of}{why}"


def _why(error: ErrorRecord | None) -> str:
    if error is None:
        return "."
    text = " ".join(str(error).split())
    return f": {text if len(text) <= 200 else text[:199] + '…'}"
