"""Loader of benchmark files: `load_benchmark` returns a `Benchmark` or raises an error with all problems.

    name = "synthetic8"
    version = 1               # optional: results of different versions are never combined
    seeds = 5                 # a count, or a list of exact seeds
    plugins = ["my_gan.py"]   # plugin files, relative to the folder of this one
    [[dataset]]               # plugin, label, and the dataset's own parameters
    [protocol]                # `gan_bench.contracts.protocol.Protocol`, identical for every model
    [evaluation]              # `Evaluation`
    [[model]]                 # plugin, label, preset, protocol, and the model's own parameters
    [observers.diary]         # the observer's own parameters
    [engine]                  # plugin, and the engine's own parameters

Unknown keys are errors. Nothing is drawn or trained here, but models, networks and metrics are instantiated to check
that they support the datasets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from gan_bench.config.benchmark import (
    Benchmark,
    DatasetEntry,
    EngineEntry,
    ModelEntry,
    ObserverEntry,
    datasets_named,
    models_named,
    preview,
    quick,
)
from gan_bench.config.entries import LONGEST_NAME, Reading
from gan_bench.config.model_entries import ModelReader
from gan_bench.config.overrides import apply_engine, apply_observers, apply_overrides, apply_seeds, entry_names
from gan_bench.config.protocol_layers import layered, read_layer, report_unknown_players, values_of
from gan_bench.config.source import Problems, Source, shipped_benchmarks
from gan_bench.contracts.modes import reserved_for
from gan_bench.contracts.parameters import TomlValue, checked, shown
from gan_bench.contracts.protocol import Evaluation, Protocol
from gan_bench.contracts.run import SkippedModel
from gan_bench.names import allowed, listed, matching
from gan_bench.plugins.discovery import plugin_files
from gan_bench.plugins.registry import Registry

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset

__all__ = [
    "Benchmark",
    "DatasetEntry",
    "Evaluation",
    "ModelEntry",
    "datasets_named",
    "load_benchmark",
    "models_named",
    "preview",
    "quick",
    "shipped_benchmarks",
]

TOP_LEVEL = ("name", "version", "seeds", "plugins", "dataset", "protocol", "evaluation", "model", "observers", "engine")
SEED_COUNT = 5  # if a benchmark gives no seeds
MOST_SEEDS = 10_000


def load_benchmark(
    source: Source,
    registry: Registry,
    *,
    overrides: Sequence[str] = (),
    seeds: str | int | Sequence[int] | None = None,
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    observers: Sequence[str] = (),
    engine: str | None = None,
    engine_settings: Mapping[str, TomlValue] = {},
) -> Benchmark:
    """Validate a benchmark that `gan_bench.config.source.open_source` has opened.

    Args:
        source: the description, which is not modified; overrides are written into a copy.
        registry: the plugins, including those of the benchmark (`Source.plugin_places`).
        overrides: ``PATH=VALUE`` each, in the syntax of ``--set``: ``protocol.batch=64``, ``model.MGAN.beta=1``.
        seeds: replacement of the file's seeds: a count, exact seeds, or text: ``"3"`` (a count), ``"0,5,7"``, ``"5,"``.
        models: labels or plugins of a selection of models (see `models_named`); only validated here.
        datasets: labels or plugins of a selection of datasets (see `datasets_named`); only validated here.
        observers: names of observers, in addition to those of the file.
        engine: name of the engine, in place of the file's.
        engine_settings: parameters of the engine, in place of the file's; None for those that are not given.

    Raises:
        ConfigError: the description has problems. All of them are listed, in the order of the file.
    """
    changed = source.copy()
    problems = Problems(changed)
    apply_overrides(changed, overrides, problems)
    if seeds is not None:
        apply_seeds(changed, seeds, problems)
    apply_observers(changed, observers)
    apply_engine(changed, engine, engine_settings)
    benchmark = _Reader(Reading(changed, registry, problems)).read()
    anchors = [(model.label, model.plugin) for model in benchmark.models if model.anchor]
    _check_selection("model", models or (), [*entry_names(changed.data.get("model")), *anchors], problems)
    _check_selection("dataset", datasets or (), entry_names(changed.data.get("dataset")), problems)
    problems.raise_if_any()
    return benchmark


def _check_selection(what: str, names: Sequence[str], entries: Sequence[tuple[str, str]], problems: Problems) -> None:
    for name in names:
        if not matching(name, entries):
            hint = allowed(name, {each for entry in entries for each in entry})
            problems.add_flag(f"--{what}s", f"no {what} is called {name!r}. {hint}")


class _Reader:
    """Reader of a description, section by section. Its result is valid only if no problem was reported."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.data = reading.source.data
        self.problems = reading.problems

    def read(self) -> Benchmark:
        """Read every section."""
        for key in self.data:
            if key not in TOP_LEVEL:
                self.problems.add((key,), f"unknown key {key!r}. {allowed(str(key), TOP_LEVEL)}")
        name, seeds = self._name(), self._seeds()
        self._check_plugins()
        datasets, instances = self._datasets()
        evaluation = self._evaluation(instances)
        protocol, models, left_out = self._models(instances, evaluation)
        self._check_labels(evaluation, [model.label for model in models if not model.anchor])
        source, version, observers = self.reading.source.name, self._version(), self._observers()
        engine = self._engine() if "engine" in self.data else EngineEntry()
        return Benchmark(
            name, seeds, datasets, models, protocol, evaluation, source, left_out, version, observers, engine
        )

    def _name(self) -> str:
        name = self.data.get("name")
        message = None
        if name is None:
            message = "name is missing. It must be a string, the name of the results folder."
        elif not isinstance(name, str):
            message = f"name must be a string, the name of the results folder, found {shown(name)}."
        elif not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name) or len(name) > LONGEST_NAME:
            form = f"consist of 1 to {LONGEST_NAME} letters, digits, '.', '_' and '-', and not begin with '.'"
            message = f"name must {form}, found {shown(name)}."
        elif (option := reserved_for(name)) is not None:
            message = f"name must not end in {option[1:]}, which is reserved for {option}, found {shown(name)}."
        if message:
            self.problems.add(("name",), message)
        return str(name)

    def _version(self) -> str:
        version = self.data.get("version", "")
        if isinstance(version, int) and not isinstance(version, bool):
            version = str(version)
        if isinstance(version, str) and (version == "" or re.fullmatch(r"[A-Za-z0-9._+-]{1,40}", version)):
            return version
        form = "a whole number or a string of 1 to 40 letters, digits, '.', '_', '+' and '-'"
        self.problems.add(("version",), f"version must be {form}, found {shown(version)}.")
        return ""

    def _check_labels(self, evaluation: Evaluation, labels: Sequence[str]) -> None:
        """Check the models that `[evaluation]` names."""
        if evaluation.baseline and evaluation.baseline not in labels:
            message = f"no model has the label {evaluation.baseline!r}. {allowed(evaluation.baseline, labels)}"
            self.problems.add(("evaluation", "baseline"), message)
        for i, label in enumerate(evaluation.oracles):
            if label not in labels:
                message = f"no model has the label {label!r}. {allowed(label, labels)}"
                self.problems.add(("evaluation", "oracles", i), message)

    def _check_plugins(self) -> None:
        """Check the names in `plugins`. The plugins of existing files are already in the registry."""
        names = self.data.get("plugins", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            message = f"plugins must be a list of files, relative to the folder of the benchmark, found {shown(names)}."
            self.problems.add(("plugins",), message)
        paths = self.reading.source.named_plugins()
        plugin_files(paths, lambda number, message: self.problems.add(("plugins", number), message))

    def _seeds(self) -> tuple[int, ...]:
        value = self.data.get("seeds", SEED_COUNT)
        if isinstance(value, list):
            return self._exact_seeds(value)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SEEDS:
            return tuple(range(value))
        expected = f"a count from 1 to {MOST_SEEDS} or a list of exact seeds"
        self.problems.add(("seeds",), f"seeds must be {expected}, found {shown(value)}.")
        return ()

    def _exact_seeds(self, values: Sequence[TomlValue]) -> tuple[int, ...]:
        if not 1 <= len(values) <= MOST_SEEDS:
            message = f"seeds must list 1 to {MOST_SEEDS} seeds, found {len(values)}."
            self.problems.add(("seeds",), message)
        for i, seed in enumerate(values):
            if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
                message = f"a seed must be a whole number from 0 to 2^63 - 1, found {shown(seed)}."
                self.problems.add(("seeds", i), message)
            elif seed in values[:i]:
                self.problems.add(("seeds", i), f"seed {seed} is repeated. Seeds must be distinct.")
        return tuple(seed for seed in values if isinstance(seed, int))

    def _datasets(self) -> tuple[tuple[DatasetEntry, ...], dict[str, Dataset]]:
        """Return the entries, and an instance of each by label."""
        entries: list[DatasetEntry] = []
        instances: dict[str, Dataset] = {}
        for path, table in self.reading.tables("dataset"):
            found = self.reading.plugin("datasets", table, path)
            label = self.reading.label(table, path)
            params = self.reading.params(found, table, path, ("plugin", "label"))
            if found is not None and params is not None:
                entries.append(DatasetEntry(found.name, label, values_of(params)))
                instance = self.reading.ask(path, found.name, found, params)
                instances |= {} if instance is None else {label: instance}
        return tuple(entries), instances

    def _observers(self) -> tuple[ObserverEntry, ...]:
        tables = self.data.get("observers", {})
        if not isinstance(tables, dict):
            form = "a table for each observer, such as [observers.NAME] with its parameters"
            self.problems.add(("observers",), f"observers must be {form}, found {shown(tables)}.")
            return ()
        entries = []
        for name, table in tables.items():
            path = ("observers", name)
            if not isinstance(table, dict):
                form = f"a table of parameters, which may be empty: {name} = {{}}"
                self.problems.add(path, f"observers.{name} must be {form}; found {shown(table)}.")
                continue
            found = self.reading.ask(path, name, self.reading.registry.get, "observers", name)
            params = self.reading.params(found, table, path, ())
            if params is not None:
                entries.append(ObserverEntry(name, values_of(params)))
        return tuple(entries)

    def _engine(self) -> EngineEntry:
        table = self.data["engine"]
        if not isinstance(table, dict):
            self.problems.add(("engine",), f"engine must be a table with the key plugin, found {shown(table)}.")
            return EngineEntry()
        named = {"plugin": EngineEntry().plugin, **table}
        found = self.reading.plugin("engines", named, ("engine",))
        if found is None or self._lacks_flags(found, table):
            return EngineEntry()
        params = self.reading.params(found, table, ("engine",), ("plugin",))
        return EngineEntry() if params is None else EngineEntry(found.name, values_of(params))

    def _lacks_flags(self, engine: type[Any], table: Mapping[str, TomlValue]) -> bool:
        """Report flags of the command for which the engine has no parameter; return whether there are any."""
        own = [field.name for field in fields(engine.Params)]
        given = [key for key in table if ("engine", key) in self.reading.source.flags]
        lacking = [key for key in given if key != "plugin" and key not in own]
        for key in lacking:
            engines = self.reading.registry.all("engines").items()
            others = [name for name, each in engines if key in {field.name for field in fields(each.Params)}]
            remedy = f"Engines that have it: {', '.join(others)}." if others else allowed(key, own)
            self.problems.add(("engine", key), f"engine {engine.name} has no parameter {key!r}. {remedy}")
        return bool(lacking)

    def _evaluation(self, datasets: Mapping[str, Dataset]) -> Evaluation:
        table = self.data.get("evaluation", {})
        if not isinstance(table, dict):
            self.problems.add(("evaluation",), f"evaluation must be a table, found {shown(table)}.")
            return Evaluation()
        evaluation = Evaluation(**checked(Evaluation, table, self.problems.under("evaluation")))
        if table.get("metrics", []) == []:
            known = listed(self.reading.registry.all("metrics"), limit=50)
            self.problems.add(("evaluation", "metrics"), f"evaluation.metrics must name at least one metric. {known}")
        for i, name in enumerate(evaluation.metrics):
            self._check_metric(name, i, evaluation.metrics, evaluation.samples, datasets)
        self._check_margins(evaluation)
        return replace(evaluation, primary=self._primary(evaluation))

    def _check_margins(self, evaluation: Evaluation) -> None:
        for name in evaluation.margins or {}:
            if name not in evaluation.metrics:
                message = f"no metric of this benchmark is called {name!r}. {allowed(name, evaluation.metrics)}"
                self.problems.add(("evaluation", "margins", name), message)

    def _primary(self, evaluation: Evaluation) -> str:
        """Check the primary metric. If the file's one is not among metrics of an override, the default applies."""
        name, path = evaluation.primary, ("evaluation", "primary")
        overridden = ("evaluation", "metrics") in self.reading.source.flags
        if not name or (overridden and path not in self.reading.source.flags and name not in evaluation.metrics):
            return ""
        if name not in evaluation.metrics:
            hint = allowed(name, evaluation.metrics)
            self.problems.add(path, f"primary must be one of evaluation.metrics, found {name!r}. {hint}")
            return ""
        found = self.reading.registry.all("metrics").get(name)
        if found is not None and found.direction == "none":
            message = f"primary must be a metric of which lower or higher is better, found {name!r}, which has neither."
            self.problems.add(path, message)
        return name

    def _check_metric(
        self, name: str, i: int, names: Sequence[str], samples: int, datasets: Mapping[str, Dataset]
    ) -> None:
        path = ("evaluation", "metrics", i)
        if name in names[:i]:
            self.problems.add(path, f"metric {name!r} is repeated. Metrics must be distinct.")
            return
        found = self.reading.ask(path, name, self.reading.registry.get, "metrics", name)
        metric = None if found is None else self.reading.ask(path, name, found)
        if metric is not None:
            self.reading.check_refusals(path, f"metric {name!r}", metric, datasets)
            if metric.needs > samples:
                complaint = f"metric {name!r} needs at least {metric.needs:,} samples, but samples = {samples:,}."
                self.problems.add(path, f"{complaint} Increase samples, or choose a metric that needs fewer.")

    def _models(
        self, datasets: Mapping[str, Dataset], evaluation: Evaluation
    ) -> tuple[Protocol, tuple[ModelEntry, ...], tuple[SkippedModel, ...]]:
        """Return the common protocol, the models with anchors last, and the models that cannot be loaded."""
        # The default network is written into the table, so that its parameters get their defaults as of any other.
        table = self.data.get("protocol", {})
        if isinstance(table, dict):
            table = {"network": Protocol.network, **table}
        network_of = partial(self.reading.registry.get, "networks")
        common = read_layer(table, network_of, self.problems.under("protocol"))

        classes = self.reading.registry.all("models") if evaluation.anchors else {}
        anchors = {name: found for name, found in classes.items() if found.anchor}
        reader = ModelReader(self.reading, common, datasets, anchors)
        reader.check_layer(common, ("protocol",))
        entries = self.reading.tables("model")
        models = [model for path, entry in entries if (model := reader.read(path, entry)) is not None]

        # Broken models are left out and the others are trained, unless there are no others.
        if entries and len(reader.left_out) == len(entries):
            for (path, _), left in zip(entries, reader.left_out, strict=True):
                self.problems.add((*path, "plugin"), left.error)

        # An unknown player may belong to a model that was not found.
        players = tuple(dict.fromkeys(player for players in reader.players for player in players))
        if len(reader.players) == len(entries):
            report_unknown_players(common, players, self.problems.under("protocol"))

        # Every generator is evaluated on at least one sample.
        generators = reader.generators
        label = max(generators, key=lambda label: generators[label], default=None)
        if label is not None and evaluation.samples < generators[label]:
            least = f"at least {generators[label]}, the number of generators of {label!r}"
            self.problems.add(("evaluation", "samples"), f"samples must be {least}, found {evaluation.samples}.")

        models += reader.anchor_rows(models)
        in_order = tuple(sorted(models, key=lambda model: model.anchor))
        return layered([common], players), in_order, tuple(reader.left_out)
