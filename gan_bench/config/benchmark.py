"""Validated benchmarks: plain frozen data, from which runs are planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gan_bench.config.protocol_layers import departures
from gan_bench.contracts.modes import SUFFIXES, Mode
from gan_bench.contracts.parameters import TomlTable
from gan_bench.contracts.protocol import Evaluation, Protocol
from gan_bench.contracts.run import SkippedModel
from gan_bench.names import matching

PREVIEW_SHARE = 4  # divisor of the number of iterations in a preview

QUICK_ITERATIONS = 20
QUICK_SAMPLES = 500
QUICK_BATCH = 8


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset of a benchmark; `params` contains every parameter of the plugin."""

    plugin: str
    label: str
    params: TomlTable


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table.

    Attributes:
        plugin: name of the model.
        label: name of the row.
        params: every parameter of the plugin.
        protocol: the benchmark's protocol with the departures of this model.
        departures: the departures, in sentences for the footnotes.
        anchor: whether the row is a reference for the others, which never trains.
    """

    plugin: str
    label: str
    params: TomlTable
    protocol: Protocol
    departures: tuple[str, ...] = ()
    anchor: bool = False


@dataclass(frozen=True)
class ObserverEntry:
    """An observer that a benchmark or a command names; `params` contains every parameter of the plugin."""

    plugin: str
    params: TomlTable


@dataclass(frozen=True)
class EngineEntry:
    """The engine that a benchmark or a command names; `params` contains every parameter that is set."""

    plugin: str = "local"
    params: TomlTable = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """Contents of a benchmark file, validated and with all defaults filled in.

    Attributes:
        name: name of its results folder.
        seeds: exact training seeds.
        datasets: in the order of the file.
        models: in the order of the file, anchors last.
        protocol: settings of every model that does not depart from them.
        evaluation: metrics and settings of the evaluations.
        source: path of the file; empty for a mapping from Python.
        left_out: models whose plugins are broken.
        version: version of the file; empty without one. Results of different versions are never combined.
        observers: in the order of the file, then of the command; not a part of any run.
        engine: not a part of any run either.
    """

    name: str
    seeds: tuple[int, ...]
    datasets: tuple[DatasetEntry, ...]
    models: tuple[ModelEntry, ...]
    protocol: Protocol
    evaluation: Evaluation
    source: str
    left_out: tuple[SkippedModel, ...] = ()
    version: str = ""
    observers: tuple[ObserverEntry, ...] = ()
    engine: EngineEntry = EngineEntry()


def models_named(models: Sequence[ModelEntry], name: str) -> tuple[ModelEntry, ...]:
    """Return the model with the label `name`, or else all models of the plugin `name`; the result may be empty."""
    indices = matching(name, [(model.label, model.plugin) for model in models])
    return tuple(models[i] for i in indices)


def datasets_named(datasets: Sequence[DatasetEntry], name: str) -> tuple[DatasetEntry, ...]:
    """Return the dataset with the label `name`, or else all datasets of the plugin `name`; the result may be empty."""
    return tuple(datasets[i] for i in matching(name, [(dataset.label, dataset.plugin) for dataset in datasets]))


def preview(benchmark: Benchmark) -> Benchmark:
    """Reduce a benchmark to its first seed and to a quarter of its iterations and evaluation points.

    Learning-rate schedules end with the last iteration, so they are shortened as well. The name gets a suffix.
    """
    evaluation = replace(benchmark.evaluation, points=-(-benchmark.evaluation.points // PREVIEW_SHARE))
    return _reduced(benchmark, "preview", lambda iterations: -(-iterations // PREVIEW_SHARE), evaluation)


def quick(
    benchmark: Benchmark,
    iterations: int = QUICK_ITERATIONS,
    samples: int = QUICK_SAMPLES,
    *,
    small_batches: bool = False,
) -> Benchmark:
    """Reduce a benchmark to a few iterations of its first seed, to check that everything works.

    The name gets a suffix.

    Args:
        iterations: upper limit of the number of iterations.
        samples: upper limit of the number of generated samples of the one evaluation.
        small_batches: reduce batches to about `QUICK_BATCH` samples, for networks that take seconds per full batch.
    """
    if small_batches:
        models = [replace(model, protocol=_small_batches(model.protocol, model.params)) for model in benchmark.models]
        benchmark = replace(benchmark, models=tuple(models))
    evaluation = replace(
        benchmark.evaluation, every=iterations, samples=min(samples, benchmark.evaluation.samples), points=1
    )
    return _reduced(benchmark, "quick", lambda planned: min(iterations, planned), evaluation)


def _small_batches(protocol: Protocol, params: TomlTable) -> Protocol:
    """Reduce a draw to about `QUICK_BATCH` real samples.

    Fakes are reduced by the same factor, but not below two per generator.
    """
    factor = max(1, protocol.batch // QUICK_BATCH)
    count = params.get("generators", 1)
    least = 2 * count if isinstance(count, int) else 2
    return replace(
        protocol,
        batch=protocol.batch // factor,
        fakes=None if protocol.fakes is None else min(protocol.fakes, max(protocol.fakes // factor, least)),
        fakes_per_generator=None if protocol.fakes_per_generator is None else min(2, protocol.fakes_per_generator),
    )


def _reduced(benchmark: Benchmark, mode: Mode, shorter: Callable[[int], int], evaluation: Evaluation) -> Benchmark:
    """Reduce a benchmark to its first seed, and apply `shorter` to every number of iterations."""

    def shortened(protocol: Protocol) -> Protocol:
        return replace(protocol, iterations=shorter(protocol.iterations))

    common = shortened(benchmark.protocol)
    models = []
    for model in benchmark.models:
        own = shortened(model.protocol)
        # Footnotes quote numbers of iterations, which have changed.
        sentences = [text for text in departures(own, common, ()) if text.startswith("iterations:")]
        others = [text for text in model.departures if not text.startswith("iterations:")]
        at = next((i for i, text in enumerate(model.departures) if text.startswith("iterations:")), 0)
        models.append(replace(model, protocol=own, departures=(*others[:at], *sentences, *others[at:])))
    return replace(
        benchmark,
        name=benchmark.name + SUFFIXES[mode],
        seeds=benchmark.seeds[:1],
        models=tuple(models),
        protocol=common,
        evaluation=evaluation,
    )
