"""Plugins of stored runs, found by what the runs recorded.

A results folder may come from elsewhere, so neither a file in it nor a path that it records is imported. Plugins are
searched in places of the user only: installed packages, ``plugins/`` of the working folder, files that the user names,
and files that a benchmark file in the working folder names. The recorded names select among these files, and the
recorded hashes of their code show whether they have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from gan_bench.config.source import open_source
from gan_bench.contracts.modes import SUFFIXES
from gan_bench.errors import BrokenPluginError, ConfigError, PluginError, StoreError
from gan_bench.plugins.code_hash import code_hash
from gan_bench.plugins.discovery import is_inside, load_plugins, plugin_files, plugin_folders
from gan_bench.plugins.registry import Registry
from gan_bench.store.records import PluginFacts, RunRecord
from gan_bench.store.run_folder import RunFolder

MOST_BENCHMARKS = 100
"""Largest number of benchmark files of the working folder that are read."""


def plugins_of_runs(
    records: Sequence[RunRecord], results: Path, files: Sequence[Path], log: Callable[[str], None]
) -> Registry:
    """Load the plugins of stored runs.

    Args:
        results: the results folder or run folder, from which nothing is imported.
        files: plugin files that the user names.
        log: receives a message for each plugin file whose code differs from that of the runs.
    """
    places = [*plugin_folders(results=results), *files]
    registry = load_plugins(places)
    recorded = list(dict.fromkeys(facts for record in records for facts in plugin_facts_of(record)))
    missing = {facts.origin for facts in recorded if _is_file(facts) and not _is_loaded(facts, registry)}
    found = [path for path in _named_by_benchmarks(records, results) if path.name in missing]
    if found:
        registry = load_plugins([*places, *found])
    for facts in recorded:
        if _is_loaded(facts, registry) and (change := _change(facts, registry)):
            log(change)
    return registry


def plugins_of_folder(results: Path, files: Sequence[Path], log: Callable[[str], None]) -> Registry:
    """Load the plugins of a run folder, or of all runs of a results folder, as `plugins_of_runs`."""
    records = []
    for path in (results, *sorted(results.glob("runs/*"))):
        with suppress(StoreError):  # who processes the runs reports it
            records.append(RunFolder(path).read())
    return plugins_of_runs([record for record in records if record is not None], results, files, log)


def require_plugins(record: RunRecord, registry: Registry, place: str = "") -> None:
    """Raise PluginError if a model, dataset or network of a run is not loaded, with the places that were searched.

    Args:
        place: begin of the message.
    """
    recorded = {(facts.kind, facts.name): facts for facts in plugin_facts_of(record)}
    needed = {"model": record.model.plugin, "dataset": record.dataset.plugin, "network": record.protocol.network}
    for kind, name in needed.items():
        try:
            registry.get(f"{kind}s", name)
        except BrokenPluginError:
            raise
        except PluginError as error:
            if name in registry.all(f"{kind}s"):  # two plugins define it
                raise
            raise PluginError(f"{place}{error} {_remedy(recorded.get((kind, name)), registry)}") from error


def plugin_facts_of(record: RunRecord) -> tuple[PluginFacts, ...]:
    """Plugins of a run, as the process that executed it last has recorded them."""
    return record.resumed[-1].plugins if record.resumed else record.provenance.plugins


def _remedy(facts: PluginFacts | None, registry: Registry) -> str:
    """Describe what a run recorded about a plugin, where it was searched, and what to do."""
    searched = ", ".join(["installed packages", *map(str, registry.places)])
    name = "with --plugin FILE, or plugins=[FILE] in Python."
    if facts is None:
        return f"Searched: {searched}. Name its file {name}"
    if not _is_file(facts):
        return f"The run recorded it from {facts.origin} {facts.version}. Searched: {searched}. Install this package."
    return (
        f"The run recorded it from the file {facts.path}. Files that a results folder names are not loaded. "
        f"Searched: {searched}. If you trust the file, name it {name}"
    )


def _is_file(facts: PluginFacts) -> bool:
    return facts.path.endswith(".py")


def _is_loaded(facts: PluginFacts, registry: Registry) -> bool:
    kind = f"{facts.kind}s"
    return kind in registry.kinds and facts.name in registry.all(kind)


def _change(facts: PluginFacts, registry: Registry) -> str:
    """Describe the difference of a plugin file from what a run recorded; empty without one."""
    kind = f"{facts.kind}s"
    origin = registry.origin(kind, facts.name)
    if not origin.path.endswith(".py") or code_hash(registry.all(kind)[facts.name]) == facts.code:
        return ""
    return (
        f"{origin.path}: the code of {facts.kind} {facts.name!r}, or of a module that it imports, differs from that of "
        f"the run, which recorded it from {facts.path}."
    )


def _named_by_benchmarks(records: Sequence[RunRecord], results: Path) -> Iterator[Path]:
    """Yield plugin files that benchmark files in the working folder name, if they have the name of a run's."""
    here = Path.cwd()
    if is_inside(here, results):
        return
    names = {record.benchmark for record in records}
    names |= {name.removesuffix(suffix) for name in names for suffix in SUFFIXES.values()}
    for path in sorted(here.glob("*.toml"))[:MOST_BENCHMARKS]:
        try:
            source = open_source(path)
        except ConfigError:
            continue
        if source.data.get("name") in names:
            yield from plugin_files(source.named_plugins(), lambda number, message: None)
