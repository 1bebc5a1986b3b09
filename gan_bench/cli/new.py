"""`gan-bench new`: a working plugin as a starting point."""

from __future__ import annotations

import click

from gan_bench.cli.output import echo


@click.command("new", short_help="Create a plugin, with a test and a benchmark.")
@click.argument("kind", type=click.Choice(["model", "dataset", "engine"]))
@click.argument("name")
@click.option("--package", is_flag=True, help="Create an installable package in the new folder NAME.")
def command(kind: str, name: str, package: bool) -> None:
    """Create a working model, dataset or engine called NAME, its test, and a benchmark of it with GAN and MGAN.

    The files are plugins/NAME.py, tests/test_NAME.py and NAME.toml in the working folder. Existing files are never
    overwritten.
    """
    from gan_bench.cli.scaffold import scaffold

    planned = scaffold(kind, name, package=package)
    for path in planned.write():
        echo(f"Created {path}")
    echo("\nNext steps:")
    width = max(len(line) for line, _ in planned.commands)
    for line, purpose in planned.commands:
        echo(f"    {line:{width}}  # {purpose}")
