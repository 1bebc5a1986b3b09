"""`gan-bench new`: a working plugin as a starting point."""

from __future__ import annotations

import click


@click.command("new", short_help="Create a model or dataset, with a test and a benchmark.")
@click.argument("kind", type=click.Choice(["model", "dataset"]))
@click.argument("name")
@click.option("--package", is_flag=True, help="Create an installable package in a new folder NAME.")
def command(kind: str, name: str, package: bool) -> None:
    """Write a working model or dataset called NAME, its test, and a benchmark that compares it with GAN and MGAN.

    Creates plugins/NAME.py, tests/test_NAME.py and NAME.toml in the working folder. Existing files are never
    overwritten.
    """
    from gan_bench.cli.scaffold import scaffold

    planned = scaffold(kind, name, package=package)
    for path in planned.write():
        click.echo(f"wrote {path}")
    click.echo("\nNext:")
    width = max(len(line) for line, _ in planned.commands)
    for line, purpose in planned.commands:
        click.echo(f"    {line:{width}}  # {purpose}")
