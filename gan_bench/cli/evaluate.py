"""`gan-bench evaluate`: new metrics for stored runs."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gan_bench import escape
from gan_bench.cli.options import data_root_option, names, plugin_option, warn_of_broken
from gan_bench.cli.output import echo


@click.command("evaluate", short_help="Compute additional metrics of stored runs.")
@click.argument("results", metavar="RESULTS")
@click.option("--metrics", required=True, metavar="A,B", help="Metrics to compute.")
@click.option(
    "--samples", type=click.IntRange(min=1), metavar="N", help="Number of samples to draw.  [default: the benchmark's]"
)
@click.option("--models", metavar="A,B", help="Evaluate only models with these labels or plugins.")
@click.option(
    "--repeats",
    type=click.IntRange(min=2),
    metavar="R",
    help="Number of draws per generator, to separate evaluation noise from training noise.",
)
@data_root_option
@plugin_option
def command(
    results: str, metrics: str, samples: int | None, models: str | None, repeats: int | None, plugins: Sequence[str]
) -> int:
    """Compute metrics of the final generators of all finished runs in RESULTS, a results folder, and print its table.

    Nothing is trained, and existing scores are kept. New scores equal those that the runs would have if the benchmark
    had listed the metrics from the start. A metric with a new version is computed again.

    With --repeats, samples are drawn from each final generator until it has R draws, including the stored one. The
    table then compares the spread between draws of one generator (evaluation noise) with the spread between seeds
    (training noise). It is also written to evaluation-noise.csv in RESULTS. Stored scores do not change.
    """
    import contextlib
    import sys
    from pathlib import Path

    from gan_bench.plugins.discovery import option_files
    from gan_bench.report.tables import build as tables
    from gan_bench.report.tables import evaluation_noise
    from gan_bench.running.repeated_draws import repeat
    from gan_bench.running.rescore import rescore
    from gan_bench.running.run_plugins import plugins_of_folder

    def log(line: str) -> None:
        echo(escape.one_line(line), err=True)

    registry = plugins_of_folder(Path(results), option_files(plugins), log)
    warn_of_broken(registry)

    with contextlib.redirect_stdout(sys.stderr):  # output of a plugin does not belong to the table
        wanted, chosen = names(metrics) or [], names(models) or []
        if repeats is None:
            outcome = rescore(results, wanted, registry, samples=samples, models=chosen, log=log)
            table = tables.render(results)
        else:
            outcome, frame = repeat(results, wanted, registry, draws=repeats, samples=samples, models=chosen, log=log)
            table = evaluation_noise.render(frame)
    echo(table, nl=False)
    if outcome.added:
        log(
            f"\nThe table now includes {', '.join(outcome.added)}. `gan-bench run` writes the metrics of its benchmark "
            "file: to keep a metric in that table, add it to [evaluation] metrics. Its scores are not computed again."
        )
    if outcome.interrupted:
        log("Interrupted. Run the same command again to resume.")
    return outcome.exit_code
