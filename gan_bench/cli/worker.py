"""`gan-bench worker`: take queued runs of a results folder that machines share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gan_bench.cli.execution import display, graceful_stop
from gan_bench.cli.options import data_root_option, plugin_option
from gan_bench.cli.output import echo

if TYPE_CHECKING:
    from gan_bench.running.lease_worker import WorkerOutcome


@click.command("worker")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--most", type=click.IntRange(min=1), metavar="N", help="Exit after N runs or stacks.  [default: all]")
@click.option(
    "--wait",
    is_flag=True,
    help="Wait until the runs of other workers have ended, and take over those whose worker is lost.",
)
@plugin_option
@data_root_option
def command(results: Path, most: int | None, wait: bool, plugins: tuple[str, ...]) -> int:
    """Execute queued runs of RESULTS, one at a time, beside workers on this machine or others.

    RESULTS is a results folder on storage that all machines share, prepared by `gan-bench run FILE --enqueue`. A run
    belongs to one worker, which renews a lease; a run whose worker is lost is continued by another one from its last
    checkpoint. Ctrl-C and SIGTERM write a checkpoint and give the run back.

    The last worker writes the tables. `gan-bench table RESULTS` prints the table so far at any time.

    Exit codes: 0 no run is left; 1 a run of this worker failed or diverged; 2 this machine cannot execute the runs; 130
    interrupted.
    """
    from gan_bench.cli.resources import require_temporary_folder
    from gan_bench.running.lease_worker import work
    from gan_bench.store.job_queue import read_queue

    require_temporary_folder()
    queue = read_queue(results)
    with graceful_stop(), display(queue.metrics) as observer:
        outcome = work(results, plugins, observer, most=most, wait=wait)
    return _report(results, outcome)


def _report(results: Path, outcome: WorkerOutcome) -> int:
    """Print the table if all runs have ended, what other workers have, and how the runs of this worker ended."""
    from gan_bench.cli.table import print_summary
    from gan_bench.report.tables.build import build
    from gan_bench.report.tables.notes import describe_counts
    from gan_bench.results.load import read_results

    if outcome.all_ended and not outcome.interrupted:
        print_summary(build(read_results(results)), results)
    counts = describe_counts(outcome.counts)
    echo(f"\nRuns of this worker: {counts}. Results: {results}", err=True)
    if outcome.interrupted:
        echo("Interrupted. Its run is free for other workers.", err=True)
    elif outcome.held:
        echo(f"Runs of other workers: {'; '.join(outcome.held)}.", err=True)
    return outcome.exit_code
