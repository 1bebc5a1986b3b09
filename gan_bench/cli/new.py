"""`gan-bench new`: a working plugin as a starting point."""

from __future__ import annotations

import click


@click.command("new", short_help="Write a model or dataset of one's own, with its test and a benchmark.")
@click.argument("kind", type=click.Choice(["model", "dataset"]))
@click.argument("name")
@click.option("--package", is_flag=True, help="Write an installable package, a folder NAME.")
def command(kind: str, name: str, package: bool) -> None:
    """Write a model or dataset called NAME that works at once, its test, and a benchmark of it with GAN and MGAN.

    They go into the working folder: plugins/NAME.py, tests/test_NAME.py and NAME.toml. Nothing that exists is
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
