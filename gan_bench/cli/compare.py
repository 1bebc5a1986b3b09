"""`gan-bench compare`: verdicts on the models of stored results."""

from __future__ import annotations

import sys
from typing import Literal

import click

from gan_bench.cli.options import names
from gan_bench.cli.output import echo


@click.command("compare", short_help="Compare models by statistical tests, with verdicts.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@click.option(
    "--baseline", metavar="LABEL", help="Model that the others are compared with.  [default: the benchmark's]"
)
@click.option("--metric", metavar="A,B", help="Metrics to compare by.  [default: the benchmark's primary metric]")
@click.option(
    "--pairs",
    type=click.Choice(["baseline", "all"]),
    default="baseline",
    show_default=True,
    help="Compare with the baseline, or every pair of models.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["markdown", "csv", "latex", "text"]),
    help="Output format.  [default: text on a terminal, else markdown]",
)
def command(
    paths: tuple[str, ...],
    baseline: str | None,
    metric: str | None,
    pairs: Literal["baseline", "all"],
    format_: Literal["markdown", "csv", "latex", "text"] | None,
) -> None:
    """Compare the models of PATH, a results folder or a results.csv; several are parts of one benchmark.

    The verdict on each comparison is better, worse, equivalent or undecided. It rests on the paired t-test over the
    training seeds, on the scale of the metric, adjusted by Holm's procedure. "seeds needed" is the number of seeds that
    would show a difference of the margin. docs/statistics.md describes the tests.
    """
    from gan_bench.report.tables.verdicts import compare, render_comparisons

    found = compare(paths, metric=names(metric), baseline=baseline, pairs=pairs)
    form = format_ or ("text" if sys.stdout.isatty() else "markdown")
    echo(render_comparisons(found, form), nl=False)
