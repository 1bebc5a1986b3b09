"""Python interface: run a benchmark, score and load stored runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gan_bench import escape
from gan_bench.contracts.observer import Observer
from gan_bench.errors import UsageError
from gan_bench.planning.options import Options, as_keywords, option
from gan_bench.planning.prepare import prepare
from gan_bench.plugins.discovery import plugin_files
from gan_bench.plugins.registry import Registry
from gan_bench.results.load import load_results
from gan_bench.running.progress import PlainProgress
from gan_bench.running.repeated_draws import repeat
from gan_bench.running.rescore import rescore
from gan_bench.running.run_benchmark import run as run_planned
from gan_bench.running.run_plugins import plugins_of_folder
from gan_bench.running.stored_model import StoredModel, load_trainer
from gan_bench.store.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """Options of the command line, and those of Python only."""

    progress: bool = option(True, "Print progress messages to standard error.")


@as_keywords(RunOptions)
def run(benchmark: str | Path | Mapping[str, Any], options: RunOptions) -> pd.DataFrame:
    """Run the missing runs of a benchmark and return all its results, tidy (see `gan_bench.load_results`).

    Args:
        benchmark: A TOML file, the name of a shipped benchmark, or a mapping of the same form.
        options: The fields of `gan_bench.planning.options.Options` and `progress`, as keywords.

    Raises:
        ConfigError: the benchmark is wrong; the error lists every problem.
        UsageError: an option is wrong.
        StoreError: the results folder cannot be written, or is in use.
        KeyboardInterrupt: after checkpoints are written; the same call resumes from there.
    """
    planned = prepare(benchmark, options)
    observer = PlainProgress(planned.benchmark.evaluation.metrics, sys.stderr) if options.progress else Observer()
    outcome = run_planned(planned, observer)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return load_results(outcome.folder)


def evaluate(
    results: str | Path,
    metrics: Sequence[str],
    *,
    samples: int | None = None,
    models: Sequence[str] = (),
    repeats: int | None = None,
    plugins: Sequence[str | Path] = (),
    registry: Registry | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score stored runs by new metrics, from their generators, and return all results, tidy.

    With `repeats`, return the evaluation noise and the training noise of these scores (see
    `gan_bench.report.tables.evaluation_noise.noise`), and write them to evaluation-noise.csv in the results folder.

    Args:
        results: a results folder with its run folders.
        metrics: names of metrics; existing scores are kept.
        samples: number of samples to draw; None for the benchmark's.
        models: only these labels or plugins; empty for all.
        repeats: draws of each final generator, the stored one included; at least 2.
        plugins: plugin files, in addition to those that `load_run` finds.
        registry: all plugins; None to find them.
        progress: whether to print a line for each run to standard error.

    Raises:
        PluginError: a metric is unknown or broken.
        UsageError: no such model or plugin file, no metric fits any dataset, or `repeats` is less than 2.
        StoreError: there are no runs, or the folder cannot be written or is in use.
        KeyboardInterrupt: after computed scores are in the tables; the same call resumes from there.
    """

    def log(line: str) -> None:
        if progress:
            print(escape.several_lines(line), file=sys.stderr)

    found = registry or plugins_of_folder(Path(results), _plugin_files(plugins), log)
    if repeats is not None:
        return repeat(results, metrics, found, draws=repeats, samples=samples, models=models, log=log)[1]
    outcome = rescore(results, metrics, found, samples=samples, models=models, log=log)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return load_results(outcome.folder)


def _log_stderr(line: str) -> None:
    print(escape.several_lines(line), file=sys.stderr)


def load_run(
    path: str | Path,
    *,
    plugins: Sequence[str | Path] = (),
    registry: Registry | None = None,
    device: str = "cpu",
    log: Callable[[str], None] = _log_stderr,
) -> StoredModel:
    """Load the model of a run folder from its newest usable checkpoint.

    Plugins that the run recorded are searched in the installed packages, in ``plugins/`` of the working folder, in
    `plugins`, and in files that a benchmark file of the working folder with the run's name names. The folder may come
    from elsewhere: neither a file in it nor a path that it records is imported.

    Args:
        path: a folder in ``results/NAME/runs/``.
        plugins: further plugin files.
        registry: all plugins; None to find them.
        device: "cpu" or "cuda".
        log: receives messages about newer checkpoints that are damaged, and plugin files that have changed since the
            run. Default: print them to standard error.

    Raises:
        PluginError: the model, dataset or network of the run is not found; the message has the recorded file.
        UsageError: an item of `plugins` is not a plugin file.
        StoreError: no run, no usable checkpoint, or code that has changed since.
    """
    found = registry or plugins_of_folder(Path(path), _plugin_files(plugins), log)
    return StoredModel(load_trainer(RunFolder(Path(path)), found, device, log))


def _plugin_files(names: Sequence[str | Path]) -> list[Path]:
    """Absolute paths of plugin files. Raises UsageError for a path that is not a plugin file."""

    def refuse(number: int, message: str) -> None:
        raise UsageError(f"plugins[{number}]: {message}")

    return plugin_files(names, refuse)
