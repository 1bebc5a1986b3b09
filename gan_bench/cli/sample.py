"""`gan-bench sample`: samples of one generator, or of the mixture, from a stored run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from gan_bench import escape
from gan_bench.cli.options import plugin_option, warn_of_broken
from gan_bench.cli.output import echo

if TYPE_CHECKING:
    from gan_bench.report.sample_files import Target
    from gan_bench.results.choose_run import ChosenRun
    from gan_bench.running.stored_model import StoredModel

OFTEN = 2.0  # seconds between two lines of progress


@click.command("sample", short_help="Draw samples from a stored run.")
@click.argument("results", metavar="RESULTS")
@click.option("--model", metavar="NAME", help="Label or plugin of the model. Optional if there is only one.")
@click.option("--dataset", metavar="NAME", help="Label or plugin of the dataset. Optional if there is only one.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Training seed.  [default: the lowest finished]")
@click.option("--generator", type=int, metavar="K", help="Index of one generator, from 0.  [default: the mixture]")
@click.option(
    "--count", type=click.IntRange(min=1), default=64, show_default=True, metavar="N", help="Number of samples."
)
@click.option(
    "--out",
    metavar="FILE|FOLDER/",
    help="FILE.png for one picture, FOLDER/ for a PNG of each image, FILE.npz or FILE.npy for an array.  "
    "[default: a .png of images, a .npz of points, named after the run]",
)
@click.option("--draw-seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the samples.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Device to draw on.")
@plugin_option
def command(
    results: str,
    model: str | None,
    dataset: str | None,
    seed: int | None,
    generator: int | None,
    count: int,
    out: str | None,
    draw_seed: int,
    device: str,
    plugins: Sequence[str],
) -> int:
    """Draw samples from the newest checkpoint of a run. RESULTS is a results folder or a run folder.

    A picture is a grid that is nearly square; with several generators, each has its own rows. A .npz contains the
    arrays that `gan-bench score` reads: `samples`, and `generator` with the index of the generator of each. An existing
    file is replaced; a folder must be new or empty. The same draw seed gives the same samples on one kind of device.

    If the newest checkpoint is damaged, an earlier one is used with a warning, and the exit code is 1.
    """
    import contextlib
    import sys

    from gan_bench.report.sample_files import target
    from gan_bench.results.choose_run import choose_run

    chosen = choose_run(results, model=model, dataset=dataset, seed=seed, log=_log_stderr)
    to = None if out is None else target(out)  # reject a wrong name before anything is loaded
    damaged: list[str] = []
    with contextlib.redirect_stdout(sys.stderr):  # output of a plugin does not belong to the answer
        stored = _loaded(chosen, device, plugins, damaged.append)
        for line in damaged:
            _log_stderr(line)
        to = to or target(_name(chosen, stored, generator, draw_seed))
        _draw(chosen, stored, to, generator, count, draw_seed)
    echo(to.path)
    return 1 if damaged else 0


def _log_stderr(line: str) -> None:
    echo(escape.one_line(line), err=True)


def _loaded(chosen: ChosenRun, device: str, plugins: Sequence[str], log: Callable[[str], None]) -> StoredModel:
    from gan_bench.api import load_run
    from gan_bench.planning.prepare import choose_device
    from gan_bench.plugins.discovery import option_files
    from gan_bench.running.run_plugins import plugins_of_folder

    registry = plugins_of_folder(chosen.folder, option_files(plugins), _log_stderr)
    warn_of_broken(registry)
    return load_run(chosen.folder, registry=registry, device=choose_device(device), log=log)


def _name(chosen: ChosenRun, stored: StoredModel, generator: int | None, draw_seed: int) -> str:
    """Name of a file in the working folder that describes the draw."""
    import re

    parts = [re.sub(r"[^A-Za-z0-9._-]+", "_", chosen.label), f"seed{chosen.seed}"]
    parts += [] if generator is None else [f"generator{generator}"]
    parts += [f"draw{draw_seed}"] if draw_seed else []
    return "-".join(parts) + (".npz" if stored.image_shape is None else ".png")


def _draw(
    chosen: ChosenRun, stored: StoredModel, to: Target, generator: int | None, count: int, draw_seed: int
) -> None:
    import numpy as np

    from gan_bench.errors import StoreError
    from gan_bench.report.sample_files import require_kind, write_samples

    require_kind(to, stored.image_shape)
    made_by = "" if generator is None else f" from generator {generator}"
    _log_stderr(
        f"{chosen.label}, seed {chosen.seed}, iteration {stored.iteration:,}: drawing {count:,} samples{made_by}"
    )
    drawn = stored.sample(count, generator=generator, seed=draw_seed, progress=_progress(count))
    if not drawn.finite:
        raise StoreError(f"{chosen.folder}: the samples are not finite. Nothing was written.")
    write_samples(to, np.asarray(drawn.x), drawn.generator)


def _progress(count: int) -> Callable[[int], None]:
    """Report the number of samples every few seconds."""
    import time

    last_log = time.monotonic()

    def log_progress(done: int) -> None:
        nonlocal last_log
        if time.monotonic() - last_log > OFTEN and done < count:
            last_log = time.monotonic()
            _log_stderr(f"{done:,} of {count:,}")

    return log_progress
