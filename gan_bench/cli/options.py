"""Parts that several verbs share: options, flags from the fields of a dataclass, the plugins to load."""

from __future__ import annotations

import csv
import os
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gan_bench import escape
from gan_bench.cli.output import echo

if TYPE_CHECKING:
    from gan_bench.planning.options import OptionField
    from gan_bench.plugins.registry import Registry

Command = TypeVar("Command", bound=Callable[..., Any])

plugin_option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Plugin file to load, in addition to those in plugins/. Repeatable.",
)


def _set_data_root(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    """Set the data root of this process and its children."""
    from gan_bench.data.downloads import ROOT_VARIABLE, absolute

    if value is not None:
        os.environ[ROOT_VARIABLE] = str(absolute(value))


data_root_option = click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    expose_value=False,
    callback=_set_data_root,
    help="Folder of datasets, weights and prepared files.  [default: GAN_BENCH_DATA, else a cache folder]",
)


def names(option: str | None) -> list[str] | None:
    """Split ``A, B`` into a list; names with a comma are in double quotes. None for an omitted option."""
    if option is None:
        return None
    found = next(csv.reader([option], skipinitialspace=True), [])
    return [name.strip() for name in found if name.strip()]


def places_of(plugins: Sequence[str]) -> list[Path]:
    """Folder plugins/ of the working folder, and the files of `--plugin`."""
    from gan_bench.plugins.discovery import option_files, plugin_folders

    return [*plugin_folders(), *option_files(plugins)]


def warn_of_broken(registry: Registry, *, notes: bool = True) -> None:
    """Print a line for every plugin that cannot be loaded: results may lack its contributions.

    Args:
        notes: whether to print what plugins have changed about the process as well.
    """
    for broken in registry.broken:
        echo(escape.one_line(f"Broken plugin {broken.name}: {broken.error}"), err=True)
    for line in registry.notes if notes else ():
        echo(escape.one_line(line), err=True)


def options_of(declaration: type[Any]) -> Callable[[Command], Command]:
    """Decorate a command with a flag for each field of a dataclass of options, in their order."""
    from gan_bench.planning.options import option_fields

    def decorate(command: Command) -> Command:
        for each in reversed(option_fields(declaration)):  # the last decorator comes first in the help
            command = _flag(each)(command)
        return command

    return decorate


def _flag(each: OptionField) -> Callable[[Command], Command]:
    """Build one flag. `Options` checks choices instead of click, so that Python callers get the same check."""
    if each.type is bool:
        return click.option(each.flag, each.name, is_flag=True, default=each.default, help=each.help)
    listed = typing.get_origin(each.type) is Sequence and not each.repeatable
    numbers = {int: int, int | None: int, float | None: float}
    return click.option(
        each.flag,
        each.name,
        type=numbers.get(each.type, str),
        default=None if listed or each.repeatable else each.default,
        show_default=isinstance(each.default, str),
        multiple=each.repeatable,
        callback=(lambda context, parameter, value: names(value) or ()) if listed else None,
        metavar=each.metavar or "|".join(each.choices),
        help=each.help,
    )
