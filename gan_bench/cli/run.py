"""`gan-bench run`: train the runs of a benchmark."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from gan_bench.cli.options import data_root_option, options_of, warn_of_broken
from gan_bench.cli.output import echo
from gan_bench.planning.options import Options

if TYPE_CHECKING:
    from gan_bench.planning.planned import Planned
    from gan_bench.running.progress import LiveProgress, PlainProgress
    from gan_bench.running.run_benchmark import BenchmarkOutcome


@click.command("run")
@click.argument("benchmark")
@options_of(Options)
@data_root_option
@click.option("--dry-run", is_flag=True, help="Print the plan and the estimated time, without training.")
def command(benchmark: str, dry_run: bool, **options: Any) -> int:
    """Train every model of BENCHMARK, a TOML file or the name of a shipped benchmark, and write its tables and report.

    Finished and diverged runs are skipped; failed and interrupted runs are retried. Ctrl-C writes checkpoints and
    stops; run the same command again to resume. Whenever a seed of all models is complete, the current table is printed
    and written to table.md.
    """
    from gan_bench.cli.resources import require_temporary_folder
    from gan_bench.planning.prepare import prepare
    from gan_bench.running.run_benchmark import run

    require_temporary_folder()
    planned = prepare(benchmark, Options(**options))
    warn_of_broken(planned.registry, notes=dry_run)  # else the run reports them
    if dry_run:
        _print_plan(planned)
        return 0
    try:
        with _graceful_stop(), _display(planned) as display:
            outcome = run(planned, display)
    except KeyboardInterrupt:  # outside of the runs, which handle it with their checkpoints
        _print_stored(planned)
        echo("Interrupted. Run the same command again to resume.", err=True)
        raise
    return _report(planned, outcome)


@contextmanager
def _graceful_stop() -> Iterator[None]:
    """Handle a closed terminal and `kill` like Ctrl-C: write checkpoints and the table, then exit.

    A signal that is already ignored, as by nohup, stays ignored.
    """

    def interrupt(signum: int, frame: FrameType | None) -> None:
        # A closed terminal may send several; the second of Ctrl-C or `kill` ends the runs without checkpoints.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread can set handlers
        yield
        return
    numbers = (signal.SIGHUP, signal.SIGTERM)
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) is not None}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _display(planned: Planned) -> LiveProgress | nullcontext[PlainProgress]:
    from gan_bench.running.progress import LiveProgress, make_progress

    # The scores of a check are meaningless.
    display = make_progress(() if planned.mode == "quick" else planned.benchmark.evaluation.metrics)
    return display if isinstance(display, LiveProgress) else nullcontext(display)


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


def _print_plan(planned: Planned) -> None:
    """Print the runs, those already done, and the estimated time."""
    from gan_bench.planning.power import describe_power
    from gan_bench.running.estimate import PROBE_BUDGET, estimate
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
