"""Generate parts of the documentation: the page of commands, and the tables of settings.

    python tools/reference.py docs      writes them into the pages of a folder

In a page that is written by hand, generated parts are between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gan_bench.cli import cli
from gan_bench.contracts.parameters import describe
from gan_bench.files import write_atomically

GENERATED = "This page is generated: `python tools/reference.py docs`."
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def generate(folder: Path) -> dict[Path, str]:
    """Return every page of a folder with its generated parts up to date."""
    from gan_bench.contracts.protocol import Evaluation, Protocol

    parts = {"protocol": settings(Protocol), "evaluation": settings(Evaluation)}

    def current(found: re.Match[str]) -> str:
        return f"{found[1]}\n{parts[found[2]]}\n"

    pages = {page: PART.sub(current, page.read_text(encoding="utf-8")) for page in sorted(folder.glob("*.md"))}
    return pages | {folder / "commands.md": commands()}


def settings(cls: type) -> str:
    """Return a table of the fields of a dataclass of settings."""
    rows = ["| key | type | default | allowed | what it is |", "|---|---|---|---|---|"]
    for each in describe(cls):
        rows.append(f"| `{each.name}` | {each.type} | `{each.default}` | {each.range} | {_escaped(each.doc)} |")
    return "\n".join(rows) + "\n"


def commands() -> str:
    """Return a page of all verbs with their arguments and options."""
    sections = ["# Commands", f"Every verb explains itself with `--help`. {GENERATED}"]
    group = click.Context(cli, info_name="gan-bench")
    sections += _section(cli, group)
    for name in cli.list_commands(group):
        command = cli.get_command(group, name)
        assert command is not None
        sections += _section(command, click.Context(command, info_name=name, parent=group))
    return "\n\n".join(sections) + "\n"


def _section(command: click.Command, context: click.Context) -> list[str]:
    """Return heading, usage, help and options of one command, a block each."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
    return [f"## {context.command_path}", f"`{usage}`", *paragraphs, "\n".join(_options(command, context))]


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Return a table of the options; arguments are described in the usage and the help."""
    yield from ("| option | what it does |", "|---|---|")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None and "--help" not in parameter.opts:
            names, text = record
            yield f"| `{_escaped(names)}` | {_escaped(' '.join(text.split()))} |"


def _escaped(text: str) -> str:
    """Escape text for a cell of a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for page, text in generate(Path(sys.argv[1])).items():
        write_atomically(page, text)
