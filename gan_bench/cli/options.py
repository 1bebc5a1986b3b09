"""Options that several verbs have."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import click

plugin_option = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE", help="A plugin file beside those of plugins/; repeatable."
)


def _set_data_root(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    """For this process and those that it starts."""
    from gan_bench.data.downloads import ROOT_VARIABLE

    if value is not None:
        os.environ[ROOT_VARIABLE] = str(value.expanduser().resolve())


data_root_option = click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    expose_value=False,
    callback=_set_data_root,
    help="Where data sets, weights and what is computed from them are kept.  [default: GAN_BENCH_DATA, else a cache]",
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
    from gan_bench.plugins.discovery import plugin_files, plugin_folders

    def complain(number: int, message: str) -> None:
        raise UsageError(f"--plugin {message}")

    return [*plugin_folders(), *plugin_files(plugins, complain)]
