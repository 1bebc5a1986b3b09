"""The command line, with one file for each verb. A file is imported when its verb is called: `--help` is fast."""

from __future__ import annotations

import importlib
import io
import sys
import traceback

import click

from gan_bench import escape
from gan_bench.cli.output import echo
from gan_bench.errors import GanBenchError

VERBS = {
    "run": "Train the missing runs of a benchmark and write the tables.",
    "table": "Print the comparison table of stored results.",
    "plot": "Plot samples and metrics over iterations.",
    "list": "List the available plugins of one kind.",
    "score": "Compute metrics of samples from any program.",
    "data": "List, download or verify image datasets and weights.",
    "show": "Show the description and parameters of a plugin.",
    "evaluate": "Compute additional metrics of stored runs.",
    "sample": "Draw samples from a stored run.",
    "new": "Create a plugin, with a test and a benchmark.",
    "check": "Check that a plugin fulfils its contract.",
}
INTERRUPTED = 130


class _Verbs(click.Group):
    """Group of verbs that imports a verb on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS]  # `list` is a submodule here after its verb was called

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"gan_bench.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from gan_bench.names import allowed

            ctx.fail(f"No such command {args[0]!r}. {allowed(args[0], VERBS, limit=20)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*VERBS.items()])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gan-bench")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
def cli(debug: bool) -> None:
    """Compare GANs with several generators: one benchmark file in, one comparison table out.

    Exit codes: 0 success; 1 a run failed or diverged; 2 invalid usage, benchmark, plugin or results; 130 interrupted.
    """


def main() -> None:
    """Entry point of `gan-bench`, the only place that turns errors into exit codes."""
    debug = "--debug" in sys.argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # arrows and ± in an ASCII terminal must not end in an error
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.exceptions.Abort:
        code = INTERRUPTED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except GanBenchError as error:
        if debug:
            traceback.print_exc()
        echo(escape.several_lines(f"Error: {error}"), err=True)
        code = error.exit_code
    sys.exit(code or 0)
