"""Section with the ledger: resources and settings of each model, with those that were not identical."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gan_bench.contracts.table import Row
from gan_bench.report.page.contents import Contents
from gan_bench.report.page.elements import render
from gan_bench.results.load import PlacedRun
from gan_bench.store.records import ExecutionPlan, Ledger

UNKNOWN = "\N{EN DASH}"


@dataclass(frozen=True)
class Fact:
    """Row of the ledger: a resource or setting of every model. `same` if it was identical for all of them."""

    name: str
    about: str
    values: tuple[str, ...]
    same: bool

    @property
    def words(self) -> bool:
        """Whether the values are phrases, not numbers."""
        return self.name in ("departures", "shared layers", "execution plan", "device")


@dataclass(frozen=True)
class Group:
    """Ledger of one dataset: a column for each model, a row for each fact."""

    dataset: str
    labels: tuple[str, ...]
    facts: tuple[Fact, ...]

    @property
    def same(self) -> list[Fact]:
        """Facts that were identical for all models."""
        return [fact for fact in self.facts if fact.same and fact.values[0] != UNKNOWN]

    @property
    def different(self) -> list[Fact]:
        """Facts that were not."""
        return [fact for fact in self.facts if not fact.same]

    @property
    def unknown(self) -> list[str]:
        """Names of facts without a value."""
        return [fact.name for fact in self.facts if fact.same and fact.values[0] == UNKNOWN]


def section(contents: Contents) -> Markup:
    """Body of the section."""
    return render(
        "ledger.html",
        groups=[_group(contents, dataset) for dataset in contents.datasets],
        footnotes=contents.table.footnotes,
        folders=bool(contents.results.runs),
    )


def _group(contents: Contents, dataset: str) -> Group:
    rows = contents.models(dataset)
    runs: dict[str, list[PlacedRun]] = defaultdict(list)
    for item in contents.runs(dataset):
        runs[item.entry.label].append(item)
    columns = [_facts(row, runs.get(row.label, []), contents.table.footnotes) for row in rows]
    names = list(dict.fromkeys(name for column in columns for name in column))
    facts = (
        Fact(name, _ABOUT.get(name, ""), values, len(set(values)) == 1)
        for name in names
        if (values := tuple(column.get(name, UNKNOWN) for column in columns))
    )
    return Group(dataset, tuple(row.label for row in rows), tuple(facts))


_ABOUT = {
    "real samples": "drawn in a run; discriminators of one model see the same draws unless it divides them",
    "samples of all generators": "generated in training, in a run",
    "samples of each generator": "their number divided by the number of generators",
    "seconds of training": "mean and range over the runs, without evaluation",
    "execution plan": "conditions under which two executions agree to the last bit",
}


def _facts(row: Row, runs: Sequence[PlacedRun], footnotes: Sequence[str]) -> dict[str, str]:
    """Facts of one model; those of runs are a value, or a range if seeds differ."""
    ledgers = [item.run.record.ledger for item in runs if item.run.status == "finished"]
    known = [ledger for ledger in ledgers if ledger is not None]
    facts = {"seeds": str(row.finished) if row.finished == row.planned else f"{row.finished} of {row.planned}"}
    if runs:
        facts["generators"] = _listed(str(max(1, item.run.record.model.generators)) for item in runs)
        facts["shared layers"] = row.shared or "none"
    facts |= _of_ledgers(known, runs) if known else _of_row(row)
    departures = "; ".join(footnotes[number - 1] for number in row.departures)
    return facts | {"departures": departures or "none"}


def _of_row(row: Row) -> dict[str, str]:
    """Facts of a results.csv, or of runs of which none has finished."""
    names = {
        "parameters": "parameters",
        "real_samples": "real samples",
        "fake_samples": "samples of all generators",
        "train_seconds": "seconds of training",
    }
    values = {text: row.ledger.get(name) for name, text in names.items()}
    return {text: UNKNOWN if value is None else _whole(value) for text, value in values.items()}


def _of_ledgers(ledgers: Sequence[Ledger], runs: Sequence[PlacedRun]) -> dict[str, str]:
    facts = {"parameters": _range(sum(each.parameters.values()) for each in ledgers)}
    for player in dict.fromkeys(name for each in ledgers for name in each.parameters):
        facts[f"parameters of {player}"] = _range(each.parameters.get(player, 0) for each in ledgers)
    facts["real samples"] = _range(each.real_samples for each in ledgers)
    facts["samples of all generators"] = _range(each.fake_samples for each in ledgers)
    iterations = max(1, runs[0].run.record.iterations)
    facts["real samples per iteration"] = _range(each.real_samples / iterations for each in ledgers)
    generators = max(1, runs[0].run.record.model.generators)
    facts["samples of each generator"] = _range(each.fake_samples / generators for each in ledgers)
    for player in dict.fromkeys(name for each in ledgers for name in each.updates):
        facts[f"updates of {player}"] = _range(each.updates.get(player, 0) for each in ledgers)
    facts["seconds of training"] = _range(each.train_seconds for each in ledgers)
    facts["peak memory (MiB)"] = _range(each.peak_memory_mb for each in ledgers)
    facts["device"] = _listed(each.device for each in ledgers)
    facts["execution plan"] = _listed(_plan(each.plan or ExecutionPlan()) for each in ledgers)
    return facts


def _plan(plan: ExecutionPlan) -> str:
    parts = [
        f"{plan.threads} thread{'' if plan.threads == 1 else 's'}",
        f"{plan.stack} seeds in a stack" if plan.stack > 1 else "seeds one at a time",
        "compiled" if plan.compiled else "not compiled",
    ]
    parts += ["CUDA graphs"] if plan.graph else []
    return ", ".join([*parts, plan.precision, *([f"torch {plan.torch}"] if plan.torch else [])])


def _listed(values: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(values))


def _range(values: Iterable[float]) -> str:
    found = sorted(values)
    low, high, mean = found[0], found[-1], sum(found) / len(found)
    return _whole(low) if low == high else f"{_whole(mean)} ({_whole(low)} to {_whole(high)})"


def _whole(value: float) -> str:
    return f"{value:,.1f}" if value < 100 and value != round(value) else f"{value:,.0f}"
