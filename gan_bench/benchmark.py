"""A benchmark, validated: plain frozen data, from which runs are planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gan_bench.overrides import matching
from gan_bench.parameters import param
from gan_bench.protocol import Protocol

QUICK_SUFFIX = "-quick"
"""Ends the name of a quick look's results folder, so that its results never mix with real ones."""

QUICK_ITERATIONS = 20
QUICK_SAMPLES = 500


@dataclass(frozen=True)
class Evaluation:
    """What is measured, when, and on how many samples; the same for every model."""

    every: int = param(1000, "Iterations between two evaluations; the last is always evaluated.", low=1)
    samples: int = param(10_000, "Generated samples that each evaluation draws.", low=1)
    metrics: tuple[str, ...] = param((), "The metrics, in the order of the table's columns.")
    points: int = param(
        5, "Evenly spaced points of a run, the last included, that get the expensive metrics too.", low=1
    )
    anchors: bool = param(True, "Whether the table ends with the anchor rows.")


@dataclass(frozen=True)
class DatasetEntry:
    """One dataset of a benchmark; `params` holds every parameter of the plugin."""

    plugin: str
    label: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table.

    Attributes:
        plugin: name of the model.
        label: name of the row.
        params: every parameter of the plugin.
        protocol: the benchmark's, with what this model has otherwise.
        departures: what it has otherwise, in sentences for the footnotes.
        anchor: whether it is a row to hold the others against; it never trains.
    """

    plugin: str
    label: str
    params: Mapping[str, Any]
    protocol: Protocol
    departures: tuple[str, ...] = ()
    anchor: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A model that a benchmark asks for and that cannot be loaded; the others are trained without it."""

    label: str
    plugin: str
    error: str


@dataclass(frozen=True)
class Benchmark:
    """Everything that a benchmark file says, checked and with all defaults filled in.

    Attributes:
        name: name of its results folder.
        seeds: exact training seeds.
        datasets: in the order of the file.
        models: in the order of the file, anchors last.
        protocol: what is equal for every model that does not depart from it.
        evaluation: what is measured.
        source: the file, or empty for a mapping from Python.
        left_out: models whose plugins are broken.
    """

    name: str
    seeds: tuple[int, ...]
    datasets: tuple[DatasetEntry, ...]
    models: tuple[ModelEntry, ...]
    protocol: Protocol
    evaluation: Evaluation
    source: str
    left_out: tuple[LeftOut, ...] = ()


def models_named(models: Sequence[ModelEntry], name: str) -> tuple[ModelEntry, ...]:
    """The models that `name` means: the one of that label, else all of that plugin; or none."""
    indices = matching(name, [(model.label, model.plugin) for model in models])
    return tuple(models[i] for i in indices)


def datasets_named(datasets: Sequence[DatasetEntry], name: str) -> tuple[DatasetEntry, ...]:
    """The datasets that `name` means, by label or plugin as with models; or none."""
    return tuple(datasets[i] for i in matching(name, [(dataset.label, dataset.plugin) for dataset in datasets]))


def quick(benchmark: Benchmark) -> Benchmark:
    """A look of a few seconds: 20 iterations, one seed, one small evaluation at the end, its own name."""

    def shorter(protocol: Protocol) -> Protocol:
        return replace(protocol, iterations=min(QUICK_ITERATIONS, protocol.iterations))

    def shorter_model(model: ModelEntry) -> ModelEntry:
        kept = tuple(text for text in model.departures if not text.startswith("iterations:"))
        return replace(model, protocol=shorter(model.protocol), departures=kept)

    evaluation = replace(
        benchmark.evaluation,
        every=QUICK_ITERATIONS,
        samples=min(QUICK_SAMPLES, benchmark.evaluation.samples),
        points=1,
    )
    return replace(
        benchmark,
        name=benchmark.name + QUICK_SUFFIX,
        seeds=benchmark.seeds[:1],
        models=tuple(map(shorter_model, benchmark.models)),
        protocol=shorter(benchmark.protocol),
        evaluation=evaluation,
    )
