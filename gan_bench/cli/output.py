"""Output of the verbs: every line that may contain text of plugins or of files."""

from __future__ import annotations

import re

import click

from gan_bench import escape


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text whose only control characters are line breaks and tabs: a terminal executes others."""
    parts = re.split(r"([\n\t])", str(text))
    click.echo("".join(part if part in "\n\t" else escape.printable(part) for part in parts), err=err, nl=nl)
