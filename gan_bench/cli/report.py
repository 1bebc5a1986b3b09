"""`gan-bench report`: one HTML file of stored results."""

from __future__ import annotations

import click

from gan_bench.cli.output import echo


@click.command("report", short_help="Write stored results as one HTML file.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="File to write.  [default: report.html in the results folder]")
@click.option("--open", "show", is_flag=True, help="Open the file in a browser.")
def command(paths: tuple[str, ...], output: str | None, show: bool) -> None:
    """Write the report of PATH, a results folder or a results.csv, as one HTML file.

    The file has no external parts, so it can be sent and read offline. It contains the table, curves, samples, classes
    of each generator, the ledger, failed runs, and the origin of the results with citations. Sections for which data
    are missing give the reason.

    Several PATHs are parts of one benchmark, as for `gan-bench table`; they need --output.
    """
    from gan_bench.report.page.page import write_report

    written = write_report(paths, output)
    echo(written)
    if show:
        import webbrowser

        if not webbrowser.open(written.resolve().as_uri()):
            echo(f"No browser was found. Open {written} in one.", err=True)
