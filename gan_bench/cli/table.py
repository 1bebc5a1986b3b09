"""`gan-bench table`: the comparison table of stored results."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from gan_bench import escape
from gan_bench.cli.options import names
from gan_bench.cli.output import echo

if TYPE_CHECKING:
    from gan_bench.contracts.table import Table


@click.command("table", short_help="Print the comparison table of stored results.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["markdown", "csv", "latex", "text"]),
    help="Output format.  [default: text on a terminal, else markdown]",
)
@click.option("--metrics", metavar="A,B", help="Metrics to show, in this order.  [default: the benchmark's]")
@click.option(
    "--at",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Show final values, or those at the iteration of each run's lowest symmetric_kl.",
)
@click.option("--published", is_flag=True, help="Add a table of published figures for the same models and data.")
def command(
    paths: tuple[str, ...],
    format_: Literal["markdown", "csv", "latex", "text"] | None,
    metrics: str | None,
    at: Literal["last", "best"],
    published: bool,
) -> None:
    """Print the comparison table of PATH, a results folder or a results.csv.

    Several PATHs are parts of one benchmark: one that was cut by seeds or models, or run on several machines. Parts
    whose settings differ are rejected.

    Each row is a model; values are the mean ± half-width of the 95 % t-interval over the finished training seeds.

    With --published, a second table shows figures that papers claim for their systems and figures of independent
    re-runs. Each has its source and the differences of its protocol, next to our value if the metric is the same.
    """
    from gan_bench.report.published.formats import render
    from gan_bench.report.published.side_by_side import published_comparison
    from gan_bench.report.tables.build import build
    from gan_bench.results.parts import read_parts

    results = read_parts(paths)
    built = build(results, names(metrics), at)
    print_table(built, format_)
    if format_ == "csv":  # csv has no place for them
        for warning in built.warnings:
            echo(escape.one_line(warning), err=True)
    if published:
        found = published_comparison(results, built)
        echo("\n" + render(found, format_ if format_ in ("csv", "latex") else "markdown"), nl=False)
        if format_ == "csv":
            for note in found.notes:
                echo(escape.one_line(note), err=True)


def print_summary(table: Table, folder: Path) -> None:
    """Print labels, numbers of seeds and metrics of a table on a terminal; elsewhere the whole table as Markdown."""
    from gan_bench.report.tables.formats import to_text

    if not sys.stdout.isatty():
        print_table(table)
        return
    echo(to_text(table, _width(), notes=False, ledger=False))
    echo(f"\nSee {folder / 'table.md'} for all columns and notes.")


def _width() -> int:
    return shutil.get_terminal_size((120, 40)).columns


def print_table(table: Table, format: Literal["markdown", "csv", "latex", "text"] | None = None) -> None:
    """Print a table to standard output; the default is text on a terminal, and Markdown elsewhere."""
    from gan_bench.report.tables.build import render_table
    from gan_bench.report.tables.formats import to_text

    if format == "text" or (format is None and sys.stdout.isatty()):
        echo(to_text(table, _width()))
    else:
        echo(render_table(table, format or "markdown"), nl=False)
