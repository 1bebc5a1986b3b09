"""The command line, with one file for each verb. A file is imported when its verb is called: `--help` is fast."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import click

from gan_bench import escape
from gan_bench.cli.output import echo
from gan_bench.cli.resources import (
    discard_output,
    flush_output,
    missing_resource,
    open_standard_streams,
    require_process,
)
from gan_bench.errors import GanBenchError

if TYPE_CHECKING:
    import multiprocessing.process

VERBS = {
    "run": "Train the missing runs of a benchmark and write the tables.",
    "worker": "Execute queued runs beside workers on other machines.",
    "table": "Print the comparison table of stored results.",
    "compare": "Compare models by statistical tests, with verdicts.",
    "report": "Write stored results as one HTML file.",
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
        require_process()
        from gan_bench.plugins.entry_points import tolerate_damaged_packages

        tolerate_damaged_packages()
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
    open_standard_streams()
    debug = "--debug" in sys.argv
    before = set(threading.enumerate())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # arrows and ± in an ASCII terminal must not end in an error
    try:
        code = cli.main(standalone_mode=False)
        flush_output()
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
        _echo_error(str(error))
        code = error.exit_code
    except (OSError, MemoryError, ImportError, RuntimeError) as error:
        if debug or not missing_resource(error):
            raise
        _echo_error(missing_resource(error))
        code = GanBenchError.exit_code
    except SystemExit:  # raised by click if the reader of a pipe has ended
        code = GanBenchError.exit_code
    _leave_behind(before, code or 0)
    discard_output()
    sys.exit(code or 0)


def _echo_error(message: str) -> None:
    with contextlib.suppress(OSError):  # standard error may be full as well
        echo(escape.several_lines(f"Error: {message}"), err=True)


def _leave_behind(before: set[threading.Thread], code: int) -> None:
    """Exit at once if code of a plugin has left threads or processes that Python would wait for."""
    threads = [each.name for each in set(threading.enumerate()) - before if not each.daemon]
    processes = [each.name for each in _processes() if not each.daemon]
    if not threads and not processes:
        return
    left = ", ".join(sorted([*threads, *processes])[:5])
    message = f"Code of a plugin has left threads or processes behind: {left}. They are not waited for."
    echo(escape.one_line(message), err=True)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed by a plugin, or at the other end
            stream.flush()
    os._exit(code)


def _processes() -> list[multiprocessing.process.BaseProcess]:
    """Processes that were started with `multiprocessing`, which is imported only if something has used it."""
    module = sys.modules.get("multiprocessing")
    return module.active_children() if module is not None else []
