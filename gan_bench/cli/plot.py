"""`gan-bench plot`: the figure of stored results."""

from __future__ import annotations

import click

from gan_bench import escape
from gan_bench.cli.options import names
from gan_bench.cli.output import echo


@click.command("plot", short_help="Plot samples and metrics over iterations.")
@click.argument("path", metavar="PATH")
@click.option(
    "--output",
    metavar="FILE|FOLDER",
    help="A .png, .pdf or .svg file, or a folder for figure.png and figure.pdf.  [default: the results folder]",
)
@click.option("--metrics", metavar="A,B", help="Metrics to plot, in this order.  [default: symmetric_kl,wasserstein]")
def command(path: str, output: str | None, metrics: str | None) -> None:
    """Plot the stored results in PATH: samples over iterations, and metrics over iterations.

    There is one figure per dataset. Samples have a row per model: points coloured by generator over real data in
    grey, or images in a row for each generator, from the same latents at every iteration. Metrics are medians over the
    seeds with their range. Damaged files are reported and left out.
    """
    from gan_bench.report.figures.figures import plot
    from gan_bench.report.figures.sample_grid import damaged_samples
    from gan_bench.results.class_shares import damaged_classes
    from gan_bench.results.load import read_results

    results = read_results(path)
    for ignored in (*results.ignored, *damaged_samples(results), *damaged_classes(results)):
        echo(escape.one_line(f"ignored: {ignored}"), err=True)
    for written in plot(results, output, names(metrics)):
        echo(written)
