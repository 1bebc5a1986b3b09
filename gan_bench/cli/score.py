"""`gan-bench score`: metrics of samples from any program."""

from __future__ import annotations

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from gan_bench import escape
from gan_bench.cli.options import data_root_option, names, places_of, plugin_option
from gan_bench.cli.output import echo
from gan_bench.config.overrides import split_setting
from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import is_images
from gan_bench.contracts.metric import UNINDEXED, Metric
from gan_bench.contracts.parameters import resolve
from gan_bench.contracts.scores import Score
from gan_bench.errors import ConfigError, Problem, UsageError
from gan_bench.evaluation.score_samples import read_samples, score
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Registry

BETTER = {"lower": "lower is better", "higher": "higher is better", "none": ""}


@click.command("score")
@click.argument("samples", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, metavar="NAME", help="Dataset to compare the samples with.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a parameter of the dataset, e.g. radius=3. Repeatable.",
)
@click.option(
    "--metrics",
    metavar="A,B",
    help="Metrics to compute.  [default: all that support the dataset; for images only fast ones]",
)
@click.option(
    "--format", "style", type=click.Choice(["text", "csv"]), default="text", show_default=True, help="Output format."
)
@data_root_option
@plugin_option
def command(
    samples: Path, dataset: str, settings: Sequence[str], metrics: str | None, style: str, plugins: Sequence[str]
) -> None:
    """Compute metrics of SAMPLES, a .npy array or a .npz with `samples` and, if known, `generator`.

    `generator` is the index, from 0, of the generator of each sample. Metrics that need it are otherwise undefined.
    """
    registry = load_plugins(places_of(plugins), kinds=("datasets", "metrics"))
    target = _dataset(registry, dataset, settings)
    file = read_samples(samples)
    chosen = _metrics(registry, target, metrics, len(file.x) if file.x.ndim else 0)
    log = partial(echo, err=True)
    target.prepare(log)
    scores = score(file.x, target, chosen, generator=file.generator, where=str(samples), log=log, warn=_warn)
    if style == "csv":
        _print_csv(scores)
    else:
        _print_text(scores, chosen, with_generators=file.generator is not None)
    reasons = list(_reasons(scores))
    if reasons:
        echo("\n" + "\n".join(reasons), err=style == "csv")


def _warn(problem: str) -> None:
    echo(escape.several_lines(f"Warning: {problem}"), err=True)


def _dataset(registry: Registry, name: str, settings: Sequence[str]) -> Dataset:
    """Dataset with parameters such as ``radius=3``, in the notation of a benchmark file."""
    kind = registry.get("datasets", name)
    values: dict[str, Any] = {}
    for text in settings:
        if "=" not in text:
            raise UsageError(f"--set {text}: '=' is missing. Write KEY=VALUE, for example radius=3.")
        keys, value = split_setting(text)
        table = values
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {text}: {key} has no keys. Set the whole value.")
        table[keys[-1]] = value

    problems: list[Problem] = []

    def report(path: tuple[str | int, ...], message: str) -> None:
        problems.append(Problem(f"--set {'.'.join(map(str, path))}".strip(), message))

    params = resolve(kind.Params, values, report)
    if params is None:
        raise ConfigError(problems)
    made: Dataset = kind(params)
    return made


def _metrics(registry: Registry, dataset: Dataset, option: str | None, n: int) -> list[Metric]:
    """Requested metrics, or all that fit the dataset and need at most `n` samples; for images only fast ones."""
    if option is not None:
        wanted = dict.fromkeys(names(option) or [])
        if not wanted:
            raise UsageError("--metrics must name at least one metric, for example --metrics modes,high_quality.")
        return [registry.get("metrics", name)() for name in wanted]
    fitting = [kind() for kind in registry.all("metrics").values()]
    fitting = [metric for metric in fitting if metric.refuses(dataset) is None and metric.needs <= max(n, 1)]
    slow = [metric for metric in fitting if metric.is_expensive(dataset) and is_images(dataset)]
    if slow:
        echo(
            f"Left out because they are slow: --metrics {','.join(metric.name for metric in slow)}",
            err=True,
        )
        fitting = [metric for metric in fitting if metric not in slow]
    if not fitting:
        raise UsageError(f"No {'fast ' if slow else ''}metric supports dataset {dataset.name!r}.")
    return fitting


def _print_csv(scores: Sequence[Score]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["metric", "value"])
    writer.writerows([escape.csv_cell(s.metric), repr(s.value)] for s in scores if s.generator is None)


def _print_text(scores: Sequence[Score], metrics: Sequence[Metric], *, with_generators: bool) -> None:
    whole = {s.metric: s.value for s in scores if s.generator is None}
    rows = [[m.name, whole[m.name], m.unit, BETTER[m.direction]] for m in metrics]
    echo(tabulate(rows, headers=["metric", "value", "unit", ""], floatfmt=".4f"))
    each = [m.name for m in metrics if m.per_generator]
    if each and with_generators:
        values = {(s.metric, s.generator): s.value for s in scores}
        generators = sorted({g for _, g in values if g is not None})
        lines = [[k, *(values[name, k] for name in each)] for k in generators]
        echo("\n" + tabulate(lines, headers=["generator", *each], floatfmt=".4f"))


def _reasons(scores: Sequence[Score]) -> Iterator[str]:
    """Reasons for NaN values, one line each; for single generators, that they have too few samples."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for s in scores:
        if s.generator is None and math.isnan(s.value):
            by_reason[s.undefined or "undefined for these samples"].append(s.metric)
    for reason, metrics in by_reason.items():
        more = " (the array 'generator' of a .npz)" if reason == UNINDEXED else ""
        yield f"nan: {', '.join(metrics)}: {reason}{more}."
    explained = {metric for metrics in by_reason.values() for metric in metrics}
    single = dict.fromkeys(s.metric for s in scores if math.isnan(s.value) and s.metric not in explained)
    if single:
        yield f"nan: {', '.join(single)}: undefined for a generator without samples, or with too few valid ones."
