"""gan-bench from Python: run a benchmark, and draw from a run that is stored."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from gan_bench.assembly import load_trainer
from gan_bench.errors import DataError, UsageError
from gan_bench.evaluation import Drawn, draw
from gan_bench.images import is_images
from gan_bench.observers import Observer
from gan_bench.plugins import Registry, load_plugins, plugin_folders
from gan_bench.progress import PlainProgress
from gan_bench.repeats import repeat
from gan_bench.rescoring import rescore
from gan_bench.results import load_results
from gan_bench.runner import Options, prepare
from gan_bench.runner import run as run_planned
from gan_bench.store import RunFolder
from gan_bench.training import Trainer


def run(
    benchmark: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    seeds: str | int | Sequence[int] | None = None,
    device: str = "auto",
    results: str | Path = "results",
    workers: int | None = None,
    quick: bool = False,
    preview: bool = False,
    compile: str = "auto",
    stack: str | int = "auto",
    engine: str = "local",
    plugins: Sequence[str | Path] = (),
    progress: bool = True,
) -> pd.DataFrame:
    """Run what is missing of a benchmark and return all its results, tidy (see `gan_bench.load_results`).

    Args:
        benchmark: a TOML file, the name of a shipped benchmark, or a mapping of the same form.
        overrides: ``"protocol.iterations=2000"`` and the like, as ``--set`` takes them.
        models: only these labels or plugins; empty for all.
        datasets: the same of datasets.
        seeds: instead of the benchmark's: a count, or exact seeds.
        device: "auto", "cpu" or "cuda".
        results: the folder that holds a folder for each benchmark.
        workers: runs at the same time; one for each core, or for each GPU, where it is None.
        quick: check that everything works: a few iterations of one seed, evaluated on a few samples, interrupted and
            resumed, in a folder of its own. Its values mean nothing.
        preview: a quarter of the iterations of one seed, in a folder of its own.
        compile: "always" or "never"; "auto" compiles new runs that are long enough, and goes on as a run began.
        stack: how many seeds of a model train as one program, or "never"; "auto" stacks them on a GPU.
        engine: what carries out the runs.
        plugins: plugin files beside those of ``plugins/``.
        progress: whether lines about it go to standard error.

    Raises:
        ConfigError: the benchmark is wrong; every problem is in it.
        StoreError: the results folder cannot be written, or is in use.
        KeyboardInterrupt: after checkpoints are written; the same call goes on from there.
    """
    options = Options(
        overrides, models, datasets, seeds, device, results, workers, quick, preview, compile, stack, engine, plugins
    )
    planned = prepare(benchmark, options)
    observer = PlainProgress(planned.benchmark.evaluation.metrics, sys.stderr) if progress else Observer()
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
    registry: Registry | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score stored runs by metrics that are new, from their generators, and return all results, tidy.

    With `repeats` it returns how much of these scores is noise of the evaluation, and how much of training (see
    `gan_bench.noise.noise`), and writes it as evaluation-noise.csv into the results folder.

    Args:
        results: a results folder with its run folders.
        metrics: names of metrics; what is scored already is kept.
        samples: how many samples to draw; as many as the benchmark's where it is None.
        models: only these labels or plugins; empty for all.
        repeats: draws of each final generator, the stored one included; at least 2.
        registry: the plugins; the installed ones and ``plugins/`` of the working folder where it is None.
        progress: whether a line for each run goes to standard error.

    Raises:
        PluginError: a metric is unknown or broken.
        UsageError: no such model, no metric fits any dataset, or `repeats` is less than 2.
        StoreError: there are no runs, or the folder cannot be written or is in use.
        KeyboardInterrupt: after what was computed is in the tables; the same call goes on from there.
    """

    def say(line: str) -> None:
        if progress:
            print(line, file=sys.stderr)

    found = registry or load_plugins(plugin_folders())
    if repeats is not None:
        return repeat(results, metrics, found, draws=repeats, samples=samples, models=models, say=say)[1]
    outcome = rescore(results, metrics, found, samples=samples, models=models, say=say)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return load_results(outcome.folder)


class StoredModel:
    """A model as a stored run left it."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.model = trainer.model
        self.iteration = trainer.iteration

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(C, H, W) where samples are images, which are uint8; None where they are numbers."""
        return self._trainer.dataset.shape if is_images(self._trainer.dataset) else None

    @property
    def generators(self) -> int:
        """K, the number of generators."""
        return self.model.generators

    def sample(
        self,
        n: int,
        *,
        generator: int | None = None,
        seed: int = 0,
        told: Callable[[int], None] = lambda done: None,
    ) -> Drawn:
        """Draw n samples of the mixture, or of one generator; `told` hears how many there are on the way.

        Returns:
            `x` (n, *shape) float32, of images uint8, and `generator` (n,) int64, the index of the one that made each
            (None for real data). The same seed gives the same samples.
        """
        if n < 1:
            raise UsageError(f"n is {n}; it is at least 1.")
        if not 0 <= seed < 2**63:
            raise UsageError(f"seed is {seed}; it is from 0 to 2^63 - 1.")
        if generator is not None and not 0 <= generator < self.generators:
            raise UsageError(f"generator is {generator}; this model has 0 to {self.generators - 1}.")
        if generator is not None and float(self.model.weights()[generator]) == 0:
            raise UsageError(f"generator {generator} has no share of the mixture at iteration {self.iteration}.")
        self._require_data(n)
        drawn = draw(self._trainer, n, seed, generator=generator, told=told)
        return replace(drawn, x=drawn.x.cpu().numpy()) if isinstance(drawn.x, Tensor) else drawn

    def _require_data(self, n: int) -> None:
        """What stands for real data draws from its files, as many samples as they hold out."""
        dataset = self._trainer.dataset
        if self.model.generating:
            return
        if (missing := dataset.missing()) is not None:
            raise DataError(missing)
        most = self.model.most_samples(dataset)
        if most is not None and n > most:
            raise UsageError(f"n is {n}; there are {most} held-out samples.")


def _aloud(line: str) -> None:
    print(line, file=sys.stderr)


def load_run(
    path: str | Path,
    *,
    registry: Registry | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = _aloud,
) -> StoredModel:
    """Load the model of a run folder from its newest usable checkpoint.

    Args:
        path: a folder in ``results/NAME/runs/``.
        registry: the plugins; the installed ones and ``plugins/`` of the working folder where it is None.
        device: "cpu" or "cuda".
        say: told of newer checkpoints that are damaged; standard error otherwise.

    Raises:
        StoreError: no run, no usable checkpoint, or code that has changed since.
    """
    return StoredModel(load_trainer(RunFolder(Path(path)), registry or load_plugins(plugin_folders()), device, say))
