"""Options that several verbs have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

plugin_option = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE", help="A plugin file beside those of plugins/; repeatable."
)


def places_of(plugins: Sequence[str]) -> list[Path]:
    """plugins/ of the working folder, and the files that `--plugin` names."""
    from gan_bench.errors import UsageError
    from gan_bench.plugins import plugin_files, plugin_folders

    def complain(number: int, message: str) -> None:
        raise UsageError(f"--plugin {message}")

    return [*plugin_folders(), *plugin_files(plugins, complain)]
