"""`gan-bench run`: train the runs of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from gan_bench.cli.execution import display, graceful_stop
from gan_bench.cli.options import data_root_option, options_of, warn_of_broken
from gan_bench.cli.output import echo
from gan_bench.errors import UsageError
from gan_bench.planning.options import Options

if TYPE_CHECKING:
    from gan_bench.planning.planned import Planned
    from gan_bench.running.run_benchmark import BenchmarkOutcome


@click.command("run")
@click.argument("benchmark")
@options_of(Options)
@data_root_option
@click.option("--dry-run", is_flag=True, help="Print the plan and the estimated time, without training.")
@click.option(
    "--enqueue",
    is_flag=True,
    help="Prepare data and write the missing runs to jobs.json, without training. `gan-bench worker` executes them, on "
    "this machine or others.",
)
def command(benchmark: str, dry_run: bool, enqueue: bool, **options: Any) -> int:
    """Train every model of BENCHMARK, a TOML file or the name of a shipped benchmark, and write its tables and report.

    Finished and diverged runs are skipped; failed and interrupted runs are retried. Ctrl-C writes checkpoints and
    stops; run the same command again to resume. Whenever a seed of all models is complete, the current table is printed
    and written to table.md.
    """
    from gan_bench.cli.resources import require_temporary_folder
    from gan_bench.planning.prepare import prepare
    from gan_bench.running.run_benchmark import run

    if dry_run and enqueue:
        raise UsageError("--dry-run and --enqueue exclude each other.")
    if enqueue:
        _refuse_engine_options(options)
    require_temporary_folder()
    planned = prepare(benchmark, Options(**options), elsewhere=enqueue)
    warn_of_broken(planned.registry, notes=dry_run)  # else the run reports them
    if dry_run:
        print_plan(planned)
        return 0
    if enqueue:
        return _enqueue(planned)
    try:
        # The scores of a check are meaningless.
        metrics = () if planned.mode == "quick" else planned.benchmark.evaluation.metrics
        with graceful_stop(), display(metrics) as observer:
            outcome = run(planned, observer)
    except KeyboardInterrupt:  # outside of the runs, which handle it with their checkpoints
        _print_stored(planned)
        echo("Interrupted. Run the same command again to resume.", err=True)
        raise
    return _report(planned, outcome)


def _refuse_engine_options(options: Mapping[str, Any]) -> None:
    """Raise UsageError for options of the engine, which executes none of the queued runs."""
    names = ("engine", "address", "gpus_per_run", "cpus_per_run", "workers")
    given = [f"--{name.replace('_', '-')}" for name in names if options[name] is not None]
    if given:
        raise UsageError(
            f"--enqueue: workers execute the runs, which {' and '.join(given)} cannot change. Omit "
            f"{'it' if len(given) == 1 else 'them'}, or omit --enqueue to execute the runs now."
        )


def _enqueue(planned: Planned) -> int:
    """Write jobs.json, and print how to start workers."""
    from gan_bench.running.enqueue import enqueue

    queued = enqueue(planned, partial(echo, err=True))
    stacks = f", {queued.stacks} stacks," if queued.stacks != queued.runs else ""
    echo(f"{queued.runs} runs{stacks} are queued in {queued.file}, {len(planned.jobs) - queued.runs} are done already.")
    if queued.runs:
        echo(f"Start workers on any machine that sees this folder: gan-bench worker {planned.folder}")
    return 1 if planned.benchmark.left_out else 0


def _print_stored(planned: Planned) -> None:
    """Print the table of results of earlier commands, if there are any."""
    from gan_bench.cli.table import print_summary
    from gan_bench.errors import StoreError
    from gan_bench.report.tables.build import build
    from gan_bench.results.load import read_results

    if planned.mode != "quick" and "finished" in planned.status.values():
        with suppress(StoreError):
            print_summary(build(read_results(planned.folder)), planned.folder)


def _report(planned: Planned, outcome: BenchmarkOutcome) -> int:
    """Print the table, or the findings of a check, and how the runs ended."""
    from gan_bench.cli.table import print_summary
    from gan_bench.report.tables.build import build
    from gan_bench.report.tables.notes import describe_counts
    from gan_bench.results.load import read_results

    if outcome.check is not None and not outcome.interrupted:
        echo(outcome.check.render())
    elif outcome.check is None and (outcome.counts["finished"] or not outcome.interrupted):
        print_summary(build(read_results(outcome.folder)), outcome.folder)
    echo(f"\nRuns of this command: {describe_counts(outcome.counts)}. Results: {outcome.folder}", err=True)
    if outcome.interrupted:
        purpose = "start the check from the beginning" if outcome.check is not None else "resume"
        echo(f"Interrupted. Run the same command again to {purpose}.", err=True)
    return outcome.exit_code


def print_plan(planned: Planned) -> None:
    """Print the runs, those already done, and the estimated time."""
    from gan_bench.planning.power import describe_power
    from gan_bench.running.estimate import PROBE_BUDGET, estimate
    from gan_bench.running.machine import describe_place
    from gan_bench.running.prepare_data import prepare_datasets

    prepare_datasets(planned.datasets, planned.registry, partial(echo, err=True))
    todo = planned.todo
    found = estimate(
        todo,
        planned.registry,
        results=planned.folder.parent,
        workers=planned.workers,
        budget=PROBE_BUDGET,
        jobs=planned.jobs,
    )
    seconds, waiting = found.seconds, {job.run.key for job in todo}
    for job in planned.jobs:
        status = planned.status.get(job.run.key, "not started")
        failed = job.run.configuration in found.failed
        left = _about(seconds[job.run.key], failed=failed) if job.run.key in waiting else "nothing to do"
        echo(f"{job.run.label}\t{job.run.dataset.label}\tseed {job.run.seed}\t{status}\t{left}")
    known = [value for value in seconds.values() if not math.isnan(value)]
    minutes = sum(known) / planned.workers / 60
    guessed = any(job.likely_compiled and job.run.configuration in found.probed for job in todo)
    how = " and the speed-up by compilation, a third or more" if guessed else ""
    without = f", not counting evaluation{how}" if found.probed else ""
    echo(
        f"{len(todo)} of {len(planned.jobs)} runs to do on {planned.device}, {planned.workers} at a time: "
        f"about {minutes:.1f} minutes{without}."
    )
    if planned.place is not None:
        echo(f"{describe_place(planned.place)}.")
    for line in describe_power(planned.benchmark, planned.registry, _minutes_of_a_seed(planned, known)):
        echo(line)


def _minutes_of_a_seed(planned: Planned, seconds: Sequence[float]) -> float:
    """Estimated minutes that one more seed of all models takes; nan if no run has an estimate."""
    if not seconds:
        return math.nan
    runs = len(planned.jobs) / len(planned.benchmark.seeds)
    return sum(seconds) / len(seconds) * runs / planned.workers / 60


def _about(seconds: float, *, failed: bool) -> str:
    if math.isnan(seconds):
        return "time unknown" + (": the run fails in its first iterations" if failed else "")
    return f"about {seconds:,.0f} s"
