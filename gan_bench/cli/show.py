"""`gan-bench show`: one model, dataset, network or metric."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gan_bench.cli.options import places_of, plugin_option
from gan_bench.cli.output import echo

KINDS = ("model", "dataset", "network", "metric", "engine", "observer")


@click.command("show", short_help="Show the description and parameters of a plugin.")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Only plugins of this kind.  [default: all kinds]")
@plugin_option
def command(name: str, kind: str | None, plugins: Sequence[str]) -> None:
    """Show the description, origin and parameters of NAME and, for a model, its networks."""
    import contextlib
    import shutil
    import sys

    from gan_bench.plugins.show import show

    width = min(max(shutil.get_terminal_size((100, 24)).columns, 80), 120)
    with contextlib.redirect_stdout(sys.stderr):  # output of a plugin does not belong to the answer
        text = show(name, places_of(plugins), kind=f"{kind}s" if kind else None, width=width)
    echo(text)
