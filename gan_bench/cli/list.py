"""`gan-bench list`: installed plugins, and broken ones."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import click

from gan_bench import escape
from gan_bench.cli.options import places_of, plugin_option
from gan_bench.cli.output import echo

KINDS = ("models", "datasets", "networks", "metrics", "engines", "observers", "plugins")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS))
@plugin_option
def command(kind: str, plugins: Sequence[str]) -> None:
    """List the plugins of one kind with their origin and version, and broken plugins with their errors."""
    from tabulate import tabulate

    from gan_bench.plugins.discovery import load_plugins
    from gan_bench.plugins.kinds import UNIMPLEMENTED

    registry = load_plugins(places_of(plugins))
    if kind == "plugins":
        rows = [(origin.name, origin.version, origin.path) for origin in registry.origins]
        echo(tabulate(rows, headers=("plugin", "version", "path"), disable_numparse=True))
    else:
        rows = [
            (name, str(registry.origin(kind, name)), _first_line(item)) for name, item in registry.all(kind).items()
        ]
        echo(tabulate(rows, headers=("name", "origin", "description"), disable_numparse=True))
    if kind == "models" and (others := registry.unimplemented()):
        rows = [
            (name, str(registry.origin(UNIMPLEMENTED, name)), escape.one_line(each.title))
            for name, each in others.items()
        ]
        echo("\nNot implemented; `gan-bench show NAME` gives the reason:\n")
        echo(tabulate(rows, headers=("name", "origin", "description"), disable_numparse=True))
    for broken in registry.broken:
        echo(escape.one_line(f"BROKEN {broken.name} (from {broken.origin}): {broken.error}"))


def _first_line(item: type) -> str:
    return escape.one_line((inspect.getdoc(item) or "").split("\n")[0])
