"""Options that several verbs have."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import click

plugin_option = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE", help="A plugin file beside those of plugins/; repeatable."
)


def names(option: str | None) -> list[str] | None:
    """``A, B`` as a list, a name that holds a comma in double quotes; None where the option was not given."""
    if option is None:
        return None
    found = next(csv.reader([option], skipinitialspace=True), [])
    return [name.strip() for name in found if name.strip()]


def places_of(plugins: Sequence[str]) -> list[Path]:
    """plugins/ of the working folder, and the files that `--plugin` names."""
    from gan_bench.errors import UsageError
    from gan_bench.plugins import plugin_files, plugin_folders

    def complain(number: int, message: str) -> None:
        raise UsageError(f"--plugin {message}")

    return [*plugin_folders(), *plugin_files(plugins, complain)]
